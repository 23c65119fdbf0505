"""The agent as a unit of systemd."""

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from agent.files import PRIVATE_FOLDER
from agent.root_readings import FOLDER
from agent.service.base import Condition, Ran, Run, Say, ServiceError, must, run_program
from agent.settings import FILE_NAME

FILES = Path(__file__).with_name("files")
PROGRAM = Path("/opt/quarkpulse-agent/bin/quarkpulse-agent")  # as the unit's file names it
USER = "quarkpulse-agent"
NAME = "quarkpulse-agent.service"
# Read what only root may, for the agent; started and stopped with it.
HARDWARE = ("quarkpulse-agent-hardware.service", "quarkpulse-agent-hardware.timer")
JOURNAL_GROUP = "systemd-journal"
STATE = Path("/var/lib/quarkpulse-agent")
PUBLIC_FILE = 0o644
SHARED_FOLDER = 0o755
PROGRAM_FILE = 0o755
SETTINGS_FILE = 0o640  # it may name hosts and accounts
SETTINGS = "# What this machine's administrator wants looked at: docs/how-to/configure-the-agent.md\n"

Account = tuple[int, int]  # user and group id


def unit_text(program: Path = PROGRAM, name: str = NAME) -> str:
    """The unit of that name, with `program` as what it starts."""
    return (FILES / name).read_text(encoding="utf-8").replace(str(PROGRAM), str(program))


def is_roots_alone(program: Path) -> bool:
    """Whether nobody else can put something in the place of the program, or of what it loads."""
    places = [place for file in (program.absolute(), program.resolve(), FILES) for place in (file, *file.parents)]
    return all(is_safe(place.stat()) for place in places)


def is_safe(found: os.stat_result) -> bool:
    """In a folder such as /tmp others may make what they like, and replace nothing."""
    is_open = found.st_mode & 0o022 and not (stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX)
    return found.st_uid == 0 and not is_open


class Systemd:
    """`root` is the folder that all paths are under, for tests."""

    def __init__(
        self,
        say: Say,
        run: Run = run_program,
        root: Path = Path("/"),
        find_account: Callable[[str], Account | None] | None = None,
        is_safe_for_root: Callable[[Path], bool] = is_roots_alone,
    ) -> None:
        self._say = say
        self._run = run
        self._find_account = find_account or find_account_here
        self._is_safe_for_root = is_safe_for_root
        self.state = root / STATE.relative_to("/")
        self._settings = root / "etc" / USER / FILE_NAME
        self._units = root / "etc/systemd/system"
        self._left = root / FOLDER.relative_to("/")
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
        self._open_journal()
        self._make_folders(account)
        ran = self._run(["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", str(program), "--version"])
        if ran.exit_code != 0:
            raise ServiceError(f"the user {USER} cannot run {program}; install the agent below /opt, for instance")

    def _open_journal(self) -> None:
        """By the group: so root who works as the agent, in `doctor` for one, sees what the agent sees."""
        if self._run(["getent", "group", JOURNAL_GROUP]).exit_code != 0:
            return
        if JOURNAL_GROUP not in self._run(["id", "--name", "--groups", USER]).output.split():
            must(self._run, "usermod", "--append", "--groups", JOURNAL_GROUP, USER)
            self._say(f"gave {USER} the group {JOURNAL_GROUP}: it counts the errors in the journal")

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
            is_changed = self._write_units(program)
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

    def _write_units(self, program: Path) -> bool:
        """Whether anything was different. Root starts no program that others may change."""
        is_changed = self._write(self._units / NAME, unit_text(program), PUBLIC_FILE)
        if self._is_safe_for_root(program):
            written = [self._write(self._units / one, unit_text(program, one), PUBLIC_FILE) for one in HARDWARE]
            return is_changed or any(written)
        for unit in HARDWARE:
            (self._units / unit).unlink(missing_ok=True)
        self._say(
            f"others than root may change {program}, so root does not start it: nothing is known of SMART, ZFS and"
            " serial numbers; install the agent below /opt, for instance"
        )
        return is_changed

    def remove(self) -> None:
        if self.condition() is not Condition.ABSENT:
            must(self._run, "systemctl", "disable", "--now", "--quiet", NAME)
            self._say("stopped, and no longer started with the machine")
        if self.is_packaged:
            self._say("the program is a package's; `apt-get remove quarkpulse-agent` takes it away")
        else:
            for file in (*(self._units / one for one in (NAME, *HARDWARE)), self._sleep_hook):
                if file.exists():
                    file.unlink()
                    self._say(f"removed {file}")
        shutil.rmtree(self._left, ignore_errors=True)
        must(self._run, "systemctl", "daemon-reload")
        for unit in (NAME, *HARDWARE):
            self._run(["systemctl", "reset-failed", unit])  # fails if it had not failed

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
