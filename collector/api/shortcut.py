"""The short way of a plain push: from the HTTP parser to the store and back, without a task, a request and a response
of its own. Nearly all that a collector does is such pushes, and aiohttp's way costs more than all the rest of them.

`PushShortcut` says which pushes it takes, `ShortcutParser` picks them out of what aiohttp's parser finds, or would find
again: a head that came before is not parsed anew. Both decline whatever is not plain, and it goes the long way: the
router, the middlewares, `PushApi`, with all their refusals.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from typing import Any, Protocol

import orjson
from aiohttp import HttpVersion11, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from aiohttp.streams import StreamReader

from collector.api.auth import secret_in
from collector.api.problems import Refused, failed
from collector.api.push import PushApi, gunzip
from collector.api.repeated_head import Boundary, RepeatedHead
from collector.ingest.plain import plain_push
from collector.reporting.pushes import PushMetrics
from protocol import wire

MAX_SHORT_BODY_BYTES = 32 << 10  # as sent; far below where aiohttp stops reading until somebody takes what came
MAX_HELD_BYTES = 64 << 10  # sent behind a push that has not been answered
BODY_GRACE_SECONDS = 0.5  # many clients send the body right behind the headers; what is slower has its own deadline

Messages = Sequence[tuple[RawRequestMessage, StreamReader]]


class Shortcut(Protocol):
    """Who may take a request of its kind whole."""

    def take(self, headers: Mapping[str, str], body: bytes, answer: Callable[[bytes], None]) -> bool:
        """Whether it takes this one; `answer` is called then, now or later, with all bytes of the answer."""
        ...


@dataclass(frozen=True, slots=True)
class PushShortcut:
    """Takes the pushes with which nothing is wrong and which have nothing special: a device in good standing and within
    its rate sends frames and nothing else."""

    api: PushApi
    metrics: PushMetrics

    def take(self, headers: Mapping[str, str], body: bytes, answer: Callable[[bytes], None]) -> bool:
        started = time.perf_counter()
        try:
            sender = self.api.authenticate(secret_in(headers.get("Authorization", "")))
            encoding = headers.get("Content-Encoding")
            if encoding is not None:
                if encoding != "gzip":
                    return False
                body = gunzip(body)
        except Refused:
            return False
        device = sender.target.device_id
        if self.api.rate.take(device):
            return False
        push = plain_push(body)
        if push is None:
            self.api.rate.give_back(device)  # the long way takes one of its own
            return False

        def settle(outcome: wire.PushAnswer | Exception) -> None:
            if isinstance(outcome, Exception):
                refusal = failed(outcome, f"POST {wire.PUSH_PATH}")
                status, whole = refusal.status, _whole(refusal)
            else:
                status, whole = 200, _ok(orjson.dumps(outcome))
            self.metrics.observe(status, time.perf_counter() - started)
            answer(whole)

        self.api.ingest.submit(sender, push, settle)
        return True


class Connection(BaseProtocol, ABC):
    """What the parser needs of aiohttp's connection beside what that has."""

    __slots__ = ()

    @property
    @abstractmethod
    def is_waiting(self) -> bool:
        """Whether it has nothing in hand and may send: what comes next is answered next."""

    @abstractmethod
    def begin(self) -> None:
        """A request is in hand that the connection knows nothing of."""

    @abstractmethod
    def end(self) -> None:
        """It was answered."""


