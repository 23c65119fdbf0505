"""What the collector keeps about its own work."""

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, String, Table, Text

from collector.db.tables.base import Instant, Serial, metadata

# Raised by whoever changes what `serve` keeps in memory; `serve` looks once a half second.
revisions = Table(
    "revisions",
    metadata,
    Column("topic", String(32), primary_key=True),  # fleet, thresholds, windows
    Column("revision", BigInteger, nullable=False),
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
