"""The suite of :class:`factored.interfaces.UserStore`.

Asks for ``stores`` with ``users``; what removing takes along with it is tested on ``devices``,
``links``, ``attempts`` and ``revocations``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from factored.codes import new_id
from factored.interfaces import (
    Authenticator,
    AuthenticatorState,
    Charge,
    Device,
    Limit,
    LinkKind,
    NewUser,
    User,
    UserExists,
)
from tests.support import NOW_S, at_once


def authenticator(user_id: int, **changed: Any) -> Authenticator:
    """user id -> an authenticator that can log in"""
    active = AuthenticatorState.ACTIVE
    made = Authenticator(new_id(), user_id, "ga", "App", "v1.secret", active, NOW_S, NOW_S)
    return replace(made, **changed)


def add(
    stores: Any, name: str, held: Callable[[int], Authenticator] | None = authenticator
) -> User:
    """name -> the user stored, with an authenticator unless told otherwise"""
    user: User = stores.users.add(
        name, name.lower(), ticket_series=new_id(), now_s=NOW_S, authenticator=held
    )
    return user


def newcomer(name: str, **changed: Any) -> NewUser:
    """name -> a user to be made with many others, who holds nothing unless told otherwise"""
    return replace(NewUser(name, name.lower(), new_id(), NOW_S), **changed)


class UserStoreContract:
    def test_a_user_is_found_as_stored_by_key_and_by_id(self, stores: Any) -> None:
        made = add(stores, "Zoë@Example.com")
        assert (made.username, made.username_key) == ("Zoë@Example.com", "zoë@example.com")
        assert stores.users.find("zoë@example.com") == made
        assert stores.users.get(made.id) == made
        assert made.created_at == NOW_S
        assert made.disabled_at is None

    def test_nobody_is_found_by_another_key(self, stores: Any) -> None:
        made = add(stores, "zoe")
        for key in ("", "ZOE", "zoe ", " zoe", "zoë", "zoé", "zo", "zoe%", "z_e", "zoe\0"):
            assert stores.users.find(key) is None
        assert stores.users.get(made.id + 1) is None

    def test_keys_that_differ_in_one_bit_are_different_users(self, stores: Any) -> None:
        keys = ["a", "a ", "á", "a\u0301", "ss", "ß", "\u0131", "i"]
        made = {key: stores.users.add(key, key, ticket_series=new_id(), now_s=1) for key in keys}
        assert {key: stores.users.find(key).id for key in keys} == {
            key: user.id for key, user in made.items()
        }

    def test_the_authenticator_is_stored_whole_under_the_users_id(self, stores: Any) -> None:
        made = add(
            stores,
            "al",
            lambda user_id: authenticator(
                user_id,
                label="Phone ☎",
                state=AuthenticatorState.PENDING,
                confirmed_at=None,
                last_step=7,
                needs_renewal=True,
            ),
        )
        (held,) = stores.users.get(made.id).authenticators
        assert held == made.authenticators[0]
        assert (held.user_id, held.label, held.last_step) == (made.id, "Phone ☎", 7)
        assert held.state is AuthenticatorState.PENDING
        assert held.needs_renewal is True

    def test_a_user_may_hold_nothing(self, stores: Any) -> None:
        assert add(stores, "al", None).authenticators == ()

    def test_a_second_user_with_the_same_key_is_refused_and_changes_nothing(
        self, stores: Any
    ) -> None:
        first = add(stores, "Al")
        with pytest.raises(UserExists):
            add(stores, "aL")
        assert list(stores.users.each()) == [first]

    def test_of_many_that_add_one_name_at_once_one_succeeds(self, stores: Any) -> None:
        def attempt(number: int) -> bool:
            try:
                add(stores, "al")
            except UserExists:
                return False
            return True

        assert sum(at_once(10, attempt)) == 1
        assert len(list(stores.users.each())) == 1

    def test_a_user_whose_authenticator_cannot_be_made_is_not_made(self, stores: Any) -> None:
        def fail(user_id: int) -> Authenticator:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            add(stores, "al", fail)
        assert stores.users.find("al") is None

    def test_each_gives_every_user_once_by_name_with_what_they_hold(self, stores: Any) -> None:
        names = ["b", "a", "e", "d", "c", "g", "f"]
        made = {name: add(stores, name) for name in names}
        assert list(stores.users.each()) == [made[name] for name in sorted(names)]

    def test_users_may_be_removed_while_each_runs(self, stores: Any) -> None:
        for name in "abcdefg":
            add(stores, name)
        for user in stores.users.each():
            assert stores.users.remove(user.id, revoke_for_s=60)
        assert list(stores.users.each()) == []

    # -- many at once -----------------------------------------------------------------------------

    def test_many_are_found_by_their_keys_and_others_are_not(self, stores: Any) -> None:
        made = {name: add(stores, name) for name in "abcdefgh"}
        found = stores.users.find_many(["c", "A", "a", "nobody", "", "g\0", "c ", "h"])
        assert {user.username: user for user in found} == {name: made[name] for name in "cah"}
        assert stores.users.find_many([]) == []

    def test_of_a_thousand_keys_all_are_found(self, stores: Any) -> None:
        many = [f"user {number}" for number in range(1000)]
        assert stores.users.add_many(newcomer(name) for name in many) == 1000
        found = stores.users.find_many(many)
        assert sorted(user.username for user in found) == sorted(many)

    def test_many_are_made_as_told_with_what_they_hold(self, stores: Any) -> None:
        bystander = add(stores, "bo")
        off = newcomer("Off", disabled_at=NOW_S - 5, last_login_at=NOW_S - 9)
        two = newcomer(
            "two",
            authenticators=lambda user_id: [
                authenticator(user_id, label="One ☎", last_step=7, last_used_at=NOW_S - 1),
                authenticator(user_id, label="Two", needs_renewal=True, created_at=NOW_S + 1),
            ],
        )
        rest = [newcomer(f"user {number}") for number in range(8)]
        assert stores.users.add_many(iter([off, two, *rest])) == 10
        stored = stores.users.find("off")
        assert (stored.username, stored.ticket_series) == ("Off", off.ticket_series)
        assert (stored.created_at, stored.disabled_at) == (NOW_S, NOW_S - 5)
        assert (stored.last_login_at, stored.authenticators) == (NOW_S - 9, ())
        stored = stores.users.find("two")
        assert [one.user_id for one in stored.authenticators] == [stored.id] * 2
        first, second = stored.authenticators
        assert (first.label, first.last_step, first.last_used_at) == ("One ☎", 7, NOW_S - 1)
        assert (second.label, second.needs_renewal) == ("Two", True)
        assert stores.users.accept_step(first.id, 8, now_s=NOW_S)
        assert len({user.id for user in stores.users.each()}) == 11
        assert stores.users.find("bo") == bystander

    def test_nobody_is_made_of_nothing(self, stores: Any) -> None:
        assert stores.users.add_many([]) == 0
        assert list(stores.users.each()) == []

    @pytest.mark.parametrize("last", ["bo", "user 0"])
    def test_many_are_made_or_none_if_a_key_is_taken_or_comes_twice(
        self, stores: Any, last: str
    ) -> None:
        bystander = add(stores, "bo")
        names = [*(f"user {number}" for number in range(8)), last]
        with pytest.raises(UserExists):
            stores.users.add_many(newcomer(name) for name in names)
        assert list(stores.users.each()) == [bystander]

    def test_what_goes_wrong_half_way_undoes_all_of_it(self, stores: Any) -> None:
        def some() -> Iterator[NewUser]:
            yield from (newcomer(f"user {number}") for number in range(8))
            raise ZeroDivisionError

        def fail(user_id: int) -> list[Authenticator]:
            raise ZeroDivisionError

        for newcomers in (some(), [newcomer("al"), newcomer("bo", authenticators=fail)]):
            with pytest.raises(ZeroDivisionError):
                stores.users.add_many(newcomers)
            assert list(stores.users.each()) == []

    def test_whoever_makes_them_may_look_for_others_meanwhile(self, stores: Any) -> None:
        bo = add(stores, "bo")

        def some() -> Iterator[NewUser]:
            for number in range(8):
                assert stores.users.find_many(["bo", "user 0"]) == [bo]
                yield newcomer(f"user {number}")

        assert stores.users.add_many(some()) == 8

    def test_of_many_that_make_the_same_at_once_one_succeeds(self, stores: Any) -> None:
        def attempt(number: int) -> bool:
            try:
                stores.users.add_many(newcomer(f"user {one}") for one in range(4))
            except UserExists:
                return False
            return True

        assert sum(at_once(6, attempt)) == 1
        assert len(list(stores.users.each())) == 4

    # -- TOTP steps -------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        ("step", "accepted"), [(1, True), (99, False), (100, False), (101, True), (10**10, True)]
    )
    def test_an_accepted_step_only_moves_forward(
        self, stores: Any, step: int, accepted: bool
    ) -> None:
        held = add(stores, "al").authenticators[0]
        bystander = add(stores, "bo")
        if step != 1:
            assert stores.users.accept_step(held.id, 100, now_s=NOW_S)
        assert stores.users.accept_step(held.id, step, now_s=NOW_S + 9) is accepted
        now = stores.users.find("al").authenticators[0]
        assert now.last_step == (step if accepted else 100)
        assert now.last_used_at == (NOW_S + 9 if accepted else NOW_S)
        assert stores.users.find("bo") == bystander

    def test_a_step_of_nobodys_authenticator_is_not_accepted(self, stores: Any) -> None:
        assert not stores.users.accept_step(new_id(), 1, now_s=NOW_S)

    def test_of_many_that_use_one_step_at_once_one_is_accepted(self, stores: Any) -> None:
        held = add(stores, "al").authenticators[0]
        for step in (1, 2, 3):
            accepted = at_once(
                20,
                lambda number, step=step: stores.users.accept_step(held.id, step, now_s=NOW_S),
            )
            assert accepted.count(True) == 1

    def test_steps_of_the_future_are_put_back_for_one_user_and_counted(self, stores: Any) -> None:
        users = [add(stores, name) for name in ("al", "bo")]
        for user in users:
            assert stores.users.accept_step(user.authenticators[0].id, 500, now_s=NOW_S)
        assert stores.users.lower_steps(users[0].id, 500) == 0
        assert stores.users.lower_steps(users[0].id, 499, window=1) == 0
        assert stores.users.lower_steps(users[0].id, 498, window=1) == 1
        assert stores.users.lower_steps(users[0].id, 100) == 1
        steps = [stores.users.get(user.id).authenticators[0].last_step for user in users]
        assert steps == [100, 500]

    # -- removal ----------------------------------------------------------------------------------

    def test_a_removed_user_is_gone_and_is_removed_once(self, stores: Any) -> None:
        made = add(stores, "al")
        assert stores.users.remove(made.id, revoke_for_s=60) is True
        assert stores.users.remove(made.id, revoke_for_s=60) is False
        assert stores.users.find("al") is None
        assert stores.users.get(made.id) is None
        assert not stores.users.accept_step(made.authenticators[0].id, 1, now_s=NOW_S)

    def test_removing_revokes_the_series_of_that_user_alone(self, stores: Any) -> None:
        al, _ = add(stores, "al"), add(stores, "bo")
        stores.users.remove(al.id, revoke_for_s=60)
        assert stores.revocations.read(None)[1] == [al.ticket_series]

    def test_removing_takes_devices_links_and_attempts_along(self, stores: Any) -> None:
        al, bo = add(stores, "al"), add(stores, "bo")
        buckets = {}
        for user in (al, bo):
            stores.devices.add(Device(user.username * 11, user.id, NOW_S, NOW_S, "Browser"))
            stores.links.add(
                LinkKind.UNLOCK, user.id, user.username, now_s=NOW_S, ends_at=NOW_S + 60
            )
            buckets[user.username] = f"u{user.id}:totp"
            stores.attempts.count((Charge(f"u{user.id}:totp", (Limit(9, 60),)),), now_s=NOW_S)
        # Not al's, whose id its own begins with.
        stores.attempts.count((Charge(f"u{al.id}0:totp", (Limit(9, 60),)),), now_s=NOW_S)
        link = stores.links.find(["al"], now_s=NOW_S)
        stores.users.remove(al.id, revoke_for_s=60)
        assert stores.devices.find("al" * 11, al.id) is None
        assert stores.links.find(["al"], now_s=NOW_S) is None
        assert not stores.links.spend(link.id, now_s=NOW_S)
        left = stores.attempts.stamps([*buckets.values(), f"u{al.id}0:totp"], now_s=NOW_S)
        assert set(left) == {buckets["bo"], f"u{al.id}0:totp"}
        assert stores.devices.find("bo" * 11, bo.id) is not None
        assert stores.links.find(["bo"], now_s=NOW_S) is not None

    # -- tickets, disabling, logins, secrets ------------------------------------------------------

    def test_ending_tickets_revokes_the_series_of_that_user_and_gives_a_new_one(
        self, stores: Any
    ) -> None:
        al, bo = add(stores, "al"), add(stores, "bo")
        new = new_id()
        assert stores.users.end_tickets(al.id, ticket_series=new, revoke_for_s=60) is True
        assert stores.revocations.read(None)[1] == [al.ticket_series]
        assert stores.users.get(al.id) == replace(al, ticket_series=new)
        assert stores.users.get(bo.id) == bo

    def test_disabling_and_enabling_end_the_tickets_and_change_nothing_else(
        self, stores: Any
    ) -> None:
        al, bo = add(stores, "al"), add(stores, "bo")
        series = [new_id(), new_id()]
        for number, at in enumerate((NOW_S, None)):
            assert stores.users.set_disabled(
                al.id, at, ticket_series=series[number], revoke_for_s=60
            )
            expected = replace(al, ticket_series=series[number], disabled_at=at)
            assert stores.users.get(al.id) == expected
        assert sorted(stores.revocations.read(None)[1]) == sorted([al.ticket_series, series[0]])
        assert stores.users.get(bo.id) == bo

    def test_nobody_has_no_tickets_to_end(self, stores: Any) -> None:
        for nobody in (1, 99):
            assert not stores.users.end_tickets(nobody, ticket_series="x", revoke_for_s=60)
            assert not stores.users.set_disabled(nobody, 1, ticket_series="x", revoke_for_s=60)
        assert stores.revocations.read(None)[1] == []

    def test_of_many_that_end_tickets_at_once_every_series_but_the_last_is_revoked(
        self, stores: Any
    ) -> None:
        al = add(stores, "al")
        given = [new_id() for _ in range(8)]

        def end(number: int) -> bool:
            ended: bool = stores.users.end_tickets(
                al.id, ticket_series=given[number], revoke_for_s=60
            )
            return ended

        assert all(at_once(8, end))
        last = stores.users.get(al.id).ticket_series
        revoked = stores.revocations.read(None)[1]
        assert sorted([*revoked, last]) == sorted([*given, al.ticket_series])

    def test_a_secret_is_replaced_only_where_it_is_still_the_old_one(self, stores: Any) -> None:
        al, bo = add(stores, "al"), add(stores, "bo")
        held = al.authenticators[0]
        assert stores.users.replace_secret(held.id, "v1.another", "v1.new") is False
        assert stores.users.replace_secret(new_id(), held.secret, "v1.new") is False
        assert stores.users.replace_secret(held.id, held.secret, "v1.new") is True
        assert stores.users.replace_secret(held.id, held.secret, "v1.newer") is False
        assert stores.users.get(al.id).authenticators == (replace(held, secret="v1.new"),)
        assert stores.users.get(bo.id) == bo

    def test_an_id_is_never_given_twice(self, stores: Any) -> None:
        seen = set()
        for _ in range(3):
            made = add(stores, "al")
            assert made.id not in seen
            seen.add(made.id)
            stores.users.remove(made.id, revoke_for_s=60)

    def test_an_authenticator_that_is_confirmed_takes_the_old_ones_place(self, stores: Any) -> None:
        al, bo = add(stores, "al"), add(stores, "bo")
        pending = authenticator(al.id, state=AuthenticatorState.PENDING, confirmed_at=None)
        stores.users.add_pending(pending)
        assert {one.id for one in stores.users.get(al.id).authenticators} == {
            al.authenticators[0].id,
            pending.id,
        }
        assert stores.users.confirm(
            pending.id, 7, ticket_series="n" * 22, now_s=NOW_S + 9, revoke_for_s=60
        )
        after = stores.users.get(al.id)
        (held,) = after.authenticators
        assert (held.id, held.state) == (pending.id, AuthenticatorState.ACTIVE)
        assert (held.last_step, held.confirmed_at, held.last_used_at) == (7, NOW_S + 9, NOW_S + 9)
        assert after.ticket_series == "n" * 22
        assert stores.revocations.read(None)[1] == [al.ticket_series]
        assert stores.users.get(bo.id) == bo

    def test_one_user_has_one_authenticator_pending(self, stores: Any) -> None:
        al, bo = add(stores, "al"), add(stores, "bo")
        for user in (al, al, bo):
            stores.users.add_pending(authenticator(user.id, state=AuthenticatorState.PENDING))
        for user in (al, bo):
            states = [one.state for one in stores.users.get(user.id).authenticators]
            assert sorted(state.value for state in states) == ["active", "pending"]

    def test_only_what_is_pending_can_be_confirmed_and_once(self, stores: Any) -> None:
        al = add(stores, "al")
        pending = authenticator(al.id, state=AuthenticatorState.PENDING)
        stores.users.add_pending(pending)

        def confirm(authenticator_id: str) -> bool:
            done: bool = stores.users.confirm(
                authenticator_id, 1, ticket_series=new_id(), now_s=NOW_S, revoke_for_s=60
            )
            return done

        assert not confirm(al.authenticators[0].id)
        assert not confirm("nobodys")
        assert stores.revocations.read(None)[1] == []
        assert sum(at_once(8, lambda _: confirm(pending.id))) == 1
        assert not confirm(pending.id)

    # -- several authenticators -------------------------------------------------------------------

    def test_another_authenticator_is_confirmed_beside_the_first_and_tickets_go_on(
        self, stores: Any
    ) -> None:
        al, bo = add(stores, "al"), add(stores, "bo")
        pending = authenticator(al.id, state=AuthenticatorState.PENDING, confirmed_at=None)
        stores.users.add_pending(pending)
        assert stores.users.confirm_another(
            pending.id, 7, label="Tablet ☎", most=2, now_s=NOW_S + 9
        )
        new = replace(
            pending, state=AuthenticatorState.ACTIVE, label="Tablet ☎", confirmed_at=NOW_S + 9,
            last_used_at=NOW_S + 9, last_step=7,
        )  # fmt: skip
        after = stores.users.get(al.id)
        assert {one.id: one for one in after.authenticators} == {
            new.id: new,
            al.authenticators[0].id: al.authenticators[0],
        }
        assert after.ticket_series == al.ticket_series
        assert stores.revocations.read(None)[1] == []
        assert stores.users.get(bo.id) == bo

    def test_there_are_never_more_authenticators_of_a_scheme_than_allowed(
        self, stores: Any
    ) -> None:
        al = add(stores, "al")
        stores.users.add_pending(authenticator(al.id, scheme="xy"))
        pending = authenticator(al.id, state=AuthenticatorState.PENDING)
        stores.users.add_pending(pending)

        def confirm(most: int) -> bool:
            done: bool = stores.users.confirm_another(
                pending.id, 7, label="", most=most, now_s=NOW_S
            )
            return done

        assert not confirm(1)
        assert at_once(8, lambda _: confirm(2)).count(True) == 1
        assert not stores.users.confirm_another("nobodys", 7, label="", most=9, now_s=NOW_S)

    def test_an_authenticator_is_renamed_by_its_user_alone(self, stores: Any) -> None:
        al, bo = add(stores, "al"), add(stores, "bo")
        pending = authenticator(al.id, state=AuthenticatorState.PENDING)
        stores.users.add_pending(pending)
        held = al.authenticators[0]
        assert not stores.users.rename_authenticator(bo.id, held.id, "mine")
        assert not stores.users.rename_authenticator(al.id, pending.id, "too early")
        assert not stores.users.rename_authenticator(al.id, new_id(), "nobody's")
        assert stores.users.rename_authenticator(al.id, held.id, "Phone ☎")
        labels = {one.id: one.label for one in stores.users.get(al.id).authenticators}
        assert labels == {held.id: "Phone ☎", pending.id: pending.label}
        assert stores.users.get(bo.id) == bo

    def test_deleting_an_authenticator_ends_the_tickets_of_its_user(self, stores: Any) -> None:
        al, bo = add(stores, "al"), add(stores, "bo")
        second = authenticator(al.id)
        stores.users.add_pending(second)

        def drop(user_id: int, authenticator_id: str) -> bool:
            done: bool = stores.users.drop_authenticator(
                user_id, authenticator_id, ticket_series="n" * 22, revoke_for_s=60
            )
            return done

        assert not drop(bo.id, second.id)
        assert not drop(al.id, new_id())
        assert stores.revocations.read(None)[1] == []
        assert drop(al.id, al.authenticators[0].id)
        after = stores.users.get(al.id)
        assert after == replace(al, authenticators=(second,), ticket_series="n" * 22)
        assert stores.revocations.read(None)[1] == [al.ticket_series]
        assert stores.users.get(bo.id) == bo

    def test_the_last_authenticator_stays_however_many_are_deleted_at_once(
        self, stores: Any
    ) -> None:
        al = add(stores, "al")
        held = [al.authenticators[0], authenticator(al.id), authenticator(al.id)]
        for one in held[1:]:
            stores.users.add_pending(one)
        stores.users.add_pending(authenticator(al.id, state=AuthenticatorState.PENDING))

        def drop(number: int) -> bool:
            done: bool = stores.users.drop_authenticator(
                al.id, held[number % 3].id, ticket_series=new_id(), revoke_for_s=60
            )
            return done

        assert at_once(9, drop).count(True) == 2
        left = stores.users.get(al.id).authenticators
        assert sorted(one.state.value for one in left) == ["active", "pending"]

    def test_one_is_pending_however_many_are_begun_at_once(self, stores: Any) -> None:
        al = add(stores, "al")
        for _ in range(5):
            at_once(
                4,
                lambda _: stores.users.add_pending(
                    authenticator(al.id, state=AuthenticatorState.PENDING)
                ),
            )
            assert len(stores.users.get(al.id).authenticators) == 2

    def test_a_link_and_the_account_page_do_not_block_each_other(self, stores: Any) -> None:
        for number in range(10):
            user = add(stores, f"al{number}")
            second, new = (
                authenticator(user.id),
                authenticator(user.id, state=AuthenticatorState.PENDING),
            )
            stores.users.add_pending(second)
            stores.users.add_pending(new)
            renewed: Any = {"ticket_series": new_id(), "revoke_for_s": 60}
            calls: list[Callable[[], Any]] = [
                partial(stores.users.confirm, new.id, 1, now_s=NOW_S, **renewed),
                partial(stores.users.drop_authenticator, user.id, second.id, **renewed),
                partial(stores.recovery_codes.replace, user.id, list("abcdefghij"), now_s=NOW_S),
            ]
            at_once(3, lambda which, calls=calls: calls[which]())  # type: ignore[misc]
            left = stores.recovery_codes.left(user.id)
            assert left is None or left.left == 10
