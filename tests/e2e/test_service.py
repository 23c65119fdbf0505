"""The agent as a service of a Debian that really boots: installed, killed, rebooted, upgraded, hung, removed."""

import json
import re
import shutil
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import VERSION
from agent.service.systemd import HARDWARE
from agent.service.systemd import NAME as UNIT
from tests.e2e.harness import Collector, collector_in, eventually
from tests.e2e.machine import Machine, booted, make_debian_root
from tests.e2e.packages import NEXT_VERSION, Packages

pytestmark = [pytest.mark.slow, pytest.mark.needs_root]

HARDWARE_UNIT, TIMER = HARDWARE
LEFT = "/run/quarkpulse-agent-hardware"
STATE = Path("/var/lib/quarkpulse-agent")
# A frame a second, and restarts without the pause that spares a machine.
IMPATIENT = f"""\
[Service]
ExecStart=
ExecStart=/opt/quarkpulse-agent/bin/quarkpulse-agent run --state {STATE} --interval 1s
RestartSec=100ms
WatchdogSec=3
"""


@pytest.fixture(scope="module")
def debian_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("debian") / "root"
    make_debian_root(folder)
    return folder


@pytest.fixture
def machine(debian_root: Path, tmp_path: Path) -> Iterator[Machine]:
    (tmp_path / "machine").mkdir()
    with booted(debian_root, tmp_path / "machine") as machine:
        yield machine


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    (tmp_path / "collector").mkdir()
    with collector_in(tmp_path / "collector") as collector:
        collector.add_customers()
        yield collector


class Agent:
    """The service inside, and what the collector knows of it."""

    def __init__(self, machine: Machine, collector: Collector) -> None:
        self.machine = machine
        self.collector = collector

    def device(self) -> dict[str, Any]:
        (device,) = self.collector.told("devices?customer=acme")
        return device

    def pid(self) -> int:
        return int(self.machine.show(UNIT, "MainPID"))

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.machine.run("quarkpulse-agent", "status", "--json", check=False).stdout)
        return found

    def last_frame_at(self) -> float:
        """Unix seconds of the newest frame that the collector has; 0 without any."""
        return max(self._ask("timestamp(system_uptime_seconds)"), default=0.0)

    def values(self, metric: str) -> list[float]:
        """The newest of each of its series that the collector has."""
        return self._ask(metric)

    def _ask(self, query: str) -> list[float]:
        answer = self.collector.request("GET", f"/api/v1/query?query={urllib.parse.quote(query)}")
        return [float(one["value"][1]) for one in answer.json["data"]["result"]]

    def wait_for_frame(self, what: str = "another frame") -> None:
        """One that is made from now on and acknowledged."""
        now = time.time()
        eventually(lambda: self.last_frame_at() > now, what)

    def wait_for_another_process(self, before: int) -> None:
        eventually(lambda: self.pid() not in (0, before), "systemd to start it again")


def add_drop_in(machine: Machine) -> None:
    folder = machine.root / "etc/systemd/system" / f"{UNIT}.d"
    folder.mkdir(parents=True)
    (folder / "impatient.conf").write_text(IMPATIENT)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", UNIT)


def install_package(machine: Machine, package: Path) -> None:
    shutil.copy(package, machine.root / "root")
    machine.run("dpkg", "--force-unsafe-io", "--install", f"/root/{package.name}", DEBIAN_FRONTEND="noninteractive")


