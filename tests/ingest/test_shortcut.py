"""The short way of a push, over real sockets: what it takes and what it leaves, unseen from outside."""

import asyncio
import gzip
import logging
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from aiohttp import web

from collector.api import shortcut as short
from collector.api.connections import GuardedSite, Listening
from collector.api.limits import Buckets, Rate
from collector.api.measure import measured
from collector.api.problems import Refused, problem, problems_middleware
from collector.api.push import PushApi
from collector.api.shortcut import PushShortcut, ShortcutParser
from collector.ingest.native import Sender
from collector.reporting.pushes import PushMetrics
from protocol import wire
from tests.ingest.conftest import NOW, SENDER, Bench, frame, layout

PATIENCE_SECONDS = 60.0
HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


def body(seq: int = 7, t: int = NOW, **more: object) -> bytes:
    return orjson.dumps(
        {"sent": NOW, "boot": "b", "spool": "s", "seq": seq, "frames": [frame("l", [seq / 2], t)], **more}
    )


def request(content: bytes, *headers: str, whose: str = "good", path: str = wire.PUSH_PATH) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {whose}", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(content)}", "", ""]).encode() + content


def authenticate(secret: str | None) -> Sender:
    if secret != "good":
        raise Refused(problem(401, "unauthorized", "who are you?"))
    return SENDER


@dataclass
class Served:
    """A site with the short way and the long one, which counts what comes along it."""

    site: GuardedSite
    runner: web.AppRunner
    metrics: PushMetrics
    went_long: list[int]

    @property
    def port(self) -> int:
        port: int = self.runner.addresses[0][1]
        return port


@asynccontextmanager
async def serving(bench: Bench, rate: Buckets | None = None) -> AsyncIterator[Served]:
    metrics = PushMetrics()
    api = PushApi(authenticate, bench.ingest) if rate is None else PushApi(authenticate, bench.ingest, rate)

    went_long: list[int] = []

    async def long_way(request: web.Request) -> web.StreamResponse:
        went_long.append(1)
        return await measured(api.push, metrics)(request)

    async def health(_request: web.Request) -> web.Response:
        return web.Response(body=b"fine")

    application = web.Application(middlewares=[problems_middleware])
    application.add_routes([web.post(wire.PUSH_PATH, long_way), web.get("/health", health)])
    runner = web.AppRunner(application)
    await runner.setup()
    site = GuardedSite(runner, Listening("127.0.0.1", 0, 300.0), PushShortcut(api, metrics))
    served = Served(site, runner, metrics, went_long)
    await site.start()
    await bench.push(layouts=[layout("l", ("cpu", {}))])
    try:
        yield served
    finally:
        await runner.cleanup()


