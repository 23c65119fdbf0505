"""Backups: how old the last one is, and how large. Files under a path, restic and borg repositories, Windows Backup."""

import fnmatch
import os
import shlex
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Self

from agent.addresses import masked
from agent.children import run_child
from agent.probes.base import (
    HOURLY_INTERVAL_SECONDS,
    Metric,
    MetricType,
    ProbeFailed,
    ProbeUnavailable,
    Sample,
)
from agent.probes.parsing import dig, dig_list, dig_number, dig_text, parse_json
from agent.probes.windows_backup import read_newest_version
from agent.settings import Section

BACKUP_LABEL = ("backup_name",)
MAX_BACKUPS = 50
MAX_ENTRIES_LOOKED_AT = 200_000
TOOL_TIMEOUT_SECONDS = 120.0


class BackupReading(NamedTuple):
    """The newest one. None: there is none, or it does not tell."""

    at: float | None  # Unix seconds
    size_bytes: float | None = None
    is_sound: bool = False  # there is one, and it holds something


class FileBackup(NamedTuple):
    """The newest file under `folder` whose name matches is the backup."""

    folder: Path
    match: str = "*"

    def read(self) -> BackupReading:
        """Raises OSError, or ProbeFailed if the folder holds too much to look through."""
        newest: os.stat_result | None = None
        waiting, looked_at = [os.fspath(self.folder)], 0
        while waiting:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    looked_at += 1
                    if looked_at > MAX_ENTRIES_LOOKED_AT:
                        raise ProbeFailed(
                            f"more than {MAX_ENTRIES_LOOKED_AT} files under {self.folder}; name a folder below"
                        )
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif fnmatch.fnmatchcase(entry.name, self.match):
                        found = entry.stat(follow_symlinks=False)
                        if stat.S_ISREG(found.st_mode) and (newest is None or found.st_mtime > newest.st_mtime):
                            newest = found
        if newest is None:
            return BackupReading(None)
        return BackupReading(newest.st_mtime, float(newest.st_size), newest.st_size > 0)


class ResticBackup(NamedTuple):
    repository: str
    password_file: Path | None = None

    def read(self) -> BackupReading:
        """Raises ProbeUnavailable or ProbeFailed."""
        # By the environment, since every user of the machine sees arguments, and an address may hold a password.
        variables = {"RESTIC_REPOSITORY": self.repository}
        if self.password_file:
            variables["RESTIC_PASSWORD_FILE"] = str(self.password_file)
        command = ["restic", "--no-lock", "--no-cache", "--quiet", "snapshots", "--json"]
        answer = run_child(command, timeout_seconds=TOOL_TIMEOUT_SECONDS, max_bytes=8 << 20, variables=variables)
        if answer.exit_code != 0:
            raise ProbeFailed(f"restic ended with exit code {answer.exit_code}; run `restic snapshots` by hand")
        return judge_restic(parse_json(answer.output, "restic"))


class BorgBackup(NamedTuple):
    repository: str
    password_file: Path | None = None

    def read(self) -> BackupReading:
        """Raises ProbeUnavailable or ProbeFailed."""
        variables = {
            "BORG_REPO": self.repository,
            "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
        }
        if self.password_file:
            variables["BORG_PASSCOMMAND"] = f"cat {shlex.quote(str(self.password_file))}"
        command = ["borg", "--bypass-lock", "info", "--last", "1", "--json"]
        answer = run_child(command, timeout_seconds=TOOL_TIMEOUT_SECONDS, variables=variables)
        if answer.exit_code not in (0, 1):  # 1: warnings
            raise ProbeFailed(f"borg ended with exit code {answer.exit_code}; run `borg info --last 1` by hand")
        return judge_borg(parse_json(answer.output, "borg"))


class WindowsBackup(NamedTuple):
    """A disk (`E:`), a share, or `local`: whatever this machine's catalogue knows. It tells no size."""

    target: str

    def read(self) -> BackupReading:
        """Raises ProbeUnavailable or ProbeFailed."""
        at = read_newest_version(self.target)
        return BackupReading(at, None, at is not None)


Backup = FileBackup | ResticBackup | BorgBackup | WindowsBackup


