"""HTTP/1.1 as the agent speaks it: a question over a socket that is there, and one answer, bounded in every part.

Stricter than HTTP libraries: what could be read in two ways is no answer. See docs/decisions/0028.
"""

import re
import socket
from collections.abc import Mapping
from io import BufferedReader
from typing import IO, NamedTuple

MAX_HEAD_BYTES = 64 << 10  # status line and headers, those of answers that only announce one included
MAX_CHUNK_LINE_BYTES = 1 << 10
MAX_REASON_CHARS = 100

TARGET = re.compile(r"[!-~]+")
HEADER_VALUE = re.compile(r"[\t -~\x80-\xff]*")
STATUS_LINE = re.compile(rb"HTTP/1\.(?P<minor>[01]) (?P<status>[1-9][0-9][0-9])(?: (?P<reason>[^\r\0]*))?")
HEADER_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
CHUNK_LINE = re.compile(rb"(?P<size>[0-9A-Fa-f]{1,8})[ \t]*(?:;.*)?")
BLANKS = b" \t"
LENGTH = re.compile(r"[0-9]{1,15}")
WITHOUT_BODY = (204, 304)
INTERIM = range(100, 200)
SWITCHING = 101  # to another protocol, for which the agent never asks


class HttpError(ValueError):
    """What came is no HTTP, or more of it than an answer may have."""

    def __init__(self, what: str) -> None:
        super().__init__(f"what answers does not speak HTTP as it should: {what}")


class Response(NamedTuple):
    """An answer. Of a body that is longer than allowed, one byte more than that is there."""

    status: int
    reason: str  # printable, for people
    headers: Mapping[str, str]  # names in lower case; several of a name are joined by commas
    body: bytes
    keeps_open: bool  # whether the next question may go over the same connection


def ask(
    connection: socket.socket,
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes | None = None,
    *,
    max_body_bytes: int,
) -> Response:
    """Raises HttpError, ValueError if the question itself cannot be written, and OSError; of that ConnectionResetError
    if the connection ended before anything came."""
    connection.sendall(encode_head(method, target, headers, body) + (body or b""))
    with connection.makefile("rb") as stream:
        return read_response(begin(stream), max_body_bytes)


def encode_head(method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """Raises ValueError: nothing in it may end a line, or end it for somebody on the way."""
    if not TARGET.fullmatch(target):
        raise ValueError(f"the address {target!r:.100} has characters that cannot be asked for")
    length = {} if body is None else {"Content-Length": str(len(body))}
    lines = [f"{method} {target} HTTP/1.1"]
    for name, value in {**headers, **length}.items():
        if not HEADER_VALUE.fullmatch(value):
            raise ValueError(f"the header {name} has characters that cannot be sent")
        lines.append(f"{name}: {value}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def open_tunnel(connection: socket.socket, authority: str, headers: Mapping[str, str]) -> Response:
    """Ask a proxy to connect to `authority`, HOST:PORT. Whoever gets a 2xx speaks with that one from then on. Raises as
    `ask`."""
    connection.sendall(encode_head("CONNECT", authority, {"Host": authority, **headers}, None))
    with connection.makefile("rb") as stream:
        return read_head(Lines(begin(stream)))


def begin(stream: BufferedReader) -> BufferedReader:
    """Raises ConnectionResetError if nothing comes."""
    if not stream.peek(1):
        raise ConnectionResetError("it ended without an answer")
    return stream


def read_response(stream: IO[bytes], max_body_bytes: int) -> Response:
    """Raises as `ask`."""
    head = read_head(Lines(stream))
    coding, length = head.headers.get("transfer-encoding"), parse_length(head.headers.get("content-length"))
    keeps_open = head.keeps_open
    if head.status in WITHOUT_BODY:
        body = b""
    elif coding is not None:
        if coding.lower() != "chunked":
            raise HttpError(f"an answer in the unknown coding {coding!r:.40}")
        keeps_open = keeps_open and length is None  # both: somebody on the way may take the other one's word
        body = read_chunks(stream, max_body_bytes)
    elif length is not None:
        body = read_exactly(stream, min(length, max_body_bytes + 1))
    else:
        keeps_open = False
        body = stream.read(max_body_bytes + 1)
    return head._replace(body=body, keeps_open=keeps_open and len(body) <= max_body_bytes)


class Lines:
    """Lines of a stream without their ends, all together within a bound."""

    def __init__(self, stream: IO[bytes], most_bytes: int = MAX_HEAD_BYTES) -> None:
        self._stream = stream
        self._room = most_bytes

    def next(self) -> bytes:
        """Raises HttpError."""
        line = self._stream.readline(self._room)
        if not line.endswith(b"\n"):
            is_too_long = len(line) == self._room
            raise HttpError("a head that is too long" if is_too_long else "an answer that ends in the middle")
        self._room -= len(line)
        return line[:-1].removesuffix(b"\r")


def read_head(lines: Lines) -> Response:
    """Without its body. Not of answers that only announce the one that is meant."""
    while True:
        found = STATUS_LINE.fullmatch(lines.next())
        if found is None:
            raise HttpError("an answer that does not begin as HTTP does")
        headers = read_headers(lines)
        status = int(found["status"])
        if status == SWITCHING:
            raise HttpError("an answer in another protocol")
        if status not in INTERIM:
            break
    told = {token.strip().lower() for token in headers.get("connection", "").split(",")}
    keeps_open = "close" not in told if found["minor"] == b"1" else "keep-alive" in told
    reason = (found["reason"] or b"").decode("latin-1").strip()[:MAX_REASON_CHARS]
    return Response(status, "".join(one if one.isprintable() else "?" for one in reason), headers, b"", keeps_open)


def read_headers(lines: Lines) -> dict[str, str]:
    """To the empty line."""
    headers: dict[str, str] = {}
    name = ""
    while line := lines.next():
        if line[:1] in BLANKS and name:  # as headers once went on, which still has to be understood
            headers[name] += f" {line.strip(BLANKS).decode('latin-1')}"
            continue
        told, colon, rest = line.partition(b":")
        if not colon or not HEADER_NAME.fullmatch(told) or b"\r" in rest or b"\0" in rest:
            raise HttpError("a header that is none")
        name, value = told.decode("ascii").lower(), rest.strip(BLANKS).decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def parse_length(told: str | None) -> int | None:
    """Said twice, it must be the same."""
    if told is None:
        return None
    lengths = {one.strip() for one in told.split(",")}
    if len(lengths) != 1 or not LENGTH.fullmatch(length := lengths.pop()):
        raise HttpError(f"an answer of no certain length ({told!r:.40})")
    return int(length)


def read_chunks(stream: IO[bytes], most: int) -> bytes:
    """At most one byte more than `most`."""
    body = bytearray()
    while True:
        found = CHUNK_LINE.fullmatch(Lines(stream, MAX_CHUNK_LINE_BYTES).next())
        if found is None:
            raise HttpError("a chunk without its size")
        size = int(found["size"], 16)
        if size == 0:
            read_headers(Lines(stream))  # which may come after the body
            return bytes(body)
        body += read_exactly(stream, min(size, most + 1 - len(body)))
        if len(body) > most:
            return bytes(body)
        if Lines(stream, MAX_CHUNK_LINE_BYTES).next():
            raise HttpError("a chunk that is longer than it says")


def read_exactly(stream: IO[bytes], size: int) -> bytes:
    body = stream.read(size)
    if len(body) < size:
        raise HttpError("an answer that ends in the middle")
    return body
