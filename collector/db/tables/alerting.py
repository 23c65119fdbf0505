"""What is true, and what became of it."""

from sqlalchemy import JSON, Column, Float, ForeignKey, Index, Integer, String, Table, Text, text

from collector.db.tables.base import Instant, Serial, metadata

# Pending and firing alerts, and what became of them. Rows that never fired are deleted.
alerts = Table(
    "alerts",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("rule_key", String(64), nullable=False),  # which rule, stable over edits of its expression
    Column("fingerprint", String(32), nullable=False),  # of the final label set
    Column("rule", String(200), nullable=False),  # alertname
    Column("rule_version", String(16), nullable=False),  # hash of the rule as it was evaluated
    Column("labels", JSON, nullable=False),
    Column("annotations", JSON, nullable=False),
    Column("state", String(16), nullable=False),  # pending, firing, unknown, resolved
    Column("value", Float),
    Column("active_since", Instant, nullable=False),
    Column("fired_at", Instant),
    Column("clear_since", Instant),  # firing: since when it is kept so although the condition is gone
    Column("not_seen_since", Instant),  # unknown: when its device was last heard
    Column("resolved_at", Instant),
    Column("customer", String(64)),
    Column("device", String(64)),
    Column("outcome", String(16), nullable=False),  # ticket, shadow, asked, declined, suppressed, none
    Column("reason", Text, nullable=False),
    Column("ticket", ForeignKey("tickets.number")),
    Column("shadow_ticket", ForeignKey("shadow_tickets.id")),
    Column("ticket_key", String(400)),  # what one ticket covers; the ticket itself may be a storm's
    Column("placed_at", Instant),  # when it had a ticket, or a shadow ticket, open or reopen, or became a storm's line
    # Of those that are open: of all together, most are resolved.
    Index(
        "ix_alerts_state",
        "state",
        sqlite_where=text("resolved_at IS NULL"),
        postgresql_where=text("resolved_at IS NULL"),
    ),
    Index("ix_alerts_ticket", "ticket"),
    Index("ix_alerts_device", "device", "ticket"),
    Index("ix_alerts_shadow_ticket", "shadow_ticket"),
    Index("ix_alerts_customer_placed_at", "customer", "placed_at"),
    Index("ix_alerts_resolved_at", "resolved_at"),
    # Lists, whatever they are filtered by: what is looked at stands in the index, in the order of the list.
    Index("ix_alerts_list", "id", "state", "outcome", "customer", "device", "rule", "resolved_at"),
    Index("ix_alerts_customer", "customer", "id"),
    # What waits for a technician: few, among very many.
    Index(
        "ix_alerts_asked",
        "id",
        sqlite_where=text("outcome = 'asked'"),
        postgresql_where=text("outcome = 'asked'"),
    ),
    # One open alert per rule and label set, whoever writes.
    Index(
        "uq_alerts_open",
        "rule_key",
        "fingerprint",
        unique=True,
        sqlite_where=text("resolved_at IS NULL"),
        postgresql_where=text("resolved_at IS NULL"),
    ),
)

# Why an alert became what it became: one row for each decision about it, oldest first. `alerts why` tells them.
decisions = Table(
    "decisions",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("alert", ForeignKey("alerts.id"), nullable=False, index=True),
    Column("at", Instant, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("reason", Text, nullable=False),  # for people, a sentence
    Column("data", JSON, nullable=False),  # rule version, value, thresholds, what held it back
)

# What people asked to be quiet about, from when to when.
silences = Table(
    "silences",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("matchers", JSON, nullable=False),  # texts such as `customer="acme"`; all must match
    Column("starts_at", Instant, nullable=False),
    Column("ends_at", Instant, nullable=False),
    Column("author", String(200), nullable=False),
    Column("comment", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Index("ix_silences_ends_at", "ends_at"),
)

# Planned work, once or again and again: what it causes opens no ticket.
maintenance_windows = Table(
    "maintenance_windows",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("customer", ForeignKey("customers.id"), nullable=False),
    Column("site", String(64)),
    Column("device", String(64)),
    Column("tag", String(64)),
    Column("starts_local", String(32), nullable=False),  # 2026-03-07T02:00:00, by the clock on the wall
    Column("time_zone", String(64), nullable=False),
    Column("duration_seconds", Integer, nullable=False),
    Column("recurrence", Text),  # an RRULE of RFC 5545; null: once
    Column("author", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("ended_at", Instant),  # called off from then on
    Index("ix_maintenance_windows_customer", "customer", "id"),
)

# How far each rule group was evaluated; written in the transaction of that evaluation.
evaluations = Table(
    "evaluations",
    metadata,
    Column("group_key", String(200), primary_key=True),
    Column("evaluated_until", Instant, nullable=False),
)
