"""Which tickets of a request are good: remembered once verified, judged anew each time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from factored import ticket_check
from factored.auth_tkt import TicketFormat
from factored.codes import new_id
from factored.interfaces import Environ, Ticket
from factored.settings import parse
from factored.ticket_check import TicketCheck
from tests.support import TICKET_SECRET, FixedClock, settings_for


class Known:
    """Revocations that a test chooses."""

    def __init__(self) -> None:
        self.ready = True
        self.ended: set[str] = set()

    def revoked(self, ticket: Ticket) -> bool:
        return bool({ticket.ticket_id, ticket.series} & self.ended)

    def revoke(self, *values: str) -> None:
        self.ended.update(values)


class Counted(TicketFormat):
    """Counts what it verifies."""

    parsed = 0

    def parse(self, value: str, address: str = "0.0.0.0") -> Ticket | None:
        self.parsed += 1
        return super().parse(value, address)


class Desk:
    def __init__(self, folder: Path, clock: FixedClock, **changed: str) -> None:
        (folder / "factored.key").touch()
        self.secrets = (TICKET_SECRET,)
        self.tickets = Counted(lambda: self.secrets, hashalg="sha512", schemes=["ga"])
        self.known, self.clock = Known(), clock
        settings = parse(settings_for(folder) | changed)
        self.check = TicketCheck(settings, self.tickets, self.known, clock)

    def ticket(self) -> Ticket:
        now_s = int(self.clock.now_s())
        return Ticket("al", "ga", now_s, now_s, 7200, False, new_id(), new_id())

    def environ(self, *tickets: Ticket, rest: str = "") -> Environ:
        values = [f"auth_tkt={self.tickets.issue(ticket)}" for ticket in tickets]
        return {"HTTP_COOKIE": "; ".join([*values, *([rest] if rest else [])])}


@pytest.fixture
def make_desk(tmp_path: Path, clock: FixedClock) -> Callable[..., Desk]:
    return lambda **changed: Desk(tmp_path, clock, **changed)


@pytest.fixture
def desk(make_desk: Callable[..., Desk]) -> Desk:
    return make_desk()


def test_a_header_is_verified_once(desk: Desk) -> None:
    ticket = desk.ticket()
    environ = desk.environ(ticket, replace(ticket, issued_at=ticket.issued_at - 1), rest="a=b")
    for _ in range(3):
        assert desk.check.the_one(environ) == ticket
    assert desk.tickets.parsed == 2


def test_of_what_is_no_ticket_nothing_is_remembered(desk: Desk) -> None:
    junk = {"HTTP_COOKIE": f"auth_tkt={'f' * 300}"}
    for number in (1, 2):
        assert desk.check.the_one(junk) is None
        assert desk.tickets.parsed == number


def test_what_is_remembered_ends_all_the_same(desk: Desk) -> None:
    for end in (
        lambda ticket: desk.known.revoke(ticket.ticket_id),
        lambda ticket: desk.known.revoke(ticket.series),
        lambda ticket: desk.clock.advance(7200),
    ):
        ticket = desk.ticket()
        environ = desk.environ(ticket)
        assert desk.check.the_one(environ) == ticket
        end(ticket)
        assert desk.check.the_one(environ) is None
        assert desk.check.good(environ) == []


def test_a_process_that_is_not_ready_takes_no_remembered_ticket_either(desk: Desk) -> None:
    environ = desk.environ(desk.ticket())
    assert desk.check.the_one(environ)
    desk.known.ready = False
    assert desk.check.the_one(environ) is None
    assert desk.check.good(environ) == []


def test_a_secret_that_was_dropped_verifies_nothing_that_is_remembered(desk: Desk) -> None:
    environ = desk.environ(desk.ticket())
    assert desk.check.the_one(environ)
    desk.secrets = (TICKET_SECRET[::-1],)
    assert desk.check.the_one(environ) is None


def test_what_is_remembered_for_one_address_is_nothing_to_another(
    make_desk: Callable[..., Desk],
) -> None:
    desk = make_desk(**{"auth_tkt.include_ip": "true"})
    ticket = desk.ticket()
    cookie = f"auth_tkt={desk.tickets.issue(ticket, '192.0.2.1')}"
    for address, found in (("192.0.2.1", ticket), ("192.0.2.2", None), ("192.0.2.1", ticket)):
        assert desk.check.the_one({"HTTP_COOKIE": cookie, "REMOTE_ADDR": address}) == found


@pytest.mark.parametrize(("offset", "emptied"), [(-1, False), (0, False), (1, True)])
def test_so_many_bytes_are_remembered_and_no_more(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, offset: int, emptied: bool
) -> None:
    ticket = desk.ticket()
    first, second = desk.environ(ticket), desk.environ(ticket, rest="a=b")
    both = len(first["HTTP_COOKIE"]) + len(second["HTTP_COOKIE"])
    monkeypatch.setattr(ticket_check, "MEMO_BYTES", both - offset)
    for environ in (first, second, first):
        assert desk.check.the_one(environ) == ticket
    assert desk.tickets.parsed == (3 if emptied else 2)


def test_all_good_ones_are_found_however_many_stand_before_them(desk: Desk) -> None:
    ticket = desk.ticket()
    forged = "f" * 128 + desk.tickets.issue(ticket)[128:]
    planted = "; ".join([f"auth_tkt={forged}"] * ticket_check.MAX_CANDIDATES)
    environ = {"HTTP_COOKIE": f"{planted}; auth_tkt={desk.tickets.issue(ticket)}"}
    assert desk.check.the_one(environ) is None
    assert desk.check.good(environ) == [ticket]
