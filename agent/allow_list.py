"""Which programs the collector may have this machine run: those that `agent.toml` names, and no others."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from protocol.errors import PermanentError

# Of monitoring-plugins 2.3: a folder does not allow them, only their own names do.
AS_TOLD = frozenset(
    {
        *("negate", "urlize", "check_by_ssh"),  # run the program that they are given
        *("check_breeze", "check_flexlm", "check_mailq", "check_oracle"),  # give arguments to a shell, or to sqlplus
        *("check_dbi", "check_mysql_query", "check_pgsql"),  # run any SQL
        "check_log",  # writes the file that it is given
    }
)


class NotAllowedError(PermanentError):
    """`agent.toml` does not allow this program."""


class AllowList:
    """Programs, and folders of programs."""

    def __init__(self, entries: Iterable[Path] = ()) -> None:
        self._entries = tuple(entries)

    def resolve(self, program: str) -> str:
        """The file to run, all links followed: it must be listed itself, or lie in a listed folder.

        Raises NotAllowedError."""
        asked = Path(program)
        if not asked.is_absolute():
            raise NotAllowedError(f"{program} is not an absolute path")
        try:
            real = asked.resolve()
            if not any(covers(entry.resolve(), real, asked.name) for entry in self._entries):
                raise NotAllowedError(f"agent.toml does not allow {program}: [checks] allow = [...]")
        except (OSError, RuntimeError) as error:  # links in a circle
            raise NotAllowedError(f"{program} leads nowhere ({error})") from error
        for path in (real, real.parent):
            if is_open_to_all(path):
                raise NotAllowedError(f"{program} is not run: anyone may change {path}")
        return str(real)


def covers(allowed: Path, real: Path, name: str) -> bool:
    if real == allowed:
        return not real.is_dir()
    return allowed in real.parents and not {real.name, name} & AS_TOLD


def is_open_to_all(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False  # not there: running it will tell
    return os.name == "posix" and bool(mode & stat.S_IWOTH)
