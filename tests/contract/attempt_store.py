"""The suite of :class:`factored.interfaces.AttemptStore`; asks for ``stores.attempts``."""

from __future__ import annotations

from typing import Any

import pytest

from factored.interfaces import Attempt, Charge, Limit, Refusal
from tests.support import NOW_S, at_once

THREE = (Charge("a", (Limit(3, 60),)),)


def counted(stores: Any, charges: tuple[Charge, ...], times: int, now_s: int = NOW_S) -> int:
    """-> how many of so many attempts, one after the other, were counted"""
    tries = [stores.attempts.count(charges, now_s=now_s) for _ in range(times)]
    return sum(isinstance(one, Attempt) for one in tries)


class AttemptStoreContract:
    @pytest.mark.parametrize(("times", "through"), [(2, 2), (3, 3), (4, 3), (9, 3)])
    def test_a_bucket_takes_as_many_as_its_limit_and_no_more(
        self, stores: Any, times: int, through: int
    ) -> None:
        assert counted(stores, THREE, times) == through

    @pytest.mark.parametrize(("later_s", "through"), [(59, 0), (60, 3), (61, 3)])
    def test_an_attempt_is_forgotten_when_its_window_has_passed(
        self, stores: Any, later_s: int, through: int
    ) -> None:
        assert counted(stores, THREE, 3) == 3
        assert counted(stores, THREE, 9, NOW_S + later_s) == through

    def test_a_window_slides_and_does_not_start_anew(self, stores: Any) -> None:
        for after_s in (0, 30, 50):
            assert counted(stores, THREE, 1, NOW_S + after_s) == 1
        assert counted(stores, THREE, 9, NOW_S + 61) == 1
        assert counted(stores, THREE, 9, NOW_S + 91) == 1

    def test_a_refused_attempt_is_counted_nowhere_and_lengthens_nothing(self, stores: Any) -> None:
        full, roomy = THREE[0], Charge("b", (Limit(5, 60),))
        assert counted(stores, (full,), 3) == 3
        for after_s in range(1, 60):
            assert counted(stores, (roomy, full), 1, NOW_S + after_s) == 0
        assert stores.attempts.stamps(["b"], now_s=NOW_S) == {}
        assert counted(stores, (full,), 9, NOW_S + 60) == 3

    def test_the_wait_that_is_told_is_exact(self, stores: Any) -> None:
        assert counted(stores, THREE, 1) == 1
        assert counted(stores, THREE, 2, NOW_S + 20) == 2
        refused = stores.attempts.count(THREE, now_s=NOW_S + 25)
        assert refused == Refusal("a", 35)
        assert counted(stores, THREE, 1, NOW_S + 25 + 34) == 0
        assert counted(stores, THREE, 1, NOW_S + 25 + 35) == 1

    def test_the_longest_wait_of_all_full_limits_is_told(self, stores: Any) -> None:
        charges = (Charge("a", (Limit(1, 10), Limit(1, 1000))), Charge("b", (Limit(1, 50),)))
        assert counted(stores, charges, 1) == 1
        assert stores.attempts.count(charges, now_s=NOW_S + 1) == Refusal("a", 999)
        assert stores.attempts.count(charges[1:], now_s=NOW_S + 1) == Refusal("b", 49)

    def test_every_limit_of_a_bucket_holds(self, stores: Any) -> None:
        charges = (Charge("a", (Limit(2, 10), Limit(3, 100))),)
        through = [counted(stores, charges, 9, NOW_S + after_s) for after_s in (0, 10, 20, 99, 100)]
        assert through == [2, 1, 0, 0, 2]

    def test_an_attempt_from_the_future_counts_when_the_clock_went_back(self, stores: Any) -> None:
        assert counted(stores, THREE, 3, NOW_S + 5000) == 3
        assert counted(stores, THREE, 1) == 0

    def test_buckets_do_not_touch_one_another(self, stores: Any) -> None:
        assert counted(stores, THREE, 3) == 3
        for other in ("A", "a ", "aa", "á", "a_", "%"):
            assert counted(stores, (Charge(other, (Limit(1, 60),)),), 1) == 1

    def test_stamps_come_oldest_first_and_without_what_is_over(self, stores: Any) -> None:
        for after_s in (20, 0, 10):
            assert counted(stores, THREE, 1, NOW_S + after_s) == 1
        told = stores.attempts.stamps(["a", "never"], now_s=NOW_S)
        assert told == {"a": [NOW_S, NOW_S + 10, NOW_S + 20]}
        assert stores.attempts.stamps(["a"], now_s=NOW_S + 60) == {"a": [NOW_S + 10, NOW_S + 20]}

    @pytest.mark.parametrize(("later_s", "gone"), [(59, 0), (60, 3), (1000, 4)])
    def test_pruning_deletes_what_every_window_has_forgotten_and_tells_how_much(
        self, stores: Any, later_s: int, gone: int
    ) -> None:
        assert counted(stores, THREE, 3) == 3
        assert counted(stores, (Charge("b", (Limit(1, 10), Limit(9, 1000))),), 1) == 1
        assert stores.attempts.prune(now_s=NOW_S + later_s) == gone
        assert counted(stores, THREE, 9) == (3 if gone else 0)

    def test_of_200_attempts_at_once_none_too_many_gets_through(self, stores: Any) -> None:
        limits = (Limit(5, 60), Limit(10, 6000))
        buckets = (Charge("a", limits), Charge("b", (Limit(30, 60),)))

        def attempt(number: int) -> Any:
            return stores.attempts.count(buckets[:: 1 if number % 2 else -1], now_s=NOW_S)

        tries = at_once(200, attempt)
        assert sum(isinstance(one, Attempt) for one in tries) == 5
        stamps = stores.attempts.stamps(["a", "b"], now_s=NOW_S)
        assert {bucket: len(at) for bucket, at in stamps.items()} == {"a": 5, "b": 5}
