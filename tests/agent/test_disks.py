"""SMART, arrays, batteries and fans, from records in the formats that their makers document."""

import contextlib
import json
import os
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.probes.base import ProbeFailed, ProbeUnavailable, Sample
from agent.probes.battery_health import (
    BatteryHealthProbe,
    HealthReading,
    judge_windows,
    parse_ioreg,
    read_sysfs,
)
from agent.probes.hardware import FanProbe
from agent.probes.raid import ArrayReading, RaidProbe, parse_mdstat, parse_zpool, read_arrays
from agent.probes.smart import Device, DiskReading, SmartProbe, parse_disk, parse_scan, read_disks

DATA = Path(__file__).parent / "data"
SDA = Device("/dev/sda", "sat")


def recorded(name: str) -> str:
    return (DATA / name).read_text(encoding="utf-8")


def disk(name: str, device: Device = SDA) -> DiskReading:
    return parse_disk(json.loads(recorded(name)), device)


def test_a_hard_disk_that_is_failing() -> None:
    assert disk("smartctl.hdd.json") == DiskReading(
        id="ZA12B3C4",
        name="ST4000DM004-2CV104",
        healthy=False,
        reallocated_sectors=1208,
        pending_sectors=16,
        media_errors=44,
        wear_ratio=None,  # its attribute 177 would be another thing
        power_on_seconds=31_254 * 3600,
    )


def test_an_ssd_that_wears_out() -> None:
    assert disk("smartctl.ssd.json") == DiskReading(
        id="S4EWNX0R123456",
        name="Samsung SSD 860 EVO 500GB",
        healthy=True,
        reallocated_sectors=0,
        pending_sectors=None,
        media_errors=0,
        wear_ratio=0.13,
        power_on_seconds=11_520 * 3600,
    )


def test_an_nvme_disk_worn_beyond_what_its_maker_promised() -> None:
    assert disk("smartctl.nvme.json", Device("/dev/nvme0", "nvme")) == DiskReading(
        id="S5GXNG0N900001",
        name="SAMSUNG MZVLB512HBJQ-000L7",
        healthy=False,  # a warning bit is set
        reallocated_sectors=None,
        pending_sectors=None,
        media_errors=3,
        wear_ratio=1.04,
        power_on_seconds=20_987 * 3600,
    )


def test_a_scsi_disk() -> None:
    assert disk("smartctl.scsi.json", Device("/dev/sdb", "scsi")) == DiskReading(
        id="6SL1234P",
        name="SEAGATE ST3600057SS",
        healthy=True,
        reallocated_sectors=7,
        media_errors=2,
        power_on_seconds=43_000 * 3600,
    )


def test_one_series_for_what_a_disk_tells_and_none_for_the_rest() -> None:
    samples = SmartProbe(lambda: [disk("smartctl.nvme.json")]).sample()
    assert {sample.name: sample.value for sample in samples} == {
        "hw_disk_healthy": 0,
        "hw_disk_media_errors_total": 3,
        "hw_disk_wear_ratio": 1.04,
        "hw_disk_power_on_seconds": 20_987 * 3600,
    }
    assert samples[0].labels == {"hw_id": "S5GXNG0N900001", "hw_name": "SAMSUNG MZVLB512HBJQ-000L7"}


@pytest.fixture
def smartctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Installs a smartctl that finds two disks and answers with a file and an exit code for each."""

    def install(answers: dict[str, tuple[str, int]]) -> None:
        scan = {"devices": [{"name": name, "type": "sat", "protocol": "ATA"} for name in answers]}
        lines = ["#!/bin/sh", f"case \"$*\" in *--scan*) echo '{json.dumps(scan)}'; exit 0;; esac"]
        lines += [f'case "$*" in *{name}) cat {file}; exit {code};; esac' for name, (file, code) in answers.items()]
        (tmp_path / "smartctl").write_text("\n".join(lines))
        (tmp_path / "smartctl").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    return install


def test_a_disk_that_may_not_be_opened_hides_no_other(smartctl: Any) -> None:
    failing_bits = 8 + 64  # not well, errors in the log: an answer all the same
    smartctl({
        "/dev/sda": (f"{DATA}/smartctl.hdd.json", failing_bits),
        "/dev/sdb": (f"{DATA}/smartctl.denied.json", 2),
    })  # fmt: skip
    assert [found.id for found in read_disks()] == ["ZA12B3C4"]
    smartctl({"/dev/sdb": (f"{DATA}/smartctl.denied.json", 2)})
    with pytest.raises(ProbeUnavailable, match="/dev/sdb: Smartctl open device: /dev/sdb failed: Permission denied"):
        read_disks()


def test_disks_that_sleep_are_not_woken_and_keep_their_last_reading(smartctl: Any) -> None:
    smartctl({"/dev/sda": ("/dev/stdin", 0)})
    with pytest.raises(ProbeFailed, match="JSON"):
        read_disks()
    smartctl({"/dev/sda": (f"{DATA}/smartctl.asleep.json", 0)})
    with pytest.raises(ProbeFailed, match="all disks sleep"):
        read_disks()


def test_a_machine_without_disks_says_so(smartctl: Any) -> None:
    smartctl({})
    with pytest.raises(ProbeUnavailable, match="finds no disk"):
        read_disks()


MDSTAT = """\
Personalities : [linear] [raid0] [raid1] [raid10] [raid6] [raid5] [raid4]
md2 : active raid5 sdd1[3] sdc1[1](F) sdb1[0]
      7813770240 blocks super 1.2 level 5, 512k chunk, algorithm 2 [3/2] [U_U]
      [==>..................]  recovery = 12.6% (37043392/292945152) finish=127.5min speed=33440K/sec
      bitmap: 2/8 pages [8KB], 65536KB chunk

