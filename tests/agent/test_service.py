"""`install` and `uninstall` with systemd's answers recorded; tests/e2e/test_service.py does it on a machine."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path

import pytest

from agent.service.base import Condition, Ran, ServiceError, must, run_program
from agent.service.installing import Enrolment, install, uninstall
from agent.service.systemd import HARDWARE, PROGRAM, Systemd, is_roots_alone, is_safe, unit_text
from agent.state import StateFolder
from tests.agent.collector import DEVICE_ID, Collector
from tests.agent.conftest import AGENT

TOKEN = "a-token-that-nobody-may-see"


class Machine:
    """systemd's answers, as a real one gives them, kept up to date by what it is asked to do."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.asked: list[list[str]] = []
        self.said: list[str] = []
        self.is_enabled = self.is_active = self.has_user = self.may_read_journal = False
        self.starts = True

    def run(self, command: Sequence[str]) -> Ran:
        self.asked.append(list(command))
        match list(command)[:2]:
            case ["useradd", _]:
                self.has_user = True
            case ["userdel", _]:
                self.has_user = False
            case ["usermod", _]:
                self.may_read_journal = True
            case ["id", _]:
                return Ran(0, "quarkpulse-agent systemd-journal\n" if self.may_read_journal else "quarkpulse-agent\n")
            case ["systemctl", "enable"]:
                self.is_enabled = True
            case ["systemctl", "restart"]:
                self.is_active = self.starts
                return Ran(0 if self.starts else 1, "")
            case ["systemctl", "disable"]:
                self.is_enabled = self.is_active = False
            case ["systemctl", "is-enabled"]:
                return Ran(0 if self.is_enabled else 1, "")
            case ["systemctl", "is-active"]:
                return Ran(0 if self.is_active else 3, "")
            case ["systemctl", "show"]:
                is_loaded = (self.root / "etc/systemd/system/quarkpulse-agent.service").exists()
                loaded, active = "loaded" if is_loaded else "not-found", "active" if self.is_active else "inactive"
                return Ran(0, f"LoadState={loaded}\nActiveState={active}\n")
        return Ran(0, "")

    def find_account(self, name: str) -> tuple[int, int] | None:
        return (os.getuid(), os.getgid()) if self.has_user else None


class Rootless(Systemd):
    """A systemd of the test's own; whoever runs the test has all rights there."""

    def check_rights(self) -> None:
        pass


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "root")


