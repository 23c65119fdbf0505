"""Many queries, slow ones, large answers, and clients that leave."""

import asyncio
import gzip
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import aiohttp
import pytest
from pytest_aiohttp.plugin import AiohttpClient, AiohttpServer

from collector.api import query, query_workers
from collector.promql import Limits
from collector.series.in_memory import InMemoryReader
from collector.series.read import Matcher, Milliseconds, Selection
from tests.api.query_fixtures import Query, T, application, query_api, small_store

QUERY = "/api/v1/query?query=up"
WAIT_SECONDS = 60.0


class GatedReader(InMemoryReader):
    """Holds every query until the gate is opened, and counts those it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.arrived = threading.Semaphore(0)

    def select(self, matchers: tuple[Matcher, ...], start: Milliseconds, end: Milliseconds) -> Selection:
        self.arrived.release()
        assert self.gate.wait(WAIT_SECONDS)
        return super().select(matchers, start, end)

    async def next_arrival(self) -> None:
        assert await asyncio.to_thread(self.arrived.acquire, timeout=WAIT_SECONDS)


@pytest.fixture(name="reader")
def reader_fixture() -> Iterator[GatedReader]:
    reader = GatedReader()
    yield reader
    reader.gate.set()


@pytest.fixture
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a client has left is looked at every few milliseconds."""
    monkeypatch.setattr(query_workers, "GONE_CHECK_SECONDS", 0.005)


async def until(holds: Callable[[], bool]) -> None:
    """Looks again until it is so or the time is over. The pause is no guess of how long something takes: it leaves the
    processor to the threads that are waited for."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not holds():  # noqa: ASYNC110 - the product has no event for what only a test waits for
            await asyncio.sleep(0.005)


async def test_what_the_queue_cannot_hold_is_refused(aiohttp_client: AiohttpClient, reader: GatedReader) -> None:
    api = query_api(reader, at_once=1, waiting=1)
    client = await aiohttp_client(application(api))
    running = asyncio.create_task(client.get(QUERY))
    await reader.next_arrival()
    waiting = asyncio.create_task(client.get(QUERY))
    await until(lambda: api.in_hand == 2)
    refused = await client.get(QUERY)
    assert (refused.status, (await refused.json())["errorType"]) == (503, "unavailable")
    assert refused.headers["Retry-After"].isdigit()
    reader.gate.set()
    assert [(await running).status, (await waiting).status] == [200, 200]


async def test_other_requests_are_served_while_a_query_runs(aiohttp_client: AiohttpClient, reader: GatedReader) -> None:
    client = await aiohttp_client(application(query_api(reader)))
    running = asyncio.create_task(client.get(QUERY))
    await reader.next_arrival()
    assert (await client.get("/api/v1/status/buildinfo")).status == 200
    assert not running.done()
    reader.gate.set()
    assert (await running).status == 200


async def test_a_query_that_takes_too_long_is_answered_and_its_thread_ends(
    aiohttp_client: AiohttpClient, reader: GatedReader
) -> None:
    api = query_api(reader, at_once=1)
    client = await aiohttp_client(application(api))
    response = await client.get(QUERY, params={"query": "up", "timeout": "20ms"})
    body = await response.json()
    assert (response.status, body["errorType"]) == (503, "timeout")
    reader.gate.set()
    assert (await client.get(QUERY)).status == 200


async def test_the_time_limit_of_the_collector_is_never_exceeded(
    aiohttp_client: AiohttpClient, reader: GatedReader
) -> None:
    client = await aiohttp_client(application(query_api(reader, limits=Limits(seconds=0.02))))
    response = await client.get("/api/v1/query", params={"query": "up", "timeout": "1h"})
    assert (response.status, (await response.json())["errorType"]) == (503, "timeout")
    reader.gate.set()


@pytest.mark.usefixtures("looks_often")
async def test_a_client_that_leaves_gives_up_its_turn(aiohttp_client: AiohttpClient, reader: GatedReader) -> None:
    api = query_api(reader, at_once=1)
    client = await aiohttp_client(application(api))
    leaving = asyncio.create_task(client.get(QUERY))
    await reader.next_arrival()
    leaving.cancel()
    await asyncio.wait({leaving})
    await until(lambda: api.in_hand == 0)
    reader.gate.set()
    assert (await client.get(QUERY)).status == 200


def test_a_stopped_watch_is_past_every_deadline() -> None:
    watch = query_workers.Stopwatch()
    before = watch()
    assert before <= watch() < before + 60
    watch.stop()
    assert watch() == float("inf")


def wide_store(series: int, steps: int) -> InMemoryReader:
    points = [(T * 1000 - 15_000 * back, back / 7) for back in range(steps)]
    return InMemoryReader(({"__name__": "wide", "row": f"{row:05d}"}, points) for row in range(series))


async def test_a_large_answer_is_streamed_whole(aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(application(query_api(wide_store(100, 200))), auto_decompress=False)
    params: Query = {"query": "wide", "start": T - 15 * 199, "end": T, "step": 15}
    response = await client.get("/api/v1/query_range", params=params, headers={"Accept-Encoding": "gzip"})
    assert response.headers["Transfer-Encoding"] == "chunked"
    assert response.headers["Content-Encoding"] == "gzip"
    body = json.loads(gzip.decompress(await response.read()))
    assert [one["metric"]["row"] for one in body["data"]["result"]] == [f"{row:05d}" for row in range(100)]
    assert {len(one["values"]) for one in body["data"]["result"]} == {200}
    assert body["data"]["result"][5]["values"][-2] == [T - 15, "0.14285714285714285"]


def endless(*_: object) -> Iterator[bytes]:
    while True:
        yield b" " * 65_536


async def test_a_client_that_reads_too_slowly_is_broken_off(
    aiohttp_server: AiohttpServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(query, "SEND_SECONDS", 0.1)
    monkeypatch.setattr(query, "encode_result", endless)
    api = query_api(small_store(), at_once=1)
    server = await aiohttp_server(application(api))
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /api/v1/query?query=up HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    await until(lambda: api.in_hand == 0)
    with suppress(ConnectionError):  # what was under way still arrives, and then the end
        while await reader.read(1 << 20):
            pass
    assert "read too slowly" in caplog.text
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


@pytest.mark.usefixtures("looks_often")
async def test_a_client_that_leaves_in_the_middle_of_an_answer_leaks_nothing(
    aiohttp_server: AiohttpServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    api = query_api(small_store(), at_once=1)
    server = await aiohttp_server(application(api))
    async with aiohttp.ClientSession() as session:
        with monkeypatch.context() as patch:
            patch.setattr(query, "encode_result", endless)
            response = await session.get(server.make_url(QUERY))
            await response.content.readexactly(1_000)
            response.close()
            await until(lambda: api.in_hand == 0)
        async with session.get(server.make_url(QUERY)) as after:
            assert after.status == 200
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "WARNING")]


async def test_a_fault_in_the_middle_of_an_answer_breaks_the_connection(
    aiohttp_client: AiohttpClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def faulty(*_: object) -> Iterator[bytes]:
        yield b'{"status":"success"'
        yield b',"data":'
        raise RuntimeError("out of ink")

    monkeypatch.setattr(query, "encode_result", faulty)
    client = await aiohttp_client(application(query_api(small_store())))
    with pytest.raises(aiohttp.ClientPayloadError):
        await (await client.get(QUERY)).read()
    assert "out of ink" in caplog.text
