"""Enrolment by a one-time link: a new secret, which counts once a code of it was shown."""

from __future__ import annotations

from dataclasses import replace

from factored.codes import new_id
from factored.interfaces import (
    Authenticator,
    AuthenticatorState,
    Clock,
    Link,
    LinkKind,
    LinkStore,
    User,
    UserStore,
    Verdict,
)
from factored.keys import KeyRing
from factored.services import audit
from factored.services.devices import Browser
from factored.services.enrolment import SCHEME, Enrolment, TotpCredential, pending
from factored.services.links import new_link

REMINDER_FOR_S = 1800
"""How long the link of a reminder lives (PROMISES 9)."""


class EnrolLinks:
    """Makes enrolment links, shows a new secret behind one, and makes it count.

    Until a code of the new secret is shown, the old one works and nothing has changed.

    :param revoke_for_s: how long the tickets that end must be refused
    """

    def __init__(
        self,
        users: UserStore,
        links: LinkStore,
        enrolment: Enrolment,
        keys: KeyRing,
        clock: Clock,
        *,
        revoke_for_s: int,
    ) -> None:
        self._users = users
        self._links = links
        self._enrolment = enrolment
        self._keys = keys
        self._clock = clock
        self._revoke_for_s = revoke_for_s

    def make(self, user: User, for_s: int) -> str:
        """user, seconds -> token of a new link"""
        return new_link(self._links, self._keys, self._clock, LinkKind.ENROL, user.id, for_s)

    def begin(self, link: Link) -> TotpCredential:
        """a live link -> a fresh secret to scan; an earlier one that was never confirmed is gone"""
        held = self._enrolment.make(link.user_id, AuthenticatorState.PENDING)
        self._users.add_pending(held)
        return self._enrolment.credential(link.username, held)

    def shown(self, link: Link, authenticator_id: str) -> TotpCredential | None:
        """a live link, what its page shows -> that secret, to be shown again; None: it is gone"""
        held = self._pending(link, authenticator_id)
        return self._enrolment.credential(link.username, held) if held else None

    def confirm(
        self, link: Link, authenticator_id: str, typed: str, browser: Browser
    ) -> tuple[Verdict, User | None]:
        """a live link, what its page shows, what was typed -> ACCEPTED and the user, or why not

        Of two confirmations at once, one counts. All tickets, recovery codes and enrolment links of
        the user end; the ``ticket_series`` of the user returned is the one that began with it.
        """
        verdict, user = self._confirm(link, authenticator_id, typed)
        audit.record(
            "enrolment", result="success" if user else "failure", user=link.username,
            scheme=SCHEME, source=browser.source, reason="link" if user else verdict.value,
        )  # fmt: skip
        return verdict, user

    def _confirm(
        self, link: Link, authenticator_id: str, typed: str
    ) -> tuple[Verdict, User | None]:
        held = self._pending(link, authenticator_id)
        if held is None:
            return Verdict.WRONG, None
        verdict, step = self._enrolment.first_code(held, typed)
        if step is None:
            return verdict, None
        now_s = int(self._clock.now_s())
        # The link first: if what follows fails, it is used up, and the old authenticator works.
        if not self._links.spend(link.id, now_s=now_s):
            return Verdict.WRONG, None
        self._links.end(link.user_id, LinkKind.ENROL)
        series = new_id()
        confirmed = self._users.confirm(
            held.id, step, ticket_series=series, now_s=now_s, revoke_for_s=self._revoke_for_s
        )
        user = self._users.get(link.user_id) if confirmed else None
        if user is None:
            return Verdict.WRONG, None
        # Not the series that is there now: it may be one that somebody ended all tickets with.
        return verdict, replace(user, ticket_series=series)

    def _pending(self, link: Link, authenticator_id: str) -> Authenticator | None:
        return pending(self._users.get(link.user_id), authenticator_id)
