"""Puts an inventory together from what the system alone can tell and what psutil tells on all of them."""

import json
import socket
import sys
from collections.abc import Callable

import psutil

from agent.inventory.facts import MAX_DISKS, Facts, Section, clean, section, unique
from agent.probes.base import ProbeUnavailable
from protocol.wire import MAX_INVENTORY_BYTES, PrivacyConfig

MAX_INTERFACES = 64
MAX_ADDRESSES = 8
MAX_NAMES = 50
# Come and go with containers, virtual machines and tunnels.
PASSING_INTERFACES = ("lo", "veth", "br-", "docker", "virbr", "vnet", "tap", "tun", "cali", "flannel", "utun", "awdl")
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
        "filesystems": read_filesystems(),
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


def read_filesystems() -> list[Section]:
    """Those on disks of this machine, with their sizes; how full they are is a metric."""
    found = []
    for part in psutil.disk_partitions(all=False):
        if part.fstype in NETWORK_FILE_SYSTEMS:
            continue
        try:
            size = psutil.disk_usage(part.mountpoint).total
        except OSError:
            continue
        found.append({"mountpoint": clean(part.mountpoint) or "?", "type": part.fstype, "size_bytes": size})
    return sorted(found, key=lambda one: str(one["mountpoint"]))[:MAX_DISKS]


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
