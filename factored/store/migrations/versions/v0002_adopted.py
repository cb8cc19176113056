"""Who of the table of factored 1.x to 4.x was taken over."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A run that was cut off may have made it already.
    if not sa.inspect(op.get_bind()).has_table("factored_adopted"):
        op.create_table(
            "factored_adopted",
            sa.Column("old_id", sa.BigInteger, autoincrement=False, nullable=False),
            sa.Column("username", sa.Text, nullable=False),
            sa.PrimaryKeyConstraint("old_id", name="pk_factored_adopted"),
        )
