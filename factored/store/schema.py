"""The schema: which revision a database has, and bringing it to the newest."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import insert, select

from factored.interfaces import StoreError
from factored.store.attempts import LOCKS
from factored.store.database import Database
from factored.store.tables import AttemptLockRow

VERSION_TABLE = "factored_version"

HEAD = "0004"
"""The newest revision; a test holds it to the scripts, so that nobody loads alembic to know it."""


def revision(database: Database) -> str | None:
    """database -> its revision, or None: factored has made no tables there

    :raises StoreError: the database did not answer
    """
    with database.reading() as session:
        if not sa.inspect(session.connection()).has_table(VERSION_TABLE):
            return None
        return session.scalar(
            select(sa.column("version_num", sa.String)).select_from(sa.table(VERSION_TABLE))
        )


def require_newest(database: Database) -> None:
    """database -> None, if it has this release's tables

    :raises StoreError: it has none or older ones, or it did not answer; says what to do
    """
    found = revision(database)
    if found != HEAD:
        made = f"is at revision {found}" if found else "has no tables of factored"
        raise StoreError(f"{database.url} {made}, and {HEAD} is needed: run `factored init`")


def upgrade(database: Database) -> None:
    """database -> None; makes or upgrades all tables, and does nothing where that is done

    Each migration is one transaction where the database has DDL in transactions; on any other
    one that was cut off half-way goes on where it stopped.

    :raises StoreError: the database did not answer, or it was made by a newer factored
    """
    # Loaded here alone: alembic takes longer to import than all the rest of a command.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    with database.writing() as session:
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        config.attributes["connection"] = session.connection()
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise StoreError(
                f"{database.url} was made by a newer factored ({error}); upgrade this one"
            ) from error
        there = set(session.scalars(select(AttemptLockRow.id)))
        missing = [{"id": number} for number in range(LOCKS) if number not in there]
        if missing:
            session.execute(insert(AttemptLockRow), missing)
