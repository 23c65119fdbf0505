"""A whole collector by a clock of the test's: devices push to it, its rules open tickets."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import insert, select

from collector.app import Collector, load_rules
from collector.clock import to_milliseconds
from collector.config import Settings
from collector.contracts import load_service_models
from collector.db.database import Database
from collector.db.revisions import Topic, bump
from collector.db.tables import devices
from collector.desk.tickets import Ticket, list_tickets
from collector.fleet.agreements import Consent
from collector.fleet.customers import add_customer, ensure_site
from collector.fleet.devices import Device, get_device
from collector.fleet.names import PROVIDER
from collector.fleet.roles import Role
from collector.fleet.tokens import create_access_token
from protocol import wire
from protocol.models import Push
from tests.db.copies import Copies

MONDAY_NINE = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)  # 09:00 in Amsterdam
STEP = timedelta(seconds=60)  # how often devices push, presence is judged and rules are evaluated
LAYOUT: list[wire.Series] = [{"name": "x", "labels": {}}]
RULES = """\
groups:
  - name: presence
    interval: 1m
    rules:
      - alert: DeviceGone
        expr: quarkpulse_device_presence{state="gone"} == 1
        labels: {severity: critical}
        annotations: {summary: "{{ $labels.device_id }} is gone"}
      - alert: AgentCrashed
        expr: quarkpulse_device_presence{state="agent_crashed"} == 1
        labels: {severity: minor}
      - alert: AgentStopped
        expr: quarkpulse_device_presence{state="agent_stopped"} == 1
        labels: {severity: info}
      - alert: SiteOffline
        expr: quarkpulse_site_up == 0
        labels: {severity: critical, scope: site}
