"""What a user sees of his tickets and devices: when a ticket was last seen, where a device was."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

COLUMNS = {
    "factored_tickets": sa.Column("last_seen_at", sa.BigInteger),
    "factored_devices": sa.Column("address", sa.String(64)),
}


def upgrade() -> None:
    # A run that was cut off may have made some of it already.
    inspector = sa.inspect(op.get_bind())
    for table, column in COLUMNS.items():
        if column.name not in {one["name"] for one in inspector.get_columns(table)}:
            op.add_column(table, column)
