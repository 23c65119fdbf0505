"""The tables of version 0.1."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)
OPEN = sa.text("resolved_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=400), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_table(
        "customers",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_customers"),
    )
    op.create_table(
        "evaluations",
        sa.Column("group_key", sa.String(length=200), nullable=False),
        sa.Column("evaluated_until", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("group_key", name="pk_evaluations"),
    )
    op.create_table(
        "revisions",
        sa.Column("topic", sa.String(length=32), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("topic", name="pk_revisions"),
    )
    op.create_table(
        "thresholds",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("layer", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("valid_from", INSTANT, nullable=False),
        sa.Column("valid_to", INSTANT, nullable=True),
        sa.Column("set_by", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_thresholds"),
    )
    op.create_index("ix_thresholds_name_valid_from", "thresholds", ["name", "valid_from"], unique=False)

    op.create_table(
        "contracts",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("plan", sa.String(length=64), nullable=False),
        sa.Column("valid_from", INSTANT, nullable=False),
        sa.Column("valid_to", INSTANT, nullable=True),
        sa.Column("monitoring_consent_by", sa.String(length=200), nullable=True),
        sa.Column("monitoring_consent_on", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["customer"], ["customers.id"], name="fk_contracts_customer"),
        sa.PrimaryKeyConstraint("id", name="pk_contracts"),
    )
    op.create_index("ix_contracts_customer_valid_from", "contracts", ["customer", "valid_from"], unique=False)

    op.create_table(
        "shadow_tickets",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("key", sa.String(length=400), nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("site", sa.String(length=64), nullable=True),
        sa.Column("device", sa.String(length=64), nullable=True),
        sa.Column("incident", sa.String(length=200), nullable=False),
        sa.Column("rule", sa.String(length=200), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("priority", sa.String(length=4), nullable=False),
        sa.Column("would_have_opened_at", INSTANT, nullable=False),
        sa.Column("began_at", INSTANT, nullable=False),
        sa.Column("resolved_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["customer"], ["customers.id"], name="fk_shadow_tickets_customer"),
        sa.PrimaryKeyConstraint("id", name="pk_shadow_tickets"),
    )
    op.create_index("ix_shadow_tickets_key", "shadow_tickets", ["key"], unique=False)
    op.create_index(
        "uq_shadow_tickets_open", "shadow_tickets", ["key"], unique=True, sqlite_where=OPEN, postgresql_where=OPEN
    )

    op.create_table(
        "sites",
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("time_zone", sa.String(length=64), server_default="Europe/Amsterdam", nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["customer"], ["customers.id"], name="fk_sites_customer"),
        sa.PrimaryKeyConstraint("customer", "id", name="pk_sites"),
    )
    op.create_table(
        "tickets",
        sa.Column("number", SERIAL, sa.Identity(always=False, start=1001), nullable=False),
        sa.Column("key", sa.String(length=400), nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("site", sa.String(length=64), nullable=True),
        sa.Column("device", sa.String(length=64), nullable=True),
        sa.Column("incident", sa.String(length=200), nullable=False),
        sa.Column("rule", sa.String(length=200), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("priority", sa.String(length=4), nullable=False),
        sa.Column("opened_at", INSTANT, nullable=False),
        sa.Column("began_at", INSTANT, nullable=False),
        sa.Column("resolved_at", INSTANT, nullable=True),
        sa.Column("closed_at", INSTANT, nullable=True),
        sa.Column("touched", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("follows", SERIAL, nullable=True),
        sa.ForeignKeyConstraint(["customer"], ["customers.id"], name="fk_tickets_customer"),
        sa.ForeignKeyConstraint(["follows"], ["tickets.number"], name="fk_tickets_follows"),
        sa.PrimaryKeyConstraint("number", name="pk_tickets"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_tickets_customer_opened_at", "tickets", ["customer", "opened_at"], unique=False)
    op.create_index("ix_tickets_key", "tickets", ["key"], unique=False)
    op.create_index("uq_tickets_open", "tickets", ["key"], unique=True, sqlite_where=OPEN, postgresql_where=OPEN)

    op.create_table(
        "tokens",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=True),
        sa.Column("site", sa.String(length=64), nullable=True),
        sa.Column("kind", sa.String(length=16), nullable=True),
        sa.Column("uses_left", sa.Integer(), nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=True),
        sa.Column("revoked_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["customer"], ["customers.id"], name="fk_tokens_customer"),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("secret_hash", name="uq_tokens_secret_hash"),
    )
    op.create_table(
        "alerts",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("rule_key", sa.String(length=64), nullable=False),
        sa.Column("fingerprint", sa.String(length=32), nullable=False),
        sa.Column("rule", sa.String(length=200), nullable=False),
        sa.Column("rule_version", sa.String(length=16), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("annotations", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("active_since", INSTANT, nullable=False),
        sa.Column("fired_at", INSTANT, nullable=True),
        sa.Column("not_seen_since", INSTANT, nullable=True),
        sa.Column("resolved_at", INSTANT, nullable=True),
        sa.Column("customer", sa.String(length=64), nullable=True),
        sa.Column("device", sa.String(length=64), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("ticket", SERIAL, nullable=True),
        sa.Column("shadow_ticket", SERIAL, nullable=True),
        sa.ForeignKeyConstraint(["shadow_ticket"], ["shadow_tickets.id"], name="fk_alerts_shadow_ticket"),
        sa.ForeignKeyConstraint(["ticket"], ["tickets.number"], name="fk_alerts_ticket"),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
    )
    op.create_index("ix_alerts_resolved_at", "alerts", ["resolved_at"], unique=False)
    op.create_index("ix_alerts_state", "alerts", ["state"], unique=False)
    op.create_index(
        "uq_alerts_open", "alerts", ["rule_key", "fingerprint"], unique=True, sqlite_where=OPEN, postgresql_where=OPEN
    )

    op.create_table(
        "devices",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("site", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("hostname", sa.String(length=200), nullable=False),
        sa.Column("serial", sa.String(length=256), nullable=True),
        sa.Column("machine_id", sa.String(length=128), nullable=False),
        sa.Column("instance", sa.String(length=128), nullable=False),
        sa.Column("os", sa.String(length=256), nullable=False),
        sa.Column("arch", sa.String(length=256), nullable=False),
        sa.Column("agent_version", sa.String(length=256), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=True),
        sa.Column("enrolled_with", SERIAL, nullable=True),
        sa.Column("enrolled_at", INSTANT, nullable=False),
        sa.Column("possible_clone_of", sa.String(length=64), nullable=True),
        sa.Column("read_by", sa.String(length=64), nullable=True),
        sa.Column("address", sa.String(length=200), nullable=True),
        sa.Column("revoked_at", INSTANT, nullable=True),
        sa.Column("ended_at", INSTANT, nullable=True),
        sa.Column("last_seen_at", INSTANT, nullable=True),
        sa.Column("goodbye_at", INSTANT, nullable=True),
        sa.Column("goodbye_reason", sa.String(length=64), nullable=True),
        sa.Column("inventory", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["customer"], ["customers.id"], name="fk_devices_customer"),
        sa.ForeignKeyConstraint(["enrolled_with"], ["tokens.id"], name="fk_devices_enrolled_with"),
        sa.PrimaryKeyConstraint("id", name="pk_devices"),
        sa.UniqueConstraint("secret_hash", name="uq_devices_secret_hash"),
    )
    op.create_index("ix_devices_identity", "devices", ["customer", "machine_id", "instance"], unique=False)

    op.create_table(
        "ticket_events",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("ticket", SERIAL, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["ticket"], ["tickets.number"], name="fk_ticket_events_ticket"),
        sa.PrimaryKeyConstraint("id", name="pk_ticket_events"),
    )
    op.create_index("ix_ticket_events_ticket", "ticket_events", ["ticket"], unique=False)

    op.create_table(
        "device_events",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("device", sa.String(length=64), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["device"], ["devices.id"], name="fk_device_events_device"),
        sa.PrimaryKeyConstraint("id", "device", name="pk_device_events"),
    )
    if op.get_bind().dialect.name == "sqlite":  # PostgreSQL has it from the column: tickets start at 1001
        op.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('tickets', 1000)")
