"""Two of the stories with their state in PostgreSQL, as they are and killed: an alert under both plans, and people who
work on tickets."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
import uvloop

from collector.config import CONFIG_NAME, DATABASE_NAME, load_settings
from collector.db.database import Database
from tests.db.fixtures import Cluster
from tests.scenarios.killing import Kill, play_and_kill
from tests.scenarios.outcome import Outcome
from tests.scenarios.run import Run
from tests.scenarios.story import STORIES, load_story

CHOSEN = ("plans_an_alert_fires", "technician_leaves")


@pytest.fixture
def on_server(postgresql: Cluster) -> Callable[[Path], Path]:
    """Makes a folder whose state is in a database of its own."""

    def made(folder: Path) -> Path:
        folder.mkdir(parents=True)
        (folder / CONFIG_NAME).write_text(f'database_url = "{asyncio.run(postgresql.make("template"))}"\n')
        return folder

    return made


async def outcome_in(folder: Path) -> Outcome:
    async with await Database.open(load_settings(folder).database) as database, database.connect() as connection:
        assert database.dialect == "postgresql"
        return await Outcome.read(connection)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHOSEN)
def test_story(name: str, folder: Path, on_server: Callable[[Path], Path], children: ForkServerContext) -> None:
    path = STORIES / f"{name}.yaml"
    story = load_story(path)
    tolerance, kill = story.interval + story.step, Kill.drawn(story, 0)
    of_kill = on_server(folder / "killed")
    with ThreadPoolExecutor(1) as beside:
        killed = beside.submit(play_and_kill, children, path, of_kill, None, kill=kill, tolerance=tolerance)
        run = Run(story, on_server(folder / "whole"))
        outcome = uvloop.run(run.play())
        problems = [*run.problems, *killed.result()]
    problems += outcome.differences(asyncio.run(outcome_in(of_kill)), tolerance)
    assert not problems, "\n".join(["", story.story, *problems, "as it came out:", outcome.told(story.zone)])
    assert not (folder / "whole" / DATABASE_NAME).exists()
