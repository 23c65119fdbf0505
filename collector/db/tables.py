"""The tables. Times are UTC and aware; every statement stands beside the function that runs it, not here."""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Instant(TypeDecorator[datetime]):
    """An aware UTC datetime; SQLite forgets the zone, so it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(f"a time without zone reached the database: {value!r}")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


# SQLite numbers only INTEGER primary keys by itself.
Serial = BigInteger().with_variant(Integer, "sqlite")

# Raised by whoever changes what `serve` keeps in memory; `serve` looks once a half second.
revisions = Table(
    "revisions",
    metadata,
    Column("topic", String(32), primary_key=True),  # fleet, thresholds
    Column("revision", BigInteger, nullable=False),
)

customers = Table(
    "customers",
    metadata,
    Column("id", String(64), primary_key=True),  # a slug: acme
    Column("name", String(200), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("silent_days", Integer, nullable=False, server_default="15"),  # working days until it asks about a device
    Column("retire_automatically", Boolean, nullable=False, server_default=text("false")),
)

# Which plan holds for a customer, from when to when. Plans change; history stays.
contracts = Table(
    "contracts",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("customer", ForeignKey("customers.id"), nullable=False),
    Column("plan", String(64), nullable=False),
    Column("valid_from", Instant, nullable=False),
    Column("valid_to", Instant),  # null: until further notice
    Column("monitoring_consent_by", String(200)),  # break/fix: who agreed to be monitored
    Column("monitoring_consent_on", String(64)),  # and when, as it was given
    Index("ix_contracts_customer_valid_from", "customer", "valid_from"),
)

sites = Table(
    "sites",
    metadata,
    Column("customer", ForeignKey("customers.id"), primary_key=True),
    Column("id", String(64), primary_key=True),  # a slug, unique within its customer: hq
    Column("name", String(200), nullable=False),
    Column("time_zone", String(64), nullable=False, server_default="Europe/Amsterdam"),
    Column("created_at", Instant, nullable=False),
    Column("office_hours", String(200), nullable=False, server_default="Mon-Fri 08:00-18:00"),
    Column("holidays", String(8), nullable=False, server_default="NL"),  # of which country; none
)

# When the devices of a kind are expected to be there, where a customer differs from the kind's default.
presence_policies = Table(
    "presence_policies",
    metadata,
    Column("customer", ForeignKey("customers.id"), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("policy", String(16), nullable=False),  # always, office_hours, roaming, none
)

# Enrolment tokens have a site, a kind and uses; access tokens have a role.
tokens = Table(
    "tokens",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("secret_hash", String(64), nullable=False, unique=True),  # SHA-256, hex
    Column("role", String(16), nullable=False),  # enroll, or an access role
    Column("customer", ForeignKey("customers.id")),
    Column("site", String(64)),
    Column("kind", String(16)),
    Column("uses_left", Integer),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
)

devices = Table(
    "devices",
    metadata,
    Column("id", String(64), primary_key=True),  # ws-reception-7k3p
    Column("customer", ForeignKey("customers.id"), nullable=False),
    Column("site", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("hostname", String(200), nullable=False),
    Column("serial", String(256)),
    Column("machine_id", String(128), nullable=False),
    Column("instance", String(128), nullable=False),
    Column("os", String(256), nullable=False),
    Column("arch", String(256), nullable=False),
    Column("agent_version", String(256), nullable=False),
    Column("secret_hash", String(64), unique=True),  # null: has no agent of its own (a printer)
    Column("enrolled_with", ForeignKey("tokens.id")),
    Column("enrolled_at", Instant, nullable=False),
    Column("possible_clone_of", String(64)),
    Column("read_by", String(64)),  # printers: the device whose agent reads it
    Column("address", String(200)),  # printers: where it is read
    Column("revoked_at", Instant),  # its secret is no longer taken: 401
    Column("ended_at", Instant),  # the device is no longer looked after: 410
    Column("last_seen_at", Instant),  # receive time, written now and then; the log knows better while serving
    Column("goodbye_at", Instant),
    Column("goodbye_reason", String(64)),
    Column("policy", String(16)),  # null: what holds for its customer and kind
    Column("presence", String(16)),  # as `serve` last judged it; null: not yet
    Column("presence_since", Instant),
    Column("presence_reason", Text),
    Column("presence_policy", String(16)),  # under which it was judged
    Column("on_battery_since", Instant),
    Column("agent_crashes", Integer, nullable=False, server_default="0"),  # as its agent told at its next start
    Column("machine_cuts", Integer, nullable=False, server_default="0"),  # boots without a goodbye before, likewise
    Column("inventory", JSON),
    Index("ix_devices_identity", "customer", "machine_id", "instance"),
)

device_events = Table(
    "device_events",
    metadata,
    Column("id", String(64), primary_key=True),  # the sender's UUID, with the device: a repeat is harmless
    Column("device", ForeignKey("devices.id"), primary_key=True),
    Column("at", Instant, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("type", String(64), nullable=False),
    Column("data", JSON, nullable=False),
)

# Devices that have been silent for so many working days that somebody asks about them. Gone when they report again.
silent_devices = Table(
    "silent_devices",
    metadata,
    Column("device", ForeignKey("devices.id"), primary_key=True),
    Column("silent_since", Instant, nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("reminders", Integer, nullable=False, server_default="0"),
    Column("told_at", Instant, nullable=False),  # the question, or the last reminder
    Column("ticket", ForeignKey("tickets.number")),  # null: only recorded
    Column("concluded_at", Instant),  # answered, or its retirement was proposed
)

# A threshold's value for one layer, from when to when. The defaults stand in thresholds.yaml.
thresholds = Table(
    "thresholds",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("name", String(64), nullable=False),
    Column("layer", String(16), nullable=False),  # plan, customer, site, device
    Column("subject", String(200), nullable=False),  # acme, acme/hq, ws-reception-7k3p
    Column("value", Float, nullable=False),
    Column("valid_from", Instant, nullable=False),
    Column("valid_to", Instant),
    Column("set_by", String(200), nullable=False),
    Column("hours", Text),  # of the week, as WeekHours writes them; null: at all times
    Index("ix_thresholds_name_valid_from", "name", "valid_from"),
)

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
    Column("outcome", String(16), nullable=False),  # ticket, shadow, suppressed, none
    Column("reason", Text, nullable=False),
    Column("ticket", ForeignKey("tickets.number")),
    Column("shadow_ticket", ForeignKey("shadow_tickets.id")),
    Column("ticket_key", String(400)),  # what one ticket covers; the ticket itself may be a storm's
    Column("placed_at", Instant),  # when it had a ticket, or a shadow ticket, open or reopen, or became a storm's line
    Index("ix_alerts_state", "state"),
    Index("ix_alerts_ticket", "ticket"),
    Index("ix_alerts_shadow_ticket", "shadow_ticket"),
    Index("ix_alerts_customer_placed_at", "customer", "placed_at"),
    Index("ix_alerts_resolved_at", "resolved_at"),
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
)

# Words that people give devices, such as `accounting`, to name several at once.
device_tags = Table(
    "device_tags",
    metadata,
    Column("device", ForeignKey("devices.id"), primary_key=True),
    Column("tag", String(64), primary_key=True),
)

# How far each rule group was evaluated; written in the transaction of that evaluation.
evaluations = Table(
    "evaluations",
    metadata,
    Column("group_key", String(200), primary_key=True),
    Column("evaluated_until", Instant, nullable=False),
)

FIRST_TICKET_NUMBER = 1001  # SQLite is told by the migration

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
    Column("unstable_since", Instant),  # its fault comes and goes: it stays open until that has ended
    Index("ix_tickets_customer_opened_at", "customer", "opened_at"),
    Index("ix_tickets_parent", "parent"),
    Index("ix_tickets_key", "key"),
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

# One record for each change that a person makes.
audit = Table(
    "audit",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("action", String(64), nullable=False),  # customers.add
    Column("subject", String(400), nullable=False),
    Column("data", JSON, nullable=False),
)

# Creations through the API that were asked for under a key of the caller's, so that a repeat creates nothing.
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("token", ForeignKey("tokens.id"), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("digest", String(64), nullable=False),  # of what was asked: SHA-256, hex
    Column("created_at", Instant, nullable=False, index=True),
    Column("answer", Text),  # JSON; written in the same transaction
)
