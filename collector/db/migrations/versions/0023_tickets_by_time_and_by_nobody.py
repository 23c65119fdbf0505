"""Tickets of the last days, those of a state among the open ones, and those that nobody has: PostgreSQL finds them
without reading all the others, also if there is none. SQLite reads the index of the list, which takes it less."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.create_index("ix_tickets_opened_at", "tickets", ["opened_at"])
        _partial("ix_tickets_open_status", ["status", "number"], "resolved_at IS NULL")
        _partial("ix_tickets_unassigned", ["number", "status"], "assignee IS NULL")


def _partial(name: str, columns: list[str], condition: str) -> None:
    op.create_index(name, "tickets", columns, postgresql_where=sa.text(condition))
