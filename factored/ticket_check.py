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

MEMO_BYTES = 2 << 20
"""Of Cookie headers whose tickets are remembered; emptied when full."""

MAX_CANDIDATES = 3
"""Ticket cookies, junk of that length too, that one request for the site has verified at most.

As many as Pyramid's helper, and so factored 4.x, may have left in a browser (decision 0008).
"""


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
        self._memo: dict[tuple[str, str], list[Ticket]] = {}
        self._memo_bytes = 0
        self._memo_secrets: tuple[str, ...] = ()

    def the_one(self, environ: Environ) -> Ticket | None:
        """environ -> the ticket that counts: the newest good one; of several users, none

        Verifying is remembered by the whole header, and nothing unverified is; age and revocation
        are looked at anew each time.
        """
        header = environ.get("HTTP_COOKIE")
        if not header or not self._revocations.ready:
            return None
        secrets = self._tickets.secrets()
        if secrets is not self._memo_secrets or self._memo_bytes > MEMO_BYTES:
            # As a dropped secret verifies nothing any more.
            self._memo, self._memo_bytes, self._memo_secrets = {}, 0, secrets
        address = self._address(environ)
        memo = self._memo
        verified = memo.get((header, address))
        if verified is None:
            verified = self._verified(header, address, MAX_CANDIDATES)
            if verified:
                memo[header, address] = verified
                self._memo_bytes += len(header)
        return newest(self._unended(verified))

    def good(self, environ: Environ) -> list[Ticket]:
        """environ -> all good tickets that it shows, however many others stand before them"""
        header = environ.get("HTTP_COOKIE")
        if not header or not self._revocations.ready:
            return []
        return self._unended(self._verified(header, self._address(environ)))

    def _verified(self, header: str, address: str, most: int | None = None) -> list[Ticket]:
        """Cookie header, address, how many cookies to look at (None: all) -> tickets of ours"""
        verified = []
        for value in cookies.values(header, self._cookie_name):
            if len(value) <= self._tickets.shortest:
                continue
            if most == 0:
                break
            most = most and most - 1
            ticket = self._tickets.parse(value, address)
            if ticket is not None:
                verified.append(ticket)
        return verified

    def _unended(self, verified: list[Ticket]) -> list[Ticket]:
        now_s = self._now_s()
        return [
            ticket
            for ticket in verified
            if is_current(ticket, now_s, self._absolute_timeout_s)
            and not self._revocations.revoked(ticket)
        ]

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

    def _address(self, environ: Environ) -> str:
        """environ -> the address that its tickets are bound to"""
        return bound_address(environ.get("REMOTE_ADDR", "")) if self._include_ip else NO_ADDRESS


def newest(good: Sequence[Ticket]) -> Ticket | None:
    """good tickets -> the newest; None where there is none, or they are of several users"""
    if len(good) == 1:
        return good[0]
    if len({ticket.user for ticket in good}) != 1:
        return None
    return max(good, key=lambda ticket: ticket.issued_at)
