"""The door: how many connections there may be, how long one may take to say what it wants, and what becomes of bytes
that are no HTTP.

aiohttp has no deadline for headers and no bound on connections, and answers what it cannot parse by itself, in plain
text and with a traceback in the log that quotes what was sent: perhaps half a credential. `GuardedSite` is a site like
aiohttp's own whose connections are better behaved.
"""

import asyncio
import logging
import resource
from collections import Counter
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Self, cast

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.http_parser import HttpRequestParser

from collector.api.limits import is_loopback, sender_of
from collector.api.problems import problem
from collector.api.shortcut import Connection, Shortcut, ShortcutParser
from protocol import wire

logger = logging.getLogger(__name__)

LINGERING_SECONDS = 5.0  # for the rest of a body that was refused early, so that its sender gets to read why
HANDSHAKE_SECONDS = 20.0
RESERVED_FILES = 256  # for the log, the database, and all else that is no connection


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    total: int = 20_000
    per_sender: int = 1_000  # an office behind one address; loopback, where a proxy may stand, is exempt
    first_request_seconds: float = 20.0  # from the connection until the headers of its first request are there

    @classmethod
    def of_this_process(cls) -> Self:
        """What the system lets this process have open, which is raised as far as it may be."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        if hard == resource.RLIM_INFINITY:
            return cls()
        total = min(cls().total, max(hard - RESERVED_FILES, hard // 2))
        return cls(total, min(cls().per_sender, total // 2))


@dataclass(slots=True)
class ConnectionCounters:
    """Since the process began."""

    refused: int = 0  # there were too many already
    too_slow: int = 0  # closed: no request came in time
    malformed: int = 0  # what came was no HTTP, or too long


class Guard:
    """Counts the connections of one site. Used in the event loop only."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self.counters = ConnectionCounters()
        self.open = 0
        self._by_sender: Counter[str] = Counter()
        self._is_full = False

    def admit(self, sender: str | None) -> bool:
        """Counts one more, unless that were one too many; `sender` None: exempt from the bound on a single one."""
        is_over = self.open >= self.limits.total
        if is_over or (sender is not None and self._by_sender[sender] >= self.limits.per_sender):
            self.counters.refused += 1
            if not self._is_full:
                logger.warning("connections refused, too many: open=%d of_one_sender_only=%s", self.open, not is_over)
            self._is_full = True
            return False
        self._is_full = False
        self.open += 1
        if sender is not None:
            self._by_sender[sender] += 1
        return True

    def release(self, sender: str | None) -> None:
        self.open -= 1
        if sender is not None:
            self._by_sender[sender] -= 1
            if not self._by_sender[sender]:
                del self._by_sender[sender]


class GuardedHandler(web.RequestHandler, Connection):
    """One connection."""

    __slots__ = ("_deadline", "_guard", "_is_admitted", "_sender")

    def __init__(
        self, server: web.Server, guard: Guard, keepalive_seconds: float, shortcut: Shortcut | None = None
    ) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type] # None is aiohttp's word for "no access log"
            auto_decompress=False,
            keepalive_timeout=keepalive_seconds,
            lingering_time=LINGERING_SECONDS,
        )
        self._guard = guard
        self._is_admitted = False
        self._sender: str | None = None
        self._deadline: asyncio.TimerHandle | None = None
        if shortcut is not None:
            own = cast("HttpRequestParser", self._parser)
            self._parser = cast("HttpRequestParser", ShortcutParser(self, own, shortcut))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        address = peer[0] if isinstance(peer, tuple) else None
        self._sender = None if address is None or is_loopback(address) else sender_of(address)
        self._is_admitted = self._guard.admit(self._sender)
        if not self._is_admitted:
            self.force_close()  # what still comes is not even parsed
            writing = cast("asyncio.WriteTransport", transport)
            writing.write(_FULL)
            writing.close()
            return
        super().connection_made(transport)
        seconds = self._guard.limits.first_request_seconds
        self._deadline = asyncio.get_running_loop().call_later(seconds, self._close_if_nothing_came)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._is_admitted:
            self._is_admitted = False
            self._guard.release(self._sender)
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def _close_if_nothing_came(self) -> None:
        if self._request_count == 0:
            self._guard.counters.too_slow += 1
            self.force_close()

    # For the shortcut: while a request is in hand that aiohttp does not know of, it must not think the connection idle

    @property
    def is_waiting(self) -> bool:
        waiter = self._waiter
        return waiter is not None and not waiter.done() and not self._messages and not self.writing_paused

    def begin(self) -> None:
        self._request_count += 1
        self._request_in_progress = True
        self._next_keepalive_close_time = self._loop.time() + self.keepalive_timeout

    def end(self) -> None:
        self._request_in_progress = False
        if self._handler_waiter is not None and not self._handler_waiter.done():
            self._handler_waiter.set_result(None)  # `shutdown` waits for it

    def resume_reading(self, resume_parser: bool = True) -> None:
        """As aiohttp's, which parses nothing again after every body, paused or not."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answers what is no HTTP with a problem. Neither log nor answer quotes what was sent."""
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        self._guard.counters.malformed += 1
        logger.debug("not HTTP: peer=%s error=%s", request.remote, type(exc).__name__)
        if isinstance(exc, LineTooLong):
            text = f"a request line or header is longer than {self.max_field_size} bytes"
        else:
            text = "this is no HTTP request that the collector can read"
        answer = problem(status, "malformed", text)
        answer.force_close()
        return answer


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a site listens, and how long a connection is kept between requests."""

    host: str
    port: int  # 0: the system chooses
    keepalive_seconds: float
    ssl_context: SSLContext | None = None
    backlog: int = 1024
    limits: ConnectionLimits = field(default_factory=ConnectionLimits)


class GuardedSite(web.BaseSite):
    """Listens for an AppRunner that is set up. Bodies are left compressed: they are met by a bounded inflate."""

    __slots__ = ("_http", "_listening", "_shortcut", "guard")

    def __init__(self, runner: web.BaseRunner, listening: Listening, shortcut: Shortcut | None = None) -> None:
        """Raises RuntimeError if the runner is not set up."""
        super().__init__(runner, ssl_context=listening.ssl_context, backlog=listening.backlog)
        self._http = cast("web.Server", runner.server)  # BaseSite has seen to it that there is one
        self.guard = Guard(listening.limits)
        self._listening = listening
        self._shortcut = shortcut

    @property
    def name(self) -> str:
        scheme = "http" if self._ssl_context is None else "https"
        return f"{scheme}://{self._listening.host}:{self._listening.port}"

    async def start(self) -> None:
        """Raises OSError."""
        await super().start()
        self._server = await asyncio.get_running_loop().create_server(
            self._new_handler,
            self._listening.host,
            self._listening.port,
            ssl=self._ssl_context,
            ssl_handshake_timeout=None if self._ssl_context is None else HANDSHAKE_SECONDS,
            backlog=self._backlog,
        )

    def _new_handler(self) -> GuardedHandler:
        return GuardedHandler(self._http, self.guard, self._listening.keepalive_seconds, self._shortcut)


def _whole_answer() -> bytes:
    """What a connection too many is told, since no request of it is ever read."""
    body = orjson.dumps(
        wire.Problem(error="busy", message="too many connections are open; come back in a while", details=[])
    )
    return (
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json; charset=utf-8\r\n"
        b"Connection: close\r\nRetry-After: 30\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )


_FULL = _whole_answer()