md1 : active raid1 sdb2[1] sda2[0]
      104320 blocks [2/2] [UU]
      [>....................]  check =  0.4% (1000/104320) finish=10.0min speed=1000K/sec

md0 : active (auto-read-only) raid1 sda1[0] sdb1[1]
      1048512 blocks super 1.0 [2/2] [UU]
      \tresync=PENDING

md_d4 : inactive sde1[0](S)
      976630488 blocks super 1.2

md5 : active raid0 sdf1[0] sdg1[1]
      3907021568 blocks super 1.2 512k chunks

md6 : active raid1 sdh1[0]
      1048512 blocks super 1.2 [2/1] [U_]

unused devices: <none>
"""


def test_linux_arrays() -> None:
    assert parse_mdstat(MDSTAT) == [
        ArrayReading("md2", False, 1, 0.126),
        ArrayReading("md1", True, 0, 1.0),  # a check is no rebuild
        ArrayReading("md0", True, 0, 0.0),
        ArrayReading("md_d4", False, 0, 1.0),
        ArrayReading("md5", True, 0, 1.0),
        ArrayReading("md6", False, 1, 1.0),
    ]
    assert parse_mdstat("Personalities : \nunused devices: <none>\n") == []


def test_zfs_pools() -> None:
    assert parse_zpool(recorded("zpool.status")) == [
        ArrayReading("backup", False, 1, 0.3344),
        ArrayReading("rpool", True, 0, 1.0),
    ]
    assert parse_zpool("no pools available\n") == []


def test_arrays_as_series(tmp_path: Path) -> None:
    (tmp_path / "mdstat").write_text(MDSTAT)
    probe = RaidProbe(lambda: read_arrays(tmp_path / "mdstat", tmp_path / "no-zfs"))
    assert probe.sample()[:3] == [
        Sample("hw_raid_healthy", 0, {"hw_id": "md2"}),
        Sample("hw_raid_failed_disks", 1, {"hw_id": "md2"}),
        Sample("hw_raid_sync_ratio", 0.126, {"hw_id": "md2"}),
    ]
    with pytest.raises(ProbeUnavailable, match="no disk array"):
        RaidProbe(lambda: read_arrays(tmp_path / "none", tmp_path / "none")).sample()


def make_supply(folder: Path, **files: str) -> None:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_text(content + "\n")


def test_a_laptops_batteries_together_and_not_the_mouses(tmp_path: Path) -> None:
    assert read_sysfs(tmp_path / "none") == HealthReading(None, None, None)
    make_supply(tmp_path / "AC", type="Mains", online="1")
    make_supply(
        tmp_path / "BAT0", type="Battery", energy_full="30000000", energy_full_design="50000000", cycle_count="812"
    )
    make_supply(
        tmp_path / "BAT1", type="Battery", energy_full="45000000", energy_full_design="50000000", cycle_count="0"
    )
    make_supply(tmp_path / "hid", type="Battery", scope="Device", charge_full="1", charge_full_design="100")
    samples = BatteryHealthProbe(lambda: read_sysfs(tmp_path)).sample()
    assert samples == [Sample("hw_battery_health_ratio", 0.75), Sample("hw_battery_cycles", 812.0)]


def test_firmware_that_does_not_know_leaves_the_series_out(tmp_path: Path) -> None:
    make_supply(tmp_path / "BAT0", type="Battery", charge_full="x", charge_full_design="", cycle_count="-1e999")
    with pytest.raises(ProbeUnavailable, match="no battery"):
        BatteryHealthProbe(lambda: read_sysfs(tmp_path)).sample()


def test_batteries_of_windows_and_macos() -> None:
    assert judge_windows({"full": [41230], "design": [57020], "cycles": [301]}) == HealthReading(41230, 57020, 301)
    assert judge_windows({"full": 41230, "design": 57020, "cycles": None}) == HealthReading(41230, 57020, None)
    assert judge_windows({"full": [41230, 1], "design": [57020], "cycles": [0]}) == HealthReading(None, None, None)
    apple = parse_ioreg(recorded("ioreg.battery"))
    assert apple == HealthReading(4188, 4790, 173)
    assert parse_ioreg("") == HealthReading(None, None, None)


Fan = namedtuple("Fan", "label current")


def test_fans() -> None:
    fans = {"thinkpad": [Fan("", 2874), Fan("fan2", 0)]}
    assert FanProbe(lambda: fans).sample() == [
        Sample("hw_fan_speed_rpm", 2874, {"hw_id": "thinkpad/0", "hw_name": "thinkpad"}),
        Sample("hw_fan_speed_rpm", 0, {"hw_id": "thinkpad/1", "hw_name": "fan2"}),
    ]
    with pytest.raises(ProbeUnavailable, match="no fan"):
        FanProbe(dict).sample()


KEYS = st.sampled_from([
    "devices", "name", "type", "ata_smart_attributes", "table", "id", "raw", "string", "value", "smart_status",
    "passed", "nvme_smart_health_information_log", "percentage_used", "power_on_time", "hours", "full", "design",
    "cycles",
])  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_borne(content: object) -> None:
    parse_scan(content)
    SmartProbe(lambda: [parse_disk(content, SDA)]).sample()
    with contextlib.suppress(ProbeUnavailable):
        BatteryHealthProbe(lambda: judge_windows(content)).sample()


@given(st.text(max_size=300) | st.text(alphabet="md0 :active[]/_U%=123\n()Fpool:state", max_size=200))
def test_any_text_is_borne(text: str) -> None:
    parse_mdstat(text)
    parse_mdstat(f"md0 : active{text}")
    parse_zpool(text)
    parse_zpool(f"  pool: {text}")
    parse_ioreg(text)
