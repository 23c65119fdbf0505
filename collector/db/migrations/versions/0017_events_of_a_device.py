"""The events of one device, by time."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_device_events_device_at", "device_events", ["device", "at"])
