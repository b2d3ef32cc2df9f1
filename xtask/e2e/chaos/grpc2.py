"""OTLP over gRPC, on HTTP/2's frames: each behaviour is a function of the connection, the stream and the request.

A behaviour takes a request (`book.take`) only where its answer says so by the gRPC and OTLP specifications.
"""

import asyncio
import base64
import socket
import struct

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration

from book import REJECTED, SMALL, is_poisoned, partial, plain

PAGE = b"<html><body><h1>502 Bad Gateway</h1></body></html>\r\n"
GRPC = [(":status", "200"), ("content-type", "application/grpc")]


class Closed(Exception):
    """The behaviour ends the connection."""


def message(body=b"", compressed=0, length=None):
    """A length-prefixed message."""
    return struct.pack(">BI", compressed, len(body) if length is None else length) + body


def unframed(request):
    """The body of the message in a request, and whether it is compressed."""
    compressed, length = struct.unpack(">BI", request[:5])
    return request[5 : 5 + length], bool(compressed)


def field(number, payload):
    assert len(payload) < 128
    return bytes([number << 3 | 2, len(payload)]) + payload


def retry_info(code, seconds):
    """`grpc-status-details-bin`: a google.rpc.Status with a google.rpc.RetryInfo."""
    delay = field(1, Duration(seconds=seconds).SerializeToString())
    detail = Any(type_url="type.googleapis.com/google.rpc.RetryInfo", value=delay)
    status = bytes([1 << 3, code]) + field(3, detail.SerializeToString())
    return base64.b64encode(status).decode().rstrip("=")


def status(code, text="no", details=None):
    """Trailers only: a status without a message."""

    async def behave(peer, stream, request):
        headers = GRPC + [("grpc-status", str(code)), ("grpc-message", text)]
        if details:
            headers.append(("grpc-status-details-bin", details))
        peer.headers(stream, headers, end=True)

    return behave


def http(code, body=PAGE, content_type="text/html", extra=()):
    """An answer of something that speaks HTTP and not gRPC, such as a proxy."""

    async def behave(peer, stream, request):
        headers = [(":status", str(code))]
        if content_type:
            headers.append(("content-type", content_type))
        peer.headers(stream, headers + list(extra), end=not body)
        if body:
            peer.data(stream, body, end=True)

    return behave


def takes(rejected=0, answer=lambda count: partial(count) if count else b"", extra=(), trailers=()):
    async def behave(peer, stream, request):
        count = peer.take(request, rejected)
        peer.headers(stream, GRPC + list(extra))
        peer.data(stream, message(answer(count)))
        peer.headers(stream, [("grpc-status", "0"), *trailers], end=True)

    return behave


def sends(*parts, trailers=(("grpc-status", "0"),), headers=GRPC):
    """Answers with this body and these trailers, and takes nothing; without trailers the body ends the stream."""

    async def behave(peer, stream, request):
        peer.headers(stream, list(headers))
        for at, part in enumerate(parts):
            peer.data(stream, part, end=not trailers and at == len(parts) - 1)
        if trailers:
            peer.headers(stream, list(trailers), end=True)

    return behave


def resets(code):
    async def behave(peer, stream, request):
        peer.h2.reset_stream(stream, error_code=code)

    return behave


def goes_away(code, last_stream):
    """The connection is closed with GOAWAY, whose last stream says that the request was not looked at (0) or may have been."""

    async def behave(peer, stream, request):
        peer.h2.close_connection(error_code=code, last_stream_id=stream if last_stream else 0)
        await peer.flush()
        raise Closed

    return behave


def writes(data):
    """These bytes in place of frames."""

    async def behave(peer, stream, request):
        peer.writer.write(data)
        raise Closed

    return behave


async def close(peer, stream, request):
    raise Closed


async def reset_connection(peer, stream, request):
    sock = peer.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise Closed


async def hang(peer, stream, request):
    pass


async def hang_after_headers(peer, stream, request):
    peer.headers(stream, GRPC)


async def close_after_headers(peer, stream, request):
    peer.headers(stream, GRPC)
    await peer.flush()
    raise Closed


