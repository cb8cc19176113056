"""The suite of :class:`factored.interfaces.TicketStore`; asks for ``stores.tickets`` and users."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from factored.codes import new_id
from factored.interfaces import OpenTicket
from tests.contract.user_store import add
from tests.support import NOW_S, at_once


def ticket(user_id: int, **changed: Any) -> OpenTicket:
    """user id -> a ticket that was issued now"""
    address = "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff%eth0"
    made = OpenTicket(
        new_id(), user_id, "ga", new_id(), "Browser ☎ " + "x" * 245, address, NOW_S, NOW_S,
        NOW_S + 60,
    )  # fmt: skip
    return replace(made, **changed)


class TicketStoreContract:
    def test_a_users_tickets_are_found_as_stored_the_newest_first(self, stores: Any) -> None:
        al, bo = add(stores, "al"), add(stores, "bo")
        first, last = ticket(al.id), ticket(al.id, login_at=NOW_S + 1, device_id="")
        for one in (first, last, ticket(bo.id)):
            stores.tickets.add(one)
        assert stores.tickets.of(al.id, now_s=NOW_S) == [last, first]
        assert stores.tickets.of(bo.id + 1, now_s=NOW_S) == []

    def test_a_ticket_is_the_last_login_of_its_user(self, stores: Any) -> None:
        al, bo = add(stores, "al"), add(stores, "bo")
        assert al.last_login_at is None
        stores.tickets.add(ticket(al.id, login_at=NOW_S + 5))
        assert stores.users.find("al") == replace(al, last_login_at=NOW_S + 5)
        assert stores.users.find("bo") == bo

    @pytest.mark.parametrize(("later_s", "left"), [(59, 2), (60, 1), (61, 1), (99, 0)])
    def test_what_is_over_is_shown_no_more_and_pruned(
        self, stores: Any, later_s: int, left: int
    ) -> None:
        al = add(stores, "al")
        for ends_at in (NOW_S + 60, NOW_S + 99):
            stores.tickets.add(ticket(al.id, ends_at=ends_at))
        assert len(stores.tickets.of(al.id, now_s=NOW_S + later_s)) == left
        assert stores.tickets.prune(now_s=NOW_S + later_s) == 2 - left
        assert len(stores.tickets.of(al.id, now_s=NOW_S)) == left

    def test_when_a_ticket_was_seen_only_moves_forward(self, stores: Any) -> None:
        al = add(stores, "al")
        one, other = ticket(al.id), ticket(al.id, login_at=NOW_S - 1)
        for each in (one, other):
            stores.tickets.add(each)
        for at in (NOW_S + 9, NOW_S + 3):
            stores.tickets.see({one.id: at, "nobody's": at})
        stores.tickets.see({})
        seen = stores.tickets.of(al.id, now_s=NOW_S)
        assert seen == [replace(one, last_seen_at=NOW_S + 9), other]

    def test_what_is_dropped_is_shown_no_more(self, stores: Any) -> None:
        al = add(stores, "al")
        kept, gone = ticket(al.id), ticket(al.id)
        for one in (kept, gone):
            stores.tickets.add(one)
        stores.tickets.drop([gone.id, "nobody's"])
        stores.tickets.drop([])
        assert stores.tickets.of(al.id, now_s=NOW_S) == [kept]

    def test_tickets_go_with_their_series_and_with_their_user(self, stores: Any) -> None:
        al, bo = add(stores, "al"), add(stores, "bo")
        others = ticket(bo.id)
        stores.tickets.add(ticket(al.id))
        stores.tickets.add(others)
        stores.users.end_tickets(al.id, ticket_series=new_id(), revoke_for_s=60)
        assert stores.tickets.of(al.id, now_s=NOW_S) == []
        assert stores.tickets.of(bo.id, now_s=NOW_S) == [others]
        stores.users.remove(bo.id, revoke_for_s=60)
        assert stores.tickets.of(bo.id, now_s=NOW_S) == []

    def test_logins_of_one_user_at_once_are_all_kept(self, stores: Any) -> None:
        al = add(stores, "al")
        for number in range(10):
            made = [ticket(al.id, login_at=NOW_S + number) for _ in range(4)]
            at_once(4, lambda which, made=made: stores.tickets.add(made[which]))  # type: ignore[misc]
        assert len(stores.tickets.of(al.id, now_s=NOW_S)) == 40

    def test_tickets_are_seen_and_ended_at_once(self, stores: Any) -> None:
        al = add(stores, "al")
        made = [ticket(al.id) for _ in range(20)]
        for one in made:
            stores.tickets.add(one)
        seen = {one.id: NOW_S + 1 for one in made}
        calls = [
            lambda: stores.tickets.see(seen),
            lambda: stores.users.end_tickets(al.id, ticket_series=new_id(), revoke_for_s=60),
            lambda: stores.tickets.drop([one.id for one in made]),
            lambda: stores.tickets.prune(now_s=NOW_S + 999),
        ]
        at_once(4, lambda which: calls[which]())
        assert stores.tickets.of(al.id, now_s=NOW_S) == []
