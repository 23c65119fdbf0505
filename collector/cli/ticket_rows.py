"""How tickets and shadow tickets are printed: the same fields of both."""

from collector.cli.common import Row
from collector.desk.reading import Ticket
from collector.desk.shadows import ShadowTicket
from collector.desk.states import TicketStatus


def row_of(ticket: Ticket) -> Row:
    return {
        "number": ticket.number,
        "customer": ticket.customer,
        "site": ticket.site,
        "device": ticket.device,
        "rule": ticket.rule or None,
        "incident": ticket.incident,
        "title": ticket.title,
        "status": ticket.status,
        "priority": ticket.priority,
        "opened_at": ticket.opened_at,
        "began_at": ticket.began_at,
        "resolved_at": ticket.resolved_at,
        "closed_at": ticket.closed_at,
        "follows": ticket.follows,
        "parent": ticket.parent,
        "unstable_since": ticket.unstable_since,
        "kind": ticket.kind,
        "source": ticket.source,
        "category": ticket.category,
        "contact": ticket.contact,
        "impact": ticket.impact,
        "urgency": ticket.urgency,
        "assignee": ticket.assignee,
        "escalated_to": ticket.escalated_to,
        "merged_into": ticket.merged_into,
        "due_at": ticket.due_at,
        "shadow": False,
    }


def shadow_row_of(shadow: ShadowTicket) -> Row:
    """`number` counts shadows by themselves."""
    nothing = ("closed_at", "follows", "contact", "impact", "urgency", "assignee", "escalated_to", "merged_into")
    return {
        "number": shadow.id,
        "customer": shadow.customer,
        "site": shadow.site,
        "device": shadow.device,
        "rule": shadow.rule,
        "incident": shadow.incident,
        "title": shadow.title,
        "status": TicketStatus.NEW if shadow.resolved_at is None else TicketStatus.RESOLVED,
        "priority": shadow.priority,
        "opened_at": shadow.would_have_opened_at,
        "began_at": shadow.began_at,
        "resolved_at": shadow.resolved_at,
        "parent": shadow.parent,
        "unstable_since": shadow.unstable_since,
        "kind": "incident",
        "source": "alert",
        "category": None,
        "due_at": None,
        **dict.fromkeys(nothing),
        "shadow": True,
    }
