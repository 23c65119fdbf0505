"""What is ordered by the week is one ticket a week: the label `ticket_every`."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from collector.db.tables import alerts
from tests.fleet.living import Life, living
from tests.fleet.printers import living as printers

RULES = """\
groups:
  - name: orders
    interval: 1m
    rules:
      - alert: ToOrder
        expr: level < 0.2
        labels: {severity: minor, scope: customer, incident: orders, ticket_every: 7d}
        annotations: {ticket_title: To order, summary: "{{ $labels.device_id }} is low"}
      - alert: Urgent
        expr: level <= 0
        labels: {severity: major, scope: customer, incident: orders}
"""
STEP = timedelta(minutes=1)


@pytest.fixture
async def life(tmp_path: Path, database_url: str) -> AsyncIterator[Life]:
    async with living(tmp_path, database_url) as life:
        (life.folder / "rules" / "presence.yaml").write_text(RULES)
        for customer in ("acme", "bakkerij"):
            await life.add(f"srv-{customer}", "server", customer=customer)
        await life.start()
        await life.pass_(timedelta(minutes=2))
        yield life


class Levels:
    def __init__(self, life: Life) -> None:
        self.life = life
        self.of: dict[str, float] = {}

    async def add(self, name: str, customer: str = "acme") -> str:
        printer = await printers.add(self.life, name, customer=customer)
        self.of[printer] = 1.0
        return printer

    async def pass_(self, **time: float) -> None:
        """In one go, and then a minute, so that what is told then is judged."""
        for step in (timedelta(**time) - STEP, STEP):
            self.life.now += step - STEP
            for printer, level in self.of.items():
                customer = self.life.collector.fleet.directory.members[printer].target.customer
                await printers.tell(self.life, f"srv-{customer}", printer, {("level",): level}, at=self.life.now + STEP)
            await self.life.pass_(STEP)

    async def reasons(self) -> list[tuple[str, str, str]]:
        """Of alerts that fire: the rule, what became of it and why."""
        async with self.life.opened() as database, database.connect() as connection:
            rows = await connection.execute(
                select(alerts.c.rule, alerts.c.outcome, alerts.c.reason).where(alerts.c.resolved_at.is_(None))
            )
            return [(row.rule, row.outcome, row.reason) for row in rows]


async def told(life: Life) -> list[tuple[str, str]]:
    return [(one.title, one.status) for one in await life.tickets()]


async def test_what_can_wait_waits_for_the_next_week(life: Life) -> None:
    levels = Levels(life)
    one, two, three = [await levels.add(name) for name in ("one", "two", "three")]
    levels.of[one] = 0.1
    await levels.pass_(hours=1)
    levels.of[two] = 0.1
    await levels.pass_(days=1)
    assert await told(life) == [("To order", "new")]  # it joins the one that is open
    levels.of = dict.fromkeys(levels.of, 1.0)
    await levels.pass_(days=1)
    assert await told(life) == [("To order", "resolved")]
    levels.of[one] = 0.1
    await levels.pass_(hours=2)
    assert await told(life) == [("To order", "new")]  # a day has not gone by: it was not over
    levels.of[one] = 1.0
    await levels.pass_(hours=1)
    await levels.pass_(days=2)
    levels.of[two] = 0.1
    await levels.pass_(hours=1)
    assert await told(life) == [("To order", "resolved")]
    ((rule, outcome, reason),) = await levels.reasons()
    assert (rule, outcome) == ("ToOrder", "suppressed")
    assert reason.startswith("held back: ticket 1001 is less than 7d old; this waits for the next one, from 2026-03-09")
    levels.of[three] = 0.15
    await levels.pass_(days=4)
    assert await told(life) == [("To order", "closed"), ("To order", "new")]
    assert {outcome for _, outcome, _ in await levels.reasons()} == {"ticket"}


async def test_what_cannot_wait_does_not(life: Life) -> None:
    levels = Levels(life)
    one, two = await levels.add("one"), await levels.add("two")
    levels.of[one] = 0.1
    await levels.pass_(hours=1)
    levels.of[one] = 1.0
    await levels.pass_(hours=1)
    await levels.pass_(days=2)
    levels.of[two] = 0.1
    await levels.pass_(hours=1)
    assert len(await life.tickets()) == 1
    levels.of[two] = 0.0
    await levels.pass_(hours=1)
    assert [one.status for one in await life.tickets()] == ["resolved", "new"]
    assert {outcome for _, outcome, _ in await levels.reasons()} == {"ticket"}


async def test_shadows_wait_alike(life: Life) -> None:
    levels = Levels(life)
    one = await levels.add("one", "bakkerij")
    for level in (0.1, 1.0):
        levels.of[one] = level
        await levels.pass_(hours=1)
    await levels.pass_(days=2)
    levels.of[one] = 0.1
    await levels.pass_(hours=1)
    ((_, outcome, reason),) = await levels.reasons()
    assert (outcome, reason.split(" is ")[0]) == ("suppressed", "held back: shadow ticket 1")
    assert await life.tickets() == []


async def test_many_cartridges_that_are_changed_in_one_visit_do_not_come_and_go(life: Life) -> None:
    levels = Levels(life)
    names = [await levels.add(f"printer-{number}") for number in range(6)]
    for name in names:
        levels.of[name] = 0.1
    await levels.pass_(minutes=2)
    assert await told(life) == [("To order", "new")]
    await levels.pass_(days=3)
    for name in names:
        levels.of[name] = 1.0
        await levels.pass_(minutes=2)
    assert await told(life) == [("To order", "resolved")]
