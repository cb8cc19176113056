"""The one place where an attempt becomes a ticket."""

from __future__ import annotations

from dataclasses import dataclass, replace

from factored import names
from factored.codes import new_id
from factored.interfaces import (
    Asker,
    Challenge,
    Clock,
    LinkScheme,
    NewLogin,
    Refusal,
    Revocations,
    Scheme,
    StoreError,
    Ticket,
    User,
    UserExists,
    UserStore,
    Verdict,
)
from factored.services import audit
from factored.services.devices import Browser, DeviceCookie, Devices
from factored.services.open_tickets import OpenTickets
from factored.services.throttle import Counted, Throttle


@dataclass(frozen=True)
class Granted:
    """What a browser is given that logged in."""

    ticket: Ticket
    device_cookie: DeviceCookie
    user: User


@dataclass(frozen=True)
class Outcome:
    """What came of a login; something is granted if, and only if, it was ACCEPTED."""

    verdict: Verdict
    retry_after_s: int = 0
    granted: Granted | None = None


class Login:
    """Counts, verifies, and only then issues.

    :param lifetime_s: how long a ticket lives; ``remember_s`` with "remember me"
    :param revoke_for_s: how long the tickets that end must be refused
    """

    def __init__(
        self,
        users: UserStore,
        throttle: Throttle,
        devices: Devices,
        open_tickets: OpenTickets,
        revocations: Revocations,
        clock: Clock,
        *,
        lifetime_s: int,
        remember_s: int,
        revoke_for_s: int,
    ) -> None:
        self._users = users
        self._throttle = throttle
        self._devices = devices
        self._open_tickets = open_tickets
        self._revocations = revocations
        self._clock = clock
        self._lifetime_s = lifetime_s
        self._remember_s = remember_s
        self._revoke_for_s = revoke_for_s

    def challenge(self, scheme: Scheme, asker: Asker, browser: Browser) -> Outcome:
        """scheme that sends, who asks -> Outcome: LOCKED (asked too often), or wait for it

        :param asker: with a checked name
        :raises SendingFails: nothing can be sent at the moment, to nobody
        :raises StoreError: the store did not answer
        """
        scheme.check_sending()
        username_key = names.key(asker.username)
        user, device = self._devices.visitor(username_key, browser.device_cookies)
        source = browser.source
        refused = self._throttle.count_sending(username_key, user, source, device)
        if refused is not None:
            self._note(Verdict.LOCKED, user, scheme, source)
            return Outcome(Verdict.LOCKED, refused.retry_after_s)
        scheme.challenge(user, asker)
        return Outcome(Verdict.WRONG)

    def attempt(
        self, scheme: Scheme, name: str, typed: str, browser: Browser, *, remember: bool
    ) -> Outcome:
        """scheme, checked name, what was typed -> Outcome

        A response that cannot be one (five digits) is WRONG for everybody and costs nothing:
        there is nothing to evaluate.

        :raises StoreError: the store did not answer; nobody is let in
        """
        source = browser.source
        username_key = names.key(name)
        response = scheme.normalise(typed)
        if response is None:
            return Outcome(Verdict.WRONG)
        self.require_revocations()
        challenge = scheme.awaited(Asker(name, browser.browser_id)) if scheme.sends else None
        if scheme.sends and challenge is None:
            self._note(Verdict.EXPIRED, None, scheme, source)
            return Outcome(Verdict.EXPIRED)
        user, device = self._devices.visitor(username_key, browser.device_cookies)
        counted = self._throttle.count(scheme.budget, username_key, user, source, device)
        if isinstance(counted, Refusal):
            self._note(Verdict.LOCKED, user, scheme, source)
            return Outcome(Verdict.LOCKED, counted.retry_after_s)
        return self._decide(scheme, user, response, challenge, browser, counted, remember)

    def press(
        self,
        scheme: LinkScheme,
        challenge: Challenge,
        token: str,
        browser: Browser,
        *,
        remember: bool,
    ) -> Outcome:
        """token of a mailed link and its challenge -> Outcome for the browser that pressed it

        Not ACCEPTED: it was used meanwhile, or the account is not the same any more.

        :param challenge: what ``scheme.linked`` found for the token
        :raises StoreError: the store did not answer; nobody is let in
        """
        self.require_revocations()
        user, device = self._devices.visitor(challenge.username_key, browser.device_cookies)
        counted = self._throttle.unguessed(device)
        return self._decide(scheme, user, token, challenge, browser, counted, remember)

    def _decide(
        self,
        scheme: Scheme,
        user: User | None,
        response: str,
        challenge: Challenge | None,
        browser: Browser,
        counted: Counted,
        remember: bool,
    ) -> Outcome:
        """what was counted -> Outcome; the one place where a response is verified

        What it changes comes after: whoever is cut off in between has used a code up for nothing,
        and nobody got in.
        """
        verdict = scheme.verify(user, response, challenge, known_device=counted.device is not None)
        outcome = Outcome(verdict)
        if verdict is Verdict.ACCEPTED:
            if user is None and challenge is not None and challenge.address:
                user = self._welcome(challenge.address)
            if user is None:  # a scheme that is broken, and not a way in
                verdict, outcome = Verdict.UNKNOWN_USER, Outcome(Verdict.UNKNOWN_USER)
            else:
                granted = self._let_in(user, scheme.path, browser, counted, remember)
                outcome = Outcome(verdict, granted=granted)
        self._note(verdict, user, scheme, browser.source)
        return outcome

    def _welcome(self, address: str) -> User | None:
        """an address that was found and is proven -> its new account (PROMISES 11)"""
        key = names.key(address)
        try:
            user = self._users.add(
                address, key, ticket_series=new_id(), now_s=int(self._clock.now_s())
            )
        except UserExists:  # made in the meantime, and perhaps disabled
            there = self._users.find(key)
            return there if there is not None and there.disabled_at is None else None
        audit.record("enrolment", result="success", user=address, reason="found")
        return user

    def enrolled(self, user: User, scheme_path: str, browser: Browser) -> Granted:
        """a user who just proved a new authenticator -> what his browser is given

        The enrolment link named the user, and the first code of the new secret was right.

        :param scheme_path: of the scheme that the authenticator is for
        :raises StoreError: the store did not answer
        """
        audit.record(
            "login", result="success", user=user.username, scheme=scheme_path,
            source=browser.source, reason="enrolled",
        )  # fmt: skip
        return self._let_in(user, scheme_path, browser, Counted(None, None), False)

    def _let_in(
        self, user: User, scheme_path: str, browser: Browser, counted: Counted, remember: bool
    ) -> Granted:
        known = counted.device
        device = (
            self._devices.new(user.id, browser)
            if known is None
            else self._devices.renewed(known, browser)
        )
        now_s = int(self._clock.now_s())
        ticket = Ticket(
            user=user.username,
            scheme=scheme_path,
            issued_at=now_s,
            login_at=now_s,
            lifetime_s=self._remember_s if remember else self._lifetime_s,
            remember=remember,
            ticket_id=new_id(),
            series=user.ticket_series,
        )
        ended = tuple(one.ticket_id for one in browser.tickets)
        self._open_tickets.add_login(
            NewLogin(
                self._open_tickets.shown(ticket, user.id, device.id, browser),
                device,
                new_device=known is None,
                forgiven=counted.attempt,
                cleared=counted.clear_on_success,
                ended=ended,
                revoke_for_s=self._revoke_for_s,
            )
        )
        self._revocations.learn(*ended)
        return Granted(ticket, self._devices.cookie(device), user)

    def stay(self, ticket: Ticket, user: User, series: str, browser: Browser) -> Ticket:
        """a good ticket, its user, the series that has just ended all tickets -> one that is good

        :param series: the one that the change itself began: whoever ends all tickets after that
            ends this one too
        """
        renewed = replace(ticket, series=series, ticket_id=new_id())
        self._open_tickets.add(renewed, user.id, browser)
        return renewed

    def logout(self, browser: Browser, *, everywhere: bool = False) -> None:
        """browser -> None; every good ticket it showed ends within 5 s, on every node

        :param everywhere: and so does every other ticket of its users
        :raises StoreError: it could not be written, so the tickets are still good
        """
        self.require_revocations()
        ids = [ticket.ticket_id for ticket in browser.tickets]
        self._revocations.revoke(*ids)
        self._open_tickets.drop(ids)
        if everywhere:
            self._end_tickets({ticket.user: ticket.series for ticket in browser.tickets})
        for ticket in browser.tickets:
            audit.record(
                "logout", result="success", user=ticket.user, scheme=ticket.scheme,
                source=browser.source, reason="everywhere" if everywhere else "",
            )  # fmt: skip

    def _end_tickets(self, series: dict[str, str]) -> None:
        """user name -> series that a good ticket showed; a newer series was ended by others"""
        for username, one in series.items():
            user = self._users.find(names.key(username))
            if user is not None and user.ticket_series == one:
                self._users.end_tickets(
                    user.id, ticket_series=new_id(), revoke_for_s=self._revoke_for_s
                )

    def require_revocations(self) -> None:
        """-> None, if tickets can be told good from ended here

        :raises StoreError: not yet; nothing that makes or ends tickets may be begun

        Without them no ticket is known to be good, so none that the browser showed could end."""
        if not self._revocations.ready:
            raise StoreError("the revocations have not been read yet")

    @staticmethod
    def _note(verdict: Verdict, user: User | None, scheme: Scheme, source: str) -> None:
        accepted = verdict is Verdict.ACCEPTED
        audit.record(
            "lockout" if verdict is Verdict.LOCKED else "login",
            result="success" if accepted else "failure",
            user=user.username if user else "",
            scheme=scheme.path,
            source=source,
            reason="" if accepted else verdict.value,
        )
