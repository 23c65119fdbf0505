"""HTTP answers, good and hostile, read from real sockets: what is taken, what is refused, and that all of it ends."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from agent.http1 import MAX_HEAD_BYTES, HttpError, Response, ask, encode_head

MOST = 1000


@contextmanager
def answering(told: bytes) -> Iterator[tuple[socket.socket, Callable[[], bytes]]]:
    """A socket whose other end says this whatever it is asked, and what it was asked."""
    near, far = socket.socketpair()
    asked: list[bytes] = []

    def answer() -> None:
        with far:
            asked.append(far.recv(65_536))
            try:
                far.sendall(told)
            except OSError:  # it was cut short
                return

    thread = threading.Thread(target=answer)
    thread.start()
    near.settimeout(60)
    try:
        yield near, lambda: asked[0]
    finally:
        near.close()
        thread.join()


def read(told: bytes) -> Response:
    with answering(told) as (connection, _):
        return ask(connection, "GET", "/", {}, max_body_bytes=MOST)


@pytest.mark.parametrize(
    ("told", "status", "body", "keeps_open"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, b"{}", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}and what nobody asked for", 200, b"{}", True),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}", 200, b"{}", True),
        (b"HTTP/1.1 200\r\ncontent-length:2\r\n\r\n{}", 200, b"{}", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n{}", 200, b"{}", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, Close\r\n\r\n{}", 200, b"{}", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, b"{}", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: Keep-Alive\r\n\r\n{}", 200, b"{}", True),
        (b"HTTP/1.1 200 OK\r\n\r\n{}", 200, b"{}", False),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 700\r\n\r\n", 304, b"", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 204 N\r\n\r\n", 204, b"", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\n{\r\n1 \r\n}\r\n0\r\nA: b\r\n\r\n",
            200, b"{}", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nContent-Length: 9\r\n\r\n0\r\n\r\n", 200, b"", False),
        (b"HTTP/1.1 413 Too Large\r\nContent-Length: 99999\r\n\r\n" + b"x" * 99_999, 413, b"x" * (MOST + 1), False),
        (b"HTTP/1.1 413 Too Large\r\n\r\n" + b"x" * 99_999, 413, b"x" * (MOST + 1), False),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n" + b"x" * 99_999,
            200,
            b"x" * (MOST + 1),
            False,
        ),
    ],
)  # fmt: skip
def test_answers_that_are_taken(told: bytes, status: int, body: bytes, keeps_open: bool) -> None:
    found = read(told)
    assert (found.status, found.body, found.keeps_open) == (status, body, keeps_open)


@pytest.mark.parametrize(
    ("told", "complaint"),
    [
        (b"<!doctype html>\r\n\r\n", "does not begin as HTTP"),
        (b"\r\n\r\n", "does not begin as HTTP"),
        (b"HTTP/2 200\r\n\r\n", "does not begin as HTTP"),
        (b"HTTP/1.1 0200 OK\r\n\r\n", "does not begin as HTTP"),
        (b"HTTP/1.1 200 O\rK\r\n\r\n", "does not begin as HTTP"),
        (b"HTTP/1.1 200", "ends in the middle"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", "ends in the middle"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}", "ends in the middle"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", "ends in the middle"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}", "ends in the middle"),
        (b"HTTP/1.1 200 OK\r\nno header\r\n\r\n", "a header that is none"),
        (b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\n{}", "a header that is none"),
        (b"HTTP/1.1 200 OK\r\n folded: at once\r\n\r\n", "a header that is none"),
        (b"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", "a header that is none"),
        (b"HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n", "a header that is none"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "no certain length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "no certain length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\n{}", "no certain length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 4000 + b"\r\n\r\n{}", "no certain length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "unknown coding"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n", "chunk without its size"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n", "longer than it says"),
        (b"HTTP/1.1 101 Switching\r\n\r\n", "another protocol"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20_000, "head that is too long"),
        (b"HTTP/1.1 200 OK\r\nA: " + b" " * 100_000, "head that is too long"),
        (b"HTTP/1.1 " + b"2" * 100_000, "head that is too long"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000, "head that is too long"),
        (b"HTTP/1.1 200 OK\r\nA:" + b" \t" * 30_000 + b"\r\r\n\r\n", "a header that is none"),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_refused(told: bytes, complaint: str) -> None:
    with pytest.raises(HttpError, match=complaint):
        read(told)


def test_nothing_at_all_is_a_connection_that_ended() -> None:
    with pytest.raises(ConnectionResetError):
        read(b"")


def test_a_head_may_be_as_long_as_allowed_and_no_longer() -> None:
    def head(size: int) -> bytes:
        begin, end = b"HTTP/1.1 204 No Content\nA: ", b"\n\n"
        return begin + b"x" * (size - len(begin) - len(end)) + end

    assert read(head(MAX_HEAD_BYTES)).status == 204
    with pytest.raises(HttpError, match="too long"):
        read(head(MAX_HEAD_BYTES + 1))


def test_headers_are_found_whatever_their_case_and_lines_that_go_on_are_joined() -> None:
    found = read(
        b"HTTP/1.1 503 Down\x07\xe9\r\nRETRY-After: 5 \r\nVia: a\r\nvia: b,\r\n\t c\r\nContent-Length: 0\r\n\r\n"
    )
    assert found.reason == "Down?é"
    assert found.headers == {"retry-after": "5", "via": "a, b, c", "content-length": "0"}


def test_a_question_stands_as_it_should() -> None:
    with answering(b"HTTP/1.1 204 No Content\r\n\r\n") as (connection, asked):
        ask(connection, "POST", "/v1/push?x=y", {"Host": "c.example"}, b"{}", max_body_bytes=MOST)
        assert asked() == b"POST /v1/push?x=y HTTP/1.1\r\nHost: c.example\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize("text", ["a\r\nX: y", "a\nX: y", "a\0", "\x7f", "€"])
def test_no_header_can_make_another(text: str) -> None:
    with pytest.raises(ValueError, match="header If-None-Match has characters"):
        encode_head("GET", "/", {"If-None-Match": text}, None)


@pytest.mark.parametrize("target", ["", "/a b", "/a\r\nHost: x", "/é"])
def test_no_address_can_make_a_header(target: str) -> None:
    with pytest.raises(ValueError, match="cannot be asked for"):
        encode_head("GET", target, {}, None)
