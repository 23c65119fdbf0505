"""What the agent would have macOS and Windows do, and how it reads their answers; both are recorded or documented."""

import plistlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from agent.service.base import Condition, Ran, ServiceError
from agent.service.launchd import LABEL, STATE, Launchd, plist_bytes
from agent.service.windows import WindowsService, command_line, service_commands, state_folder
from agent.service.windows_host import event_type, on_power
from agent.wakeup import Wakeup

DATA = Path(__file__).parent / "data"
PROGRAM = Path("/opt/quarkpulse-agent/bin/quarkpulse-agent")
INTERPRETER = Path(r"C:\Program Files\Quarkpulse agent\python.exe")


class System:
    """Notes what is asked of it; `answers` are by the first words of a command, all others succeed without a word."""

    def __init__(self, answers: dict[str, Ran]) -> None:
        self.answers = answers
        self.asked: list[list[str]] = []
        self.said: list[str] = []

    def run(self, command: Sequence[str]) -> Ran:
        self.asked.append(list(command))
        line = " ".join(command)
        return next((answer for start, answer in self.answers.items() if line.startswith(start)), Ran(0, ""))

    def verbs(self, program: str) -> list[str]:
        return [command[1] for command in self.asked if command[0] == program]


def recorded(name: str, exit_code: int = 0) -> Ran:
    return Ran(exit_code, (DATA / name).read_text(encoding="utf-8"))


NOT_LOADED = Ran(113, 'Could not find service "com.quarkpulse.agent" in domain for system\n')


@pytest.fixture
def launchd(tmp_path: Path) -> Callable[[System], Launchd]:
    return lambda system: Launchd(system.said.append, system.run, tmp_path, lambda *_: None)


def test_the_property_list_says_how_to_keep_it_running() -> None:
    content = plistlib.loads(plist_bytes(PROGRAM))
    assert content["Label"] == LABEL
    assert content["ProgramArguments"] == [str(PROGRAM), "run", "--state", str(STATE)]
    assert content["KeepAlive"] == {"SuccessfulExit": False}
    assert content["UserName"] != "root"
    assert content["Umask"] == 0o077


def test_on_a_mac_it_is_installed_with_a_user_of_its_own(launchd: Callable[[System], Launchd], tmp_path: Path) -> None:
    system = System({"launchctl print": NOT_LOADED, "dscl": recorded("dscl.users")})
    service = launchd(system)
    service.prepare(PROGRAM)
    service.start(PROGRAM)
    (added,) = [command for command in system.asked if command[0] == "sysadminctl"]
    assert added[added.index("-UID") + 1] == "200"
    assert (tmp_path / "Library/LaunchDaemons/com.quarkpulse.agent.plist").read_bytes() == plist_bytes(PROGRAM)
    assert system.verbs("launchctl") == ["print", "enable", "bootstrap"]
    assert service.state.stat().st_mode & 0o777 == 0o700

    # Again, while it runs: nothing.
    system = System({"launchctl print": recorded("launchctl.print"), "dscl": Ran(0, "_quarkpulse  200\n")})
    service = launchd(system)
    service.prepare(PROGRAM)
    service.start(PROGRAM)
    assert system.verbs("launchctl") == ["print"]
    assert system.said == ["it runs already"]

    # Moved to another place: loaded anew.
    service.start(Path("/usr/local/bin/quarkpulse-agent"))
    assert system.verbs("launchctl")[1:] == ["print", "bootout", "enable", "bootstrap"]


def test_on_a_mac_it_is_taken_away_whole(launchd: Callable[[System], Launchd], tmp_path: Path) -> None:
    system = System({"launchctl print": recorded("launchctl.print"), "dscl": Ran(0, "_quarkpulse  200\n")})
    service = launchd(system)
    service.prepare(PROGRAM)
    service.start(PROGRAM)
    service.remove()
    service.purge()
    assert system.asked[-1] == ["sysadminctl", "-deleteUser", "_quarkpulse"]
    assert not service.state.exists()
    assert not (tmp_path / "Library/LaunchDaemons/com.quarkpulse.agent.plist").exists()


@pytest.mark.parametrize(
    ("answer", "condition"),
    [
        (NOT_LOADED, Condition.ABSENT),
        (recorded("launchctl.print"), Condition.RUNNING),
        (Ran(0, "\tstate = not running\n\tlast exit code = 0\n"), Condition.STOPPED),
        (Ran(0, "\tstate = spawn scheduled\n\tlast exit code = 1\n"), Condition.FAILED),
    ],
)
def test_what_launchd_says(launchd: Callable[[System], Launchd], answer: Ran, condition: Condition) -> None:
    assert launchd(System({"launchctl print": answer})).condition() is condition


