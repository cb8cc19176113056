"""Many users made from a file: judged line by line, written in batches or all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeAlias

from factored import codes, names
from factored.interfaces import (
    Authenticator,
    AuthenticatorState,
    Cipher,
    Clock,
    DecryptionError,
    FactoredError,
    NewUser,
    User,
    UserExists,
    UserStore,
)
from factored.keys import SECRET
from factored.services import audit
from factored.services.account import MOST
from factored.services.adoption import BadSecret, is_short, read_secret
from factored.services.enrolment import SCHEME, label_of, open_secret, place
from factored.services.seen_keys import SeenKeys

BATCH = 500
"""Lines that are written in one transaction: some hundredths of a second for whoever waits."""

TRIES = 5
"""How often a batch is judged anew because somebody else made one of its users meanwhile."""

MAX_SECRET = 128
"""Characters of base32: 80 bytes, more than any authenticator app makes."""


class Overtaken(FactoredError):
    """Others make the same users at the same time."""


@dataclass(frozen=True, slots=True)
class Held:
    """An authenticator of a user in the file. What the file does not say is None."""

    secret: str | None = field(default=None, repr=False)
    label: str = ""
    created_at: int | None = None
    confirmed_at: int | None = None
    last_used_at: int | None = None
    last_step: int = -1


@dataclass(frozen=True, slots=True)
class Entry:
    """A user in the file, as it stands there; ``disabled`` is None if the file does not say."""

    line: int
    username: str
    held: tuple[Held, ...]
    disabled: bool | None = None
    disabled_at: int | None = None
    created_at: int | None = None
    last_login_at: int | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that makes no user: its number, the name in it as far as there is one, and why."""

    line: int
    username: str
    reason: str


Item: TypeAlias = Entry | Refused


@dataclass
class Counts:
    """What came of the lines so far. ``without_authenticator`` are among the new."""

    new: int = 0
    already: int = 0
    refused: int = 0
    without_authenticator: int = 0

    @property
    def lines(self) -> int:
        return self.new + self.already + self.refused


