"""Runs the probes: each at its interval, none for longer than its timeout, and none in the way of another."""

import importlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from agent.probes.base import Probe, ProbeUnavailable, Sample
from protocol.errors import PermanentError
from protocol.wire import DEFAULT_PUSH_INTERVAL_SECONDS, STALE_AFTER_INTERVALS

logger = logging.getLogger(__name__)

# A probe slower than this is left to itself, and another thread goes on with the next one.
PATIENCE_SECONDS = 0.5


class ProbeError(PermanentError):
    """A probe in the list cannot be loaded."""


class Schedule:
    """One probe and what is known of it. Written by the thread that runs the probe; times by the boot clock."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self.name = probe.name
        self.interval_seconds = probe.interval_seconds
        self.began_at: float | None = None
        self.read_at: float | None = None
        self.samples: Sequence[Sample] = ()
        self.errors = 0
        self.is_running = False
        self.is_overdue = False  # it has run into its timeout, and that was counted
        self.trouble = ""

    def is_due(self, now: float, slack_seconds: float) -> bool:
        return self.began_at is None or now >= self.began_at + self.interval_seconds - slack_seconds

    def age_seconds(self, now: float) -> float | None:
        return None if self.read_at is None else max(0.0, now - self.read_at)

    def is_stale(self, now: float) -> bool:
        age_seconds = self.age_seconds(now)
        return age_seconds is None or age_seconds >= STALE_AFTER_INTERVALS * self.interval_seconds


class Sampler:
    """All probes of this agent."""

    def __init__(
        self,
        probes: Sequence[Probe],
        *,
        boot: Callable[[], float],
        on_unavailable: Callable[[str, str], None],
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        """`on_unavailable` is told a probe's name and reason, once for each reason, from any thread."""
        self.schedules = [Schedule(probe) for probe in probes]
        self._boot = boot
        self._on_unavailable = on_unavailable
        self._patience_seconds = patience_seconds
        self._changed = threading.Condition()
        self._finished = 0

    def set_intervals(self, push_interval_seconds: float, by_probe: Mapping[str, float]) -> None:
        """What is read for every frame by default follows the push interval; what is configured by name wins."""
        for schedule in self.schedules:
            own_seconds = schedule.probe.interval_seconds
            follows = own_seconds <= DEFAULT_PUSH_INTERVAL_SECONDS
            schedule.interval_seconds = by_probe.get(schedule.name, push_interval_seconds if follows else own_seconds)

    def read_due(self, slack_seconds: float) -> None:
        """Read what is due within `slack_seconds`. Returns when all came back, or all others were given their time."""
        now = self._boot()
        with self._changed:
            for schedule in self.schedules:
                self._count_overdue(schedule, now)
            waiting = deque(one for one in self.schedules if not one.is_running and one.is_due(now, slack_seconds))
            batch = list(waiting)
            while waiting:
                # Usually one thread reads them all; another comes only when one probe keeps it.
                threading.Thread(target=self._work, args=(waiting,), name="probes", daemon=True).start()
                while waiting or any(schedule.is_running for schedule in batch):
                    finished = self._finished
                    self._changed.wait(self._patience_seconds)
                    if self._finished == finished:
                        break

    def wait(self, timeout_seconds: float) -> None:
        """Give the slow ones this much more time to come back."""
        with self._changed:
            self._changed.wait_for(lambda: not any(one.is_running for one in self.schedules), timeout_seconds)

    def _work(self, waiting: deque[Schedule]) -> None:
        while True:
            with self._changed:
                if not waiting:
                    return
                schedule = waiting.popleft()
                schedule.is_running = True
                schedule.is_overdue = False
                schedule.began_at = self._boot()
            self._read(schedule)
            with self._changed:
                schedule.is_running = False
                self._finished += 1
                self._changed.notify_all()

    def _read(self, schedule: Schedule) -> None:
        try:
            samples = schedule.probe.sample()
        except ProbeUnavailable as error:
            schedule.samples, schedule.read_at = (), None
            if schedule.trouble != str(error):
                schedule.trouble = str(error)
                logger.info("probe unavailable: probe=%s reason=%r", schedule.name, schedule.trouble)
                self._on_unavailable(schedule.name, schedule.trouble)
        except Exception as error:  # one probe must not spoil the rest
            schedule.errors += 1
            trouble = f"{type(error).__name__}: {error}"
            if schedule.trouble != trouble:
                schedule.trouble = trouble
                logger.warning("probe failed: probe=%s", schedule.name, exc_info=True)
        else:
            schedule.samples, schedule.read_at = samples, self._boot()
            if schedule.trouble:
                schedule.trouble = ""
                logger.info("probe works: probe=%s", schedule.name)

    def _count_overdue(self, schedule: Schedule, now: float) -> None:
        if not schedule.is_running or schedule.is_overdue or schedule.began_at is None:
            return
        if now - schedule.began_at >= schedule.probe.timeout_seconds:
            schedule.is_overdue = True
            schedule.errors += 1
            schedule.trouble = "hangs"
            logger.warning(
                "probe hangs, not asked again until it returns: probe=%s after_seconds=%.0f",
                schedule.name,
                now - schedule.began_at,
            )


class ProbeClass(Protocol):
    def __call__(self) -> Probe: ...


def load_probe(name: str, place: str) -> Probe:
    """The probe at `module:attribute`. Raises ProbeError."""
    module, _, attribute = place.partition(":")
    try:
        make: ProbeClass = getattr(importlib.import_module(module), attribute)
        return make()
    except Exception as error:
        raise ProbeError(f"probe {name} cannot be loaded from {place} ({type(error).__name__}: {error})") from error
