"""Security posture: Linux from a made-up root, Windows and macOS from recorded outputs."""

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.probes import linux_security
from agent.probes.base import ProbeFailed, ProbeUnavailable, Sample
from agent.probes.filesystem import Mount
from agent.probes.linux_security import (
    is_encrypted,
    parse_unit_states,
    read_auto_update,
    read_clamav,
    read_encryption,
    read_firewall,
)
from agent.probes.macos_security import judge_macos_security
from agent.probes.readings import Antivirus, SecurityReading
from agent.probes.security import SecurityProbe
from agent.probes.windows_security import DEFENDER, judge_windows_security

DEFENDER_WELL = {"enabled": True, "realtime": True, "mode": "Normal", "signatures": 1_790_000_000}


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_what_is_told_becomes_a_series_and_what_is_not_does_not() -> None:
    reading = SecurityReading(
        {"ClamAV": Antivirus(True, 1000.0), "XProtect": Antivirus(None, 9000.0)}, {"host": False}, {"/": True}, True
    )
    assert SecurityProbe(lambda: reading, lambda: 5000.0).sample() == [
        Sample("security_antivirus_enabled", 1, {"security_product": "ClamAV"}),
        Sample("security_antivirus_signature_age_seconds", 4000.0, {"security_product": "ClamAV"}),
        Sample("security_antivirus_signature_age_seconds", 0.0, {"security_product": "XProtect"}),
        Sample("security_firewall_enabled", 0, {"security_profile": "host"}),
        Sample("security_disk_encrypted", 1, {"system_filesystem_mountpoint": "/"}),
        Sample("security_auto_update_enabled", 1),
    ]
    with pytest.raises(ProbeUnavailable):
        SecurityProbe(SecurityReading).sample()


def test_units_that_are_not_installed_say_nothing() -> None:
    text = (
        "Id=ufw.service\nLoadState=loaded\nActiveState=active\n\n"
        "Id=nftables.service\nLoadState=not-found\nActiveState=inactive\n\n"
        "Id=firewalld.service\nLoadState=loaded\nActiveState=inactive\n"
    )
    assert parse_unit_states(text) == {"ufw.service": "active", "firewalld.service": "inactive"}


def test_one_firewall_of_several_is_enough(tmp_path: Path) -> None:
    assert read_firewall(tmp_path, {}) == {}
    assert read_firewall(tmp_path, {"nftables.service": "inactive"}) == {"host": False}
    ufw = write(tmp_path / "etc/ufw/ufw.conf", "# ENABLED=yes\nENABLED=no\nLOGLEVEL=low\n")
    assert read_firewall(tmp_path, {"ufw.service": "active"}) == {"host": False}  # its unit is always active
    assert read_firewall(tmp_path, {"nftables.service": "active"}) == {"host": True}
    ufw.write_text("ENABLED=yes\n")
    assert read_firewall(tmp_path, {}) == {"host": True}


def test_clamav_by_its_daemon_and_its_newest_signatures(tmp_path: Path) -> None:
    assert read_clamav(tmp_path, {}) == {}
    for name, at in (("daily.cvd", 1000), ("daily.cld", 2000), ("main.cvd", 9000)):
        os.utime(write(tmp_path / "var/lib/clamav" / name), (at, at))
    assert read_clamav(tmp_path, {}) == {"ClamAV": Antivirus(None, 2000.0)}
    assert read_clamav(tmp_path, {"clamav-daemon.service": "failed"}) == {"ClamAV": Antivirus(False, 2000.0)}


def test_unattended_upgrades_need_the_setting_and_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_auto_update(tmp_path, {}) is None
    write(tmp_path / "var/lib/dpkg/status")
    program = write(tmp_path / "usr/bin/unattended-upgrade")
    apt_config = write(tmp_path / "bin/apt-config")
    apt_config.chmod(0o755)
    monkeypatch.setenv("PATH", f"{apt_config.parent}:{os.environ['PATH']}")
    for value, expected in (("1", True), ("0", False), ("", False), ("always", True)):
        apt_config.write_text(f"#!/bin/sh\necho 'APT \"\";'; echo 'APT::Periodic::Unattended-Upgrade \"{value}\";'\n")
        assert read_auto_update(tmp_path, {}) is expected
    program.unlink()
    assert read_auto_update(tmp_path, {}) is False
    apt_config.write_text("#!/bin/sh\nexec yes\n")
    assert read_auto_update(tmp_path, {}) is None


def test_dnf_automatic(tmp_path: Path) -> None:
    write(tmp_path / "usr/bin/dnf")
    assert read_auto_update(tmp_path, {}) is False
    assert read_auto_update(tmp_path, {"dnf-automatic.timer": "active"}) is True


def mount(identity: str, mountpoint: str, device: str) -> Mount:
    return Mount(identity, True, mountpoint, "ext4", device, True)


