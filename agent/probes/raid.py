"""Disk arrays: Linux software RAID from /proc/mdstat, ZFS pools from `zpool status`."""

import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from agent.children import run_child
from agent.probes.base import (
    HOURLY_INTERVAL_SECONDS,
    SLOW_INTERVAL_SECONDS,
    Metric,
    MetricType,
    ProbeUnavailable,
    Sample,
)
from agent.probes.parsing import decode, dig, dig_list, dig_number, dig_text
from agent.root_readings import FOLDER, Reading, find

RAID_LABEL = ("hw_id",)
MDSTAT = Path("/proc/mdstat")
ZFS = Path("/proc/spl/kstat/zfs")  # there while the kernel's module is
MAX_FILE_BYTES = 1 << 20
MAX_POOLS = 64
STALE_SECONDS = 6 * HOURLY_INTERVAL_SECONDS  # root reads hourly
ARRAY_LINE = re.compile(r"^(?P<name>md\S*) : (?P<state>\S+)(?P<rest>.*)$")
DISKS = re.compile(r"\[(?P<wanted>\d{1,4})/(?P<working>\d{1,4})\] \[[U_]+\]")
SYNC = re.compile(r"(?:recovery|resync|reshape) *= *(?P<percent>\d{1,3}(?:\.\d+)?)%")
SYNC_WAITING = re.compile(r"(?:recovery|resync|reshape) *= *(?:DELAYED|PENDING|REMOTE)")
ZFS_SYNC = re.compile(r"(?P<percent>\d{1,3}(?:\.\d+)?)% done")
ZFS_DISK = re.compile(
    r"^\s+(?P<disk>\S+)\s+(?P<state>ONLINE|DEGRADED|FAULTED|OFFLINE|REMOVED|UNAVAIL)\s+\S+\s+\S+\s+\S+"
)
ZFS_BAD_DISK = ("FAULTED", "OFFLINE", "REMOVED", "UNAVAIL")
ZFS_GROUPS = ("mirror", "raidz", "draid", "spare", "replacing", "log")


class ArrayReading(NamedTuple):
    id: str
    healthy: bool
    failed_disks: int
    sync_ratio: float  # 1 when nothing is being rebuilt


def read_arrays(mdstat: Path = MDSTAT, zfs: Path = ZFS) -> list[ArrayReading]:
    found: list[ArrayReading] = []
    try:
        with mdstat.open("rb") as file:
            found += parse_mdstat(decode(file.read(MAX_FILE_BYTES)))
    except OSError:
        pass  # the kernel has no software RAID
    if zfs.exists():
        found += read_pools()
    return found


def read_pools(folder: Path = FOLDER, now: Callable[[], float] = time.time) -> list[ArrayReading]:
    """As root has left them, or else as zpool tells whoever runs this. Raises ProbeUnavailable or ProbeFailed."""
    left = find(Reading.POOLS, folder, max_age_seconds=STALE_SECONDS, now=now)
    if left is None:
        return ask_zpool()
    return [pool for one in dig_list(left, "pools")[:MAX_POOLS] if (pool := to_pool(one)) is not None]


def to_pool(left: object) -> ArrayReading | None:
    """One pool of those that root left; None for what is none."""
    name, healthy = dig_text(left, "id"), dig(left, "healthy")
    failed, ratio = dig_number(left, "failed_disks"), dig_number(left, "sync_ratio")
    if not name or not isinstance(healthy, bool) or failed is None or ratio is None:
        return None
    return ArrayReading(name, healthy, int(failed), ratio)


def ask_zpool() -> list[ArrayReading]:
    """Raises ProbeUnavailable or ProbeFailed."""
    return parse_zpool(decode(run_child(["zpool", "status"]).output))


def parse_mdstat(text: str) -> list[ArrayReading]:
    """The arrays in /proc/mdstat; see md(4) and the kernel's admin-guide/md. A check that runs is no rebuild."""
    arrays = []
    for block in re.split(r"\n(?=md|unused)", text):
        head, _, details = block.partition("\n")
        match = ARRAY_LINE.match(head)
        if not match:
            continue
        disks, marked = DISKS.search(details), head.count("(F)")
        missing = max(0, int(disks["wanted"]) - int(disks["working"])) if disks else 0
        failed = max(missing, marked)
        arrays.append(
            ArrayReading(match["name"], match["state"] == "active" and failed == 0, failed, read_sync(details))
        )
    return arrays


def read_sync(details: str) -> float:
    if match := SYNC.search(details):
        return min(1.0, round(float(match["percent"]) / 100, 4))
    return 0.0 if SYNC_WAITING.search(details) else 1.0


def parse_zpool(text: str) -> list[ArrayReading]:
    """The pools in `zpool status`."""
    pools = []
    for block in re.split(r"(?m)^\s*pool: ", text)[1:]:
        name = block.partition("\n")[0].strip()
        state = re.search(r"(?m)^\s*state: (\S+)", block)
        _, _, config = block.partition("config:")
        failed = sum(
            match["state"] in ZFS_BAD_DISK and not match["disk"].startswith(ZFS_GROUPS) and match["disk"] != name
            for match in map(ZFS_DISK.match, config.splitlines())
            if match
        )
        resilver = re.search(r"(?s)scan: resilver in progress(.*?)config:", block)
        progress = ZFS_SYNC.search(resilver[1]) if resilver else None
        ratio = 1.0 if not resilver else min(1.0, float(progress["percent"]) / 100) if progress else 0.0
        pools.append(
            ArrayReading(name, state is not None and state[1] == "ONLINE" and failed == 0, failed, round(ratio, 4))
        )
    return pools


class RaidProbe:
    name = "raid"
    interval_seconds = SLOW_INTERVAL_SECONDS
    timeout_seconds = 60.0
    metrics = (
        Metric("hw_raid_healthy", MetricType.GAUGE, "boolean", "1 if all its disks work", RAID_LABEL),
        Metric("hw_raid_failed_disks", MetricType.GAUGE, "disks", "Disks that failed or are missing", RAID_LABEL),
        Metric(
            "hw_raid_sync_ratio", MetricType.GAUGE, "ratio", "How far a rebuild is; 1 when none is going on", RAID_LABEL
        ),
    )

    def __init__(self, read: Callable[[], Iterable[ArrayReading]] = read_arrays) -> None:
        self._read = read

    def sample(self) -> list[Sample]:
        samples: list[Sample] = []
        for array in self._read():
            labels = {"hw_id": array.id}
            samples += [
                Sample("hw_raid_healthy", int(array.healthy), labels),
                Sample("hw_raid_failed_disks", array.failed_disks, labels),
                Sample("hw_raid_sync_ratio", array.sync_ratio, labels),
            ]
        if not samples:
            raise ProbeUnavailable("this machine has no disk array that the agent can read (mdadm, ZFS)")
        return samples
