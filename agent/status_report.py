"""How an agent is, from what it left in its state folder: for `quarkpulse-agent status`."""

import contextlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from agent import VERSION
from agent.settings import is_text
from agent.spool import RECORD_NAME
from agent.state import FolderLock, StateError, StateFolder

# The agent makes a frame at least every 2 minutes.
FRAME_LATE_SECONDS = 300.0


class Trouble(NamedTuple):
    """A probe that fails, or has failed since the agent started."""

    probe: str
    errors: int
    reason: str


class Status(NamedTuple):
    """All times are Unix seconds; None: never, or not known."""

    is_running: bool
    is_well: bool  # runs, makes frames, and its last push was acknowledged
    device_id: str
    collector: str
    version: str  # of what runs, or ran last
    installed_version: str
    pid: int | None
    started_at: float | None
    frame_at: float | None
    push_at: float | None
    push_answer: str
    acked_at: float | None
    spooled_records: int
    spooled_bytes: int
    oldest_spooled_at: float | None
    dropped_records: int
    set_aside_records: int
    probes: int
    troubles: list[Trouble]
    shed: list[str]  # probes left out, because the agent weighs too much
    config_etag: str
    config_at: float | None
    ended: str  # why the collector has ended this device; empty if it has not


def read_status(folder: StateFolder, now: float) -> Status:
    """Raises StateError if no agent is enrolled there, or if the folder may not be read."""
    identity = folder.load_identity()
    said = Said(folder.load_optional(folder.status_path))
    push = Said(said.table("push"))
    spool = Said(said.table("spool"))
    waiting = list_spooled(folder)
    is_running = is_locked(folder)
    frame_at = said.number("frame_at")
    ended = read_ended(folder)
    return Status(
        is_running=is_running,
        is_well=is_running
        and not ended
        and frame_at is not None
        and now - frame_at < FRAME_LATE_SECONDS
        and push.content.get("is_acked") is True,
        device_id=identity.device_id,
        collector=identity.collector,
        version=said.text("version"),
        installed_version=VERSION,
        pid=said.integer("pid") if is_running else None,
        started_at=said.number("started_at"),
        frame_at=frame_at,
        push_at=push.number("at"),
        push_answer=push.text("answer"),
        acked_at=said.number("acked_at"),
        spooled_records=len(waiting),
        spooled_bytes=sum(size for _, size in waiting),
        oldest_spooled_at=min((at for at, _ in waiting), default=None),
        dropped_records=spool.integer("dropped") or 0,
        set_aside_records=len(list(folder.spool_path.glob("aside/*.json.gz"))),
        probes=len(said.tables("probes")),
        troubles=list(find_troubles(said.tables("probes"))),
        shed=said.texts("shed") if is_running else [],
        config_etag=Said(folder.load_optional(folder.config_path)).text("etag"),
        config_at=folder.config_path.stat().st_mtime if folder.config_path.exists() else None,
        ended=ended,
    )


def is_locked(folder: StateFolder) -> bool:
    """Whether an agent runs on this folder. Raises StateError if that may not be known."""
    if not folder.lock_path.exists():
        return False
    try:
        with FolderLock(folder.lock_path):
            return False
    except StateError as error:
        if isinstance(error.__cause__, PermissionError):
            raise
        return True


def read_ended(folder: StateFolder) -> str:
    try:
        return folder.ended_path.read_text(encoding="utf-8", errors="replace").strip()[:300]
    except OSError:
        return ""


def list_spooled(folder: StateFolder) -> list[tuple[float, int]]:
    """Time and bytes of each record that waits. Raises StateError."""
    found = []
    try:
        for file in folder.spool_path.iterdir():
            name = RECORD_NAME.match(file.name)
            if name:
                with contextlib.suppress(FileNotFoundError):  # sent meanwhile
                    found.append((int(name[2]) / 1000, file.stat().st_size))
    except FileNotFoundError:  # nothing spooled yet
        return found
    except OSError as error:
        raise StateError(f"cannot read {folder.spool_path} ({error}); run as root or the agent's user") from error
    return found


def find_troubles(probes: list[Mapping[str, object]]) -> Iterator[Trouble]:
    for content in probes:
        one = Said(content)
        reason, errors = one.text("trouble"), one.integer("errors") or 0
        if errors or (reason and content.get("is_lacking") is not True):
            yield Trouble(one.text("name"), errors, reason)


class Said:
    """A JSON object of which nothing is certain."""

    def __init__(self, content: Mapping[str, object]) -> None:
        self.content = content

    def number(self, key: str) -> float | None:
        found = self.content.get(key)
        return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None

    def integer(self, key: str) -> int | None:
        found = self.content.get(key)
        return found if type(found) is int else None

    def text(self, key: str) -> str:
        found = self.content.get(key)
        return found if isinstance(found, str) and is_text(found) else ""

    def table(self, key: str) -> dict[str, object]:
        found = self.content.get(key)
        return found if isinstance(found, dict) else {}

    def texts(self, key: str) -> list[str]:
        found = self.content.get(key)
        return [one for one in found if isinstance(one, str) and is_text(one)] if isinstance(found, list) else []

    def tables(self, key: str) -> list[Mapping[str, object]]:
        found = self.content.get(key)
        return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def to_lines(status: Status, now: float) -> Iterator[tuple[str, str]]:
    """Name and text of each line, for people."""
    yield "device", f"{status.device_id} at {status.collector}"
    if status.ended:
        yield "ended", f"by the collector: {status.ended}"
    if status.is_running:
        yield "running", f"yes, process {status.pid}, started {ago(status.started_at, now)}"
    else:
        yield "running", "no"
    version = status.version or status.installed_version
    if status.is_running and version != status.installed_version:
        version = f"{version} runs, {status.installed_version} is installed; restart the service"
    yield "version", version
    yield "last frame", ago(status.frame_at, now)
    yield "last push", f"{ago(status.push_at, now)}: {status.push_answer}" if status.push_at is not None else "never"
    if status.acked_at != status.push_at:
        yield "last acknowledged", ago(status.acked_at, now)
    yield "spool", describe_spool(status, now)
    yield "probes", f"{status.probes}, {len(status.troubles)} with errors"
    for trouble in status.troubles:
        yield f"  {trouble.probe}", f"{trouble.errors} errors; {trouble.reason or 'works again'}"
    if status.shed:
        yield "left out", f"{', '.join(status.shed)}: the agent weighs too much, see its log"
    yield "configuration", f"{status.config_etag or 'as enrolled'}, taken {ago(status.config_at, now)}"


def describe_spool(status: Status, now: float) -> str:
    if not status.spooled_records:
        text = "empty"
    else:
        text = (
            f"{status.spooled_records} records, {(status.spooled_bytes + 1023) >> 10} KiB,"
            f" the oldest from {ago(status.oldest_spooled_at, now)}"
        )
    if status.dropped_records:
        text += f"; {status.dropped_records} dropped since the start"
    if status.set_aside_records:
        text += f"; {status.set_aside_records} set aside, see `doctor`"
    return text


def ago(at: float | None, now: float) -> str:
    """Such as `12 s ago`; for more than a day the time itself, in UTC."""
    if at is None:
        return "never"
    seconds = max(0.0, now - at)
    if seconds < 120:
        return f"{seconds:.0f} s ago"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min ago"
    if seconds < 172_800:
        return f"{seconds / 3600:.0f} h ago"
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


def to_json(status: Status) -> dict[str, object]:
    """One key for each field, times as Unix seconds."""
    return {**status._asdict(), "troubles": [trouble._asdict() for trouble in status.troubles]}
