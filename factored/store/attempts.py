"""Attempts in an SQL database, and the sliding-window rule that every attempt store shares."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import ColumnElement, bindparam, delete, insert, or_, select
from sqlalchemy.orm import Session

from factored.codes import new_id
from factored.interfaces import Attempt, Charge, Refusal
from factored.store.database import Database
from factored.store.tables import AttemptLockRow, AttemptRow

LOCKS = 256
"""Rows of the lock table: attempts on different accounts seldom wait for one another."""


def bucket_owner(user_id: int) -> str:
    """user id -> how the names of all buckets of that account begin"""
    return f"u{user_id}:"


def refusal(
    charges: Sequence[Charge], stamps: Mapping[str, Sequence[int]], now_s: int
) -> Refusal | None:
    """charges, when each bucket was charged, Unix time -> the Refusal, or None: all have room

    A window slides: it holds what is younger than ``window_s``. Stamps from the future (a clock
    that went back) count, so that a wrong clock never opens a budget. The wait that is told is
    the longest that any full limit asks for.
    """
    worst: Refusal | None = None
    for charge in charges:
        for limit in charge.limits:
            recent = sorted(
                at for at in stamps.get(charge.bucket, ()) if at > now_s - limit.window_s
            )
            if len(recent) >= limit.count:
                wait_s = recent[len(recent) - limit.count] + limit.window_s - now_s
                if worst is None or wait_s > worst.retry_after_s:
                    worst = Refusal(charge.bucket, max(1, math.ceil(wait_s)))
    return worst


def ends_at(charge: Charge, now_s: int) -> int:
    """charge, Unix time -> when its widest window has forgotten it"""
    return now_s + max(limit.window_s for limit in charge.limits)


def delete_attempts(session: Session, which: ColumnElement[bool]) -> int:
    """session that writes, condition -> how many rows were deleted

    Each by its key, in one order: MariaDB would lock the rows in the order of whatever index it
    goes by, and end one of two such statements with a deadlock.
    """
    key = (AttemptRow.attempt_id, AttemptRow.bucket)
    found = session.execute(select(*key).where(which).order_by(*key)).all()
    if found:
        one = delete(AttemptRow).where(
            key[0] == bindparam("an_id"), key[1] == bindparam("a_bucket")
        )
        rows = [{"an_id": attempt_id, "a_bucket": bucket} for attempt_id, bucket in found]
        session.connection().execute(one, rows)
    return len(found)


class SqlAttemptStore:
    """:class:`factored.interfaces.AttemptStore` on a :class:`Database`.

    Exact under parallelism: whoever counts holds the locks of all its buckets, taken in one
    order, from before it looks until it has written. SQLite's single writer needs no such rows.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def count(self, charges: Sequence[Charge], *, now_s: int) -> Attempt | Refusal:
        buckets = [charge.bucket for charge in charges]
        with self._database.writing() as session:
            if session.get_bind().dialect.name != "sqlite":
                locks = sorted({zlib.crc32(bucket.encode()) % LOCKS for bucket in buckets})
                session.execute(
                    select(AttemptLockRow.id)
                    .where(AttemptLockRow.id.in_(locks))
                    .order_by(AttemptLockRow.id)
                    .with_for_update()
                )
            found = session.execute(
                select(AttemptRow.bucket, AttemptRow.at).where(AttemptRow.bucket.in_(buckets))
            )
            refused = refusal(charges, _by_bucket(found), now_s)
            if refused is not None:
                return refused
            attempt = Attempt(new_id())
            session.execute(
                insert(AttemptRow),
                [
                    {
                        "attempt_id": attempt.id,
                        "bucket": charge.bucket,
                        "at": now_s,
                        "ends_at": ends_at(charge, now_s),
                    }
                    for charge in charges
                ],
            )
            return attempt

    def forgive(self, attempt: Attempt, *, clear: Sequence[str] = ()) -> None:
        with self._database.writing() as session:
            delete_attempts(
                session, or_(AttemptRow.attempt_id == attempt.id, AttemptRow.bucket.in_(clear))
            )

    def stamps(self, buckets: Sequence[str], *, now_s: int) -> dict[str, list[int]]:
        with self._database.reading() as session:
            found = session.execute(
                select(AttemptRow.bucket, AttemptRow.at)
                .where(AttemptRow.bucket.in_(buckets), AttemptRow.ends_at > now_s)
                .order_by(AttemptRow.at)
            )
            return _by_bucket(found)

    def prune(self, *, now_s: int) -> int:
        with self._database.writing() as session:
            return delete_attempts(session, AttemptRow.ends_at <= now_s)


def _by_bucket(found: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    stamps: dict[str, list[int]] = {}
    for bucket, at in found:
        stamps.setdefault(bucket, []).append(at)
    return stamps
