"""What a ticket's status may become."""

from collections.abc import Mapping
from enum import StrEnum

from protocol.errors import PermanentError


class TicketStatus(StrEnum):
    NEW = "new"
    ASSIGNED = "assigned"
    IN_PROGRESS = "in_progress"
    WAITING_CUSTOMER = "waiting_customer"
    RESOLVED = "resolved"
    CLOSED = "closed"


OVER = frozenset({TicketStatus.RESOLVED, TicketStatus.CLOSED})


class TicketAction(StrEnum):
    REOPEN = "reopen"
    ASSIGN = "assign"
    HAND_OVER = "hand_over"
    RELEASE = "release"
    START = "start"
    WAIT = "wait"
    RESOLVE = "resolve"
    CLOSE = "close"
    MERGE = "merge"


class TransitionError(PermanentError):
    """The ticket's status does not allow this; the message says what it allows."""


# Each action leads to one status, whatever it starts from.
LEADS_TO: Mapping[TicketAction, TicketStatus] = {
    TicketAction.REOPEN: TicketStatus.NEW,
    TicketAction.ASSIGN: TicketStatus.ASSIGNED,
    TicketAction.HAND_OVER: TicketStatus.ASSIGNED,
    TicketAction.RELEASE: TicketStatus.NEW,
    TicketAction.START: TicketStatus.IN_PROGRESS,
    TicketAction.WAIT: TicketStatus.WAITING_CUSTOMER,
    TicketAction.RESOLVE: TicketStatus.RESOLVED,
    TicketAction.CLOSE: TicketStatus.CLOSED,
    TicketAction.MERGE: TicketStatus.CLOSED,
}

_ASSIGN, _HAND_OVER, _START = TicketAction.ASSIGN, TicketAction.HAND_OVER, TicketAction.START
_WAIT, _RESOLVE, _CLOSE = TicketAction.WAIT, TicketAction.RESOLVE, TicketAction.CLOSE
_REOPEN, _MERGE, _RELEASE = TicketAction.REOPEN, TicketAction.MERGE, TicketAction.RELEASE

ALLOWED: Mapping[TicketStatus, tuple[TicketAction, ...]] = {
    TicketStatus.NEW: (_ASSIGN, _START, _WAIT, _RESOLVE, _MERGE),
    TicketStatus.ASSIGNED: (_ASSIGN, _HAND_OVER, _RELEASE, _START, _WAIT, _RESOLVE, _MERGE),
    TicketStatus.IN_PROGRESS: (_ASSIGN, _HAND_OVER, _RELEASE, _WAIT, _RESOLVE, _MERGE),
    TicketStatus.WAITING_CUSTOMER: (_ASSIGN, _HAND_OVER, _START, _RESOLVE, _MERGE),
    TicketStatus.RESOLVED: (_REOPEN, _CLOSE, _MERGE),
    TicketStatus.CLOSED: (),
}

# What a person calls each action, and the command that does it; the API has them under the same names.
_DONE: Mapping[TicketAction, str] = {
    TicketAction.REOPEN: "reopened",
    TicketAction.ASSIGN: "assigned",
    TicketAction.HAND_OVER: "handed over",
    TicketAction.RELEASE: "given back to the queue",
    TicketAction.START: "set to in_progress",
    TicketAction.WAIT: "set to waiting_customer",
    TicketAction.RESOLVE: "resolved",
    TicketAction.CLOSE: "closed",
    TicketAction.MERGE: "merged",
}
_COMMANDS: Mapping[TicketAction, str] = {
    TicketAction.REOPEN: "set-status new",
    TicketAction.ASSIGN: "assign",
    TicketAction.HAND_OVER: "hand-over",
    TicketAction.RELEASE: "assign --nobody",
    TicketAction.START: "set-status in_progress",
    TicketAction.WAIT: "set-status waiting_customer",
    TicketAction.RESOLVE: "resolve",
    TicketAction.CLOSE: "set-status closed",
    TicketAction.MERGE: "merge",
}


def advance(status: TicketStatus, action: TicketAction) -> TicketStatus:
    """The status after `action`. Raises TransitionError, which says what is allowed."""
    if action not in ALLOWED[status]:
        possible = ", ".join(_COMMANDS[one] for one in ALLOWED[status]) or "add (a new one)"
        raise TransitionError(f"a ticket that is {status} cannot be {_DONE[action]}; possible now: tickets {possible}")
    return LEADS_TO[action]


def action_to(status: TicketStatus) -> TicketAction:
    """The plain action that leads to `status`: handing over and merging say more than a status."""
    return next(action for action, leads_to in LEADS_TO.items() if leads_to is status)
