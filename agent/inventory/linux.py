"""Linux: what the kernel shows of the hardware, os-release, and the packages of dpkg, rpm, snap and flatpak."""

import contextlib
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.children import run_child
from agent.inventory.facts import MAX_DISKS, Facts, Package, Section, clean, section
from agent.machine import read_line, read_os_release, read_serial
from agent.probes.base import ProbeFailed, ProbeUnavailable
from agent.probes.parsing import decode
from agent.root_readings import FOLDER

ROOT = Path("/")
# Not disks of this machine: made of files, of memory, or of other disks; or drives for what is put in.
NOT_DISKS = ("loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd", "zd", "drbd")
SECTOR_BYTES = 512  # of /sys/block/*/size, whatever the disk's own are
MAX_LIST_BYTES = 4 << 20
DPKG = ("dpkg-query", "--show", "--showformat", "${db:Status-Status}\t${Package}\t${Version}\n")
RPM = ("rpm", "--query", "--all", "--queryformat", "installed\t%{NAME}\t%{VERSION}-%{RELEASE}\n")
FLATPAK = ("flatpak", "list", "--app", "--columns=application,version")
SNAP = ("snap", "list", "--color=never", "--unicode=never")


def read_linux(root: Path = ROOT) -> Facts:
    dmi = root / "sys/class/dmi/id"
    release = read_os_release(root / "etc/os-release")
    cpu = cpu_info(root / "proc/cpuinfo")
    return Facts(
        section(
            manufacturer=clean(read_line(dmi / "sys_vendor")),
            model=clean(read_line(dmi / "product_name")) or clean(read_line(root / "proc/device-tree/model")),
            serial=clean(read_serial(dmi / "product_serial", root / FOLDER.relative_to("/"))),
        ),
        section(
            name=clean(release.get("PRETTY_NAME")) or "Linux",
            version=clean(release.get("VERSION_ID")),
            kernel=clean(platform.release()),
            arch=platform.machine(),
        ),
        section(
            cpu=cpu.get("model name") or cpu.get("Model"),
            board=clean(f"{read_line(dmi / 'board_vendor')} {read_line(dmi / 'board_name')}"),
            firmware=clean(read_line(dmi / "bios_version")),
            firmware_date=clean(read_line(dmi / "bios_date")),
            is_virtual="hypervisor" in cpu.get("flags", "").split() if "flags" in cpu else None,
        ),
        list(read_disks(root / "sys/block"))[:MAX_DISKS],
        read_packages(),
    )


def cpu_info(file: Path) -> dict[str, str]:
    """The first processor's fields."""
    found: dict[str, str] = {}
    with contextlib.suppress(OSError), file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon and found:
                break
            found[name.strip()] = value.strip()
    return found


def read_disks(folder: Path) -> Iterator[Section]:
    for disk in sorted(folder.glob("*")):
        if disk.name.startswith(NOT_DISKS) or read_line(disk / "removable") == "1":
            continue
        sectors = read_line(disk / "size")
        spins = read_line(disk / "queue/rotational")
        yield section(
            name=disk.name,
            model=clean(read_line(disk / "device/model")),
            serial=clean(read_line(disk / "device/serial") or read_line(disk / "serial")),
            size_bytes=int(sectors) * SECTOR_BYTES if sectors.isdecimal() else None,
            type="nvme" if disk.name.startswith("nvme") else {"0": "ssd", "1": "hdd"}.get(spins),
        )


def read_packages() -> list[Package]:
    return [*columns(DPKG, "dpkg"), *columns(RPM, "rpm"), *read_flatpaks(), *read_snaps()]


def columns(command: Sequence[str], source: str) -> list[Package]:
    """Lines of status, name and version, with tabs between them."""
    rows = (line.split("\t") for line in ask(command))
    return [Package(row[1], row[2], source) for row in rows if len(row) == 3 and row[0] == "installed" and row[1]]


def read_flatpaks() -> list[Package]:
    rows = (line.split("\t") for line in ask(FLATPAK))
    return [Package(row[0], row[1] if len(row) > 1 else "", "flatpak") for row in rows if "." in row[0]]


def read_snaps() -> list[Package]:
    rows = [line.split() for line in ask(SNAP)]
    return [Package(row[0], row[1], "snap") for row in rows[1:] if len(row) >= 4]  # the first names the columns


def ask(command: Sequence[str]) -> list[str]:
    """Its lines; none where there is no such program, or where it does not work: the other lists stand all the same."""
    try:
        answer = run_child(command, timeout_seconds=60.0, max_bytes=MAX_LIST_BYTES)
    except (ProbeUnavailable, ProbeFailed):
        return []
    return decode(answer.output).splitlines() if answer.exit_code == 0 else []
