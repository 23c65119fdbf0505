"""The collector's side of `bench rules`: the store and the rule loop as `serve` runs them, in a process of their own.

Frames are handed to the store as ingest hands them over, so HTTP and JSON are not in these figures; `bench ingest` has
those. All the rest is there: log and fsync, ticks, database, incidents with their tickets.
"""

import asyncio
import contextlib
import gc
import logging
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import uvloop

from bench._fleet import SERIES, Fleet, rule_file
from bench._world import surroundings
from collector.alerting.loop import EvaluationStats, Evaluator, IncidentSink
from collector.alerting.reader import RoutingReader
from collector.alerting.recording import Recorder
from collector.alerting.rulefile import RuleSet, load_rules
from collector.alerting.tenancy import THRESHOLD_METRIC
from collector.alerting.thresholds import ThresholdReader
from collector.clock import Clock, system_clock
from collector.contracts import load_service_models
from collector.db.database import Database
from collector.fleet.agreements import Consent
from collector.fleet.customers import add_customer
from collector.incidents.service import Incidents
from collector.promql import Engine, Shared, Vector
from collector.series.catalog import DeviceFrame, Layout
from collector.series.labels import Target
from collector.series.store import SampleStore

POLL_SECONDS = 0.2
INGEST_TICK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """One run on one server. Times are seconds of the fleet, which begins `history_seconds` before the present."""

    devices: int
    interval_seconds: float
    evaluations: int  # measured in each phase
    seconds: float  # of the phase with ingest and without rules
    history_seconds: float = 720.0
    loading_seconds: float = 15.0  # Prometheus takes what it needs; the collector then has as long

    @property
    def loaded_by(self) -> float:
        """When loading must be over."""
        return self.history_seconds + self.loading_seconds

    @property
    def quiet_from(self) -> float:
        """When the phase without ingest begins."""
        return self.loaded_by + self.seconds

    @property
    def quiet_until(self) -> float:
        """When it is over. Its samples are there before it begins, so that the windows slide over live data."""
        return self.quiet_from + (self.evaluations + 3) * self.interval_seconds

    def check_loaded(self, at: float) -> None:
        """Raises RuntimeError if loading was over too late, at `at`, for both servers to have the same samples."""
        if at > self.loaded_by:
            raise RuntimeError(f"loading took {at - self.loaded_by:.0f} s too long; try again in a quieter moment")


@dataclass(slots=True)
class Cost:
    """What some evaluations took."""

    cpu_seconds: float  # of the process, all its threads and background work, for each evaluation
    seconds: list[float] = field(default_factory=list)  # how long the group took, evaluation by evaluation


@dataclass(slots=True)
class Figures:
    """What a run on one server came to."""

    load_seconds: float
    ingest_cores: float  # CPU-seconds a second of ingest alone
    without_ingest: Cost
    with_ingest: Cost
    rss_bytes: int
    alerts: dict[str, int]
    compared_at: float  # in seconds of the fleet

    def evaluation_beside_ingest(self, interval_seconds: float) -> float:
        """CPU-seconds of an evaluation while the fleet pushes, less what ingest alone takes in an interval."""
        return self.with_ingest.cpu_seconds - self.ingest_cores * interval_seconds


def cpu_seconds() -> float:
    return time.process_time()


class Rig:
    """Store, database and rules of one made-up fleet."""

    def __init__(self, fleet: Fleet, store: SampleStore, evaluator: Evaluator, stats: EvaluationStats) -> None:
        self.fleet = fleet
        self.store = store
        self.evaluator = evaluator
        self.stats = stats
        series = store.series([(name, labels) for name, labels, *_ in SERIES])
        self.layouts: list[Layout] = [
            store.layout(Target(device.device_id, device.customer, device.site, device.kind), series)
            for device in fleet.devices
        ]
        self.delivered_ms = fleet.start_ms - 1

    async def deliver(self, until_ms: int) -> None:
        """Appends all frames up to a time; what is ahead of the present waits in the store, and enters by its ticks."""
        received = int(time.time() * 1000)
        for step, some in self.fleet.due(self.delivered_ms, until_ms):
            times, values = self.fleet.times(step), self.fleet.values(step)
            frames = [
                DeviceFrame(self.layouts[number], int(times[number]), received, values[number].tobytes())
                for number in some.tolist()
            ]
            for start in range(0, len(frames), 10_000):
                await self.store.append(frames[start : start + 10_000])
        self.delivered_ms = until_ms

    async def ingest(self) -> None:
        """Delivers each second what is due, until cancelled."""
        while True:
            await self.deliver(int(time.time() * 1000))
            await asyncio.sleep(INGEST_TICK_SECONDS)

    async def next_evaluation(self) -> float:
        """Waits until one more is over; how long it took."""
        stats = self.stats.group(self.evaluator.rules.groups[0].key)
        before = stats.evaluations
        while stats.evaluations == before:  # noqa: ASYNC110 - the loop has no reason to tell anybody
            await asyncio.sleep(POLL_SECONDS)
        if stats.failures:
            raise RuntimeError(f"rules failed: {dict(stats.errors)}")
        return stats.duration_seconds

    async def cost(self, evaluations: int) -> Cost:
        await self.next_evaluation()
        before = cpu_seconds()
        seconds = [await self.next_evaluation() for _ in range(evaluations)]
        return Cost((cpu_seconds() - before) / evaluations, seconds)

    def alerts_at(self, at_ms: int) -> dict[str, int]:
        """How many series each rule's expression gives."""
        engine, shared = Engine(self.store.reader), Shared()
        found = {}
        for rule in self.evaluator.rules.groups[0].alert_rules:
            result = engine.instant(rule.plan, at_ms, shared=shared)
            assert isinstance(result, Vector)
            found[rule.alert] = len(result.values)
        return found


