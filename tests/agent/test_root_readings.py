"""What root leaves for the agent, found by an agent that takes nothing of it for granted."""

import contextlib
import json
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import root_readings
from agent.acceptance import accept
from agent.hardware import READERS, leave_all
from agent.inventory.linux import read_linux
from agent.machine import read_serial
from agent.probes.base import ProbeFailed, ProbeUnavailable
from agent.probes.raid import ArrayReading, RaidProbe, read_arrays, read_pools
from agent.probes.smart import DiskReading, SmartProbe, parse_disk, read_disks
from agent.rights import check_reading, check_rights
from agent.root_readings import FOLDER, MAX_FILE_BYTES, Reading, find, leave
from tests.agent.conftest import AGENT
from tests.agent.test_disks import SDA, recorded

NOW = 1_796_000_000.0
DISK = parse_disk(json.loads(recorded("smartctl.hdd.json")), SDA)
POOL = ArrayReading("tank", False, 1, 0.25)
OWNER = os.geteuid()

anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)


@pytest.fixture(autouse=True)
def own_files_count_as_roots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests."""
    monkeypatch.setattr(root_readings, "ROOT", OWNER)


def found(folder: Path, reading: Reading = Reading.SERIALS, *, age: float = 0.0, most: float = 60.0) -> object:
    return find(reading, folder, max_age_seconds=most, now=lambda: NOW + age)


def test_what_was_left_is_found_for_a_time(tmp_path: Path) -> None:
    assert found(tmp_path) is None
    leave(Reading.SERIALS, {"product": "PF2XYZ01"}, NOW, tmp_path)
    assert found(tmp_path) == {"read_at": NOW, "product": "PF2XYZ01"}
    assert found(tmp_path, age=-3600) is not None  # a clock that was set back makes nothing old
    with pytest.raises(ProbeFailed, match=r"2 hours old; `systemctl status quarkpulse-agent-hardware.service`"):
        found(tmp_path, age=7200)
    assert [one.name for one in tmp_path.iterdir()] == ["serials.json"]
    assert (tmp_path / "serials.json").stat().st_mode & 0o777 == 0o640


def test_why_it_was_not_read_is_told_in_roots_words(tmp_path: Path) -> None:
    leave(Reading.DISKS, {"unavailable": "smartctl is not installed"}, NOW, tmp_path)
    with pytest.raises(ProbeUnavailable, match="smartctl is not installed"):
        read_disks(tmp_path, lambda: NOW)
    leave(Reading.DISKS, {"failed": "all disks sleep" * 1000}, NOW, tmp_path)
    with pytest.raises(ProbeFailed) as caught:
        read_disks(tmp_path, lambda: NOW)
    assert len(str(caught.value)) <= 1000


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe\x00", b"\x00" * 99, b"[]", b'"text"', b'{"read_at": "now"}', b'{"read_at": 1e999}', b"[" * 99_999],
    ids=["empty", "binary", "zeros", "list", "text", "time as text", "endless time", "deep"],
)  # fmt: skip
def test_what_makes_no_sense_is_a_failure(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "serials.json").write_bytes(content)
    with pytest.raises(ProbeFailed):
        found(tmp_path)


def test_more_than_there_may_be_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "serials.json").write_bytes(b'{"read_at": 1, "product": "' + b"x" * MAX_FILE_BYTES + b'"}')
    with pytest.raises(ProbeFailed, match="larger than 256 KiB"):
        found(tmp_path)


def test_what_others_may_write_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(Reading.SERIALS, {"product": "PF2XYZ01"}, NOW, tmp_path)
    file = tmp_path / "serials.json"
    file.chmod(0o660)
    with pytest.raises(ProbeFailed, match="not believed"):
        found(tmp_path)
    file.chmod(0o640)
    monkeypatch.setattr(root_readings, "ROOT", OWNER + 1)
    with pytest.raises(ProbeFailed, match="not believed"):
        found(tmp_path)
    monkeypatch.setattr(root_readings, "ROOT", OWNER)
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ProbeFailed, match="cannot be read"):
        found(tmp_path)
    file.unlink()
    os.mkfifo(file, 0o640)  # opened, it would wait for a writer for ever
    with pytest.raises(ProbeFailed, match="not believed"):
        found(tmp_path)
    file.unlink()
    file.mkdir()
    with pytest.raises(ProbeFailed):
        found(tmp_path)


def test_disks_and_pools_are_as_root_read_them(tmp_path: Path) -> None:
    bare = DiskReading("/dev/sdb", "/dev/sdb")
    leave(Reading.DISKS, {"disks": [DISK._asdict(), bare._asdict()]}, NOW, tmp_path)
    assert read_disks(tmp_path, lambda: NOW + 2 * 86_400) == [DISK, bare]
    with pytest.raises(ProbeFailed, match="hours old"):
        read_disks(tmp_path, lambda: NOW + 4 * 86_400)
    samples = SmartProbe(lambda: read_disks(tmp_path, lambda: NOW)).sample()
    assert ("hw_disk_healthy", 0.0, {"hw_id": "ZA12B3C4", "hw_name": "ST4000DM004-2CV104"}) in samples


def test_pools_are_as_root_read_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = NOW
    leave(Reading.POOLS, {"pools": [POOL._asdict(), {"id": "broken"}]}, now, tmp_path)
    monkeypatch.setattr(read_pools, "__defaults__", (tmp_path, lambda: now))
    (tmp_path / "zfs").mkdir()
    assert read_arrays(tmp_path / "no mdstat", tmp_path / "zfs") == [POOL]
    now += 7 * 3600
    with pytest.raises(ProbeFailed, match="7 hours old"):
        read_arrays(tmp_path / "no mdstat", tmp_path / "zfs")


@given(anything, st.lists(anything, max_size=4))
def test_whatever_lies_there_makes_samples_or_none(
    tmp_path_factory: pytest.TempPathFactory, alone: object, several: list[object]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "whatever"
    folder.mkdir(exist_ok=True)
    mixed = [*several, {"id": "x", "name": alone, "healthy": alone, "wear_ratio": alone}, {"id": alone}]
    for content in (alone, mixed):
        for reading, key in ((Reading.DISKS, "disks"), (Reading.POOLS, "pools")):
            leave(reading, {key: content}, NOW, folder)
        accept(SmartProbe(lambda: read_disks(folder, lambda: NOW)).sample())
        with contextlib.suppress(ProbeUnavailable):  # no pool among it
            accept(RaidProbe(lambda: read_pools(folder, lambda: NOW)).sample())


def test_the_serial_number_is_roots_where_the_agent_may_not_read_it(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER.relative_to("/")
    folder.mkdir(parents=True)
    unreadable = tmp_path / "product_serial"
    assert read_serial(unreadable, folder) is None
    leave(Reading.SERIALS, {"product": "PF2XYZ01"}, 1.0, folder)  # of 1970: a serial number does not age
    assert read_serial(unreadable, folder) == "PF2XYZ01"
    assert read_linux(tmp_path).identity["serial"] == "PF2XYZ01"
    unreadable.write_text("FROM-THE-FIRMWARE\n")
    assert read_serial(unreadable, folder) == "FROM-THE-FIRMWARE"
    leave(Reading.SERIALS, {"product": "To be filled by O.E.M."}, NOW, folder)
    unreadable.unlink()
    assert read_serial(unreadable, folder) is None


def test_one_that_cannot_be_read_is_told_and_hides_no_other(tmp_path: Path) -> None:
    def crash() -> dict[str, object]:
        raise RuntimeError("a bug")

    leave_all(tmp_path, lambda: NOW, {**dict.fromkeys(READERS, crash), Reading.DISKS: lambda: {"disks": []}})
    assert {one.name: json.loads(one.read_text()) for one in tmp_path.iterdir()} == {
        "serials.json": {"read_at": NOW, "failed": "RuntimeError: a bug"},
        "pools.json": {"read_at": NOW, "failed": "RuntimeError: a bug"},
        "disks.json": {"read_at": NOW, "disks": []},
    }


def test_the_command_leaves_all_there_is_here(tmp_path: Path) -> None:
    subprocess.run([AGENT, "read-hardware", tmp_path], check=True, capture_output=True, timeout=60)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["disks.json", "pools.json", "serials.json"]
    wrong = subprocess.run([AGENT, "read-hardware", "--what"], check=False, capture_output=True, timeout=60)
    assert wrong.returncode == 2
    absent = subprocess.run(
        [AGENT, "read-hardware", tmp_path / "absent"], check=False, capture_output=True, text=True, timeout=60
    )
    assert absent.returncode == 1
    assert "systemctl start quarkpulse-agent-hardware.service" in absent.stderr


def test_the_doctor_tells_what_is_missing_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    *_, missing = check_rights(tmp_path)
    assert (missing.is_well, missing.is_notice) == (True, True)
    assert "`systemctl start quarkpulse-agent-hardware.service`" in missing.advice
    leave(Reading.DISKS, {"unavailable": "smartctl is not installed"}, NOW * 10, tmp_path)
    told = check_reading(Reading.DISKS, tmp_path)
    assert (told.is_notice, told.advice) == (True, "`apt-get install smartmontools`")
    leave(Reading.DISKS, {"unavailable": "smartctl finds no disk on this machine"}, NOW * 10, tmp_path)
    assert not check_reading(Reading.DISKS, tmp_path).is_notice  # a virtual machine has none
    leave(Reading.DISKS, {"disks": []}, 1.0, tmp_path)
    told = check_reading(Reading.DISKS, tmp_path)
    assert (told.is_notice, told.advice) == (True, "`journalctl --unit quarkpulse-agent-hardware.service`")
    leave(Reading.DISKS, {"disks": []}, NOW * 10, tmp_path)
    assert not check_reading(Reading.DISKS, tmp_path).is_notice
