"""What comes through the door: too much, too slowly, or no HTTP at all, over real sockets."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web

from collector.api import push
from collector.api.connections import ConnectionLimits, Guard, GuardedSite, Listening
from collector.api.limits import Buckets, PeerBuckets, Rate
from collector.api.problems import FAILURES, Refused, problem, problems_middleware

PATIENCE_SECONDS = 60.0


async def read_all(request: web.Request) -> web.Response:
    return web.Response(body=await push.read_body(request))


async def refuse(_request: web.Request) -> web.Response:
    raise Refused(problem(401, "unauthorized", "who are you?"))


@asynccontextmanager
async def door(
    limits: ConnectionLimits | None = None, failures: PeerBuckets | None = None
) -> AsyncIterator[GuardedSite]:
    application = web.Application(middlewares=[problems_middleware])
    application.add_routes([web.post("/body", read_all), web.post("/refused", refuse)])
    if failures is not None:
        application[FAILURES] = failures
    runner = web.AppRunner(application)
    await runner.setup()
    site = GuardedSite(runner, Listening("127.0.0.1", 0, 300.0, limits=limits or ConnectionLimits()))
    try:
        await site.start()
        yield site
    finally:
        await runner.cleanup()


class Client:
    """A bare connection, to send what no HTTP client would."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    @asynccontextmanager
    async def of(cls, site: GuardedSite) -> "AsyncIterator[Client]":
        assert site._server is not None
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        client = cls(*await asyncio.open_connection("127.0.0.1", port))
        try:
            yield client
        finally:
            client._writer.close()
            with suppress(ConnectionError):
                await client._writer.wait_closed()

    def send(self, text: str) -> None:
        self._writer.write(text.encode())

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers by lower-case name, body."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
            return int(head[0].split()[1]), headers, await self._reader.readexactly(int(headers["content-length"]))

    async def rest(self) -> bytes:
        """What comes until the other side closes."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self._reader.read()


async def until(holds: Callable[[], bool]) -> None:
    """Yields to the loop until it is so; the door has no event for what only a test waits for."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0)


GET = "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"


async def test_a_connection_that_does_not_say_what_it_wants_is_closed() -> None:
    async with (
        door(ConnectionLimits(first_request_seconds=0.1)) as site,
        Client.of(site) as slow,
        Client.of(site) as mute,
    ):
        slow.send("POST /body HTTP/1.1\r\nHost: x\r\nX-Long: ")
        assert await slow.rest() == b""
        assert await mute.rest() == b""
        assert site.guard.counters.too_slow == 2
        await until(lambda: site.guard.open == 0)


async def test_a_connection_that_has_asked_once_is_kept() -> None:
    async with door(ConnectionLimits(first_request_seconds=0.1)) as site, Client.of(site) as kept:
        kept.send(GET)
        assert (await kept.answer())[0] == 200
        async with Client.of(site) as mute:  # came later, and so its time is over later
            await mute.rest()
        kept.send(GET)
        assert (await kept.answer())[0] == 200
        assert site.guard.counters.too_slow == 1


async def test_a_body_that_does_not_come_is_no_longer_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push, "BODY_SECONDS", 0.1)
    async with door() as site, Client.of(site) as slow:
        slow.send("POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
        status, headers, body = await slow.answer()
        assert (status, json.loads(body)["error"]) == (408, "too_slow")
        assert headers["connection"] == "close"


async def test_a_body_that_is_cut_off_or_broken_is_no_fault_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    async with door() as site:
        async with Client.of(site) as broken:
            broken.send("POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nsecret\r\n")
            status, _, body = await broken.answer()
            assert (status, json.loads(body)["error"]) == (400, "malformed")
        async with Client.of(site) as leaving:
            leaving.send("POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
            await until(lambda: site.guard.open == 1)
        await until(lambda: site.guard.open == 0)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    "sent",
    [
        f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {'secret' * 4_000}\r\n\r\n",
        f"GET /{'secret' * 4_000} HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\x00\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n secret folded\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: secret\r\n\r\n",
        "secret\r\n\r\n",
        "\x16\x03\x01secret",
    ],
    ids=["header", "path", "control", "folded", "length", "noise", "tls"],
)
async def test_what_is_no_http_is_a_problem_and_not_quoted(sent: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with door() as site:
        async with Client.of(site) as client:
            client.send(sent)
            status, headers, body = await client.answer()
            assert (status, json.loads(body)["error"]) == (400, "malformed")
            assert headers["content-type"].startswith("application/json")
            assert b"secret" not in body
            assert await client.rest() == b""
        assert site.guard.counters.malformed == 1
    assert "secret" not in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.INFO]


async def test_a_connection_too_many_is_told_so_and_the_others_live(caplog: pytest.LogCaptureFixture) -> None:
    async with door(ConnectionLimits(total=2)) as site, Client.of(site) as first:
        async with Client.of(site):
            await until(lambda: site.guard.open == 2)
            for _ in range(3):
                async with Client.of(site) as third:
                    status, headers, body = await third.answer()
                    assert (status, json.loads(body)["error"], headers["retry-after"]) == (503, "busy", "30")
            first.send(GET)
            assert (await first.answer())[0] == 200
        await until(lambda: site.guard.open == 1)
        async with Client.of(site) as again:
            again.send(GET)
            assert (await again.answer())[0] == 200
        assert site.guard.counters.refused == 3
    assert caplog.text.count("too many") == 1


def test_one_sender_may_not_take_every_connection() -> None:
    guard = Guard(ConnectionLimits(total=5, per_sender=2))
    assert [guard.admit("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert [guard.admit(sender) for sender in ("192.0.2.2", None, None, None)] == [True, True, True, False]
    guard.release("192.0.2.1")
    assert guard.admit("192.0.2.1")
    assert (guard.open, guard.counters.refused) == (5, 2)


def test_the_limits_leave_files_for_all_else() -> None:
    limits = ConnectionLimits.of_this_process()
    assert 0 < limits.per_sender < limits.total <= ConnectionLimits().total


async def test_an_address_that_fails_to_authenticate_is_put_off() -> None:
    failures = PeerBuckets(Buckets(Rate(per_second=0.001, burst=2)), is_exempt=lambda _: False)
    async with door(failures=failures) as site, Client.of(site) as client:
        statuses = []
        for _ in range(4):
            client.send("POST /refused HTTP/1.1\r\nHost: x\r\n\r\n")
            status, headers, _ = await client.answer()
            statuses.append(status)
        assert statuses == [401, 401, 429, 429]
        assert 0 < int(headers["retry-after"]) <= 1_000
        client.send(GET)  # whoever has nothing to prove, or has proved it, is served
        assert (await client.answer())[0] == 200
