import math

import pytest

from collector.contracts import UnknownPlanError, WeekHours
from collector.db import audit
from collector.db.database import Database
from collector.db.revisions import revisions
from collector.fleet.customers import ensure_site
from collector.fleet.errors import FleetError, NotFoundError
from collector.fleet.layers import Layer
from collector.fleet.thresholds import list_thresholds, set_threshold, unset_threshold
from tests.fleet.world import ACTOR, MODELS, NOW, after, make_customer

FULL = "filesystem_full"


async def test_a_threshold_is_replaced_and_unset_but_stays_on_record(database: Database) -> None:
    async with database.begin() as connection:
        await make_customer(connection)
        await ensure_site(connection, customer="acme", site="hq", actor=ACTOR, now=NOW)
        for value, hours in ((0.9, 0), (0.8, 1)):
            await set_threshold(
                connection,
                MODELS,
                name=FULL,
                layer=Layer.SITE,
                subject="acme/hq",
                value=value,
                actor=ACTOR,
                now=after(hours=hours),
            )

        async def unset(hours: float) -> None:
            await unset_threshold(
                connection, name=FULL, layer=Layer.SITE, subject="acme/hq", actor=ACTOR, now=after(hours=hours)
            )

        await unset(2)
        with pytest.raises(NotFoundError):
            await unset(3)
    async with database.connect() as connection:
        rows = await list_thresholds(connection)
        late = await list_thresholds(connection, since=after(minutes=90))
        assert (await revisions(connection))["thresholds"] == 3
    assert [(row.value, row.valid_from, row.valid_to) for row in rows] == [
        (0.9, NOW, after(hours=1)),
        (0.8, after(hours=1), after(hours=2)),
    ]
    assert [row.value for row in late] == [0.8]
    assert {(row.name, row.layer, row.subject, row.set_by) for row in rows} == {(FULL, Layer.SITE, "acme/hq", ACTOR)}


@pytest.mark.parametrize(
    ("name", "layer", "subject", "value", "error"),
    [
        (FULL, Layer.CUSTOMER, "acme", math.nan, FleetError),
        (FULL, Layer.CUSTOMER, "acme", math.inf, FleetError),
        ("Filesystem full", Layer.CUSTOMER, "acme", 1, FleetError),
        (FULL, Layer.CUSTOMER, "nobody", 1, NotFoundError),
        (FULL, Layer.SITE, "acme/nowhere", 1, NotFoundError),
        (FULL, Layer.DEVICE, "nothing", 1, NotFoundError),
        (FULL, Layer.PLAN, "yearly", 1, UnknownPlanError),
    ],
)
async def test_what_a_threshold_cannot_be(
    database: Database, *, name: str, layer: Layer, subject: str, value: float, error: type[Exception]
) -> None:
    async with database.begin() as connection:
        await make_customer(connection)
        with pytest.raises(error):
            await set_threshold(
                connection, MODELS, name=name, layer=layer, subject=subject, value=value, actor=ACTOR, now=NOW
            )


async def test_hours_stand_beside_the_value_for_all_times(database: Database) -> None:
    night, longer = WeekHours.parse("mon-fri 22:00-02:00"), WeekHours.parse("mon-fri 22:00-03:00")
    async with database.begin() as connection:
        await make_customer(connection)

        async def put(value: float, hours: WeekHours | None, after_hours: float) -> None:
            await set_threshold(
                connection,
                MODELS,
                name=FULL,
                layer=Layer.CUSTOMER,
                subject="acme",
                value=value,
                hours=hours,
                actor=ACTOR,
                now=after(hours=after_hours),
            )

        async def unset(hours: WeekHours | None, after_hours: float) -> None:
            await unset_threshold(
                connection,
                name=FULL,
                layer=Layer.CUSTOMER,
                subject="acme",
                hours=hours,
                actor=ACTOR,
                now=after(hours=after_hours),
            )

        await put(0.9, None, 0)
        await put(0.8, night, 1)
        await put(0.7, night, 2)
        with pytest.raises(FleetError, match="has a value for mon-fri 22:00-02:00 at customer acme, which overlaps"):
            await put(0.6, longer, 3)
        await unset(None, 4)
        with pytest.raises(NotFoundError, match="and all times; it is set for the hours mon-fri 22:00-02:00"):
            await unset(None, 5)
        await unset(night, 6)
        await put(0.6, longer, 7)
        rows = await list_thresholds(connection)
        records = await audit.latest(connection, 1)
    assert [(row.value, row.hours, row.valid_to) for row in rows] == [
        (0.9, None, after(hours=4)),
        (0.8, night, after(hours=2)),
        (0.7, night, after(hours=6)),
        (0.6, longer, None),
    ]
    assert records[0].data == {"layer": "customer", "subject": "acme", "value": 0.6, "hours": "mon-fri 22:00-03:00"}
