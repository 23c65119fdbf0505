"""Alerts that wait for a technician, and the maintenance windows of one customer, among very many."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

ASKED = sa.text("outcome = 'asked'")


def upgrade() -> None:
    op.create_index("ix_alerts_asked", "alerts", ["id"], sqlite_where=ASKED, postgresql_where=ASKED)
    op.create_index("ix_maintenance_windows_customer", "maintenance_windows", ["customer", "id"])
