"""`quarkpulse-agent run`: puts the parts together and keeps them going until a signal, or until the device is ended.

The main thread makes frames, one thread sends, and probes run in short-lived threads of their own.
"""

import contextlib
import logging
import subprocess
from pathlib import Path
from typing import NamedTuple

from agent import VERSION
from agent.children import Ending, end_children
from agent.clock import AgentClock, Times
from agent.configuration import Configuration
from agent.delivery import Delivery, Policy, Sender
from agent.events import Events, make_uuid
from agent.failover import reach
from agent.files import write_atomically
from agent.greeting import greet
from agent.grid import first_wait_seconds, next_tick, phase_of
from agent.logs import set_up_logging
from agent.measuring import Measuring
from agent.notify import Notifier, take_notifier
from agent.own import OwnMetrics
from agent.presence import RunMark, SleepWatch, read_boot_id
from agent.saved_clock import SavedCorrection
from agent.spool import Record, Spool
from agent.state import FolderLock, StateFolder
from agent.status import StatusFile
from agent.wakeup import Wakeup
from protocol.errors import QuarkpulseError
from protocol.wire import DEFAULT_PUSH_INTERVAL_SECONDS, MAX_FRAME_INTERVAL_SECONDS, EventType

logger = logging.getLogger(__name__)

GOODBYE_SECONDS = 3.0  # for the last push; service managers kill after some more
READINGS_END_SECONDS = 0.5  # whose children have been ended; a reading that hangs by itself is left behind
HUSHED_SECONDS = 30.0  # no frame after the goodbye before sleep, or it would count as being up again
SYSTEMD = Path("/run/systemd/system")


class RunOptions(NamedTuple):
    state: Path
    interval_seconds: float | None = None  # overrides the configured push interval
    once: bool = False


def run(
    options: RunOptions,
    policy: Policy = Policy(),  # noqa: B008 - a tuple of constants
    wakeup: Wakeup | None = None,
    times: Times = Times(),  # noqa: B008 - likewise
) -> int:
    """Exit code: 0 stopped, or the device has ended; 1 it could not start, a thread crashed, `once` was not acked, or
    it is to be started anew because it holds too much memory.

    `wakeup` is given by who stops the agent otherwise than by a signal, `times` by who does not want to wait for it."""
    set_up_logging()
    notifier = take_notifier()
    folder = StateFolder(options.state)
    try:
        identity = folder.load_identity()
        if folder.ended_path.exists():
            logger.warning(
                "this device has ended, nothing to do: device_id=%s; enrol again with --force", identity.device_id
            )
            notifier.ready()  # or systemd would take it for a start that failed, and try again
            return 0
        with FolderLock(folder.lock_path), wakeup or Wakeup() as waking:
            return Agent(folder, options, policy, waking, notifier=notifier, times=times).run()
    except QuarkpulseError as error:
        logger.error("cannot run: %s", error)  # noqa: TRY400 - the message says it all
        return 1
    finally:
        notifier.close()


