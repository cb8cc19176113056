"""Attempts in an SQL database, and the sliding-window rule that every attempt store shares."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    Delete,
    Insert,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.orm import Session

from factored.codes import new_id
from factored.interfaces import Attempt, Charge, NewLogin, Refusal, StoreError
from factored.store.database import Database, row_count
from factored.store.tables import AttemptLockRow, AttemptRow, Base

ATTEMPTS = Base.metadata.tables[AttemptRow.__tablename__]

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


def charged_to(login: NewLogin) -> ColumnElement[bool]:
    """login -> which attempts it takes back: its own, and all in the buckets to be emptied"""
    own = login.forgiven.id if login.forgiven else ""
    which: ColumnElement[bool] = ATTEMPTS.c.attempt_id == own
    return or_(which, ATTEMPTS.c.bucket.in_(login.cleared)) if login.cleared else which


def deletion(which: ColumnElement[bool]) -> Delete:
    """condition -> DELETE that locks the rows by their key, in one order, on PostgreSQL

    Two that delete the same rows would else each wait for the other.
    """
    key = (ATTEMPTS.c.attempt_id, ATTEMPTS.c.bucket)
    rows = select(*key).where(which).order_by(*key).with_for_update()
    return delete(ATTEMPTS).where(tuple_(*key).in_(rows))


def delete_attempts(session: Session, which: ColumnElement[bool]) -> int:
    """session that writes, condition -> how many rows were deleted

    On MariaDB each by its key, in one order: it would lock the rows in the order of whatever index
    it goes by, and end one of two such statements with a deadlock.
    """
    name = session.get_bind().dialect.name
    if name == "postgresql":
        return row_count(session.execute(deletion(which)))
    if name == "sqlite":
        return row_count(session.execute(delete(ATTEMPTS).where(which)))
    key = (ATTEMPTS.c.attempt_id, ATTEMPTS.c.bucket)
    found = session.execute(select(*key).where(which).order_by(*key)).all()
    if found:
        one = delete(ATTEMPTS).where(key[0] == bindparam("an_id"), key[1] == bindparam("a_bucket"))
        rows = [{"an_id": attempt_id, "a_bucket": bucket} for attempt_id, bucket in found]
        session.connection().execute(one, rows)
    return len(found)


@cache
def _counting(limits: tuple[int, ...]) -> Insert:
    """how many limits each charge has -> INSERT of a row for each, or of none: one limit is full

    The rule is that of :func:`refusal`. For each charge there are the parameters ``bucket0``,
    ``ends0``, and for each of its limits ``most0_0`` and ``after0_0``.
    """
    row = ATTEMPTS.c
    into = [row.attempt_id, row.bucket, row.at, row.ends_at]

    def given(name: str, column: Column[Any]) -> BindParameter[Any]:
        return bindparam(name, type_=column.type)

    rows = union_all(
        *(
            select(
                given("attempt_id", row.attempt_id).label("attempt_id"),
                given(f"bucket{charge}", row.bucket).label("bucket"),
                given("now_s", row.at).label("at"),
                given(f"ends{charge}", row.ends_at).label("ends_at"),
            )
            for charge in range(len(limits))
        )
    ).subquery("charged")
    room = (
        select(func.count())
        .where(
            row.bucket == given(f"bucket{charge}", row.bucket),
            row.at > given(f"after{charge}_{limit}", row.at),
        )
        .scalar_subquery()
        < given(f"most{charge}_{limit}", row.at)
        for charge, how_many in enumerate(limits)
        for limit in range(how_many)
    )
    counting = insert(ATTEMPTS).from_select(into, select(rows).where(*room))
    # Of an INSERT, SQLAlchemy tells how many rows it wrote only if it is asked to.
    return counting.execution_options(preserve_rowcount=True)


def _parameters(attempt: Attempt, charges: Sequence[Charge], now_s: int) -> dict[str, object]:
    """attempt, its charges, Unix time -> parameters of :func:`_counting`"""
    found: dict[str, object] = {"attempt_id": attempt.id, "now_s": now_s}
    for number, charge in enumerate(charges):
        found[f"bucket{number}"] = charge.bucket
        found[f"ends{number}"] = ends_at(charge, now_s)
        for place, limit in enumerate(charge.limits):
            found[f"most{number}_{place}"] = limit.count
            found[f"after{number}_{place}"] = now_s - limit.window_s
    return found


class SqlAttemptStore:
    """:class:`factored.interfaces.AttemptStore` on a :class:`Database`.

    Exact under parallelism: whoever counts holds the locks of all its buckets, taken in one
    order, from before it looks until it has written. SQLite's single writer needs no such rows.
    It looks in the statement that writes; only who is refused looks again, to be told how long.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def count(self, charges: Sequence[Charge], *, now_s: int) -> Attempt | Refusal:
        buckets = [charge.bucket for charge in charges]
        with self._database.writing() as session:
            if session.get_bind().dialect.name != "sqlite":
                locks = sorted({zlib.crc32(bucket.encode()) % LOCKS for bucket in buckets})
                held = session.scalars(
                    select(AttemptLockRow.id)
                    .where(AttemptLockRow.id.in_(locks))
                    .order_by(AttemptLockRow.id)
                    .with_for_update()
                ).all()
                if held != locks:
                    raise StoreError("rows of factored_attempt_locks are gone: run `factored init`")
            attempt = Attempt(new_id())
            counting = _counting(tuple(len(charge.limits) for charge in charges))
            added = row_count(session.execute(counting, _parameters(attempt, charges, now_s)))
            if added == len(charges):
                return attempt
            if added != 0:
                raise StoreError(f"an attempt was counted {added} times of {len(charges)}")
            found = session.execute(
                select(AttemptRow.bucket, AttemptRow.at).where(AttemptRow.bucket.in_(buckets))
            )
            refused = refusal(charges, _by_bucket(found), now_s)
            if refused is not None:
                return refused
            # Others took theirs back in between; to add any they would need the locks held here.
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
            return delete_attempts(session, ATTEMPTS.c.ends_at <= now_s)


def _by_bucket(found: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    stamps: dict[str, list[int]] = {}
    for bucket, at in found:
        stamps.setdefault(bucket, []).append(at)
    return stamps
