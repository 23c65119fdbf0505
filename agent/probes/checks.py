"""Custom checks: Nagios plugins, run by the agent's user, each at its own interval.

What may run is named in `agent.toml` alone: a check of its own there, or a program that the collector may ask for.
"""

import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, Self

from agent.allow_list import AllowList, NotAllowedError
from agent.children import run_child
from agent.clock import read_boot_seconds
from agent.config import CHECK_NAME, AgentConfig
from agent.probes.base import (
    FAST_INTERVAL_SECONDS,
    Metric,
    MetricType,
    Occurrence,
    ProbeFailed,
    ProbeUnavailable,
    Sample,
)
from agent.probes.parsing import decode
from agent.probes.perfdata import COUNTER, Figure, Range, parse_output, to_base
from agent.settings import Section
from protocol.wire import (
    DEFAULT_CHECK_TIMEOUT_SECONDS,
    DEFAULT_PUSH_INTERVAL_SECONDS,
    MAX_CHECK_TIMEOUT_SECONDS,
    MAX_COMMAND_WORDS,
    MAX_CUSTOM_CHECKS,
    MAX_INTERVAL_SECONDS,
    MIN_CHECK_INTERVAL_SECONDS,
    STALE_AFTER_INTERVALS,
    EventType,
)

logger = logging.getLogger(__name__)

OK, WARNING, CRITICAL, UNKNOWN = range(4)
MAX_OUTPUT_BYTES = 64 << 10  # Nagios itself reads 4 to 8 KiB
MAX_TEXT_CHARS = 500
MAX_FIGURES = 50  # of one check
MAX_SERIES = 900  # of all; statuses come first, then values, then limits
MAX_AT_ONCE = 4
PATIENCE_SECONDS = 0.3  # most plugins answer sooner, and then stand in the frame that they were started for
EARLY = 0.1  # of its interval: frames come at instants of their own


class Check(NamedTuple):
    name: str
    command: tuple[str, ...]
    interval_seconds: float = DEFAULT_PUSH_INTERVAL_SECONDS
    timeout_seconds: float = DEFAULT_CHECK_TIMEOUT_SECONDS
    is_local: bool = False  # of agent.toml, so that it may run


class Result(NamedTuple):
    status: int
    text: str
    figures: list[Figure] = []  # noqa: RUF012 - a NamedTuple's default, never written to


def run_check(check: Check, allow: AllowList) -> Result:
    """What goes wrong with it makes the check's status not known."""
    program = check.command[0]
    try:
        executable = program if check.is_local else allow.resolve(program)
        answer = run_child(
            check.command, executable=executable, timeout_seconds=check.timeout_seconds, max_bytes=MAX_OUTPUT_BYTES
        )
    except (NotAllowedError, ProbeUnavailable, ProbeFailed) as error:
        return Result(UNKNOWN, str(error))
    output = parse_output(decode(answer.output))
    status = answer.exit_code if answer.exit_code in (OK, WARNING, CRITICAL) else UNKNOWN
    text = output.text or f"{program} said nothing, exit code {answer.exit_code}"
    return Result(status, text[:MAX_TEXT_CHARS], output.figures[:MAX_FIGURES])


class State:
    """What is known of a check. Times by the boot clock."""

    def __init__(self, check: Check) -> None:
        self.check = check
        self.began_at: float | None = None
        self.ended_at: float | None = None
        self.is_busy = False
        self.result: Result | None = None

    def is_due(self, now: float) -> bool:
        if self.is_busy:
            return False
        return self.began_at is None or now >= self.began_at + (1 - EARLY) * self.check.interval_seconds

    def is_stale(self, now: float) -> bool:
        return self.ended_at is None or now - self.ended_at >= STALE_AFTER_INTERVALS * self.check.interval_seconds


