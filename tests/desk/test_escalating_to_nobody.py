"""What escalates to a group that nobody is in is told when the collector starts."""

import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest

from collector.app.desk import Desk
from collector.config import Settings
from collector.contracts import load_service_models
from collector.db.database import Database
from collector.desk.technicians import Profile, add_technician, change_technician
from collector.fleet.directory import FleetDirectory
from collector.incidents.questions import TicketQuestions

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


async def told_at_start(database: Database, data: Path, caplog: pytest.LogCaptureFixture) -> list[str]:
    caplog.clear()
    questions = TicketQuestions(lambda _customer, _at: None)
    desk = Desk(
        Settings(data=data),
        database,
        load_service_models(),
        lambda: NOW,
        contracts=dict,
        kind_and_tags=FleetDirectory().kind_and_tags,
        questions=questions,
    )
    await desk.prepare()
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_start_tells_of_targets_that_name_nobody_once_there_are_technicians(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert await told_at_start(database, tmp_path, caplog) == []
    async with database.begin() as connection:
        await add_technician(connection, "anna", Profile("Anna"), actor="eve", now=NOW)
    (told,) = await told_at_start(database, tmp_path, caplog)
    assert "names=dispatch,second-line;" in told
    async with database.begin() as connection:
        groups = {"groups": ("dispatch", "second-line")}
        await change_technician(connection, "anna", groups, actor="eve", now=NOW)
    assert await told_at_start(database, tmp_path, caplog) == []