"""
_numbers = count(1)


@dataclass(slots=True)
class Machine:
    id: str
    kind: str
    is_reporting: bool = True
    events: list[dict[str, object]] = field(default_factory=list)
    seq: int = 0


@dataclass
class Life:
    folder: Path
    database_url: str
    now: datetime = MONDAY_NINE  # true time
    clock_off_by: timedelta = timedelta(0)  # of the collector's wall clock
    machines: dict[str, Machine] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)  # secrets of access tokens, by whose they are
    _collector: Collector | None = None
    _due: dict[str, datetime] = field(default_factory=dict)  # of each upkeep, by name
    _resources: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def collector(self) -> Collector:
        assert self._collector is not None, "the collector does not run"
        return self._collector

    @property
    def settings(self) -> Settings:
        return Settings(
            data=self.folder / "data",
            rules_dir=self.folder / "rules",
            database_url=SecretStr(self.database_url),
            listen="127.0.0.1:0",
        )

    def clock(self) -> datetime:
        return self.now + self.clock_off_by

    def monotonic(self) -> float:
        return (self.now - MONDAY_NINE).total_seconds()

    async def start(self) -> None:
        opening = Collector.opened(self.settings, self.clock, load_rules(self.settings), self.monotonic)
        self._collector = await self._resources.enter_async_context(opening)

    async def stop(self) -> None:
        self._collector = None
        self._due.clear()
        await self._resources.aclose()

    async def add(
        self, name: str, kind: str, *, customer: str = "acme", site: str = "hq", machine: str | None = None
    ) -> None:
        values = dict.fromkeys(("os", "arch", "agent_version", "instance"), "x")
        values |= {"id": name, "customer": customer, "site": site, "kind": kind}
        values |= {"hostname": machine or name, "machine_id": machine or name, "secret_hash": name}
        async with self.opened() as database, database.begin() as connection:
            await ensure_site(connection, customer=customer, site=site, actor="test", now=self.now)
            await connection.execute(insert(devices).values(**values, enrolled_at=self.now))
            await bump(connection, Topic.FLEET)
        self.machines[name] = Machine(name, kind)
        if self._collector is not None:
            await self.collector.upkeep["changes"].work()

    async def add_token(self, who: str, role: Role, *, customer: str | None = None, site: str | None = None) -> None:
        async with self.opened() as database, database.begin() as connection:
            self.tokens[who] = await create_access_token(
                connection, role=role, customer=customer, site=site, actor="test", now=self.now
            )

    def opened(self) -> AbstractAsyncContextManager[Database]:
        return opened(self.settings.database)

    async def pass_(self, duration: timedelta, *, step: timedelta = STEP) -> None:
        """Time goes by: who reports pushes, and a collector that runs does what it does."""
        for _ in range(duration // step):
            self.now += step
            if self._collector is None:
                continue
            for machine in self.machines.values():
                if machine.is_reporting:
                    await self.push(machine)
            for name, upkeep in self.collector.upkeep.items():
                if self._due.get(name, self.now) <= self.now:
                    self._due[name] = self.now + timedelta(seconds=upkeep.every_seconds)
                    await upkeep.work()
            await self.collector.evaluate()

    async def push(self, machine: Machine, *, with_frame: bool = True) -> None:
        member = self.collector.fleet.directory.members[machine.id]
        machine.seq += 1
        t = to_milliseconds(self.clock())
        layout = wire.layout_id(LAYOUT)
        push = {
            "sent": t,
            "boot": "b",
            "spool": "s",
            "seq": machine.seq,
            "layouts": [{"id": layout, "series": LAYOUT}],
            "frames": [{"layout": layout, "t": t, "v": [1.0]}] if with_frame else [],
            "events": machine.events,
        }
        machine.events = []
        sender = self.collector.fleet.sender_of(member)
        answer = await self.collector.ingest.push(sender, Push.model_validate_json(json.dumps(push)))
        assert answer["acked"] == machine.seq

    def tell(self, name: str, kind: str, **more: object) -> None:
        """With its next push."""
        event = {"id": f"e-{next(_numbers)}", "t": to_milliseconds(self.clock()), "type": kind, **more}
        self.machines[name].events.append(event)

    async def leave(self, name: str, reason: str | None = None) -> None:
        """With a goodbye, or without a word."""
        machine = self.machines[name]
        machine.is_reporting = False
        if reason is not None:
            self.now += timedelta(seconds=1)
            self.tell(name, "goodbye", reason=reason)
            await self.push(machine, with_frame=False)

    async def device(self, name: str) -> Device:
        async with self.opened() as database, database.connect() as connection:
            return await get_device(connection, name)

    async def presences(self) -> dict[str, str | None]:
        async with self.opened() as database, database.connect() as connection:
            of_customers = select(devices.c.id, devices.c.presence).where(devices.c.customer != PROVIDER)
            rows = await connection.execute(of_customers.order_by(devices.c.id))
            return {row.id: row.presence for row in rows}

    async def tickets(self) -> list[Ticket]:
        """All that ever were, oldest first."""
        async with self.opened() as database, database.connect() as connection:
            return (await list_tickets(connection))[::-1]

    async def told(self) -> list[tuple[str, str | None]]:
        """Of the tickets: the rule, and the device if it is about one."""
        return [(ticket.rule, ticket.device) for ticket in await self.tickets()]


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    async with await Database.open(url) as database:
        yield database


@asynccontextmanager
async def living(folder: Path, database_url: str) -> AsyncIterator[Life]:
    """Customers acme (monthly) and bakkerij (break/fix), without devices; the collector not started yet. Where many
    tests begin alike, see `resumed`."""
    (folder / "rules").mkdir()
    (folder / "rules" / "presence.yaml").write_text(RULES)
    (folder / "data").mkdir()
    life = Life(folder, database_url)
    models, consent = load_service_models(), Consent.parse("J. Jansen, 2026-01-05")
    async with life.opened() as database, database.begin() as connection:
        for customer, plan in (("acme", "monthly"), ("bakkerij", "break_fix")):
            await add_customer(
                connection,
                models,
                customer=customer,
                name=customer,
                plan=plan,
                consent=consent,
                actor="test",
                now=life.now,
            )
    try:
        yield life
    finally:
        await life.stop()


@asynccontextmanager
async def resumed(copies: Copies, lived: Callable[[Life], Awaitable[None]]) -> AsyncIterator[Life]:
    """As after `lived`, which is given what `living` makes, and lives it once for all tests: the collector was stopped,
    and starts anew in a copy of what it left."""

    async def live(folder: Path, database_url: str) -> Life:
        async with living(folder, database_url) as life:
            await lived(life)
        return life

    database_url, before = await copies.take(lived, live)
    life = replace(
        before,
        folder=copies.folder,
        database_url=database_url,
        machines=deepcopy(before.machines),
        tokens=dict(before.tokens),
        _collector=None,
        _due={},
        _resources=AsyncExitStack(),
    )
    await life.start()
    try:
        yield life
    finally:
        await life.stop()
