"""What agents are told, what machines are made of, and the printers that agents read."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    for name in ("user_names_allowed", "software_allowed"):
        op.add_column("customers", sa.Column(name, sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.create_table(
        "agent_settings",
        sa.Column("layer", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("set_by", sa.String(length=200), nullable=False),
        sa.Column("set_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("layer", "subject", "key", name="pk_agent_settings"),
    )
    op.create_table(
        "inventories",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("device", sa.String(length=64), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["device"], ["devices.id"], name="fk_inventories_device"),
        sa.PrimaryKeyConstraint("id", name="pk_inventories"),
    )
    op.create_index("ix_inventories_device_at", "inventories", ["device", "at"], unique=False)
    op.create_table(
        "printers",
        sa.Column("device", sa.String(length=64), nullable=False),
        sa.Column("snmp", sa.JSON(), nullable=True),
        sa.Column("ipp", sa.JSON(), nullable=True),
        sa.Column("interval_seconds", sa.Float(), server_default="300", nullable=False),
        sa.Column("preferred_reader", sa.String(length=64), nullable=True),
        sa.Column("reader_since", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["device"], ["devices.id"], name="fk_printers_device"),
        sa.PrimaryKeyConstraint("device", name="pk_printers"),
    )
    op.create_table(
        "found_printers",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("site", sa.String(length=64), nullable=False),
        sa.Column("found_by", sa.String(length=64), nullable=False),
        sa.Column("address", sa.String(length=200), nullable=False),
        sa.Column("serial", sa.String(length=256), nullable=True),
        sa.Column("model", sa.String(length=256), nullable=True),
        sa.Column("ways", sa.JSON(), nullable=False),
        sa.Column("first_found_at", INSTANT, nullable=False),
        sa.Column("last_found_at", INSTANT, nullable=False),
        sa.Column("device", sa.String(length=64), nullable=True),
        sa.Column("dismissed_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["customer"], ["customers.id"], name="fk_found_printers_customer"),
        sa.ForeignKeyConstraint(["device"], ["devices.id"], name="fk_found_printers_device"),
        sa.ForeignKeyConstraint(["found_by"], ["devices.id"], name="fk_found_printers_found_by"),
        sa.PrimaryKeyConstraint("id", name="pk_found_printers"),
    )
    op.create_index("ix_found_printers_customer_site", "found_printers", ["customer", "site"], unique=False)
