"""What silence does not tell the collector: how the last run ended, that the machine sleeps, what power it runs on."""

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path

from agent.clock import AgentClock
from agent.files import write_atomically
from agent.probes.base import Sample
from agent.state import StateFolder, encode
from protocol.wire import LastRun, PowerSource

ASLEEP_FROM_SECONDS = 5.0  # the two clocks are read one after the other, and a busy machine takes its time
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
POWER_METRIC = "hw_battery_power_plugged"


class RunMark:
    """A file that says whether a run is going on, so that the next one knows how this one ended."""

    def __init__(self, folder: StateFolder, path: Path, boot_id: str) -> None:
        self._folder = folder
        self._path = path
        self._boot_id = boot_id

    def begin(self) -> LastRun:
        """How the run before this one ended. Without a readable mark this is the first."""
        found = self._folder.load_optional(self._path)
        self._write(is_running=True)
        if "is_running" not in found:
            return LastRun.FIRST
        if found["is_running"] is not True:
            return LastRun.CLEAN
        return LastRun.CRASHED if found.get("boot") == self._boot_id else LastRun.CUT

    def end(self) -> None:
        self._write(is_running=False)

    def _write(self, *, is_running: bool) -> None:
        with contextlib.suppress(OSError):  # a full disk must not keep the agent from running
            write_atomically(self._path, encode({"is_running": is_running, "boot": self._boot_id}))


class SleepWatch:
    """Notices that the machine slept: the boot-time clock goes on meanwhile, the other one does not."""

    def __init__(self, boot: Callable[[], float], awake: Callable[[], float]) -> None:
        self._boot = boot
        self._awake = awake
        self._ahead = boot() - awake()

    def slept_seconds(self) -> float:
        """How long it slept since this was asked last; 0 if it did not.

        Clocks that drift apart by some seconds over weeks are no sleep."""
        ahead = self._boot() - self._awake()
        slept, self._ahead = ahead - self._ahead, ahead
        return slept if slept >= ASLEEP_FROM_SECONDS else 0.0


class PowerWatch:
    """Notices when a machine with a battery changes its source of power."""

    def __init__(self) -> None:
        self._source: PowerSource | None = None

    def changed_to(self, samples: Iterable[Sample]) -> PowerSource | None:
        """The source, if it is another than before; the first one counts as a change."""
        plugged = next((sample.value for sample in samples if sample.name == POWER_METRIC), None)
        if plugged is None:
            return None
        source = PowerSource.MAINS if plugged else PowerSource.BATTERY
        if source is self._source:
            return None
        self._source = source
        return source


def read_boot_id(clock: AgentClock) -> str:
    """Names this boot of the system; where the system has no such name, the minute it was booted in."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return f"booted-{int((clock.now() - clock.boot()) // 60)}"
