"""The suite of :class:`factored.interfaces.TicketStore`; asks for ``stores.tickets`` and users."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from factored.codes import new_id
from factored.interfaces import Attempt, Charge, Device, Limit, NewLogin, OpenTicket, StoreError
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


def new_login(user_id: int, **changed: Any) -> NewLogin:
    """user id -> a login from a browser that was not known"""
    device = Device(new_id(), user_id, NOW_S, NOW_S, "Browser ☎ " + "x" * 245, "2001:db8::1%eth0")
    shown = ticket(user_id, device_id=device.id)
    return replace(NewLogin(shown, device, new_device=True), **changed)


class TicketStoreContract:
    def test_a_login_leaves_its_ticket_and_its_device(self, stores: Any) -> None:
        al = add(stores, "al")
        made = new_login(al.id)
        stores.tickets.add_login(made)
        assert stores.tickets.of(al.id, now_s=NOW_S) == [made.ticket]
        assert stores.devices.of(al.id) == [made.device]
        assert stores.users.find("al") == replace(al, last_login_at=NOW_S)
        assert stores.revocations.read(None)[1] == []

    def test_a_login_on_a_known_device_touches_that_one(self, stores: Any) -> None:
        al = add(stores, "al")
        one, other = (Device(new_id(), al.id, NOW_S, NOW_S, "") for _ in range(2))
        for device in (one, other):
            stores.devices.add(device)
        touched = replace(one, last_used_at=NOW_S + 5, address="192.0.2.9")
        stores.tickets.add_login(new_login(al.id, device=touched, new_device=False))
        assert stores.devices.of(al.id) == [touched, other]

    def test_a_login_makes_no_forgotten_device_known_again(self, stores: Any) -> None:
        al = add(stores, "al")
        gone = new_login(al.id, new_device=False)
        stores.tickets.add_login(gone)
        assert stores.devices.of(al.id) == []
        assert stores.tickets.of(al.id, now_s=NOW_S) == [gone.ticket]

    def test_a_login_ends_the_tickets_it_is_told_to_and_no_other(self, stores: Any) -> None:
        al, bo = add(stores, "al"), add(stores, "bo")
        old, others, kept = ticket(al.id), ticket(bo.id), ticket(bo.id)
        for one in (old, others, kept):
            stores.tickets.add(one)
        made = new_login(al.id, ended=(old.id, others.id, "nobody's"), revoke_for_s=60)
        stores.tickets.add_login(made)
        assert stores.tickets.of(al.id, now_s=NOW_S) == [made.ticket]
        assert stores.tickets.of(bo.id, now_s=NOW_S) == [kept]
        assert sorted(stores.revocations.read(None)[1]) == sorted(made.ended)

    def test_a_login_takes_its_own_count_back_and_no_other(self, stores: Any) -> None:
        al = add(stores, "al")
        charges = (Charge("a", (Limit(3, 60),)), Charge("b", (Limit(9, 60),)))
        first, *_ = (stores.attempts.count(charges, now_s=NOW_S + n) for n in range(3))
        for _ in range(2):
            stores.tickets.add_login(new_login(al.id, forgiven=first))
        stores.tickets.add_login(new_login(al.id, forgiven=Attempt("no-such-attempt-id-xyz")))
        stamps = stores.attempts.stamps(["a", "b"], now_s=NOW_S)
        assert stamps == {"a": [NOW_S + 1, NOW_S + 2], "b": [NOW_S + 1, NOW_S + 2]}
        tries = [stores.attempts.count(charges, now_s=NOW_S + 3) for _ in range(9)]
        assert sum(isinstance(one, Attempt) for one in tries) == 1

    @pytest.mark.parametrize("counted", [True, False])
    def test_a_login_empties_the_buckets_it_is_told_to_and_only_those(
        self, stores: Any, counted: bool
    ) -> None:
        al = add(stores, "al")
        charges = (Charge("run", (Limit(9, 60),)), Charge("other", (Limit(9, 60),)))
        tries = [stores.attempts.count(charges, now_s=NOW_S) for _ in range(4)]
        forgiven = tries[0] if counted else None
        stores.tickets.add_login(new_login(al.id, forgiven=forgiven, cleared=("run", "none")))
        left = [NOW_S] * (3 if counted else 4)
        assert stores.attempts.stamps(["run", "other"], now_s=NOW_S) == {"other": left}

    @pytest.mark.parametrize("new_device", [True, False])
    def test_a_login_of_a_user_who_is_gone_changes_nothing(
        self, stores: Any, new_device: bool
    ) -> None:
        al, bo = add(stores, "al"), add(stores, "bo")
        others = ticket(bo.id)
        stores.tickets.add(others)
        counted = stores.attempts.count((Charge("a", (Limit(3, 60),)),), now_s=NOW_S)
        stores.users.remove(al.id, revoke_for_s=60)
        with pytest.raises(StoreError):
            stores.tickets.add_login(
                new_login(
                    al.id, new_device=new_device, forgiven=counted, cleared=("a",),
                    ended=(others.id,), revoke_for_s=60,
                )
            )  # fmt: skip
        assert stores.tickets.of(bo.id, now_s=NOW_S) == [others]
        assert stores.attempts.stamps(["a"], now_s=NOW_S) == {"a": [NOW_S]}
        assert stores.revocations.read(None)[1] == [al.ticket_series]
        assert stores.devices.of(al.id) == stores.tickets.of(al.id, now_s=NOW_S) == []

    def test_logins_and_what_ends_them_at_once_hold_one_another_up_for_nobody(
        self, stores: Any
    ) -> None:
        al, bo = add(stores, "al"), add(stores, "bo")
        run = (Charge("run", (Limit(10_000, 60),)),)
        known, shown = Device(new_id(), al.id, NOW_S, NOW_S, ""), [ticket(bo.id) for _ in range(9)]
        stores.devices.add(known)
        for one in shown:
            stores.tickets.add(one)
        ended = tuple(one.id for one in shown)

        def visit(number: int) -> None:
            for _ in range(5):
                user, other = (al, bo)[:: 1 if number % 2 else -1]
                device = {"device": known, "new_device": False} if user is al else {}
                stores.tickets.add_login(
                    new_login(
                        user.id, **device, forgiven=stores.attempts.count(run, now_s=NOW_S),
                        cleared=("run",), ended=ended[:: 1 if number % 2 else -1], revoke_for_s=60,
                    )
                )  # fmt: skip
                stores.users.end_tickets(other.id, ticket_series=new_id(), revoke_for_s=60)
                stores.tickets.see(dict.fromkeys(ended, NOW_S + number))
                stores.tickets.prune(now_s=NOW_S + 999)

        at_once(6, visit)
        assert stores.attempts.stamps(["run"], now_s=NOW_S) == {}

    def test_a_user_removed_in_the_midst_of_logins_leaves_nothing(self, stores: Any) -> None:
        for _ in range(5):
            al = add(stores, "al")
            known = Device(new_id(), al.id, NOW_S, NOW_S, "")
            stores.devices.add(known)

            def visit(number: int, al: Any = al, known: Device = known) -> None:
                if number == 3:
                    assert stores.users.remove(al.id, revoke_for_s=60)
                with suppress(StoreError):
                    stores.tickets.add_login(new_login(al.id, device=known, new_device=False))

            at_once(6, visit)
            assert stores.tickets.of(al.id, now_s=NOW_S) == stores.devices.of(al.id) == []
            with pytest.raises(StoreError):
                stores.tickets.add_login(new_login(al.id))

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

    def test_the_last_login_is_known_when_its_ticket_is_long_gone(self, stores: Any) -> None:
        al, bo, cy = (add(stores, name) for name in ("al", "bo", "cy"))
        for user, login_at in ((al, NOW_S), (al, NOW_S + 9), (al, NOW_S + 5), (bo, NOW_S + 7)):
            stores.tickets.add(ticket(user.id, login_at=login_at, ends_at=NOW_S + 60))
        logged_in = [replace(al, last_login_at=NOW_S + 9), replace(bo, last_login_at=NOW_S + 7)]

        def told() -> list[Any]:
            found = [stores.users.get(user.id) for user in (al, bo, cy)]
            assert list(stores.users.each()) == found
            assert sorted(stores.users.find_many(["al", "bo", "cy"]), key=lambda u: u.id) == found
            assert [stores.users.find_with_devices(u.username, ["d"])[0] for u in found] == found
            return found

        assert told() == [*logged_in, cy]
        stores.tickets.drop([one.id for one in stores.tickets.of(bo.id, now_s=NOW_S)])
        assert told() == [*logged_in, cy]
        stores.tickets.prune(now_s=NOW_S + 60)
        assert told() == [*logged_in, cy]
        stores.tickets.add(ticket(al.id, login_at=NOW_S + 3, ends_at=NOW_S + 60))
        stores.users.end_tickets(bo.id, ticket_series=bo.ticket_series, revoke_for_s=60)
        stores.tickets.prune(now_s=NOW_S + 60)
        assert told() == [*logged_in, cy]

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
