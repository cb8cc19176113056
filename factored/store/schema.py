"""The schema: which revision a database has, and bringing it to the newest."""

from __future__ import annotations

import re
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import insert, select

from factored.engines import ANSWER_S
from factored.interfaces import StoreError
from factored.store.attempts import LOCKS
from factored.store.database import Database
from factored.store.tables import AttemptLockRow

VERSION_TABLE = "factored_version"

MIGRATIONS = Path(__file__).parent / "migrations"

HEAD = "0004"
"""The newest revision; a test holds it to the scripts, so that nobody loads alembic to know it."""

UPGRADING = 0x666163746F726564
"""PostgreSQL's lock for whoever changes the tables: ``factored`` in ASCII."""

REVISION = re.compile(r"(?P<number>[0-9]{4})(?:_from_(?P<oldest>[0-9]{4}))?")
"""``0007_from_0005``: what the releases made for 0005, 0006 and 0007 may all serve on at once.

``0007`` alone is for its own release only. Decision 0017.
"""


def serves(found: str | None, head: str) -> bool:
    """revision of a database, newest one of a release -> whether this release may serve there"""
    if found == head:
        return True
    there, here = REVISION.fullmatch(found or ""), REVISION.fullmatch(head)
    if there is None or here is None or there["oldest"] is None:
        return False
    # Four digits each: text compares as the numbers do.
    return bool(there["oldest"] <= here["number"] < there["number"])


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


def require_served(database: Database) -> None:
    """database -> None, if it has the tables of this release, or newer ones that serve it too

    :raises StoreError: they do not, or there are none, or it did not answer; says what to do
    """
    found = revision(database)
    if serves(found, HEAD):
        return
    if _is_newer(found):
        raise StoreError(
            f"{database.url} is at revision {found}, made by a newer factored; this one, made for "
            f"{HEAD}, may not serve there any more: upgrade it"
        )
    made = f"is at revision {found}" if found else "has no tables of factored"
    raise StoreError(f"{database.url} {made}, and {HEAD} is needed: run `factored init`")


def _is_newer(found: str | None) -> bool:
    """revision of a database -> whether it is none of this release's"""
    there, here = REVISION.fullmatch(found or ""), REVISION.fullmatch(HEAD)
    return there is not None and here is not None and there["number"] > here["number"]


def upgrade(database: Database) -> None:
    """database -> None; makes or upgrades all tables, and does nothing where that is done

    Each migration is one transaction where the database has DDL in transactions; on any other
    one that was cut off half-way goes on where it stopped. Newer tables that serve this release too
    are left as they are: a node may start anew in the midst of a rolling upgrade.

    :raises StoreError: the database did not answer, or is for a newer factored alone
    """
    if _is_newer(found := revision(database)) and serves(found, HEAD):
        return
    # Loaded here alone: alembic takes longer to import than all the rest of a command.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    with database.writing() as session:
        if database.engine.dialect.name == "postgresql":
            # An index over many rows may take longer than an answer; a lock that others hold may
            # not. Of several nodes that run this at once, the second waits, and finds it done.
            session.execute(sa.text("SET LOCAL statement_timeout = 0"))
            session.execute(select(sa.func.pg_advisory_xact_lock(UPGRADING)))
            session.execute(sa.text(f"SET LOCAL lock_timeout = '{ANSWER_S}s'"))
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
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
