"""What users do with their own account: what they hold, where they are signed in."""

from __future__ import annotations

from dataclasses import dataclass

from factored import browsers, names
from factored.auth_tkt import FUTURE_S
from factored.codes import new_id
from factored.interfaces import (
    Authenticator,
    AuthenticatorState,
    Clock,
    CodesLeft,
    Device,
    DeviceStore,
    OpenTicket,
    Refusal,
    Revocations,
    Ticket,
    User,
    UserStore,
    Verdict,
)
from factored.services import audit, notices
from factored.services.devices import Browser
from factored.services.enrolment import (
    SCHEME,
    Enrolment,
    TotpCredential,
    label_of,
    label_shown,
    pending,
)
from factored.services.notices import News, Notices
from factored.services.open_tickets import OpenTickets
from factored.services.recovery import SCHEME as RECOVERY
from factored.services.recovery import RecoveryCodes
from factored.services.throttle import Throttle
from factored.words import Words

FRESH_S = 300
"""How old the last code may be when something is to be changed."""

MOST = 3
"""TOTP authenticators of one account: each is one more code that a guess may fit."""


@dataclass(frozen=True)
class Overview:
    """All that a user sees of his account."""

    authenticators: tuple[Authenticator, ...]
    recovery: CodesLeft | None
    tickets: tuple[OpenTicket, ...]
    devices: tuple[Device, ...]


@dataclass(frozen=True)
class Actor:
    """Who changes something, in which browser, and the language to tell him in."""

    user: User
    browser: Browser
    words: Words


