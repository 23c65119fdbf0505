"""The collector on a real port, by a clock that the test moves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from collector.app import serve
from collector.clock import system_clock
from collector.config import load_settings
from protocol import wire
from tests.e2e.harness import DEADLINE_SECONDS, Answer, Collector, collector_in

pytestmark = pytest.mark.slow


class MovedClock:
    """The system's clock, which the command line goes by, and what the test adds."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return system_clock() + self.ahead


@asynccontextmanager
async def served(collector: Collector, clock: MovedClock) -> AsyncIterator[None]:
    listen = f"127.0.0.1:{collector.port}"
    settings = load_settings(collector.data).model_copy(update={"listen": listen, "rules_dir": collector.rules})
    stop, listening = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(
            serve(settings, clock, stop=stop, reload=asyncio.Event(), on_listening=lambda _url: listening.set())
        )
        async with asyncio.timeout(DEADLINE_SECONDS):
            await listening.wait()
        try:
            yield
        finally:
            stop.set()


async def enrol(collector: Collector, token: str, machine: str) -> Answer:
    request: wire.EnrollRequest = {
        "token": token, "hostname": machine, "kind": "server", "machine_id": machine, "instance": "0",
        "os": "", "arch": "", "agent_version": "",
    }  # fmt: skip
    return await asyncio.to_thread(collector.request, "POST", wire.ENROLL_PATH, request)


async def test_a_token_that_has_expired_enrols_nobody(tmp_path: Path, database_url: str) -> None:
    clock = MovedClock()
    with collector_in(tmp_path, start=False, database_url=database_url) as collector:
        await asyncio.to_thread(collector.add_customers)
        created = ("--customer", "acme", "--site", "hq", "--kind", "server", "--uses", "9", "--expires", "1h")
        token = (await asyncio.to_thread(collector.run, "tokens", "create", *created)).strip()
        async with served(collector, clock):
            clock.ahead = timedelta(minutes=55)
            enrolled = await enrol(collector, token, "in-time")
            assert enrolled.status == 200
            clock.ahead = timedelta(minutes=65)
            late = await enrol(collector, token, "too-late")
            assert (late.status, late.json["error"]) == (403, "token_expired")
            assert "expired" in late.json["message"]
            # The device that came in time stays.
            secret = enrolled.json["secret"]
            config = await asyncio.to_thread(collector.request, "GET", wire.CONFIG_PATH, secret=secret)
            assert config.status == 200
        devices = await asyncio.to_thread(collector.rows, "devices", "list")
    assert [device["hostname"] for device in devices] == ["in-time"]
