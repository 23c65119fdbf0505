"""A printer's black toner sinks over weeks: one order ticket for the customer with a contract, a shadow for the other,
and over when the cartridge is changed. The shipped rules, the whole collector, and a clock of the test's."""

import re
import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from collector.alerting.yamlfile import shipped_folder
from collector.db.tables import alerts, devices, shadow_tickets, tickets
from collector.desk.states import TicketStatus
from collector.desk.tickets import history
from tests.fleet.living import Life, living
from tests.fleet.printers import living as printers
from tests.fleet.printers.living import Told

STEP = timedelta(hours=4)
LEVEL = "printer_supply_level_ratio"


@pytest.fixture
async def life(tmp_path: Path, database_url: str) -> AsyncIterator[Life]:
    async with living(tmp_path, database_url) as life:
        for name in ("thresholds.yaml", "inhibit.yaml"):
            shutil.copy(shipped_folder() / name, life.folder / "rules")
        # Time goes by in steps of hours, and after each a condition would begin to hold anew.
        rules = (shipped_folder() / "printer.yaml").read_text(encoding="utf-8")
        at_once = re.sub(r"^        for: .*$", "        for: 0s", rules, flags=re.MULTILINE)
        (life.folder / "rules" / "printer.yaml").write_text(at_once, encoding="utf-8")
        for customer in ("acme", "bakkerij"):
            await life.add(f"srv-{customer}", "server", customer=customer)
        await life.start()
        await life.pass_(timedelta(minutes=2))
        yield life


class Office:
    """Printers that are used by day and switched off at night, read by the server of their customer."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.levels: dict[str, dict[str, float]] = {}  # by printer and colour
        self.per_day: dict[str, dict[str, float]] = {}
        self.pages: dict[str, float] = {}
        self.customers: dict[str, str] = {}

    async def add(self, name: str, customer: str = "acme", *, location: str = "", **per_day: float) -> str:
        printer = await printers.add(self.life, name, customer=customer)
        async with self.life.opened() as database, database.begin() as connection:
            about = {"model": "LaserJet", "location": location}
            await connection.execute(update(devices).where(devices.c.id == printer).values(inventory=about))
        self.levels[printer] = dict.fromkeys(per_day, 1.0)
        self.per_day[printer], self.pages[printer], self.customers[printer] = per_day, 10_000.0, customer
        return printer

    def change(self, printer: str, color: str) -> None:
        self.levels[printer][color] = 1.0

    async def pass_(self, days: float) -> None:
        for _ in range(round(timedelta(days=days) / STEP)):
            is_day = 8 <= (self.life.now + STEP).hour < 20
            for printer, levels in self.levels.items():
                if is_day:
                    for color, per_day in self.per_day[printer].items():
                        levels[color] = max(0.0, levels[color] - per_day / 3)
                    self.pages[printer] += 70
            self.life.now += STEP
            for printer in self.levels if is_day else ():
                await printers.tell(self.life, f"srv-{self.customers[printer]}", printer, self.told(printer))
            await self._work()

    async def _work(self) -> None:
        for machine in self.life.machines.values():
            await self.life.push(machine)
        for upkeep in self.life.collector.upkeep.values():
            await upkeep.work()
        await self.life.collector.evaluate()

    def told(self, printer: str) -> Told:
        found: dict[tuple[str, ...], float] = {("printer_pages_total",): self.pages[printer]}
        for number, (color, level) in enumerate(self.levels[printer].items(), start=1):
            named = {"index": str(number), "type": "toner", "color": color, "description": f"TK-1170 {color}"}
            labels = [text for name, value in named.items() for text in (f"printer_supply_{name}", value)]
            found[(LEVEL, *labels)] = round(level, 2)
        return found


async def description_of(life: Life, number: int) -> str:
    async with life.opened() as database, database.connect() as connection:
        return str(await connection.scalar(select(tickets.c.description).where(tickets.c.number == number)))


async def notes_of(life: Life, number: int) -> list[str]:
    async with life.opened() as database, database.connect() as connection:
        return [str(one.data["text"]) for one in await history(connection, number) if one.type == "comment"]


@pytest.mark.slow
async def test_toner_sinks_and_is_ordered_once(life: Life) -> None:
    office = Office(life)
    reception = await office.add("reception", location="Hal, begane grond", black=0.05)
    await office.add("bakery", "bakkerij", black=0.05)
    await office.pass_(2)
    assert await life.tickets() == []
    await office.pass_(9)
    (ticket,) = await life.tickets()
    assert (ticket.customer, ticket.device, ticket.title) == ("acme", None, "Printer supplies to order")
    told = await description_of(life, ticket.number)
    dutch, english = told.split("\n\n")
    assert dutch.startswith(
        "Te bestellen voor uw printers:\n- zwarte toner voor de printer reception (Hal, begane grond), nog "
    )
    assert (
        "To be ordered for the printers:\n- black toner for the printer reception (Hal, begane grond), about "
        in english
    )
    assert re.search(r"about ([89]|10) days left, TK-1170 black, good for about 4,[0-4]00 pages$", english)
    assert re.search(r"nog ongeveer ([89]|10) dagen, TK-1170 black, goed voor ongeveer 4\.[0-4]00 pagina's$", dutch)

    second = await office.add("upstairs", black=0.3, cyan=0.25)  # prints far more, and is on the same order
    await office.pass_(3)
    assert [one.number for one in await life.tickets()] == [ticket.number]
    told = await description_of(life, ticket.number)
    assert told.count("\n- ") == 6
    assert any("to be ordered as well" in one for one in await notes_of(life, ticket.number))

    for color in ("black", "cyan"):
        office.change(second, color)
    office.per_day[second] = {"black": 0.001, "cyan": 0.001}
    await office.pass_(1)
    assert (await description_of(life, ticket.number)).count("\n- ") == 2
    assert any(one.startswith("done: ") for one in await notes_of(life, ticket.number))
    assert (await life.tickets())[0].status is TicketStatus.NEW

    office.change(reception, "black")
    await office.pass_(1)
    (ticket,) = await life.tickets()
    assert ticket.status is TicketStatus.RESOLVED

    async with life.opened() as database, database.connect() as connection:
        shadows = (await connection.execute(select(shadow_tickets.c.customer, shadow_tickets.c.title))).all()
        assert [tuple(one) for one in shadows] == [("bakkerij", "Printer supplies to order")]
        late = await connection.scalars(select(alerts.c.rule).where(alerts.c.customer == "acme").distinct())
        assert {"PrinterSupplyToOrder", "PrinterSupplyRunsOut"} <= set(late)