@pytest.fixture
async def served(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.setattr(short, "BODY_GRACE_SECONDS", PATIENCE_SECONDS)  # a busy machine may keep a body back
    async with serving(bench) as served:
        yield served


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    @classmethod
    @asynccontextmanager
    async def of(cls, served: Served) -> "AsyncIterator[Client]":
        client = cls(*await asyncio.open_connection("127.0.0.1", served.port))
        client.writer.write(HEALTH)  # a connection is taken up by aiohttp before it can be short
        assert await client.answer() == (200, b"fine")
        try:
            yield client
        finally:
            client.writer.close()

    async def answer(self) -> tuple[int, bytes]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
            assert "date" in headers
            return int(head[0].split()[1]), await self._reader.readexactly(int(headers["content-length"]))

    async def acked(self) -> int:
        status, content = await self.answer()
        assert status == 200, content
        seq: int = orjson.loads(content)["acked"]
        return seq


@asynccontextmanager
async def busy_disk(bench: Bench) -> AsyncIterator[Callable[[], None]]:
    """The writer thread is kept busy until the function that this gives is called, or it is left."""
    release, holds = threading.Event(), threading.Event()

    def wait() -> None:
        holds.set()
        release.wait(PATIENCE_SECONDS)

    working = asyncio.ensure_future(bench.store._worker.run(wait))
    assert await asyncio.to_thread(holds.wait, PATIENCE_SECONDS)
    try:
        yield release.set
    finally:
        release.set()
        await working


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():  # noqa: ASYNC110 - the door has no event for what only a test waits for
            await asyncio.sleep(0)


@pytest.mark.parametrize("is_zipped", [False, True])
async def test_a_plain_push_goes_the_short_way(served: Served, bench: Bench, is_zipped: bool) -> None:
    async with Client.of(served) as client:
        sent = request(gzip.compress(body()), "Content-Encoding: gzip") if is_zipped else request(body())
        client.writer.write(sent)
        assert await client.acked() == 7
        assert bench.read("cpu") == {"": 3.5}
        client.writer.write(request(body(8, NOW + 1000)))
        assert await client.acked() == 8
    assert (served.went_long, served.metrics.by_status) == ([], {200: 2})


async def test_the_body_may_come_behind_the_head(served: Served) -> None:
    async with Client.of(served) as client:
        whole = request(body())
        for part in (whole[:30], whole[30:-40], whole[-40:-1], whole[-1:]):
            client.writer.write(part)
            await client.writer.drain()
            await asyncio.to_thread(lambda: None)  # lets the server read
        assert await client.acked() == 7
    assert served.went_long == []


async def test_a_head_that_came_before_is_not_parsed_again(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[int] = []
    left_of = ShortcutParser._left_of

    def counted(self: ShortcutParser, message: Any, payload: Any, whole: bytes | None) -> Any:
        parsed.append(1)
        return left_of(self, message, payload, whole)

    monkeypatch.setattr(ShortcutParser, "_left_of", counted)

    async def acked_of(sent: Sequence[bytes]) -> tuple[int, int]:
        """What was acknowledged, and how many heads were parsed for it."""
        parsed.clear()
        for part in sent:
            client.writer.write(part)
            await client.writer.drain()
            await asyncio.to_thread(lambda: None)  # lets the server read
        return await client.acked(), len(parsed)

    async with Client.of(served) as client:
        assert await acked_of([request(body(1))]) == (1, 1)
        assert await acked_of([request(body(10_000, NOW + 1000))]) == (10_000, 0)
        whole = request(body(3, NOW + 2000))
        assert (await acked_of([whole[:-9], whole[-9:]]))[0] == 3
        assert await acked_of([request(body(4, NOW + 3000), "X-New: 1")]) == (4, 1)
        assert await acked_of([request(body(5, NOW + 4000), "X-New: 1")]) == (5, 0)
        client.writer.write(HEALTH)
        assert await client.answer() == (200, b"fine")
        assert await acked_of([request(body(6, NOW + 5000), "X-New: 1")]) == (6, 0)
        client.writer.write(request(b"{", "X-New: 1"))  # declined, and parsed all the same
        assert (await client.answer())[0] == 400
    assert (served.went_long, served.metrics.by_status) == ([1], {200: 6, 400: 1})


async def test_a_body_that_does_not_come_goes_the_long_way(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(short, "BODY_GRACE_SECONDS", 0.0)
    async with Client.of(served) as client:
        whole = request(body())
        client.writer.write(whole[:-1])
        await until(lambda: served.went_long == [1])
        client.writer.write(whole[-1:] + request(body(8, NOW + 1000)))
        assert [await client.acked(), await client.acked()] == [7, 8]


async def test_a_layout_that_is_missing_is_asked_for(served: Served) -> None:
    async with Client.of(served) as client:
        client.writer.write(
            request(orjson.dumps(orjson.loads(body()) | {"frames": [frame("unknown", [1.0])]})) + request(body(8))
        )
        answers = [orjson.loads((await client.answer())[1]) for _ in range(2)]
        assert [(answer["acked"], answer["need_layouts"]) for answer in answers] == [(None, ["unknown"]), (8, [])]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request(body(), whose="bad"), 401),
        (request(b"{"), 400),
        (request(body(-1)), 422),
        (request(body(), "Content-Encoding: br"), 415),
        (request(body(), "Content-Encoding: gzip"), 400),
        (request(gzip.compress(bytes(wire.MAX_DECODED_BYTES + 1)), "Content-Encoding: gzip"), 413),
        (request(body(inventory={"os": "x"})), 200),
        (request(body(events=[{"id": "e", "t": NOW, "type": "x"}])), 200),
        (request(body(layouts=[layout("l", ("cpu", {}))])), 200),
        (request(body(), "Expect: 100-continue"), 100),
        (request(body(), path=wire.PUSH_PATH + "?x"), 200),
        (request(body() + b" " * short.MAX_SHORT_BODY_BYTES), 200),
    ],
    ids=range(12),
)
async def test_the_rest_goes_the_long_way(served: Served, sent: bytes, status: int) -> None:
    async with Client.of(served) as client:
        client.writer.write(sent)
        if status == 100:
            await client._reader.readuntil(b"\r\n\r\n")
            status = 200
        assert (await client.answer())[0] == status
    assert (served.went_long, served.metrics.by_status) == ([1], {status: 1})


