"""Lists of tickets and alerts by every filter, in every order: what is looked at stands in an index."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

LISTED_BY = ["status", "kind", "category", "site", "opened_at", "resolved_at", "customer", "assignee", "title"]


def upgrade() -> None:
    for name in ("ix_tickets_list", "ix_tickets_urgency", "ix_tickets_open", "ix_tickets_due"):
        op.drop_index(name, table_name="tickets")
    op.create_index("ix_tickets_list", "tickets", ["number", "priority", *LISTED_BY, "due_at"])
    op.create_index("ix_tickets_urgency", "tickets", ["priority", "number", *LISTED_BY])
    _partial("ix_tickets_open", "tickets", ["priority", "number", *LISTED_BY], "resolved_at IS NULL")
    _partial("ix_tickets_due", "tickets", ["due_at", "number", "priority", *LISTED_BY], "due_at IS NOT NULL")
    op.drop_index("ix_alerts_state", table_name="alerts")
    _partial("ix_alerts_state", "alerts", ["state"], "resolved_at IS NULL")
    looked_at = ["state", "outcome", "customer", "device", "rule", "resolved_at"]
    op.create_index("ix_alerts_list", "alerts", ["id", *looked_at])
    op.create_index("ix_alerts_customer", "alerts", ["customer", "id"])


def _partial(name: str, table: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
