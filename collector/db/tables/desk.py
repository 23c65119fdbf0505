"""Tickets and shadow tickets, who does what about them, and what it took."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    text,
)

from collector.db.tables.base import Amount, Instant, Serial, metadata

FIRST_TICKET_NUMBER = 1001  # SQLite is told by the migration
LISTED_BY = (
    *("status", "kind", "category", "site", "opened_at", "resolved_at"),
    *("customer", "assignee", "title"),
)

tickets = Table(
    "tickets",
    metadata,
    Column("number", Serial, Identity(start=FIRST_TICKET_NUMBER), primary_key=True),
    Column("key", String(400), nullable=False),  # customer, scope entity, incident
    Column("customer", ForeignKey("customers.id"), nullable=False),
    Column("site", String(64)),
    Column("device", String(64)),
    Column("incident", String(200), nullable=False),
    Column("rule", String(200), nullable=False),
    Column("title", Text, nullable=False),
    Column("status", String(20), nullable=False),
    Column("priority", String(4), nullable=False),  # P1 (highest) to P4
    Column("opened_at", Instant, nullable=False),
    Column("began_at", Instant, nullable=False),
    Column("resolved_at", Instant),
    Column("closed_at", Instant),
    Column("touched", Boolean, nullable=False, server_default=text("false")),  # by a human
    Column("follows", ForeignKey("tickets.number")),  # an earlier ticket of this key, too old to reopen
    Column("parent", ForeignKey("tickets.number")),  # the storm that this incident was the beginning of
    Column("kind", String(16), nullable=False, server_default="incident"),  # request, question, maintenance
    Column("source", String(16), nullable=False, server_default="alert"),  # alert, person, customer, plan
    Column("category", String(64)),
    Column("description", Text),
    Column("contact", ForeignKey("contacts.id")),  # who reported it, or is asked
    Column("impact", String(8)),  # high, medium, low, as a person judged it
    Column("urgency", String(8)),
    Column("assignee", ForeignKey("technicians.id")),
    Column("escalated_to", String(64)),  # a technician or a group
    Column("cause", Text),
    Column("solution", Text),
    Column("merged_into", ForeignKey("tickets.number")),
    Column("unstable_since", Instant),  # its fault comes and goes: it stays open until that has ended
    Column("due_at", Instant),  # the earliest of its clocks', written with them: lists are sorted by it
    Index("ix_tickets_customer_opened_at", "customer", "opened_at"),
    Index("ix_tickets_parent", "parent"),
    Index("ix_tickets_key", "key"),
    Index("ix_tickets_assignee_resolved_at", "assignee", "resolved_at"),
    Index("ix_tickets_device", "device"),
    # Lists, whatever they are filtered by: what is looked at stands in the index, in the order of the list.
    Index("ix_tickets_list", "number", "priority", *LISTED_BY, "due_at"),
    Index("ix_tickets_urgency", "priority", "number", *LISTED_BY),
    Index(
        "ix_tickets_open",
        "priority",
        "number",
        *LISTED_BY,
        sqlite_where=text("resolved_at IS NULL"),
        postgresql_where=text("resolved_at IS NULL"),
    ),
    Index(
        "ix_tickets_due",
        "due_at",
        "number",
        "priority",
        *LISTED_BY,
        sqlite_where=text("due_at IS NOT NULL"),
        postgresql_where=text("due_at IS NOT NULL"),
    ),
    # One open ticket per key, whoever writes.
    Index(
        "uq_tickets_open",
        "key",
        unique=True,
        sqlite_where=text("resolved_at IS NULL"),
        postgresql_where=text("resolved_at IS NULL"),
    ),
    sqlite_autoincrement=True,
)

ticket_events = Table(
    "ticket_events",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("ticket", ForeignKey("tickets.number"), nullable=False, index=True),
    Column("at", Instant, nullable=False),
    Column("actor", String(200), nullable=False),  # system, or a person
    Column("type", String(32), nullable=False),
    Column("data", JSON, nullable=False),
)

# Further devices that a ticket is about, beside the one it names.
ticket_devices = Table(
    "ticket_devices",
    metadata,
    Column("ticket", ForeignKey("tickets.number"), primary_key=True),
    Column("device", ForeignKey("devices.id"), primary_key=True, index=True),
)

# Two tickets that have to do with each other, as said of `ticket`; merging and storms have columns of their own.
ticket_links = Table(
    "ticket_links",
    metadata,
    Column("ticket", ForeignKey("tickets.number"), primary_key=True),
    Column("other", ForeignKey("tickets.number"), primary_key=True, index=True),
    Column("kind", String(16), nullable=False),  # related, blocked_by
    Column("at", Instant, nullable=False),
)

# Who wants to hear of a ticket beside who works on it: a technician's id or a mail address.
ticket_watchers = Table(
    "ticket_watchers",
    metadata,
    Column("ticket", ForeignKey("tickets.number"), primary_key=True),
    Column("watcher", String(254), primary_key=True),
)

# Files beside tickets, bounded in size, type and number; in the database, so that one backup holds all.
attachments = Table(
    "attachments",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("ticket", ForeignKey("tickets.number"), nullable=False, index=True),
    Column("name", String(200), nullable=False),
    Column("media_type", String(100), nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("digest", String(64), nullable=False),  # SHA-256, hex
    Column("content", LargeBinary, nullable=False),
    Column("is_public", Boolean, nullable=False, server_default=text("false")),  # the customer sees it
    Column("added_by", String(200), nullable=False),
    Column("added_at", Instant, nullable=False),
)

# The SLA clocks as of their last reckoning. The ticket's events are the truth; this only says when to look again.
ticket_clocks = Table(
    "ticket_clocks",
    metadata,
    Column("ticket", ForeignKey("tickets.number"), primary_key=True),
    Column("clock", String(16), primary_key=True),  # response, resolution
    Column("state", String(16), nullable=False),  # running, paused, met, breached, none
    Column("target_seconds", Integer),  # null: nothing was promised
    Column("used_seconds", Integer, nullable=False),
    Column("due_at", Instant),  # if it runs on as it does now; null while it stands still
    Column("warned_at", Instant),
    Column("breached_at", Instant),
    Column("as_of_event", BigInteger, nullable=False),  # the newest event of the ticket that was reckoned with
    Column("next_at", Instant, index=True),  # when time alone changes something: a warning, a breach; null: never
)

# What would have been a ticket under a plan that opens tickets.
shadow_tickets = Table(
    "shadow_tickets",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("key", String(400), nullable=False),
    Column("customer", ForeignKey("customers.id"), nullable=False),
    Column("site", String(64)),
    Column("device", String(64)),
    Column("incident", String(200), nullable=False),
    Column("rule", String(200), nullable=False),
    Column("title", Text, nullable=False),
    Column("priority", String(4), nullable=False),
    Column("would_have_opened_at", Instant, nullable=False),
    Column("began_at", Instant, nullable=False),
    Column("resolved_at", Instant),
    Column("parent", ForeignKey("shadow_tickets.id")),
    Column("unstable_since", Instant),
    Index("ix_shadow_tickets_key", "key"),
    Index("ix_shadow_tickets_customer", "customer", "would_have_opened_at"),
    Index(
        "uq_shadow_tickets_open",
        "key",
        unique=True,
        sqlite_where=text("resolved_at IS NULL"),
        postgresql_where=text("resolved_at IS NULL"),
    ),
)

# Who works on tickets, at what, for whom and when.
technicians = Table(
    "technicians",
    metadata,
    Column("id", String(64), primary_key=True),  # a slug: anna
    Column("name", String(200), nullable=False),
    Column("email", String(254)),
    Column("language", String(2), nullable=False, server_default="nl"),
    Column("skills", JSON, nullable=False),  # categories of tickets; an empty list: all
    Column("serves", JSON, nullable=False),  # acme, or acme/hq; an empty list: everybody
    Column("groups", JSON, nullable=False),  # to escalate to: second-line
    Column("hours", String(200), nullable=False, server_default="Mon-Fri 08:00-18:00"),
    Column("time_zone", String(64), nullable=False, server_default="Europe/Amsterdam"),
    Column("holidays", String(8), nullable=False, server_default="NL"),
    Column("max_open", Integer, nullable=False, server_default="20"),  # tickets in hand before others are asked first
    Column("created_at", Instant, nullable=False),
    Column("left_at", Instant),
)

# Days off, illness: a technician is given nothing then.
absences = Table(
    "absences",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("technician", ForeignKey("technicians.id"), nullable=False, index=True),
    Column("starts_at", Instant, nullable=False),
    Column("ends_at", Instant, nullable=False),
    Column("reason", String(200), nullable=False),
    Column("author", String(200), nullable=False),
)

# Who answers outside office hours, from when to when.
on_call = Table(
    "on_call",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("technician", ForeignKey("technicians.id"), nullable=False),
    Column("starts_at", Instant, nullable=False, index=True),
    Column("ends_at", Instant, nullable=False),
    Column("author", String(200), nullable=False),
)

# Time spent on tickets. An entry without minutes is still running.
work_entries = Table(
    "work_entries",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("ticket", ForeignKey("tickets.number"), nullable=False, index=True),
    Column("author", String(200), nullable=False),  # who worked: a technician's id, or another person
    Column("kind", String(16), nullable=False),  # work, travel
    Column("started_at", Instant, nullable=False, index=True),
    Column("ended_at", Instant),
    Column("minutes", Integer),
    Column("note", Text, nullable=False),
    Column("is_billable", Boolean, nullable=False, server_default=text("true")),
    Column("entered_at", Instant, nullable=False),
    Column("voided_at", Instant),  # a mistake; stays on record and counts for nothing
    # Nobody works on two things at once, whoever writes.
    Index(
        "uq_work_entries_running",
        "author",
        unique=True,
        sqlite_where=text("minutes IS NULL AND voided_at IS NULL"),
        postgresql_where=text("minutes IS NULL AND voided_at IS NULL"),
    ),
)

# Parts and costs of tickets that are charged as they are.
parts = Table(
    "parts",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("ticket", ForeignKey("tickets.number"), nullable=False, index=True),
    Column("author", String(200), nullable=False),
    Column("description", String(200), nullable=False),
    Column("quantity", Amount, nullable=False),
    Column("unit_price", Amount, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("used_at", Instant, nullable=False, index=True),
    Column("voided_at", Instant),
)

# Regular maintenance that was agreed; each round of it becomes a ticket.
maintenance_plans = Table(
    "maintenance_plans",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("customer", ForeignKey("customers.id"), nullable=False, index=True),
    Column("contract", ForeignKey("contracts.id")),  # null: whichever holds
    Column("task", String(64), nullable=False),  # patch_round, restore_test, …
    Column("title", String(200), nullable=False),
    Column("site", String(64)),
    Column("device", String(64)),
    Column("tag", String(64)),
    Column("starts_local", String(32), nullable=False),  # the first round, by the clock on the wall
    Column("time_zone", String(64), nullable=False),
    Column("recurrence", Text, nullable=False),  # an RRULE of RFC 5545
    Column("duration_seconds", Integer, nullable=False),
    Column("checklist", JSON, nullable=False),  # what is done, in order: texts
    Column("skill", String(64)),
    Column("priority", String(4), nullable=False, server_default="P4"),
    Column("window", ForeignKey("maintenance_windows.id")),  # what it causes opens no ticket; null: all counts
    Column("author", String(200), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("ended_at", Instant),
)

# The rounds of a plan that have come due, one ticket each.
maintenance_rounds = Table(
    "maintenance_rounds",
    metadata,
    Column("plan", ForeignKey("maintenance_plans.id"), primary_key=True),
    Column("due_at", Instant, primary_key=True),
    Column("ticket", ForeignKey("tickets.number"), nullable=False, unique=True),
    Column("checklist", JSON, nullable=False),  # {text, done_at, done_by, note} in order
)

# Taking a customer on under a service model, once each: a ticket with the model's steps, when its contract has begun.
onboardings = Table(
    "onboardings",
    metadata,
    Column("customer", ForeignKey("customers.id"), primary_key=True),
    Column("model", String(64), primary_key=True),
    Column("begins_at", Instant, nullable=False),
    Column("ticket", ForeignKey("tickets.number"), unique=True),  # null: it has not begun
    Column("checklist", JSON, nullable=False),  # as that of a round of maintenance
    Column("title", String(200), nullable=False),
    Column("author", String(200), nullable=False),
)

# The ways out that are in use, as the settings of `serve` say: what happens to tickets is told by these.
connectors = Table(
    "connectors",
    metadata,
    Column("name", String(16), primary_key=True),  # webhook, mail
    Column("since", Instant, nullable=False),
)

# What is to leave the system, written in the transaction that it tells of: at least once, in order for each ticket.
outbox = Table(
    "outbox",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("key", String(200), nullable=False, unique=True),  # the receiver may drop repeats by it
    Column("connector", String(16), nullable=False, server_default=""),  # by which way: webhook, mail
    Column("ticket", ForeignKey("tickets.number"), index=True),
    Column("event", BigInteger),  # the ticket's event that it tells
    Column("kind", String(32), nullable=False),  # opened, commented, escalated, …
    Column("payload", JSON, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_try_at", Instant, index=True),  # null: delivered, or given up
    Column("delivered_at", Instant),
    Column("last_error", Text),
)
