import asyncio
import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, inspect, select, text, update
from sqlalchemy.exc import IntegrityError

from bench._postgresql import USER
from collector.db import audit
from collector.db.check import POSTGRESQL_ONLY, problems_of
from collector.db.database import Database
from collector.db.errors import DatabaseError, DatabaseUnavailableError
from collector.db.inserts import insert_absent, insert_absent_returning
from collector.db.migrate import HEAD, make_config
from collector.db.revisions import Topic, bump, revisions
from collector.db.tables import customers, sites
from tests.db.fixtures import Cluster, run_sql
from tests.db.racing import race

NOW = datetime(2026, 3, 2, 9, 30, 0, 250_000, tzinfo=UTC)
ACME = {"id": "acme", "name": "Acme BV", "created_at": NOW}


async def test_what_is_committed_is_there_and_what_failed_is_not(database: Database) -> None:
    async with database.begin() as connection:
        await connection.execute(insert(customers).values(ACME))
    with pytest.raises(RuntimeError):
        async with database.begin() as connection:
            await connection.execute(insert(customers).values({**ACME, "id": "other"}))
            raise RuntimeError
    async with database.connect() as connection:
        rows = (await connection.execute(select(customers.c.id, customers.c.created_at))).all()
    assert rows == [("acme", NOW)]


async def test_of_no_rows_none_is_inserted(database: Database) -> None:
    async with database.begin() as connection:
        assert await insert_absent(connection, customers, []) == 0
        assert await insert_absent_returning(connection, customers, [], customers.c.id) == []
        assert await insert_absent(connection, customers, [ACME, ACME | {"id": "other"}]) == 2
        assert await insert_absent(connection, customers, [ACME]) == 0


async def test_lists_have_the_indexes_that_only_postgresql_needs(database: Database) -> None:
    async with database.connect() as connection:
        found = await connection.run_sync(lambda sync: inspect(sync).get_indexes("tickets"))
    only = {one["name"] for one in found} & set(POSTGRESQL_ONLY)
    assert only == (set(POSTGRESQL_ONLY) if database.dialect == "postgresql" else set())


async def test_foreign_keys_hold(database: Database) -> None:
    with pytest.raises(IntegrityError):
        async with database.begin() as connection:
            await connection.execute(insert(sites).values(customer="nobody", id="hq", name="hq", created_at=NOW))


async def test_a_time_without_zone_is_refused(database: Database) -> None:
    with pytest.raises(Exception, match="without zone"):
        async with database.begin() as connection:
            await connection.execute(insert(customers).values({**ACME, "created_at": NOW.replace(tzinfo=None)}))


async def test_migrations_make_the_tables_that_the_code_knows(empty_url: str) -> None:
    async with await Database.open(empty_url) as database:
        assert await problems_of(database) == []


async def test_a_role_that_may_create_no_extension_migrates_without_the_index_that_needs_it(
    postgresql: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    url = await postgresql.make()
    await run_sql(url, "CREATE ROLE plain LOGIN; GRANT CREATE ON SCHEMA public TO plain")
    async with await Database.open(url.replace(f"{USER}@", "plain@")) as database:
        assert await problems_of(database) == []
        async with database.connect() as connection:
            assert await connection.scalar(text("SELECT to_regclass('ix_tickets_words')")) is None
    assert "permission denied to create extension" in caplog.text


async def test_the_newest_migration_is_the_one_that_the_code_names(database: Database) -> None:
    def heads(connection: Connection) -> list[str]:
        return ScriptDirectory.from_config(make_config(connection)).get_heads()

    async with database.connect() as connection:
        assert await connection.run_sync(heads) == [HEAD]


async def test_a_database_of_a_newer_version_is_refused(database_url: str) -> None:
    async with await Database.open(database_url) as database, database.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match="newer Quarkpulse"):
        await Database.open(database_url)


async def open_and_count(url: str) -> int:
    async with await Database.open(url) as database, database.connect() as connection:
        return len((await connection.execute(select(customers.c.id))).all())


def open_in_a_process(url: str) -> int:
    return asyncio.run(open_and_count(url))


@pytest.mark.slow
def test_processes_that_arrive_together_migrate_once(empty_url: str) -> None:
    assert race(open_in_a_process, [(empty_url,)] * 2) == [0, 0]


