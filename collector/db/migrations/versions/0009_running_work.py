"""One running entry of the work log for each author."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

RUNNING = sa.text("minutes IS NULL AND voided_at IS NULL")


def upgrade() -> None:
    op.create_index(
        "uq_work_entries_running",
        "work_entries",
        ["author"],
        unique=True,
        sqlite_where=RUNNING,
        postgresql_where=RUNNING,
    )
