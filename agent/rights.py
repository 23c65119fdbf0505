"""What an agent without rights may see of the journal, and of what only root may read: a part of `doctor`, on Linux."""

import getpass
import grp
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from agent.findings import Finding
from agent.probes.base import ProbeFailed, ProbeUnavailable
from agent.probes.raid import STALE_SECONDS
from agent.root_readings import FOLDER, ROOT, UNIT, Reading, find
from agent.service.systemd import JOURNAL_GROUP
from agent.service.systemd import NAME as AGENT_UNIT

CHECK = "rights"
NOT_INSTALLED = "not installed"
TOOLS = {Reading.DISKS: "smartmontools", Reading.POOLS: "zfsutils-linux"}
SEEN = {Reading.DISKS: "disks' health", Reading.POOLS: "ZFS pools", Reading.SERIALS: "the serial number"}


def check_rights(folder: Path = FOLDER) -> Iterator[Finding]:
    """None of it keeps an agent from working: what is missing is worth a notice."""
    yield check_journal()
    if os.geteuid() != ROOT and not any(folder.glob("*.json")):
        yield Finding(
            CHECK,
            True,
            f"nothing in {folder}: health of disks, ZFS and serial numbers are for root to read",
            f"as root: `systemctl start {UNIT}`; where there is no such unit, `quarkpulse-agent install`",
            is_notice=True,
        )
        return
    for reading in Reading:
        yield check_reading(reading, folder)


def check_journal() -> Finding:
    try:
        group = grp.getgrnam(JOURNAL_GROUP)
    except KeyError:
        return Finding(CHECK, True, "this machine has no journal of systemd")
    if os.geteuid() == ROOT or group.gr_gid in {*os.getgroups(), os.getegid()}:
        return Finding(CHECK, True, "the journal is readable")
    advice = f"`usermod --append --groups {JOURNAL_GROUP} {user_name()}`, then `systemctl restart {AGENT_UNIT}`"
    return Finding(CHECK, True, "errors in the journal are not counted: it may not be read", advice, is_notice=True)


def check_reading(reading: Reading, folder: Path) -> Finding:
    try:
        found = find(reading, folder, max_age_seconds=STALE_SECONDS)
    except ProbeUnavailable as error:
        advice = f"`apt-get install {TOOLS[reading]}`" if str(error).endswith(NOT_INSTALLED) else ""
        return Finding(CHECK, True, f"{SEEN[reading]}: {error}", advice, is_notice=bool(advice))
    except ProbeFailed as error:
        return Finding(CHECK, True, f"{SEEN[reading]}: {error}", f"`journalctl --unit {UNIT}`", is_notice=True)
    who = "read without the unit" if found is None else "as root reads it"
    return Finding(CHECK, True, f"{SEEN[reading]}: {who}")


def user_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return getpass.getuser()
