"""The shape of an inventory, and what every text in it must be like.

    {"read_at": Unix milliseconds,
     "hostname", "manufacturer"?, "model"?, "serial"?,                   top level: what lists and warranties go by
     "system": {"name", "version"?, "kernel"?, "arch", "installed_at"?},
     "hardware": {"cpu"?, "cores"?, "threads"?, "memory_bytes", "board"?, "firmware"?, "firmware_date"?, "is_virtual"?},
     "disks": [{"name", "model"?, "serial"?, "size_bytes"?, "type"?}],   type: hdd, ssd, nvme
     "filesystems": [{"mountpoint", "type", "size_bytes"}],
     "network": [{"name", "mac"?, "addresses"}],
     "software": {"count", "packages"?: [{"name", "version", "source"}]},
     "users": {"logged_in", "names"?},
     "probes": [name]}                                                   that this agent has, of other packages too

`packages` and `names` are there only where the customer allowed it. What changes by itself is left out: free space,
load, addresses that are made up anew each day.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from agent.machine import EMPTY_SERIALS

MAX_TEXT_CHARS = 200
MAX_PACKAGES = 5_000
MAX_DISKS = 200

Section = dict[str, Any]


class Package(NamedTuple):
    name: str
    version: str
    source: str  # dpkg, rpm, snap, flatpak, windows, macos


class Facts(NamedTuple):
    """What only the system itself can tell; keys as above."""

    identity: Section  # manufacturer, model, serial
    system: Section
    hardware: Section
    disks: list[Section]
    packages: list[Package]


def clean(text: object) -> str | None:
    """One line of printable text; None for nothing, or for what makers leave in a field that they forget to fill."""
    if not isinstance(text, str):
        return None
    line = " ".join("".join(one if one.isprintable() else " " for one in text).split())[:MAX_TEXT_CHARS]
    return None if line.lower() in EMPTY_SERIALS else line


def section(**fields: object) -> Section:
    """Without what is not known."""
    return {name: value for name, value in fields.items() if value is not None}


def unique(packages: Iterable[Package]) -> list[Package]:
    """In order; each once, whatever the system says."""
    return sorted({(one.name, one.version, one.source): one for one in packages}.values())[:MAX_PACKAGES]
