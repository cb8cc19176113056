"""Taking over the users of factored 1.x to 4.x: all that can be, or none and the reasons."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from factored import codes, names
from factored.interfaces import (
    Authenticator,
    AuthenticatorState,
    Cipher,
    Clock,
    FactoredError,
    NewUser,
)
from factored.keys import SECRET
from factored.services import audit
from factored.services.enrolment import LABEL, SCHEME, place
from factored.store.legacy import LegacyUsers, Newcomer, OldUser

MIN_SECRET_BYTES = 10
"""What factored 1.x to 4.x made; the scheme refuses less."""

SECRET_BYTES = 20
"""160 bits (RFC 4226 section 4, R6): what is shorter is marked for renewal."""

HOW_TO_MEND = (
    "Nothing was changed. Rename or delete such rows, and one of each pair, in the old table: "
    "UPDATE users SET username = 'NEW NAME' WHERE id = ID; then run `factored init` again."
)


class NotAdoptable(FactoredError):
    """Old names that cannot be users here: the operator's to mend.

    :param problems: one sentence for each name or pair
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = (*problems, HOW_TO_MEND)
        super().__init__("\n".join(self.problems))


class BadSecret(ValueError):
    """An old secret no code can come from; the message goes on after "the old secret"."""


@dataclass(frozen=True)
class Adopted:
    """How many were taken over, and who of them without an authenticator: (name, reason)."""

    count: int
    without_authenticator: tuple[tuple[str, str], ...]


class Adoption:
    """Makes users of the rows of the old table that wait there.

    A row is taken over once: a user removed since stays away, and what the old release adds later
    is taken over by the next run.
    """

    def __init__(self, legacy: LegacyUsers, clock: Clock) -> None:
        self._legacy = legacy
        self._clock = clock

    def check(self) -> None:
        """-> None, if every row that waits can become a user of its own

        :raises NotAdoptable: names that are none today, names that would become one; all of them
        """
        problems = []
        first: dict[str, OldUser] = {}
        for old in self._legacy.waiting():
            try:
                key = names.key(_name(old))
            except names.BadName as error:
                problems.append(f"{_shown(old)} cannot be taken over: {error}")
                continue
            if first.setdefault(key, old) is not old:
                problems.append(f"{_shown(first[key])} and {_shown(old)} would be one user.")
        problems += [
            f"{_shown(first[key])} and {username!r}, a user already, would be one user."
            for key, username in self._legacy.taken(first)
        ]
        if problems:
            raise NotAdoptable(problems)

    def run(self, cipher: Cipher) -> Adopted:
        """cipher -> Adopted; everybody who waits, in one transaction, or nobody

        :raises StoreError: the database did not answer, or names clash that :meth:`check` has not
            seen; nothing was changed
        """
        without: list[tuple[str, str]] = []
        now_s = int(self._clock.now_s())

        def newcomer(old: OldUser) -> Newcomer:
            name = _name(old)
            authenticators = None
            try:
                secret = read_secret(old.secret)
                authenticators = partial(_authenticators, cipher, secret, now_s)
            except BadSecret as error:
                without.append((name, f"the old secret {error}"))
            user = NewUser(
                name, names.key(name), codes.new_id(), now_s, authenticators=authenticators
            )
            return Newcomer(old, user)

        count = self._legacy.adopt(newcomer)
        if count:
            audit.record("adoption", result="success", reason=f"{count} users of an older release")
        return Adopted(count, tuple(without))


def read_secret(saved: str | None) -> str:
    """what the old table holds -> the secret: base32 in capitals, without padding

    Some are saved as Python shows bytes, ``b'JBSWY3DPEHPK3PXP'``.

    :raises BadSecret: there is none, or it is not base32, or under 80 bits
    Source: RFC 4648 section 6; issue 3.
    """
    text = (saved or "").strip()
    if text.startswith("b'") and text.endswith("'"):
        text = text[2:-1]
    secret = text.rstrip("=")
    if not secret:
        raise BadSecret("is missing")
    try:
        size = len(_decode(secret))
    except (binascii.Error, ValueError):
        raise BadSecret("is not base32") from None
    if size < MIN_SECRET_BYTES:
        raise BadSecret(f"has less than {MIN_SECRET_BYTES * 8} bits")
    return secret.upper()


def _decode(secret: str) -> bytes:
    return base64.b32decode(secret + "=" * (-len(secret) % 8), casefold=True)


def _authenticators(cipher: Cipher, secret: str, now_s: int, user_id: int) -> tuple[Authenticator]:
    authenticator_id = codes.new_id()
    sealed = cipher.encrypt(SECRET, secret, bound_to=place(user_id, authenticator_id))
    made = Authenticator(
        authenticator_id, user_id, SCHEME, LABEL, sealed, AuthenticatorState.ACTIVE, now_s,
        confirmed_at=now_s,
        needs_renewal=is_short(secret),
    )  # fmt: skip
    return (made,)


def is_short(secret: str) -> bool:
    """base32 secret -> whether it is to be renewed"""
    return len(_decode(secret)) < SECRET_BYTES


def _name(old: OldUser) -> str:
    if old.username is None:
        raise names.BadName("There is no user name.")
    return names.check(old.username)


def _shown(old: OldUser) -> str:
    # As Python shows it: a control character in an old name does nothing to the terminal.
    return f"{old.username!r} (id {old.id} of the old table)"
