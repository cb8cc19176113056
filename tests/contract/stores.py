"""The suite of :class:`factored.interfaces.Stores`, a whole store; asks for ``case``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from factored.codes import new_id
from factored.interfaces import Attempt, Charge, Device, Limit, LinkKind, StoreError, Stores
from tests.contract.challenge_store import challenge
from tests.contract.ticket_store import new_login, ticket
from tests.contract.user_store import add, authenticator, newcomer
from tests.support import NOW_S, at_once


@dataclass
class Case:
    """A store with what the suite needs to try it.

    :param make: -> Stores as another process would make them, of one place; nothing is there before
        the first ``upgrade``
    :param take_down: makes that place not answer, or not as it should; None if it asks nobody
    :param password: what is set in the ini and must not be shown
    """

    make: Callable[[], Stores]
    take_down: Callable[[], None] | None = None
    password: str | None = None


CHARGES = (Charge("a", (Limit(5, 60),)), Charge("b", (Limit(9, 60),)))

CALLS: dict[str, Callable[[Any], Any]] = {
    "check": lambda stores: stores.check(),
    "users.find": lambda stores: stores.users.find("al"),
    "users.find_with_devices": lambda stores: stores.users.find_with_devices("al", ["d"]),
    "users.get": lambda stores: stores.users.get(1),
    "users.add": lambda stores: add(stores, "bo"),
    "users.find_many": lambda stores: stores.users.find_many(["al"]),
    "users.add_many": lambda stores: stores.users.add_many([newcomer("bo")]),
    "users.remove": lambda stores: stores.users.remove(1, revoke_for_s=1),
    "users.each": lambda stores: list(stores.users.each()),
    "users.accept_step": lambda stores: stores.users.accept_step("a", 1, now_s=NOW_S),
    "users.add_pending": lambda stores: stores.users.add_pending(authenticator(1)),
    "users.confirm": lambda stores: stores.users.confirm(
        "a", 1, ticket_series=new_id(), now_s=NOW_S, revoke_for_s=1
    ),
    "users.confirm_another": lambda stores: stores.users.confirm_another(
        "a", 1, label="", most=3, now_s=NOW_S
    ),
    "users.rename_authenticator": lambda stores: stores.users.rename_authenticator(1, "a", ""),
    "users.drop_authenticator": lambda stores: stores.users.drop_authenticator(
        1, "a", ticket_series=new_id(), revoke_for_s=1
    ),
    "users.lower_steps": lambda stores: stores.users.lower_steps(1, 1),
    "devices.add": lambda stores: stores.devices.add(Device("d", 1, NOW_S, NOW_S, "")),
    "devices.find": lambda stores: stores.devices.find("d", 1),
    "devices.of": lambda stores: stores.devices.of(1),
    "devices.forget": lambda stores: stores.devices.forget("d", 1),
    "devices.prune": lambda stores: stores.devices.prune(unused_since=NOW_S),
    "links.add": lambda stores: stores.links.add(
        LinkKind.UNLOCK, 1, "hash", now_s=NOW_S, ends_at=NOW_S + 1
    ),
    "links.find": lambda stores: stores.links.find(["hash"], now_s=NOW_S),
    "links.spend": lambda stores: stores.links.spend(1, now_s=NOW_S),
    "links.prune": lambda stores: stores.links.prune(now_s=NOW_S),
    "challenges.add": lambda stores: stores.challenges.add(challenge()),
    "challenges.newest": lambda stores: stores.challenges.newest(["b"], "em", now_s=NOW_S),
    "challenges.linked": lambda stores: stores.challenges.linked(["l"], "em", now_s=NOW_S),
    "challenges.answer": lambda stores: stores.challenges.answer("c", ["code"], now_s=NOW_S),
    "challenges.prune": lambda stores: stores.challenges.prune(now_s=NOW_S),
    "tickets.add_login": lambda stores: stores.tickets.add_login(new_login(1)),
    "tickets.add": lambda stores: stores.tickets.add(ticket(1)),
    "tickets.of": lambda stores: stores.tickets.of(1, now_s=NOW_S),
    "tickets.see": lambda stores: stores.tickets.see({"t": NOW_S}),
    "tickets.drop": lambda stores: stores.tickets.drop(["t"]),
    "tickets.prune": lambda stores: stores.tickets.prune(now_s=NOW_S),
    "recovery_codes.replace": lambda stores: stores.recovery_codes.replace(1, ["h"], now_s=NOW_S),
    "recovery_codes.burn": lambda stores: stores.recovery_codes.burn(1, ["h"], now_s=NOW_S),
    "recovery_codes.left": lambda stores: stores.recovery_codes.left(1),
    "attempts.count": lambda stores: stores.attempts.count(CHARGES, now_s=NOW_S),
    "attempts.stamps": lambda stores: stores.attempts.stamps(["a"], now_s=NOW_S),
    "attempts.prune": lambda stores: stores.attempts.prune(now_s=NOW_S),
    "revocations.add": lambda stores: stores.revocations.add(["value"], for_s=1),
    "revocations.read": lambda stores: stores.revocations.read(None),
    "revocations.prune": lambda stores: stores.revocations.prune(),
}
"""Every method that must say so when the store does not answer."""


class StoresContract:
    @pytest.fixture
    def made(self, case: Case) -> Stores:
        made = case.make()
        made.upgrade()
        return made

    def test_before_the_first_upgrade_it_says_what_to_do(self, case: Case) -> None:
        stores = case.make()
        assert stores.revision() is None
        with pytest.raises(StoreError, match="factored init"):
            stores.check()

    def test_upgrading_makes_what_this_release_needs(self, case: Case, made: Stores) -> None:
        for stores in (made, case.make()):
            stores.check()
            assert isinstance(stores.revision(), str)

    def test_upgrading_again_changes_nothing(self, case: Case, made: Stores) -> None:
        user, revision = add(made, "al"), made.revision()
        case.make().upgrade()
        assert made.revision() == revision
        assert case.make().users.find("al") == user

    def test_its_place_is_one_line_without_a_password(self, case: Case) -> None:
        location = case.make().location
        assert location and location.isprintable()
        assert case.password is None or case.password not in location

    def test_what_one_process_has_done_holds_for_every_other(
        self, case: Case, made: Stores
    ) -> None:
        other = case.make()
        user = add(made, "al")
        assert other.users.find("al") == user
        step = user.authenticators[0].id
        assert [one.users.accept_step(step, 7, now_s=NOW_S) for one in (other, made)] == [
            True,
            False,
        ]
        value = new_id()
        made.revocations.add([value], for_s=60)
        assert other.revocations.read(None)[1] == [value]
        made.challenges.add(challenge())
        answered = [one.challenges.answer("c", ["code of c"], now_s=NOW_S) for one in (other, made)]
        assert answered == [True, False]

    def test_processes_that_count_at_once_let_none_too_many_through(
        self, case: Case, made: Stores
    ) -> None:
        nodes = [made, case.make(), case.make()]
        tries = at_once(30, lambda number: nodes[number % 3].attempts.count(CHARGES, now_s=NOW_S))
        assert sum(isinstance(one, Attempt) for one in tries) == 5

    def test_of_processes_that_accept_one_code_at_once_one_succeeds(
        self, case: Case, made: Stores
    ) -> None:
        nodes = [made, case.make(), case.make()]
        held = add(made, "al").authenticators[0].id
        accepted = at_once(
            15, lambda number: nodes[number % 3].users.accept_step(held, 7, now_s=NOW_S)
        )
        assert accepted.count(True) == 1

    def test_closing_one_leaves_the_others_open_and_may_be_done_twice(
        self, case: Case, made: Stores
    ) -> None:
        other = case.make()
        user = add(made, "al")
        made.close()
        made.close()
        assert other.users.find("al") == user

    @pytest.mark.parametrize("call", CALLS)
    def test_every_call_says_so_when_the_store_does_not_answer(
        self, case: Case, made: Stores, call: str
    ) -> None:
        if case.take_down is None:
            return  # it asks nobody
        case.take_down()
        with pytest.raises(StoreError) as caught:
            CALLS[call](made)
        assert case.password is None or case.password not in str(caught.value)
