"""A collector without HTTP whose clock the test moves: real store, real database, real rules."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from collector.alerting.evaluation import Pass
from collector.alerting.inhibit import InhibitRule, inhibit_file, load_inhibit_rules
from collector.alerting.loop import EvaluationStats, Evaluator
from collector.alerting.recording import Recorder
from collector.alerting.records import list_alerts
from collector.alerting.rulefile import load_rules
from collector.clock import from_milliseconds, to_milliseconds
from collector.contracts import ServiceModel, ServiceModels, load_service_models
from collector.contracts.scope import ContractScope
from collector.db.database import Database
from collector.desk.shadows import ShadowTicket, list_shadows
from collector.desk.tickets import Ticket, list_tickets
from collector.fleet.agreements import Consent
from collector.fleet.contracts import set_plan
from collector.fleet.customers import add_customer
from collector.fleet.devices import DeviceStatus
from collector.fleet.directory import FleetDirectory, Member, load_directory
from collector.fleet.watch import Heard, PresenceWatch
from collector.incidents.round import Surroundings
from collector.incidents.service import Incidents
from collector.incidents.settings import IncidentSettings
from collector.promql import Engine
from collector.series.catalog import DeviceFrame, pack_values
from collector.series.labels import Target
from collector.series.store import SampleStore

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
INTERVAL = timedelta(seconds=15)
PUSH_INTERVAL = timedelta(seconds=15)
MODELS = load_service_models()

ACME = Target("ws-1", "acme", "hq", "server")
ACME_2 = Target("ws-2", "acme", "hq", "server")
BAKKERIJ = Target("kassa-1", "bakkerij", "hq", "desktop")
TARGETS = (ACME, ACME_2, BAKKERIJ)
PLANS = {"acme": "monthly", "bakkerij": "break_fix"}


@dataclass
class World:
    database: Database
    store: SampleStore
    rules_folder: Path
    now: datetime = START
    stats: EvaluationStats = field(default_factory=EvaluationStats)
    directory: FleetDirectory = field(default_factory=FleetDirectory)
    members: dict[str, Member] = field(default_factory=dict)
    tags: Mapping[str, frozenset[str]] = field(default_factory=dict)
    settings: IncidentSettings = field(default_factory=IncidentSettings)
    models: ServiceModels = field(default_factory=lambda: MODELS)
    inhibit: tuple[InhibitRule, ...] = field(default_factory=lambda: load_inhibit_rules(inhibit_file()))

    def __post_init__(self) -> None:
        self.enrol(*TARGETS)
        self.watch = PresenceWatch(self._heard, PUSH_INTERVAL)
        self.evaluator = self.new_evaluator()

    def new_evaluator(self) -> Evaluator:
        self.surroundings = Surroundings(
            self._model_of,
            self.watch.is_seen,
            self.watch.last_heard,
            lambda device, _at: self.members[device].status is DeviceStatus.ENDED,
            self._tags_of,
            lambda: self.inhibit,
            self.settings,
            self._scope_of,
        )
        incidents = Incidents(self.surroundings, lambda _name, _device, _at: None)
        return Evaluator(
            load_rules([self.rules_folder]),
            Engine(self.store.reader),
            self.database,
            incidents,
            Recorder(self.store),
            clock=lambda: self.now,
            default_interval=INTERVAL,
            stats=self.stats,
        )

    def enrol(self, *targets: Target) -> None:
        self.members |= {target.device_id: member(target) for target in targets}

    def _tags_of(self, device: str) -> frozenset[str]:
        return self.tags.get(device, frozenset())

    def _scope_of(self, customer: str, at: datetime) -> ContractScope | None:
        return self.directory.scope_at(customer, at)

    def _model_of(self, customer: str, at: datetime) -> ServiceModel | None:
        return self.models.get(self.directory.plan_at(customer, at) or "")

    async def load(self) -> None:
        """Takes in what the database says of the fleet, as `serve` does after a change."""
        async with self.database.connect() as connection:
            self.directory = await load_directory(connection)

    async def set_plan(self, target: Target, plan: str, starts_at: datetime | None = None) -> None:
        async with self.database.begin() as connection:
            await set_plan(
                connection,
                self.models,
                customer=target.customer,
                plan=plan,
                starts_at=starts_at or self.now,
                consent=None,
                actor="anna",
                now=self.now,
            )
        await self.load()

    def _heard(self, device: str) -> Heard | None:
        known = self.store.freshness(device)
        if known is None or known.newest_ms is None:
            return None
        return Heard(from_milliseconds(known.received_ms), from_milliseconds(known.newest_ms), PUSH_INTERVAL)

    async def restart(self, after: timedelta = timedelta(0)) -> None:
        """As a process that died and came back: nothing but database and samples is left."""
        self.now += after
        self.watch = PresenceWatch(self._heard, PUSH_INTERVAL)
        self.watch.sweep(self.members, self.now)
        self.evaluator = self.new_evaluator()
        await self.load()
        await self.evaluator.restore()

    async def push(self, values: Mapping[Target, float]) -> None:
        """One frame of each device, at the present."""
        await self.push_series({target: {"x": value} for target, value in values.items()})

    async def push_series(self, frames: Mapping[Target, Mapping[str, float]]) -> None:
        """One frame of each device, with the values of its metrics."""
        now = to_milliseconds(self.now)
        await self.store.append(
            [
                DeviceFrame(
                    self.store.layout(target, self.store.series([(metric, {}) for metric in values])),
                    now,
                    now,
                    pack_values(list(values.values())),
                )
                for target, values in frames.items()
            ]
        )

    async def evaluate(self) -> list[Pass]:
        return [await self.evaluator.evaluate_group(group, self.now) for group in self.evaluator.rules.groups]

    async def tick(self, values: Mapping[Target, float] | None = None) -> None:
        """An interval goes by: devices push, rules are evaluated."""
        self.now += INTERVAL
        await self.push(values or {})
        self.watch.sweep(self.members, self.now)
        await self.evaluate()

    async def goodbye(self, target: Target, reason: str = "shutdown") -> None:
        self.watch.said_goodbye(target.device_id, reason, self.now)
        await self.store.end_device(target.device_id, to_milliseconds(self.now))

    async def tickets(self) -> list[Ticket]:
        async with self.database.connect() as connection:
            return await list_tickets(connection)

    async def shadows(self) -> list[ShadowTicket]:
        async with self.database.connect() as connection:
            return await list_shadows(connection)

    async def alerts(self) -> list[dict[str, object]]:
        async with self.database.connect() as connection:
            return await list_alerts(connection, resolved_since=None)

    async def states(self) -> list[object]:
        """Of all alerts that were ever stored, oldest first."""
        return [alert["state"] for alert in reversed(await self.alerts())]


def member(target: Target) -> Member:
    return Member(
        target=target,
        status=DeviceStatus.ACTIVE,
        hostname=target.device_id,
        os="",
        agent_version="",
        read_by=None,
        address=None,
        enrolled_at=START,
        last_seen_at=None,
        goodbye_at=None,
        goodbye_reason=None,
    )


@asynccontextmanager
async def world_with(database: Database, folder: Path, rules: str) -> AsyncIterator[World]:
    """Customers acme (monthly) and bakkerij (break/fix), and one rule file."""
    (folder / "rules").mkdir()
    (folder / "rules" / "world.yaml").write_text(rules)
    async with database.begin() as connection:
        for customer, plan in PLANS.items():
            consent = Consent.parse("J. Jansen, 2026-01-05")
            await add_customer(
                connection, MODELS, customer=customer, name=customer, plan=plan, consent=consent, actor="t", now=START
            )
    moment = [START]
    store = await SampleStore.open(
        folder / "data", windows=load_rules([folder / "rules"]).windows, clock=lambda: moment[0]
    )
    try:
        world = World(database, store, folder / "rules")
        await world.load()
        yield world
    finally:
        await store.close()