def test_a_mac_without_a_free_id_is_told(launchd: Callable[[System], Launchd]) -> None:
    taken = "\n".join(f"_user{number} {number}" for number in range(200, 401))
    with pytest.raises(ServiceError, match="every user id from 200 to 400"):
        launchd(System({"dscl": Ran(0, taken)})).prepare(PROGRAM)


NO_SUCH_SERVICE = Ran(
    1060, "[SC] EnumQueryServicesStatus:OpenService FAILED 1060:\n\nThe specified service does not exist.\n"
)


def windows(system: System, state: Path) -> WindowsService:
    return WindowsService(system.said.append, system.run, state, INTERPRETER)


def test_windows_is_told_what_to_start_and_what_to_do_when_it_fails() -> None:
    state = Path(r"C:\ProgramData\quarkpulse-agent")
    create, _, failure, flag, *registry = service_commands(INTERPRETER, state, is_new=True)
    assert create[:5] == ["sc.exe", "create", "quarkpulse-agent", "binPath=", command_line(INTERPRETER, state)]
    # Unquoted, C:\Program.exe would be started, by whoever can put it there.
    assert create[4].startswith(f'"{INTERPRETER}" -I -m agent.service.windows_host "')
    assert create[create.index("start=") + 1] == "delayed-auto"
    assert create[create.index("obj=") + 1] == r"NT AUTHORITY\LocalService"
    assert failure[-1] == "restart/10000/restart/30000/restart/60000"
    assert flag[-1] == "1"
    assert all("EventLog" in command[2] for command in registry)
    assert service_commands(INTERPRETER, state, is_new=False)[0][1] == "config"


def test_on_windows_it_is_installed_once(tmp_path: Path) -> None:
    state = tmp_path / "state"
    system = System({"sc.exe query": NO_SUCH_SERVICE})
    service = windows(system, state)
    service.check_rights()
    service.prepare(INTERPRETER)
    service.start(INTERPRETER)
    assert system.verbs("sc.exe") == ["query", "create", "description", "failure", "failureflag", "start"]
    (access,) = [command for command in system.asked if command[0] == "icacls.exe"]
    assert "/inheritance:r" in access  # users may read below ProgramData
    system = System({"sc.exe query": recorded("sc.query.running")})
    windows(system, state).start(INTERPRETER)
    assert system.verbs("sc.exe") == ["query", "config", "description", "failure", "failureflag"]
    assert system.said[-1] == "it runs already"


def test_on_windows_it_is_taken_away(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    system = System({"sc.exe query": recorded("sc.query.running")})
    service = windows(system, state)
    service.remove()
    service.purge()
    assert system.verbs("sc.exe") == ["query", "stop", "delete"]
    assert not state.exists()
    system = System({"sc.exe query": NO_SUCH_SERVICE})
    windows(system, state).remove()
    assert system.verbs("sc.exe") == ["query"]
    with pytest.raises(ServiceError, match="cannot be stopped: Access is denied"):
        windows(
            System({"sc.exe query": recorded("sc.query.running"), "sc.exe stop": Ran(5, "Access is denied.\n")}), state
        ).remove()


@pytest.mark.parametrize(
    ("answer", "condition"),
    [
        (NO_SUCH_SERVICE, Condition.ABSENT),
        (recorded("sc.query.running"), Condition.RUNNING),
        (recorded("sc.query.german"), Condition.FAILED),
        (Ran(0, recorded("sc.query.german").output.replace("1067", "0")), Condition.STOPPED),
    ],
)
def test_what_windows_says_in_any_language(answer: Ran, condition: Condition, tmp_path: Path) -> None:
    assert windows(System({"sc.exe query": answer}), tmp_path).condition() is condition


def test_only_an_administrator_installs_on_windows(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="administrator"):
        windows(System({"net.exe session": Ran(2, "System error 5 has occurred.")}), tmp_path).check_rights()


def test_levels_of_the_event_log() -> None:
    assert [event_type(level) for level in (10, 20, 30, 40, 50)] == [4, 4, 2, 1, 1]


def test_what_windows_says_of_sleep() -> None:
    """As a laptop says it that is closed, wakes for updates, and is opened: the power's source changes in between."""
    with Wakeup() as wakeup:
        on_power(10, wakeup)  # PBT_APMPOWERSTATUSCHANGE
        assert wakeup.wait(0) and not wakeup.take_sleep()
        on_power(4, wakeup)
        assert not wakeup.wait(0)
        assert wakeup.take_sleep()
        for resumed in (18, 7):
            on_power(resumed, wakeup)
            assert not wakeup.wait(0), "the clocks are looked at at once"
            assert not wakeup.take_sleep()


def test_the_state_folder_of_windows() -> None:
    assert state_folder({"ProgramData": r"D:\Data"}) == Path(r"D:\Data") / "quarkpulse-agent"
