"""Every story, played once as it is and once with a kill -9 at a random place, must leave the same tickets."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
import uvloop

from collector.config import DATABASE_NAME
from collector.db.database import Database
from tests.scenarios.killing import Kill, play_and_kill
from tests.scenarios.outcome import Outcome
from tests.scenarios.run import Run
from tests.scenarios.story import STORIES, StoryError, load_story

FIRST_SEED = int(os.environ.get("SCENARIO_SEED", "0"))
KILLS = int(os.environ.get("SCENARIO_KILLS", "1"))  # of each story

LISTED = sorted(STORIES.glob("*.yaml"))


async def outcome_in(folder: Path) -> Outcome:
    async with await Database.open(f"sqlite:///{folder / DATABASE_NAME}") as database, database.connect() as connection:
        return await Outcome.read(connection)


@pytest.mark.slow
@pytest.mark.parametrize("path", LISTED, ids=lambda path: path.stem)
def test_story(path: Path, folder: Path, template: Path, children: ForkServerContext) -> None:
    story = load_story(path)
    tolerance = story.interval + story.step
    kills = [Kill.drawn(story, seed) for seed in range(FIRST_SEED, FIRST_SEED + KILLS)]
    folders = [folder / f"killed {kill.seed}" for kill in kills]
    with ThreadPoolExecutor(1) as beside:
        killed = [
            beside.submit(play_and_kill, children, path, of_kill, template, kill=kill, tolerance=tolerance)
            for kill, of_kill in zip(kills, folders, strict=True)
        ]
        run = Run(story, folder / "whole", template)
        outcome = uvloop.run(run.play())
        problems = [*run.problems, *(problem for one in killed for problem in one.result())]
    if not problems:
        for kill, of_kill in zip(kills, folders, strict=True):
            found = outcome.differences(asyncio.run(outcome_in(of_kill)), tolerance)
            problems += [f"{problem}; {kill}" for problem in found]
    assert not problems, "\n".join(["", story.story, *problems, "as it came out:", outcome.told(story.zone)])


def test_a_story_plays(folder: Path, template: Path) -> None:
    """One of them as it is, for those who have no time for all."""
    run = Run(load_story(STORIES / "break_fix_twin.yaml"), folder, template)
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