class CheckProbe:
    """Starts what is due whenever it is read, and tells what came last. One that hangs keeps no other from running."""

    name = "checks"
    interval_seconds = FAST_INTERVAL_SECONDS
    timeout_seconds = 10.0
    metrics = (
        Metric(
            "check_status",
            MetricType.GAUGE,
            "code",
            "Of a custom check: 0 ok, 1 warning, 2 critical, 3 not known (no answer in time, no such program, …)",
            ("check",),
        ),
        Metric(
            "check_value",
            MetricType.GAUGE,
            "by the label",
            "A figure of a check, in seconds, bytes or as a ratio where its unit is known",
            ("check", "check_metric", "unit"),
        ),
        Metric(
            "check_count_total", MetricType.COUNTER, "by the check", "A figure that counts", ("check", "check_metric")
        ),
        Metric(
            "check_limit",
            MetricType.GAUGE,
            "by the label",
            "What the plugin itself judges by: warning_low, warning_high, critical_low, critical_high, min or max",
            ("check", "check_metric", "unit", "limit"),
        ),
    )

    def __init__(
        self,
        local: Iterable[Check] = (),
        allow: AllowList = AllowList(),  # noqa: B008 - nothing changes it
        *,
        boot: Callable[[], float] = read_boot_seconds,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._local = tuple(local)
        self._allow = allow
        self._boot = boot
        self._patience_seconds = patience_seconds
        self._changed = threading.Condition()
        self._waiting: deque[State] = deque()
        self._workers = 0
        self._states: dict[str, State] = {check.name: State(check) for check in self._local}
        self._occurrences: list[Occurrence] = []
        self._refused: dict[str, str] = {}

    @classmethod
    def from_settings(cls, section: Section) -> Self:
        allow = AllowList(section.paths("allow"))
        tables = section.tables()
        if len(tables) > MAX_CUSTOM_CHECKS:
            section.refuse(f"at most {MAX_CUSTOM_CHECKS} checks, got {len(tables)}")
        return cls([check for name, table in tables.items() if (check := make_check(name, table))], allow)

    def configure(self, config: AgentConfig) -> None:
        """Take up the collector's checks: those that agent.toml allows, and names nothing by the same name."""
        wanted = {check.name: check for check in self._local}
        refused: dict[str, str] = {}
        for asked in config.custom_checks:
            check = Check(asked["name"], tuple(asked["command"]), asked["interval_seconds"], asked["timeout_seconds"])
            try:
                self._allow.resolve(check.command[0])
            except NotAllowedError as error:
                refused[check.name] = str(error)
            else:
                wanted.setdefault(check.name, check)
        with self._changed:
            for name, reason in refused.items():
                if self._refused.get(name) != reason:
                    logger.warning("check not run: check=%s reason=%r", name, reason)
                    self._occurrences.append(
                        Occurrence(EventType.PROBE_UNAVAILABLE, {"probe": f"checks.{name}", "reason": reason})
                    )
            self._refused = refused
            known = self._states
            self._states = {
                name: known[name] if name in known and known[name].check == check else State(check)
                for name, check in wanted.items()
            }

    def sample(self) -> list[Sample]:
        if not self._states:
            raise ProbeUnavailable("no check is configured: [checks.NAME] in agent.toml, or by the collector")
        self.settle(self._patience_seconds)
        return self._to_samples(self._boot())

    def settle(self, seconds: float) -> None:
        """Start what is due, and wait so long for what was started now."""
        with self._changed:
            started = [state for state in self._states.values() if state.is_due(self._boot())]
            for state in started:
                state.is_busy, state.began_at = True, self._boot()
                self._waiting.append(state)
            for _ in range(min(len(self._waiting), MAX_AT_ONCE - self._workers)):
                self._workers += 1
                threading.Thread(target=self._work, name="check", daemon=True).start()
            self._changed.wait_for(lambda: not any(state.is_busy for state in started), seconds)

    def take_occurrences(self) -> list[Occurrence]:
        with self._changed:
            taken, self._occurrences = self._occurrences, []
        return taken

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._waiting:
                    self._workers -= 1
                    return
                state = self._waiting.popleft()
            try:
                result = run_check(state.check, self._allow)
            except Exception as error:  # one check must not spoil the rest
                logger.exception("check failed: check=%s", state.check.name)
                result = Result(UNKNOWN, f"{type(error).__name__}: {error}"[:MAX_TEXT_CHARS])
            with self._changed:
                self._note(state, result)
                self._changed.notify_all()

    def _note(self, state: State, result: Result) -> None:
        before = None if state.result is None else state.result.status
        state.is_busy, state.result, state.ended_at = False, result, self._boot()
        if result.status == (OK if before is None else before):
            return
        name = state.check.name
        logger.info("check changed: check=%s status=%d", name, result.status)
        details: dict[str, object] = {"check": name, "status": result.status, "before": before, "text": result.text}
        self._occurrences.append(Occurrence(EventType.CHECK_CHANGED, details))

    def _to_samples(self, now: float) -> list[Sample]:
        statuses: list[Sample] = []
        values: list[Sample] = []
        limits: list[Sample] = []
        with self._changed:
            known = [(state, state.result, state.is_stale(now)) for state in self._states.values()]
        for state, result, is_stale in known:
            if result is None:
                continue
            check = {"check": state.check.name}
            statuses.append(Sample("check_status", None if is_stale else result.status, check))
            for figure in result.figures:
                labels = {**check, "check_metric": figure.label}
                value, *more = to_samples(figure, labels)
                values.append(value._replace(value=None) if is_stale else value)
                limits += more
        return [*statuses, *values, *limits][:MAX_SERIES]


def to_samples(figure: Figure, labels: Mapping[str, str]) -> list[Sample]:
    """The figure, then what it is judged by, in base units."""
    if figure.unit == COUNTER:
        return [Sample("check_count_total", figure.value, dict(labels))]
    unit, factor = to_base(figure.unit)
    of_unit = {**labels, **({"unit": unit} if unit else {})}
    samples = [Sample("check_value", scaled(figure.value, factor), of_unit)]
    limits: dict[str, float | None] = {"min": figure.low, "max": figure.high}
    limits.update(limits_of("warning", figure.warning))
    limits.update(limits_of("critical", figure.critical))
    samples += [
        Sample("check_limit", scaled(limit, factor), {**of_unit, "limit": name})
        for name, limit in limits.items()
        if limit is not None and math.isfinite(limit)
    ]
    return samples


def limits_of(severity: str, text: str | None) -> dict[str, float]:
    """The ends of a range outside which the plugin warns. Of the ranges inside which it does, nothing is told."""
    found = None if text is None else Range.parse(text)
    if found is None or found.is_inside:
        return {}
    return {f"{severity}_low": found.low, f"{severity}_high": found.high}


def scaled(value: float | None, factor: float) -> float | None:
    """Without the noise of binary fractions: 36 % is 0.36."""
    return None if value is None else float(f"{value * factor:.15g}")


def make_check(name: str, table: Section) -> Check | None:
    """None if it cannot be, and the section then knows why."""
    command = table.texts("command")
    interval_seconds = table.number(
        "interval_seconds", MIN_CHECK_INTERVAL_SECONDS, MAX_INTERVAL_SECONDS, DEFAULT_PUSH_INTERVAL_SECONDS
    )
    timeout_seconds = table.number("timeout_seconds", 1, MAX_CHECK_TIMEOUT_SECONDS, DEFAULT_CHECK_TIMEOUT_SECONDS)
    if not CHECK_NAME.fullmatch(name):
        table.refuse("must be named by letters, digits, dots, hyphens and underscores, at most 64")
        return None
    if not command or not Path(command[0]).is_absolute():
        table.refuse("must be a list that begins with the absolute path of a program", "command")
        return None
    if len(command) > MAX_COMMAND_WORDS:
        table.refuse(f"must have at most {MAX_COMMAND_WORDS} words, got {len(command)}", "command")
        return None
    return Check(name, command, interval_seconds, timeout_seconds, is_local=True)
