"""Open tickets, for the eyes of their users: where am I signed in, and since when?"""

from __future__ import annotations

from contextlib import suppress

from factored.auth_tkt import expires_at
from factored.interfaces import Clock, NewLogin, OpenTicket, Ticket, TicketStore
from factored.services.devices import Browser


class OpenTickets:
    """Keeps what was issued, and when it was last seen.

    :param absolute_timeout_s: seconds after its login that no ticket is good
    :param renewed: whether the gate renews tickets, so that one may be good until then
    """

    def __init__(
        self, tickets: TicketStore, clock: Clock, *, absolute_timeout_s: int, renewed: bool
    ) -> None:
        self._tickets = tickets
        self._clock = clock
        self._absolute_timeout_s = absolute_timeout_s
        self._renewed = renewed
        self.seen: dict[str, float] = {}
        """Ticket id -> Unix time: what the gate saw since it was last written. It only puts in:
        one step, without a lock."""

    def add(self, ticket: Ticket, user_id: int, browser: Browser) -> None:
        """a ticket that takes the place of one that ended, whom to and where -> None"""
        self._tickets.add(self.shown(ticket, user_id, "", browser))

    def shown(self, ticket: Ticket, user_id: int, device_id: str, browser: Browser) -> OpenTicket:
        """a ticket that is issued, whom to and where -> the same as its user may see it"""
        user_agent, address = browser.shown
        latest = ticket.login_at + self._absolute_timeout_s
        ends_at = latest if self._renewed else expires_at(ticket, self._absolute_timeout_s)
        return OpenTicket(
            ticket.ticket_id, user_id, ticket.scheme, device_id, user_agent, address,
            ticket.login_at, ticket.issued_at, ends_at,
        )  # fmt: skip

    def add_login(self, login: NewLogin) -> None:
        """login -> None; all that it changes is stored

        :raises StoreError: nothing was changed
        """
        self._tickets.add_login(login)

    def of(self, user_id: int) -> list[OpenTicket]:
        """user id -> the open tickets, the newest login first"""
        self.write()
        return self._tickets.of(user_id, now_s=int(self._clock.now_s()))

    def drop(self, ticket_ids: list[str]) -> None:
        """ids of tickets that ended -> None"""
        if ticket_ids:
            self._tickets.drop(ticket_ids)

    def write(self) -> None:
        """-> None; the store learns which tickets this process has seen"""
        seen = {}
        with suppress(KeyError):  # it is empty: by us, or by another thread that does the same
            while True:
                ticket_id, at = self.seen.popitem()
                seen[ticket_id] = int(at)
        self._tickets.see(seen)