@pytest.fixture
def service(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    monkeypatch.setattr(os, "chown", lambda *_, **__: None)  # only root may, and e2e looks
    return Rootless(machine.said.append, machine.run, machine.root, machine.find_account, lambda _: True)


def test_installing_enrols_and_starts_and_says_so(machine: Machine, service: Systemd, collector: Collector) -> None:
    install(service, Path(AGENT), Enrolment([collector.url], TOKEN), machine.said.append)
    assert StateFolder(service.state).load_identity().device_id == DEVICE_ID
    assert machine.said == [
        "made the user quarkpulse-agent",
        "gave quarkpulse-agent the group systemd-journal: it counts the errors in the journal",
        f"made {service.state}",
        f"made {machine.root}/etc/quarkpulse-agent/agent.toml",
        f"enrolled as {DEVICE_ID}",
        f"wrote {machine.root}/etc/systemd/system/quarkpulse-agent.service",
        f"wrote {machine.root}/etc/systemd/system/quarkpulse-agent-hardware.service",
        f"wrote {machine.root}/etc/systemd/system/quarkpulse-agent-hardware.timer",
        f"wrote {machine.root}/usr/lib/systemd/system-sleep/quarkpulse-agent",
        "it starts when the machine does",
        "started",
    ]
    unit = (machine.root / "etc/systemd/system/quarkpulse-agent.service").read_text()
    assert unit == unit_text(Path(AGENT))
    assert f"ExecStart={AGENT} run" in unit
    assert (service.state / "agent.toml").resolve() == machine.root / "etc/quarkpulse-agent/agent.toml"
    assert not any(TOKEN in word for command in machine.asked for word in command)
    assert service.condition() is Condition.RUNNING


def test_installing_again_does_nothing(machine: Machine, service: Systemd, collector: Collector) -> None:
    install(service, Path(AGENT), Enrolment([collector.url], TOKEN), machine.said.append)
    (machine.root / "etc/quarkpulse-agent/agent.toml").write_text("[probes]\noff = []\n")
    machine.said.clear()
    install(service, Path(AGENT), Enrolment([collector.url], TOKEN), machine.said.append)
    assert machine.said == [f"enrolled as {DEVICE_ID}", "it runs already"]
    assert len(collector.enrolled) == 1
    assert (machine.root / "etc/quarkpulse-agent/agent.toml").read_text() == "[probes]\noff = []\n"


def test_a_unit_that_somebody_changed_is_set_right(machine: Machine, service: Systemd, collector: Collector) -> None:
    install(service, Path(AGENT), Enrolment([collector.url], TOKEN), machine.said.append)
    unit = machine.root / "etc/systemd/system/quarkpulse-agent.service"
    unit.write_text("[Service]\n")
    machine.said.clear()
    install(service, Path(AGENT), None, machine.said.append)
    assert machine.said == [f"enrolled as {DEVICE_ID}", f"wrote {unit}", "restarted with the new unit"]


def test_root_starts_no_program_that_others_may_change(
    machine: Machine, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "chown", lambda *_, **__: None)
    service = Rootless(machine.said.append, machine.run, machine.root, machine.find_account, lambda _: False)
    install(service, Path(AGENT), Enrolment([collector.url], TOKEN), machine.said.append)
    assert any("so root does not start it" in one for one in machine.said)
    assert [one.name for one in (machine.root / "etc/systemd/system").iterdir()] == ["quarkpulse-agent.service"]


@pytest.mark.needs_root
def test_whose_program_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "opt"
    folder.mkdir(mode=0o755)
    program = folder / "quarkpulse-agent"
    program.touch(0o755)
    assert is_safe(program.stat())
    assert is_safe(folder.stat())
    program.chmod(0o775)
    assert not is_safe(program.stat())
    folder.chmod(0o777)
    assert not is_safe(folder.stat())
    folder.chmod(0o1777)
    assert is_safe(folder.stat())
    os.chown(folder, 65534, 65534)
    assert not is_safe(folder.stat())
    assert not is_roots_alone(program)


def test_without_an_enrolment_nothing_is_made(machine: Machine, service: Systemd) -> None:
    with pytest.raises(ServiceError, match="give --collector ADDRESS"):
        install(service, Path(AGENT), None, machine.said.append)
    assert (machine.asked, machine.said, machine.root.exists()) == ([], [], False)


def test_an_ended_device_is_not_made_a_service(machine: Machine, service: Systemd, collector: Collector) -> None:
    install(service, Path(AGENT), Enrolment([collector.url], TOKEN), machine.said.append)
    StateFolder(service.state).ended_path.touch()
    with pytest.raises(ServiceError, match="enroll --force"):
        install(service, Path(AGENT), None, machine.said.append)


def test_an_enrolment_that_fails_is_told_in_its_own_words(
    machine: Machine, service: Systemd, free_port: Callable[[], int]
) -> None:
    with pytest.raises(ServiceError, match="the collector refuses connections"):
        install(service, Path(AGENT), Enrolment([f"http://127.0.0.1:{free_port()}"], TOKEN), machine.said.append)
    assert not machine.is_active


def test_a_service_that_does_not_start_is_told(machine: Machine, service: Systemd, collector: Collector) -> None:
    machine.starts = False
    with pytest.raises(ServiceError, match="journalctl --unit"):
        install(service, Path(AGENT), Enrolment([collector.url], TOKEN), machine.said.append)


def test_a_unit_of_a_package_is_left_to_it(machine: Machine, service: Systemd, collector: Collector) -> None:
    packaged = machine.root / "usr/lib/systemd/system/quarkpulse-agent.service"
    packaged.parent.mkdir(parents=True)
    packaged.write_text(unit_text())
    install(service, Path(AGENT), Enrolment([collector.url], TOKEN), machine.said.append)
    assert not (machine.root / "etc/systemd/system/quarkpulse-agent.service").exists()
    assert "the unit is the package's" in machine.said
    uninstall(service, purge=False, say=machine.said.append)
    assert packaged.exists()


def test_uninstalling_keeps_what_was_gathered_unless_told(
    machine: Machine, service: Systemd, collector: Collector
) -> None:
    install(service, Path(AGENT), Enrolment([collector.url], TOKEN), machine.said.append)
    uninstall(service, purge=False, say=machine.said.append)
    assert StateFolder(service.state).is_enrolled()
    assert not (machine.root / "etc/systemd/system/quarkpulse-agent.service").exists()
    assert service.condition() is Condition.ABSENT
    uninstall(service, purge=True, say=machine.said.append)
    assert not service.state.exists()
    assert not machine.has_user
    machine.said.clear()
    uninstall(service, purge=True, say=machine.said.append)
    assert machine.said == []


def test_only_root_installs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ServiceError, match="only root"):
        Systemd(print).check_rights()