class ShortcutParser:
    """aiohttp's parser of one connection, which gives the shortcut what it takes and aiohttp the rest.

    Answers keep the order of requests: one is taken only while nothing else is in hand, and what is sent behind it is
    held back until it is answered."""

    __slots__ = (
        "_boundary",
        "_clock",
        "_connection",
        "_head",
        "_held",
        "_is_late",
        "_is_paused",
        "_is_taken",
        "_parser",
        "_shortcut",
        "_unfinished",
    )

    def __init__(self, connection: Connection, parser: HttpRequestParser, shortcut: Shortcut) -> None:
        self._connection = connection
        self._parser = parser
        self._shortcut = shortcut
        self._is_taken = False  # one is taken and not answered
        self._held = bytearray()  # what came since
        self._is_paused = False
        self._unfinished: tuple[RawRequestMessage, StreamReader] | None = None  # its body is still coming
        self._clock: asyncio.TimerHandle | None = None  # for the unfinished one
        self._is_late = False
        self._head: RepeatedHead | None = None  # of the newest that came in one piece and was taken
        self._boundary = Boundary()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - all else is the parser's own
        return getattr(self._parser, name)

    def feed_data(self, data: bytes) -> tuple[Messages, bool, bytes]:
        """What aiohttp shall deal with, as its own parser gives it. Raises what that raises."""
        if self._is_taken:
            self._hold(data)
            return (), False, b""
        begins_here = self._boundary.is_here
        if self._head is not None and begins_here and self._connection.is_waiting:
            body = self._head.body_of(data, MAX_SHORT_BODY_BYTES)
            if body is not None and self._offer(self._head.headers, body):
                return (), False, b""
        unfinished, self._unfinished = self._unfinished, None
        messages: Messages
        messages, is_upgraded, tail = self._parser.feed_data(data)
        self._boundary.fed(data, len(messages))
        if unfinished is not None:
            messages = [unfinished, *messages]
        if len(messages) == 1 and not is_upgraded and not self._is_late:
            whole = data if begins_here and self._boundary.is_here else None
            return self._left_of(*messages[0], whole), False, b""
        self._stop_clock()
        return messages, is_upgraded, tail

    def _left_of(self, message: RawRequestMessage, payload: StreamReader, whole: bytes | None) -> Messages:
        """What aiohttp shall deal with of this request: nothing if it is taken, or not yet all there. `whole`: its
        bytes, if it came in one piece."""
        connection = self._connection
        if not (_is_short(message) and connection.is_waiting):
            self._stop_clock()
            return [(message, payload)]
        if not payload.is_eof():
            self._unfinished = message, payload
            if self._clock is None:
                self._clock = asyncio.get_running_loop().call_later(BODY_GRACE_SECONDS, self._give_up)
            return ()
        self._stop_clock()
        body = payload.read_nowait()
        if self._offer(message.headers, body):
            self._parser.message_consumed()
            if whole is not None:
                self._head = RepeatedHead.of(whole, message.headers)
            return ()
        unread = StreamReader(connection, MAX_SHORT_BODY_BYTES, loop=asyncio.get_running_loop())
        unread.feed_data(body)
        unread.feed_eof()
        return [(message, unread)]

    def _offer(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether the shortcut takes it."""
        self._is_taken = True
        self._connection.begin()
        if self._shortcut.take(headers, body, self._answer):
            return True
        self._is_taken = False
        self._connection.end()
        return False

    def _answer(self, whole: bytes) -> None:
        connection = self._connection
        if connection.transport is not None:
            connection.transport.write(whole)
        connection.end()
        if self._held:
            asyncio.get_running_loop().call_soon(self._go_on)
        else:
            self._is_taken = False

    def _go_on(self) -> None:
        self._is_taken = False
        transport = self._connection.transport
        held = bytes(self._held)
        self._held.clear()
        if transport is not None:
            if self._is_paused:
                self._is_paused = False
                transport.resume_reading()
            self._connection.data_received(held)

    def _hold(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > MAX_HELD_BYTES and not self._is_paused and self._connection.transport is not None:
            self._is_paused = True
            self._connection.transport.pause_reading()

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _give_up(self) -> None:
        """Leave the unfinished one to aiohttp, where slow bodies have their own deadline."""
        self._clock = None
        if self._unfinished is not None:
            self._is_late = True
            self._connection.data_received(b"")
            self._is_late = False


def _is_short(message: RawRequestMessage) -> bool:
    """Whether this is a push in the form that agents send, with a body that is small."""
    if message.method != "POST" or message.path != wire.PUSH_PATH or message.version != HttpVersion11:
        return False
    if message.should_close or message.upgrade or message.chunked or "Expect" in message.headers:
        return False
    length = message.headers.get("Content-Length", "")
    return length.isdecimal() and 0 < int(length) <= MAX_SHORT_BODY_BYTES


def _ok(body: bytes) -> bytes:
    """A whole answer of 200 with this JSON."""
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nDate: %b\r\n\r\n%b" % (
        len(body),
        _date(int(time.time())),
        body,
    )


def _whole(answer: web.Response) -> bytes:
    """The bytes of an answer whose body is given."""
    body = answer.body
    assert isinstance(body, bytes)  # noqa: S101 - as `problem` makes them
    headers = {**answer.headers, "Content-Length": str(len(body)), "Date": _date(int(time.time())).decode()}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {answer.status} {answer.reason}\r\n{head}\r\n".encode() + body


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()