async def close_in_message(peer, stream, request):
    peer.headers(stream, GRPC)
    peer.data(stream, message(b"\x0a\x02", length=40))
    await peer.flush()
    raise Closed


async def flood_of_pings(peer, stream, request):
    for number in range(2_000):
        peer.h2.ping(struct.pack(">Q", number))
    await peer.flush()
    await SUCCESS(peer, stream, request)


async def flood_of_settings(peer, stream, request):
    for number in range(500):
        peer.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 65_535 + number})
        await peer.flush()
    await SUCCESS(peer, stream, request)


async def slowly(peer, stream, request):
    peer.take(request)
    peer.headers(stream, GRPC)
    for byte in message():
        peer.data(stream, bytes([byte]))
        await peer.flush()
        await asyncio.sleep(0.05)
    peer.headers(stream, [("grpc-status", "0")], end=True)


async def endless_message(peer, stream, request):
    """More than a client has to take: 5 MiB. What the flow control does not let pass is not sent."""
    peer.headers(stream, GRPC)
    peer.data(stream, message(length=5 << 20))
    for _ in range(80):
        await peer.room(stream)
        peer.data(stream, b"\0" * min(16_384, peer.h2.local_flow_control_window(stream)))
        await peer.flush()


async def large_trailers(peer, stream, request):
    peer.headers(stream, GRPC)
    filler = [(f"x-filler-{number}", "x" * 1000) for number in range(60)]
    peer.headers(stream, [("grpc-status", "14"), *filler], end=True)


async def no_more_streams(peer, stream, request):
    """Refuses the stream and permits no other on this connection for a while."""
    peer.h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 0})
    peer.h2.reset_stream(stream, error_code=h2.errors.ErrorCodes.REFUSED_STREAM)
    await peer.flush()
    await asyncio.sleep(3)
    raise Closed


async def no_window(peer, stream, request):
    """Takes the request, then permits no byte of the next one on this connection."""
    await SUCCESS(peer, stream, request)
    peer.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})


async def down(peer, stream, request):
    """Nothing listens for a while: the connection is closed, and new ones are refused."""
    await peer.server.pause(3)
    raise Closed


SUCCESS = takes()


async def poison(peer, stream, request):
    refused = is_poisoned(*unframed(request))
    await (status(3, "a point is malformed") if refused else SUCCESS)(peer, stream, request)


async def small(peer, stream, request):
    refused = len(plain(*unframed(request))) > SMALL
    await (status(8, "received message larger than max") if refused else SUCCESS)(peer, stream, request)


# What a port does with every request, by its name.
LASTING = {"poison": poison, "small": small}

# Answers that the specifications call a success.
SUCCESSES = {
    "ok": SUCCESS,
    "ok_grpc_proto": takes(extra=[("grpc-accept-encoding", "identity,gzip")], trailers=[("x-served-by", "a")]),
    "ok_slowly": slowly,
    "ok_after_pings": flood_of_pings,
    "ok_after_settings": flood_of_settings,
    "ok_then_no_window": no_window,
    "ok_warning": takes(answer=lambda _: partial(0, "soon deprecated")),
    "partial": takes(REJECTED),
}

