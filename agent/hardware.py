"""Reads what only root may, and leaves it for the agent: `quarkpulse-agent read-hardware`, which a timer starts hourly.

It runs programs and reads files that are named here; neither settings nor the collector have a say.
"""

import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.answering import read_or_explain
from agent.children import end_children
from agent.machine import read_own_serial
from agent.probes.base import ProbeUnavailable
from agent.probes.raid import ZFS, ask_zpool
from agent.probes.smart import ask_smartctl
from agent.root_readings import FOLDER, UNIT, Reading, leave

HELP = """\
Usage: quarkpulse-agent read-hardware [FOLDER]

  Read what only root may (SMART, ZFS pools, serial numbers) and leave it in FOLDER for the agent to find.
  Example: systemctl start quarkpulse-agent-hardware.service

  The unit makes the folder; without it there is nothing to be done by hand.
"""

Reader = Callable[[], Mapping[str, object]]


def read_serials() -> dict[str, object]:
    """Raises ProbeUnavailable where the maker has left it empty."""
    serial = read_own_serial()
    if serial is None:
        raise ProbeUnavailable("this machine's firmware tells no serial number")
    return {"product": serial}


def read_pools(zfs: Path = ZFS) -> dict[str, object]:
    """Raises ProbeUnavailable or ProbeFailed."""
    if not zfs.exists():
        raise ProbeUnavailable("there is no ZFS here")
    return {"pools": [pool._asdict() for pool in ask_zpool()]}


def read_disks() -> dict[str, object]:
    """Raises ProbeUnavailable or ProbeFailed."""
    return {"disks": [disk._asdict() for disk in ask_smartctl()]}


# What may hang comes last.
READERS: Mapping[Reading, Reader] = {
    Reading.SERIALS: read_serials,
    Reading.POOLS: read_pools,
    Reading.DISKS: read_disks,
}


def leave_all(folder: Path, now: Callable[[], float] = time.time, readers: Mapping[Reading, Reader] = READERS) -> None:
    """Each for itself: what one cannot read is told in its file, and is no failure. Raises OSError."""
    for reading, read in readers.items():
        leave(reading, read_or_explain(read), now(), folder)


def read_hardware_command(arguments: list[str]) -> int:
    """Exit code: 0 left, 1 it cannot be left, 2 wrong usage."""
    if "--help" in arguments or "-h" in arguments:
        sys.stdout.write(HELP)
        return 0
    if len(arguments) > 1 or any(one.startswith("-") for one in arguments):
        sys.stderr.write(f"Error: read-hardware takes one folder at most\n\n{HELP}")
        return 2
    folder = Path(arguments[0]) if arguments else FOLDER
    os.umask(0o027)
    try:
        leave_all(folder)
    except OSError as error:
        sys.stderr.write(f"Error: {folder}: {error.strerror}; as root: systemctl start {UNIT}\n")
        return 1
    finally:
        end_children()
    return 0
