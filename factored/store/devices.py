"""Browsers in an SQL database: known devices, and the open tickets that a user may see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import (
    BindParameter,
    Delete,
    Insert,
    Update,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session

from factored.interfaces import Device, NewLogin, OpenTicket
from factored.store.attempts import charged_to, delete_attempts, deletion
from factored.store.database import Database, row_count
from factored.store.revocations import revoking
from factored.store.tables import Base, DeviceRow, TicketRow, UserRow

USERS, DEVICES, TICKETS = (
    Base.metadata.tables[row.__tablename__] for row in (UserRow, DeviceRow, TicketRow)
)

PAGE = 500
"""Tickets that are deleted at a time."""

OVER = 0
"""When a ticket ends that is to be shown no more."""


class SqlDeviceStore:
    """:class:`factored.interfaces.DeviceStore` on a :class:`Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, device: Device) -> None:
        with self._database.writing() as session:
            session.execute(_insertion(device))

    def find(self, device_id: str, user_id: int) -> Device | None:
        with self._database.reading() as session:
            row = session.get(DeviceRow, device_id)
            if row is None or row.user_id != user_id:
                return None
            return device_of(row)

    def of(self, user_id: int) -> list[Device]:
        with self._database.reading() as session:
            rows = session.scalars(
                select(DeviceRow)
                .where(DeviceRow.user_id == user_id)
                .order_by(DeviceRow.last_used_at.desc(), DeviceRow.id)
            )
            return [device_of(row) for row in rows]

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

    def add_login(self, login: NewLogin) -> None:
        device = _insertion(login.device) if login.new_device else _touching(login.device)
        revoked = [revoking(login.ended, login.revoke_for_s)] if login.ended else []
        taken_back = charged_to(login) if login.forgiven or login.cleared else None
        with self._database.writing() as session:
            _add_ticket(session, login.ticket)
            if session.get_bind().dialect.name == "postgresql":
                also: list[Insert | Update | Delete] = [*revoked]
                also += [_ending(login.ended)] if login.ended else []
                also += [] if taken_back is None else [deletion(taken_back)]
                together = (one.cte(f"also{number}") for number, one in enumerate(also))
                session.execute(device.add_cte(*together))
                return
            for change in (device, *revoked):
                session.execute(change)
            drop_tickets(session, login.ended)
            if taken_back is not None:
                delete_attempts(session, taken_back)

    def add(self, ticket: OpenTicket) -> None:
        with self._database.writing() as session:
            _add_ticket(session, ticket)

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
        over = select(TICKETS.c.id, TICKETS.c.user_id, TICKETS.c.login_at)
        over = over.where(TICKETS.c.ends_at <= now_s).limit(PAGE)
        while True:
            with self._database.reading() as session:
                page = session.execute(over).all()
            if not page:
                return gone
            last: dict[int, int] = {}
            for _, user_id, login_at in page:
                last[user_id] = max(login_at, last.get(user_id, login_at))
            with self._database.writing() as session:
                _remember_logins(session, last)
                gone += _delete_tickets(session, [row.id for row in page])


LAST_TICKET = (
    select(func.max(TICKETS.c.login_at)).where(TICKETS.c.user_id == UserRow.id).scalar_subquery()
)
"""Column: the last login that a user's tickets tell of; what they told before that were deleted is
in the user's own row. So a login writes no more than its ticket."""


def drop_tickets(session: Session, ticket_ids: Sequence[str]) -> None:
    """session that writes, ids -> None; those are over, and pruned one day

    Rows are locked by their key alone and in one order, everywhere: no two transactions wait for
    each other. By another index InnoDB would lock that first, and the rows in its order; and of a
    small table all that it looks at.
    """
    if ticket_ids:
        one = update(TICKETS).where(TICKETS.c.id == bindparam("an_id")).values(ends_at=OVER)
        session.connection().execute(one, [{"an_id": each} for each in sorted(ticket_ids)])


def _ending(ticket_ids: Sequence[str]) -> Update:
    """ids -> the same in one statement, for PostgreSQL"""
    which = TICKETS.c.id.in_(ticket_ids)
    # As everywhere, in the order that Python sorts in, and not a language's.
    in_order = TICKETS.c.id.collate("C")
    rows = select(TICKETS.c.id).where(which).order_by(in_order).with_for_update()
    return update(TICKETS).where(TICKETS.c.id.in_(rows)).values(ends_at=OVER)


def _remember_logins(session: Session, last: Mapping[int, int]) -> None:
    """session that writes, user id -> Unix time of a login that no ticket tells of any more"""
    told: BindParameter[int] = bindparam("told_at")
    one = (
        update(USERS)
        .where(
            USERS.c.id == bindparam("an_id"),
            or_(USERS.c.last_login_at.is_(None), USERS.c.last_login_at < told),
        )
        .values(last_login_at=told)
    )
    rows = [{"an_id": user_id, "told_at": at} for user_id, at in sorted(last.items())]
    session.connection().execute(one, rows)


def _delete_tickets(session: Session, ticket_ids: Sequence[str]) -> int:
    """session that writes, ids -> how many open tickets were deleted"""
    one = delete(TICKETS).where(TICKETS.c.id == bindparam("an_id"))
    ids = [{"an_id": each} for each in sorted(ticket_ids)]
    return row_count(session.connection().execute(one, ids))


def _add_ticket(session: Session, ticket: OpenTicket) -> None:
    """session that writes, ticket -> None; its user's row is locked before any other

    Whoever removes the user, or ends all tickets, begins there too. PostgreSQL does it by the
    foreign key; InnoDB writes the ticket first, and looks then.
    """
    if session.get_bind().dialect.name not in ("sqlite", "postgresql"):
        user = select(USERS.c.id).where(USERS.c.id == ticket.user_id)
        session.execute(user.with_for_update(read=True))
    session.execute(
        insert(TICKETS),
        {
            "id": ticket.id,
            "user_id": ticket.user_id,
            "scheme": ticket.scheme,
            "device_id": ticket.device_id,
            "user_agent": ticket.user_agent,
            "address": ticket.address,
            "login_at": ticket.login_at,
            "last_seen_at": ticket.last_seen_at,
            "ends_at": ticket.ends_at,
        },
    )


def _insertion(device: Device) -> Insert:
    return insert(DEVICES).values(
        {
            DeviceRow.id: device.id,
            DeviceRow.user_id: device.user_id,
            DeviceRow.user_agent: device.user_agent,
            DeviceRow.address: device.address,
            DeviceRow.created_at: device.created_at,
            DeviceRow.last_used_at: device.last_used_at,
        }
    )


def _touching(device: Device) -> Update:
    """device -> UPDATE of when and where it was last used; one that was forgotten stays so"""
    return (
        update(DEVICES)
        .where(DEVICES.c.id == device.id)
        .values({DeviceRow.last_used_at: device.last_used_at, DeviceRow.address: device.address})
    )


def device_of(row: DeviceRow) -> Device:
    return Device(
        row.id, row.user_id, row.created_at, row.last_used_at, row.user_agent, row.address or ""
    )
