"""Which ways out are in use, and which of them a row of the outbox is for."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "connectors",
        sa.Column("name", sa.String(16), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_connectors"),
    )
    # Nothing has written to the outbox before.
    op.add_column("outbox", sa.Column("connector", sa.String(16), nullable=False, server_default=""))
    op.add_column("outbox", sa.Column("event", sa.BigInteger(), nullable=True))