WORK_AS_OWNER = """
import os, sys
from itertools import takewhile
from pathlib import Path
from agent.service.owner import become_owner
folder = Path(sys.argv[1])
become_owner(folder)
(folder / "made").touch()
print(os.getuid(), os.getgid(), os.getgroups())
"""


@pytest.mark.needs_root
@pytest.mark.parametrize(("owner", "expected"), [(65534, "65534 65534 [65534]"), (54321, "54321 54321 []")])
def test_root_works_in_a_folder_as_its_owner(tmp_path: Path, owner: int, expected: str) -> None:
    """So that `enroll`, `doctor` and `status` leave nothing behind that the service cannot read."""
    folder = tmp_path / "state"
    folder.mkdir()
    os.chown(folder, owner, owner)
    for above in takewhile(lambda one: one != Path(tempfile.gettempdir()), folder.parents):
        above.chmod(0o755)
    worked = subprocess.run(
        [sys.executable, "-c", WORK_AS_OWNER, folder], capture_output=True, text=True, check=True, timeout=60
    )
    assert worked.stdout.strip() == expected
    assert (folder / "made").stat().st_uid == owner


def test_the_token_is_in_no_list_of_processes(collector: Collector, tmp_path: Path) -> None:
    """Looked at while the collector answers: by the environment and by a file."""
    seen: list[str] = []

    def look_around() -> None:
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen.append(file.read_text(errors="replace"))
            except OSError:
                continue

    collector.on_enroll = look_around
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    ways: list[tuple[list[str], dict[str, str]]] = [
        (["--token-file", str(tmp_path / "token")], {}),
        ([], {"QUARKPULSE_TOKEN": TOKEN}),
    ]
    for number, (options, environment) in enumerate(ways):
        subprocess.run(
            [AGENT, "enroll", "--collector", collector.url, "--state", tmp_path / f"state{number}", *options],
            env={**os.environ, **environment}, check=True, capture_output=True,
        )  # fmt: skip
    assert [one.token for one in collector.enrolled] == [TOKEN, TOKEN]
    assert seen
    assert not any(TOKEN in line for line in seen)


def test_a_program_that_fails_is_told_with_what_it_said() -> None:
    with pytest.raises(ServiceError, match=r"failed \(3\): no luck"):
        must(run_program, "sh", "-c", "echo no luck; exit 3")
    with pytest.raises(ServiceError, match="cannot be run"):
        run_program(["no-such-program-as-this"])


def test_the_shipped_unit_is_what_install_writes() -> None:
    assert Path("deploy/systemd/quarkpulse-agent.service").read_text(encoding="utf-8") == unit_text(PROGRAM)
    for unit in HARDWARE:
        assert Path("deploy/systemd", unit).read_text(encoding="utf-8") == unit_text(PROGRAM, unit)
