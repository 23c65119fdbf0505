"""Who watches the watcher: what goes wrong with the collector is a ticket of the built-in customer `provider`."""

import asyncio
import logging
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpServer
from sqlalchemy.engine import make_url

from collector.alerting.yamlfile import shipped_folder
from collector.app import Collector, load_rules
from collector.clock import EPOCH, to_milliseconds
from collector.config import Settings
from collector.contracts import load_service_models
from collector.db import database as databases
from collector.db.database import Database
from collector.desk.states import TicketStatus
from collector.desk.tickets import Ticket, list_tickets
from collector.fleet.contracts import contract_at
from collector.fleet.customers import add_customer, get_site
from collector.fleet.devices import end_device, get_device, revoke_device
from collector.fleet.errors import AlreadyExistsError, FleetError
from collector.fleet.layers import Layer
from collector.fleet.thresholds import set_threshold
from collector.series.read import Matcher, MatchOp
from protocol.errors import TransientError
from tests.db.fixtures import closed
from tests.disks import fill

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
STEP = timedelta(seconds=60)
MODELS = load_service_models()
TOO_MUCH = 'sum_over_time({__name__=~"quarkpulse_.+"}[2h:1ms])'


@dataclass
class Served:
    """A collector that serves no requests, and the clock that the test moves."""

    settings: Settings
    now: datetime = START
    put_off: list[str] = field(default_factory=list)
    collector: Collector = field(init=False)

    def wall(self) -> datetime:
        return self.now

    def seconds(self) -> float:
        return (self.now - EPOCH).total_seconds()

    async def minutes(self, count: int) -> None:
        """What `serve` does minute by minute; what may succeed later is left to the next."""
        for _ in range(count):
            self.now += STEP
            await self.collector.store.tick()
            for name in ("changes", "own health", "dead man"):
                try:
                    await self.collector.upkeep[name].work()
                except TransientError as error:
                    self.put_off.append(f"{name}: {error}")
            await self.collector.evaluate()

    async def tickets(self) -> list[Ticket]:
        async with await Database.open(self.settings.database) as database, database.connect() as connection:
            return await list_tickets(connection)


@asynccontextmanager
async def served(data: Path, url: str, **more: object) -> AsyncIterator[Served]:
    """With the shipped rules about the collector. Samples are in `data`, state is at `url`."""
    rules = data.parent / "rules"
    rules.mkdir()
    for name in ("provider.yaml", "thresholds.yaml", "inhibit.yaml"):
        shutil.copy(shipped_folder() / name, rules)
    settings = Settings.model_validate(
        {
            "data": data,
            "rules_dir": rules,
            "database_url": url,
            "evaluation_interval_seconds": STEP.total_seconds(),
            "listen": "127.0.0.1:0",
            **more,
        }
    )
    one = Served(settings)
    async with Collector.opened(settings, one.wall, load_rules(settings), one.seconds) as one.collector:
        await one.minutes(5)
        yield one


@dataclass
class Occupied:
    """A collector's database, and somebody who keeps it from the collector for a while."""

    url: str
    _kept: ExitStack = field(default_factory=ExitStack)

    def begin(self) -> None:
        file = make_url(self.url).database
        self._kept.enter_context(locked(str(file)) if self.url.startswith("sqlite") else closed(self.url))

    def end(self) -> None:
        self._kept.close()


@pytest.fixture
def occupied(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Occupied]:
    monkeypatch.setattr(databases, "BUSY_TIMEOUT_SECONDS", 0.01)
    one = Occupied(database_url)
    yield one
    one.end()


@contextmanager
def locked(path: str) -> Iterator[None]:
    """Another program has a transaction of its own in it."""
    holder = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    yield
    holder.execute("ROLLBACK")
    holder.close()


async def test_the_provider_is_there_from_the_start_and_stays(tmp_path: Path, database_url: str) -> None:
    async with (
        served(tmp_path / "data", database_url) as one,
        await Database.open(one.settings.database) as database,
        database.begin() as connection,
    ):
        contract = await contract_at(connection, "provider", one.now)
        assert contract is not None and contract.plan == "monthly"
        assert (await get_site(connection, "provider", "collector")).id == "collector"
        device = await get_device(connection, "collector")
        assert (device.customer, device.site, device.kind) == ("provider", "collector", "server")
        assert one.collector.fleet.directory.members == {}  # nobody waits for its pushes
        for change in (end_device, revoke_device):
            with pytest.raises(FleetError, match="the collector itself"):
                await change(connection, "collector", actor="anna", now=one.now)
        with pytest.raises(AlreadyExistsError, match="built in"):
            await add_customer(
                connection,
                MODELS,
                customer="provider",
                name="x",
                plan="monthly",
                consent=None,
                actor="anna",
                now=one.now,
            )


async def test_a_collector_that_is_well_has_no_ticket(tmp_path: Path, database_url: str) -> None:
    async with served(tmp_path / "data", database_url) as one:
        await one.minutes(40)
        assert (await one.tickets(), one.put_off) == ([], [])
        read = {name for rule in load_rules(one.settings).rules.alert_rules for name in rule.plan.windows}
        of_connectors = {"quarkpulse_outbox_oldest_seconds", "quarkpulse_outbox_parked"}  # none is in use
        assert read - metrics(one) == {"quarkpulse_rule_conflicts_total"} | of_connectors  # no customer has a conflict
        assert "quarkpulse_devices" not in metrics(one)


def metrics(one: Served) -> set[str]:
    """What is stored of the collector, and the thresholds."""
    reader = one.collector.store.reader
    of_collector = (Matcher("device_id", MatchOp.EQUAL, "collector"),)
    found = reader.select(of_collector, 0, to_milliseconds(one.now))
    stored = {found.labels.texts(reader.strings, row)["__name__"] for row in range(len(found))}
    return {*stored, "quarkpulse_threshold"}


