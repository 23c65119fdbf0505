"""What only root may read. A unit of its own reads it (agent.hardware) and leaves it as files for the agent, which has
no rights. Both ends of leaving and finding stand here.

Each file is one JSON object: `read_at` in Unix seconds, beside what was read or one of the keys of `agent.answering`.
Whoever finds it takes nothing of it for granted.
"""

import json
import os
import stat
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path

from agent.answering import refuse_unread
from agent.files import replace_whole
from agent.probes.base import ProbeFailed
from agent.probes.parsing import dig_number, parse_json

FOLDER = Path("/run/quarkpulse-agent-hardware")  # the unit makes it: root's, and readable for the agent's group
UNIT = "quarkpulse-agent-hardware.service"
GROUP_FILE = 0o640
MAX_FILE_BYTES = 256 << 10
HOUR_SECONDS = 3600.0
ROOT = 0  # user id


class Reading(StrEnum):
    """What there is; each has a file of its own."""

    DISKS = "disks"  # {"disks": [DiskReading as an object, …]}
    POOLS = "pools"  # {"pools": [ArrayReading as an object, …]}
    SERIALS = "serials"  # {"product": text}


def leave(reading: Reading, content: Mapping[str, object], now: float, folder: Path = FOLDER) -> None:
    """`now` in Unix seconds. Raises OSError."""
    replace_whole(file_of(reading, folder), json.dumps({"read_at": now, **content}).encode(), mode=GROUP_FILE)


def find(
    reading: Reading,
    folder: Path = FOLDER,
    *,
    max_age_seconds: float,
    now: Callable[[], float] = time.time,
) -> object:
    """What root has left; None where it leaves nothing. Raises ProbeUnavailable or ProbeFailed."""
    path = file_of(reading, folder)
    try:
        # A pipe would keep whoever opens it; and where a link leads is not root's word.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except (FileNotFoundError, PermissionError):  # an agent that somebody runs beside the service's
        return None
    except OSError as error:
        raise ProbeFailed(f"{path} cannot be read ({error.strerror}); see `quarkpulse-agent doctor`") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != ROOT or status.st_mode & 0o022:
            raise ProbeFailed(f"{path} is not root's alone to write, and is not believed")
        content = os.read(descriptor, MAX_FILE_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > MAX_FILE_BYTES:
        raise ProbeFailed(f"{path} is larger than {MAX_FILE_BYTES >> 10} KiB")
    found = parse_json(content, str(path))
    read_at = dig_number(found, "read_at")
    if read_at is None:
        raise ProbeFailed(f"{path} does not say when it was read")
    if now() - read_at > max_age_seconds:
        hours = (now() - read_at) / HOUR_SECONDS
        raise ProbeFailed(f"{path} is {hours:.0f} hours old; `systemctl status {UNIT}` says why")
    refuse_unread(found)
    return found


def file_of(reading: Reading, folder: Path) -> Path:
    return folder / f"{reading}.json"
