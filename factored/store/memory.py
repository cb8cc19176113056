"""Stores in memory, for tests: one process, lost at its end, the same contract."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from factored.codes import new_id
from factored.interfaces import (
    Attempt,
    Challenge,
    Charge,
    Clock,
    CodesLeft,
    Link,
    LinkKind,
    Refusal,
    UserStore,
)
from factored.store.attempts import ends_at, refusal
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

    def forgive(self, attempt: Attempt | None, cleared: Sequence[str] = ()) -> None:
        """attempt or None, buckets -> None; what a login does in SQL"""
        own = attempt.id if attempt else ""
        with self._lock:
            self._rows = [row for row in self._rows if row[0] != own and row[1] not in cleared]

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


class MemoryLinkStore:
    """:class:`factored.interfaces.LinkStore` in memory."""

    def __init__(self, users: UserStore) -> None:
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


class MemoryRecoveryCodeStore:
    """:class:`factored.interfaces.RecoveryCodeStore` in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[int, int] = {}
        self._unburned: dict[int, set[str]] = {}

    def replace(self, user_id: int, code_hashes: Sequence[str], *, now_s: int) -> None:
        with self._lock:
            self._made[user_id] = now_s
            self._unburned[user_id] = set(code_hashes)

    def burn(self, user_id: int, code_hashes: Sequence[str], *, now_s: int) -> bool:
        with self._lock:
            hits = self._unburned.get(user_id, set()) & set(code_hashes)
            self._unburned.get(user_id, set()).difference_update(hits)
            return bool(hits)

    def left(self, user_id: int) -> CodesLeft | None:
        with self._lock:
            made_at = self._made.get(user_id)
            return None if made_at is None else CodesLeft(len(self._unburned[user_id]), made_at)

    def drop(self, user_id: int) -> None:
        """user id -> None; what removing a user, or enrolling anew, does in SQL"""
        with self._lock:
            self._made.pop(user_id, None)
            self._unburned.pop(user_id, None)
