"""The state folder: who this agent is, what it was told, and who may use it. `enroll` writes it, `run` reads it."""

import errno
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, Self

from agent.files import PRIVATE_FILE, PRIVATE_FOLDER, write_atomically
from agent.settings import FILE_NAME as SETTINGS_NAME
from protocol.errors import PermanentError


class StateError(PermanentError):
    """The state folder cannot be used as it is."""


class Identity(NamedTuple):
    """What enrolment settled. The secret is kept apart and is in no repr."""

    collector: str  # base URL
    device_id: str
    ca: str | None = None  # a file of certificates to trust instead of the system's
    allow_plain_http: bool = False
    others: tuple[str, ...] = ()  # further addresses of the collector, in the order in which they are tried
    certificate: str | None = None  # a file with the agent's own, for who asks for one
    key: str | None = None

    @property
    def collectors(self) -> tuple[str, ...]:
        return (self.collector, *self.others)


class ProbeEntry(NamedTuple):
    """A probe in the list. With interval and timeout it is isolated: read in a process of its own, not loaded here."""

    place: str  # module:attribute
    interval_seconds: float | None = None
    timeout_seconds: float | None = None


class StateFolder:
    """Paths and small files of one agent. Files are replaced whole; folder 0700, files 0600."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.identity_path = path / "agent.json"
        self.secret_path = path / "secret"
        self.probes_path = path / "probes.json"
        self.config_path = path / "config.json"
        self.clock_path = path / "clock.json"
        self.run_path = path / "run.json"
        self.status_path = path / "status.json"
        self.ended_path = path / "ended"
        self.lock_path = path / "lock"
        self.machine_id_path = path / "machine-id"
        self.inventory_path = path / "inventory.json"
        self.spool_path = path / "spool"

    def make(self) -> None:
        """Make the folder, or take the rights of others to an existing one away. Raises StateError: of a folder that
        holds what is not an agent's, too, since others may need their rights to it."""
        try:
            strangers = self._strangers()
            if strangers:
                raise StateError(
                    f"{self.path} is no state folder, it holds {strangers[0]}; name an empty folder, or a new one"
                )
            self.path.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
            self.path.chmod(PRIVATE_FOLDER)
            probe = self.path / ".writable"
            write_atomically(probe, b"")
            probe.unlink()
        except OSError as error:
            raise StateError(
                f"cannot write to the state folder {self.path} ({error}); name one you may write to"
            ) from error

    def _strangers(self) -> list[str]:
        """What lies in a folder that no agent has used, and no administrator has made ready. Raises OSError."""
        if not self.path.exists() or self.identity_path.exists() or os.path.lexists(self.path / SETTINGS_NAME):
            return []
        own = {path.name for path in vars(self).values() if path != self.path} | {".writable"}
        names = sorted(file.name for file in self.path.iterdir())
        return [name for name in names if {name, name.removeprefix(".").removesuffix(".tmp")}.isdisjoint(own)]

    def is_enrolled(self) -> bool:
        return self.identity_path.exists() and self.secret_path.exists()

    def belongs_to(self, identity: Identity) -> bool:
        """Whether what lies here was gathered as this very device of this collector."""
        try:
            known = self.load_identity()
        except StateError:
            return False
        return (known.collector, known.device_id) == (identity.collector, identity.device_id)

    def save_enrolment(self, identity: Identity, secret: str, probes: Mapping[str, ProbeEntry]) -> None:
        """The identity comes last: a folder without it is not enrolled, whatever else is there. Raises OSError."""
        write_atomically(self.secret_path, secret.encode())
        self.save_probes(probes)
        self.ended_path.unlink(missing_ok=True)
        write_atomically(self.identity_path, encode(identity._asdict()))

    def load_identity(self) -> Identity:
        """Raises StateError."""
        if not self.is_enrolled():
            raise StateError(
                f"no agent is enrolled in {self.path}; run `quarkpulse-agent enroll --state {self.path} --collector"
                " ADDRESS --token-file FILE`, or `quarkpulse-agent install` likewise for the service of this machine"
            )
        found = self._load(self.identity_path)
        ca = found.get("ca")
        collector, device_id = found.get("collector"), found.get("device_id")
        if not isinstance(collector, str) or not isinstance(device_id, str) or not isinstance(ca, str | None):
            raise StateError(f"{self.identity_path} is damaged; enrol again with --force")
        others, certificate, key = found.get("others", []), found.get("certificate"), found.get("key")
        if not isinstance(others, list) or not isinstance(certificate, str | None) or not isinstance(key, str | None):
            raise StateError(f"{self.identity_path} is damaged; enrol again with --force")
        return Identity(
            collector,
            device_id,
            ca,
            found.get("allow_plain_http") is True,
            tuple(other for other in others if isinstance(other, str)),
            certificate,
            key,
        )

    def load_secret(self) -> str:
        """Raises StateError."""
        try:
            return self.secret_path.read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            raise StateError(f"cannot read {self.secret_path} ({error}); run as the user who enrolled") from error

    def save_probes(self, probes: Mapping[str, ProbeEntry]) -> None:
        """By name, so that `run` need not look for entry points. Raises OSError."""
        listed = {
            name: entry.place if entry.interval_seconds is None else entry._asdict() for name, entry in probes.items()
        }
        write_atomically(self.probes_path, encode(listed))

    def load_probes(self) -> dict[str, ProbeEntry]:
        """Raises StateError."""
        entries = {name: parse_entry(found) for name, found in self._load(self.probes_path).items()}
        return {name: entry for name, entry in entries.items() if entry is not None}

    def load_optional(self, path: Path) -> dict[str, object]:
        """A file that the agent can do without: empty if it is missing or damaged."""
        try:
            return self._load(path)
        except StateError:
            return {}

    def _load(self, path: Path) -> dict[str, object]:
        try:
            found = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise StateError(f"cannot read {path} ({error}); enrol again with --force") from error
        if not isinstance(found, dict):
            raise StateError(f"{path} is damaged; enrol again with --force")
        return found


class FolderLock:
    """Held while an agent runs: two on one state folder would send the same spool twice."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            descriptor = open_to_lock(self._path)
        except OSError as error:
            raise StateError(f"cannot open {self._path} ({error}); run as the user who enrolled") from error
        self._file = os.fdopen(descriptor, "rb")
        try:
            lock_exclusively(self._file)
        except OSError as error:
            self._file.close()
            raise StateError(f"another quarkpulse-agent already runs on {self._path.parent}; stop it first") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()


def open_to_lock(path: Path) -> int:
    """A descriptor; on a disk that has become read-only one to read by, which can be locked as well."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return os.open(path, os.O_RDONLY)


if sys.platform == "win32":
    import msvcrt

    def lock_exclusively(file: IO[bytes]) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def lock_exclusively(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def parse_entry(found: object) -> ProbeEntry | None:
    """None for what is damaged."""
    if isinstance(found, str):
        return ProbeEntry(found)
    if not isinstance(found, dict):
        return None
    place, interval, timeout = (found.get(key) for key in ProbeEntry._fields)
    if not isinstance(place, str) or not isinstance(interval, int | float) or not isinstance(timeout, int | float):
        return None
    return ProbeEntry(place, float(interval), float(timeout))


def encode(content: Mapping[str, object], *, indent: int | None = 1) -> bytes:
    """Without an indent json takes its fast encoder, which for what is large or written often saves time and memory."""
    return json.dumps(content, indent=indent, ensure_ascii=False).encode() + b"\n"
