"""What this machine is: the facts that enrolment tells the collector."""

import hashlib
import os
import platform
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil

from agent.files import write_atomically
from agent.probes.base import ProbeFailed, ProbeUnavailable
from agent.probes.parsing import dig_text
from agent.root_readings import FOLDER, Reading, find
from agent.state import StateFolder
from protocol.wire import Kind

MACHINE_ID_FILES = (
    Path("/etc/machine-id"),
    Path("/var/lib/dbus/machine-id"),
    Path("/sys/class/dmi/id/product_uuid"),  # readable for root only
)
SERIAL_FILE = Path("/sys/class/dmi/id/product_serial")  # readable for root only
DESKTOP_FOLDERS = (Path("/usr/share/xsessions"), Path("/usr/share/wayland-sessions"))
OS_RELEASE = Path("/etc/os-release")
MAX_SERIAL_CHARS = 256
# What makers leave in the field when they forget to fill it in.
EMPTY_SERIALS = ("", "0", "none", "default string", "to be filled by o.e.m.", "system serial number", "not specified")


def read_machine_id(folder: StateFolder, files: Sequence[Path] = MACHINE_ID_FILES) -> str:
    """The system's own id, or else a random one kept in the state folder. Raises OSError."""
    for file in (*files, folder.machine_id_path):
        found = read_line(file)
        if found and found != "uninitialized":
            return found[:128]
    made = secrets.token_hex(16)
    write_atomically(folder.machine_id_path, made.encode() + b"\n")
    return made


def read_serial(file: Path = SERIAL_FILE, folder: Path = FOLDER) -> str | None:
    """The maker's serial number, as root has left it where the agent may not read it; None if there is none."""
    return read_own_serial(file) or find_serial(folder)


def find_serial(folder: Path = FOLDER) -> str | None:
    """What root has left. A serial number does not age."""
    try:
        found = dig_text(find(Reading.SERIALS, folder, max_age_seconds=float("inf")), "product")
    except (ProbeUnavailable, ProbeFailed):
        return None
    return None if found.lower() in EMPTY_SERIALS else found[:MAX_SERIAL_CHARS]


def read_own_serial(file: Path = SERIAL_FILE) -> str | None:
    """None if it is not readable or not filled in."""
    found = read_line(file)
    return None if found.lower() in EMPTY_SERIALS else found[:MAX_SERIAL_CHARS]


def instance_of(state: Path) -> str:
    """Tells the agents of one machine apart: a hash of the state folder's path."""
    return hashlib.sha256(os.fsencode(state.resolve())).hexdigest()[:32]


def guess_kind() -> Kind:
    """A battery makes a laptop, a graphical session a desktop, the rest are servers. The token's kind wins anyway."""
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    if battery is not None:
        return Kind.LAPTOP
    if sys.platform == "darwin" or any(folder.is_dir() for folder in DESKTOP_FOLDERS):
        return Kind.DESKTOP
    if sys.platform == "win32":
        return Kind.SERVER if "Server" in (platform.win32_edition() or "") else Kind.DESKTOP
    return Kind.SERVER


def read_os_name(file: Path = OS_RELEASE) -> str:
    """Such as `Debian GNU/Linux 12 (bookworm)`."""
    fields = read_os_release(file)
    if not fields:
        return f"{platform.system()} {platform.release()}"[:256]
    return fields.get("PRETTY_NAME", platform.system())[:256]


def read_os_release(file: Path = OS_RELEASE) -> dict[str, str]:
    """The fields of os-release; none where it cannot be read."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    fields = (line.split("=", 1) for line in lines if "=" in line)
    return {name: value.strip("\"'") for name, value in fields}


def read_line(file: Path) -> str:
    """The first line; empty if it cannot be read."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
    return text.splitlines()[0] if text else ""
