"""The agent as a daemon of launchd, on macOS. Tested by what it writes and asks for; not run on a Mac."""

import os
import plistlib
import shutil
from collections.abc import Callable
from pathlib import Path

from agent.files import PRIVATE_FOLDER
from agent.service.base import Condition, Run, Say, ServiceError, must, run_program

LABEL = "com.quarkpulse.agent"
TARGET = f"system/{LABEL}"
USER = "_quarkpulse"
STATE = Path("/Library/Application Support/quarkpulse-agent")
LOG = Path("/Library/Logs/quarkpulse-agent/agent.log")
PLIST = Path("/Library/LaunchDaemons") / f"{LABEL}.plist"
ROLE_IDS = range(200, 401)  # where sysadminctl(8) makes accounts of services
RESTART_SECONDS = 10
STOP_SECONDS = 20
PUBLIC_FILE = 0o644


def plist_bytes(program: Path) -> bytes:
    """The daemon's property list. It is started again unless it stopped by itself with exit code 0."""
    return plistlib.dumps(
        {
            "Label": LABEL,
            "ProgramArguments": [str(program), "run", "--state", str(STATE)],
            "UserName": USER,
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "ThrottleInterval": RESTART_SECONDS,
            "ExitTimeOut": STOP_SECONDS,
            "ProcessType": "Background",
            "LowPriorityIO": True,
            "Nice": 10,
            "Umask": 0o077,
            "WorkingDirectory": "/",
            "StandardErrorPath": str(LOG),
            "StandardOutPath": "/dev/null",
        }
    )


class Launchd:
    """`root` is the folder that all paths are under, for tests."""

    def __init__(
        self,
        say: Say,
        run: Run = run_program,
        root: Path = Path("/"),
        give: Callable[[Path, int], None] = lambda path, user: os.chown(path, user, -1),
    ) -> None:
        """`give` makes a user (by id) the owner of a path."""
        self._say = say
        self._run = run
        self._give = give
        self.state = root / STATE.relative_to("/")
        self._log = root / LOG.relative_to("/")
        self._plist = root / PLIST.relative_to("/")

    def check_rights(self) -> None:
        if os.geteuid() != 0:
            raise ServiceError("only root may install daemons; run it with sudo")

    def prepare(self, program: Path) -> None:
        user = self._find_user()
        if user is None:
            user = self._free_id()
            must(
                self._run,
                "sysadminctl", "-addUser", USER, "-fullName", "Quarkpulse agent", "-UID", str(user), "-roleAccount",
            )  # fmt: skip
            self._say(f"made the user {USER}")
        for folder in (self.state, self._log.parent):
            if not folder.is_dir():
                folder.mkdir(parents=True, mode=PRIVATE_FOLDER)
                self._give(folder, user)
                self._say(f"made {folder}")

    def start(self, program: Path) -> None:
        text = plist_bytes(program)
        is_changed = not self._plist.exists() or self._plist.read_bytes() != text
        condition = self.condition()
        if is_changed:
            if condition is not Condition.ABSENT:
                must(self._run, "launchctl", "bootout", TARGET)
                condition = Condition.ABSENT
            self._plist.parent.mkdir(parents=True, exist_ok=True)
            self._plist.write_bytes(text)
            self._plist.chmod(PUBLIC_FILE)
            self._say(f"wrote {self._plist}")
        if condition is Condition.RUNNING:
            self._say("it runs already")
            return
        must(self._run, "launchctl", "enable", TARGET)
        if condition is Condition.ABSENT:
            must(self._run, "launchctl", "bootstrap", "system", str(self._plist))
        else:
            must(self._run, "launchctl", "kickstart", TARGET)
        self._say("started, and it starts when the machine does")

    def remove(self) -> None:
        if self.condition() is not Condition.ABSENT:
            must(self._run, "launchctl", "bootout", TARGET)
            self._say("stopped")
        if self._plist.exists():
            self._plist.unlink()
            self._say(f"removed {self._plist}")

    def purge(self) -> None:
        for folder in (self.state, self._log.parent):
            if folder.exists():
                shutil.rmtree(folder)
                self._say(f"removed {folder}")
        if self._find_user() is not None:
            must(self._run, "sysadminctl", "-deleteUser", USER)
            self._say(f"removed the user {USER}")

    def condition(self) -> Condition:
        ran = self._run(["launchctl", "print", TARGET])
        if ran.exit_code != 0:
            return Condition.ABSENT
        found = dict(line.strip().split(" = ", 1) for line in ran.output.splitlines() if " = " in line)
        if found.get("state") == "running":
            return Condition.RUNNING
        return Condition.STOPPED if found.get("last exit code", "0").startswith(("0", "(never")) else Condition.FAILED

    def _find_user(self) -> int | None:
        return self._ids().get(USER)

    def _free_id(self) -> int:
        taken = set(self._ids().values())
        free = next((one for one in ROLE_IDS if one not in taken), None)
        if free is None:
            raise ServiceError(f"every user id from {ROLE_IDS[0]} to {ROLE_IDS[-1]} is taken; make the user {USER}")
        return free

    def _ids(self) -> dict[str, int]:
        """Every user's id, as `dscl` lists them: name, spaces, number."""
        rows = [line.split() for line in must(self._run, "dscl", ".", "-list", "/Users", "UniqueID").splitlines()]
        return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].lstrip("-").isdigit()}
