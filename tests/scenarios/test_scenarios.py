"""Every story, played once as it is and once with a kill -9 at a random place, must leave the same tickets. One of the
two has its state in SQLite and the other in PostgreSQL, which of them depends on the story's name."""

import asyncio
import os
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
import uvloop

from collector.config import load_settings
from collector.db.database import Database
from tests.db.fixtures import BACKENDS
from tests.scenarios.killing import Kill, play_and_kill
from tests.scenarios.outcome import Outcome
from tests.scenarios.run import Run
from tests.scenarios.story import STORIES, StoryError, load_story

FIRST_SEED = int(os.environ.get("SCENARIO_SEED", "0"))
KILLS = int(os.environ.get("SCENARIO_KILLS", "1"))  # of each story

LISTED = sorted(STORIES.glob("*.yaml"))


def backend_of(path: Path, kills: int) -> str:
    """Where a story's state is in the run that was played after so many kills of it; 0 is the run without one."""
    return BACKENDS[(zlib.crc32(path.stem.encode()) + kills) % len(BACKENDS)]


async def outcome_in(folder: Path, backend: str) -> Outcome:
    async with await Database.open(load_settings(folder).database) as database, database.connect() as connection:
        assert database.dialect == backend
        return await Outcome.read(connection)


@pytest.mark.slow
@pytest.mark.parametrize("path", LISTED, ids=lambda path: path.stem)
def test_story(path: Path, new_data: Callable[[str], Path], children: ForkServerContext) -> None:
    story = load_story(path)
    tolerance = story.interval + story.step
    kills = [Kill.drawn(story, seed) for seed in range(FIRST_SEED, FIRST_SEED + KILLS)]
    whole, *backends = [backend_of(path, count) for count in range(KILLS + 1)]
    folders = [new_data(backend) for backend in backends]
    run = Run(story, new_data(whole))
    with ThreadPoolExecutor(1) as beside:
        killed = [
            beside.submit(play_and_kill, children, path, folder, kill=kill, tolerance=tolerance)
            for kill, folder in zip(kills, folders, strict=True)
        ]
        outcome = uvloop.run(run.play())
        problems = [*run.problems, *(problem for one in killed for problem in one.result())]
    if not problems:
        for kill, folder, backend in zip(kills, folders, backends, strict=True):
            found = outcome.differences(asyncio.run(outcome_in(folder, backend)), tolerance)
            problems += [f"{problem}; {kill} on {backend}, on {whole} without" for problem in found]
    assert not problems, "\n".join(["", story.story, *problems, "as it came out:", outcome.told(story.zone)])


def test_both_databases_have_stories_that_are_killed() -> None:
    whole = {backend_of(path, 0) for path in LISTED}
    assert whole == {backend_of(path, 1) for path in LISTED} == set(BACKENDS)


def test_a_story_plays(new_data: Callable[[str], Path]) -> None:
    """One of them as it is, for those who have no time for all."""
    run = Run(load_story(STORIES / "break_fix_twin.yaml"), new_data("sqlite"))
    uvloop.run(run.play())
    assert run.problems == []


def test_a_story_that_says_nonsense_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "nonsense.yaml"
    path.write_text(
        "story: nonsense\nstart: mon 08:00\nuntil: mon 09:00\ncustomers: {acme: monthly}\n"
        "devices:\n  ws-1: {customer: acme}\ntimeline:\n  - {at: mon 08:10, devices: ws-1, does: start}\n"
        "expect: {tickets: []}\n"
    )
    with pytest.raises(StoryError, match=r"nonsense\.yaml:8: timeline\.0\.does: Extra inputs are not permitted"):
        load_story(path)


def test_kills_fall_within_the_story() -> None:
    for path in LISTED:
        story = load_story(path)
        steps = (story.ends_at - story.begins_at) / timedelta(seconds=1)
        assert all(0 < Kill.drawn(story, seed).step <= steps for seed in range(20))
