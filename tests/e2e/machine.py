"""A Debian that systemd really boots, by systemd-nspawn: for what only a machine with services shows.

It shares this machine's loopback interface, so a collector of the test is in its reach. A reboot keeps its files.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import is_running, require, skip_or_fail
from tests.e2e.harness import DEADLINE_SECONDS, eventually

REBOOTED = 133  # systemd-nspawn's exit code
PACKAGES = "systemd,systemd-sysv,dbus,procps,ca-certificates"
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TERM": "dumb"}
ROOT_TIMEOUT_SECONDS = 300


def make_debian_root(folder: Path) -> None:
    """Debian 12 with systemd and little else, from where this machine's packages come from."""
    command: list[str | Path] = [
        require("mmdebstrap"), "--quiet", "--mode=root", "--variant=minbase", f"--include={PACKAGES}", "bookworm",
        folder,
    ]  # fmt: skip
    made = subprocess.run(command, capture_output=True, text=True, check=False, timeout=ROOT_TIMEOUT_SECONDS)
    if made.returncode != 0:
        skip_or_fail(f"mmdebstrap could not make a Debian root: {made.stderr.strip()[-500:]}")


class Machine:
    def __init__(self, root: Path, log: Path) -> None:
        self.root = root
        self._log = log
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._first = 0  # its process 1, as this machine numbers it

    def boot(self) -> None:
        command: list[str | Path] = [
            require("systemd-nspawn"), "--quiet", "--boot", "--register=no", "--keep-unit", "--machine=quarkpulse-test",
            "--directory", self.root,
        ]  # fmt: skip
        with self._log.open("ab") as log:
            self._nspawn = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._first = eventually(self._find_first, "systemd-nspawn to start systemd")
        eventually(self._is_up, "the machine to boot")

    def reboot(self) -> None:
        """As its administrator would."""
        assert self._nspawn is not None
        self.run("systemctl", "reboot", check=False)
        assert self._nspawn.wait(DEADLINE_SECONDS) == REBOOTED
        self.boot()

    def power_off(self) -> None:
        """Whatever state it is in."""
        nspawn, self._nspawn = self._nspawn, None
        if nspawn is not None:
            if nspawn.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._first, signal.SIGKILL)  # takes everything inside with it
            nspawn.wait(DEADLINE_SECONDS)
        remove_groups()

    def run(self, *command: str | Path, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """A command inside, as root."""
        done = subprocess.run(
            ["nsenter", "--target", str(self._first), "--all", "--", *command],
            env={**ENVIRONMENT, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE_SECONDS,
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def show(self, unit: str, name: str) -> str:
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).stdout.strip()

    def journal(self, unit: str) -> str:
        return self.run("journalctl", "--unit", unit, "--output", "cat", "--no-pager").stdout

    def _find_first(self) -> int:
        assert self._nspawn is not None
        assert self._nspawn.poll() is None, self._log.read_text(errors="replace")
        listing = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        children = [int(pid) for pid in listing.read_text().split()]
        return next((pid for pid in children if is_running(pid) and is_first_of_its_own(pid)), 0)

    def _is_up(self) -> bool:
        return self.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded")


def is_first_of_its_own(pid: int) -> bool:
    """Process 1 of a namespace of its own: what systemd-nspawn starts on the way to it is not."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    numbers = next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), [])
    return len(numbers) > 1 and numbers[-1] == "1"


def remove_groups() -> None:
    """The control groups that systemd-nspawn leaves beside the test's own, in each hierarchy that systemd uses."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    own = next((line.rpartition(":")[2] for line in lines if line.startswith("0::")), "/")
    for hierarchy in ("", "unified", "systemd"):
        for name in ("payload", "supervisor"):
            group = Path("/sys/fs/cgroup", hierarchy, own.lstrip("/"), name)
            for folder in [*sorted(group.rglob("*/"), reverse=True), group]:
                with contextlib.suppress(OSError):  # not there in this hierarchy
                    folder.rmdir()


@contextlib.contextmanager
def booted(root: Path, folder: Path) -> Iterator[Machine]:
    """A machine of its own on a copy of `root`; `folder` takes what it writes. Switched off whatever happens."""
    upper, work, merged = (folder / name for name in ("upper", "work", "merged"))
    for path in (upper, work, merged):
        path.mkdir()
    layers = f"lowerdir={root},upperdir={upper},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "-o", layers, "overlay", merged], check=True)
    machine = Machine(merged, folder / "console.log")
    try:
        machine.boot()
        yield machine
    finally:
        machine.power_off()
        subprocess.run(["umount", merged], check=True)
