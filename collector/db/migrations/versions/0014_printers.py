"""Who read a printer before, what its supplies are, and what it did each day."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "former_readers",
        sa.Column("device", sa.String(length=64), nullable=False),
        sa.Column("reader", sa.String(length=64), nullable=False),
        sa.Column("until", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["device"], ["devices.id"], name="fk_former_readers_device"),
        sa.PrimaryKeyConstraint("device", "reader", name="pk_former_readers"),
    )
    op.create_table(
        "printer_supplies",
        sa.Column("device", sa.String(length=64), nullable=False),
        sa.Column("index", sa.String(length=128), nullable=False),
        sa.Column("type", sa.String(length=128), nullable=False),
        sa.Column("color", sa.String(length=128), nullable=False),
        sa.Column("description", sa.String(length=128), nullable=False),
        sa.Column("level_ratio", sa.Float(), nullable=True),
        sa.Column("is_empty", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("points", sa.JSON(), nullable=False),
        sa.Column("days_left", sa.Float(), nullable=True),
        sa.Column("used_per_day", sa.Float(), nullable=True),
        sa.Column("pages_per_cartridge", sa.Float(), nullable=True),
        sa.Column("seen_at", INSTANT, nullable=True),
        sa.Column("changed_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["device"], ["devices.id"], name="fk_printer_supplies_device"),
        sa.PrimaryKeyConstraint("device", "index", name="pk_printer_supplies"),
    )
    op.create_table(
        "printer_days",
        sa.Column("device", sa.String(length=64), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("counter", sa.Float(), nullable=True),
        sa.Column("counter_high", sa.Float(), nullable=True),
        sa.Column("counted_at", INSTANT, nullable=True),
        sa.Column("pages", sa.Integer(), nullable=False),
        sa.Column("used", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["device"], ["devices.id"], name="fk_printer_days_device"),
        sa.PrimaryKeyConstraint("device", "day", name="pk_printer_days"),
    )
    op.create_index("ix_printer_days_day", "printer_days", ["day"], unique=False)
