"""`POST /v1/push` over a real port: bodies within bounds, and refusals that say what is wrong."""

import gzip
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from collector.api.limits import Buckets, Rate
from collector.api.problems import problems_middleware
from collector.api.push import PushApi
from protocol import wire
from tests.ingest.conftest import NOW, SENDER, Bench, frame, layout

PUSH = orjson.dumps(
    {
        "sent": NOW,
        "boot": "b",
        "spool": "s",
        "seq": 7,
        "layouts": [layout("l", ("cpu", {}))],
        "frames": [frame("l", [0.5])],
        "events": [],
    }
)


@asynccontextmanager
async def serving(api: PushApi) -> AsyncIterator[aiohttp.ClientSession]:
    application = web.Application(middlewares=[problems_middleware], client_max_size=wire.MAX_BODY_BYTES)
    application.add_routes(api.routes())
    runner = web.AppRunner(application, auto_decompress=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        yield session
    await runner.cleanup()


@pytest.fixture
async def session(bench: Bench) -> AsyncIterator[aiohttp.ClientSession]:
    async with serving(PushApi(lambda _request: SENDER, bench.ingest)) as session:
        yield session


async def answered(
    session: aiohttp.ClientSession, body: bytes, encoding: str | None = None
) -> tuple[int, dict[str, Any]]:
    headers = {} if encoding is None else {"Content-Encoding": encoding}
    async with session.post(
        wire.PUSH_PATH, data=io.BytesIO(body), headers=headers, skip_auto_headers=["User-Agent"]
    ) as answer:
        return answer.status, orjson.loads(await answer.read())


@pytest.mark.parametrize("encoding", [None, "identity", "gzip"])
async def test_a_push_is_answered_once_it_is_stored(
    session: aiohttp.ClientSession, bench: Bench, encoding: str | None
) -> None:
    body = gzip.compress(PUSH) if encoding == "gzip" else PUSH
    status, answer = await answered(session, body, encoding)
    assert (status, answer["acked"], answer["refused"]) == (200, 7, [])
    assert bench.read("cpu") == {"": 0.5}


async def test_a_chunked_body_is_bounded_too(session: aiohttp.ClientSession) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(wire.MAX_BODY_BYTES // 65_536 + 1):
            yield b" " * 65_536

    async with session.post(wire.PUSH_PATH, data=chunks()) as answer:
        assert answer.status == 413


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (b"", None, 400),
        (b"{", None, 400),
        (b"null", None, 422),
        (b" " * (wire.MAX_BODY_BYTES + 1), None, 413),
        (gzip.compress(b" " * (wire.MAX_DECODED_BYTES + 1)), "gzip", 413),
        (PUSH, "gzip", 400),
        (gzip.compress(PUSH)[:-4], "gzip", 400),
        (gzip.compress(PUSH) + b"more", "gzip", 400),
        (PUSH, "zstd", 415),
        (PUSH.replace(b"0.5", b"NaN"), None, 422),
        (PUSH.replace(b"0.5", b"1e999"), None, 422),
        (PUSH.replace(b'"seq":7', b'"seq":"7"'), None, 422),
    ],
)
async def test_what_is_wrong_is_refused_and_said(
    session: aiohttp.ClientSession, bench: Bench, body: bytes, encoding: str | None, status: int
) -> None:
    found, problem = await answered(session, body, encoding)
    assert found == status
    assert problem["error"]
    assert problem["message"]
    assert bench.store.stats().frames_appended == 0


async def test_a_wrong_type_is_named(session: aiohttp.ClientSession) -> None:
    status, problem = await answered(session, PUSH.replace(b'"v":[0.5]', b'"v":[true]'))
    assert (status, problem["error"]) == (422, "invalid")
    assert "frames.0.v.0" in problem["message"]


async def test_an_inventory_has_a_size(session: aiohttp.ClientSession, bench: Bench) -> None:
    push = orjson.loads(PUSH) | {"inventory": {"text": "x" * wire.MAX_INVENTORY_BYTES}}
    status, problem = await answered(session, orjson.dumps(push))
    assert status == 422
    assert problem["message"].startswith("inventory")
    assert bench.sink.inventories == []


async def test_a_store_that_is_closed_is_a_reason_to_come_back(session: aiohttp.ClientSession, bench: Bench) -> None:
    await bench.store.close()
    async with session.post(wire.PUSH_PATH, data=PUSH) as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"]


async def test_who_pushes_too_often_is_told_when_to_come_back(bench: Bench) -> None:
    seconds = 0.0
    rate = Buckets(Rate(per_second=0.5, burst=2), clock=lambda: seconds)
    async with serving(PushApi(lambda _request: SENDER, bench.ingest, rate)) as session:
        assert [(await answered(session, PUSH))[0] for _ in range(3)] == [200, 200, 429]
        async with session.post(wire.PUSH_PATH, data=PUSH) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "2")
            assert orjson.loads(await answer.read())["error"] == "too_many"
        seconds = 2.0
        assert (await answered(session, PUSH))[0] == 200
