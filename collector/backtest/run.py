"""A backtest from beginning to end: a picture of the stored samples, both sets of rules over it, and the comparison."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.alerting.pack import RulePack
from collector.alerting.reader import RoutingReader
from collector.alerting.ruleset import RecordingRule
from collector.alerting.tenancy import THRESHOLD_METRIC
from collector.alerting.thresholds import ThresholdReader, devices_of
from collector.alerting.timeline import Episode
from collector.backtest.replay import Known, Outcome, Progress, episodes_of, judge
from collector.backtest.replica import replica_of
from collector.backtest.seen import Seen
from collector.clock import to_milliseconds
from collector.config import Settings
from collector.contracts import ServiceModel, load_service_models
from collector.db.database import Database
from collector.fleet.devices import ended_devices
from collector.fleet.directory import FleetDirectory, load_directory
from collector.fleet.thresholds import Threshold, list_thresholds
from collector.incidents.round import Surroundings
from collector.incidents.service import Incidents
from collector.incidents.settings import IncidentSettings
from collector.promql import Engine, Limits
from collector.series import snapshot
from collector.series.history.history import History, HistorySettings
from collector.series.labels import NAME
from collector.series.read import Matcher, MatchOp, SeriesReader
from collector.series.store import SampleStore

STRETCH_SECONDS = 3600.0  # for a rule over a day of all devices: whoever asked sees how it goes, and may end it
WARM_UP = timedelta(hours=2)  # of earlier samples, so that what was firing at the beginning is known to have been


@dataclass(frozen=True, slots=True)
class Question:
    start: datetime
    end: datetime
    step: timedelta  # how often rules are evaluated
    customer: str | None  # None: all
    incidents: IncidentSettings


@dataclass(frozen=True, slots=True)
class _Past:
    """What is known of the time that is looked at."""

    reader: SeriesReader
    directory: FleetDirectory
    overrides: Sequence[Threshold]
    models: dict[str, ServiceModel]
    seen: Seen
    ended: Mapping[str, datetime]  # when a device, by id, was no longer looked after
    known: Known = field(default_factory=dict)


async def run(
    settings: Settings,
    database: Database,
    packs: Sequence[RulePack],
    question: Question,
    progress: Progress,
) -> list[Outcome]:
    """What each set of rules would have done, in the order of `packs`. The collector may serve meanwhile.

    Raises SnapshotError, PromqlError, TooManyAlertsError and OSError."""
    folder = Path(tempfile.mkdtemp(prefix="backtest-", dir=settings.data))
    try:
        progress("taking a picture of the stored samples")
        snapshot.take(settings.data, folder / "samples")
        async with _past(settings, database, folder / "samples", question) as past:
            outcomes = []
            for number, pack in enumerate(packs):
                if pack.thresholds != packs[0].thresholds:
                    past.known.clear()
                async with replica_of(database, folder, f"state-{number}") as connection:
                    outcomes.append(await _outcome(connection, pack, past, question, progress))
            return outcomes
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def _past(settings: Settings, database: Database, samples: Path, question: Question) -> AsyncIterator[_Past]:
    def clock() -> datetime:
        return question.end

    async with AsyncExitStack() as resources:
        store = await SampleStore.open(samples, windows={}, clock=clock)
        resources.push_async_callback(store.close)
        history = await History.open(store, clock=clock, settings=HistorySettings())
        resources.push_async_callback(history.close)
        async with database.connect() as connection:
            directory = await load_directory(connection)
            overrides = await list_thresholds(connection)
            ended = await ended_devices(connection)
        models = dict(load_service_models(settings.data))
        yield _Past(history.reader, directory, overrides, models, Seen(question.step), ended)


async def _outcome(
    connection: AsyncConnection, pack: RulePack, past: _Past, question: Question, progress: Progress
) -> Outcome:
    thresholds = ThresholdReader(past.reader.strings)
    devices, contracts = devices_of(past.directory), past.directory.contracts
    thresholds.update(pack.thresholds, pack.rules.threshold_names, devices, past.overrides, contracts)
    engine = Engine(RoutingReader(past.reader, {THRESHOLD_METRIC: thresholds}), limits=Limits(seconds=STRETCH_SECONDS))
    if not past.seen.is_read:
        progress("reading when devices were seen")
        await asyncio.to_thread(past.seen.read, engine, question.start, question.end)
    found = await episodes_of(
        [(group, rule) for group in pack.rules.groups for rule in group.alert_rules],
        engine,
        start=question.start - WARM_UP,
        end=question.end,
        step=question.step,
        is_wanted=lambda one: _is_wanted(one, question),
        progress=progress,
        known=past.known,
    )
    progress(f"judging {len(found)} alerts")
    world = Surroundings(
        lambda customer, at: past.models.get(past.directory.plan_at(customer, at) or ""),
        past.seen.is_seen,
        lambda _device: None,
        lambda device, at: device in past.ended and past.ended[device] <= at,
        past.directory.tags_of,
        lambda: pack.inhibit,
        question.incidents,
        past.directory.scope_at,
    )
    outcome = await judge(
        connection,
        Incidents(world, thresholds.explain),
        pack.rules,
        found,
        question.end,
        plan_changes=[contract.valid_from for held in contracts.values() for contract in held],
    )
    outcome.unrecorded = await asyncio.to_thread(_unrecorded, pack, past.reader, question)
    return outcome


def _unrecorded(pack: RulePack, reader: SeriesReader, question: Question) -> dict[str, list[str]]:
    recorded = {rule.record for group in pack.rules.groups for rule in group.rules if isinstance(rule, RecordingRule)}
    start, end = to_milliseconds(question.start - WARM_UP), to_milliseconds(question.end)
    missing = {name for name in recorded if not len(reader.select((Matcher(NAME, MatchOp.EQUAL, name),), start, end))}
    found: dict[str, list[str]] = {}
    for rule in pack.rules.alert_rules:
        if lacking := missing.intersection(rule.plan.windows):
            found.setdefault(rule.alert, []).extend(sorted(lacking))
    return found


def _is_wanted(one: Episode, question: Question) -> bool:
    is_over = one.ended_at is not None and one.ended_at <= question.start
    return not is_over and question.customer in (None, one.labels.get("customer"))
