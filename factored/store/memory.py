"""The stores in memory, for tests: one process, lost at its end, the same contract."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from factored.codes import new_id
from factored.interfaces import (
    Attempt,
    Authenticator,
    AuthenticatorState,
    Challenge,
    Charge,
    Clock,
    Device,
    Link,
    LinkKind,
    Refusal,
    User,
    UserExists,
)
from factored.store.attempts import bucket_owner, ends_at, refusal
from factored.store.challenges import MAX_TRIES


class MemoryRevocationStore:
    """:class:`factored.interfaces.RevocationStore` in memory, by the clock given."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._rows: list[tuple[str, int, int]] = []

    def add(self, values: Sequence[str], *, for_s: int) -> None:
        now = int(self._clock.now_s())
        with self._lock:
            self._rows += [(value, now, now + for_s) for value in values]

    def read(self, since: int | None) -> tuple[int, list[str]]:
        now = int(self._clock.now_s())
        with self._lock:
            return now, [
                value
                for value, created_at, over_at in self._rows
                if over_at > now and (since is None or created_at >= since)
            ]

    def prune(self) -> int:
        now = self._clock.now_s()
        with self._lock:
            kept = [row for row in self._rows if row[2] > now]
            gone, self._rows = len(self._rows) - len(kept), kept
            return gone


