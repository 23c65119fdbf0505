"""What many alerts at once cost: statements are counted, since times depend on the machine."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from collector.alerting.evaluation import Transition
from collector.alerting.external import ExternalRule
from collector.alerting.state import Alert, Change, Phase, fingerprint
from collector.db.database import Database
from collector.desk.states import TicketStatus
from collector.incidents.round import Surroundings
from collector.incidents.service import Incidents
from collector.incidents.settings import IncidentSettings
from tests.db.fixtures import counting_statements
from tests.incidents.world import MODELS, START, World, world_with

RULES = "groups: [{name: world, rules: [{alert: DiskFull, expr: x > 0.9}]}]\n"
RULE = ExternalRule("external:0", "DiskFull")
FIRES, ENDS = (Change.STARTED, Change.FIRED), (Change.RESOLVED,)
NO_STORM = IncidentSettings(storm_incidents=1000)


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[World]:
    async with world_with(database, tmp_path, RULES) as made:
        yield made


def changes(count: int, changes: tuple[Change, ...]) -> list[Transition]:
    made = []
    for number in range(count):
        labels = {"alertname": "DiskFull", "customer": "acme", "site": "hq", "device_id": f"pc-{number}"}
        alert = Alert(labels, Phase.FIRING, START, 1.0, {}, START)
        made.append(Transition(RULE, fingerprint(labels), alert, changes))
    return made


async def statements_of(database: Database, some: list[Transition], *, plan: str = "monthly") -> int:
    world = Surroundings(
        lambda *_: MODELS[plan], lambda *_: True, lambda _: None, lambda *_: False, lambda _: (), tuple, NO_STORM
    )
    incidents = Incidents(world, lambda *_: None)
    async with counting_statements(database) as statements, database.begin() as connection:
        await incidents.apply(connection, some, START)
    return len(statements)


@pytest.mark.parametrize("plan", ["monthly", "break_fix"])
async def test_many_tickets_resolve_with_few_statements(world: World, database: Database, plan: str) -> None:
    few, many = 10, 500
    await statements_of(database, changes(many, FIRES), plan=plan)
    entries = await world.tickets() if plan == "monthly" else await world.shadows()
    assert (len(entries), {one.resolved_at for one in entries}) == (many, {None})
    cost_of_few = await statements_of(database, changes(few, ENDS), plan=plan)
    cost_of_many = await statements_of(database, changes(many, ENDS)[few:], plan=plan)
    assert cost_of_many - cost_of_few <= 10  # slices of the same, not statements for each
    assert cost_of_many <= 40
    if plan == "monthly":
        assert {one.status for one in await world.tickets()} == {TicketStatus.RESOLVED}
    else:
        assert all(one.resolved_at for one in await world.shadows())


@pytest.mark.parametrize("plan", ["monthly", "break_fix"])
async def test_many_tickets_open_with_few_statements(world: World, plan: str) -> None:
    few, many = 10, 500
    cost_of_few = await statements_of(world.database, changes(many + few, FIRES)[many:], plan=plan)
    cost_of_many = await statements_of(world.database, changes(many, FIRES), plan=plan)
    assert cost_of_many - cost_of_few <= 25  # slices of the same, not statements for each
    assert cost_of_many <= 50