@asynccontextmanager
async def rig(
    folder: Path, fleet: Fleet, rules: RuleSet, clock: Clock = system_clock, incidents: IncidentSink | None = None
) -> AsyncIterator[Rig]:
    """As `collector.app` joins it: customers pay monthly, so alerts open tickets; or `incidents` is told of them."""
    models = load_service_models()
    async with AsyncExitStack() as resources:
        database = await resources.enter_async_context(await Database.open(f"sqlite:///{folder / 'quarkpulse.db'}"))
        async with database.begin() as connection:
            for customer in sorted({device.customer for device in fleet.devices}):
                consent = Consent.parse("B. Bench, 2026-01-05")
                await add_customer(
                    connection, models, customer=customer, name=customer, plan="monthly", consent=consent,
                    actor="bench", now=clock(),
                )  # fmt: skip
        store = await SampleStore.open(folder / "data", windows=rules.windows, clock=clock)
        resources.push_async_callback(store.close)

        stats = EvaluationStats()
        reader = RoutingReader(store.reader, {THRESHOLD_METRIC: ThresholdReader(store.reader.strings)})
        evaluator = Evaluator(
            rules,
            Engine(reader),
            database,
            incidents or Incidents(surroundings(models["monthly"]), lambda _name, _device, _at: None),
            Recorder(store),
            clock=clock,
            default_interval=timedelta(minutes=1),
            stats=stats,
        )
        yield Rig(fleet, store, evaluator, stats)


@asynccontextmanager
async def beside(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Runs a loop while this is entered."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def run(plan: Plan, folder: Path, compared_at: float) -> Figures:
    (folder / "rules.yaml").write_text(rule_file(plan.interval_seconds))
    rules = load_rules([folder / "rules.yaml"])
    fleet = Fleet(plan.devices, int((time.time() - plan.history_seconds) * 1000))

    def at(seconds: float) -> float:
        return fleet.start_ms / 1000 + seconds

    async with rig(folder, fleet, rules) as made, beside(made.store.maintain()):
        started = time.monotonic()
        for minute in range(int(plan.history_seconds / 60)):
            await made.deliver(fleet.start_ms + (minute + 1) * 60_000)
        await made.deliver(int(time.time() * 1000))
        load_seconds = time.monotonic() - started
        plan.check_loaded(time.time() - at(0))
        await asyncio.sleep(at(plan.loaded_by) - time.time())

        await made.deliver(int(time.time() * 1000))
        async with beside(made.ingest()):
            before, began = cpu_seconds(), time.monotonic()
            await asyncio.sleep(at(plan.quiet_from) - time.time())
            ingest_cores = (cpu_seconds() - before) / (time.monotonic() - began)
        await made.deliver(int(at(plan.quiet_until) * 1000))

        async with beside(made.evaluator.run()):
            without_ingest = await made.cost(plan.evaluations)
            await asyncio.sleep(max(0.0, at(compared_at) - time.time()))
            await made.store.tick()
            alerts = made.alerts_at(int(at(compared_at) * 1000))
            await asyncio.sleep(max(0.0, at(plan.quiet_until) - time.time()))
            async with beside(made.ingest()):
                await made.next_evaluation()
                with_ingest = await made.cost(plan.evaluations)
        rss = psutil.Process().memory_info().rss
    return Figures(load_seconds, ingest_cores, without_ingest, with_ingest, rss, alerts, compared_at)


def serve(plan: Plan, folder: Path, compared_at: float, answer: Connection) -> None:
    logging.disable(logging.INFO)
    gc.freeze()
    gc.set_threshold(50_000, 50, 1000)  # as `serve` does
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        answer.send(runner.run(run(plan, folder, compared_at)))


def measured_collector(plan: Plan, folder: Path, compared_at: float) -> Figures:
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=serve, args=(plan, folder, compared_at, sender))
    process.start()
    sender.close()
    try:
        figures: Figures = receiver.recv()
        return figures
    finally:
        process.join()