class MemoryAttemptStore:
    """:class:`factored.interfaces.AttemptStore` in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: list[tuple[str, str, int, int]] = []

    def count(self, charges: Sequence[Charge], *, now_s: int) -> Attempt | Refusal:
        with self._lock:
            refused = refusal(charges, self._stamps([one.bucket for one in charges]), now_s)
            if refused is not None:
                return refused
            attempt = Attempt(new_id())
            self._rows += [
                (attempt.id, charge.bucket, now_s, ends_at(charge, now_s)) for charge in charges
            ]
            return attempt

    def forgive(self, attempt: Attempt, *, clear: Sequence[str] = ()) -> None:
        with self._lock:
            self._rows = [row for row in self._rows if row[0] != attempt.id and row[1] not in clear]

    def stamps(self, buckets: Sequence[str], *, now_s: int) -> dict[str, list[int]]:
        with self._lock:
            return self._stamps(buckets, now_s)

    def prune(self, *, now_s: int) -> int:
        with self._lock:
            kept = [row for row in self._rows if row[3] > now_s]
            gone, self._rows = len(self._rows) - len(kept), kept
            return gone

    def drop(self, prefix: str) -> None:
        """how bucket names begin -> None; what removing a user does in SQL"""
        with self._lock:
            self._rows = [row for row in self._rows if not row[1].startswith(prefix)]

    def _stamps(self, buckets: Sequence[str], now_s: int | None = None) -> dict[str, list[int]]:
        stamps: dict[str, list[int]] = {}
        for _, bucket, at, over_at in sorted(self._rows, key=lambda row: row[2]):
            if bucket in buckets and (now_s is None or over_at > now_s):
                stamps.setdefault(bucket, []).append(at)
        return stamps


class MemoryDeviceStore:
    """:class:`factored.interfaces.DeviceStore` in memory."""

    def __init__(self) -> None:
        self._devices: dict[str, Device] = {}

    def add(self, device: Device) -> None:
        self._devices[device.id] = device

    def find(self, device_id: str, user_id: int) -> Device | None:
        device = self._devices.get(device_id)
        return device if device is not None and device.user_id == user_id else None

    def touch(self, device_id: str, *, now_s: int) -> None:
        device = self._devices.get(device_id)
        if device is not None:
            self._devices[device_id] = replace(device, last_used_at=now_s)

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
    ) -> None:
        self._revocations = revocations
        self._attempts = attempts
        self._devices = devices
        self._lock = threading.Lock()
        self._users: dict[int, User] = {}
        self._last_id = 0

    def find(self, username_key: str) -> User | None:
        with self._lock:
            return self._by_key(username_key)

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

    def remove(self, user_id: int, *, revoke_for_s: int) -> bool:
        with self._lock:
            user = self._users.pop(user_id, None)
            if user is None:
                return False
            self._revocations.add([user.ticket_series], for_s=revoke_for_s)
            self._attempts.drop(bucket_owner(user_id))
            self._devices.drop(user_id)
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
            for user in list(self._users.values()):
                for one in user.authenticators:
                    if one.id == authenticator_id and one.state is AuthenticatorState.PENDING:
                        new = replace(
                            one,
                            state=AuthenticatorState.ACTIVE,
                            confirmed_at=now_s,
                            last_used_at=now_s,
                            last_step=step,
                        )
                        others = (old for old in user.authenticators if old.scheme != one.scheme)
                        return self._renew(
                            user.id, ticket_series, revoke_for_s, authenticators=(*others, new)
                        )
            return False

    def end_tickets(self, user_id: int, *, ticket_series: str, revoke_for_s: int) -> bool:
        with self._lock:
            return self._renew(user_id, ticket_series, revoke_for_s)

    def set_disabled(
        self, user_id: int, disabled_at: int | None, *, ticket_series: str, revoke_for_s: int
    ) -> bool:
        with self._lock:
            return self._renew(user_id, ticket_series, revoke_for_s, disabled_at=disabled_at)

    def note_login(self, user_id: int, *, now_s: int) -> None:
        with self._lock:
            user = self._users.get(user_id)
            if user is not None:
                self._users[user_id] = replace(user, last_login_at=now_s)

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


class MemoryLinkStore:
    """:class:`factored.interfaces.LinkStore` in memory."""

    def __init__(self, users: MemoryUserStore) -> None:
        self._users = users
        self._lock = threading.Lock()
        self._links: dict[str, Link] = {}
        self._last_id = 0

    def add(
        self, kind: LinkKind, user_id: int, token_hash: str, *, now_s: int, ends_at: int
    ) -> None:
        with self._lock:
            self._last_id += 1
            self._links[token_hash] = Link(self._last_id, kind, user_id, "", ends_at, "")

    def find(self, token_hashes: Sequence[str], *, now_s: int) -> Link | None:
        for token_hash in token_hashes:
            link = self._links.get(token_hash)
            user = None if link is None else self._users.get(link.user_id)
            if link is not None and user is not None and link.ends_at > now_s:
                return replace(link, username=user.username)
        return None

    def spend(self, link_id: int, *, now_s: int) -> bool:
        with self._lock:
            for token_hash, link in list(self._links.items()):
                there = self._users.get(link.user_id) is not None
                if link.id == link_id and link.ends_at > now_s and there:
                    self._links[token_hash] = replace(link, ends_at=0)
                    return True
            return False

    def end(self, user_id: int, kind: LinkKind | None = None) -> None:
        with self._lock:
            for token_hash, link in list(self._links.items()):
                if link.user_id == user_id and kind in (None, link.kind):
                    del self._links[token_hash]

    def prune(self, *, now_s: int) -> int:
        with self._lock:
            kept = {key: link for key, link in self._links.items() if link.ends_at > now_s}
            gone, self._links = len(self._links) - len(kept), kept
            return gone


class MemoryChallengeStore:
    """:class:`factored.interfaces.ChallengeStore` in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest: dict[tuple[str, str], Challenge] = {}
        self._tries: dict[str, int] = {}

    def add(self, challenge: Challenge) -> None:
        with self._lock:
            self._newest[challenge.browser_hash, challenge.scheme] = challenge
            self._tries[challenge.id] = 0

    def newest(self, browser_hashes: Sequence[str], scheme: str, *, now_s: int) -> Challenge | None:
        with self._lock:
            found = [
                one
                for (browser_hash, of_scheme), one in self._newest.items()
                if browser_hash in browser_hashes and of_scheme == scheme
            ]
            newest = max(found, key=lambda one: one.created_at, default=None)
            return newest if newest is not None and self._is_live(newest, now_s) else None

    def linked(self, link_hashes: Sequence[str], scheme: str, *, now_s: int) -> Challenge | None:
        with self._lock:
            for one in self._newest.values():
                if one.link_hash in link_hashes and one.scheme == scheme:
                    return one if self._is_live(one, now_s) else None
            return None

    def answer(self, challenge_id: str, hashes: Sequence[str], *, now_s: int) -> bool:
        with self._lock:
            for one in self._newest.values():
                if one.id == challenge_id and self._is_live(one, now_s):
                    self._tries[one.id] += 1
                    if one.code_hash in hashes or one.link_hash in hashes:
                        self._tries[one.id] = MAX_TRIES
                        return True
            return False

    def prune(self, *, now_s: int) -> int:
        with self._lock:
            over = [key for key, one in self._newest.items() if one.ends_at <= now_s]
            for key in over:
                del self._tries[self._newest.pop(key).id]
            return len(over)

    def _is_live(self, challenge: Challenge, now_s: int) -> bool:
        return challenge.ends_at > now_s and self._tries[challenge.id] < MAX_TRIES
