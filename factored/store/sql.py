"""Users and what they hold in an SQL database; each method is one short transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import and_, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, selectinload
from sqlalchemy.sql import Select

from factored.interfaces import (
    Authenticator,
    AuthenticatorState,
    Device,
    NewUser,
    User,
    UserExists,
)
from factored.store.attempts import bucket_owner, delete_attempts
from factored.store.bulk import columns_of, insert_users, pages, plan_anew
from factored.store.database import Database, database_now, row_count
from factored.store.devices import LAST_TICKET, device_of, drop_tickets
from factored.store.tables import (
    AttemptRow,
    AuthenticatorRow,
    Base,
    DeviceRow,
    RecoveryCodeRow,
    RevocationRow,
    TicketRow,
    UserRow,
)

AUTHENTICATORS = Base.metadata.tables[AuthenticatorRow.__tablename__]

PAGE = 500
"""Users read, or made, at a time."""


class SqlUserStore:
    """:class:`factored.interfaces.UserStore` on a :class:`Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, username_key: str) -> User | None:
        if "\0" in username_key:  # PostgreSQL takes no NUL, so nobody is called that
            return None
        return self._one(BY_KEY, username_key)

    def find_with_devices(
        self, username_key: str, device_ids: Sequence[str]
    ) -> tuple[User | None, list[Device]]:
        if not device_ids or "\0" in username_key:
            return self.find(username_key), []
        with self._database.reading() as session:
            asked = {"which": username_key, "device_ids": device_ids}
            rows = session.execute(BY_KEY_WITH_DEVICES, asked).all()
            devices = {device.id: device for *_, device in rows if device is not None}
            return _joined(rows), [device_of(device) for device in devices.values()]

    def get(self, user_id: int) -> User | None:
        return self._one(BY_ID, user_id)

    def add(
        self,
        username: str,
        username_key: str,
        *,
        ticket_series: str,
        now_s: int,
        authenticator: Callable[[int], Authenticator] | None = None,
    ) -> User:
        with self._database.writing() as session:
            row = UserRow(
                username=username,
                username_key=username_key,
                ticket_series=ticket_series,
                created_at=now_s,
            )
            session.add(row)
            try:
                session.flush()
            except IntegrityError as error:
                raise UserExists(username) from error
            if authenticator is not None:
                session.add(AuthenticatorRow(**columns_of(authenticator(row.id))))
                session.flush()
                session.expire(row)
            return _user(row, row.authenticators, None)

    def find_many(self, username_keys: Sequence[str]) -> list[User]:
        wanted = [key for key in username_keys if "\0" not in key]
        with self._database.reading() as session:
            plan_anew(session)
            rows = session.execute(
                select(UserRow, LAST_TICKET)
                .where(UserRow.username_key.in_(wanted))
                .options(selectinload(UserRow.authenticators))
            )
            return [_user(row, row.authenticators, last) for row, last in rows]

    def add_many(self, newcomers: Iterable[NewUser]) -> int:
        some = pages(newcomers, PAGE)
        page = next(some, [])  # made before the first lock is taken
        if not page:
            return 0
        added = 0
        with self._database.writing() as session:
            while page:
                try:
                    insert_users(session, page)
                except IntegrityError as error:
                    raise UserExists(f"one of {len(page)} names") from error
                added += len(page)
                page = next(some, [])
        return added

    def remove(self, user_id: int, *, revoke_for_s: int) -> bool:
        with self._database.writing() as session:
            series = session.scalar(
                select(UserRow.ticket_series).where(UserRow.id == user_id).with_for_update()
            )
            if series is None:
                return False
            _revoke(session, series, revoke_for_s)
            # Locks them in the order that all do; they go with the user in any.
            own = session.scalars(select(TicketRow.id).where(TicketRow.user_id == user_id))
            drop_tickets(session, own.all())
            session.execute(delete(UserRow).where(UserRow.id == user_id))
            delete_attempts(session, AttemptRow.bucket.startswith(bucket_owner(user_id)))
            return True

    def each(self) -> Iterator[User]:
        last = ""
        while True:
            with self._database.reading() as session:
                rows = session.execute(
                    select(UserRow, LAST_TICKET)
                    .where(UserRow.username_key > last)
                    .order_by(UserRow.username_key)
                    .limit(PAGE)
                    .options(selectinload(UserRow.authenticators))
                ).all()
                page = [_user(row, row.authenticators, told) for row, told in rows]
            if not page:
                return
            yield from page
            last = page[-1].username_key

    def accept_step(self, authenticator_id: str, step: int, *, now_s: int) -> bool:
        with self._database.writing() as session:
            which = {"which": authenticator_id, "step": step, "now_s": now_s}
            return row_count(session.execute(STEP_FORWARD, which)) == 1

    def add_pending(self, authenticator: Authenticator) -> None:
        with self._database.writing() as session:
            _lock(session, authenticator.user_id)
            session.execute(
                delete(AuthenticatorRow).where(
                    AuthenticatorRow.user_id == authenticator.user_id,
                    AuthenticatorRow.state == AuthenticatorState.PENDING.value,
                )
            )
            session.add(AuthenticatorRow(**columns_of(authenticator)))

    def confirm(
        self, authenticator_id: str, step: int, *, ticket_series: str, now_s: int, revoke_for_s: int
    ) -> bool:
        with self._database.writing() as session:
            held = session.get(AuthenticatorRow, authenticator_id)
            if held is None:
                return False
            _lock(session, held.user_id)
            if not _activate(session, held.id, step, now_s):
                return False
            session.execute(
                delete(AuthenticatorRow).where(
                    AuthenticatorRow.user_id == held.user_id,
                    AuthenticatorRow.scheme == held.scheme,
                    AuthenticatorRow.id != held.id,
                )
            )
            session.execute(delete(RecoveryCodeRow).where(RecoveryCodeRow.user_id == held.user_id))
            _renew_series(session, held.user_id, ticket_series, revoke_for_s)
            return True

    def confirm_another(
        self, authenticator_id: str, step: int, *, label: str, most: int, now_s: int
    ) -> bool:
        with self._database.writing() as session:
            held = session.get(AuthenticatorRow, authenticator_id)
            if held is None or len(_active(session, held.user_id, held.scheme)) >= most:
                return False
            return _activate(session, held.id, step, now_s, label=label)

    def rename_authenticator(self, user_id: int, authenticator_id: str, label: str) -> bool:
        with self._database.writing() as session:
            renamed = session.execute(
                update(AuthenticatorRow)
                .where(
                    AuthenticatorRow.id == authenticator_id,
                    AuthenticatorRow.user_id == user_id,
                    AuthenticatorRow.state == AuthenticatorState.ACTIVE.value,
                )
                .values(label=label)
            )
            return row_count(renamed) == 1

    def drop_authenticator(
        self, user_id: int, authenticator_id: str, *, ticket_series: str, revoke_for_s: int
    ) -> bool:
        with self._database.writing() as session:
            active = _active(session, user_id)
            if authenticator_id not in active or len(active) == 1:
                return False
            session.execute(delete(AuthenticatorRow).where(AuthenticatorRow.id == authenticator_id))
            _renew_series(session, user_id, ticket_series, revoke_for_s)
            return True

    def end_tickets(self, user_id: int, *, ticket_series: str, revoke_for_s: int) -> bool:
        with self._database.writing() as session:
            return _renew_series(session, user_id, ticket_series, revoke_for_s) is not None

    def set_disabled(
        self, user_id: int, disabled_at: int | None, *, ticket_series: str, revoke_for_s: int
    ) -> bool:
        with self._database.writing() as session:
            user = _renew_series(session, user_id, ticket_series, revoke_for_s)
            if user is not None:
                user.disabled_at = disabled_at
            return user is not None

    def replace_secret(self, authenticator_id: str, old: str, new: str) -> bool:
        with self._database.writing() as session:
            replaced = session.execute(
                update(AuthenticatorRow)
                .where(AuthenticatorRow.id == authenticator_id, AuthenticatorRow.secret == old)
                .values(secret=new)
            )
            return row_count(replaced) == 1

    def lower_steps(self, user_id: int, step: int, *, window: int = 0) -> int:
        with self._database.writing() as session:
            lowered = session.execute(
                update(AuthenticatorRow)
                .where(
                    AuthenticatorRow.user_id == user_id,
                    AuthenticatorRow.last_step > step + window,
                )
                .values(last_step=step)
            )
            return row_count(lowered)

    def _one(self, query: Select[Any], which: str | int) -> User | None:
        with self._database.reading() as session:
            return _joined(session.execute(query, {"which": which}).all())


# Each is made once: making one takes as long as asking it. A user and what he holds are one
# statement, as long for a known name as for none: each row is the user, the last login that a
# ticket tells of, and one authenticator.
ONE = (
    select(UserRow, LAST_TICKET, AuthenticatorRow)
    .outerjoin(AuthenticatorRow, AuthenticatorRow.user_id == UserRow.id)
    .order_by(AuthenticatorRow.created_at, AuthenticatorRow.id)
)
BY_ID = ONE.where(UserRow.id == bindparam("which"))
BY_KEY = ONE.where(UserRow.username_key == bindparam("which"))
BY_KEY_WITH_DEVICES = BY_KEY.add_columns(DeviceRow).outerjoin(
    DeviceRow,
    and_(
        DeviceRow.user_id == UserRow.id,
        DeviceRow.id.in_(bindparam("device_ids", expanding=True)),
    ),
)
STEP_FORWARD = (
    update(AUTHENTICATORS)
    .where(
        AuthenticatorRow.id == bindparam("which"), AuthenticatorRow.last_step < bindparam("step")
    )
    .values(
        {
            AuthenticatorRow.last_step: bindparam("step"),
            AuthenticatorRow.last_used_at: bindparam("now_s"),
        }
    )
)


def _joined(rows: Sequence[Any]) -> User | None:
    """rows of one user, if there is one -> User; an authenticator may be in several rows"""
    if not rows:
        return None
    held = {one.id: one for _, _, one, *_ in rows if one is not None}
    user, last_ticket, *_ = rows[0]
    return _user(user, list(held.values()), last_ticket)


def _revoke(session: Session, value: str, for_s: int) -> None:
    now = database_now()
    session.execute(insert(RevocationRow).values(value=value, created_at=now, ends_at=now + for_s))


def _renew_series(
    session: Session, user_id: int, ticket_series: str, revoke_for_s: int
) -> UserRow | None:
    """session that writes, user id, new series -> the user's row or None; the old one is revoked"""
    user = session.get(UserRow, user_id, with_for_update=True)
    if user is not None:
        _revoke(session, user.ticket_series, revoke_for_s)
        user.ticket_series = ticket_series
        open_tickets = select(TicketRow.id).where(TicketRow.user_id == user_id)
        drop_tickets(session, session.scalars(open_tickets).all())
    return user


def _lock(session: Session, user_id: int) -> None:
    """session that writes, user id -> None; whoever changes what the user holds comes here first

    Of two changes at once the second sees what the first did, and neither waits for the other.
    """
    session.scalar(select(UserRow.id).where(UserRow.id == user_id).with_for_update())


def _activate(
    session: Session, authenticator_id: str, step: int, now_s: int, **changed: str
) -> bool:
    """session that writes, a pending authenticator, its first step -> whether this call did it"""
    confirmed = session.execute(
        update(AuthenticatorRow)
        .where(
            AuthenticatorRow.id == authenticator_id,
            AuthenticatorRow.state == AuthenticatorState.PENDING.value,
        )
        .values(
            state=AuthenticatorState.ACTIVE.value,
            confirmed_at=now_s,
            last_used_at=now_s,
            last_step=step,
            **changed,
        )
    )
    return row_count(confirmed) == 1


def _active(session: Session, user_id: int, scheme: str | None = None) -> list[str]:
    """session that writes, user id, scheme -> ids of the active authenticators, until it ends"""
    _lock(session, user_id)
    found = select(AuthenticatorRow.id).where(
        AuthenticatorRow.user_id == user_id,
        AuthenticatorRow.state == AuthenticatorState.ACTIVE.value,
    )
    if scheme is not None:
        found = found.where(AuthenticatorRow.scheme == scheme)
    return list(session.scalars(found))


def _authenticator(row: AuthenticatorRow) -> Authenticator:
    return Authenticator(
        id=row.id,
        user_id=row.user_id,
        scheme=row.scheme,
        label=row.label,
        secret=row.secret,
        state=AuthenticatorState(row.state),
        created_at=row.created_at,
        confirmed_at=row.confirmed_at,
        last_used_at=row.last_used_at,
        last_step=row.last_step,
        needs_renewal=row.needs_renewal,
    )


def _user(row: UserRow, held: Sequence[AuthenticatorRow], last_ticket: int | None) -> User:
    return User(
        id=row.id,
        username=row.username,
        username_key=row.username_key,
        ticket_series=row.ticket_series,
        created_at=row.created_at,
        disabled_at=row.disabled_at,
        authenticators=tuple(_authenticator(one) for one in held),
        last_login_at=max((row.last_login_at, last_ticket), key=lambda at: at or 0),
    )
