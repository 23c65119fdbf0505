"""When an alert made an incident of its own: what storms are counted by."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("alerts", sa.Column("placed_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_alerts_customer_placed_at", "alerts", ["customer", "placed_at"], unique=False)
