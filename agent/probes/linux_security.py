"""Security posture of Linux: ClamAV, ufw, firewalld and nftables, LUKS, unattended-upgrades and dnf-automatic."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from agent.children import run_child
from agent.probes.base import ProbeFailed, ProbeUnavailable
from agent.probes.filesystem import Mount, read_mounts, worth_looking_at
from agent.probes.parsing import decode
from agent.probes.readings import Antivirus, SecurityReading

ROOT = Path("/")
SYSTEMD = Path("/run/systemd/system")
MAX_FILE_BYTES = 64 << 10
MAX_LAYERS = 8  # LVM on LUKS on RAID is three
SIGNATURES = ("daily.cld", "daily.cvd")
FIREWALLS = ("firewalld.service", "nftables.service", "ufw.service")
UPDATERS = ("dnf-automatic.timer", "dnf-automatic-install.timer", "dnf5-automatic.timer")
ANTIVIRUS = "clamav-daemon.service"
# The firmware and the boot loader read these, so they cannot be encrypted as the rest is.
NEVER_ENCRYPTED = ("/boot", "/efi")
UFW_ENABLED = re.compile(r"(?m)^\s*ENABLED\s*=\s*yes\b", re.IGNORECASE)
APT_PERIODIC = re.compile(r'(?m)^APT::Periodic::Unattended-Upgrade "(?P<value>[^"]*)"')


def read_linux_security(root: Path = ROOT) -> SecurityReading:
    units = read_unit_states()
    return SecurityReading(
        antivirus=read_clamav(root, units),
        firewall=read_firewall(root, units),
        encrypted=read_encryption(root, read_mounts()),
        auto_update=read_auto_update(root, units),
    )


def read_unit_states() -> dict[str, str]:
    """ActiveState of those units that are installed; empty without systemd."""
    if not SYSTEMD.exists():
        return {}
    asked = (*FIREWALLS, *UPDATERS, ANTIVIRUS)
    answer = run_child(["systemctl", "show", "--property=Id,LoadState,ActiveState", "--", *asked])
    return parse_unit_states(decode(answer.output))


def parse_unit_states(text: str) -> dict[str, str]:
    states = {}
    for block in text.split("\n\n"):
        fields = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if fields.get("LoadState") == "loaded":
            states[fields.get("Id", "")] = fields.get("ActiveState", "")
    return states


def read_clamav(root: Path, units: Mapping[str, str]) -> dict[str, Antivirus]:
    folder = root / "var/lib/clamav"
    times = [(folder / name).stat().st_mtime for name in SIGNATURES if (folder / name).exists()]
    if not times and ANTIVIRUS not in units:
        return {}
    enabled = units[ANTIVIRUS] == "active" if ANTIVIRUS in units else None
    return {"ClamAV": Antivirus(enabled, max(times, default=None))}


def read_firewall(root: Path, units: Mapping[str, str]) -> dict[str, bool]:
    """One answer for the host: on if any of them is. Rules that others loaded (container engines) do not count."""
    states = [units[unit] == "active" for unit in FIREWALLS[:2] if unit in units]
    ufw = read_text(root / "etc/ufw/ufw.conf")
    if ufw:
        states.append(UFW_ENABLED.search(ufw) is not None)
    return {"host": any(states)} if states else {}


def read_auto_update(root: Path, units: Mapping[str, str]) -> bool | None:
    if (root / "var/lib/dpkg/status").exists():
        try:
            said = decode(run_child(["apt-config", "dump"]).output)
        except (ProbeUnavailable, ProbeFailed):
            return None
        match = APT_PERIODIC.search(said)
        is_on = match is not None and match["value"] not in ("", "0")
        return is_on and (root / "usr/bin/unattended-upgrade").exists()
    if (root / "usr/bin/dnf").exists():
        return any(units.get(unit) == "active" for unit in UPDATERS)
    return None


def read_encryption(root: Path, mounts: Iterable[Mount]) -> dict[str, bool]:
    """Of the file systems on disks of this machine: whether LUKS lies under them."""
    found = {}
    for mount in worth_looking_at(mounts):
        if not mount.device.startswith("/dev/") or mount.mountpoint.startswith(NEVER_ENCRYPTED):
            continue
        block = find_block(root, mount)
        if block is not None:
            found[mount.mountpoint] = is_encrypted(block)
    return found


def find_block(root: Path, mount: Mount) -> Path | None:
    """The device's folder in /sys: by its number, or by its name where the file system has its own number (btrfs)."""
    by_number = root / "sys/dev/block" / mount.identity
    if re.fullmatch(r"\d+:\d+", mount.identity) and by_number.exists():
        return by_number.resolve()
    by_name = root / "sys/class/block" / Path(mount.device).resolve().name
    return by_name.resolve() if by_name.exists() else None


def is_encrypted(block: Path, layers: int = MAX_LAYERS) -> bool:
    """Whether it is a crypt device, or everything that it is made of is."""
    if read_text(block / "dm/uuid").startswith("CRYPT-"):
        return True
    slaves = block / "slaves"
    below = [one.resolve() for one in slaves.iterdir()] if slaves.is_dir() and layers > 0 else []
    return bool(below) and all(is_encrypted(one, layers - 1) for one in below)


def read_text(file: Path) -> str:
    """Empty if it cannot be read."""
    try:
        with file.open("rb") as opened:
            return decode(opened.read(MAX_FILE_BYTES))
    except OSError:
        return ""
