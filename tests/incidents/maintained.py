"""A desk with regular maintenance whose clock the test moves."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from collector.contracts import load_service_models
from collector.contracts.maintenance_tasks import load_maintenance_tasks
from collector.db.database import Database
from collector.desk import tickets
from collector.desk.tickets import Ticket
from collector.fleet.contracts import Contract, list_contracts
from collector.fleet.customers import add_customer, ensure_site
from collector.incidents.maintenance import MaintenanceRounds, NewPlan, add_plan
from collector.incidents.windows import Scope

MODELS = load_service_models()
TASKS = load_maintenance_tasks()
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
AMSTERDAM = ZoneInfo("Europe/Amsterdam")
PATCHES = NewPlan(
    scope=Scope("acme", "hq"),
    task="patch_round",
    starts_local=datetime(2026, 3, 8, 2, 0),  # noqa: DTZ001 - the clock on the wall
    recurrence="FREQ=WEEKLY;BYDAY=SU",
)


@dataclass
class Desk:
    database: Database
    now: datetime = START
    contracts: dict[str, list[Contract]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """As a process that died and came back: nothing but the database is left."""
        self.rounds = MaintenanceRounds(self.database, MODELS, TASKS, self._contracts_of, lambda: self.now)

    def _contracts_of(self, customer: str) -> Iterable[Contract]:
        return self.contracts.get(customer, ())

    async def load(self) -> None:
        async with self.database.connect() as connection:
            self.contracts = {"acme": await list_contracts(connection, "acme")}

    async def plan(self, wanted: NewPlan = PATCHES) -> int:
        async with self.database.begin() as connection:
            return await add_plan(connection, MODELS, TASKS, wanted, author="anna", now=self.now)

    async def until(self, at: datetime, *, step: timedelta = timedelta(hours=6)) -> list[Ticket]:
        """Time goes by, and the rounds that come due open."""
        while self.now < at:
            self.now = min(self.now + step, at)
            await self.rounds.turn()
        return await self.tickets()

    async def tickets(self) -> list[Ticket]:
        async with self.database.connect() as connection:
            return list(reversed(await tickets.list_tickets(connection)))

    async def notes(self, number: int) -> list[str]:
        async with self.database.connect() as connection:
            events = await tickets.history(connection, number)
        return [str(one.data["text"]) for one in events if one.type == "comment"]


async def desk_of(database: Database) -> Desk:
    """With the customer acme, who has a monthly contract."""
    async with database.begin() as connection:
        await add_customer(
            connection, MODELS, customer="acme", name="Acme", plan="monthly", consent=None, actor="t", now=START
        )
        await ensure_site(connection, customer="acme", site="hq", actor="t", now=START)
    desk = Desk(database)
    await desk.load()
    return desk


def local(day: int, hour: int = 2, minute: int = 0, month: int = 3) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=AMSTERDAM).astimezone(UTC)


async def opened(desk: Desk, task: str = "restore_test") -> int:
    values = {name: getattr(PATCHES, name) for name in NewPlan.__annotations__}
    await desk.plan(NewPlan(**(values | {"task": task})))
    (ticket,) = await desk.until(local(6))
    return ticket.number
