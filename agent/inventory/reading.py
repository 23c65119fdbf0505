"""Puts an inventory together from what the system alone can tell and what psutil tells on all of them."""

import json
import re
import socket
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psutil

from agent.hidden_names import read_places
from agent.inventory.facts import MAX_DISKS, Facts, Section, clean, section, unique
from agent.machine import read_line
from agent.probes.base import ProbeUnavailable
from protocol.wire import MAX_INVENTORY_BYTES, PrivacyConfig

MAX_INTERFACES = 64
MAX_ADDRESSES = 8
MAX_NAMES = 50
# Come and go with containers, virtual machines and tunnels.
PASSING_INTERFACES = ("lo", "veth", "br-", "docker", "virbr", "vnet", "tap", "tun", "cali", "flannel", "utun", "awdl")
BLOCK_DEVICES = Path("/sys/class/block")
NETWORK_FILE_SYSTEMS = ("nfs", "nfs4", "cifs", "smbfs", "fuse.sshfs", "afs", "autofs", "squashfs", "iso9660", "overlay")


def read_facts() -> Facts:
    """By the tools of this system; only their module is loaded. Raises ProbeUnavailable or ProbeFailed."""
    if sys.platform == "win32":
        from agent.inventory.windows import read_windows  # noqa: PLC0415

        return read_windows()
    if sys.platform == "darwin":
        from agent.inventory.macos import read_macos  # noqa: PLC0415

        return read_macos()
    if sys.platform == "linux":
        from agent.inventory.linux import read_linux  # noqa: PLC0415

        return read_linux()
    raise ProbeUnavailable(f"the inventory cannot be read on {sys.platform}")


def read_inventory(allowed: PrivacyConfig, read: Callable[[], Facts] = read_facts) -> Section:
    """As `agent.inventory.facts` describes it, no larger than the collector takes."""
    facts = read()
    packages = unique(facts.packages)
    inventory = {
        "hostname": clean(socket.gethostname()) or "",
        **facts.identity,
        "system": facts.system,
        "hardware": {
            **facts.hardware,
            **section(
                cores=psutil.cpu_count(logical=False),
                threads=psutil.cpu_count(),
                memory_bytes=psutil.virtual_memory().total >> 20 << 20,
            ),
        },
        "disks": facts.disks,
        "filesystems": read_filesystems(allowed["user_names"]),
        "network": read_network(),
        "software": {"count": len(packages)},
        "users": read_users(allowed["user_names"]),
    }
    if allowed["software"]:
        room = MAX_INVENTORY_BYTES // 2 - len(json.dumps(inventory))
        listed = []
        for package in packages:
            entry = package._asdict()
            room -= len(json.dumps(entry)) + 2
            if room < 0:
                break
            listed.append(entry)
        inventory["software"]["packages"] = listed
    return inventory


def read_filesystems(
    are_names_allowed: bool,
    partitions: Callable[[], Iterable[Any]] = psutil.disk_partitions,
    size_of: Callable[[str], int] = lambda mountpoint: int(psutil.disk_usage(mountpoint).total),
) -> list[Section]:
    """Those on disks that stay in this machine, with their sizes; how full they are is a metric. Where names of users
    are not allowed, places that are named after one have a `*` there."""
    found, places = [], read_places()
    for part in partitions():
        if part.fstype in NETWORK_FILE_SYSTEMS or is_removable(part.device, part.mountpoint, part.opts):
            continue
        try:
            size = size_of(part.mountpoint)
        except OSError:
            continue
        place = clean(part.mountpoint if are_names_allowed else places.without(part.mountpoint))
        found.append({"mountpoint": place or "?", "type": part.fstype, "size_bytes": size})
    return sorted(found, key=lambda one: (str(one["mountpoint"]), int(one["size_bytes"])))[:MAX_DISKS]


def is_removable(device: str, mountpoint: str, options: str) -> bool:
    """What the system calls so, and what a desktop has mounted for whoever put it in."""
    if "removable" in options.split(",") or re.match(r"(/run)?/media/[^/]+/.", mountpoint):
        return True
    block = (BLOCK_DEVICES / Path(device).name).resolve()
    return any(read_line(folder / "removable") == "1" for folder in (block, block.parent))  # of a partition: its disk's


def read_network() -> list[Section]:
    """Interfaces that stay, with their hardware and IPv4 addresses: IPv6 makes up new ones every day."""
    found = []
    for name, addresses in sorted(psutil.net_if_addrs().items()):
        if name.lower().startswith(PASSING_INTERFACES):
            continue
        mac = next((one.address.lower().replace("-", ":") for one in addresses if one.family == psutil.AF_LINK), None)
        ipv4 = sorted(one.address for one in addresses if one.family == socket.AF_INET)
        if mac is not None or ipv4:
            found.append(section(name=clean(name) or "?", mac=mac, addresses=ipv4[:MAX_ADDRESSES]))
    return found[:MAX_INTERFACES]


def read_users(are_names_allowed: bool) -> Section:
    """Who is logged in, each once."""
    names = sorted({clean(user.name) or "?" for user in psutil.users()})
    return section(logged_in=len(names), names=names[:MAX_NAMES] if are_names_allowed else None)
