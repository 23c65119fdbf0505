"""Updates of Debian (apt) and Fedora (dnf) and their kin."""

import re
import time
from collections.abc import Iterable
from pathlib import Path

from agent.children import run_child
from agent.probes.base import ProbeFailed, ProbeUnavailable
from agent.probes.parsing import decode
from agent.probes.readings import UpdateReading

CHILD_TIMEOUT_SECONDS = 240.0
ROOT = Path("/")
# Inst bash [5.2.15-2+b2] (5.2.15-2+b7 Debian:12.5/stable [amd64]); without [old] it is new, which is no update.
APT_LINE = re.compile(r"^Inst (?P<package>\S+) \[[^\]]*\] \((?P<new>\S+) (?P<origins>[^)\[]*)")
APT_SECURITY = re.compile(r"-security\b|\bDebian-Security:|\bUbuntuESM", re.IGNORECASE)
APT_SIMULATION = (
    "apt-get", "--simulate", "--with-new-pkgs", "-o", "Debug::NoLocking=true", "-o", "APT::Color=0", "upgrade",
)  # fmt: skip
# bash.x86_64    5.1.8-6.el9    baseos
DNF_LINE = re.compile(
    r"^(?P<package>[\w.+-]+\.(?:noarch|x86_64|i686|aarch64|ppc64le|s390x|armv7hl|riscv64))\s+\S+\s+\S+$"
)
DNF_UPDATES_EXIT_CODE = 100
CONTAINER_SIGNS = ("run/systemd/container", ".dockerenv", "run/.containerenv")


def read_linux_updates(root: Path = ROOT) -> UpdateReading:
    if (root / "var/lib/dpkg/status").exists():
        return read_apt(root)
    if (root / "var/lib/rpm").exists() or (root / "usr/lib/sysimage/rpm").exists():
        return read_dnf(root)
    raise ProbeUnavailable("neither apt nor dnf looks after this machine")


def read_apt(root: Path) -> UpdateReading:
    answer = run_child(APT_SIMULATION, timeout_seconds=CHILD_TIMEOUT_SECONDS)
    if answer.exit_code != 0:
        raise ProbeFailed(f"apt-get --simulate upgrade ended with exit code {answer.exit_code}; run it by hand")
    security, other = count_apt(decode(answer.output))
    lists = root / "var/lib/apt/lists"
    # apt leaves the server's time on the lists themselves; its folders say when it was here.
    index_at = newest((root / "var/lib/apt/periodic/update-success-stamp", lists / "partial", lists))
    return UpdateReading(
        security,
        other,
        *read_reboot_required(root),
        index_at if any(lists.glob("*Packages*")) else None,
        newest(file for file in (root / "var/log/apt").glob("history.log*") if size_of(file) > 0),
    )


def count_apt(text: str) -> tuple[int, int]:
    """Security updates and others in what `apt-get --simulate upgrade` says."""
    found = [match for match in map(APT_LINE.match, text.splitlines()) if match]
    security = sum(APT_SECURITY.search(match["origins"]) is not None for match in found)
    return security, len(found) - security


def read_dnf(root: Path) -> UpdateReading:
    """From dnf's cache alone: the agent does not download what dnf's own timer will."""
    in_all = count_dnf(("dnf", "--quiet", "--cacheonly", "check-update"))
    security = count_dnf(("dnf", "--quiet", "--cacheonly", "check-update", "--security"))
    caches = [
        *(root / "var/cache").glob("dnf/*/repodata/repomd.xml"),
        *(root / "var/cache").glob("libdnf5/*/repodata/repomd.xml"),
    ]
    databases = [root / folder / "rpmdb.sqlite" for folder in ("var/lib/rpm", "usr/lib/sysimage/rpm")]
    return UpdateReading(
        security, max(0, in_all - security), *read_reboot_required(root), newest(caches), newest(databases)
    )


def count_dnf(command: tuple[str, ...]) -> int:
    answer = run_child(command, timeout_seconds=CHILD_TIMEOUT_SECONDS / 2)
    if answer.exit_code == 0:
        return 0
    if answer.exit_code != DNF_UPDATES_EXIT_CODE:
        raise ProbeFailed(f"{' '.join(command)} ended with exit code {answer.exit_code}; run it by hand")
    return count_dnf_lines(decode(answer.output))


def count_dnf_lines(text: str) -> int:
    """Packages in what `dnf check-update` says, up to the ones that would be obsoleted."""
    packages = set()
    for line in text.splitlines():
        if line.startswith("Obsoleting"):
            break
        if match := DNF_LINE.match(line.strip()):
            packages.add(match["package"])
    return len(packages)


def read_reboot_required(root: Path, booted_at: float | None = None) -> tuple[bool, float | None]:
    """Whether a restart is due, and since when: the mark that packages leave, or a kernel installed since the start."""
    for mark in (root / "run/reboot-required", root / "var/run/reboot-required"):
        since = modified_at(mark)
        if since is not None:
            return True, since
    if any((root / sign).exists() for sign in CONTAINER_SIGNS):
        return False, None  # the kernel is the host's
    if booted_at is None:
        booted_at = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    # A package's files keep the times of their making; when they came here, only the inode knows.
    installed_at = max((kernel.stat().st_ctime for kernel in (root / "boot").glob("vmlinuz-*")), default=0.0)
    return (True, installed_at) if installed_at > booted_at else (False, None)


def newest(files: Iterable[Path]) -> float | None:
    return max((at for at in map(modified_at, files) if at is not None), default=None)


def modified_at(file: Path) -> float | None:
    try:
        return file.stat().st_mtime
    except OSError:
        return None


def size_of(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