async def test_a_disk_that_fills_is_one_ticket_until_there_is_room(tmp_path: Path, database_url: str) -> None:
    async with served(tmp_path / "data", database_url) as one:
        for name, value in (("collector_data_free", 1.0), ("collector_data_free_critical", 1.0)):
            await set_for_collector(one, name, value)  # as if nearly nothing were left
        await one.minutes(30)
        (ticket,) = await one.tickets()
        assert (ticket.customer, ticket.device, ticket.incident) == ("provider", "collector", "collector_data")
        assert (ticket.priority, ticket.status) == ("P1", TicketStatus.NEW)
        for name, value in (("collector_data_free", 0.0), ("collector_data_free_critical", 0.0)):
            await set_for_collector(one, name, value)
        await one.minutes(2)
        assert [found.status for found in await one.tickets()] == [TicketStatus.RESOLVED]


async def set_for_collector(one: Served, name: str, value: float) -> None:
    async with await Database.open(one.settings.database) as database, database.begin() as connection:
        await set_threshold(
            connection,
            MODELS,
            name=name,
            layer=Layer.DEVICE,
            subject="collector",
            value=value,
            actor="anna",
            now=one.now,
        )


@pytest.mark.needs_root
@pytest.mark.parametrize("minutes", [4, 13, 40], ids="for {} minutes".format)
async def test_a_log_that_cannot_be_written_is_one_ticket(tmp_path: Path, small_disk: Path, minutes: int) -> None:
    async with served(
        small_disk / "data", f"sqlite:///{tmp_path}/state.db"
    ) as one:  # elsewhere: state has no part in it
        for name in ("collector_data_free", "collector_data_free_critical"):
            await set_for_collector(one, name, 0.0)  # the disk's room has a test of its own
        await asyncio.to_thread(fill, small_disk / "ballast")
        await one.minutes(minutes)
        assert one.put_off
        during = [(found.incident, found.status) for found in await one.tickets()]
        assert during == ([] if minutes < 10 else [("collector_store", TicketStatus.NEW)])  # told while it lasts
        await asyncio.to_thread((small_disk / "ballast").unlink)
        await one.minutes(2)
        async with asyncio.timeout(60):
            while not one.collector.store.stats().last_commit_ok:
                await one.collector.store.tick()
        await one.minutes(3)
        assert [found.incident for found in await one.tickets()] == ["collector_store"]
        await one.minutes(40)
        (ticket,) = await one.tickets()
        assert (ticket.customer, ticket.status) == ("provider", TicketStatus.RESOLVED)


async def test_evaluations_that_fail_are_one_ticket(tmp_path: Path) -> None:
    async with served(tmp_path / "data", f"sqlite:///{tmp_path}/state.db") as one:  # queries fail, not the database
        own = one.settings.data.parent / "rules" / "own.yaml"  # more samples than a query may have, at each evaluation
        own.write_text(f"groups:\n- name: own\n  rules:\n  - alert: Own\n    expr: {TOO_MUCH}\n")
        await one.collector.use_rules(load_rules(one.settings))
        await one.minutes(14)
        (ticket,) = await one.tickets()
        assert (ticket.customer, ticket.incident, ticket.status) == ("provider", "collector_rules", TicketStatus.NEW)
        own.unlink()
        await one.collector.use_rules(load_rules(one.settings))
        await one.minutes(17)
        assert [found.status for found in await one.tickets()] == [TicketStatus.RESOLVED]


@pytest.mark.parametrize(("minutes", "incidents"), [(1, []), (6, ["collector_rules"])], ids=["passing", "lasting"])
async def test_a_database_that_fails_is_told_at_once_and_is_a_ticket_when_it_is_back(
    tmp_path: Path,
    occupied: Occupied,
    caplog: pytest.LogCaptureFixture,
    minutes: int,
    incidents: list[str],
) -> None:
    caplog.set_level(logging.INFO)
    async with served(tmp_path / "data", occupied.url) as one, one.collector.listening() as url:
        assert (await readiness(url))[0] == 200
        await asyncio.to_thread(occupied.begin)
        await one.minutes(minutes)
        status, told = await readiness(url)
        assert status == 503 and "evaluations of provider_samples cannot be stored" in told
        await asyncio.to_thread(occupied.end)
        assert (
            sum("evaluations are not stored" in record.message for record in caplog.records) == 3
        )  # of each group, once
        await one.minutes(12)
        assert (await readiness(url))[0] == 200
        assert [(found.customer, found.incident) for found in await one.tickets()] == [
            ("provider", incident) for incident in incidents
        ]
        await one.minutes(20)
        assert {found.status for found in await one.tickets()} <= {TicketStatus.RESOLVED}


async def test_the_dead_man_address_is_called_while_passes_succeed(
    tmp_path: Path, occupied: Occupied, aiohttp_server: AiohttpServer
) -> None:
    calls: list[str] = []

    async def ping(request: web.Request) -> web.Response:
        calls.append(request.path)
        return web.Response()

    application = web.Application()
    application.router.add_get("/ping/secret", ping)
    url = str((await aiohttp_server(application)).make_url("/ping/secret"))
    async with served(tmp_path / "data", occupied.url, deadman_url=url) as one:
        await one.minutes(5)
        assert set(calls) == {"/ping/secret"} and len(calls) >= 5
        await asyncio.to_thread(occupied.begin)
        await one.minutes(1)  # the call comes before this minute's evaluations, for those of the last
        calls.clear()
        await one.minutes(5)
        assert calls == []
        await asyncio.to_thread(occupied.end)
        await one.minutes(3)
        assert calls


async def readiness(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/readyz") as response:
        return response.status, await response.text()
