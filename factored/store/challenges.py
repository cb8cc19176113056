"""Challenges in an SQL database: what was sent, and how often an answer was tried."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, insert, or_, select, update

from factored.interfaces import Challenge
from factored.store.database import Database, row_count
from factored.store.tables import ChallengeRow

MAX_TRIES = 5
"""Answers to one challenge (PROMISES 8)."""


class SqlChallengeStore:
    """:class:`factored.interfaces.ChallengeStore` on a :class:`Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, challenge: Challenge) -> None:
        with self._database.writing() as session:
            session.execute(
                delete(ChallengeRow).where(
                    ChallengeRow.browser_hash == challenge.browser_hash,
                    ChallengeRow.scheme == challenge.scheme,
                )
            )
            session.execute(
                insert(ChallengeRow).values(
                    id=challenge.id,
                    scheme=challenge.scheme,
                    user_id=challenge.user_id,
                    username_key=challenge.username_key,
                    address=challenge.address,
                    browser_hash=challenge.browser_hash,
                    code_hash=challenge.code_hash,
                    tries=0,
                    created_at=challenge.created_at,
                    ends_at=challenge.ends_at,
                    link_hash=challenge.link_hash,
                    return_to=challenge.return_to,
                )
            )

    def newest(self, browser_hashes: Sequence[str], scheme: str, *, now_s: int) -> Challenge | None:
        with self._database.reading() as session:
            row = session.scalars(
                select(ChallengeRow)
                .where(ChallengeRow.browser_hash.in_(browser_hashes), ChallengeRow.scheme == scheme)
                .order_by(ChallengeRow.created_at.desc())
                .limit(1)
            ).first()
            return _if_live(row, now_s)

    def linked(self, link_hashes: Sequence[str], scheme: str, *, now_s: int) -> Challenge | None:
        with self._database.reading() as session:
            row = session.scalars(
                select(ChallengeRow).where(
                    ChallengeRow.link_hash.in_(link_hashes), ChallengeRow.scheme == scheme
                )
            ).first()
            return _if_live(row, now_s)

    def answer(self, challenge_id: str, hashes: Sequence[str], *, now_s: int) -> bool:
        live = (
            ChallengeRow.id == challenge_id,
            ChallengeRow.used_at.is_(None),
            ChallengeRow.ends_at > now_s,
        )
        with self._database.writing() as session:
            tried = session.execute(
                update(ChallengeRow)
                .where(*live, ChallengeRow.tries < MAX_TRIES)
                .values(tries=ChallengeRow.tries + 1)
            )
            if row_count(tried) != 1:
                return False
            used = session.execute(
                update(ChallengeRow)
                .where(
                    *live,
                    or_(ChallengeRow.code_hash.in_(hashes), ChallengeRow.link_hash.in_(hashes)),
                )
                .values(used_at=now_s)
            )
            return row_count(used) == 1

    def prune(self, *, now_s: int) -> int:
        with self._database.writing() as session:
            return row_count(
                session.execute(delete(ChallengeRow).where(ChallengeRow.ends_at <= now_s))
            )


def _if_live(row: ChallengeRow | None, now_s: int) -> Challenge | None:
    if row is None or row.used_at is not None or row.tries >= MAX_TRIES or row.ends_at <= now_s:
        return None
    return Challenge(
        row.id, row.scheme, row.user_id, row.username_key, row.address, row.browser_hash,
        row.code_hash, row.created_at, row.ends_at, row.link_hash, row.return_to or "",
    )  # fmt: skip
