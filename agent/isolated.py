"""Probes in a process of their own: what they load and leave behind is gone with it.

The agent starts `python -m agent.reading` for each reading; what comes back is as `agent.answering` has it, with the
keys `samples` ([[name, value, labels], …]) and, what is to be told as events, `occurrences` ([[type, details], …]).
"""

import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from agent.answering import ask
from agent.probes.base import Metric, Occurrence, ProbeFailed, Sample
from agent.probes.parsing import dig, dig_list
from protocol.wire import EventType

MAX_OCCURRENCES = 100  # of one reading
MARGIN_SECONDS = 5.0  # by which a reading's end comes before the probe's own timeout


class IsolatedProbe:
    """Stands in the agent for a probe that it has not loaded."""

    metrics: tuple[Metric, ...] = ()  # declared by the probe itself, in the child

    def __init__(
        self,
        name: str,
        place: str,
        state: Path,
        *,
        interval_seconds: float,
        timeout_seconds: float,
        interpreter: Sequence[str] = (sys.executable, "-P", "-m"),
    ) -> None:
        self.name = name
        self.interval_seconds = interval_seconds
        self.timeout_seconds = timeout_seconds
        self._command = [*interpreter, "agent.reading", name, place, str(state.absolute())]
        self._source = f"the reader of {name}"
        self._lock = threading.Lock()  # it is read in a thread, and asked for events by another
        self._occurrences: list[Occurrence] = []

    def sample(self) -> list[Sample]:
        content = ask(self._command, self._source, timeout_seconds=max(1.0, self.timeout_seconds - MARGIN_SECONDS))
        samples = dig(content, "samples")
        if not isinstance(samples, list) or not all(isinstance(one, list) and len(one) == 3 for one in samples):
            raise ProbeFailed(f"{self._source} gave no samples")
        self._note(dig_list(content, "occurrences"))
        return [Sample(*one) for one in samples]

    def take_occurrences(self) -> list[Occurrence]:
        with self._lock:
            taken, self._occurrences = self._occurrences, []
        return taken

    def _note(self, told: list[object]) -> None:
        """What makes no sense is left out."""
        found = []
        for one in told[:MAX_OCCURRENCES]:
            match one:
                case [str(kind), dict(details)] if kind in set(EventType):
                    found.append(Occurrence(EventType(kind), details))
        with self._lock:
            self._occurrences = (self._occurrences + found)[-MAX_OCCURRENCES:]
