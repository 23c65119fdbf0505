"""Backups: real files, and real repositories where restic and borg are installed."""

import contextlib
import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.probes import backups
from agent.probes.backups import (
    BackupProbe,
    BackupReading,
    BorgBackup,
    FileBackup,
    ResticBackup,
    WindowsBackup,
    judge_borg,
    judge_restic,
    parse_time,
)
from agent.probes.base import ProbeFailed, ProbeUnavailable
from agent.probes.windows_backup import newest_version, read_newest_version
from agent.settings import Section, SettingsError, load_settings
from tests.conftest import require


def write(path: Path, size: int, at: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (at, at))


def values(probe: BackupProbe) -> dict[tuple[str, str], float | None]:
    return {
        (sample.labels["backup_name"], sample.name.removeprefix("backup_")): sample.value for sample in probe.sample()
    }


def test_the_newest_file_that_matches_is_the_backup(tmp_path: Path) -> None:
    write(tmp_path / "2026/05/db.dump", 300, 1000.0)
    write(tmp_path / "2026/06/db.dump", 200, 2000.0)
    write(tmp_path / "2026/06/db.log", 10, 3000.0)
    (tmp_path / "latest").symlink_to(tmp_path / "2026/06/db.log")
    (tmp_path / "loop").symlink_to(tmp_path)
    probe = BackupProbe({"db": FileBackup(tmp_path, "*.dump"), "any": FileBackup(tmp_path)}, now=lambda: 5000.0)
    assert values(probe) == {
        ("db", "ok"): 1,
        ("db", "age_seconds"): 3000.0,
        ("db", "size_bytes"): 200.0,
        ("any", "ok"): 1,
        ("any", "age_seconds"): 2000.0,
        ("any", "size_bytes"): 10.0,
    }


def test_an_empty_one_is_not_sound_and_one_in_trouble_hides_no_other(tmp_path: Path) -> None:
    write(tmp_path / "empty/db.dump", 0, 1000.0)
    (tmp_path / "none").mkdir()
    write(tmp_path / "good/db.dump", 1, 1000.0)
    probe = BackupProbe(
        {
            "gone": FileBackup(tmp_path / "gone"),
            "none": FileBackup(tmp_path / "none"),
            "empty": FileBackup(tmp_path / "empty"),
            "broken": ResticBackup(str(tmp_path / "none")),
            "good": FileBackup(tmp_path / "good"),
        },
        now=lambda: 1000.0,
    )
    found = values(probe)
    assert {name: value for (name, metric), value in found.items() if metric == "ok"} == {
        "gone": 0,
        "none": 0,
        "empty": 0,
        "broken": 0,
        "good": 1,
    }
    assert {name for name, metric in found if metric == "age_seconds"} == {"empty", "good"}


def test_a_folder_with_too_much_in_it_is_not_looked_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backups, "MAX_ENTRIES_LOOKED_AT", 5)
    for number in range(6):
        write(tmp_path / str(number), 1, 1000.0)
    with pytest.raises(ProbeFailed, match="more than 5 files"):
        FileBackup(tmp_path).read()


@pytest.mark.parametrize(
    ("backup", "variable", "program"),
    [(ResticBackup, "RESTIC_REPOSITORY", "restic"), (BorgBackup, "BORG_REPO", "borg")],
)
def test_an_address_with_its_password_is_in_no_list_of_processes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    backup: type[ResticBackup | BorgBackup],
    variable: str,
    program: str,
) -> None:
    file = tmp_path / program
    file.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/arguments\necho "${variable}" >{tmp_path}/variable\nexit 9\n')
    file.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(ProbeFailed):
        backup("rest:https://me:secret@nas/").read()
    assert "secret" not in (tmp_path / "arguments").read_text()
    assert (tmp_path / "variable").read_text() == "rest:https://me:secret@nas/\n"


@pytest.mark.slow
def test_a_real_restic_repository(tmp_path: Path) -> None:
    restic = require("restic")
    repository, password = tmp_path / "repository", tmp_path / "password"
    password.write_text("secret\n")
    write(tmp_path / "data/file", 5000, 1000.0)
    environment = {**os.environ, "RESTIC_PASSWORD_FILE": str(password), "RESTIC_CACHE_DIR": str(tmp_path / "cache")}
    for command in (["init"], ["backup", str(tmp_path / "data")]):
        subprocess.run(
            [restic, "-r", repository, *command], env=environment, check=True, capture_output=True, timeout=60
        )
    reading = ResticBackup(str(repository), password).read()
    assert reading.at is not None and abs(reading.at - time.time()) < 120
    assert reading.is_sound
    password.write_text("wrong\n")
    with pytest.raises(ProbeFailed, match="restic ended with exit code"):
        ResticBackup(str(repository), password).read()


@pytest.mark.slow
def test_a_real_borg_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    borg = require("borg")
    repository, password = tmp_path / "repository", tmp_path / "pass word"
    password.write_text("secret\n")
    write(tmp_path / "data/file", 5000, 1000.0)
    monkeypatch.setenv("BORG_BASE_DIR", str(tmp_path / "base"))
    environment = {**os.environ, "BORG_PASSPHRASE": "secret"}
    for command in (
        ["init", "--encryption=repokey", str(repository)],
        ["create", f"{repository}::one", str(tmp_path / "data")],
    ):
        subprocess.run([borg, *command], env=environment, check=True, capture_output=True, timeout=60)
    reading = BorgBackup(str(repository), password).read()
    assert reading.at is not None and abs(reading.at - time.time()) < 120
    assert (reading.size_bytes, reading.is_sound) == (5000, True)
    password.write_text("wrong\n")
    with pytest.raises(ProbeFailed, match="borg ended with exit code"):
        BorgBackup(str(repository), password).read()