def test_luks_is_found_below_lvm_and_not_where_one_leg_lacks_it(tmp_path: Path) -> None:
    devices = tmp_path / "sys/devices/virtual/block"
    for name in ("sda3", "sdb1", "dm-0", "dm-1", "dm-2"):
        (devices / name / "slaves").mkdir(parents=True)
    write(devices / "dm-0/dm/uuid", "CRYPT-LUKS2-0123-sda3_crypt\n")
    write(devices / "dm-1/dm/uuid", "LVM-abc\n")
    (devices / "dm-0/slaves/sda3").symlink_to(devices / "sda3")
    (devices / "dm-1/slaves/dm-0").symlink_to(devices / "dm-0")
    (devices / "dm-2/slaves/dm-0").symlink_to(devices / "dm-0")
    (devices / "dm-2/slaves/sdb1").symlink_to(devices / "sdb1")
    numbers, names = tmp_path / "sys/dev/block", tmp_path / "sys/class/block"
    numbers.mkdir(parents=True)
    names.mkdir(parents=True)
    for number, name in (("253:1", "dm-1"), ("253:2", "dm-2"), ("8:17", "sdb1")):
        (numbers / number).symlink_to(devices / name)
        (names / name).symlink_to(devices / name)
    mounts = [
        mount("253:1", "/", "/dev/mapper/vg-root"),
        mount("0:44", "/home", "/dev/dm-1"),  # btrfs has a number of its own
        mount("253:2", "/srv", "/dev/mapper/vg-srv"),
        mount("8:17", "/data", "/dev/sdb1"),
        mount("8:18", "/boot/efi", "/dev/sdb2"),
        mount("8:99", "/gone", "/dev/sdz9"),
        mount("0:50", "/mnt/nas", "nas:/share"),
    ]
    assert read_encryption(tmp_path, mounts) == {"/": True, "/home": True, "/srv": False, "/data": False}
    (devices / "sda3/slaves/dm-1").symlink_to(devices / "dm-1")  # a loop does not occur, and is borne
    (devices / "dm-0/dm/uuid").unlink()
    assert is_encrypted(devices / "dm-1") is False


def test_this_machine_is_looked_at_without_a_fault() -> None:
    with contextlib.suppress(ProbeUnavailable):
        SecurityProbe(linux_security.read_linux_security).sample()


def test_windows() -> None:
    content: dict[str, object] = {
        "defender": DEFENDER_WELL,
        "products": [{"name": "Windows Defender", "state": 397568}],
        "firewall": [
            {"name": "Domain", "enabled": 1},
            {"name": "Private", "enabled": 0},
            {"name": "Public", "enabled": 2},
        ],
        "volumes": [
            {"mountpoint": "C:", "status": 1},
            {"mountpoint": "D:\\", "status": 0},
            {"mountpoint": "E:", "status": 2},
        ],
        "update_level": 4,
    }
    assert judge_windows_security(content) == SecurityReading(
        {DEFENDER: Antivirus(True, 1_790_000_000.0)},
        {"domain": True, "private": False},
        {"C:": True, "D:": False},
        True,
    )


def test_a_windows_server_that_tells_little() -> None:
    content: dict[str, object] = {
        "defender": {"enabled": True, "realtime": False, "mode": "Normal", "signatures": "/Date(1790000000000)/"},
        "products": None,
        "firewall": {"name": "Public", "enabled": 1},
        "volumes": [],
        "update_level": 0,
    }
    assert judge_windows_security(content) == SecurityReading(
        {DEFENDER: Antivirus(False, 1_790_000_000.0)}, {"public": True}
    )


def test_defender_stands_back_for_another_product_that_is_on() -> None:
    products = [{"name": "Windows Defender", "state": 393472}, {"name": "ESET Security", "state": 266240}]
    passive = DEFENDER_WELL | {"enabled": False, "realtime": False, "mode": "Not running"}
    on = judge_windows_security({"defender": passive, "products": products})
    assert on.antivirus == {"ESET Security": Antivirus(True)}
    products[1]["state"] = 262144
    off = judge_windows_security({"defender": passive, "products": products})
    assert off.antivirus == {"ESET Security": Antivirus(False), DEFENDER: Antivirus(False, 1_790_000_000.0)}


def test_macos() -> None:
    assert judge_macos_security(
        filevault="FileVault is On.\n",
        firewall="Firewall is enabled. (State = 1)\n",
        auto_update="1\n",
        signatures_at=1000.0,
    ) == SecurityReading({"XProtect": Antivirus(None, 1000.0)}, {"host": True}, {"/": True}, True)
    assert judge_macos_security(
        filevault="FileVault is Off.\n",
        firewall="Firewall is disabled. (State = 0)",
        auto_update="0",
        signatures_at=None,
    ) == SecurityReading({}, {"host": False}, {"/": False}, False)
    silent = judge_macos_security(filevault="", firewall="", auto_update="does not exist", signatures_at=None)
    assert silent == SecurityReading()


KEYS = st.sampled_from([
    "defender", "enabled", "realtime", "mode", "signatures", "products", "name", "state", "firewall", "volumes",
    "mountpoint", "status", "update_level",
])  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_borne(content: object) -> None:
    with contextlib.suppress(ProbeFailed, ProbeUnavailable):
        SecurityProbe(lambda: judge_windows_security(content)).sample()


@given(st.text(max_size=300))
def test_any_text_is_borne(text: str) -> None:
    parse_unit_states(text)
    judge_macos_security(filevault=text, firewall=f"State = {text}", auto_update=text, signatures_at=None)
