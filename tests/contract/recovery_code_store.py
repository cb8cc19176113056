"""The suite of :class:`factored.interfaces.RecoveryCodeStore`.

Asks for ``stores.recovery_codes`` and users.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from factored.codes import new_id
from factored.interfaces import AuthenticatorState, CodesLeft
from tests.contract.user_store import add, authenticator
from tests.support import NOW_S, at_once

MADE = ["hash 1", "hash 2", "hash 3"]


class RecoveryCodeStoreContract:
    def test_a_code_burns_once_under_any_key(self, stores: Any) -> None:
        al = add(stores, "al")
        stores.recovery_codes.replace(al.id, MADE, now_s=NOW_S)
        assert stores.recovery_codes.left(al.id) == CodesLeft(3, NOW_S)
        for expected in (True, False):
            burned = stores.recovery_codes.burn(al.id, ["newer key", "hash 2"], now_s=NOW_S)
            assert burned is expected
        assert stores.recovery_codes.left(al.id) == CodesLeft(2, NOW_S)

    def test_a_code_is_of_use_to_its_user_alone(self, stores: Any) -> None:
        al, bo = add(stores, "al"), add(stores, "bo")
        stores.recovery_codes.replace(al.id, MADE, now_s=NOW_S)
        stores.recovery_codes.replace(bo.id, ["hash 9"], now_s=NOW_S)
        for nobody in (bo.id, bo.id + 1, 0):
            assert not stores.recovery_codes.burn(nobody, MADE, now_s=NOW_S)
        for other in ([], ["HASH 1"], ["hash 1 "], ["hash 9"], ["%"]):
            assert not stores.recovery_codes.burn(al.id, other, now_s=NOW_S)
        assert stores.recovery_codes.left(al.id) == CodesLeft(3, NOW_S)

    def test_of_many_that_burn_one_code_at_once_one_succeeds(self, stores: Any) -> None:
        al = add(stores, "al")
        stores.recovery_codes.replace(al.id, MADE, now_s=NOW_S)
        burned = at_once(8, lambda _: stores.recovery_codes.burn(al.id, ["hash 1"], now_s=NOW_S))
        assert burned.count(True) == 1

    def test_new_codes_void_the_old_ones(self, stores: Any) -> None:
        al, bo = add(stores, "al"), add(stores, "bo")
        assert stores.recovery_codes.left(al.id) is None
        for user in (al, bo):
            stores.recovery_codes.replace(user.id, MADE, now_s=NOW_S)
        stores.recovery_codes.burn(al.id, ["hash 3"], now_s=NOW_S)
        stores.recovery_codes.replace(al.id, ["hash 4", "hash 5"], now_s=NOW_S + 9)
        assert stores.recovery_codes.left(al.id) == CodesLeft(2, NOW_S + 9)
        assert not stores.recovery_codes.burn(al.id, ["hash 1"], now_s=NOW_S)
        assert stores.recovery_codes.burn(bo.id, ["hash 1"], now_s=NOW_S)

    def test_codes_go_when_an_authenticator_is_set_up_anew_by_a_link(self, stores: Any) -> None:
        al, bo = add(stores, "al"), add(stores, "bo")
        for user in (al, bo):
            stores.recovery_codes.replace(user.id, MADE, now_s=NOW_S)
        pending = authenticator(al.id, state=AuthenticatorState.PENDING)
        stores.users.add_pending(pending)
        stores.users.confirm(pending.id, 1, ticket_series=new_id(), now_s=NOW_S, revoke_for_s=60)
        assert stores.recovery_codes.left(al.id) is None
        assert not stores.recovery_codes.burn(al.id, ["hash 1"], now_s=NOW_S)
        assert stores.recovery_codes.left(bo.id) == CodesLeft(3, NOW_S)

    def test_codes_go_with_their_user(self, stores: Any) -> None:
        al = add(stores, "al")
        stores.recovery_codes.replace(al.id, MADE, now_s=NOW_S)
        stores.users.remove(al.id, revoke_for_s=60)
        assert stores.recovery_codes.left(al.id) is None
        assert not stores.recovery_codes.burn(al.id, ["hash 1"], now_s=NOW_S)

    def test_a_code_burns_once_and_never_after_new_ones_were_made(self, stores: Any) -> None:
        al = add(stores, "al")
        for _ in range(5):
            stores.recovery_codes.replace(al.id, MADE, now_s=NOW_S)
            calls: list[Callable[[], Any]] = [
                partial(stores.recovery_codes.replace, al.id, ["new 1", "new 2"], now_s=NOW_S),
                *[partial(stores.recovery_codes.burn, al.id, ["hash 1"], now_s=NOW_S)] * 3,
            ]
            done = at_once(4, lambda which, calls=calls: calls[which]())  # type: ignore[misc]
            assert done.count(True) <= 1
            assert stores.recovery_codes.left(al.id) == CodesLeft(2, NOW_S)
            assert not stores.recovery_codes.burn(al.id, ["hash 1"], now_s=NOW_S)
