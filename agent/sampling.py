"""Runs the probes: each at its interval, none for longer than its timeout, and none in the way of another."""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence

from agent.acceptance import accept
from agent.config import AgentConfig
from agent.probes.base import (
    BACKGROUND_BEYOND_SECONDS,
    Occurrence,
    Probe,
    ProbeFailed,
    ProbeUnavailable,
    Sample,
    configure,
)
from protocol.wire import DEFAULT_PUSH_INTERVAL_SECONDS, STALE_AFTER_INTERVALS

logger = logging.getLogger(__name__)

# A probe slower than this is left to itself, and another thread goes on with the next one.
PATIENCE_SECONDS = 0.5
# A reading in the background that found nothing to read is not made again sooner: it may cost a process.
LACKING_INTERVAL_SECONDS = 6 * 3600.0
MIN_BACKGROUND_INTERVAL_SECONDS = 60.0  # nor is any other, whatever the configuration says


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
        self.is_background = probe.timeout_seconds > BACKGROUND_BEYOND_SECONDS
        self.is_queued = False  # waits for its turn in the background
        self.is_running = False
        self.is_lacking = False  # this machine has no such thing
        self.is_overdue = False  # it has run into its timeout, and that was counted
        self.is_off = False  # the configuration turns it off
        self.trouble = ""

    def turn(self, *, off: bool) -> None:
        """What was read before it was turned off is no longer true when it is turned on again."""
        if off and not self.is_off:
            self.samples, self.read_at, self.began_at = (), None, None
        self.is_off = off

    @property
    def seconds_between(self) -> float:
        """From one reading's beginning to the next's."""
        if self.is_lacking and self.is_background:
            return max(self.interval_seconds, LACKING_INTERVAL_SECONDS)
        return self.interval_seconds

    def is_due(self, now: float, slack_seconds: float) -> bool:
        if self.is_off or self.is_running or self.is_queued:
            return False
        return self.began_at is None or now >= self.began_at + self.seconds_between - slack_seconds

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
        self._all = [Schedule(probe) for probe in probes]
        self._config = AgentConfig()
        self._boot = boot
        self._on_unavailable = on_unavailable
        self._patience_seconds = patience_seconds
        self._changed = threading.Condition()
        self._finished = 0
        self._background: deque[Schedule] = deque()
        self._background_thread: threading.Thread | None = None
        self._process_id = os.getpid()

    @property
    def schedules(self) -> list[Schedule]:
        """Those that are not turned off."""
        return [schedule for schedule in self._all if not schedule.is_off]

    def configure(self, config: AgentConfig, push_interval_seconds: float, shed: Collection[str] = ()) -> None:
        """What is turned off, or shed; how often the others are read; and what probes themselves want to know of it."""
        is_new, self._config = config is not self._config, config
        for schedule in self._all:
            schedule.turn(off=schedule.name in config.probes_off or schedule.name in shed)
            if is_new:
                self._tell(schedule.probe, config)
        self.set_intervals(push_interval_seconds, config.probe_intervals_seconds)

    def set_intervals(self, push_interval_seconds: float, by_probe: Mapping[str, float]) -> None:
        """What is read for every frame by default follows the push interval; what is configured by name wins."""
        for schedule in self._all:
            own_seconds = schedule.probe.interval_seconds
            follows = own_seconds <= DEFAULT_PUSH_INTERVAL_SECONDS
            seconds = by_probe.get(schedule.name, push_interval_seconds if follows else own_seconds)
            least_seconds = MIN_BACKGROUND_INTERVAL_SECONDS if schedule.is_background else 0.0
            schedule.interval_seconds = max(seconds, least_seconds)

    def take_occurrences(self) -> list[Occurrence]:
        """What probes have to tell beside their samples, since this was asked last."""
        found: list[Occurrence] = []
        for schedule in self.schedules:
            take = getattr(schedule.probe, "take_occurrences", None)
            if take is not None:
                found += take()
        return found

    def _tell(self, probe: Probe, config: AgentConfig) -> None:
        try:
            configure(probe, config)
        except Exception:  # one probe must not keep the others from it
            logger.exception("probe not configured: probe=%s", probe.name)

    def read_due(self, slack_seconds: float) -> None:
        """Read what is due within `slack_seconds`. Returns when all came back, or all others were given their time.

        What is read in the background is only started."""
        now = self._boot()
        with self._changed:
            for schedule in self._all:
                self._count_overdue(schedule, now)
            due = [one for one in self.schedules if one.is_due(now, slack_seconds)]
            self._read_in_background([one for one in due if one.is_background])
            waiting = deque(one for one in due if not one.is_background)
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
            self._changed.wait_for(
                lambda: not any(one.is_running or one.is_queued for one in self._all), timeout_seconds
            )

    def stop(self) -> None:
        """Begin no more readings in the background; the one that runs is its child's to end."""
        with self._changed:
            for schedule in self._background:
                schedule.is_queued = False
            self._background.clear()

    def _read_in_background(self, due: Sequence[Schedule]) -> None:
        """One thread reads them one after the other. One that hangs keeps it, and another thread takes over."""
        for schedule in due:
            schedule.is_queued = True
            self._background.append(schedule)
        if self._background and self._background_thread is None:
            thread = threading.Thread(target=self._work_in_background, name="background", daemon=True)
            self._background_thread = thread
            thread.start()

    def _work_in_background(self) -> None:
        self._work(self._background, self._is_relieved)
        with self._changed:
            if not self._is_relieved():
                self._background_thread = None

    def _is_relieved(self) -> bool:
        return self._background_thread is not threading.current_thread()

    def _work(self, waiting: deque[Schedule], is_relieved: Callable[[], bool] = lambda: False) -> None:
        while True:
            with self._changed:
                if not waiting or is_relieved():
                    return
                schedule = waiting.popleft()
                schedule.is_queued = False
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
            samples = accept(schedule.probe.sample())
        except ProbeUnavailable as error:
            schedule.is_lacking = True
            schedule.samples, schedule.read_at = (), None
            if schedule.trouble != str(error):
                schedule.trouble = str(error)
                logger.info("probe unavailable: probe=%s reason=%r", schedule.name, schedule.trouble)
                self._on_unavailable(schedule.name, schedule.trouble)
        except ProbeFailed as error:
            schedule.errors += 1
            if schedule.trouble != str(error):
                schedule.trouble = str(error)
                logger.warning("probe failed: probe=%s reason=%r", schedule.name, schedule.trouble)
        except Exception as error:  # one probe must not spoil the rest
            schedule.errors += 1
            trouble = f"{type(error).__name__}: {error}"
            if schedule.trouble != trouble:
                schedule.trouble = trouble
                logger.warning("probe failed: probe=%s", schedule.name, exc_info=True)
        else:
            schedule.is_lacking = False
            schedule.samples, schedule.read_at = samples, self._boot()
            if schedule.trouble:
                schedule.trouble = ""
                logger.info("probe works: probe=%s", schedule.name)
        finally:
            if os.getpid() != self._process_id:
                os._exit(1)  # the probe has forked, and this is the copy: there must be only one agent

    def _count_overdue(self, schedule: Schedule, now: float) -> None:
        if not schedule.is_running or schedule.is_overdue or schedule.began_at is None:
            return
        if now - schedule.began_at >= schedule.probe.timeout_seconds:
            schedule.is_overdue = True
            schedule.errors += 1
            schedule.trouble = "hangs"
            if schedule.is_background:
                self._background_thread = None
            logger.warning(
                "probe hangs, not asked again until it returns: probe=%s after_seconds=%.0f",
                schedule.name,
                now - schedule.began_at,
            )