def test_the_life_of_a_packaged_agent(machine: Machine, collector: Collector, packages: Packages) -> None:
    agent = Agent(machine, collector)

    # Installed, it waits for an enrolment, and that is no fault.
    install_package(machine, packages.this)
    assert machine.show(UNIT, "ActiveState") == "inactive"
    assert machine.run("systemctl", "is-enabled", UNIT).stdout.strip() == "enabled"
    assert machine.run("systemctl", "is-system-running", check=False).stdout.strip() == "running"

    token = collector.token("acme")
    refused = machine.run("quarkpulse-agent", "install", check=False)
    assert refused.returncode == 1
    assert "give --collector ADDRESS" in refused.stderr
    said = machine.run("quarkpulse-agent", "install", "--collector", collector.url, QUARKPULSE_TOKEN=token).stdout
    device_id = agent.device()["id"]
    assert f"enrolled as {device_id}" in said
    assert "started" in said
    # systemd has waited for the first frame.
    assert machine.show(UNIT, "ActiveState") == "active"
    eventually(agent.last_frame_at, "the first frame")
    assert agent.device()["agent_version"] == VERSION
    again = machine.run("quarkpulse-agent", "install").stdout
    assert "it runs already" in again

    stranger = machine.run("setpriv", "--reuid=65534", "--clear-groups", "quarkpulse-agent", "status", check=False)
    assert "open to the agent's user and root alone; run it as root" in stranger.stderr

    # It is nobody else's to read, and says nothing that it should not.
    secret = (machine.root / "var/lib/quarkpulse-agent/secret").read_text().strip()
    readable = machine.run("find", STATE, "/etc/quarkpulse-agent", "-perm", "/o+r", "-not", "-type", "l").stdout
    assert readable.split() == ["/etc/quarkpulse-agent"]
    assert not {secret, token} & set(re.split(r"[\s=\"']", machine.journal(UNIT) + machine.run("ps", "axeww").stdout))
    owners = machine.run("find", STATE, "-not", "-user", "quarkpulse-agent").stdout
    assert owners == ""
    doctor = machine.run("quarkpulse-agent", "doctor", "--json", check=False).stdout
    wrong = [one["check"] for one in json.loads(doctor) if not one["is_well"]]
    assert wrong == []

    # Killed, it comes back.
    assert machine.show(UNIT, "RestartUSec") == "10s"
    add_drop_in(machine)
    before = agent.pid()
    machine.run("kill", "-KILL", str(before))
    agent.wait_for_another_process(before)
    eventually(lambda: machine.show(UNIT, "ActiveState") == "active", "it to run again")

    # The machine reboots, and nobody has to come.
    machine.reboot()
    agent.wait_for_frame("a frame after the reboot")
    assert machine.show(UNIT, "NRestarts") == "0"

    # An upgrade while the collector is away: spool, identity and service are kept.
    collector.stop()
    eventually(lambda: agent.status()["spooled_records"] >= 3, "frames to wait for the collector")
    assert "push failed" in machine.run("journalctl", "--unit", UNIT, "--priority", "warning..warning").stdout
    spool_id = json.loads((machine.root / "var/lib/quarkpulse-agent/spool/spool.json").read_text())["id"]
    oldest = agent.status()["oldest_spooled_at"]
    before = agent.pid()
    install_package(machine, packages.next)
    assert agent.pid() not in (0, before)
    eventually(lambda: agent.status()["version"] == NEXT_VERSION, "the new version to tell of itself")
    after = agent.status()
    assert (after["oldest_spooled_at"], after["device_id"]) == (oldest, device_id)
    assert json.loads((machine.root / "var/lib/quarkpulse-agent/spool/spool.json").read_text())["id"] == spool_id
    collector.start()
    eventually(lambda: agent.status()["spooled_records"] == 0, "the gap to be filled")
    device = agent.device()
    assert (device["id"], device["agent_version"]) == (device_id, NEXT_VERSION)
    assert agent.status()["is_well"]

    # It hangs: the watchdog ends it, and it comes back.
    before = agent.pid()
    machine.run("kill", "-STOP", str(before))
    agent.wait_for_another_process(before)
    agent.wait_for_frame()
    assert "Watchdog timeout" in machine.journal(UNIT)

    # Disabled by its administrator, it stays so over an upgrade.
    machine.run("systemctl", "disable", "--now", UNIT)
    install_package(machine, packages.next)
    assert machine.show(UNIT, "ActiveState") == "inactive"
    assert machine.run("systemctl", "is-enabled", UNIT, check=False).stdout.strip() == "disabled"
    machine.run("systemctl", "enable", "--now", UNIT)

    # Removed: what it knows stays, and it goes on when it is installed again. Purged: nothing is left.
    machine.run("dpkg", "--remove", "quarkpulse-agent")
    assert not (machine.root / "opt/quarkpulse-agent").exists()
    assert (machine.root / "var/lib/quarkpulse-agent/secret").exists()
    assert (machine.root / "etc/quarkpulse-agent/agent.toml").exists()
    assert machine.run("pgrep", "-f", "quarkpulse-agent", check=False).stdout == ""
    install_package(machine, packages.this)
    assert agent.status()["device_id"] == device_id
    assert machine.show(UNIT, "ActiveState") == "active"
    machine.run("dpkg", "--purge", "quarkpulse-agent")
    left = machine.run(
        "find", "/", "-xdev", "-name", "*quarkpulse*", "-not", "-path", "/proc/*", "-not", "-path", "/root/*"
    ).stdout.split()
    assert [path for path in left if not path.endswith("impatient.conf") and f"{UNIT}.d" not in path] == []
    assert machine.run("getent", "passwd", "quarkpulse-agent", check=False).stdout == ""
    assert machine.run("systemctl", "is-system-running", check=False).stdout.strip() == "running"


