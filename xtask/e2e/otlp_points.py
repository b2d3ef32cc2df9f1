"""Reads OTLP-JSON, one request a line, or protobuf (*.pb, each request after its length in four bytes, the highest first),
from the named files; prints one JSON object a point.

The decoder is Python's opentelemetry-proto; its parser refuses unknown fields. What the OTLP specification demands
beyond protobuf JSON (lowerCamelCase names, 64-bit numbers as decimal strings or numbers) is checked here.
"""

import json
import struct
import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, DataPointFlags

NO_VALUE = DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK


def check_names(node, place):
    if isinstance(node, list):
        for child in node:
            check_names(child, place)
    elif isinstance(node, dict):
        for name, child in node.items():
            if "_" in name:
                sys.exit(f"{place}: field {name} is not in lowerCamelCase")
            check_names(child, place)


def any_value(value):
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [any_value(item) for item in value.array_value.values]
    return None if kind is None else getattr(value, kind)


def attributes(pairs, place):
    found = {pair.key: any_value(pair.value) for pair in pairs}
    if len(found) != len(pairs):
        sys.exit(f"{place}: an attribute key stands twice: {[pair.key for pair in pairs]}")
    return found


def kind_and_points(metric, place):
    data = metric.WhichOneof("data")
    if data == "gauge":
        return "gauge", metric.gauge.data_points
    if data not in ("sum", "histogram"):
        sys.exit(f"{place}: {metric.name} has data of kind {data}")
    content = getattr(metric, data)
    if content.aggregation_temporality != AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE:
        sys.exit(f"{place}: {metric.name} is not cumulative")
    if data == "sum":
        return ("counter" if content.is_monotonic else "updowncounter"), content.data_points
    return data, content.data_points


def value(point, kind):
    if point.flags & NO_VALUE:
        return {"value": None}
    if kind == "histogram":
        return {
            "count": point.count,
            "sum": point.sum,
            "bounds": list(point.explicit_bounds),
            "buckets": list(point.bucket_counts),
        }
    number = point.WhichOneof("value")
    return {"value": getattr(point, number), "integer": number == "as_int"}


def json_requests(path):
    # A receiver that was killed may leave a torn last line; an acknowledged point is never in it.
    for number, line in enumerate(open(path, encoding="utf-8"), 1):
        if not line.endswith("\n"):
            break
        check_names(json.loads(line), f"{path}:{number}")
        yield json_format.Parse(line, ExportMetricsServiceRequest())


def protobuf_requests(path):
    with open(path, "rb") as file:
        while len(head := file.read(4)) == 4:
            yield ExportMetricsServiceRequest.FromString(file.read(struct.unpack(">I", head)[0]))


def main():
    for path in sys.argv[1:]:
        requests = protobuf_requests if path.endswith(".pb") else json_requests
        for number, request in enumerate(requests(path), 1):
            place = f"{path}:{number}"
            for resource in request.resource_metrics:
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        kind, points = kind_and_points(metric, place)
                        for point in points:
                            print(json.dumps({
                                "line": number,
                                "resource": attributes(resource.resource.attributes, place),
                                "scope": scope.scope.name,
                                "name": metric.name,
                                "description": metric.description,
                                "unit": metric.unit,
                                "type": kind,
                                "attributes": attributes(point.attributes, place),
                                "time": point.time_unix_nano,
                                "start": point.start_time_unix_nano,
                                **value(point, kind),
                            }))


main()