def test_restic_of_today_tells_the_size() -> None:
    snapshots = [
        {"time": "2026-05-14T08:12:11.123456789+02:00", "summary": {"total_bytes_processed": 77}},
        {"time": "2026-05-13T08:12:11Z", "summary": {"total_bytes_processed": 66}},
        {"time": "never"},
    ]
    assert judge_restic(snapshots) == BackupReading(1778739131.123456, 77, True)
    assert judge_restic([]) == judge_restic(None) == BackupReading(None)


def test_times() -> None:
    assert parse_time("2026-05-14T08:12:11+00:00") == 1778746331.0
    assert parse_time("") is None


JSON = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=20) | st.datetimes().map(lambda at: at.isoformat()),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["time", "summary", "archives", "end", "stats", "original_size"]), inner, max_size=4
        )
    ),
    max_leaves=10,
)


@given(JSON)
def test_any_json_is_borne(content: object) -> None:
    judge_restic(content)
    judge_borg(content)


def test_settings(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text(
        '[backups.database]\npath = "/srv/dumps"\nmatch = "*.dump"\n'
        '[backups.files]\nrestic = "sftp:nas:/backup"\npassword_file = "/etc/restic"\n'
        '[backups."Büro"]\nborg = "/mnt/borg"\n'
        '[backups.windows]\nwbadmin = "E:"\n'
    )
    section = load_settings(tmp_path).section("backups")
    probe = BackupProbe.from_settings(section)
    section.finish()
    assert probe._backups == {
        "database": FileBackup(Path("/srv/dumps"), "*.dump"),
        "files": ResticBackup("sftp:nas:/backup", Path("/etc/restic")),
        "Büro": BorgBackup("/mnt/borg"),
        "windows": WindowsBackup("E:"),
    }
    with pytest.raises(ProbeUnavailable, match=r"agent\.toml"):
        BackupProbe().sample()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"x": {}}, r"backups\.x: must have exactly one of path, restic, borg and wbadmin"),
        ({"x": {"path": "/a", "borg": "/b"}}, "exactly one"),
        ({"x": {"path": "relative"}}, r"backups\.x\.path: must be an absolute path, got 'relative'"),
        ({"x": {"path": 7}}, r"backups\.x\.path: must be a text"),
        ({"x": {"path": "/a", "pattern": "*"}}, r"backups\.x\.pattern: no such setting; there are .*match"),
        ({"x": {"restic": "-o", "match": "*"}}, r"x\.restic: must be a repository.*; .*x\.match: is for path"),
        ({"x": {"path": "/a", "password_file": "/p"}}, r"password_file: is for restic and borg"),
        (
            {"x": {"wbadmin": "E:", "match": "*", "password_file": "/p"}},
            r"password_file: is for.*; .*match: is for path",
        ),
        ({"x": {"wbadmin": "E:", "path": "/a"}}, "exactly one"),
        ({"x": "/a"}, r"backups\.x: no such setting"),
        ({str(number): {"path": "/a"} for number in range(60)}, "at most 50 backups"),
    ],
)
def test_wrong_settings_are_refused_all_at_once(content: dict[str, object], complaint: str) -> None:
    section = Section(json.loads(json.dumps(content)), "agent.toml: backups")
    BackupProbe.from_settings(section)
    with pytest.raises(SettingsError, match=complaint):
        section.finish()


@given(st.dictionaries(st.text(max_size=5), JSON))
def test_any_settings_are_borne(content: dict[str, object]) -> None:
    section = Section(content, "agent.toml: backups")
    BackupProbe.from_settings(section)
    with contextlib.suppress(SettingsError):
        section.finish()


DATA = Path(__file__).parent / "data"


@pytest.mark.parametrize(
    ("recorded", "newest"), [("wbadmin.english", "2026-06-23T04:00Z"), ("wbadmin.dutch", "2026-06-22T21:00Z")]
)
def test_windows_backup_in_any_language(recorded: str, newest: str) -> None:
    """In UTC, whatever the times around it are in; the newest may stand first or last."""
    asked: list[list[str]] = []

    def wbadmin(arguments: list[str]) -> bytes:
        asked.append(arguments)
        return (DATA / recorded).read_bytes()

    assert read_newest_version("local", wbadmin) == parse_time(newest)
    assert read_newest_version(r"\\nas\backup", wbadmin) == parse_time(newest)
    assert asked == [["get", "versions"], ["get", "versions", r"-backupTarget:\\nas\backup"]]


def test_where_windows_has_no_backup() -> None:
    assert newest_version("wbadmin 1.0 - Backup command-line tool\r\nThere are no backups.\r\n") is None
    assert newest_version("Version identifier: 13/45/2026-04:00\r\n") is None
    assert not BackupProbe({"x": WindowsBackup("local")}).sample()[0].value  # nor is wbadmin there


def test_a_wbadmin_that_refuses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "wbadmin.exe"
    program.write_text("#!/bin/sh\necho ERROR - You do not have sufficient permissions; exit 5\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(ProbeFailed, match=r"exit code 5: .*Backup Operators"):
        WindowsBackup("local").read()
    program.write_bytes(b"#!/bin/sh\ncat <<'X'\n" + (DATA / "wbadmin.dutch").read_bytes() + b"X\n")
    assert WindowsBackup("local").read() == BackupReading(parse_time("2026-06-22T21:00Z"), None, True)


@given(st.text(max_size=200))
def test_anything_wbadmin_may_say_is_borne(text: str) -> None:
    newest_version(f"x: {text}\nid: 06/23/2026-{text}")
