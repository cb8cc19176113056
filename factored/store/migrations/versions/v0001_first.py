"""All tables of factored 6."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NAME = sa.String(255)
ID = sa.String(22)


def _user_id(nullable: bool = False) -> sa.Column[int]:
    return sa.Column("user_id", sa.Integer, nullable=nullable)


def _of_user(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["user_id"], ["factored_users.id"], name=f"fk_{table}_user_id", ondelete="CASCADE"
    )


def upgrade() -> None:
    there = set(sa.inspect(op.get_bind()).get_table_names())

    def create(table: str, *parts: sa.Column | sa.Constraint, indexed: str = "", **kw) -> None:
        """Skips what a run that was cut off has made already."""
        if table not in there:
            primary = [one.name for one in parts if isinstance(one, sa.Column) and one.primary_key]
            op.create_table(
                table, *parts, sa.PrimaryKeyConstraint(*primary, name=f"pk_{table}"), **kw
            )
        made = {one["name"] for one in sa.inspect(op.get_bind()).get_indexes(table)}
        for columns in indexed.split():
            name = f"ix_{table}_{columns.replace('+', '_')}"
            if name not in made:
                op.create_index(name, table, columns.split("+"))

    create(
        "factored_users",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("username", NAME, nullable=False),
        sa.Column("username_key", NAME, nullable=False),
        sa.Column("ticket_series", ID, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("disabled_at", sa.BigInteger),
        sa.UniqueConstraint("username_key", name="uq_factored_users_username_key"),
        sqlite_autoincrement=True,
    )
    create(
        "factored_authenticators",
        sa.Column("id", ID, primary_key=True),
        _user_id(),
        sa.Column("scheme", sa.String(16), nullable=False),
        sa.Column("label", NAME, nullable=False),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("confirmed_at", sa.BigInteger),
        sa.Column("last_used_at", sa.BigInteger),
        sa.Column("last_step", sa.BigInteger, nullable=False),
        sa.Column("needs_renewal", sa.Boolean, nullable=False),
        _of_user("factored_authenticators"),
        indexed="user_id",
    )
    create(
        "factored_recovery_codes",
        sa.Column("id", ID, primary_key=True),
        _user_id(),
        sa.Column("code_hash", sa.String(64), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("used_at", sa.BigInteger),
        _of_user("factored_recovery_codes"),
        indexed="user_id",
    )
    create(
        "factored_challenges",
        sa.Column("id", ID, primary_key=True),
        _user_id(nullable=True),
        sa.Column("username_key", NAME, nullable=False),
        sa.Column("address", NAME, nullable=False),
        sa.Column("scheme", sa.String(16), nullable=False),
        sa.Column("browser_hash", sa.String(64), nullable=False),
        sa.Column("code_hash", sa.String(64), nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("ends_at", sa.BigInteger, nullable=False),
        sa.Column("used_at", sa.BigInteger),
        _of_user("factored_challenges"),
        indexed="user_id browser_hash ends_at",
    )
    create(
        "factored_links",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        _user_id(),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("return_to", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("ends_at", sa.BigInteger, nullable=False),
        sa.Column("used_at", sa.BigInteger),
        sa.UniqueConstraint("token_hash", name="uq_factored_links_token_hash"),
        _of_user("factored_links"),
        indexed="user_id ends_at",
    )
    create(
        "factored_devices",
        sa.Column("id", ID, primary_key=True),
        _user_id(),
        sa.Column("user_agent", sa.String(255), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("last_used_at", sa.BigInteger, nullable=False),
        _of_user("factored_devices"),
        indexed="user_id",
    )
    create(
        "factored_tickets",
        sa.Column("id", ID, primary_key=True),
        _user_id(),
        sa.Column("scheme", sa.String(16), nullable=False),
        sa.Column("device_id", ID),
        sa.Column("user_agent", sa.String(255), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("login_at", sa.BigInteger, nullable=False),
        sa.Column("ends_at", sa.BigInteger, nullable=False),
        _of_user("factored_tickets"),
        indexed="user_id ends_at",
    )
    create(
        "factored_attempts",
        sa.Column("attempt_id", ID, primary_key=True),
        sa.Column("bucket", sa.String(80), primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("ends_at", sa.BigInteger, nullable=False),
        indexed="bucket+at ends_at",
    )
    create(
        "factored_attempt_locks",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    )
    create(
        "factored_revocations",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("value", ID, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("ends_at", sa.BigInteger, nullable=False),
        indexed="created_at ends_at",
    )
