"""What the desk does by itself: clocks, assignment, maintenance, questions, the outbox, and keeping house."""

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta

from collector.app.connectors import connectors_of
from collector.app.upkeep import Upkeep
from collector.clock import Clock
from collector.config import Settings
from collector.contracts import DEFAULT_OFFICE_HOURS, OfficeHours, ServiceModels
from collector.contracts.maintenance_tasks import load_maintenance_tasks
from collector.contracts.promises import load_sla_book
from collector.db.database import Database
from collector.desk import outbox
from collector.desk.agreed import agreed_about
from collector.desk.assigning import Assigner
from collector.desk.clocks import ClockKeeper
from collector.desk.closing import close_resolved
from collector.desk.delivery import Deliverer
from collector.desk.team import reachable
from collector.desk.work import stop_forgotten
from collector.fleet import silent
from collector.fleet.contracts import Contract
from collector.fleet.customers import list_sites
from collector.fleet.events import delete_events
from collector.incidents.forgetting import forget_alerts
from collector.incidents.maintenance import MaintenanceRounds
from collector.incidents.onboarding import Onboardings
from collector.incidents.promised import Promised

logger = logging.getLogger(__name__)

SLA_SECONDS = 2.0
ASSIGNMENT_SECONDS = 3.0
OUTBOX_SECONDS = 1.0
SILENT_SECONDS = 60.0
MAINTENANCE_SECONDS = 60.0
HOUSEKEEPING_SECONDS = 3600.0


class Desk:
    """`contracts` are all of them by customer, `kind_and_tags` those of a device, as they are now."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        models: ServiceModels,
        clock: Clock,
        *,
        contracts: Callable[[], Mapping[str, Sequence[Contract]]],
        kind_and_tags: Callable[[str], tuple[str, Collection[str]]],
        questions: silent.Questions,
    ) -> None:
        self._settings = settings
        self._database = database
        self._clock = clock
        self._questions = questions
        self.sla_book = load_sla_book(settings.data)
        self.maintenance_tasks = load_maintenance_tasks(settings.data)
        self.promised = Promised(contracts, kind_and_tags, models, self.sla_book)
        self._clocks = ClockKeeper(database, self.promised)
        self._assigner = Assigner(database, agreed_about, settings.escalate_to)
        self._maintenance = MaintenanceRounds(
            database,
            models,
            self.maintenance_tasks,
            lambda customer: contracts().get(customer, ()),
            clock,
        )
        self._onboardings = Onboardings(database, models, clock)
        connectors = connectors_of(settings, database, clock)
        self.deliverer = Deliverer(database, connectors, clock, random.random)

    async def prepare(self) -> None:
        """To be called once, before it works."""
        now = self._clock()
        for level in self.sla_book.support_levels.values():  # loads their holidays, which takes a while
            await asyncio.to_thread(level.calendar.counted, now - timedelta(days=366), now)
        async with self._database.begin() as connection:
            await outbox.use_connectors(connection, self.deliverer.names, now)
            known = await reachable(connection)
        unknown = (self.sla_book.escalates_to | {self._settings.escalate_to}) - known
        if known and unknown:
            logger.warning(
                "these are no technician and no group, and what escalates to them reaches nobody: names=%s; put "
                "somebody in with: technicians change NAME --groups …, or name others in sla.yaml and the setting "
                "escalate_to",
                ",".join(sorted(unknown)),
            )

    @property
    def upkeep(self) -> Mapping[str, Upkeep]:
        return {
            "housekeeping": Upkeep(HOUSEKEEPING_SECONDS, self._keep_house),
            "outbox": Upkeep(OUTBOX_SECONDS, self.deliverer.turn),
            "sla clocks": Upkeep(SLA_SECONDS, self._keep_clocks),
            "assignment": Upkeep(ASSIGNMENT_SECONDS, self._assign_tickets),
            "silent devices": Upkeep(SILENT_SECONDS, self._review_silent_devices),
            "maintenance": Upkeep(MAINTENANCE_SECONDS, self._maintenance.turn),
            "onboarding": Upkeep(MAINTENANCE_SECONDS, self._onboardings.turn),
        }

    async def _keep_clocks(self) -> None:
        await self._clocks.turn(self._clock())

    async def _assign_tickets(self) -> None:
        assigned = await self._assigner.turn(self._clock())
        if assigned:
            logger.info("tickets assigned or escalated: count=%d", assigned)

    async def _review_silent_devices(self) -> None:
        async with self._database.begin() as connection:
            await silent.review(connection, self._questions, self._clock())

    async def _keep_house(self) -> None:
        """Closes what was resolved for long enough, stops work that was forgotten, and forgets what is too old."""
        now, settings = self._clock(), self._settings
        async with self._database.begin() as connection:
            await delete_events(connection, now - timedelta(days=settings.retention_days))
            await stop_forgotten(connection, now)
        async with self._database.connect() as connection:
            hours = {(site.customer, site.id): site.hours for site in await list_sites(connection)}

        def hours_of(customer: str, site: str | None) -> OfficeHours:
            return hours.get((customer, site or ""), DEFAULT_OFFICE_HOURS)

        await close_resolved(self._database, hours_of, settings.close_after_business_days, now)
        async with self._database.begin() as connection:
            await outbox.forget(
                connection,
                delivered_before=now - timedelta(days=settings.outbox_retention_days),
                written_before=now - timedelta(days=settings.alert_retention_days),
            )
        forgotten = await forget_alerts(self._database, now - timedelta(days=settings.alert_retention_days))
        if forgotten:
            logger.info("old alerts forgotten: count=%d", forgotten)
