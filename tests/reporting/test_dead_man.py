"""The dead-man address, called on a real server."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpServer

from bench._ports import free_port
from collector.config import ConfigError, load_settings
from collector.reporting import dead_man
from collector.reporting.dead_man import DeadMan

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@dataclass
class Outside:
    """Who waits for the call."""

    status: int = 200
    hang: asyncio.Event | None = None
    calls: int = 0

    async def ping(self, _request: web.Request) -> web.Response:
        self.calls += 1
        if self.hang is not None:
            await self.hang.wait()
        return web.Response(status=self.status)


@dataclass
class Inside:
    passes: int | None = 0
    seconds: float = 0.0

    def watching(self, url: str) -> DeadMan:
        return DeadMan(url, 60.0, lambda: self.passes, lambda: NOW, lambda: self.seconds)


async def url_of(server: AiohttpServer, outside: Outside) -> str:
    application = web.Application()
    application.router.add_get("/ping/s3cret", outside.ping)
    return str((await server(application)).make_url("/ping/s3cret"))


async def test_it_is_called_after_a_pass_and_not_too_often(aiohttp_server: AiohttpServer) -> None:
    outside, inside = Outside(), Inside()
    watching = inside.watching(await url_of(aiohttp_server, outside))
    await watching.turn()
    assert outside.calls == 0  # nothing was evaluated yet
    inside.passes = 7
    await watching.turn()
    await watching.turn()
    assert outside.calls == 1
    inside.passes, inside.seconds = 9, 59.0
    await watching.turn()
    assert outside.calls == 1
    inside.seconds = 60.0
    await watching.turn()
    assert outside.calls == 2
    inside.seconds = 600.0  # no pass since
    await watching.turn()
    inside.passes = None  # the last one failed
    await watching.turn()
    assert (outside.calls, watching.pings, watching.last_success) == (2, {"ok": 2, "failed": 0}, NOW)


async def test_failures_are_counted_and_told_once_without_the_address(
    aiohttp_server: AiohttpServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    outside, inside = Outside(status=503), Inside()
    watching = inside.watching(await url_of(aiohttp_server, outside))
    for turn in range(1, 4):
        inside.passes, inside.seconds = turn, turn * 60.0
        await watching.turn()
    outside.status = 200
    inside.passes, inside.seconds = 9, 600.0
    await watching.turn()
    told = [record.getMessage() for record in caplog.records if record.name == dead_man.__name__]
    assert told == [
        "the dead-man address was not reached: host=127.0.0.1 reason=status 503",
        "the dead-man address answers again: host=127.0.0.1",
    ]
    assert watching.pings == {"ok": 1, "failed": 3}


async def test_nobody_listens_or_nobody_answers(
    aiohttp_server: AiohttpServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_man, "TIMEOUT_SECONDS", 0.2)
    inside = Inside(passes=1)
    gone = inside.watching(f"http://127.0.0.1:{free_port()}/ping/s3cret")
    await gone.turn()
    outside = Outside(hang=asyncio.Event())
    hangs = inside.watching(await url_of(aiohttp_server, outside))
    await hangs.turn()
    assert outside.hang is not None
    outside.hang.set()
    assert gone.pings == hangs.pings == {"ok": 0, "failed": 1}
    assert "s3cret" not in caplog.text and "no answer within" in caplog.text


@pytest.mark.parametrize(
    "url", ["watch.test/s3cret", "ftp://watch.test/s3cret", "https:///s3cret", "http://watch.test:x/s3cret"]
)
def test_an_address_that_cannot_be_called_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="deadman_url: is no address that can be called") as refused:
        load_settings(tmp_path, deadman_url=url)
    assert "s3cret" not in str(refused.value)
