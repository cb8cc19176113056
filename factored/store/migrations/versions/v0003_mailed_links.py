"""Login by a mailed link: its hash beside that of the code, and the way back."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLE = "factored_challenges"
INDEX = "ix_factored_challenges_link_hash"


def upgrade() -> None:
    # A run that was cut off may have made some of it already.
    inspector = sa.inspect(op.get_bind())
    there = {column["name"] for column in inspector.get_columns(TABLE)}
    for column in (sa.Column("link_hash", sa.String(64)), sa.Column("return_to", sa.Text)):
        if column.name not in there:
            op.add_column(TABLE, column)
    if INDEX not in {index["name"] for index in inspector.get_indexes(TABLE)}:
        op.create_index(INDEX, TABLE, ["link_hash"], unique=True)