class Account:
    """Looks at an account, and changes it; who may is asked first (:meth:`may_change`).

    :param revoke_for_s: how long the tickets that end must be refused
    """

    def __init__(
        self,
        users: UserStore,
        devices: DeviceStore,
        open_tickets: OpenTickets,
        recovery: RecoveryCodes,
        revocations: Revocations,
        enrolment: Enrolment,
        notices: Notices,
        throttle: Throttle,
        clock: Clock,
        *,
        revoke_for_s: int,
    ) -> None:
        self._users = users
        self._devices = devices
        self._open_tickets = open_tickets
        self._recovery = recovery
        self._revocations = revocations
        self._enrolment = enrolment
        self._notices = notices
        self._throttle = throttle
        self._clock = clock
        self._revoke_for_s = revoke_for_s

    def holder(self, ticket: Ticket) -> User | None:
        """a good ticket -> its User; None if the account is another one by now"""
        user = self._users.find(names.key(ticket.user))
        if user is None or user.disabled_at is not None:
            return None
        return user if user.ticket_series == ticket.series else None

    def may_change(self, ticket: Ticket) -> bool:
        """a good ticket -> whether its login is fresh: a code was right in the last minutes

        Source: OWASP ASVS 5.0, 7.5.1 (full re-authentication before sensitive changes).
        """
        age_s = self._clock.now_s() - ticket.login_at
        return -FUTURE_S <= age_s < FRESH_S  # the node of the login may be a little ahead

    def count_change(self, user: User) -> Refusal | None:
        """user -> Refusal: too many changes of late, and each is mailed; None: counted"""
        return self._throttle.count_change(user)

    def overview(self, user: User) -> Overview:
        """user -> Overview

        :raises StoreError: the store did not answer
        """
        return Overview(
            user.active(SCHEME),
            self.codes_left(user),
            tuple(self._open_tickets.of(user.id)),
            tuple(self._devices.of(user.id)),
        )

    def codes_left(self, user: User) -> CodesLeft | None:
        """user -> how many recovery codes are left, or None: none were made"""
        return self._recovery.left(user.id)

    # -- authenticators ---------------------------------------------------------------------------

    def begin(self, user: User) -> TotpCredential | None:
        """user -> a fresh secret to scan, which counts once confirmed; None if there are enough"""
        if len(user.active(SCHEME)) >= MOST:
            return None
        held = self._enrolment.make(user.id, AuthenticatorState.PENDING)
        self._users.add_pending(held)
        return self._enrolment.credential(user.username, held)

    def shown(self, user: User, authenticator_id: str) -> TotpCredential | None:
        """user, what the page shows -> that secret, to be shown again; None: it is gone"""
        held = pending(user, authenticator_id)
        return self._enrolment.credential(user.username, held) if held else None

    def confirm(self, actor: Actor, authenticator_id: str, typed: str, label: str) -> Verdict:
        """who, what the page shows, a code of it, what to call it -> ACCEPTED: added; or why not"""
        label = label_of(label)
        held = pending(actor.user, authenticator_id)
        verdict, step = (
            (Verdict.WRONG, None) if held is None else self._enrolment.first_code(held, typed)
        )
        if held is not None and step is not None:
            confirmed = self._users.confirm_another(
                held.id, step, label=label, most=MOST, now_s=int(self._clock.now_s())
            )
            verdict = Verdict.ACCEPTED if confirmed else Verdict.WRONG
        added = verdict is Verdict.ACCEPTED
        self._note(
            "enrolment", added, actor, notices.ADDED, label_shown(label),
            scheme=SCHEME, reason="added" if added else verdict.value,
        )  # fmt: skip
        return verdict

    def rename(self, actor: Actor, authenticator_id: str, label: str) -> bool:
        """who, authenticator, what was typed as label -> whether it is called so now"""
        label = label_of(label)
        done = self._users.rename_authenticator(actor.user.id, authenticator_id, label)
        shown = label_shown(label)
        return self._note("renaming", done, actor, notices.RENAMED, shown, scheme=SCHEME)

    def delete(self, actor: Actor, authenticator_id: str) -> str | None:
        """who, authenticator -> the user's new ticket series: it is deleted, and every ticket ended

        None: it is not there, or it is the last, which stays.
        """
        series = new_id()
        held = {one.id: one.label for one in actor.user.authenticators}
        done = self._users.drop_authenticator(
            actor.user.id, authenticator_id,
            ticket_series=series, revoke_for_s=self._revoke_for_s,
        )  # fmt: skip
        label = label_shown(held.get(authenticator_id, ""))
        self._note("deletion", done, actor, notices.DELETED, label, scheme=SCHEME)
        return series if done else None

    # -- the rest ---------------------------------------------------------------------------------

    def new_codes(self, actor: Actor) -> list[str]:
        """who -> ten new recovery codes, shown once; the old ones are void"""
        made = self._recovery.make(actor.user.id)
        self._note("recovery_codes", True, actor, notices.CODES_MADE, scheme=RECOVERY)
        return made

    def sign_out(self, actor: Actor, ticket_id: str) -> bool:
        """who, id of one of his tickets -> whether it was there; it ends within 5 s"""
        open_tickets = self._open_tickets.of(actor.user.id)
        ended = next((one for one in open_tickets if one.id == ticket_id), None)
        if ended is not None:
            self._revocations.revoke(ticket_id)
            self._open_tickets.drop([ticket_id])
        name = browsers.named(ended.user_agent) if ended else ""
        return self._note("logout", ended is not None, actor, notices.SIGNED_OUT, name)

    def forget(self, actor: Actor, device_id: str) -> bool:
        """who, one of his devices -> whether it was known; it is no more"""
        known = self._devices.find(device_id, actor.user.id)
        done = known is not None and self._devices.forget(device_id, actor.user.id)
        name = browsers.named(known.user_agent) if known else ""
        return self._note("forgetting", done, actor, notices.FORGOTTEN, name)

    def _note(
        self,
        event: str,
        done: bool,
        actor: Actor,
        news: News,
        what: str = "",
        *,
        scheme: str = "",
        reason: str = "account page",
    ) -> bool:
        """what was tried -> whether it was done: in the audit log, and if so in the user's mail"""
        audit.record(
            event, result="success" if done else "failure", user=actor.user.username,
            scheme=scheme, source=actor.browser.source, reason=reason,
        )  # fmt: skip
        if done:
            self._notices.tell(actor.user, news, actor.words, what)
        return done
