"""What one port of the receiver took: each request that it answered as OTLP asks, as protobuf after its length.

It is not converted here: a receiver that takes seconds for a large request would be slow, which is another test.
"""

import gzip
import struct

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

# Points that a partial success rejects.
REJECTED = 3
# Largest request, uncompressed, that a port named "small" takes: less than any collection has.
SMALL = 2_000
# A point that a port named "poison" never takes: of this metric, read in every seventh second.
POISON = "agent.memory.usage"


def plain(body, compressed):
    return gzip.decompress(body) if compressed else body


def is_poisoned(body, compressed):
    request = ExportMetricsServiceRequest.FromString(plain(body, compressed))
    return any(
        metric.name == POISON and any(point.time_unix_nano // 10**9 % 7 == 0 for point in points(metric))
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    )


def points(metric):
    return getattr(metric, metric.WhichOneof("data")).data_points


class Book:
    def __init__(self, path):
        self.file = open(path, "wb")
        self.used = {}
        self.calm = False
        # Requests that were taken since the receiver behaves.
        self.calm_taken = 0

    def begin(self, name):
        self.used[name] = self.used.get(name, 0) + 1

    def take(self, body, compressed, rejected=0):
        """Writes a request, but for the first `rejected` points; returns how many it left out."""
        body = plain(body, compressed)
        left = rejected
        request = ExportMetricsServiceRequest.FromString(body if rejected else b"")
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    present = points(metric)
                    gone = min(left, len(present))
                    del present[:gone]
                    left -= gone
        if rejected:
            body = request.SerializeToString()
        self.file.write(struct.pack(">I", len(body)) + body)
        self.file.flush()
        if self.calm:
            self.calm_taken += 1
        return rejected - left


def partial(rejected, message="some points are too old"):
    """The protobuf answer of a partial success."""
    answer = ExportMetricsServiceResponse()
    answer.partial_success.rejected_data_points = rejected
    answer.partial_success.error_message = message
    return answer.SerializeToString()
