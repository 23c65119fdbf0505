"""The agent as a unit of systemd."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from agent.files import PRIVATE_FOLDER
from agent.service.base import Condition, Ran, Run, Say, ServiceError, must, run_program
from agent.settings import FILE_NAME

FILES = Path(__file__).with_name("files")
PROGRAM = Path("/opt/quarkpulse-agent/bin/quarkpulse-agent")  # as the unit's file names it
USER = "quarkpulse-agent"
NAME = "quarkpulse-agent.service"
STATE = Path("/var/lib/quarkpulse-agent")
PUBLIC_FILE = 0o644
SHARED_FOLDER = 0o755
PROGRAM_FILE = 0o755
SETTINGS_FILE = 0o640  # it may name hosts and accounts
SETTINGS = "# What this machine's administrator wants looked at: docs/how-to/configure-the-agent.md\n"

Account = tuple[int, int]  # user and group id


def unit_text(program: Path = PROGRAM) -> str:
    """The unit that starts `program`."""
    text = (FILES / "quarkpulse-agent.service").read_text(encoding="utf-8")
    return text.replace(str(PROGRAM), str(program))


class Systemd:
    """`root` is the folder that all paths are under, for tests."""

    def __init__(
        self,
        say: Say,
        run: Run = run_program,
        root: Path = Path("/"),
        find_account: Callable[[str], Account | None] | None = None,
    ) -> None:
        self._say = say
        self._run = run
        self._find_account = find_account or find_account_here
        self.state = root / STATE.relative_to("/")
        self._settings = root / "etc" / USER / FILE_NAME
        self._unit = root / "etc/systemd/system" / NAME
        self._packaged_unit = root / "usr/lib/systemd/system" / NAME
        self._sleep_hook = root / "usr/lib/systemd/system-sleep" / USER

    @property
    def is_packaged(self) -> bool:
        """Whether a package of the system has brought the unit; it is then the package's to change."""
        return self._packaged_unit.exists()

    def check_rights(self) -> None:
        if os.geteuid() != 0:
            raise ServiceError("only root may install services; run it with sudo")
        if not shutil.which("systemctl"):
            raise ServiceError("there is no systemd here; let what starts services here start `quarkpulse-agent run`")

    def prepare(self, program: Path) -> None:
        account = self._find_account(USER)
        if account is None:
            must(
                self._run,
                "useradd", "--system", "--user-group", "--no-create-home", "--home-dir", str(STATE),
                "--shell", "/usr/sbin/nologin", USER,
            )  # fmt: skip
            self._say(f"made the user {USER}")
            account = self._find_account(USER)
            if account is None:
                raise ServiceError(f"useradd made no user {USER}")
        self._make_folders(account)
        ran = self._run(["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", str(program), "--version"])
        if ran.exit_code != 0:
            raise ServiceError(f"the user {USER} cannot run {program}; install the agent below /opt, for instance")

    def _make_folders(self, account: Account) -> None:
        if not self.state.is_dir():
            self.state.mkdir(parents=True, mode=PRIVATE_FOLDER)
            os.chown(self.state, *account)
            self._say(f"made {self.state}")
        if not self._settings.exists():
            self._settings.parent.mkdir(parents=True, mode=SHARED_FOLDER, exist_ok=True)
            self._settings.write_text(SETTINGS, encoding="utf-8")
            self._settings.chmod(SETTINGS_FILE)
            os.chown(self._settings, 0, account[1])
            self._say(f"made {self._settings}")
        link = self.state / FILE_NAME
        if not link.exists() and not link.is_symlink():
            link.symlink_to(self._settings)
            os.chown(link, *account, follow_symlinks=False)

    def start(self, program: Path) -> None:
        is_changed = False
        if self.is_packaged:
            self._say("the unit is the package's")
        else:
            is_changed = self._write(self._unit, unit_text(program), PUBLIC_FILE)
            hook = (FILES / "system-sleep").read_text(encoding="utf-8")
            self._write(self._sleep_hook, hook, PROGRAM_FILE)
        must(self._run, "systemctl", "daemon-reload")
        if self._ask("is-enabled").exit_code != 0:
            must(self._run, "systemctl", "enable", "--quiet", NAME)
            self._say("it starts when the machine does")
        was_active = self._ask("is-active").exit_code == 0
        if was_active and not is_changed:
            self._say("it runs already")
            return
        ran = self._run(["systemctl", "restart", NAME])
        if ran.exit_code != 0 or self._ask("is-active").exit_code != 0:
            raise ServiceError(f"it does not start; `journalctl --unit {NAME}` says why")
        self._say("restarted with the new unit" if was_active else "started")

    def remove(self) -> None:
        if self.condition() is not Condition.ABSENT:
            must(self._run, "systemctl", "disable", "--now", "--quiet", NAME)
            self._say("stopped, and no longer started with the machine")
        if self.is_packaged:
            self._say("the program is a package's; `apt-get remove quarkpulse-agent` takes it away")
        else:
            for file in (self._unit, self._sleep_hook):
                if file.exists():
                    file.unlink()
                    self._say(f"removed {file}")
        must(self._run, "systemctl", "daemon-reload")
        self._run(["systemctl", "reset-failed", NAME])  # fails if it had not failed

    def purge(self) -> None:
        for folder in (self.state, self._settings.parent):
            if folder.exists():
                shutil.rmtree(folder)
                self._say(f"removed {folder}")
        if self._find_account(USER) is not None:
            must(self._run, "userdel", USER)
            self._say(f"removed the user {USER}")

    def condition(self) -> Condition:
        said = self._ask("show", "--property=LoadState,ActiveState").output
        found = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
        if found.get("LoadState", "not-found") == "not-found":
            return Condition.ABSENT
        active = found.get("ActiveState")
        if active in ("active", "reloading", "activating"):
            return Condition.RUNNING
        return Condition.FAILED if active == "failed" else Condition.STOPPED

    def _ask(self, verb: str, *options: str) -> Ran:
        return self._run(["systemctl", verb, *options, NAME])

    def _write(self, path: Path, text: str, mode: int) -> bool:
        """Whether anything was different."""
        if path.exists() and path.read_text(encoding="utf-8") == text:
            return False
        path.parent.mkdir(parents=True, mode=SHARED_FOLDER, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        self._say(f"wrote {path}")
        return True


def find_account_here(name: str) -> Account | None:
    import pwd  # noqa: PLC0415 - Windows has none, and loads this module, too

    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return None
    return found.pw_uid, found.pw_gid
