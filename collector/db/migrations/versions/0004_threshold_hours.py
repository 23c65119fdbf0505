"""Thresholds that hold only during some hours of the week."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("thresholds", sa.Column("hours", sa.Text(), nullable=True))
