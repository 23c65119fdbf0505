"""A query and a rule that run into their time limit are stopped, and the loop goes on meanwhile (see test_loop_lag)."""

import asyncio
import time
from datetime import timedelta
from pathlib import Path

import pytest
from pytest_aiohttp.plugin import AiohttpClient

from bench._evaluating import rig
from bench._fleet import Fleet, rule_file
from collector.alerting.evaluation import Pass, advance_alerts
from collector.alerting.rulefile import load_rules
from collector.api.query import QueryApi
from collector.clock import from_milliseconds, system_clock
from collector.promql import Engine, Limits
from tests.alerting.test_loop_lag import assert_left_free, noise
from tests.api.query_fixtures import application, no_alerting
from tests.api.test_query_load import until

pytestmark = pytest.mark.slow

DEVICES = 1_000
MINUTES = 12
LIMITS = Limits(samples=10**10, seconds=1.0)
STOPPED_SECONDS = 60.0  # the limit is looked at between steps, and the machine is shared
LONG = 'quantile_over_time(0.9, rate({__name__=~"system_.+"}[5m])[10m:1s])'  # many seconds of computing
LONG_RULE = f"groups: [{{name: long, rules: [{{alert: Long, expr: '{LONG}', labels: {{severity: minor}}}}]}}]"


@pytest.mark.usefixtures("collected_as_in_serve")
async def test_what_runs_long_is_stopped_by_its_time_limit(tmp_path: Path, aiohttp_client: AiohttpClient) -> None:
    (tmp_path / "rules.yaml").write_text(rule_file(15))
    (tmp_path / "long.yaml").write_text(LONG_RULE)
    (group,) = load_rules([tmp_path / "long.yaml"]).groups
    fleet = Fleet(DEVICES, int((time.time() - MINUTES * 60) * 1000))
    async with rig(tmp_path, fleet, load_rules([tmp_path / "rules.yaml"])) as made:
        for minute in range(MINUTES):
            await made.deliver(fleet.start_ms + (minute + 1) * 60_000)
        baseline = await noise()
        api = QueryApi(made.store.reader, system_clock, "1", no_alerting, lookback=timedelta(minutes=5), limits=LIMITS)
        client = await aiohttp_client(application(api))

        async def query() -> None:
            async with asyncio.timeout(STOPPED_SECONDS):
                began = time.monotonic()
                answer = await client.get("/api/v1/query", params={"query": LONG})
                told = await answer.json()
                assert time.monotonic() - began >= LIMITS.seconds, told  # it ran, and was not refused before
                await until(lambda: api.in_hand == 0)  # the thread stops too
            assert (answer.status, told["errorType"]) in {(503, "timeout"), (422, "execution")}, told
            assert "timed out" in told["error"] or "limit seconds" in told["error"]

        await assert_left_free(baseline, query)

        engine = Engine(made.store.reader, limits=LIMITS)

        async def evaluate() -> None:
            done = Pass.of(group, from_milliseconds(fleet.start_ms + MINUTES * 60_000))
            async with asyncio.timeout(STOPPED_SECONDS):
                began = time.monotonic()
                await asyncio.to_thread(advance_alerts, group.alert_rules[0], {}, engine, done)
                assert time.monotonic() - began >= LIMITS.seconds
            assert "limit seconds" in done.errors["Long"]

        await assert_left_free(baseline, evaluate)
