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


class TicketAction(StrEnum):
    REOPEN = "reopen"
    ASSIGN = "assign"
    START = "start"
    WAIT = "wait"
    RESOLVE = "resolve"
    CLOSE = "close"


class TransitionError(PermanentError):
    """The ticket's status does not allow this; the message says what it allows."""


# Each action leads to one status, whatever it starts from.
LEADS_TO: Mapping[TicketAction, TicketStatus] = {
    TicketAction.REOPEN: TicketStatus.NEW,
    TicketAction.ASSIGN: TicketStatus.ASSIGNED,
    TicketAction.START: TicketStatus.IN_PROGRESS,
    TicketAction.WAIT: TicketStatus.WAITING_CUSTOMER,
    TicketAction.RESOLVE: TicketStatus.RESOLVED,
    TicketAction.CLOSE: TicketStatus.CLOSED,
}

_ASSIGN, _START, _WAIT, _RESOLVE = TicketAction.ASSIGN, TicketAction.START, TicketAction.WAIT, TicketAction.RESOLVE

ALLOWED: Mapping[TicketStatus, tuple[TicketAction, ...]] = {
    TicketStatus.NEW: (_ASSIGN, _START, _WAIT, _RESOLVE),
    TicketStatus.ASSIGNED: (_ASSIGN, _START, _WAIT, _RESOLVE),
    TicketStatus.IN_PROGRESS: (_ASSIGN, _WAIT, _RESOLVE),
    TicketStatus.WAITING_CUSTOMER: (_ASSIGN, _START, _RESOLVE),
    TicketStatus.RESOLVED: (TicketAction.REOPEN, TicketAction.CLOSE),
    TicketStatus.CLOSED: (),
}


def advance(status: TicketStatus, action: TicketAction) -> TicketStatus:
    """The status after `action`. Raises TransitionError, which says what is allowed."""
    if action not in ALLOWED[status]:
        allowed = ", ".join(ALLOWED[status]) or "nothing, open a new one"
        raise TransitionError(f"cannot {action} a ticket that is {status}; allowed now: {allowed}")
    return LEADS_TO[action]


def action_to(status: TicketStatus) -> TicketAction:
    """The action that leads to `status`."""
    return next(action for action, leads_to in LEADS_TO.items() if leads_to is status)
