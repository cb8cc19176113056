"""Which tickets of a request are good, and when one is due to be renewed: the gate's own question.

No database, and no lock on the good path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from factored import cookies
from factored.auth_tkt import (
    NO_ADDRESS,
    TicketCookie,
    TicketFormat,
    bound_address,
    expires_at,
    is_current,
)
from factored.environ import is_page_load
from factored.interfaces import Clock, Environ, Revocations, Ticket
from factored.settings import Settings

MEMO_SIZE = 4096
"""Verified tickets that are remembered; emptied when full. 600 bytes each."""

MAX_CANDIDATES = 8
"""Ticket cookies, junk of that length too, that one request for the site has verified at most."""


class TicketCheck:
    """Finds the good tickets among a request's cookies, and renews them.

    :param tickets: reads tickets and issues renewed ones
    """

    def __init__(
        self, settings: Settings, tickets: TicketFormat, revocations: Revocations, clock: Clock
    ) -> None:
        self._tickets = tickets
        self._revocations = revocations
        self._now_s = clock.now_s
        self._cookie = TicketCookie(settings)
        self._cookie_name = settings.cookie_name
        self._include_ip = settings.include_ip
        self._absolute_timeout_s = settings.auth_absolute_timeout
        self._reissue_s = settings.reissue_time
        self._memo: dict[tuple[str, str], Ticket] = {}
        self._memo_secrets: tuple[str, ...] = ()

    def the_one(self, environ: Environ) -> Ticket | None:
        """environ -> the ticket that counts: the newest good one; of several users, none"""
        good = self.good(environ, MAX_CANDIDATES)
        return newest(good) if good else None

    def good(self, environ: Environ, most: int | None = None) -> list[Ticket]:
        """environ, how many cookies to look at (None: all) -> the good tickets among them

        Verifying is remembered, and nothing unverified is; age and revocation are looked at anew
        each time.
        """
        header = environ.get("HTTP_COOKIE")
        if not header:
            return []
        shortest = self._tickets.shortest
        values = [
            value for value in cookies.values(header, self._cookie_name) if len(value) > shortest
        ]
        if not values or not self._revocations.ready:
            return []
        address = self._address(environ)
        memo = self._memo_of_today()
        good = []
        for value in values[:most]:
            ticket = memo.get((value, address))
            if ticket is None:
                ticket = self._tickets.parse(value, address)
                if ticket is None:
                    continue
                if len(memo) >= MEMO_SIZE:
                    memo.clear()
                memo[value, address] = ticket
            if is_current(
                ticket, self._now_s(), self._absolute_timeout_s
            ) and not self._revocations.revoked(ticket):
                good.append(ticket)
        return good

    def renewal(self, ticket: Ticket, environ: Environ) -> list[str]:
        """good ticket -> Set-Cookie texts with the same login's renewed ticket; none: not due

        It is due on page loads, after reissue_time, if a new one would end later.
        """
        if self._reissue_s is None:
            return []
        now_s = int(self._now_s())
        if now_s - ticket.issued_at <= self._reissue_s or not is_page_load(environ):
            return []
        renewed = replace(ticket, issued_at=now_s)
        ends_at = expires_at(renewed, self._absolute_timeout_s)
        if ends_at <= expires_at(ticket, self._absolute_timeout_s):
            return []
        return self._cookie.set_lines(
            self._tickets.issue(renewed, self._address(environ)),
            environ.get("HTTP_HOST", ""),
            max_age_s=ends_at - now_s if ticket.remember else None,
        )

    def _memo_of_today(self) -> dict[tuple[str, str], Ticket]:
        """-> the memo; a new one once the secrets changed, as a dropped secret verifies nothing"""
        secrets = self._tickets.secrets()
        if secrets is not self._memo_secrets:
            self._memo = {}
            self._memo_secrets = secrets
        return self._memo

    def _address(self, environ: Environ) -> str:
        """environ -> the address that its tickets are bound to"""
        return bound_address(environ.get("REMOTE_ADDR", "")) if self._include_ip else NO_ADDRESS


def newest(good: Sequence[Ticket]) -> Ticket | None:
    """good tickets -> the newest; None where there is none, or they are of several users"""
    if len({ticket.user for ticket in good}) != 1:
        return None
    return max(good, key=lambda ticket: ticket.issued_at)
