"""Thresholds in a whole collector: what people set counts at the next evaluation, hours and plans by their time."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from collector.alerting.records import list_alerts
from collector.contracts import WeekHours, load_service_models
from collector.fleet.contracts import set_plan
from collector.fleet.layers import Layer
from collector.fleet.thresholds import set_threshold
from collector.incidents.reasons import why
from tests.db.copies import Copies
from tests.fleet.living import Life, resumed

RULE = """\
groups:
  - name: busy
    interval: 1m
    rules:
      - alert: Busy
        expr: x > on (device_id) group_left () quarkpulse_threshold{name="busy"}
        labels: {severity: minor}
"""
DEFINITIONS = "thresholds: {busy: {description: d, unit: tasks, default: 5}}\n"


async def a_server_reports(life: Life) -> None:
    """One server of acme's whose `x` is 1."""
    (life.folder / "rules" / "busy.yaml").write_text(RULE)
    (life.folder / "rules" / "thresholds.yaml").write_text(DEFINITIONS)
    await life.add("srv-1", "server")
    await life.start()
    await life.pass_(timedelta(minutes=3))


@pytest.fixture
async def life(copies: Copies) -> AsyncIterator[Life]:
    async with resumed(copies, a_server_reports) as life:
        yield life


async def put(life: Life, layer: Layer, subject: str, value: float, hours: str | None = None) -> None:
    async with life.opened() as state, state.begin() as connection:
        await set_threshold(
            connection,
            load_service_models(),
            name="busy",
            layer=layer,
            subject=subject,
            value=value,
            hours=None if hours is None else WeekHours.parse(hours),
            actor="anna",
            now=life.now,
        )


async def busy(life: Life) -> list[object]:
    async with life.opened() as state, state.connect() as connection:
        return [one["state"] for one in await list_alerts(connection, resolved_since=None) if one["rule"] == "Busy"]


async def test_hours_fire_and_are_named(life: Life) -> None:
    await put(life, Layer.DEVICE, "srv-1", 0.5, "mon-fri 09:05-09:20")  # it is 09:03 there
    await life.pass_(timedelta(minutes=1))
    assert await busy(life) == []
    await life.pass_(timedelta(minutes=2))
    assert await busy(life) == ["firing"]
    async with life.opened() as state, state.connect() as connection:
        (alert,) = (one for one in await list_alerts(connection, resolved_since=None) if one["rule"] == "Busy")
        told = (await why(connection, int(str(alert["id"])))).told()
    assert any("threshold busy is 0.5 (device srv-1, mon-fri 09:05-09:20 Europe/Amsterdam)" in line for line in told)
    await life.pass_(timedelta(minutes=15))
    assert await busy(life) == ["resolved"]


async def test_a_plan_brings_its_thresholds_on_its_day(life: Life) -> None:
    await put(life, Layer.PLAN, "break_fix", 0.5)
    async with life.opened() as state, state.begin() as connection:
        await set_plan(
            connection,
            load_service_models(),
            customer="acme",
            plan="break_fix",
            starts_at=life.now + timedelta(minutes=5),
            consent=None,
            actor="anna",
            now=life.now,
        )
    await life.pass_(timedelta(minutes=4))
    assert await busy(life) == []
    await life.pass_(timedelta(minutes=2))  # nothing changed in the database meanwhile
    assert await busy(life) == ["firing"]
