"""What is good once, in an SQL database: one-time links and recovery codes."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, func, insert, select, update

from factored.codes import new_id
from factored.interfaces import CodesLeft, Link, LinkKind
from factored.store.database import Database, row_count
from factored.store.tables import LinkRow, RecoveryCodeRow, UserRow


class SqlLinkStore:
    """:class:`factored.interfaces.LinkStore` on a :class:`Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self, kind: LinkKind, user_id: int, token_hash: str, *, now_s: int, ends_at: int
    ) -> None:
        with self._database.writing() as session:
            session.add(
                LinkRow(
                    kind=kind.value,
                    user_id=user_id,
                    token_hash=token_hash,
                    return_to="",
                    created_at=now_s,
                    ends_at=ends_at,
                )
            )

    def find(self, token_hashes: Sequence[str], *, now_s: int) -> Link | None:
        with self._database.reading() as session:
            found = session.execute(
                select(LinkRow, UserRow.username)
                .join(UserRow, UserRow.id == LinkRow.user_id)
                .where(
                    LinkRow.token_hash.in_(token_hashes),
                    LinkRow.used_at.is_(None),
                    LinkRow.ends_at > now_s,
                )
            ).first()
            if found is None:
                return None
            row, username = found
            return Link(
                row.id, LinkKind(row.kind), row.user_id, username, row.ends_at, row.return_to
            )

    def spend(self, link_id: int, *, now_s: int) -> bool:
        with self._database.writing() as session:
            spent = session.execute(
                update(LinkRow)
                .where(LinkRow.id == link_id, LinkRow.used_at.is_(None), LinkRow.ends_at > now_s)
                .values(used_at=now_s)
            )
            return row_count(spent) == 1

    def end(self, user_id: int, kind: LinkKind | None = None) -> None:
        ended = delete(LinkRow).where(LinkRow.user_id == user_id)
        with self._database.writing() as session:
            session.execute(ended if kind is None else ended.where(LinkRow.kind == kind.value))

    def prune(self, *, now_s: int) -> int:
        with self._database.writing() as session:
            return row_count(session.execute(delete(LinkRow).where(LinkRow.ends_at <= now_s)))


class SqlRecoveryCodeStore:
    """:class:`factored.interfaces.RecoveryCodeStore` on a :class:`Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def replace(self, user_id: int, code_hashes: Sequence[str], *, now_s: int) -> None:
        with self._database.writing() as session:
            # Of two at once the second waits, and deletes what the first made.
            session.scalar(select(UserRow.id).where(UserRow.id == user_id).with_for_update())
            session.execute(delete(RecoveryCodeRow).where(RecoveryCodeRow.user_id == user_id))
            session.execute(
                insert(RecoveryCodeRow),
                [
                    {"id": new_id(), "user_id": user_id, "code_hash": one, "created_at": now_s}
                    for one in code_hashes
                ],
            )

    def burn(self, user_id: int, code_hashes: Sequence[str], *, now_s: int) -> bool:
        with self._database.writing() as session:
            burned = session.execute(
                update(RecoveryCodeRow)
                .where(
                    RecoveryCodeRow.user_id == user_id,
                    RecoveryCodeRow.code_hash.in_(code_hashes),
                    RecoveryCodeRow.used_at.is_(None),
                )
                .values(used_at=now_s)
            )
            return row_count(burned) == 1

    def left(self, user_id: int) -> CodesLeft | None:
        with self._database.reading() as session:
            made, used, made_at = session.execute(
                select(
                    func.count(RecoveryCodeRow.id),
                    func.count(RecoveryCodeRow.used_at),
                    func.max(RecoveryCodeRow.created_at),
                ).where(RecoveryCodeRow.user_id == user_id)
            ).one()
            return CodesLeft(made - used, made_at) if made else None
