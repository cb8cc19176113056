"""Login by a mailed link: its hash beside that of the code, and the way back; the last login."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

COLUMNS = {
    "factored_challenges": (sa.Column("link_hash", sa.String(64)), sa.Column("return_to", sa.Text)),
    "factored_users": (sa.Column("last_login_at", sa.BigInteger),),
}
INDEX = "ix_factored_challenges_link_hash"


def upgrade() -> None:
    # A run that was cut off may have made some of it already.
    inspector = sa.inspect(op.get_bind())
    for table, columns in COLUMNS.items():
        there = {column["name"] for column in inspector.get_columns(table)}
        for column in columns:
            if column.name not in there:
                op.add_column(table, column)
    if INDEX not in {index["name"] for index in inspector.get_indexes("factored_challenges")}:
        op.create_index(INDEX, "factored_challenges", ["link_hash"], unique=True)
