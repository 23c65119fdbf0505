"""Everything that serves, built and joined."""

import asyncio
import logging
import time
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Coroutine,
    Mapping,
    Sequence,
)
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from importlib.metadata import version

from aiohttp import web

from collector.alerting.external import Posted
from collector.alerting.loop import EvaluationStats, Evaluator
from collector.alerting.pack import RulePack
from collector.alerting.reader import RoutingReader
from collector.alerting.recording import Recorder
from collector.alerting.records import evaluated_until
from collector.alerting.replay import DevicesReader
from collector.alerting.rulefile import RuleFileError, RuleSet
from collector.alerting.tenancy import THRESHOLD_METRIC
from collector.alerting.thresholds import ThresholdReader
from collector.api.agents import AgentApi
from collector.api.alertmanager.api import AlertmanagerApi
from collector.api.desk.frame import DeskApi
from collector.api.device_metrics import DeviceMetrics
from collector.api.health import HealthApi
from collector.api.measure import measured
from collector.api.push import PushApi
from collector.api.query import QueryApi
from collector.api.shortcut import PushShortcut
from collector.app.desk import Desk
from collector.app.fleet import Fleet
from collector.app.health import Wellbeing, evaluated_groups
from collector.app.http import listening
from collector.app.operations import desk_operations
from collector.app.printers import Printers
from collector.app.settings import incident_settings, load_rules, own_rules
from collector.app.upkeep import Upkeep, repeat
from collector.clock import Clock, SteadyClock, from_milliseconds
from collector.config import RulesEngine, Settings
from collector.contracts import DEFAULT_OFFICE_HOURS, load_service_models
from collector.db.database import Database
from collector.fleet.enrollment import Enrollment
from collector.fleet.events import record_events
from collector.fleet.keeper import PresenceKeeper
from collector.fleet.presence import Patience
from collector.fleet.presence_series import PresenceSeries
from collector.fleet.provider import COLLECTOR_TARGET, ensure_provider
from collector.fleet.watch import Heard, PresenceWatch
from collector.incidents.assigning import assigned
from collector.incidents.external import ExternalAlerts, ExternalLive
from collector.incidents.late import OwnAlerts, PostedAlerts
from collector.incidents.late_data import LateData, Live
from collector.incidents.questions import TicketQuestions
from collector.incidents.round import Surroundings
from collector.incidents.service import Incidents
from collector.ingest.native import Ingest, Sender
from collector.promql import Engine
from collector.reporting.dead_man import TURN_SECONDS, DeadMan
from collector.reporting.exposition import Exposition
from collector.reporting.own_health import WRITE_SECONDS, OwnHealth
from collector.reporting.pushes import PushMetrics
from collector.series.history.blocks import BlockSettings
from collector.series.history.history import History, HistorySettings
from collector.series.keeping import HeadLimits
from collector.series.long_windows import LongWindowReader
from collector.series.read import SeriesReader
from collector.series.slab import BYTES_PER_SAMPLE
from collector.series.store import SampleStore, StoreSettings
from protocol import wire
from protocol.models import Event

logger = logging.getLogger(__name__)

WATCH_SECONDS = 0.5  # how soon a change made on the command line is noticed
PRESENCE_SECONDS = 2.0
EXTERNAL_SECONDS = 1.0
LATE_DATA_SECONDS = 5.0
DAY_MS = 86_400_000