def test_the_life_of_an_agent_from_the_bundle(machine: Machine, collector: Collector, packages: Packages) -> None:
    """Without a package: `install` itself makes user, folders and unit, and `uninstall` takes them away."""
    agent = Agent(machine, collector)
    shutil.copytree(packages.tree, machine.root / "opt/quarkpulse-agent")
    program = "/opt/quarkpulse-agent/bin/quarkpulse-agent"
    (machine.root / "root/token").write_text(collector.token("acme") + "\n")
    machine.run(program, "install", "--collector", collector.url, "--token-file", "/root/token")
    eventually(agent.last_frame_at, "the first frame")
    shipped = Path("deploy/systemd/quarkpulse-agent.service").read_text()
    assert (machine.root / "etc/systemd/system/quarkpulse-agent.service").read_text() == shipped
    assert (machine.root / "usr/lib/systemd/system-sleep/quarkpulse-agent").stat().st_mode & 0o777 == 0o755
    for unit in (UNIT, HARDWARE_UNIT):
        machine.run("systemd-analyze", "security", "--no-pager", "--threshold=30", unit)
    assert (machine.root / "etc/systemd/system" / TIMER).exists()
    assert read_left(machine, "disks")["unavailable"] == "smartctl is not installed"

    said = machine.run(program, "uninstall").stdout
    assert "kept /var/lib/quarkpulse-agent" in said
    assert machine.run("pgrep", "-f", "quarkpulse-agent run", check=False).stdout == ""
    assert (machine.root / "var/lib/quarkpulse-agent/secret").exists()
    machine.run(program, "install")  # still enrolled
    assert machine.show(UNIT, "ActiveState") == "active"
    machine.run(program, "uninstall", "--purge")
    for path in ("/var/lib/quarkpulse-agent", "/etc/quarkpulse-agent", LEFT):
        machine.run("test", "!", "-e", path)
    assert not list((machine.root / "etc/systemd/system").glob("quarkpulse*"))
    assert machine.run("getent", "passwd", "quarkpulse-agent", check=False).stdout == ""
    assert machine.run(program, "uninstall", "--purge").returncode == 0


DATA = Path(__file__).parents[1] / "agent/data"
# This machine has no disk of its own: a smartctl that answers from records, and opens the disk for root alone.
SMARTCTL = """\
#!/bin/sh
case "$*" in
*--scan*) echo '{"devices": [{"name": "/dev/sda", "type": "sat"}]}' ;;
*) if [ "$(id -u)" = 0 ]; then cat /srv/smartctl.hdd.json; else cat /srv/smartctl.denied.json; exit 2; fi ;;
esac
"""
# Nor does it show a firmware: the unit sees another one's.
FIRMWARE = """\
[Service]
BindReadOnlyPaths=/srv/class:/sys/class
"""


