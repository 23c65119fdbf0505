"""Since when an alert is kept firing although its condition is gone."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("alerts", sa.Column("clear_since", sa.DateTime(timezone=True), nullable=True))
