"""Users in a file that moves between stores: JSON lines, sealed, secrets under a passphrase.

The first line says what the file is and how the passphrase becomes keys, the last one is the seal
of all before it, and each line between them is a user. The why is in
``docs/decisions/0016-exports-are-sealed.rst``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Protocol

from factored import codes
from factored.interfaces import (
    AuthenticatorState,
    Cipher,
    Clock,
    DecryptionError,
    FactoredError,
    User,
    UserStore,
)
from factored.passphrase import SALT_BYTES, Cost, PassphraseKeys
from factored.services import audit
from factored.services.enrolment import SCHEME, open_secret
from factored.services.importing import Entry, Held, Item, Refused, totp_secret
from factored.services.lines import Lines

VERSION = 1
FORMAT = "factored_users"
"""The key of the first line whose value is the version."""

END = b'{"users":'
"""How the last line begins, and no other."""

LAST_MOMENT = 253402300799
"""The end of the year 9999: no date can show a later one."""

MOMENTS = ("created_at", "disabled_at", "last_login_at")
HELD_MOMENTS = ("created_at", "confirmed_at", "last_used_at")


class NotAnExport(FactoredError):
    """The file is damaged, changed or cut off, or the passphrase another: nothing is taken."""


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


# -- writing -----------------------------------------------------------------------------------


class Export:
    """Writes all users of a store.

    :param behind: told of what could not go along: (user name, reason)
    """

    def __init__(
        self,
        users: UserStore,
        cipher: Cipher,
        clock: Clock,
        *,
        behind: Callable[[str, str], None],
    ) -> None:
        self._users = users
        self._cipher = cipher
        self._clock = clock
        self._behind = behind

    def lines(self, passphrase: str | None) -> Iterator[str]:
        """passphrase, or None to leave secrets out -> the lines of the file, without their ends

        :raises StoreError: the store did not answer; what was made until then is no whole file
        """
        told = "with secrets, encrypted" if passphrase is not None else "without secrets"
        audit.record("export", result="success", reason=told)
        keys = None
        if passphrase is not None:
            keys = PassphraseKeys(passphrase, os.urandom(SALT_BYTES), Cost())
        seal, count = _seal(keys), 0
        line = json.dumps(_header(keys, int(self._clock.now_s())))
        seal.update(line.encode() + b"\n")
        yield line
        for user in self._users.each():
            line = json.dumps(self._facts(user, keys))
            seal.update(line.encode() + b"\n")
            yield line
            count += 1
        yield json.dumps({"users": count, "seal": seal.hexdigest()})

    def _facts(self, user: User, keys: PassphraseKeys | None) -> dict[str, Any]:
        facts: dict[str, Any] = {"username": user.username}
        facts |= {name: getattr(user, name) for name in MOMENTS}
        if keys is not None:
            facts["authenticators"] = self._held(user, keys)
        return facts

    def _held(self, user: User, keys: PassphraseKeys) -> list[dict[str, Any]]:
        found = []
        for number, held in enumerate(user.authenticators):
            if held.state is not AuthenticatorState.ACTIVE:
                continue  # its page is open in a browser here, and can confirm it nowhere else
            if held.scheme != SCHEME:
                self._behind(user.username, f"an authenticator of the scheme {held.scheme}")
                continue
            try:
                secret = open_secret(self._cipher, held)
            except DecryptionError:
                self._behind(user.username, "a secret that cannot be read with today's keys")
                continue
            facts: dict[str, Any] = {"label": held.label, "last_step": held.last_step}
            facts |= {name: getattr(held, name) for name in HELD_MOMENTS}
            facts["number"] = number
            facts["secret"] = keys.encrypt(secret, bound_to=_place(user.username, number))
            found.append(facts)
        return found


def _header(keys: PassphraseKeys | None, now_s: int) -> dict[str, Any]:
    header: dict[str, Any] = {FORMAT: VERSION, "exported_at": now_s, "secrets": keys is not None}
    if keys is not None:
        header["scrypt"] = {
            "salt": base64.b64encode(keys.salt).decode(),
            "n": keys.cost.n, "r": keys.cost.r, "p": keys.cost.p,
        }  # fmt: skip
        header["check"] = _check(keys, header)
    return header


def _check(keys: PassphraseKeys, header: dict[str, Any]) -> str:
    """-> what tells a wrong passphrase, before anything else is read"""
    signing = keys.signing("check")
    signing.update(json.dumps(header, sort_keys=True).encode())
    return signing.hexdigest()


def _seal(keys: PassphraseKeys | None) -> _Digest:
    """-> what is fed with all lines; without a passphrase it tells damage, and not who did it"""
    return keys.signing("seal") if keys is not None else hashlib.sha256()


def _place(username: str, number: int) -> str:
    return f"user {username} authenticator {number}"


# -- reading -----------------------------------------------------------------------------------


def is_export(start: bytes) -> bool:
    """how a file begins -> whether it may be one of these; a table begins otherwise"""
    return start.startswith(b"{")


def read(file: BinaryIO, passphrase: Callable[[], str], lines: Lines) -> Iterator[Item]:
    """a file that can be read twice, function that asks -> an Entry or Refused for each user

    The seal is compared before the first user is made.

    :param passphrase: called once, if there are secrets
    :param lines: the same file, for the second reading
    :raises NotAnExport: as it says
    """
    keys = _verified(file, passphrase)
    file.seek(0)
    rows = iter(lines)
    next(rows)
    for line in rows:
        if line is None or line.startswith(END):
            return
        facts = _object(line)
        username = str(facts.get("username", ""))
        try:
            yield _entry(lines.number, facts, keys)
        except (DecryptionError, KeyError, TypeError, ValueError) as error:
            reason = str(error) if type(error) is ValueError else "is not as an export has it"
            yield Refused(lines.number, username, reason)


def _verified(file: BinaryIO, passphrase: Callable[[], str]) -> PassphraseKeys | None:
    """file, function that asks -> the keys of the file, which is whole and unchanged

    :raises NotAnExport: it is not, or they are none of it
    """
    file.seek(0)
    rows = iter(Lines(file))
    first = next(rows, b"") or b""
    keys = _keys(first, passphrase)
    seal, count = _seal(keys), 0
    seal.update(first)
    line: bytes | None = b""
    for line in rows:
        if line is None:
            raise NotAnExport("the file was changed or damaged: a line is far too long")
        if line.startswith(END):
            break
        seal.update(line)
        count += 1
    else:
        raise NotAnExport("the file is cut off: its last line is missing; export it again")
    end = _object(line)
    whole = end.get("users") == count and next(rows, b"") == b""
    if not (whole and codes.same(str(end.get("seal")), seal.hexdigest())):
        raise NotAnExport("the file was changed or damaged after it was made; export it again")
    return keys


def _keys(first: bytes, passphrase: Callable[[], str]) -> PassphraseKeys | None:
    header = _object(first)
    if header.get(FORMAT) != VERSION:
        raise NotAnExport(
            "the file is no export of this release: its first line must be one that "
            "`factored user export` wrote"
        )
    if header.get("secrets") is False:
        return None
    try:
        told = header["scrypt"]
        salt = base64.b64decode(told["salt"], validate=True)
        cost = Cost(*(_whole(told[name], LAST_MOMENT) for name in ("n", "r", "p")))
        check = str(header.pop("check"))
    except (KeyError, TypeError, ValueError):
        raise NotAnExport("the first line of the file was changed or damaged") from None
    keys = PassphraseKeys(passphrase(), salt, cost)
    if not codes.same(check, _check(keys, header)):
        raise NotAnExport(
            "this is not the passphrase that the file was made with, or its first line was changed"
        )
    return keys


def _object(line: bytes | None) -> dict[str, Any]:
    """a line -> the JSON object in it, or an empty one"""
    try:
        facts = json.loads(line or b"")
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _entry(number: int, facts: dict[str, Any], keys: PassphraseKeys | None) -> Entry:
    """:raises KeyError, TypeError, ValueError, DecryptionError: it is not as we write it"""
    username = facts["username"]
    if not isinstance(username, str):
        raise TypeError
    moments = {name: _moment(facts[name]) for name in MOMENTS}
    held: tuple[Held, ...] = ()
    if keys is not None:
        held = tuple(_held(username, one, keys) for one in facts["authenticators"])
    return Entry(number, username, held, moments["disabled_at"] is not None, **moments)


def _held(username: str, facts: dict[str, Any], keys: PassphraseKeys) -> Held:
    """:raises KeyError, TypeError, ValueError, DecryptionError: it is not as we write it"""
    place = _place(username, _whole(facts["number"], LAST_MOMENT))
    last_step = facts["last_step"]
    return Held(
        totp_secret(keys.decrypt(facts["secret"], bound_to=place)),
        str(facts["label"]),
        last_step=-1 if last_step == -1 else _whole(last_step, LAST_MOMENT),
        **{name: _moment(facts[name]) for name in HELD_MOMENTS},
    )


def _moment(value: Any) -> int | None:
    return None if value is None else _whole(value, LAST_MOMENT)


def _whole(value: Any, most: int) -> int:
    """:raises TypeError: it is no whole number from 0 to ``most``"""
    if type(value) is not int or not 0 <= value <= most:
        raise TypeError
    return value
