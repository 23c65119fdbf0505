"""The alerts of one device, among very many; not only those with a ticket."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_alerts_device", table_name="alerts")
    op.create_index("ix_alerts_device", "alerts", ["device", "ticket"])
