"""OTLP over HTTP/1.1, on the bytes: each behaviour is a function of the connection and the request's body.

A behaviour takes a request (`book.take`) only where its answer says so by the OTLP specification.
"""

import asyncio
import json
import socket
import struct

from book import REJECTED, SMALL, is_poisoned, partial, plain

PROTOBUF = "application/x-protobuf"
PAGE = b"<html><body><h1>502 Bad Gateway</h1></body></html>\r\n"


def answer(status, body=b"", content_type=PROTOBUF, extra="", close=False):
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n"
    if content_type:
        head += f"Content-Type: {content_type}\r\n"
    if close:
        head += "Connection: close\r\n"
    return (head + extra + "\r\n").encode() + body


class Closed(Exception):
    """The behaviour ends the connection."""


def says(status, body=PAGE, content_type="text/html", extra=""):
    """Answers with a status and takes nothing."""

    async def behave(connection):
        await connection.read_body()
        connection.write(answer(status, body, content_type, extra))

    return behave


def takes(render, rejected=0):
    """Takes the request; `render` makes the answer from the number of points that are left out."""

    async def behave(connection):
        body = await connection.read_body()
        left_out = connection.take(body, rejected)
        connection.write(render(left_out))

    return behave


def raw(data, read=True, close=True):
    """Answers with these bytes and takes nothing."""

    async def behave(connection):
        if read:
            await connection.read_body()
        connection.write(data)
        if close:
            raise Closed

    return behave


def json_partial(count):
    body = {"partialSuccess": {"rejectedDataPoints": str(count), "errorMessage": "too old"}}
    return answer("200 OK", json.dumps(body).encode(), "application/json")


async def close_unread(connection):
    raise Closed


async def reset(connection):
    await connection.read_body()
    sock = connection.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise Closed


async def hang(connection):
    await connection.read_body()
    await connection.reader.read()
    raise Closed


async def never_read(connection):
    await asyncio.sleep(4)
    raise Closed


async def refuse_early(connection):
    """The answer comes before the body is read."""
    connection.write(answer("413 Payload Too Large", b"too large", "text/plain", close=True))
    await connection.writer.drain()
    raise Closed


async def slowly(connection):
    body = await connection.read_body()
    connection.take(body)
    for byte in answer("200 OK"):
        connection.write(bytes([byte]))
        await connection.writer.drain()
        await asyncio.sleep(0.005)


async def endless_head(connection):
    await connection.read_body()
    connection.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(20_000):
        connection.write(f"X-Filler-{number}: {'x' * 64}\r\n".encode())
        await connection.writer.drain()
    raise Closed


async def endless_body(connection):
    await connection.read_body()
    connection.write(
        f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: {PROTOBUF}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    )
    chunk = b"10000\r\n" + b"\0" * 0x10000 + b"\r\n"
    for _ in range(200):
        connection.write(chunk)
        await connection.writer.drain()
    raise Closed


async def down(connection):
    """Nothing listens for a while: the connection is closed, and new ones are refused."""
    await connection.server.pause(3)
    raise Closed


SUCCESS = takes(lambda _: answer("200 OK"))



async def poison(connection):
    body = await connection.read_body()
    if is_poisoned(body, connection.compressed()):
        connection.write(answer("400 Bad Request", b"a point is malformed", "text/plain"))
    else:
        connection.take(body)
        connection.write(answer("200 OK"))


async def small(connection):
    body = await connection.read_body()
    if len(plain(body, connection.compressed())) > SMALL:
        connection.write(answer("413 Payload Too Large", b"too large", "text/plain"))
    else:
        connection.take(body)
        connection.write(answer("200 OK"))


# What a port does with every request, by its name.
LASTING = {"poison": poison, "small": small}

# Answers that the OTLP specification calls a success.
SUCCESSES = {
    "ok": SUCCESS,
    "ok_without_content_type": takes(lambda _: answer("200 OK", content_type=None)),
    "ok_204": takes(lambda _: b"HTTP/1.1 204 No Content\r\n\r\n"),
    "ok_202": takes(lambda _: answer("202 Accepted")),
    "ok_json": takes(lambda _: answer("200 OK", b"{}", "application/json")),
    "ok_json_with_charset": takes(lambda _: answer("200 OK", b"{}", "application/json; charset=utf-8")),
    "ok_close": takes(lambda _: answer("200 OK", close=True)),
    "ok_1_0": takes(lambda _: answer("200 OK").replace(b"HTTP/1.1", b"HTTP/1.0", 1)),
    "ok_without_reason": takes(lambda _: answer("200 ")),
    "ok_after_interim": takes(lambda _: b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + answer("200 OK")),
    "ok_chunked": takes(
        lambda _: f"HTTP/1.1 200 OK\r\nContent-Type: {PROTOBUF}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".encode()
    ),
    "ok_slowly": slowly,
    "ok_warning": takes(lambda _: answer("200 OK", partial(0, "soon deprecated"))),
    "partial": takes(lambda count: answer("200 OK", partial(count)), REJECTED),
    "partial_json": takes(json_partial, REJECTED),
}