class Collector:
    """Everything that serves, put together. Made by `opened`.

    `loops` runs it by the wall clock. Who has a clock of his own calls what they call: `evaluate`, the `upkeep` when it
    is due, and `use_rules` for a reload.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        pack: RulePack,
        database: Database,
        store: SampleStore,
        history: History,
        monotonic: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._pack = pack
        self._database = database
        self._store = store
        self._history = history
        self._version = version("quarkpulse")
        self._thresholds = ThresholdReader(store.reader.strings)
        models = load_service_models(settings.data)
        fleet = self.fleet = Fleet(settings, database, models, self._thresholds, clock, pack=pack)
        self._long_windows = LongWindowReader(
            store.reader,
            history.reader,
            history,
            store.late,
            clock,
            max_samples=settings.long_window_bytes // BYTES_PER_SAMPLE,
            monotonic=monotonic,
        )
        self._reader = RoutingReader(self._long_windows, {THRESHOLD_METRIC: self._thresholds})
        self._engine = Engine(self._reader, lookback=settings.lookback)
        self._watch = PresenceWatch(
            self._heard,
            timedelta(seconds=settings.push_interval_seconds),
            monotonic,
            Patience(gone_after=timedelta(seconds=settings.gone_after_seconds)),
        )
        self._presence = PresenceKeeper(
            self._watch,
            PresenceSeries(store, self._watch.known, self._version),
            store,
            database,
            members=lambda: fleet.directory.members,
            clock=clock,
        )
        world = Surroundings(
            fleet.model_of,
            self._watch.is_seen,
            self._watch.last_heard,
            lambda device, _at: fleet.is_ended(device),
            fleet.tags_of,
            lambda: self._pack.inhibit,
            incident_settings(settings),
            fleet.scope_of,
        )
        self._incidents = Incidents(world, self._thresholds.explain)
        self._external = ExternalAlerts(database, self._incidents, self._assigned, clock)
        self._late_data = LateData(
            store,
            database,
            world,
            lambda: self._live,
            self._reader_of,
            clock,
            timedelta(seconds=settings.lookback_seconds),
            PostedAlerts() if self._has_ruler else OwnAlerts(),
        )
        self._desk = Desk(
            settings,
            database,
            fleet.models,
            clock,
            contracts=lambda: fleet.directory.contracts,
            kind_and_tags=fleet.kind_and_tags_of,
            questions=TicketQuestions(fleet.model_of),
        )
        self._printers = Printers(
            store,
            database,
            self._watch,
            clock,
            settings.lookback,
            members=lambda: fleet.directory.members,
            after_change=fleet.notice_changes,
        )
        self._recorder = Recorder(store)
        url = settings.deadman_url
        self._dead_man = DeadMan(
            "" if url is None else url.get_secret_value(),
            settings.deadman_seconds,
            lambda: None if url is None else self._passes(),
            clock,
            monotonic,
        )
        self._evaluation = EvaluationStats()
        self._take_up(pack)
        self._ingest = Ingest(store, self, clock)
        self._pushes = PushMetrics()
        self._wellbeing = Wellbeing(
            self._version,
            settings.data,
            store,
            self._ingest,
            history,
            self._pushes,
            self._evaluation,
            self._dead_man,
            self._desk.deliverer,
            self._external,
            clock,
            devices=lambda: self._watch.counts(fleet.directory.members),
            rules=lambda: self._evaluator.rules,
            without_contract=fleet.without_contract,
        )
        self._own_health = OwnHealth(Recorder(store), COLLECTOR_TARGET, self._wellbeing.report, clock)
        self._push_api = PushApi(fleet.authenticate, self._ingest)
        self._queries = QueryApi(
            RoutingReader(history.reader, {THRESHOLD_METRIC: self._thresholds}),
            clock,
            self._version,
            lambda: evaluated_groups(self._evaluator, self._evaluation),
            lookback=settings.lookback,
        )
        self._device_metrics = DeviceMetrics(
            RoutingReader(store.reader, {THRESHOLD_METRIC: self._thresholds}),
            fleet.read_access,
            clock,
            settings.lookback,
            lambda: fleet.directory.targets,
        )

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, settings: Settings, wall: Clock, pack: RulePack, monotonic: Callable[[], float] = time.monotonic
    ) -> AsyncIterator["Collector"]:
        """Database and samples as the last process left them, the head rebuilt, alerts taken up again.

        `monotonic` measures the devices' silence, and how long it takes to read late samples, in seconds."""
        async with AsyncExitStack() as resources:
            database = await resources.enter_async_context(await Database.open(settings.database))
            async with database.connect() as connection:
                reached = max((await evaluated_until(connection)).values(), default=None)
            interval = timedelta(seconds=settings.evaluation_interval_seconds)
            clock = SteadyClock(wall, monotonic, reached=reached, unsure=interval)
            store = await SampleStore.open(
                settings.data,
                windows=own_rules(pack, settings).windows,
                clock=clock,
                settings=StoreSettings(
                    head=HeadLimits(lookback_ms=int(settings.lookback_seconds * 1000)),
                    retention_seconds=settings.retention_days * 86_400,
                    retention_bytes=settings.retention_bytes,
                ),
            )
            resources.push_async_callback(store.close)
            retention = BlockSettings(
                retention_ms=int(settings.retention_days * DAY_MS),
                printer_retention_ms=int(settings.retention_days_printers * DAY_MS),
                retention_bytes=settings.retention_bytes,
            )
            history = await History.open(store, clock=clock, settings=HistorySettings(blocks=retention))
            resources.push_async_callback(history.close)
            collector = cls(
                settings,
                clock,
                pack=pack,
                database=database,
                store=store,
                history=history,
                monotonic=monotonic,
            )
            await asyncio.to_thread(DEFAULT_OFFICE_HOURS.is_open, clock())  # loads the holidays, which takes a while
            async with database.begin() as connection:
                await ensure_provider(connection, collector.fleet.models, plan=settings.provider_plan, now=clock())
            await collector._desk.prepare()
            await collector.fleet.reload()
            await collector._presence.turn()  # the rules find every device's presence as it was
            await collector._external.restore(collector._evaluator.rules, takes_over=collector._has_ruler)
            await collector._evaluator.restore()
            yield collector

    # What runs beside the requests

    def loops(self, reload: asyncio.Event) -> Mapping[str, Coroutine[None, None, None]]:
        """Each for a task of its own; none ends by itself, and one that fails takes the process down, loudly."""
        return {
            "rules": self._evaluate(reload),
            "store": self._store.maintain(),
            "history": self._history.maintain(),
            **{name: repeat(name, upkeep) for name, upkeep in self.upkeep.items()},
        }

    @property
    def upkeep(self) -> Mapping[str, Upkeep]:
        """What is done beside pushes and rules, by name."""
        return {
            "changes": Upkeep(WATCH_SECONDS, self.fleet.notice_changes),
            "dead man": Upkeep(TURN_SECONDS, self._dead_man.turn),
            "own health": Upkeep(WRITE_SECONDS, self._own_health.write),
            "presence": Upkeep(PRESENCE_SECONDS, self._presence.turn),
            "external alerts": Upkeep(EXTERNAL_SECONDS, self._external.turn),
            "late data": Upkeep(LATE_DATA_SECONDS, self._late_data.settle),
            **self._printers.upkeep,
            **self._desk.upkeep,
        }

    async def _evaluate(self, reload: asyncio.Event) -> None:
        """Runs the rules; after each reload the new ones."""
        while True:
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(self._evaluator.run(), name="rule groups")
                pack = await self._next_rules(reload)
                running.cancel()
            await self.use_rules(pack)

    async def evaluate(self) -> None:
        """Evaluates the rule groups whose instant has come."""
        await self._evaluator.evaluate_due()

    async def use_rules(self, pack: RulePack) -> None:
        """Goes on with other rules; alerts whose rule stays go on with it."""
        await self._store.set_windows(own_rules(pack, self._settings).windows)
        self._pack = pack
        self._take_up(pack)
        await self.fleet.use_rules(pack)
        await self._evaluator.restore()
        logger.info("rules reloaded: groups=%d version=%s", len(pack.rules.groups), pack.rules.version)

    def _take_up(self, pack: RulePack) -> None:
        """Has the rules evaluated: by the collector, or, save those about itself, by a ruler."""
        self._evaluator = self._new_evaluator(own_rules(pack, self._settings))
        self._external.use_rules(pack.rules)
        interval = timedelta(seconds=self._settings.evaluation_interval_seconds)
        ruler = ExternalLive(pack.rules, self._external, interval, self._clock)
        self._live: Live = ruler if self._has_ruler else self._evaluator

    def _passes(self) -> int | None:
        """How many passes there were; None while something is wrong, or the last one was not stored, or is late."""
        own = None if list(self._wellbeing.what_is_wrong()) else self._evaluator.passes
        return own if own is None or not self._has_ruler else own + self._external.sweeps

    @property
    def _has_ruler(self) -> bool:
        return self._settings.rules_engine is RulesEngine.EXTERNAL

    def _assigned(self, posted: Posted) -> tuple[Posted, bool]:
        return assigned(posted, self.fleet.directory)

    async def _next_rules(self, reload: asyncio.Event) -> RulePack:
        """Waits for a reload that brings good rules; bad ones are told and change nothing."""
        while True:
            await reload.wait()
            reload.clear()
            try:
                return await asyncio.to_thread(load_rules, self._settings)
            except RuleFileError as error:
                logger.error("reload refused, the old rules stay:\n%s", error)  # noqa: TRY400 - the text says it all

    # What the parts ask of each other

    def _new_evaluator(self, rules: RuleSet) -> Evaluator:
        return Evaluator(
            rules,
            self._engine,
            self._database,
            self._incidents,
            self._recorder,
            clock=self._clock,
            default_interval=timedelta(seconds=self._settings.evaluation_interval_seconds),
            stats=self._evaluation,
        )

    def _reader_of(self, devices: Collection[str]) -> SeriesReader:
        """All that is stored of some devices, and the thresholds."""
        return RoutingReader(DevicesReader(self._history.reader, devices), {THRESHOLD_METRIC: self._thresholds})

    def _heard(self, device: str) -> Heard | None:
        known = self._store.freshness(device)
        if known is None:
            return None
        newest = None if known.newest_ms is None else from_milliseconds(known.newest_ms)
        return Heard(from_milliseconds(known.received_ms), newest, timedelta(seconds=known.interval_seconds))

    @property
    def ingest(self) -> Ingest:
        return self._ingest

    @property
    def store(self) -> SampleStore:
        return self._store

    @property
    def history(self) -> History:
        return self._history

    async def take(
        self, sender: Sender, events: Sequence[Event], inventory: Mapping[str, object] | None, received_ms: int
    ) -> None:
        """Keeps what a push told beside its frames; a goodbye ends the device's series at once."""
        device, now = sender.target.device_id, from_milliseconds(received_ms)
        heard = self._heard(device)
        newest_at = None if heard is None else heard.newest_at
        async with self._database.begin(short=True) as connection:
            told = await record_events(connection, device, events, inventory, now, newest_at=newest_at)
            await self._printers.take(connection, sender, events, now)
        self._watch.take(device, told, now)
        if told.goodbye is not None:
            await self._store.end_device(device, received_ms)

    # HTTP

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """The URL that answers while this is entered; on leaving, requests in hand are finished."""
        try:
            shortcut = PushShortcut(self._push_api, self._pushes)
            async with listening(self._settings, self._routes(), shortcut) as url:
                yield url
        finally:
            self._queries.close()
            self._device_metrics.close()

    def _routes(self) -> Sequence[web.AbstractRouteDef]:
        settings = self._settings
        access, fleet = self.fleet.read_access, self.fleet
        agents = AgentApi(
            directory=lambda: fleet.directory,
            reload_directory=fleet.reload,
            database=self._database,
            enrollment=Enrollment(fleet.models, self._watch.last_heard, settings.max_devices),
            clock=self._clock,
            push_interval_seconds=settings.push_interval_seconds,
        )
        desk = DeskApi(
            desk_operations(
                lambda: fleet.directory,
                lambda: self._pack.thresholds,
                fleet.models,
                self._desk.promised,
                tasks=self._desk.maintenance_tasks,
                book=self._desk.sla_book,
                escalate_to=settings.escalate_to,
                max_devices=settings.max_devices,
            ),
            self._database,
            fleet.access_token,
            self._clock,
            version=self._version,
        )
        alertmanager = AlertmanagerApi.of(
            self._external, self._database, fleet.access_token, self._clock, self._version
        )
        health = HealthApi(
            self._database, Exposition(self._wellbeing.report, self._pushes), self._wellbeing.what_is_wrong
        )
        return [
            *agents.routes(),
            web.post(wire.PUSH_PATH, measured(self._push_api.push, self._pushes)),
            *self._queries.routes(access.guard),
            *alertmanager.routes(),
            *self._device_metrics.routes(),
            *health.routes(access.guard),
            *desk.routes(),
        ]
