"""The table ``users`` of factored 1.x to 4.x: read, never written, and who of it was taken over."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from factored.interfaces import NewUser
from factored.store.bulk import insert_users
from factored.store.database import Database
from factored.store.tables import AdoptedRow, UserRow

TABLE = "users"
COLUMNS = frozenset({"id", "username", "secret", "generated_code", "generated_code_time_stamp"})
"""A table that lacks one of these is the site's own, whatever it is called."""

PAGE = 1000
"""Rows read, and users made, at a time."""

_USERS = sa.table(TABLE, sa.column("id", sa.BigInteger), sa.column("username"), sa.column("secret"))


@dataclass(frozen=True, slots=True)
class OldUser:
    """A row of the old table, as it was saved: any text, or none."""

    id: int
    username: str | None
    secret: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Newcomer:
    """The user that an old row becomes."""

    old: OldUser
    user: NewUser


class LegacyUsers:
    """The old table in a :class:`Database`. A database without one has nobody waiting."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def waiting(self) -> Iterator[OldUser]:
        """-> the rows that were not taken over yet, by id

        :raises StoreError: the database did not answer
        """
        with self._database.reading() as session:
            for page in _pages(session):
                yield from page

    def taken(self, username_keys: Collection[str]) -> Iterator[tuple[str, str]]:
        """username_keys -> (username_key, name as stored) of those that are users today

        :raises StoreError: the database did not answer
        """
        with self._database.reading() as session:
            if not sa.inspect(session.connection()).has_table(UserRow.__tablename__):
                return
            wanted = list(username_keys)
            for start in range(0, len(wanted), PAGE):
                found = session.execute(
                    select(UserRow.username_key, UserRow.username).where(
                        UserRow.username_key.in_(wanted[start : start + PAGE])
                    )
                )
                yield from ((username_key, username) for username_key, username in found)

    def adopt(self, make: Callable[[OldUser], Newcomer]) -> int:
        """function that makes a Newcomer -> how many users were made, all in one transaction

        :param make: called once for each row that waits; what it raises undoes everything
        :raises StoreError: the database did not answer, or a name was taken meanwhile; nothing was
            changed
        """
        adopted = 0
        with self._database.writing() as session:
            for page in _pages(session):
                _insert(session, [make(old) for old in page])
                adopted += len(page)
        return adopted


def _pages(session: Session) -> Iterator[list[OldUser]]:
    inspector = sa.inspect(session.connection())
    if not inspector.has_table(TABLE):
        return
    if not {one["name"] for one in inspector.get_columns(TABLE)} >= COLUMNS:
        return
    recorded = inspector.has_table(AdoptedRow.__tablename__)
    adopted_as = AdoptedRow.username if recorded else sa.null()
    query = select(_USERS.c.id, _USERS.c.username, _USERS.c.secret, adopted_as)
    if recorded:
        query = query.outerjoin(AdoptedRow, AdoptedRow.old_id == _USERS.c.id)
    query = query.order_by(_USERS.c.id).limit(PAGE)
    rows = session.execute(query).all()
    while rows:
        page = []
        for old_id, username, secret, known_as in rows:
            old = OldUser(old_id, _text(username), _text(secret))
            # By name too: SQLite gives the id of a removed row to the next one.
            if known_as is None or known_as != old.username:
                page.append(old)
        if page:
            yield page
        rows = session.execute(query.where(_USERS.c.id > rows[-1][0])).all()


def _text(saved: object) -> str | None:
    """SQLite keeps bytes as such in a column of text; what is not UTF-8 stays to be seen."""
    if isinstance(saved, bytes):
        return saved.decode("utf-8", "surrogateescape")
    return None if saved is None else str(saved)


def _insert(session: Session, newcomers: Sequence[Newcomer]) -> None:
    insert_users(session, [one.user for one in newcomers])
    session.execute(
        delete(AdoptedRow).where(AdoptedRow.old_id.in_([one.old.id for one in newcomers]))
    )
    session.execute(
        insert(AdoptedRow),
        [{"old_id": one.old.id, "username": one.old.username} for one in newcomers],
    )
