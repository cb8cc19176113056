"""Revoked ticket ids and series in an SQL database, timed by the database's own clock."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Insert, delete, insert, select

from factored.store.database import Database, database_now, row_count
from factored.store.tables import Base, RevocationRow

REVOCATIONS = Base.metadata.tables[RevocationRow.__tablename__]


def revoking(values: Sequence[str], for_s: int) -> Insert:
    """ticket ids or series, seconds -> INSERT that revokes them from now on"""
    now = database_now()
    rows = [{"value": value, "created_at": now, "ends_at": now + for_s} for value in values]
    return insert(REVOCATIONS).values(rows)


class SqlRevocationStore:
    """:class:`factored.interfaces.RevocationStore` on a :class:`Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, values: Sequence[str], *, for_s: int) -> None:
        if values:
            with self._database.writing() as session:
                session.execute(revoking(values, for_s))

    def read(self, since: int | None) -> tuple[int, list[str]]:
        with self._database.reading() as session:
            # The moment is taken first: what commits while the rows are read is read again.
            now = session.scalar(select(database_now()))
            rows = select(RevocationRow.value).where(RevocationRow.ends_at > now)
            if since is not None:
                rows = rows.where(RevocationRow.created_at >= since)
            return int(now or 0), list(session.scalars(rows))

    def prune(self) -> int:
        with self._database.writing() as session:
            gone = session.execute(
                delete(RevocationRow).where(RevocationRow.ends_at <= database_now())
            )
            return row_count(gone)
