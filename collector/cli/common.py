"""What the commands share: where the state is, who is asking, and how rows are printed."""

import asyncio
import functools
import getpass
import json
import os
import re
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Concatenate, ParamSpec, TypeVar

import click

from collector.cli.tables import aligned, fields_of, print_on_terminal, to_json, to_text
from collector.config import DATABASE_NAME, DEFAULT_DATA, ENVIRONMENT_PREFIX, Settings, load_settings

if TYPE_CHECKING:  # SQLAlchemy takes a while to load, and `--help` should not wait for it
    from collector.db.database import Database

P = ParamSpec("P")
R = TypeVar("R")
Row = Mapping[str, object]

MAX_NAME_CHARS = 90  # with user and machine a record has room for 200

json_option = click.option("--json", "as_json", is_flag=True, help="Print a JSON array of objects and nothing else.")


class Duration(click.ParamType[timedelta]):
    """A length of time as a number and a unit: 90s, 15m, 12h, 7d, 4w."""

    name = "duration"
    _UNITS: ClassVar = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        match = re.fullmatch(r"([1-9][0-9]{0,5})([smhdw])", str(value))
        if match is None:
            self.fail(f"write a length of time like 12h or 7d (units: s, m, h, d, w), not {value!r}", param, ctx)
        return timedelta(**{self._UNITS[match[2]]: int(match[1])})


DURATION = Duration()


def with_settings(command: Callable[Concatenate[Settings, P], R]) -> Callable[P, R]:
    """Adds `--data` and `--config`; the command gets the settings they lead to as its first argument.

    An option of the command's that bears a setting's name is taken from its arguments and overrides that setting.
    """

    @click.option(
        "--data",
        type=click.Path(file_okay=False, path_type=Path),
        envvar=f"{ENVIRONMENT_PREFIX}DATA",
        help=f"Folder of the collector's state.  [default: {DEFAULT_DATA}]",
    )
    @click.option(
        "--config",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        envvar=f"{ENVIRONMENT_PREFIX}CONFIG",
        help="Settings in TOML, instead of config.toml in the data folder.",
    )
    @functools.wraps(command)
    def with_options(*args: P.args, **kwargs: P.kwargs) -> R:
        data, config = kwargs.pop("data"), kwargs.pop("config")
        assert data is None or isinstance(data, Path)  # noqa: S101 - as click made them
        assert config is None or isinstance(config, Path)  # noqa: S101
        given = {name: kwargs.pop(name) for name in Settings.model_fields if name in kwargs}
        return command(load_settings(data, config, **given), *args, **kwargs)

    return with_options


def with_database(command: Callable[Concatenate["Database", Settings, P], Awaitable[R]]) -> Callable[P, R]:
    """Like `with_settings`, for a coroutine that gets the open state database first, then the settings.

    The database must be there: a typo in --data must not answer with an empty one.
    """
    return _with_database(command, may_begin=False)


def with_new_database(command: Callable[Concatenate["Database", Settings, P], Awaitable[R]]) -> Callable[P, R]:
    """Like `with_database`, for the commands that begin one where there is none."""
    return _with_database(command, may_begin=True)


def _with_database(
    command: Callable[Concatenate["Database", Settings, P], Awaitable[R]], *, may_begin: bool
) -> Callable[P, R]:
    @with_settings
    @functools.wraps(command)
    def in_a_loop(settings: Settings, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if not may_begin:
            _require_state(settings)

        async def opened() -> R:
            from collector.db.database import Database  # noqa: PLC0415 - see the note above

            async with await Database.open(settings.database) as database:
                return await command(database, settings, *args, **kwargs)

        return asyncio.run(opened())

    return in_a_loop


def has_state(settings: Settings) -> bool:
    """Whether there is a database to ask."""
    return settings.database_url is not None or (settings.data / DATABASE_NAME).exists()


def _require_state(settings: Settings) -> None:
    """Raises click.ClickException if the data folder holds no state. A server's database is asked by its own means."""
    if settings.database_url is not None:
        return
    try:
        (settings.data / DATABASE_NAME).stat()
    except (FileNotFoundError, NotADirectoryError):
        raise click.ClickException(
            f"there is no collector state in {settings.data}: check --data, or begin with serve or customers add"
        ) from None
    except OSError as exc:
        raise click.ClickException(
            f"{settings.data}: {exc.strerror}: run this as the user that runs serve, or check --data"
        ) from exc


def actor() -> str:
    """Who runs this command, for the audit: `anna@desk-3`. Under sudo it is who called sudo."""
    return f"{os.environ.get('SUDO_USER') or getpass.getuser()}@{socket.gethostname()}"


def me() -> str:
    """The name of who runs this command, without the machine: a technician's, if it is one."""
    return actor().partition("@")[0]


def acting_as(who: str | None) -> str:
    """Under whom a change is recorded that `--as` names somebody else for: `anna (root@desk-3)` tells both."""
    return actor() if who is None else f"{who[:MAX_NAME_CHARS]} ({actor()})"


# Who does what the command says, where that may be somebody else than who runs it. Everywhere under this name.
as_option = click.option(
    "--as", "who", help="Who does it: a technician's id, or a name.  [default: the name you are logged in with]"
)


def print_rows(rows: Sequence[Row], *, as_json: bool, columns: Sequence[str] | None = None) -> None:
    """Prints rows as a JSON array, as a table on a terminal, or else as plain aligned text.

    `columns` picks what people see, by default every key of the first row; JSON always holds every key.
    """
    if as_json:
        click.echo(json.dumps(rows, default=to_json, ensure_ascii=False, indent=2))
        return
    if not rows:
        click.echo("none", err=True)
        return
    shown = list(columns or rows[0])
    cells = [[to_text(row[column]) for column in shown] for row in rows]
    if sys.stdout.isatty():
        print_on_terminal(shown, cells)
    else:
        click.echo(aligned([[column.upper() for column in shown], *cells]))


def print_fields(row: Row, *, as_json: bool) -> None:
    """Prints one thing, a field a line, or as a JSON array of one object."""
    if as_json:
        print_rows([row], as_json=True)
    else:
        click.echo(aligned(list(fields_of(row))))