# Answers that take nothing, after which a client that waits a little may come again.
FAILURES = {
    **{f"code_{code}": status(code) for code in (1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 13, 14, 15)},
    "code_8_retry_info": status(8, details=retry_info(8, 1)),
    "code_14_retry_info": status(14, details=retry_info(14, 1)),
    "code_14_percent": status(14, "bad %zz %00 %e2%80"),
    "code_99": status(99),
    "code_text": status("fine"),
    "http_400": http(400),
    "http_408": http(408),
    "http_413": http(413),
    "http_429": http(429, extra=[("retry-after", "1")]),
    "http_500": http(500),
    "http_502": http(502),
    "http_503": http(503),
    "http_504": http(504),
    "http_503_plain": http(503, b"no healthy upstream", "text/plain"),
    "http_503_empty": http(503, b"", None),
    "no_status": sends(message(), trailers=(("x-nothing", "1"),)),
    "no_trailers": sends(message(), trailers=()),
    "no_message": sends(),
    "length_beyond_end": sends(message(b"\x0a\x00", length=40)),
    "length_of_4_gib": sends(message(length=0xFFFF_FFFF)),
    "compressed_unannounced": sends(message(b"\x0a\x00", compressed=1)),
    "reset_no_error": resets(h2.errors.ErrorCodes.NO_ERROR),
    "reset_internal": resets(h2.errors.ErrorCodes.INTERNAL_ERROR),
    "reset_refused": resets(h2.errors.ErrorCodes.REFUSED_STREAM),
    "reset_cancel": resets(h2.errors.ErrorCodes.CANCEL),
    "reset_calm": resets(h2.errors.ErrorCodes.ENHANCE_YOUR_CALM),
    "goaway": goes_away(0, 1),
    "goaway_unseen": goes_away(0, 0),
    "goaway_calm": goes_away(h2.errors.ErrorCodes.ENHANCE_YOUR_CALM, 0),
    "no_more_streams": no_more_streams,
    "close": close,
    "close_after_headers": close_after_headers,
    "close_in_message": close_in_message,
    "reset_connection": reset_connection,
    "hang": hang,
    "hang_after_headers": hang_after_headers,
    "endless_message": endless_message,
    "large_trailers": large_trailers,
    "http1_answer": writes(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
    "garbage": writes(bytes(range(256)) * 4),
    "oversized_frame": writes(b"\xff\xff\xff\x00\x00\x00\x00\x00\x01"),
    "tls_alert": writes(b"\x15\x03\x03\x00\x02\x02\x28"),
    "down": down,
}

# Answers that take nothing and will be the same until somebody changes the configuration, so that a client may wait long.
REFUSALS = {
    "code_7": status(7),
    "code_12": status(12),
    "code_16": status(16),
    "http_301": http(301, extra=[("location", "/elsewhere")]),
    "http_401": http(401),
    "http_403": http(403),
    "http_404": http(404),
    "http_405": http(405),
    "http_415": http(415),
    "page": http(200),
    "untyped": http(200, b"accepted", None),
    "broken_protobuf": sends(message(b"\xff\xff\xff\xff")),
}


class Peer:
    """One connection."""

    def __init__(self, server, reader, writer):
        self.server, self.reader, self.writer = server, reader, writer
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8", validate_outbound_headers=False)
        )
        self.requests = {}
        self.window = asyncio.Event()

    def headers(self, stream, headers, end=False):
        self.h2.send_headers(stream, headers, end_stream=end)

    def data(self, stream, data, end=False):
        self.h2.send_data(stream, data, end_stream=end)

    def take(self, request, rejected=0):
        return self.server.book.take(*unframed(request), rejected)

    async def flush(self):
        self.writer.write(self.h2.data_to_send())
        await self.writer.drain()

    async def room(self, stream):
        """Waits for window; raises where the client ended the stream."""
        while self.h2.local_flow_control_window(stream) == 0:
            await self.flush()
            await self.receive()

    async def receive(self):
        data = await self.reader.read(1 << 16)
        if not data:
            raise Closed
        whole = []
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                self.requests[event.stream_id] = b""
            elif isinstance(event, h2.events.DataReceived):
                self.requests[event.stream_id] += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                whole.append((event.stream_id, self.requests.pop(event.stream_id)))
            elif isinstance(event, h2.events.StreamReset):
                self.requests.pop(event.stream_id, None)
            elif isinstance(event, h2.events.ConnectionTerminated):
                raise Closed
        return whole


async def serve(server, reader, writer):
    """Serves the requests of one connection."""
    peer = Peer(server, reader, writer)
    try:
        peer.h2.initiate_connection()
        await peer.flush()
        while True:
            for stream, request in await peer.receive():
                await server.next(SUCCESS)(peer, stream, request)
            await peer.flush()
    except (Closed, ConnectionError, h2.exceptions.ProtocolError):
        pass
    finally:
        writer.close()
