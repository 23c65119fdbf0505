"""A head that is not parsed again frames as the parser would: whatever comes, in whatever pieces."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import pytest
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser
from hypothesis import example, given
from hypothesis import strategies as st

from collector.api.repeated_head import Boundary, Framing, RepeatedHead
from collector.api.shortcut import Connection, ShortcutParser
from protocol.wire import PUSH_PATH

HEAD = f"POST {PUSH_PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer s\r\nContent-Length: 5\r\nX: y\r\n\r\n".encode()


def push(body: bytes, *lines: str, told: str | None = None) -> bytes:
    length = f"Content-Length: {len(body)}" if told is None else told
    return "\r\n".join([f"POST {PUSH_PATH} HTTP/1.1", "Host: x", *lines, length, "", ""]).encode() + body


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (HEAD + b"hello", b"hello"),
        (HEAD.replace(b": 5", b": 11") + b"hello world", b"hello world"),
        (HEAD.replace(b": 5", b": 21") + bytes(21), None),  # more than is taken
        (HEAD + b"hell", None),
        (HEAD + b"hello!", None),
        (HEAD.replace(b": 5", b": 05") + b"hello", None),
        (HEAD.replace(b": 5", b": +5") + b"hello", None),
        (HEAD.replace(b": 5", b":  5") + b"hello", None),
        (HEAD.replace(b": 5", b": 5 ") + b"hello", None),
        (HEAD.replace(b": 5", b": 0"), None),
        (HEAD.replace(b"Bearer s", b"Bearer t") + b"hello", None),
        (HEAD.replace(b"X: y", b"X: z") + b"hello", None),
        (HEAD.replace(b"X: y", b"X: y\r\nTransfer-Encoding: chunked") + b"hello", None),
        (HEAD[:40], None),
        (b"", None),
    ],
    ids=range(15),
)
def test_what_has_the_same_head(data: bytes, body: bytes | None) -> None:
    head = RepeatedHead.of(HEAD + b"hello", {})
    assert head is not None
    assert head.body_of(data, 20) == body


@pytest.mark.parametrize(
    "data",
    [
        HEAD[:-1],
        HEAD.replace(b"X: y", b"Content-Length: 5"),
        HEAD.replace(b"X: y", b"Transfer-Encoding: chunked"),
        HEAD.replace(b": 5", b" : 5"),
        HEAD.replace(b": 5", b": 5, 5"),
        HEAD.replace(b": 5", b": -5"),
        HEAD.replace(b": 5", b": \xb2"),
    ],
    ids=range(7),
)
def test_what_is_not_plain_is_not_framed(data: bytes) -> None:
    assert Framing.of(data) is None


class Open(Connection):
    """A connection that waits for requests and answers nobody."""

    transport = None
    is_waiting = True

    def begin(self) -> None:
        pass

    def end(self) -> None:
        pass


class Takes:
    """Takes what is plain, and notes it."""

    def __init__(self) -> None:
        self.taken: list[tuple[str | None, bytes]] = []

    def take(self, headers: Mapping[str, str], body: bytes, answer: Callable[[bytes], None]) -> bool:
        if body.startswith(b"n"):  # not plain
            return False
        self.taken.append((headers.get("Authorization"), body))
        answer(b"")
        return True


async def told_of(pieces: Sequence[bytes]) -> list[Any]:
    """What is taken, and what is left to aiohttp, in the end; a refusal ends it."""
    loop = asyncio.get_running_loop()
    connection, shortcut = Open(loop), Takes()
    parser = ShortcutParser(connection, HttpRequestParser(connection, loop, 2**16), shortcut)
    left: list[Any] = []
    problem = ""
    try:
        for piece in pieces:
            left += parser.feed_data(piece)[0]
    except HttpProcessingError as error:
        problem = type(error).__name__
    parser._stop_clock()
    bodies = [
        (message.method, message.path, payload.read_nowait() if payload.is_eof() else None) for message, payload in left
    ]
    return [shortcut.taken, bodies, problem]


PUSH = push(b"hello")
BODIES = st.one_of(
    st.binary(min_size=1, max_size=30), st.sampled_from((b"hello", b"n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", HEAD))
)
REQUESTS = st.one_of(
    BODIES.map(push),
    BODIES.map(push),
    st.builds(push, BODIES, st.sampled_from(("Authorization: Bearer s", "Authorization: Bearer t", "X: y"))),
    st.builds(push, BODIES, told=st.sampled_from(("content-length: 3", "Content-Length: 05", "Content-Length: 5 "))),
    st.sampled_from(
        (
            b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
            b"\r\n",
            push(b"5\r\nhello\r\n0\r\n\r\n", told="Transfer-Encoding: chunked"),
            push(b"hello", "Content-Length: 5"),
            push(b"hello", "Transfer-Encoding: chunked"),
            HEAD[:30],
        )
    ),
)


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """Requests, in pieces of their own or cut anywhere."""
    requests = draw(st.lists(REQUESTS, max_size=8))
    if draw(st.booleans()):
        return requests
    whole = b"".join(requests)
    cuts = sorted({0, len(whole), *draw(st.lists(st.integers(0, len(whole)), max_size=6))})
    return [whole[begin:end] for begin, end in pairwise(cuts)]


@given(streams())
@example([PUSH, push(b"a" + PUSH)[: -len(PUSH)], PUSH, PUSH])  # one within another's body
@example([PUSH, push(b"", "Y: y", told="X: ")[:-4], PUSH, PUSH])  # and within another's header
def test_it_changes_nothing(pieces: list[bytes]) -> None:
    told = asyncio.run(told_of(pieces))
    with patch.object(Boundary, "is_here", False):
        assert asyncio.run(told_of(pieces)) == told
