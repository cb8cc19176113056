"""Enrolment by a one-time link: a new secret, which counts once a code of it was shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from factored.codes import new_id, six_digits
from factored.interfaces import (
    Authenticator,
    AuthenticatorState,
    Clock,
    Link,
    LinkKind,
    LinkStore,
    User,
    UserStore,
)
from factored.keys import KeyRing
from factored.services import audit
from factored.services.devices import DeviceCookie, Devices
from factored.services.enrolment import SCHEME, Enrolment, TotpCredential
from factored.services.links import new_link

REMINDER_FOR_S = 1800
"""How long the link of a reminder lives (PROMISES 9)."""

FirstStep = Callable[[str, str, float], int | None]
"""secret, six digits, Unix time -> the TOTP step that they are right for, or None."""


@dataclass(frozen=True)
class Enrolled:
    """What a confirmed link gives: the user, and a cookie that makes this browser known."""

    user: User
    device_cookie: DeviceCookie


class EnrolLinks:
    """Makes enrolment links, shows a new secret behind one, and makes it count.

    Until a code of the new secret is shown, the old one works and nothing has changed.

    :param first_step: the TOTP rule, handed in: services know no scheme
    :param revoke_for_s: how long the tickets that end must be refused
    """

    def __init__(
        self,
        users: UserStore,
        links: LinkStore,
        enrolment: Enrolment,
        devices: Devices,
        keys: KeyRing,
        clock: Clock,
        first_step: FirstStep,
        *,
        revoke_for_s: int,
    ) -> None:
        self._users = users
        self._links = links
        self._enrolment = enrolment
        self._devices = devices
        self._keys = keys
        self._clock = clock
        self._first_step = first_step
        self._revoke_for_s = revoke_for_s

    def make(self, user: User, for_s: int) -> str:
        """user, seconds -> token of a new link"""
        return new_link(self._links, self._keys, self._clock, LinkKind.ENROL, user.id, for_s)

    def begin(self, link: Link) -> TotpCredential:
        """a live link -> a fresh secret to scan; an earlier one that was never confirmed is gone"""
        held = self._enrolment.make(link.user_id, AuthenticatorState.PENDING)
        self._users.add_pending(held)
        return self._enrolment.credential(link.username, held)

    def shown(self, link: Link) -> TotpCredential | None:
        """a live link -> the secret that :meth:`begin` made, to be shown again"""
        held = self._pending(link)
        return self._enrolment.credential(link.username, held) if held else None

    def confirm(self, link: Link, typed: str, *, user_agent: str, source: str) -> Enrolled | None:
        """a live link, what was typed -> Enrolled, or None: not a code of the new secret

        Of two confirmations at once, one counts. All tickets and enrolment links of the user end.
        """
        enrolled = self._confirm(link, typed, user_agent)
        audit.record(
            "enrolment", result="success" if enrolled else "failure", user=link.username,
            scheme=SCHEME, source=source, reason="link" if enrolled else "wrong",
        )  # fmt: skip
        return enrolled

    def _confirm(self, link: Link, typed: str, user_agent: str) -> Enrolled | None:
        held, digits = self._pending(link), six_digits(typed)
        if held is None or digits is None:
            return None
        now_s = self._clock.now_s()
        secret = self._enrolment.credential(link.username, held).secret
        step = self._first_step(secret, digits, now_s)
        # The link first: if what follows fails, it is used up, and the old authenticator works.
        if step is None or not self._links.spend(link.id, now_s=int(now_s)):
            return None
        self._links.end(link.user_id, LinkKind.ENROL)
        if not self._users.confirm(
            held.id,
            step,
            ticket_series=new_id(),
            now_s=int(now_s),
            revoke_for_s=self._revoke_for_s,
        ):
            return None
        user = self._users.get(link.user_id)
        if user is None:
            return None
        return Enrolled(user, self._devices.enlist(user.id, user_agent))

    def _pending(self, link: Link) -> Authenticator | None:
        user = self._users.get(link.user_id)
        held = user.authenticators if user and user.disabled_at is None else ()
        return next((one for one in held if one.state is AuthenticatorState.PENDING), None)