async def test_who_closes_afterwards_is_let_go(served: Served) -> None:
    async with Client.of(served) as client:
        client.writer.write(request(body(), "Connection: close"))
        assert await client.acked() == 7
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await client._reader.read() == b""


async def test_who_pushes_too_often_is_put_off(bench: Bench) -> None:
    buckets = Buckets(Rate(per_second=0.001, burst=3), clock=lambda: 5.0)
    async with serving(bench, buckets) as served, Client.of(served) as client:
        statuses = []
        for content in (body(), b"{", body(8), body(9)):  # a push that goes the long way counts once all the same
            client.writer.write(request(content))
            statuses.append((await client.answer())[0])
        assert statuses == [200, 400, 200, 429]


async def test_answers_keep_the_order_of_requests(served: Served, bench: Bench) -> None:
    async with Client.of(served) as client:
        async with busy_disk(bench) as release:
            client.writer.write(request(body(1)))
            await until(lambda: bench.store._commits._waiting_frames == 1)
            for sent in (HEALTH, request(b"{"), request(body(2, NOW + 1000)), HEALTH[:9]):
                client.writer.write(sent)
                await client.writer.drain()
                await asyncio.to_thread(lambda: None)
            assert bench.store._commits._waiting_frames == 1
            release()
        client.writer.write(HEALTH[9:])
        assert await client.acked() == 1
        assert await client.answer() == (200, b"fine")
        assert (await client.answer())[0] == 400
        assert await client.acked() == 2
        assert await client.answer() == (200, b"fine")


async def test_what_is_sent_behind_a_push_is_bounded(
    served: Served, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(short, "MAX_HELD_BYTES", 1_000)
    async with Client.of(served) as client:
        async with busy_disk(bench) as release:
            client.writer.write(request(body(1)))
            await until(lambda: bench.store._commits._waiting_frames == 1)
            (connection,) = served.site._http.connections
            assert connection.transport is not None
            client.writer.write(request(body(2)) * 20)
            await until(lambda: connection.transport is not None and not connection.transport.is_reading())
            release()
        assert [await client.acked() for _ in range(21)] == [1] + [2] * 20


async def test_a_disk_that_fails_is_a_reason_to_come_back(served: Served, bench: Bench) -> None:
    async with Client.of(served) as client:
        await bench.store.close()
        client.writer.write(request(body()))
        status, content = await client.answer()
        assert (status, orjson.loads(content)["error"]) == (503, "busy")
    assert (served.went_long, served.metrics.by_status) == ([], {503: 1})


async def test_a_push_in_hand_is_answered_before_the_end(served: Served, bench: Bench) -> None:
    async with Client.of(served) as client:
        async with busy_disk(bench) as release:
            client.writer.write(request(body()))
            await until(lambda: bench.store._commits._waiting_frames == 1)
            ending = asyncio.ensure_future(served.runner.cleanup())
            await until(lambda: served.site._http.connections[0]._close)
            release()
        assert await client.acked() == 7
        await ending


async def test_who_has_gone_leaves_nothing_behind(
    served: Served, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with busy_disk(bench) as release:
        async with Client.of(served) as client:
            client.writer.write(request(body()))
            await until(lambda: bench.store._commits._waiting_frames == 1)
        await until(lambda: not served.site._http.connections)
        release()
    await until(lambda: served.metrics.by_status == {200: 1})
    assert bench.read("cpu") == {"": 3.5}
    assert served.site.guard.open == 0
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
