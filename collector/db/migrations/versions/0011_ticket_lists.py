"""When tickets fall due, and what lists of 100,000 of them need."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tickets", sa.Column("due_at", sa.DateTime(timezone=True), nullable=True))
    op.drop_index("ix_tickets_status", table_name="tickets")
    looked_at = ["status", "kind", "category", "site", "opened_at", "resolved_at"]
    op.create_index("ix_tickets_list", "tickets", ["number", "priority", *looked_at, "due_at"])
    op.create_index("ix_tickets_urgency", "tickets", ["priority", "number", *looked_at])
    _partial("ix_tickets_open", "tickets", ["priority", "number", *looked_at], "resolved_at IS NULL")
    _partial("ix_tickets_due", "tickets", ["due_at", "number"], "due_at IS NOT NULL")
    op.create_index("ix_ticket_devices_device", "ticket_devices", ["device"])
    _partial("ix_alerts_device", "alerts", ["device", "ticket"], "ticket IS NOT NULL")


def _partial(name: str, table: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
