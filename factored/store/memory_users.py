"""Users, their browsers and their tickets in memory, for tests; the same contract."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from factored.interfaces import (
    Authenticator,
    AuthenticatorState,
    Device,
    NewLogin,
    NewUser,
    OpenTicket,
    StoreError,
    User,
    UserExists,
)
from factored.store.attempts import bucket_owner
from factored.store.memory import (
    MemoryAttemptStore,
    MemoryRecoveryCodeStore,
    MemoryRevocationStore,
)


class MemoryDeviceStore:
    """:class:`factored.interfaces.DeviceStore` in memory."""

    def __init__(self) -> None:
        self._devices: dict[str, Device] = {}

    def add(self, device: Device) -> None:
        self._devices[device.id] = device

    def find(self, device_id: str, user_id: int) -> Device | None:
        device = self._devices.get(device_id)
        return device if device is not None and device.user_id == user_id else None

    def touch(self, device: Device) -> None:
        """a device as it is from now on -> None; one that was forgotten stays so"""
        if device.id in self._devices:
            self._devices[device.id] = device

    def of(self, user_id: int) -> list[Device]:
        own = [device for device in self._devices.values() if device.user_id == user_id]
        return sorted(own, key=lambda device: (-device.last_used_at, device.id))

    def forget(self, device_id: str, user_id: int) -> bool:
        if self.find(device_id, user_id) is None:
            return False
        return self._devices.pop(device_id, None) is not None

    def prune(self, *, unused_since: int) -> int:
        old = [one.id for one in self._devices.values() if one.last_used_at < unused_since]
        for device_id in old:
            del self._devices[device_id]
        return len(old)

    def drop(self, user_id: int) -> None:
        """user id -> None; what removing a user does in SQL"""
        for device in list(self._devices.values()):
            if device.user_id == user_id:
                del self._devices[device.id]


class MemoryUserStore:
    """:class:`factored.interfaces.UserStore` in memory; ids are never given twice."""

    def __init__(
        self,
        revocations: MemoryRevocationStore,
        attempts: MemoryAttemptStore,
        devices: MemoryDeviceStore,
        recovery_codes: MemoryRecoveryCodeStore,
    ) -> None:
        self._revocations = revocations
        self._attempts = attempts
        self._devices = devices
        self._recovery_codes = recovery_codes
        self._lock = threading.Lock()
        self._users: dict[int, User] = {}
        self._last_id = 0

    def find(self, username_key: str) -> User | None:
        with self._lock:
            return self._by_key(username_key)

    def find_with_devices(
        self, username_key: str, device_ids: Sequence[str]
    ) -> tuple[User | None, list[Device]]:
        user = self.find(username_key)
        if user is None:
            return None, []
        found = (self._devices.find(one, user.id) for one in dict.fromkeys(device_ids))
        return user, [device for device in found if device is not None]

    def get(self, user_id: int) -> User | None:
        with self._lock:
            return self._users.get(user_id)

    def add(
        self,
        username: str,
        username_key: str,
        *,
        ticket_series: str,
        now_s: int,
        authenticator: Callable[[int], Authenticator] | None = None,
    ) -> User:
        with self._lock:
            if self._by_key(username_key) is not None:
                raise UserExists(username)
            user_id = self._last_id + 1
            held = () if authenticator is None else (authenticator(user_id),)
            user = User(user_id, username, username_key, ticket_series, now_s, authenticators=held)
            self._last_id = user_id
            self._users[user_id] = user
            return user

    def find_many(self, username_keys: Sequence[str]) -> list[User]:
        wanted = set(username_keys)
        with self._lock:
            return [user for user in self._users.values() if user.username_key in wanted]

    def add_many(self, newcomers: Iterable[NewUser]) -> int:
        waiting = list(newcomers)  # outside the lock: whoever makes them may ask meanwhile
        with self._lock:
            taken = {user.username_key for user in self._users.values()}
            made = {}
            for user_id, new in enumerate(waiting, self._last_id + 1):
                if new.username_key in taken:
                    raise UserExists(new.username)
                taken.add(new.username_key)
                held = new.authenticators(user_id) if new.authenticators else ()
                made[user_id] = User(
                    user_id, new.username, new.username_key, new.ticket_series, new.created_at,
                    new.disabled_at, tuple(held), new.last_login_at,
                )  # fmt: skip
            self._last_id += len(made)
            self._users |= made
            return len(made)

    def remove(self, user_id: int, *, revoke_for_s: int) -> bool:
        with self._lock:
            user = self._users.pop(user_id, None)
            if user is None:
                return False
            self._revocations.add([user.ticket_series], for_s=revoke_for_s)
            self._attempts.drop(bucket_owner(user_id))
            self._devices.drop(user_id)
            self._recovery_codes.drop(user_id)
            return True

    def each(self) -> Iterator[User]:
        with self._lock:
            users = sorted(self._users.values(), key=lambda user: user.username_key)
        return iter(users)

    def accept_step(self, authenticator_id: str, step: int, *, now_s: int) -> bool:
        moved = self._change(
            lambda one: one.id == authenticator_id and one.last_step < step,
            lambda one: replace(one, last_step=step, last_used_at=now_s),
        )
        return moved == 1

    def add_pending(self, authenticator: Authenticator) -> None:
        with self._lock:
            user = self._users[authenticator.user_id]
            kept = (
                one for one in user.authenticators if one.state is not AuthenticatorState.PENDING
            )
            self._users[user.id] = replace(user, authenticators=(*kept, authenticator))

    def confirm(
        self, authenticator_id: str, step: int, *, ticket_series: str, now_s: int, revoke_for_s: int
    ) -> bool:
        with self._lock:
            user, held = self._pending(authenticator_id)
            if user is None or held is None:
                return False
            others = (old for old in user.authenticators if old.scheme != held.scheme)
            self._recovery_codes.drop(user.id)
            return self._renew(
                user.id,
                ticket_series,
                revoke_for_s,
                authenticators=(*others, _confirmed(held, step, now_s)),
            )

    def confirm_another(
        self, authenticator_id: str, step: int, *, label: str, most: int, now_s: int
    ) -> bool:
        with self._lock:
            user, held = self._pending(authenticator_id)
            if user is None or held is None or len(_active(user, held.scheme)) >= most:
                return False
            new = replace(_confirmed(held, step, now_s), label=label)
            others = (one for one in user.authenticators if one.id != held.id)
            self._users[user.id] = replace(user, authenticators=(*others, new))
            return True

    def rename_authenticator(self, user_id: int, authenticator_id: str, label: str) -> bool:
        renamed = self._change(
            lambda one: (
                (one.user_id, one.id, one.state)
                == (user_id, authenticator_id, AuthenticatorState.ACTIVE)
            ),
            lambda one: replace(one, label=label),
        )
        return renamed == 1

    def drop_authenticator(
        self, user_id: int, authenticator_id: str, *, ticket_series: str, revoke_for_s: int
    ) -> bool:
        with self._lock:
            user = self._users.get(user_id)
            active = [] if user is None else _active(user)
            if user is None or authenticator_id not in active or len(active) == 1:
                return False
            kept = tuple(one for one in user.authenticators if one.id != authenticator_id)
            return self._renew(user_id, ticket_series, revoke_for_s, authenticators=kept)

    def end_tickets(self, user_id: int, *, ticket_series: str, revoke_for_s: int) -> bool:
        with self._lock:
            return self._renew(user_id, ticket_series, revoke_for_s)

    def set_disabled(
        self, user_id: int, disabled_at: int | None, *, ticket_series: str, revoke_for_s: int
    ) -> bool:
        with self._lock:
            return self._renew(user_id, ticket_series, revoke_for_s, disabled_at=disabled_at)

    def note_login(self, user_id: int, *, login_at: int) -> None:
        """user id -> None; what adding a ticket does in SQL"""
        with self._lock:
            user = self._users.get(user_id)
            if user is not None:
                last = max(login_at, user.last_login_at or 0)
                self._users[user_id] = replace(user, last_login_at=last)

    def replace_secret(self, authenticator_id: str, old: str, new: str) -> bool:
        replaced = self._change(
            lambda one: one.id == authenticator_id and one.secret == old,
            lambda one: replace(one, secret=new),
        )
        return replaced == 1

    def lower_steps(self, user_id: int, step: int, *, window: int = 0) -> int:
        return self._change(
            lambda one: one.user_id == user_id and one.last_step > step + window,
            lambda one: replace(one, last_step=step),
        )

    def _pending(self, authenticator_id: str) -> tuple[User | None, Authenticator | None]:
        for user in self._users.values():
            for one in user.authenticators:
                if one.id == authenticator_id and one.state is AuthenticatorState.PENDING:
                    return user, one
        return None, None

    def _renew(self, user_id: int, ticket_series: str, revoke_for_s: int, **changed: Any) -> bool:
        user = self._users.get(user_id)
        if user is None:
            return False
        self._revocations.add([user.ticket_series], for_s=revoke_for_s)
        self._users[user_id] = replace(user, ticket_series=ticket_series, **changed)
        return True

    def _by_key(self, username_key: str) -> User | None:
        return next(
            (user for user in self._users.values() if user.username_key == username_key), None
        )

    def _change(
        self,
        wanted: Callable[[Authenticator], bool],
        changed: Callable[[Authenticator], Authenticator],
    ) -> int:
        count = 0
        with self._lock:
            for user in list(self._users.values()):
                hits = sum(map(wanted, user.authenticators))
                if hits:
                    self._users[user.id] = replace(
                        user,
                        authenticators=tuple(
                            changed(one) if wanted(one) else one for one in user.authenticators
                        ),
                    )
                    count += hits
        return count


class MemoryTicketStore:
    """:class:`factored.interfaces.TicketStore` in memory."""

    def __init__(
        self,
        users: MemoryUserStore,
        devices: MemoryDeviceStore,
        attempts: MemoryAttemptStore,
        revocations: MemoryRevocationStore,
    ) -> None:
        self._users = users
        self._devices = devices
        self._attempts = attempts
        self._revocations = revocations
        self._lock = threading.Lock()
        self._tickets: dict[str, tuple[str, OpenTicket]] = {}

    def add_login(self, login: NewLogin) -> None:
        if self._users.get(login.ticket.user_id) is None:
            raise StoreError("the user is gone")
        self.add(login.ticket)
        if login.new_device:
            self._devices.add(login.device)
        else:
            self._devices.touch(login.device)
        self._revocations.add(login.ended, for_s=login.revoke_for_s)
        self.drop(login.ended)
        self._attempts.forgive(login.forgiven, login.cleared)

    def add(self, ticket: OpenTicket) -> None:
        user = self._users.get(ticket.user_id)
        with self._lock:
            self._tickets[ticket.id] = (user.ticket_series if user else "", ticket)
        self._users.note_login(ticket.user_id, login_at=ticket.login_at)

    def of(self, user_id: int, *, now_s: int) -> list[OpenTicket]:
        user = self._users.get(user_id)
        with self._lock:
            own = [
                ticket
                for series, ticket in self._tickets.values()
                if user is not None
                and (ticket.user_id, series) == (user_id, user.ticket_series)
                and ticket.ends_at > now_s
            ]
        return sorted(own, key=lambda ticket: (-ticket.login_at, ticket.id))

    def see(self, seen: Mapping[str, int]) -> None:
        with self._lock:
            for ticket_id in seen.keys() & self._tickets.keys():
                series, ticket = self._tickets[ticket_id]
                at = max(seen[ticket_id], ticket.last_seen_at)
                self._tickets[ticket_id] = (series, replace(ticket, last_seen_at=at))

    def drop(self, ticket_ids: Sequence[str]) -> None:
        with self._lock:
            for ticket_id in ticket_ids:
                self._tickets.pop(ticket_id, None)

    def prune(self, *, now_s: int) -> int:
        with self._lock:
            over = [key for key, (_, one) in self._tickets.items() if one.ends_at <= now_s]
            for key in over:
                del self._tickets[key]
            return len(over)


def _active(user: User, scheme: str | None = None) -> list[str]:
    """user, scheme or None for any -> ids of what the user may log in with, disabled or not"""
    return [
        one.id
        for one in user.authenticators
        if one.state is AuthenticatorState.ACTIVE and scheme in (None, one.scheme)
    ]


def _confirmed(held: Authenticator, step: int, now_s: int) -> Authenticator:
    return replace(
        held,
        state=AuthenticatorState.ACTIVE,
        confirmed_at=now_s,
        last_used_at=now_s,
        last_step=step,
    )
