"""Whatever happens: one open ticket per key, and each firing alert in its one place.

Hypothesis makes up stories of an hour; each is played by a collector with a real log and a real database, SQLite or
PostgreSQL, some of them in a process that is killed on the way. `SCENARIO_EXAMPLES` says how many.
"""

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
import uvloop
import yaml
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from tests.db.fixtures import BACKENDS
from tests.scenarios.killing import Kill, play_and_kill
from tests.scenarios.run import Run
from tests.scenarios.story import load_story

EXAMPLES = int(os.environ.get("SCENARIO_EXAMPLES", "10"))
BEGIN = datetime(2026, 3, 2, 9, 0)  # noqa: DTZ001 - as it stands in the file, in the story's zone
MINUTES = 45
LAST_CHANGE = 35  # then it is quiet, and tickets have time to settle
DEVICES = ("srv-1", "srv-2", "srv-3", "srv-4")  # three of the monthly customer's

WORLD: dict[str, object] = {
    "story": "made up",
    "start": f"{BEGIN:%Y-%m-%d %H:%M}",
    "until": f"{BEGIN + timedelta(minutes=MINUTES):%Y-%m-%d %H:%M}",
    "settings": {"storm_incidents": 2, "storm_within_seconds": 300, "flap_changes": 4, "steady_after_seconds": 300},
    "customers": {"acme": "monthly", "bakkerij": "break_fix"},
    "devices": {
        name: {"customer": "bakkerij" if name == "srv-4" else "acme", "reads": {"disk": 0.5, "queue": 0}}
        for name in DEVICES
    },
    "rules": [
        {"alert": "DiskFull", "expr": "system_filesystem_utilization_ratio > 0.95", "labels": {"severity": "critical"}},
        {
            "alert": "DiskFilling",
            "expr": "system_filesystem_utilization_ratio > 0.9",
            "for": "2m",
            "labels": {"severity": "minor", "incident": "DiskFull"},
        },
        {"alert": "QueueLong", "expr": "queue > 100", "labels": {"severity": "major", "scope": "site"}},
    ],
    "made_up": True,
    "expect": {"tickets": []},
}

device = st.sampled_from(DEVICES)
customer = st.sampled_from(["acme", "bakkerij"])
number = st.integers(1001, 1004)
what = st.one_of(
    st.builds(
        lambda who, level: {"devices": who, "reads": {"disk": level}}, device, st.sampled_from([0.5, 0.92, 0.97])
    ),
    st.builds(lambda who, level: {"devices": who, "reads": {"queue": level}}, device, st.sampled_from([0, 150])),
    st.builds(lambda level: {"devices": "srv-*", "reads": {"disk": level}}, st.sampled_from([0.5, 0.97])),
    st.builds(
        lambda who, act: {"devices": who, "do": act},
        device,
        st.sampled_from(["shut down", "start", "lose power", "reboot", "leave the network", "join the network"]),
    ),
    st.builds(
        lambda of, minutes: {"operator": f"silences add --match customer={of} --for {minutes}m --comment quiet"},
        customer,
        st.integers(2, 10),
    ),
    st.builds(
        lambda of, start, minutes: {
            "operator": f"windows add --customer {of} --from '{BEGIN + timedelta(minutes=start):%Y-%m-%d %H:%M}' "
            f"--lasts {minutes}m --reason work"
        },
        customer,
        st.integers(1, LAST_CHANGE),
        st.integers(2, 10),
    ),
    st.just({"operator": "windows end 1"}),
    st.builds(
        lambda of, plan: {"operator": f"customers set-plan {of} {plan}"},
        customer,
        st.sampled_from(["monthly", "break_fix"]),
    ),
    st.builds(
        lambda ticket, act: {"operator": act.format(ticket)},
        number,
        st.sampled_from(
            [
                "tickets comment {} 'on my way'",
                "tickets set-status {} in_progress",
                "tickets set-status {} resolved --force",
                "tickets set-status {} closed --force",
            ]
        ),
    ),
    st.builds(
        lambda limit, hold: {
            "edit": {"rule": "DiskFilling", "for": f"{hold}m", "expr": f"system_filesystem_utilization_ratio > {limit}"}
        },
        st.sampled_from([0.4, 0.9, 0.95]),
        st.integers(0, 5),
    ),
    st.just({"edit": {"rule": "QueueLong", "removed": True}}),
    st.sampled_from([{"collector": "stops"}, {"collector": "starts"}]),
)
timelines = st.lists(st.tuples(st.integers(1, LAST_CHANGE), what), min_size=2, max_size=14)
kills = st.none() | st.builds(Kill, st.integers(1, MINUTES), st.integers(1, 12), st.just(0))


LAST: tuple[int, dict[str, object]] = (LAST_CHANGE, {"collector": "starts"})


def written(path: Path, timeline: list[tuple[int, dict[str, object]]]) -> Path:
    """The story with this timeline as a file; the collector serves in the end."""
    entries: list[dict[str, object]] = [
        {"at": f"{BEGIN + timedelta(minutes=minute):%Y-%m-%d %H:%M}", **happens}
        for minute, happens in [*sorted(timeline, key=lambda one: one[0]), LAST]
    ]
    path.write_text(yaml.safe_dump({**WORLD, "timeline": entries}, sort_keys=False))
    return path


@pytest.mark.slow
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(timeline=timelines, kill=kills, backend=st.sampled_from(BACKENDS))
def test_any_story_keeps_the_promises(
    timeline: list[tuple[int, dict[str, object]]],
    kill: Kill | None,
    backend: str,
    new_data: Callable[[str], Path],
    children: ForkServerContext,
) -> None:
    folder = new_data(backend)
    path = written(folder / "story.yaml", timeline)
    note(f"{backend}\n{path.read_text()}")
    if kill is None:
        run = Run(load_story(path), folder)
        uvloop.run(run.play())
        problems = run.problems
    else:
        problems = play_and_kill(children, path, folder, kill=kill, tolerance=timedelta(minutes=1))
    assert not problems, "\n".join(problems)