async def add_one(database: Database) -> None:
    async with database.begin() as connection:
        read = await connection.scalar(select(customers.c.name).where(customers.c.id == "acme").with_for_update())
        await connection.execute(update(customers).where(customers.c.id == "acme").values(name=f"{int(read or 0) + 1}"))


async def add_many(url: str, times: int) -> None:
    async with await Database.open(url) as database:
        await asyncio.gather(*(add_one(database) for _ in range(times)))


def add_in_a_process(url: str, times: int) -> None:
    asyncio.run(add_many(url, times))


@pytest.mark.slow
async def test_writers_that_read_first_lose_nothing(database: Database, database_url: str) -> None:
    async with database.begin() as connection:
        await connection.execute(insert(customers).values({**ACME, "name": "0"}))
    await asyncio.to_thread(race, add_in_a_process, [(database_url, 20)] * 2)
    async with database.connect() as connection:
        assert await connection.scalar(select(customers.c.name)) == "40"


async def test_who_asks_anything_of_postgresql_gets_a_plan_for_what_is_asked(postgresql: Cluster) -> None:
    told = text("SELECT sum(generic_plans) FROM pg_prepared_statements WHERE statement LIKE 'SELECT customers.name%'")
    async with await Database.open(await postgresql.make("template")) as database:
        for asks_anything, planned_for_all in ((True, False), (False, True)):
            async with database.connect(asks_anything=asks_anything) as connection:
                for number in range(10):
                    await connection.execute(select(customers.c.name).where(customers.c.id == f"customer-{number}"))
                assert bool(await connection.scalar(told)) is planned_for_all


async def test_revisions_rise_with_each_change(database: Database) -> None:
    async with database.connect() as connection:
        assert await revisions(connection) == {}
    for _ in range(2):
        async with database.begin() as connection:
            await bump(connection, Topic.FLEET)
    async with database.connect() as connection:
        assert await revisions(connection) == {"fleet": 2}


async def test_the_audit_names_who_did_what(database: Database) -> None:
    async with database.begin() as connection:
        for subject in ("acme", "other"):
            await audit.record(
                connection, actor="anna@desk", action="customers.add", subject=subject, now=NOW, data={"plan": "x"}
            )
    async with database.connect() as connection:
        (newest,) = await audit.latest(connection, 1)
    assert (newest.at, newest.actor, newest.action, newest.subject) == (NOW, "anna@desk", "customers.add", "other")
    assert newest.data == {"plan": "x"}


async def test_sqlite_is_durable_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "made" / "quarkpulse.db"
    async with await Database.open(f"sqlite:///{path}") as database, database.connect() as connection:
        found = [
            await connection.scalar(text(f"PRAGMA {pragma}"))
            for pragma in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]
    assert found == ["wal", 2, 1, 15_000]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def owners_of(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_uid for path in folder.iterdir()}


@pytest.mark.needs_root
async def test_what_root_makes_belongs_to_the_folders_owner(tmp_path: Path) -> None:
    os.chown(tmp_path, 12_345, 12_345)
    async with await Database.open(f"sqlite:///{tmp_path}/quarkpulse.db"):
        owners = await asyncio.to_thread(owners_of, tmp_path)
    assert owners == {"quarkpulse.db": 12_345, "quarkpulse.db-wal": 12_345, "quarkpulse.db-shm": 12_345}


async def test_a_database_that_somebody_keeps_is_told_as_passing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.db.database.BUSY_TIMEOUT_SECONDS", 0.01)
    url = f"sqlite:///{tmp_path}/quarkpulse.db"
    async with await Database.open(url) as holder, await Database.open(url) as waiter, holder.begin():
        with pytest.raises(DatabaseUnavailableError, match="locked"):
            async with waiter.begin():
                pass


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://root@localhost/x", "use sqlite or postgresql"),
        ("nonsense", "is no URL"),
        ("sqlite://", "name a file"),
        ("sqlite:////proc/nowhere/x.db", "choose another --data"),
    ],
)
async def test_an_unusable_url_is_explained(url: str, said: str) -> None:
    with pytest.raises(DatabaseError, match=said):
        await Database.open(url)


async def test_a_file_that_is_no_database_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(DatabaseError, match="not a database"):
        await Database.open(f"sqlite:///{path}")


async def test_a_server_that_is_not_there_is_told_as_passing(free_port: Callable[[], int]) -> None:
    with pytest.raises(DatabaseUnavailableError, match="cannot connect"):
        await Database.open(f"postgresql://nobody:secret@127.0.0.1:{free_port()}/x")
