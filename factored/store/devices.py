"""Browsers in an SQL database: known devices, and the open tickets that a user may see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from factored.interfaces import Device, OpenTicket
from factored.store.database import Database, row_count
from factored.store.tables import DeviceRow, TicketRow, UserRow

PAGE = 500
"""Tickets that are deleted at a time."""


class SqlDeviceStore:
    """:class:`factored.interfaces.DeviceStore` on a :class:`Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, device: Device) -> None:
        with self._database.writing() as session:
            session.add(
                DeviceRow(
                    id=device.id,
                    user_id=device.user_id,
                    user_agent=device.user_agent,
                    address=device.address,
                    created_at=device.created_at,
                    last_used_at=device.last_used_at,
                )
            )

    def find(self, device_id: str, user_id: int) -> Device | None:
        with self._database.reading() as session:
            row = session.get(DeviceRow, device_id)
            if row is None or row.user_id != user_id:
                return None
            return _device(row)

    def touch(self, device_id: str, *, address: str, now_s: int) -> None:
        with self._database.writing() as session:
            session.execute(
                update(DeviceRow)
                .where(DeviceRow.id == device_id)
                .values(last_used_at=now_s, address=address)
            )

    def of(self, user_id: int) -> list[Device]:
        with self._database.reading() as session:
            rows = session.scalars(
                select(DeviceRow)
                .where(DeviceRow.user_id == user_id)
                .order_by(DeviceRow.last_used_at.desc(), DeviceRow.id)
            )
            return [_device(row) for row in rows]

    def forget(self, device_id: str, user_id: int) -> bool:
        with self._database.writing() as session:
            forgotten = session.execute(
                delete(DeviceRow).where(DeviceRow.id == device_id, DeviceRow.user_id == user_id)
            )
            return row_count(forgotten) == 1

    def prune(self, *, unused_since: int) -> int:
        with self._database.writing() as session:
            return row_count(
                session.execute(delete(DeviceRow).where(DeviceRow.last_used_at < unused_since))
            )


class SqlTicketStore:
    """:class:`factored.interfaces.TicketStore` on a :class:`Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, ticket: OpenTicket) -> None:
        with self._database.writing() as session:
            # The user's row first: the foreign key of the new one takes a shared lock on it, and of
            # two logins at once each would wait for the other to let it go (InnoDB).
            session.execute(
                update(UserRow)
                .where(UserRow.id == ticket.user_id)
                .values(last_login_at=ticket.login_at)
            )
            session.add(
                TicketRow(
                    id=ticket.id,
                    user_id=ticket.user_id,
                    scheme=ticket.scheme,
                    device_id=ticket.device_id,
                    user_agent=ticket.user_agent,
                    address=ticket.address,
                    login_at=ticket.login_at,
                    last_seen_at=ticket.last_seen_at,
                    ends_at=ticket.ends_at,
                )
            )

    def of(self, user_id: int, *, now_s: int) -> list[OpenTicket]:
        with self._database.reading() as session:
            rows = session.scalars(
                select(TicketRow)
                .where(TicketRow.user_id == user_id, TicketRow.ends_at > now_s)
                .order_by(TicketRow.login_at.desc(), TicketRow.id)
            )
            return [
                OpenTicket(
                    row.id, row.user_id, row.scheme, row.device_id or "", row.user_agent,
                    row.address, row.login_at, row.last_seen_at or row.login_at, row.ends_at,
                )
                for row in rows
            ]  # fmt: skip

    def see(self, seen: Mapping[str, int]) -> None:
        if not seen:
            return
        with self._database.writing() as session:
            for ticket_id, at in sorted(seen.items()):  # as drop_tickets locks them
                session.execute(
                    update(TicketRow)
                    .where(
                        TicketRow.id == ticket_id,
                        or_(TicketRow.last_seen_at.is_(None), TicketRow.last_seen_at < at),
                    )
                    .values(last_seen_at=at)
                )

    def drop(self, ticket_ids: Sequence[str]) -> None:
        with self._database.writing() as session:
            drop_tickets(session, ticket_ids)

    def prune(self, *, now_s: int) -> int:
        gone = 0
        over = select(TicketRow.id).where(TicketRow.ends_at <= now_s).limit(PAGE)
        while True:
            with self._database.reading() as session:
                ids = session.scalars(over).all()
            if not ids:
                return gone
            with self._database.writing() as session:
                gone += drop_tickets(session, ids)


def drop_tickets(session: Session, ticket_ids: Sequence[str]) -> int:
    """session that writes, ids -> how many open tickets were deleted

    Rows are locked by their key alone and in one order, everywhere: no two transactions wait for
    each other. By another index InnoDB would lock that first, and the rows in its order.
    """
    which = TicketRow.id.in_(ticket_ids)
    session.scalars(
        select(TicketRow.id).where(which).order_by(TicketRow.id).with_for_update()
    ).all()
    return row_count(session.execute(delete(TicketRow).where(which)))


def _device(row: DeviceRow) -> Device:
    return Device(
        row.id, row.user_id, row.created_at, row.last_used_at, row.user_agent, row.address or ""
    )
