"""The agent as a Windows service. Tested by the commands it gives and their documented answers, not run on Windows.

The service is `agent.service.windows_host`, run by the interpreter of the agent itself: pywin32's own host looks for
Python in the registry. It writes to the event log as `quarkpulse-agent`.
"""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from agent.service.base import Condition, Run, Say, ServiceError, must, run_program

NAME = "quarkpulse-agent"
DISPLAY_NAME = "Quarkpulse agent"
DESCRIPTION = "Looks at this machine for its IT service provider, and tells them what it sees."
# Neither an administrator nor a user of the machine; the network knows it as nobody.
ACCOUNT = r"NT AUTHORITY\LocalService"
LOCAL_SERVICE = "*S-1-5-19"  # the same, by the name that every language has
ADMINISTRATORS = "*S-1-5-32-544"
SYSTEM = "*S-1-5-18"
EVENT_SOURCE = rf"HKLM\SYSTEM\CurrentControlSet\Services\EventLog\Application\{NAME}"
ERROR, WARNING, INFORMATION = 1, 2, 4
FAILURES_FORGOTTEN_SECONDS = 86_400
RESTARTS_MILLISECONDS = (10_000, 30_000, 60_000)
SERVICE_NOT_FOUND = 1060
NOT_STARTED = 1062


def state_folder(environment: Mapping[str, str] = os.environ) -> Path:
    return Path(environment.get("ProgramData", r"C:\ProgramData")) / NAME


def command_line(interpreter: Path, state: Path) -> str:
    """What the service manager starts; paths in quotes: `C:\\Program` could be another program."""
    return f'"{interpreter}" -I -m agent.service.windows_host "{state}"'


def service_commands(interpreter: Path, state: Path, *, is_new: bool) -> list[list[str]]:
    """Register the service, or set an existing one right; then what to do when it fails, and where it logs."""
    verb = "create" if is_new else "config"
    actions = "/".join(f"restart/{milliseconds}" for milliseconds in RESTARTS_MILLISECONDS)
    return [
        # sc.exe wants the value in an argument of its own, behind `name=`.
        ["sc.exe", verb, NAME, "binPath=", command_line(interpreter, state), "start=", "delayed-auto",
         "obj=", ACCOUNT, "DisplayName=", DISPLAY_NAME],
        ["sc.exe", "description", NAME, DESCRIPTION],
        ["sc.exe", "failure", NAME, "reset=", str(FAILURES_FORGOTTEN_SECONDS), "actions=", actions],
        # Also when it ends with an error, not only when it vanishes.
        ["sc.exe", "failureflag", NAME, "1"],
        ["reg.exe", "add", EVENT_SOURCE, "/v", "TypesSupported", "/t", "REG_DWORD",
         "/d", str(ERROR | WARNING | INFORMATION), "/f"],
        ["reg.exe", "add", EVENT_SOURCE, "/v", "EventMessageFile", "/t", "REG_EXPAND_SZ",
         "/d", r"%SystemRoot%\System32\EventCreate.exe", "/f"],
    ]  # fmt: skip


def folder_commands(state: Path) -> list[list[str]]:
    """The state folder is the service's and the administrators' alone."""
    grants = [f"{who}:(OI)(CI)F" for who in (LOCAL_SERVICE, ADMINISTRATORS, SYSTEM)]
    return [["icacls.exe", str(state), "/inheritance:r", "/grant:r", *grants]]


class WindowsService:
    def __init__(
        self, say: Say, run: Run = run_program, state: Path | None = None, interpreter: Path = Path(sys.executable)
    ) -> None:
        self._say = say
        self._run = run
        self._interpreter = interpreter
        self.state = state or state_folder()

    def check_rights(self) -> None:
        # `net session` answers administrators alone.
        if self._run(["net.exe", "session"]).exit_code != 0:
            raise ServiceError("only an administrator may install services; start the command line as administrator")

    def prepare(self, program: Path) -> None:
        if not self.state.is_dir():
            self.state.mkdir(parents=True)
            self._say(f"made {self.state}")
        for command in folder_commands(self.state):
            must(self._run, *command)

    def start(self, program: Path) -> None:
        condition = self.condition()
        for command in service_commands(self._interpreter, self.state, is_new=condition is Condition.ABSENT):
            must(self._run, *command)
        self._say(f"registered the service {NAME}" if condition is Condition.ABSENT else "the service is registered")
        if condition is Condition.RUNNING:
            self._say("it runs already")
            return
        must(self._run, "sc.exe", "start", NAME)
        self._say("started, and it starts when the machine does")

    def remove(self) -> None:
        if self.condition() is not Condition.ABSENT:
            stopped = self._run(["sc.exe", "stop", NAME])
            if stopped.exit_code not in (0, NOT_STARTED):
                raise ServiceError(f"the service cannot be stopped: {' '.join(stopped.output.split())[:300]}")
            must(self._run, "sc.exe", "delete", NAME)
            self._say(f"stopped and removed the service {NAME}")
        self._run(["reg.exe", "delete", EVENT_SOURCE, "/f"])  # fails if it is not there

    def purge(self) -> None:
        if self.state.exists():
            shutil.rmtree(self.state)
            self._say(f"removed {self.state}")

    def condition(self) -> Condition:
        """By the numbers in `sc query`, since its words are in the language of the system."""
        ran = self._run(["sc.exe", "query", NAME])
        if ran.exit_code == SERVICE_NOT_FOUND:
            return Condition.ABSENT
        fields = [line.partition(":")[2].split() for line in ran.output.splitlines() if ":" in line]
        numbers = [int(field[0]) for field in fields if field and field[0].isdigit()]
        # TYPE, STATE, WIN32_EXIT_CODE, SERVICE_EXIT_CODE, …
        if ran.exit_code != 0 or len(numbers) < 3:
            raise ServiceError(f"`sc.exe query {NAME}` failed: {' '.join(ran.output.split())[:300]}")
        if numbers[1] in RUNNING_STATES:
            return Condition.RUNNING
        return Condition.STOPPED if numbers[2] in NO_FAILURE else Condition.FAILED


RUNNING_STATES = (2, 4, 5, 6, 7)  # all but stopped (1) and stopping (3)
NO_FAILURE = (0, 1077)  # 1077: never started since the machine did