def read_left(machine: Machine, reading: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(machine.run("cat", f"{LEFT}/{reading}.json").stdout)
    return found


def rights_of(machine: Machine) -> list[dict[str, Any]]:
    findings = json.loads(machine.run("quarkpulse-agent", "doctor", "--json", check=False).stdout)
    return [one for one in findings if one["check"] == "rights"]


def test_what_only_root_may_read(machine: Machine, collector: Collector, packages: Packages) -> None:
    """The agent has no rights: a unit of root's reads disks and serial numbers for it, a group opens the journal."""
    agent = Agent(machine, collector)
    for name in ("smartctl.hdd.json", "smartctl.denied.json"):
        shutil.copy(DATA / name, machine.root / "srv")
    smartctl = machine.root / "usr/sbin/smartctl"
    smartctl.write_text(SMARTCTL)
    smartctl.chmod(0o755)
    firmware = machine.root / "srv/class/dmi/id"
    firmware.mkdir(parents=True)
    (firmware / "product_serial").write_text("PF2XYZ01\n")
    (firmware / "product_serial").chmod(0o400)
    drop_in = machine.root / "etc/systemd/system" / f"{HARDWARE_UNIT}.d"
    drop_in.mkdir(parents=True)
    (drop_in / "firmware.conf").write_text(FIRMWARE)
    install_package(machine, packages.this)
    assert machine.show(TIMER, "ActiveState") == "inactive"
    add_drop_in(machine)  # what is read in the background goes out with the second frame
    machine.run("quarkpulse-agent", "install", "--collector", collector.url, QUARKPULSE_TOKEN=collector.token("acme"))

    # Started with the agent and before it; what is left is root's, and the agent's to read.
    assert machine.show(HARDWARE_UNIT, "Result") == "success"
    assert machine.show(TIMER, "ActiveState") == "active"
    owners = machine.run("find", LEFT, "-printf", "%U %g %m %f\\n").stdout.splitlines()
    assert sorted(owners) == [
        "0 quarkpulse-agent 2750 quarkpulse-agent-hardware",
        "0 quarkpulse-agent 640 disks.json",
        "0 quarkpulse-agent 640 pools.json",
        "0 quarkpulse-agent 640 serials.json",
    ]
    assert machine.run("setpriv", "--reuid=65534", "--clear-groups", "ls", LEFT, check=False).returncode != 0
    for unit in (UNIT, HARDWARE_UNIT):
        machine.run("systemd-analyze", "security", "--no-pager", "--threshold=30", unit)
    assert machine.run("ps", "-o", "user=", "-p", str(agent.pid())).stdout.strip().startswith("quarkpul")

    # The unprivileged agent tells it all.
    eventually(lambda: agent.values("hw_disk_reallocated_sectors") == [1208.0], "the disk's health")
    eventually(lambda: agent.values("system_log_errors_total"), "the journal")
    eventually(lambda: agent.device()["serial"] == "PF2XYZ01", "the serial number")
    assert [one["advice"] for one in rights_of(machine) if one["is_notice"]] == []

    # What is missing is told, and what to do about it.
    smartctl.unlink()
    machine.run("systemctl", "start", HARDWARE_UNIT)
    machine.run("gpasswd", "--delete", "quarkpulse-agent", "systemd-journal")
    advice = [one["advice"] for one in rights_of(machine) if one["is_notice"]]
    assert len(advice) == 2
    assert "usermod --append --groups systemd-journal quarkpulse-agent" in advice[0]
    assert advice[1] == "`apt-get install smartmontools`"

    # It ends with the agent.
    machine.run("systemctl", "stop", UNIT)
    assert machine.show(TIMER, "ActiveState") == "inactive"
    machine.run("dpkg", "--purge", "quarkpulse-agent")
    machine.run("test", "!", "-e", LEFT)