class Agent:
    """One agent, from start to goodbye."""

    def __init__(
        self,
        folder: StateFolder,
        options: RunOptions,
        policy: Policy,
        wakeup: Wakeup,
        *,
        notifier: Notifier,
        times: Times,
    ) -> None:
        """Raises StateError or AddressError."""
        self._folder = folder
        self._options = options
        self._wakeup = wakeup
        self._notifier = notifier
        identity, secret = folder.load_identity(), folder.load_secret()
        self._device_id = identity.device_id
        self._correction = SavedCorrection(folder)
        self._clock = AgentClock(
            boot=times.boot,
            wall=times.wall,
            wall_correction_seconds=self._correction.seconds,
            on_step=self._on_clock_step,
        )
        self._events = Events(self._clock.now_milliseconds, make_uuid)
        self._uplink = reach(identity, secret, folder, self._clock.boot)
        self._configuration = Configuration(folder, self._on_config_refused)
        self._phase = phase_of(self._device_id)
        if not options.once:
            self._await_place()
        if not wakeup.signalled:
            greet(self._uplink, self._clock, self._configuration.etag, self._on_config)
        self._has_told_damage = False
        self._spool = Spool(folder.spool_path, on_damage=self._on_spool_damaged)
        boot_id = read_boot_id(self._clock)
        self._mark = RunMark(folder, folder.run_path, boot_id)
        self._sleep = SleepWatch(times.boot, times.awake)
        self._hushed_until = 0.0  # by the boot clock
        self._delivery = Delivery(
            self._uplink,
            self._spool,
            self._clock,
            boot_id=boot_id,
            config_etag=self._configuration.etag,
            on_config=self._on_config,
            policy=policy,
        )
        self._own = OwnMetrics(
            self._clock,
            self._spool,
            self._delivery,
            self._events,
            self._configuration,
            sent_bytes=lambda: self._uplink.sent_bytes,
        )
        self._status = StatusFile(folder.status_path, started_at=self._clock.wall())
        self._sender = Sender(self._delivery, on_exit=wakeup.wake, on_step=self._write_status)
        self._measuring = Measuring(
            folder, self._clock, self._events, self._configuration, self._own, with_printers=not options.once
        )

    def run(self) -> int:
        Ending.has_begun = False
        logger.info(
            "started: version=%s device_id=%s push_interval_seconds=%g spooled_records=%d",
            VERSION,
            self._device_id,
            self._push_interval_seconds(),
            len(self._spool),
        )
        if not self._options.once:
            self._events.add(EventType.AGENT_STARTED, version=VERSION, last_run=self._mark.begin().value)
        self._make_frame()
        self._notifier.ready()
        if self._options.once:
            self._delivery.step()
            self._write_status()
            self._uplink.close()
            self._correction.save(self._clock)
            return 0 if self._delivery.push_failures == 0 else 1
        self._sender.start()
        while not self._must_stop():
            self._tick()
        exit_code = self._stop()
        self._measuring.wait(READINGS_END_SECONDS)
        self._uplink.close()
        return exit_code

    def _must_stop(self) -> bool:
        has_broken = self._sender.has_crashed or self._measuring.is_at_end
        return self._wakeup.signalled or has_broken or self._delivery.ended_reason is not None

    def _tick(self) -> None:
        """Wait for the next instant of the grid, unless something comes between, and make a frame."""
        interval_seconds = self._push_interval_seconds()
        now = self._clock.boot()
        due = next_tick(now, interval_seconds, self._phase)
        is_due = self._wakeup.wait(due - now)
        if self._wakeup.take_sleep():
            self._say_good_night()
            return
        slept_seconds = self._sleep.slept_seconds()
        if slept_seconds:
            self._hushed_until = 0.0
            self._events.add(EventType.RESUMED, slept_seconds=round(slept_seconds, 1))
        if not is_due or self._clock.boot() < self._hushed_until:
            return
        late_seconds = self._clock.boot() - due
        if late_seconds >= interval_seconds:
            self._own.ticks_skipped += int(late_seconds / interval_seconds)  # asleep or starved: not caught up
        self._make_frame()
        self._sender.notify()
        self._correction.save(self._clock)

    def _make_frame(self) -> None:
        interval_seconds = self._push_interval_seconds()
        record = self._measuring.measure(interval_seconds)
        t_milliseconds = record["frames"][0]["t"]
        # The agent's own frame comes last: the newest record is sent first.
        for encoded in self._measuring.printer_records(t_milliseconds, interval_seconds):
            self._spool.append_encoded(encoded, t_milliseconds)
        self._spool.append(record, t_milliseconds)
        self._status.frame_made(self._clock.wall())
        self._write_status()
        self._notifier.alive(f"version {VERSION}, {len(self._spool)} records to send")

    def _write_status(self) -> None:
        self._status.write(self._push_interval_seconds(), self._delivery, self._spool, self._measuring)

    def _say_good_night(self) -> None:
        """The machine is about to sleep: who manages it said so by a signal, and gives a moment for a last push."""
        logger.info("the machine goes to sleep")
        self._hushed_until = self._clock.boot() + HUSHED_SECONDS
        self._say_goodbye("sleep")
        self._sender.notify()

    def _say_goodbye(self, reason: str) -> None:
        self._events.add(EventType.GOODBYE, reason=reason)
        record = Record(layouts=[], frames=[], events=self._events.take())
        self._spool.append(record, self._clock.now_milliseconds())

    def _stop(self) -> int:
        self._notifier.stopping()
        self._measuring.stop()
        Ending.has_begun = True
        end_children()
        ended = self._delivery.ended_reason
        if ended is not None:
            self._mark.end()
            with contextlib.suppress(OSError):
                write_atomically(self._folder.ended_path, ended.encode() + b"\n")
            logger.error("stopped for good, the collector has ended this device: reason=%r", ended)
            return 0  # so that a service manager does not start it again
        if self._sender.has_crashed:
            return 1
        reason = "shutdown" if self._wakeup.is_shutdown or is_system_going_down() else "stop"
        self._say_goodbye(reason)
        self._mark.end()
        self._sender.stop(GOODBYE_SECONDS)
        self._correction.save(self._clock)
        logger.info("stopped: reason=%s spooled_records=%d", reason, len(self._spool))
        if self._measuring.is_at_end:
            logger.error("too much memory with all probes left out: to be started anew by what keeps it running")
            return 1
        return 0

    # Parts.

    def _push_interval_seconds(self) -> float:
        told = self._configuration.current.push_interval_seconds
        chosen = self._options.interval_seconds or told or DEFAULT_PUSH_INTERVAL_SECONDS
        return min(chosen, MAX_FRAME_INTERVAL_SECONDS)

    def _await_place(self) -> None:
        """After a power cut all agents of a site start at once: each goes to the collector at a moment of its own."""
        seconds = first_wait_seconds(self._clock.boot(), self._push_interval_seconds(), self._phase)
        if seconds == 0:
            return
        logger.info("the machine has just started, the first push waits: seconds=%.1f", seconds)
        self._notifier.ready()  # what starts after the agent does not wait with it
        if not self._wakeup.wait(seconds):
            self._wakeup.wake()  # whatever it is, the main loop sees to it
        self._notifier.alive(f"version {VERSION}, asks the collector")

    def _on_config(self, etag: str, content: dict[str, object]) -> None:
        """Called from the sender; raises ConfigError."""
        self._configuration.take(etag, content)
        self._wakeup.wake()  # the interval may be another

    def _on_config_refused(self, etag: str, reason: str) -> None:
        self._events.add(EventType.CONFIG_REFUSED, etag=etag, reason=reason[:500])

    def _on_clock_step(self, seconds: float) -> None:
        self._own.clock_steps += 1
        self._events.add(EventType.CLOCK_STEP, seconds=round(seconds, 3))

    def _on_spool_damaged(self, reason: str) -> None:
        """Once a run: a damaged disk damages many."""
        if not self._has_told_damage:
            self._has_told_damage = True
            self._events.add(EventType.SPOOL_DAMAGED, reason=reason[:500])


def is_system_going_down() -> bool:
    """Whether the machine stops, not only this agent; asked of systemd, where it is."""
    if not SYSTEMD.exists():
        return False
    try:
        asked = subprocess.run(["systemctl", "is-system-running"], capture_output=True, timeout=1, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.stdout.strip() == b"stopping"