def judge_restic(content: object) -> BackupReading:
    """The newest in `restic snapshots --json`; it tells a size since version 0.17."""
    found = [(parse_time(dig_text(one, "time")), one) for one in content] if isinstance(content, list) else []
    known = [(at, one) for at, one in found if at is not None]
    if not known:
        return BackupReading(None)
    at, newest = max(known, key=lambda pair: pair[0])
    return BackupReading(at, dig_number(newest, "summary", "total_bytes_processed"), True)


def judge_borg(content: object) -> BackupReading:
    """The newest in `borg info --last 1 --json`; its times are local."""
    archives = dig_list(content, "archives")
    newest = archives[-1] if archives else None
    at = parse_time(dig_text(newest, "end")) or parse_time(dig_text(newest, "start"))
    return BackupReading(at, dig_number(dig(newest, "stats"), "original_size"), at is not None)


def parse_time(text: str) -> float | None:
    """ISO 8601 as Unix seconds, local time if it names no zone; None for anything else."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


class BackupProbe:
    """One that cannot be read is `ok` 0 and has no age: it is not known to be there."""

    name = "backups"
    isolated = True  # a network share may hang
    interval_seconds = HOURLY_INTERVAL_SECONDS
    timeout_seconds = 900.0
    metrics = (
        Metric("backup_age_seconds", MetricType.GAUGE, "seconds", "Age of the newest backup", BACKUP_LABEL),
        Metric("backup_size_bytes", MetricType.GAUGE, "bytes", "Size of the newest backup", BACKUP_LABEL),
        Metric(
            "backup_ok",
            MetricType.GAUGE,
            "boolean",
            "1 if there is one that can be read and is not empty",
            BACKUP_LABEL,
        ),
    )

    def __init__(self, backups: Mapping[str, Backup] | None = None, now: Callable[[], float] = time.time) -> None:
        self._backups = backups or {}
        self._now = now

    @classmethod
    def from_settings(cls, section: Section) -> Self:
        backups: dict[str, Backup] = {}
        tables = section.tables()
        if len(tables) > MAX_BACKUPS:
            section.refuse(f"at most {MAX_BACKUPS} backups, got {len(tables)}")
        for name, table in tables.items():
            backup = make_backup(table)
            if backup is not None:
                backups[name] = backup
        return cls(backups)

    def sample(self) -> list[Sample]:
        if not self._backups:
            raise ProbeUnavailable("no backup is named in agent.toml: [backups.NAME] path = ...")
        samples: list[Sample] = []
        for name, backup in self._backups.items():
            samples += self._to_samples(name, read_backup(backup))
        return samples

    def _to_samples(self, name: str, reading: BackupReading) -> Iterable[Sample]:
        labels = {"backup_name": name}
        yield Sample("backup_ok", int(reading.is_sound), labels)
        if reading.at is not None:
            yield Sample("backup_age_seconds", float(max(0, round(self._now() - reading.at))), labels)
        if reading.size_bytes is not None:
            yield Sample("backup_size_bytes", reading.size_bytes, labels)


def read_backup(backup: Backup) -> BackupReading:
    """Never raises: of several backups, one in trouble must not hide the others."""
    try:
        return backup.read()
    except (OSError, ProbeFailed, ProbeUnavailable):
        return BackupReading(None)


def make_backup(table: Section) -> Backup | None:
    """One of path, restic, borg and wbadmin; None if that is not so, and the section then knows."""
    path, match = table.path("path"), table.text("match")
    restic, borg, password_file = table.text("restic"), table.text("borg"), table.path("password_file")
    wbadmin = table.text("wbadmin")
    if sum(one is not None for one in (path, restic, borg, wbadmin)) != 1:
        table.refuse("must have exactly one of path, restic, borg and wbadmin")
        return None
    for key, repository in (("restic", restic), ("borg", borg)):
        if repository is not None and repository.startswith("-"):
            table.refuse(f"must be a repository, got {masked(repository)!r:.100}", key)
    if password_file is not None and (path is not None or wbadmin is not None):
        table.refuse("is for restic and borg", "password_file")
    if path is not None:
        return FileBackup(path, match or "*")
    if match is not None:
        table.refuse("is for path", "match")
    if wbadmin is not None:
        return WindowsBackup(wbadmin)
    if restic is not None:
        return ResticBackup(restic, password_file)
    return BorgBackup(borg or "", password_file)
