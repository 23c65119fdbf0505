"""From alerts to incidents: decisions, silences, maintenance windows, storms and flapping."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "decisions",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("alert", SERIAL, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["alert"], ["alerts.id"], name="fk_decisions_alert_alerts"),
        sa.PrimaryKeyConstraint("id", name="pk_decisions"),
    )
    op.create_index("ix_decisions_alert", "decisions", ["alert"], unique=False)
    op.create_table(
        "silences",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("matchers", sa.JSON(), nullable=False),
        sa.Column("starts_at", INSTANT, nullable=False),
        sa.Column("ends_at", INSTANT, nullable=False),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_silences"),
    )
    op.create_index("ix_silences_ends_at", "silences", ["ends_at"], unique=False)
    op.create_table(
        "maintenance_windows",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("site", sa.String(length=64), nullable=True),
        sa.Column("device", sa.String(length=64), nullable=True),
        sa.Column("tag", sa.String(length=64), nullable=True),
        sa.Column("starts_local", sa.String(length=32), nullable=False),
        sa.Column("time_zone", sa.String(length=64), nullable=False),
        sa.Column("duration_seconds", sa.Integer(), nullable=False),
        sa.Column("recurrence", sa.Text(), nullable=True),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["customer"], ["customers.id"], name="fk_maintenance_windows_customer_customers"),
        sa.PrimaryKeyConstraint("id", name="pk_maintenance_windows"),
    )
    op.create_table(
        "device_tags",
        sa.Column("device", sa.String(length=64), nullable=False),
        sa.Column("tag", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["device"], ["devices.id"], name="fk_device_tags_device_devices"),
        sa.PrimaryKeyConstraint("device", "tag", name="pk_device_tags"),
    )
    op.add_column("alerts", sa.Column("ticket_key", sa.String(length=400), nullable=True))
    op.execute(
        "UPDATE alerts SET ticket_key = coalesce((SELECT key FROM tickets WHERE number = alerts.ticket), "
        "(SELECT key FROM shadow_tickets WHERE id = alerts.shadow_ticket))"
    )
    op.create_index("ix_alerts_ticket", "alerts", ["ticket"], unique=False)
    op.create_index("ix_alerts_shadow_ticket", "alerts", ["shadow_ticket"], unique=False)
    # SQLite adds a column with its foreign key, but no foreign key to a column that is there.
    for table, key in (("tickets", "number"), ("shadow_tickets", "id")):
        parent = "parent INTEGER" if op.get_bind().dialect.name == "sqlite" else "parent BIGINT"
        references = f"CONSTRAINT fk_{table}_parent_{table} REFERENCES {table} ({key})"
        op.execute(f"ALTER TABLE {table} ADD COLUMN {parent} {references}")
        op.add_column(table, sa.Column("unstable_since", INSTANT, nullable=True))
    op.create_index("ix_tickets_parent", "tickets", ["parent"], unique=False)
    op.create_index("ix_shadow_tickets_customer", "shadow_tickets", ["customer", "would_have_opened_at"], unique=False)
