"""What an operator does with users: add, remove, look up, unlock, reset, disable."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from factored import codes, names
from factored.interfaces import (
    Authenticator,
    Clock,
    DecryptionError,
    FactoredError,
    LinkKind,
    LinkStore,
    User,
    UserExists,
    UserStore,
)
from factored.keys import KeyRing
from factored.services import audit
from factored.services.enrolment import EXPLAINED, STEP_S, Enrolment, TotpCredential
from factored.services.links import new_link

UNLOCK_FOR_S = 86400
RESET_FOR_S = 86400
INVITED_FOR_S = 7 * 86400
"""How long the links of a reset and of an invitation live (PROMISES 9)."""


class NoSuchUser(FactoredError):
    """No user has this name, in any spelling."""


class Disabled(FactoredError):
    """The user is disabled, and what was asked for would be of no use to him."""


@dataclass(frozen=True)
class Reencrypted:
    """How many secrets were encrypted anew, and whose no key could read."""

    count: int
    unreadable: tuple[str, ...]


@dataclass(frozen=True)
class Added:
    """A new user and what his authenticator app needs."""

    user: User
    credential: TotpCredential


class Users:
    """Operations on users, for the commands.

    :param revoke_for_s: how long the tickets of a removed user must be refused
    """

    def __init__(
        self,
        users: UserStore,
        links: LinkStore,
        keys: KeyRing,
        clock: Clock,
        enrolment: Enrolment,
        *,
        revoke_for_s: int,
    ) -> None:
        self._users = users
        self._links = links
        self._keys = keys
        self._clock = clock
        self._enrolment = enrolment
        self._revoke_for_s = revoke_for_s

    def add(self, name: str) -> Added:
        """name -> the user made, with one TOTP authenticator

        :raises BadName: the name cannot be one
        :raises UserExists: somebody has it, in this or another spelling
        """
        checked = names.check(name)
        user = self._users.add(
            checked,
            names.key(checked),
            ticket_series=codes.new_id(),
            now_s=int(self._clock.now_s()),
            authenticator=self._enrolment.make,
        )
        audit.record("enrolment", result="success", user=user.username, scheme="ga")
        return Added(user, self._enrolment.credential(user.username, user.authenticators[0]))

    def find(self, name: str) -> User:
        """name in any spelling -> User

        :raises NoSuchUser: nobody has it
        """
        try:
            user = self._users.find(names.key(names.check(name)))
        except names.BadName as error:
            raise NoSuchUser(f"{name!r} is no user: {error}") from error
        if user is None:
            raise NoSuchUser(f"{name!r} is no user; `factored user list` names them all")
        return user

    def remove(self, name: str) -> User:
        """name -> the user removed; his tickets end everywhere within 5 s

        :raises NoSuchUser: nobody has it
        """
        user = self.find(name)
        self._users.remove(user.id, revoke_for_s=self._revoke_for_s)
        audit.record("removal", result="success", user=user.username)
        return user

    def credential(self, user: User, held: Authenticator) -> TotpCredential:
        """user, authenticator -> what his app holds

        :raises DecryptionError: the key file is not the one it was stored with
        """
        return self._enrolment.credential(user.username, held)

    def unlock(self, name: str) -> tuple[User, str]:
        """name -> (user, token of a one-time link)

        The link makes the browser it is pressed in a known device, and opens no budget for
        strangers. TOTP steps that a wrong clock pushed into the future are set back to now.

        :raises NoSuchUser: nobody has it
        :raises Disabled: it would not help him
        Source: PROMISES 7.
        """
        user = self._enabled(name)
        # A step nearby was used, or told of, and must not come back; it is over in five minutes.
        self._users.lower_steps(user.id, int(self._clock.now_s()) // STEP_S, window=EXPLAINED)
        token = self._link(LinkKind.UNLOCK, user, UNLOCK_FOR_S)
        audit.record("unlock", result="success", user=user.username, reason="link made")
        return user, token

    def reset(self, name: str) -> tuple[User, str]:
        """name -> (user, token of a one-time enrolment link); his tickets end within 5 s

        Enrolment links from before are good no more. What he holds works until a code of the new
        secret was shown.

        :raises NoSuchUser: nobody has it
        :raises Disabled: it would not help him
        Source: PROMISES 9 and 12.
        """
        user = self._enabled(name)
        self._links.end(user.id, LinkKind.ENROL)
        token = self._link(LinkKind.ENROL, user, RESET_FOR_S)
        self._users.end_tickets(
            user.id, ticket_series=codes.new_id(), revoke_for_s=self._revoke_for_s
        )
        audit.record("reset", result="success", user=user.username, reason="link made")
        return user, token

    def invite(self, name: str) -> tuple[User, str]:
        """name -> (user, token of a one-time enrolment link); the user is made if missing

        Enrolment links from before are good no more. What the user holds works on.

        :raises BadName: the name cannot be one
        :raises Disabled: it would not help him
        Source: PROMISES 9.
        """
        checked = names.check(name)
        if self._users.find(names.key(checked)) is None:
            with contextlib.suppress(UserExists):  # made in the meantime
                self._users.add(
                    checked,
                    names.key(checked),
                    ticket_series=codes.new_id(),
                    now_s=int(self._clock.now_s()),
                )
        user = self._enabled(checked)
        self._links.end(user.id, LinkKind.ENROL)
        token = self._link(LinkKind.ENROL, user, INVITED_FOR_S)
        audit.record("invitation", result="success", user=user.username, reason="link made")
        return user, token

    def disable(self, name: str) -> User:
        """name -> the user, who cannot log in any more; his links end, and his tickets within 5 s

        :raises NoSuchUser: nobody has it
        """
        return self._set_disabled(name, int(self._clock.now_s()), "disabling")

    def enable(self, name: str) -> User:
        """name -> the user, who can log in again

        :raises NoSuchUser: nobody has it
        """
        return self._set_disabled(name, None, "enabling")

    def _set_disabled(self, name: str, at: int | None, event: str) -> User:
        user = self.find(name)
        if (user.disabled_at is None) != (at is None):
            self._users.set_disabled(
                user.id, at, ticket_series=codes.new_id(), revoke_for_s=self._revoke_for_s
            )
            self._links.end(user.id)
            audit.record(event, result="success", user=user.username)
        return user

    def reencrypt(self) -> Reencrypted:
        """-> Reencrypted; every stored secret is under the newest key from then on

        Safe while the site runs, and to run again.
        """
        done, unreadable = 0, []
        for user in self._users.each():
            for held in user.authenticators:
                try:
                    new = self._enrolment.resealed(held)
                except DecryptionError:
                    unreadable.append(user.username)
                    continue
                done += self._users.replace_secret(held.id, held.secret, new)
        return Reencrypted(done, tuple(unreadable))

    def _enabled(self, name: str) -> User:
        user = self.find(name)
        if user.disabled_at is not None:
            raise Disabled(f"{user.username} is disabled; `factored user enable` comes first")
        return user

    def _link(self, kind: LinkKind, user: User, for_s: int) -> str:
        return new_link(self._links, self._keys, self._clock, kind, user.id, for_s)
