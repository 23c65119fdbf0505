"""Presence: states and policies of devices, office hours of sites, devices that have been silent for long."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("customers", sa.Column("silent_days", sa.Integer(), nullable=False, server_default="15"))
    op.add_column(
        "customers", sa.Column("retire_automatically", sa.Boolean(), nullable=False, server_default=sa.text("false"))
    )
    op.add_column(
        "sites",
        sa.Column("office_hours", sa.String(length=200), nullable=False, server_default="Mon-Fri 08:00-18:00"),
    )
    op.add_column("sites", sa.Column("holidays", sa.String(length=8), nullable=False, server_default="NL"))
    for column in (
        sa.Column("policy", sa.String(length=16), nullable=True),
        sa.Column("presence", sa.String(length=16), nullable=True),
        sa.Column("presence_since", INSTANT, nullable=True),
        sa.Column("presence_reason", sa.Text(), nullable=True),
        sa.Column("presence_policy", sa.String(length=16), nullable=True),
        sa.Column("on_battery_since", INSTANT, nullable=True),
        sa.Column("agent_crashes", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("machine_cuts", sa.Integer(), nullable=False, server_default="0"),
    ):
        op.add_column("devices", column)
    op.create_table(
        "presence_policies",
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("policy", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["customer"], ["customers.id"], name="fk_presence_policies_customer"),
        sa.PrimaryKeyConstraint("customer", "kind", name="pk_presence_policies"),
    )
    op.create_table(
        "silent_devices",
        sa.Column("device", sa.String(length=64), nullable=False),
        sa.Column("silent_since", INSTANT, nullable=False),
        sa.Column("asked_at", INSTANT, nullable=False),
        sa.Column("reminders", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("told_at", INSTANT, nullable=False),
        sa.Column("ticket", SERIAL, nullable=True),
        sa.Column("concluded_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["device"], ["devices.id"], name="fk_silent_devices_device"),
        sa.ForeignKeyConstraint(["ticket"], ["tickets.number"], name="fk_silent_devices_ticket"),
        sa.PrimaryKeyConstraint("device", name="pk_silent_devices"),
    )