# Answers that take nothing, after which a client that waits a little may come again.
FAILURES = {
    "status_400": says("400 Bad Request", b"malformed", "text/plain"),
    "status_402": says("402 Payment Required"),
    "status_408": says("408 Request Timeout"),
    "status_413": says("413 Payload Too Large"),
    "status_422": says("422 Unprocessable Entity"),
    "status_429": says("429 Too Many Requests", extra="Retry-After: 1\r\n"),
    "status_429_negative": says("429 Too Many Requests", extra="Retry-After: -5\r\n"),
    "status_429_past": says("429 Too Many Requests", extra="Retry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n"),
    "status_500": says("500 Internal Server Error"),
    "status_501": says("501 Not Implemented"),
    "status_502": says("502 Bad Gateway"),
    "status_503": says("503 Service Unavailable"),
    "status_504": says("504 Gateway Timeout"),
    "status_505": says("505 HTTP Version Not Supported"),
    "status_599": says("599 Unheard Of"),
    "protobuf_error": says("503 Service Unavailable", b"\x08\x0e\x12\x04busy", PROTOBUF),
    "close_unread": close_unread,
    "close_unanswered": raw(b""),
    "reset": reset,
    "hang": hang,
    "never_read": never_read,
    "refuse_early": refuse_early,
    "half_head": raw(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "half_body": raw(answer("200 OK", b"\x0a\x02\x08\x01", PROTOBUF).replace(b"Length: 4", b"Length: 400", 1)),
    "half_chunk": raw(f"HTTP/1.1 200 OK\r\nContent-Type: {PROTOBUF}\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nx".encode()),
    "bad_chunk": raw(f"HTTP/1.1 200 OK\r\nContent-Type: {PROTOBUF}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".encode()),
    "bad_length": raw(b"HTTP/1.1 200 OK\r\nContent-Length: -7\r\n\r\n"),
    "two_lengths": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 9\r\n\r\n"),
    "garbage": raw(bytes(range(256)) * 8),
    "tls_alert": raw(b"\x15\x03\x03\x00\x02\x02\x28"),
    "unasked_http2": raw(b"\0\0\0\x04\0\0\0\0\0"),
    "endless_head": endless_head,
    "endless_body": endless_body,
    "down": down,
}

# Answers that take nothing and will be the same until somebody changes the configuration, so that a client may wait long.
REFUSALS = {
    "status_301": says("301 Moved Permanently", extra="Location: /elsewhere\r\n"),
    "status_307": says("307 Temporary Redirect", extra="Location: http://127.0.0.1:9/v1/metrics\r\n"),
    "status_401": says("401 Unauthorized"),
    "status_403": says("403 Forbidden"),
    "status_404": says("404 Not Found"),
    "status_405": says("405 Method Not Allowed"),
    "status_415": says("415 Unsupported Media Type"),
    "page": says("200 OK", b"<html>Welcome</html>"),
    "text": says("200 OK", b"ok", "text/plain"),
    "untyped": says("200 OK", b"accepted", None),
    "other_json": says("200 OK", b'{"status":"success"}', "application/json"),
    "broken_protobuf": says("200 OK", b"\xff\xff\xff\xff", PROTOBUF),
}


class Connection:
    def __init__(self, server, reader, writer):
        self.server, self.reader, self.writer = server, reader, writer
        self.headers = {}

    async def read_head(self):
        """Reads the next request's head."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()

    async def read_body(self):
        if self.headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await self.reader.readline(), 16):
                body += await self.reader.readexactly(size)
                await self.reader.readline()
            await self.reader.readline()
            return body
        return await self.reader.readexactly(int(self.headers.get("content-length", 0)))

    def take(self, body, rejected=0):
        return self.server.book.take(body, self.compressed(), rejected)

    def compressed(self):
        return self.headers.get("content-encoding") == "gzip"

    def write(self, data):
        self.writer.write(data)


async def serve(server, reader, writer):
    """Serves the requests of one connection."""
    connection = Connection(server, reader, writer)
    try:
        while True:
            await connection.read_head()
            await server.next(SUCCESS)(connection)
            await writer.drain()
    except (Closed, asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()
