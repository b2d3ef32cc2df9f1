"""Reads an exposition on standard input; prints one JSON object a sample.

usage: prometheus_text.py text|openmetrics. The parsers are those of Python's prometheus-client; the one for OpenMetrics
refuses whatever the specification forbids.
"""

import json
import sys

from prometheus_client import openmetrics, parser
from prometheus_client.openmetrics import parser as openmetrics_parser

PARSERS = {
    "text": parser.text_string_to_metric_families,
    "openmetrics": openmetrics_parser.text_string_to_metric_families,
}

for family in PARSERS[sys.argv[1]](sys.stdin.read()):
    for sample in family.samples:
        print(json.dumps({
            "family": family.name,
            "type": family.type,
            "help": family.documentation,
            "name": sample.name,
            "labels": sample.labels,
            "value": sample.value,
            "timestamp": sample.timestamp,
        }))
