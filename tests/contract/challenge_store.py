"""The suite of :class:`factored.interfaces.ChallengeStore`; asks for ``stores.challenges``."""

from __future__ import annotations

from typing import Any

import pytest

from factored.interfaces import Challenge
from tests.contract.user_store import add
from tests.support import NOW_S, at_once

ENDS_AT = NOW_S + 120
TRIES = 5
"""Answers to one challenge (PROMISES 8)."""


def challenge(challenge_id: str = "c", **changed: Any) -> Challenge:
    """id, what else to change -> a challenge made now, for a name without an account"""
    facts: dict[str, Any] = {
        "scheme": "em",
        "user_id": None,
        "username_key": "al@example.com",
        "address": "",
        "browser_hash": "browser",
        "code_hash": f"code of {challenge_id}",
        "created_at": NOW_S,
        "ends_at": ENDS_AT,
    }
    return Challenge(challenge_id, **facts | changed)


class ChallengeStoreContract:
    @pytest.fixture
    def made(self, stores: Any) -> Challenge:
        made = challenge()
        stores.challenges.add(made)
        return made

    def newest(self, stores: Any, *hashes: str, scheme: str = "em", later_s: int = 0) -> Any:
        return stores.challenges.newest(hashes or ["browser"], scheme, now_s=NOW_S + later_s)

    def answer(self, stores: Any, *hashes: str, id: str = "c", later_s: int = 0) -> bool:
        now_s = NOW_S + later_s
        answered: bool = stores.challenges.answer(id, hashes or ["code of c"], now_s=now_s)
        return answered

    def test_a_challenge_comes_back_as_it_was_for_a_user_and_for_nobody(self, stores: Any) -> None:
        user_id = add(stores, "Al@Example.com").id
        for made in (
            challenge("a", user_id=user_id, address="Al@Example.com"),
            challenge("b", browser_hash="another", username_key="\N{KEY}", ends_at=NOW_S + 600),
        ):
            stores.challenges.add(made)
            assert self.newest(stores, made.browser_hash) == made

    def test_a_browser_is_known_by_its_hash_under_any_key(
        self, stores: Any, made: Challenge
    ) -> None:
        assert self.newest(stores, "under the new key", "browser") == made

    @pytest.mark.parametrize("hashes", [["BROWSER"], ["browser "], ["brows"], ["", "%"]])
    def test_another_browser_has_none(
        self, stores: Any, made: Challenge, hashes: list[str]
    ) -> None:
        assert self.newest(stores, *hashes) is None
        assert stores.challenges.newest([], "em", now_s=NOW_S) is None

    def test_each_scheme_of_a_browser_has_its_own(self, stores: Any, made: Challenge) -> None:
        other = challenge("other", scheme="sm")
        stores.challenges.add(other)
        assert self.newest(stores) == made
        assert self.newest(stores, scheme="sm") == other
        assert self.newest(stores, scheme="e") is None

    @pytest.mark.parametrize("later_s", [0, 1])
    def test_the_newest_takes_the_place_of_the_one_before(
        self, stores: Any, made: Challenge, later_s: int
    ) -> None:
        newer = challenge("newer", created_at=NOW_S + later_s)
        stores.challenges.add(newer)
        assert self.newest(stores, later_s=later_s) == newer
        assert self.answer(stores, later_s=later_s) is False
        assert self.answer(stores, "code of newer", id="newer", later_s=later_s) is True

    def test_of_two_under_two_keys_the_newer_counts_and_no_older_one_comes_back(
        self, stores: Any, made: Challenge
    ) -> None:
        newer = challenge("newer", browser_hash="under the new key", created_at=NOW_S + 1)
        stores.challenges.add(newer)
        hashes = ("under the new key", "browser")
        assert self.newest(stores, *hashes, later_s=1) == newer
        assert self.answer(stores, "code of newer", id="newer", later_s=1) is True
        assert self.newest(stores, *hashes, later_s=1) is None

    @pytest.mark.parametrize(("later_s", "live"), [(119, True), (120, False), (121, False)])
    def test_a_challenge_ends_when_its_time_is_over(
        self, stores: Any, made: Challenge, later_s: int, live: bool
    ) -> None:
        assert (self.newest(stores, later_s=later_s) is not None) is live
        assert self.answer(stores, later_s=later_s) is live

    def test_the_right_code_is_taken_once_under_any_key(self, stores: Any, made: Challenge) -> None:
        assert self.answer(stores, "under the new key", "code of c") is True
        assert self.answer(stores, "code of c") is False
        assert self.newest(stores) is None

    @pytest.mark.parametrize("code_hash", ["", "CODE OF C", "code of c ", "code of", "%"])
    def test_another_code_is_not_taken(self, stores: Any, made: Challenge, code_hash: str) -> None:
        assert self.answer(stores, code_hash) is False
        assert self.answer(stores) is True

    @pytest.fixture
    def mailed(self, stores: Any) -> Challenge:
        """A challenge whose mail held a link too."""
        made = challenge(link_hash="link of c", return_to="/page?\N{KEY}")
        stores.challenges.add(made)
        return made

    def linked(self, stores: Any, *hashes: str, scheme: str = "em", later_s: int = 0) -> Any:
        return stores.challenges.linked(hashes or ["link of c"], scheme, now_s=NOW_S + later_s)

    def test_a_link_leads_to_its_challenge_under_any_key(
        self, stores: Any, mailed: Challenge
    ) -> None:
        stores.challenges.add(challenge("other", browser_hash="another", link_hash="another"))
        assert self.linked(stores, "under the new key", "link of c") == mailed
        assert self.newest(stores) == mailed

    @pytest.mark.parametrize("hashes", [["LINK OF C"], ["link of c "], ["code of c"], ["", "%"]])
    def test_what_is_no_link_leads_nowhere(
        self, stores: Any, mailed: Challenge, hashes: list[str]
    ) -> None:
        stores.challenges.add(challenge("without one", browser_hash="another"))
        assert self.linked(stores, *hashes) is None
        assert self.linked(stores, scheme="sm") is None
        assert stores.challenges.linked([], "em", now_s=NOW_S) is None

    @pytest.mark.parametrize(("later_s", "live"), [(119, True), (120, False), (121, False)])
    def test_a_link_ends_when_its_time_is_over(
        self, stores: Any, mailed: Challenge, later_s: int, live: bool
    ) -> None:
        assert (self.linked(stores, later_s=later_s) is not None) is live
        assert self.answer(stores, "link of c", later_s=later_s) is live

    @pytest.mark.parametrize("used", ["link of c", "code of c"])
    def test_link_and_code_are_used_up_together(
        self, stores: Any, mailed: Challenge, used: str
    ) -> None:
        assert self.answer(stores, used) is True
        assert self.linked(stores) is None
        assert self.answer(stores, "link of c", "code of c") is False

    def test_a_newer_challenge_of_the_browser_ends_the_link(
        self, stores: Any, mailed: Challenge
    ) -> None:
        stores.challenges.add(challenge("newer"))
        assert self.linked(stores) is None

    def test_of_many_presses_and_codes_at_once_one_is_taken(
        self, stores: Any, mailed: Challenge
    ) -> None:
        used = ("link of c", "code of c")
        answers = at_once(20, lambda number: self.answer(stores, used[number % 2]))
        assert answers.count(True) == 1

    @pytest.mark.parametrize("wrong", [TRIES - 1, TRIES, TRIES + 1])
    def test_after_five_tries_no_code_is_taken(
        self, stores: Any, made: Challenge, wrong: int
    ) -> None:
        for _ in range(wrong):
            assert self.newest(stores) == made or wrong > TRIES
            assert self.answer(stores, "wrong") is False
        assert (self.newest(stores) is not None) is (wrong < TRIES)
        assert self.answer(stores) is (wrong < TRIES)

    def test_tries_of_one_challenge_are_not_those_of_another(
        self, stores: Any, made: Challenge
    ) -> None:
        stores.challenges.add(challenge("other", browser_hash="another"))
        for _ in range(TRIES):
            self.answer(stores, "wrong")
        assert self.answer(stores, "code of other", id="other") is True

    def test_a_new_challenge_has_all_tries_again(self, stores: Any, made: Challenge) -> None:
        for _ in range(TRIES):
            self.answer(stores, "wrong")
        stores.challenges.add(challenge("newer"))
        assert self.newest(stores) is not None
        assert self.answer(stores, "code of newer", id="newer") is True

    def test_a_challenge_that_never_was_takes_no_code(self, stores: Any, made: Challenge) -> None:
        assert self.answer(stores, id="C") is False
        assert self.answer(stores, id="") is False

    def test_of_many_right_answers_at_once_one_is_taken(self, stores: Any, made: Challenge) -> None:
        answers = at_once(20, lambda number: self.answer(stores))
        assert answers.count(True) == 1

    def test_of_many_tries_at_once_no_more_than_five_count(
        self, stores: Any, made: Challenge
    ) -> None:
        answers = at_once(10, lambda number: self.answer(stores, "wrong"))
        assert answers.count(True) == 0
        assert self.newest(stores) is None
        assert self.answer(stores) is False

    @pytest.mark.parametrize(("later_s", "gone"), [(119, 0), (120, 2), (121, 2)])
    def test_pruning_deletes_what_is_over_and_tells_how_much(
        self, stores: Any, made: Challenge, later_s: int, gone: int
    ) -> None:
        lasting = challenge("lasts", browser_hash="lasts", ends_at=NOW_S + 600)
        stores.challenges.add(challenge("used", browser_hash="another"))
        stores.challenges.add(lasting)
        assert self.answer(stores, "code of used", id="used") is True
        assert stores.challenges.prune(now_s=NOW_S + later_s) == gone
        assert stores.challenges.prune(now_s=NOW_S + later_s) == 0
        assert (self.newest(stores) is None) is bool(gone)
        assert self.newest(stores, "lasts") == lasting
        assert self.answer(stores, "code of lasts", id="lasts") is True