class Import:
    """Makes users of entries.

    A user who is there and is the same stays as he is and is no error, so that an import may run
    again. One who is there and differs is refused: an import changes nobody.

    :param refuse: told of every line that is refused, in order
    :param progress: told that a batch is done
    """

    def __init__(
        self,
        users: UserStore,
        cipher: Cipher,
        clock: Clock,
        *,
        refuse: Callable[[Refused], None],
        progress: Callable[[Counts], None],
    ) -> None:
        self._users = users
        self._cipher = cipher
        self._clock = clock
        self._refuse = refuse
        self._progress = progress
        self._seen = SeenKeys()
        self._untold: list[Refused] = []
        self.counts = Counts()

    def run(self, items: Iterable[Item]) -> None:
        """items -> None; each batch is one transaction, and lines that are refused are left out

        :raises StoreError: the store did not answer; what was counted as new is there
        """
        for batch in _batches(items):
            try:
                self._write(self._fresh(batch))
            finally:
                self._tell()
            self._progress(self.counts)

    def _write(self, waiting: list[_Judged]) -> None:
        for _ in range(TRIES):
            waiting = self._judge(waiting)
            try:
                made = self._users.add_many(map(self._newcomer, waiting))
            except UserExists:
                continue
            self._count_new(waiting)
            _record(made)
            return
        raise Overtaken("somebody else makes the same users: run the import again")

    def run_atomic(self, items: Iterable[Item]) -> bool:
        """items -> whether the users were made: all, in one transaction, or if one is refused none

        :raises StoreError: the store did not answer; nobody was made
        :raises Overtaken: somebody else made one of the users meanwhile; nobody was made
        """
        batches = _batches(items)

        def newcomers() -> Iterator[NewUser]:
            for batch in batches:
                waiting = self._look(batch)
                if self.counts.refused:
                    raise _Undo
                yield from map(self._newcomer, waiting)

        made = None
        try:
            made = self._users.add_many(newcomers())
        except _Undo:
            for batch in batches:  # outside the transaction, to tell of all that is refused
                self._look(batch)
        except UserExists as error:
            raise Overtaken(
                "somebody else made one of the users meanwhile: run the import again"
            ) from error
        finally:
            if made is None:
                self.counts.new = self.counts.without_authenticator = 0
        _record(made or 0)
        return made is not None

    def _look(self, batch: Sequence[Item]) -> list[_Judged]:
        """batch -> those of it who are to be made, counted as if they were"""
        try:
            waiting = self._judge(self._fresh(batch))
        finally:
            self._tell()
        self._count_new(waiting)
        self._progress(self.counts)
        return waiting

    def _fresh(self, batch: Sequence[Item]) -> list[_Judged]:
        """batch -> those that can be users, and are in the file for the first time"""
        fresh = []
        for item in batch:
            if isinstance(item, Refused):
                self._refused(item)
                continue
            try:
                one = _judged(item)
            except ValueError as error:
                self._refused(Refused(item.line, item.username, str(error)))
                continue
            first = self._seen.line(one.key, item.line)
            if first != item.line:
                self._refused(
                    Refused(item.line, item.username, f"is the same user as in line {first}")
                )
                continue
            fresh.append(one)
        return fresh

    def _judge(self, waiting: Sequence[_Judged]) -> list[_Judged]:
        """those that can be users -> those that are none yet; the others are counted"""
        there = {
            user.username_key: user for user in self._users.find_many([w.key for w in waiting])
        }
        missing = []
        for one in waiting:
            user = there.get(one.key)
            if user is None:
                missing.append(one)
                continue
            differs = self._difference(one, user)
            if differs is None:
                self.counts.already += 1
            else:
                self._refused(Refused(one.entry.line, one.entry.username, differs))
        return missing

    def _difference(self, one: _Judged, user: User) -> str | None:
        """what a line says, the user of that name -> in what they differ, if they do"""
        if user.username != one.name:
            return f"exists already, spelt {user.username!r}"
        is_off = user.disabled_at is not None
        if one.entry.disabled is not None and one.entry.disabled != is_off:
            return f"exists already, and is {'disabled' if is_off else 'not disabled'}"
        wanted = {held.secret for held in one.entry.held if held.secret is not None}
        if not wanted:
            return None
        try:
            has = {
                read_secret(open_secret(self._cipher, held))
                for held in user.authenticators
                if held.scheme == SCHEME and held.state is AuthenticatorState.ACTIVE
            }
        except (DecryptionError, BadSecret):
            return "exists already, with a secret that cannot be read with today's keys"
        return None if wanted <= has else "exists already, with another secret"

    def _newcomer(self, one: _Judged) -> NewUser:
        entry, now_s = one.entry, int(self._clock.now_s())

        def authenticators(user_id: int) -> list[Authenticator]:
            return [self._authenticator(held, user_id, now_s) for held in entry.held]

        return NewUser(
            username=one.name,
            username_key=one.key,
            ticket_series=codes.new_id(),
            created_at=_or(entry.created_at, now_s),
            disabled_at=_or(entry.disabled_at, now_s) if entry.disabled else None,
            last_login_at=entry.last_login_at,
            authenticators=authenticators,
        )

    def _authenticator(self, held: Held, user_id: int, now_s: int) -> Authenticator:
        secret = codes.new_totp_secret() if held.secret is None else held.secret
        authenticator_id = codes.new_id()
        created_at = _or(held.created_at, now_s)
        return Authenticator(
            authenticator_id, user_id, SCHEME, label_of(held.label),
            self._cipher.encrypt(SECRET, secret, bound_to=place(user_id, authenticator_id)),
            AuthenticatorState.ACTIVE, created_at,
            confirmed_at=_or(held.confirmed_at, created_at),
            last_used_at=held.last_used_at,
            last_step=held.last_step,
            needs_renewal=is_short(secret),
        )  # fmt: skip

    def _refused(self, refused: Refused) -> None:
        self.counts.refused += 1
        self._untold.append(refused)

    def _tell(self) -> None:
        """-> None; a batch has told of all of its lines that are refused, in their order"""
        for refused in sorted(self._untold, key=lambda one: one.line):
            self._refuse(refused)
        self._untold = []

    def _count_new(self, made: Sequence[_Judged]) -> None:
        self.counts.new += len(made)
        self.counts.without_authenticator += sum(not one.entry.held for one in made)


def _or(moment: int | None, otherwise: int) -> int:
    return otherwise if moment is None else moment


def _record(made: int) -> None:
    if made:
        audit.record("import", result="success", reason=f"{made:,} users made")


class _Undo(Exception):
    """Lines were refused in an import of all or nothing."""


@dataclass(frozen=True, slots=True)
class _Judged:
    """An entry that can be a user, with the name and the key he would have."""

    entry: Entry
    name: str
    key: str


def _judged(entry: Entry) -> _Judged:
    """entry -> the same with the name to store

    :raises ValueError: it cannot be a user; says why
    """
    name = names.check(entry.username)
    if len(entry.held) > MOST:
        raise ValueError(f"has more than {MOST} authenticators")
    return _Judged(entry, name, names.key(name))


def totp_secret(text: str) -> str:
    """what stands in a file, in any case, with spaces and hyphens -> base32 in capitals

    :raises ValueError: no code can come from it; says why, and nothing of the secret
    """
    if len(text) > 2 * MAX_SECRET:
        raise ValueError(f"the secret is longer than {MAX_SECRET} characters")
    try:
        secret = read_secret("".join(text.replace("-", " ").split()))
    except BadSecret as error:
        raise ValueError(f"the secret {error}") from None
    if len(secret) > MAX_SECRET:
        raise ValueError(f"the secret is longer than {MAX_SECRET} characters")
    return secret


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    rest = iter(items)
    while batch := list(islice(rest, BATCH)):
        yield batch
