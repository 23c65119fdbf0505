"""How urgent a ticket is when it opens."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

from protocol.wire import Kind


class Severity(StrEnum):
    CRITICAL = "critical"
    MAJOR = "major"
    MINOR = "minor"
    INFO = "info"


class Priority(StrEnum):
    """Sorts as text: the highest, P1, comes first."""

    P1 = "P1"
    P2 = "P2"
    P3 = "P3"
    P4 = "P4"


# Many people wait for a server, one for a workstation; a printer has a neighbour to print on.
_MANY_WAIT: Mapping[str, int] = {Severity.CRITICAL: 1, Severity.MAJOR: 2, Severity.MINOR: 3, Severity.INFO: 4}
_ONE_WAITS: Mapping[str, int] = {Severity.CRITICAL: 2, Severity.MAJOR: 3, Severity.MINOR: 4, Severity.INFO: 4}
_NOBODY_WAITS: Mapping[str, int] = {Severity.CRITICAL: 3, Severity.MAJOR: 3, Severity.MINOR: 4, Severity.INFO: 4}


class Level(StrEnum):
    """How a person judges a ticket's impact, or its urgency."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


# By impact (how many cannot work), then urgency (how long it can wait).
_MATRIX: Mapping[Level, Mapping[Level, Priority]] = {
    Level.HIGH: {Level.HIGH: Priority.P1, Level.MEDIUM: Priority.P2, Level.LOW: Priority.P3},
    Level.MEDIUM: {Level.HIGH: Priority.P2, Level.MEDIUM: Priority.P3, Level.LOW: Priority.P4},
    Level.LOW: {Level.HIGH: Priority.P3, Level.MEDIUM: Priority.P4, Level.LOW: Priority.P4},
}

_STEPS: Mapping[str, Mapping[str, int]] = {
    Kind.SERVER: _MANY_WAIT,
    Kind.DESKTOP: _ONE_WAITS,
    Kind.LAPTOP: _ONE_WAITS,
    Kind.PRINTER: _NOBODY_WAITS,
    Kind.OTHER: _ONE_WAITS,
}


class Shifting(Protocol):
    """A service model, as far as priorities go."""

    @property
    def priority_shift(self) -> int: ...


def priority_of(severity: str, kind: str, model: Shifting) -> Priority:
    """The priority of a ticket for an alert of `severity` on a device of `kind`, under the customer's service model.

    An alert without a device (`kind` empty or unknown) is about a site or a customer, so many people wait. A severity
    that is not ours counts as minor, as it does in rule files.
    """
    steps = _STEPS.get(kind, _MANY_WAIT)
    step = steps.get(severity, steps[Severity.MINOR])
    return Priority(f"P{min(step + model.priority_shift, 4)}")


def priority_judged(impact: Level, urgency: Level) -> Priority:
    """The priority of a ticket that a person opens. Whoever judges knows the customer, so the service model does not
    shift it as it does that of an alert's ticket."""
    return _MATRIX[impact][urgency]


def highest(first: Priority, second: Priority) -> Priority:
    return min(first, second)
