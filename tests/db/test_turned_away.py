"""A server that turns us away is told by name, with what to do: to wait for it would be to wait for ever."""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collector.app import serve
from collector.clock import system_clock
from collector.config import Settings
from collector.db.database import Database
from collector.db.errors import DatabaseError, DatabaseUnavailableError
from collector.db.postgresql import remedy_to_connect
from tests.db.fixtures import END_OTHERS, run_sql

ROLES = {
    "with_password": "LOGIN PASSWORD 'right'",
    "kept_out": "LOGIN",
    "no_login": "",
    "full": "LOGIN CONNECTION LIMIT 0",
    "without_rights": "LOGIN",
    "server": "LOGIN SUPERUSER",
}


@pytest.fixture
def with_roles(lend_postgresql: Callable[[], str]) -> Iterator[str]:
    """The URL of a database that each of the roles but the last may not use in its own way."""
    url = lend_postgresql()
    asyncio.run(run_sql(url, ";".join(f"CREATE ROLE {role} {options}" for role, options in ROLES.items())))
    yield url
    asyncio.run(run_sql(url, ";".join(f"DROP ROLE {role}" for role in ROLES)))


async def said_to(url: str) -> str:
    with pytest.raises(DatabaseError) as raised:
        async with await Database.open(url):
            pass
    return str(raised.value)


async def test_who_is_turned_away_is_told_why_and_what_to_do(with_roles: str) -> None:
    server, _, name = with_roles.rpartition("/")
    address = server.rpartition("@")[2]
    for who, database, why, todo in (
        ("with_password:wrong", name, "password authentication failed", "the password in database_url"),
        ("kept_out", name, "pg_hba.conf rejects connection", "pg_hba.conf"),
        ("no_login", name, 'role "no_login" is not permitted to log in', "LOGIN"),
        ("nobody", name, 'role "nobody" does not exist', "make the role"),
        ("without_rights", name, "permission denied for table alembic_version", "OWNER TO"),
        ("postgres", "nowhere", 'database "nowhere" does not exist', "createdb"),
        ("postgres", f"{name}?ssl=require", "rejected SSL upgrade", "(ssl=)"),
        ("postgres", f"{name}?ssl=perhaps", "must be one of: disable", "behind the ?"),
        ("postgres", f"{name}?colour=red&password=wrong", "unexpected keyword argument 'colour'", "behind the ?"),
    ):
        told = await said_to(f"postgresql://{who}@{address}/{database}")
        role, _, secret = who.partition(":")
        where = f"postgresql://{role}{':***' if secret else ''}@{address}/{database.partition('?')[0]}: "
        assert told.startswith(where) and why in told and todo in told and "wrong" not in told, told


async def test_a_server_that_is_full_is_waited_for(with_roles: str) -> None:
    with pytest.raises(DatabaseUnavailableError, match="too many connections"):
        await Database.open(with_roles.replace("postgres@", "full@"))


def test_a_certificate_that_is_not_the_servers_is_no_passing_thing() -> None:
    assert "TLS" in (remedy_to_connect(ssl.SSLCertVerificationError(1, "self-signed certificate")) or "")
    assert remedy_to_connect(ssl.SSLEOFError(8, "the server went away")) is None
    assert remedy_to_connect(ConnectionRefusedError("refused")) is None


async def test_serve_ends_when_it_is_turned_away(with_roles: str, tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "none.yaml").write_text("groups: []")
    settings = Settings.model_validate(
        {
            "data": tmp_path / "data",
            "rules_dir": tmp_path / "rules",
            "database_url": with_roles.replace("postgres@", "server@"),
            "listen": "127.0.0.1:0",
        }
    )
    tasks = []

    async def turn_away() -> None:
        await run_sql(with_roles, "ALTER ROLE server NOLOGIN")
        await run_sql(with_roles, END_OTHERS)

    never = asyncio.Event()
    async with asyncio.timeout(60):
        with pytest.raises(DatabaseError, match='role "server" is not permitted to log in'):
            await serve(
                settings,
                system_clock,
                stop=never,
                reload=never,
                on_listening=lambda _: tasks.append(asyncio.create_task(turn_away())),
            )
        await asyncio.gather(*tasks)
