"""Contracts keep the prices of their service model as they were agreed. Those from before go by the file."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("contracts", sa.Column("charge", sa.JSON))
