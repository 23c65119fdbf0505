"""Taking a customer on, as a ticket with a checklist."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "onboardings",
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("begins_at", INSTANT, nullable=False),
        sa.Column("ticket", SERIAL),
        sa.Column("checklist", sa.JSON(), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["customer"], ["customers.id"], name="fk_onboardings_customer"),
        sa.ForeignKeyConstraint(["ticket"], ["tickets.number"], name="fk_onboardings_ticket"),
        sa.PrimaryKeyConstraint("customer", "model", name="pk_onboardings"),
        sa.UniqueConstraint("ticket", name="uq_onboardings_ticket"),
    )
