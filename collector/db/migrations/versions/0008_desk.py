"""The desk: people, contracts in full, tickets as people work on them, clocks, work, maintenance, the outbox."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)

# SQLite adds a column with its foreign key, but no foreign key to a column that is there.
POINTERS = (
    ("tickets", "contact", SERIAL, "contacts (id)"),
    ("tickets", "assignee", sa.String(length=64), "technicians (id)"),
    ("tickets", "merged_into", SERIAL, "tickets (number)"),
    ("tokens", "user", sa.String(length=64), "users (id)"),
)


def upgrade() -> None:
    _new_tables()
    _new_columns()


def _new_tables() -> None:
    op.create_table(
        "technicians",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=True),
        sa.Column("language", sa.String(length=2), server_default="nl", nullable=False),
        sa.Column("skills", sa.JSON(), nullable=False),
        sa.Column("serves", sa.JSON(), nullable=False),
        sa.Column("groups", sa.JSON(), nullable=False),
        sa.Column("hours", sa.String(length=200), server_default="Mon-Fri 08:00-18:00", nullable=False),
        sa.Column("time_zone", sa.String(length=64), server_default="Europe/Amsterdam", nullable=False),
        sa.Column("holidays", sa.String(length=8), server_default="NL", nullable=False),
        sa.Column("max_open", sa.Integer(), server_default="20", nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("left_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_technicians"),
    )
    op.create_table(
        "absences",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("technician", sa.String(length=64), nullable=False),
        sa.Column("starts_at", INSTANT, nullable=False),
        sa.Column("ends_at", INSTANT, nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["technician"], ["technicians.id"], name="fk_absences_technician"),
        sa.PrimaryKeyConstraint("id", name="pk_absences"),
    )
    op.create_index("ix_absences_technician", "absences", ["technician"], unique=False)
    op.create_table(
        "contacts",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("site", sa.String(length=64), nullable=True),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=True),
        sa.Column("phone", sa.String(length=64), nullable=True),
        sa.Column("language", sa.String(length=2), server_default="nl", nullable=False),
        sa.Column("is_main", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["customer"], ["customers.id"], name="fk_contacts_customer"),
        sa.PrimaryKeyConstraint("id", name="pk_contacts"),
    )
    op.create_index("ix_contacts_customer", "contacts", ["customer"], unique=False)
    op.create_table(
        "on_call",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("technician", sa.String(length=64), nullable=False),
        sa.Column("starts_at", INSTANT, nullable=False),
        sa.Column("ends_at", INSTANT, nullable=False),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["technician"], ["technicians.id"], name="fk_on_call_technician"),
        sa.PrimaryKeyConstraint("id", name="pk_on_call"),
    )
    op.create_index("ix_on_call_starts_at", "on_call", ["starts_at"], unique=False)
    op.create_table(
        "maintenance_plans",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("contract", SERIAL, nullable=True),
        sa.Column("task", sa.String(length=64), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("site", sa.String(length=64), nullable=True),
        sa.Column("device", sa.String(length=64), nullable=True),
        sa.Column("tag", sa.String(length=64), nullable=True),
        sa.Column("starts_local", sa.String(length=32), nullable=False),
        sa.Column("time_zone", sa.String(length=64), nullable=False),
        sa.Column("recurrence", sa.Text(), nullable=False),
        sa.Column("duration_seconds", sa.Integer(), nullable=False),
        sa.Column("checklist", sa.JSON(), nullable=False),
        sa.Column("skill", sa.String(length=64), nullable=True),
        sa.Column("priority", sa.String(length=4), server_default="P4", nullable=False),
        sa.Column("window", SERIAL, nullable=True),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["contract"], ["contracts.id"], name="fk_maintenance_plans_contract"),
        sa.ForeignKeyConstraint(["customer"], ["customers.id"], name="fk_maintenance_plans_customer"),
        sa.ForeignKeyConstraint(["window"], ["maintenance_windows.id"], name="fk_maintenance_plans_window"),
        sa.PrimaryKeyConstraint("id", name="pk_maintenance_plans"),
    )
    op.create_index("ix_maintenance_plans_customer", "maintenance_plans", ["customer"], unique=False)
    op.create_table(
        "users",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=True),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=True),
        sa.Column("contact", SERIAL, nullable=True),
        sa.Column("technician", sa.String(length=64), nullable=True),
        sa.Column("language", sa.String(length=2), server_default="nl", nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("disabled_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["contact"], ["contacts.id"], name="fk_users_contact"),
        sa.ForeignKeyConstraint(["customer"], ["customers.id"], name="fk_users_customer"),
        sa.ForeignKeyConstraint(["technician"], ["technicians.id"], name="fk_users_technician"),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
    )
    op.create_table(
        "attachments",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("ticket", SERIAL, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("media_type", sa.String(length=100), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("is_public", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("added_by", sa.String(length=200), nullable=False),
        sa.Column("added_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["ticket"], ["tickets.number"], name="fk_attachments_ticket"),
        sa.PrimaryKeyConstraint("id", name="pk_attachments"),
    )
    op.create_index("ix_attachments_ticket", "attachments", ["ticket"], unique=False)
    op.create_table(
        "maintenance_rounds",
        sa.Column("plan", SERIAL, nullable=False),
        sa.Column("due_at", INSTANT, nullable=False),
        sa.Column("ticket", SERIAL, nullable=False),
        sa.Column("checklist", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["plan"], ["maintenance_plans.id"], name="fk_maintenance_rounds_plan"),
        sa.ForeignKeyConstraint(["ticket"], ["tickets.number"], name="fk_maintenance_rounds_ticket"),
        sa.PrimaryKeyConstraint("plan", "due_at", name="pk_maintenance_rounds"),
        sa.UniqueConstraint("ticket", name="uq_maintenance_rounds_ticket"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("ticket", SERIAL, nullable=True),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_try_at", INSTANT, nullable=True),
        sa.Column("delivered_at", INSTANT, nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["ticket"], ["tickets.number"], name="fk_outbox_ticket"),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.UniqueConstraint("key", name="uq_outbox_key"),
    )
    op.create_index("ix_outbox_next_try_at", "outbox", ["next_try_at"], unique=False)
    op.create_index("ix_outbox_ticket", "outbox", ["ticket"], unique=False)
    op.create_table(
        "parts",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("ticket", SERIAL, nullable=False),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.Column("description", sa.String(length=200), nullable=False),
        sa.Column("quantity", sa.String(length=32), nullable=False),
        sa.Column("unit_price", sa.String(length=32), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("used_at", INSTANT, nullable=False),
        sa.Column("voided_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["ticket"], ["tickets.number"], name="fk_parts_ticket"),
        sa.PrimaryKeyConstraint("id", name="pk_parts"),
    )
    op.create_index("ix_parts_ticket", "parts", ["ticket"], unique=False)
    op.create_index("ix_parts_used_at", "parts", ["used_at"], unique=False)
    op.create_table(
        "ticket_clocks",
        sa.Column("ticket", SERIAL, nullable=False),
        sa.Column("clock", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("target_seconds", sa.Integer(), nullable=True),
        sa.Column("used_seconds", sa.Integer(), nullable=False),
        sa.Column("due_at", INSTANT, nullable=True),
        sa.Column("warned_at", INSTANT, nullable=True),
        sa.Column("breached_at", INSTANT, nullable=True),
        sa.Column("as_of_event", sa.BigInteger(), nullable=False),
        sa.Column("next_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["ticket"], ["tickets.number"], name="fk_ticket_clocks_ticket"),
        sa.PrimaryKeyConstraint("ticket", "clock", name="pk_ticket_clocks"),
    )
    op.create_index("ix_ticket_clocks_next_at", "ticket_clocks", ["next_at"], unique=False)
    op.create_table(
        "ticket_links",
        sa.Column("ticket", SERIAL, nullable=False),
        sa.Column("other", SERIAL, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["other"], ["tickets.number"], name="fk_ticket_links_other"),
        sa.ForeignKeyConstraint(["ticket"], ["tickets.number"], name="fk_ticket_links_ticket"),
        sa.PrimaryKeyConstraint("ticket", "other", name="pk_ticket_links"),
    )
    op.create_index("ix_ticket_links_other", "ticket_links", ["other"], unique=False)
    op.create_table(
        "ticket_watchers",
        sa.Column("ticket", SERIAL, nullable=False),
        sa.Column("watcher", sa.String(length=254), nullable=False),
        sa.ForeignKeyConstraint(["ticket"], ["tickets.number"], name="fk_ticket_watchers_ticket"),
        sa.PrimaryKeyConstraint("ticket", "watcher", name="pk_ticket_watchers"),
    )
    op.create_table(
        "work_entries",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("ticket", SERIAL, nullable=False),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT, nullable=True),
        sa.Column("minutes", sa.Integer(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("is_billable", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("entered_at", INSTANT, nullable=False),
        sa.Column("voided_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["ticket"], ["tickets.number"], name="fk_work_entries_ticket"),
        sa.PrimaryKeyConstraint("id", name="pk_work_entries"),
    )
    op.create_index("ix_work_entries_started_at", "work_entries", ["started_at"], unique=False)
    op.create_index("ix_work_entries_ticket", "work_entries", ["ticket"], unique=False)
    op.create_table(
        "ticket_devices",
        sa.Column("ticket", SERIAL, nullable=False),
        sa.Column("device", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["device"], ["devices.id"], name="fk_ticket_devices_device"),
        sa.ForeignKeyConstraint(["ticket"], ["tickets.number"], name="fk_ticket_devices_ticket"),
        sa.PrimaryKeyConstraint("ticket", "device", name="pk_ticket_devices"),
    )


def _new_columns() -> None:
    op.add_column("contracts", sa.Column("number", sa.String(length=64), nullable=True))
    op.add_column("contracts", sa.Column("signed_on", sa.Date(), nullable=True))
    op.add_column("contracts", sa.Column("term_months", sa.Integer(), nullable=True))
    op.add_column("contracts", sa.Column("fee", sa.String(length=32), nullable=True))
    op.add_column("contracts", sa.Column("hourly_rate", sa.String(length=32), nullable=True))
    op.add_column("contracts", sa.Column("included_minutes", sa.Integer(), nullable=True))
    op.add_column("contracts", sa.Column("currency", sa.String(length=3), nullable=True))
    op.add_column("contracts", sa.Column("sla", sa.String(length=64), nullable=True))
    op.add_column("contracts", sa.Column("support_level", sa.String(length=64), nullable=True))
    op.add_column("contracts", sa.Column("scope", sa.JSON(), nullable=True))
    op.add_column("tickets", sa.Column("kind", sa.String(length=16), server_default="incident", nullable=False))
    op.add_column("tickets", sa.Column("source", sa.String(length=16), server_default="alert", nullable=False))
    op.add_column("tickets", sa.Column("category", sa.String(length=64), nullable=True))
    op.add_column("tickets", sa.Column("description", sa.Text(), nullable=True))
    op.add_column("tickets", sa.Column("impact", sa.String(length=8), nullable=True))
    op.add_column("tickets", sa.Column("urgency", sa.String(length=8), nullable=True))
    op.add_column("tickets", sa.Column("escalated_to", sa.String(length=64), nullable=True))
    op.add_column("tickets", sa.Column("cause", sa.Text(), nullable=True))
    op.add_column("tickets", sa.Column("solution", sa.Text(), nullable=True))
    op.create_index("ix_tickets_device", "tickets", ["device"], unique=False)
    op.create_index("ix_tickets_status", "tickets", ["status"], unique=False)
    dialect = op.get_bind().dialect
    for table, column, kind, target in POINTERS:
        references = f"CONSTRAINT fk_{table}_{column} REFERENCES {target}"
        op.execute(f'ALTER TABLE {table} ADD COLUMN "{column}" {kind.compile(dialect)} {references}')
    op.create_index("ix_tickets_assignee_resolved_at", "tickets", ["assignee", "resolved_at"], unique=False)
