"""How often may be guessed: the numbers of PROMISES 7, each at its boundary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

import pytest

from factored import names
from factored.interfaces import Attempt, Charge, Device, Refusal, StoreError, User
from factored.keys import KeyRing
from factored.services.throttle import ACCOUNT, SHARED_BUCKETS, Counted, Throttle
from factored.store.memory import MemoryAttemptStore
from tests.support import NOW_S, FixedClock

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400
AL = User(1, "al", "al", "series", NOW_S)
BOB = User(2, "bob", "bob", "series", NOW_S)
LAPTOP = Device("laptop", 1, NOW_S, NOW_S, "Browser")
PHONE = Device("phone", 1, NOW_S, NOW_S, "Browser")


@dataclass
class Door:
    """A throttle, and somebody who tries."""

    throttle: Throttle
    attempts: MemoryAttemptStore
    clock: FixedClock
    sources: count[int] = field(default_factory=lambda: count(1))

    def attempt(
        self,
        user: User | None = AL,
        source: str = "192.0.2.1",
        device: Device | None = None,
        *,
        name: str = "al",
        budget: str = "totp",
    ) -> Counted | Refusal:
        return self.throttle.count(
            budget, user.username_key if user else name, user, source, device
        )

    def stranger(self, user: User | None = AL, *, name: str = "al") -> Counted | Refusal:
        """An attempt from a place that never tried before."""
        return self.attempt(user, f"198.51.100.{next(self.sources)}", name=name)


@pytest.fixture
def door(clock: FixedClock) -> Door:
    ring = KeyRing(lambda: (b"k" * 32,))
    return made_door(ring, clock)


def made_door(ring: KeyRing, clock: FixedClock) -> Door:
    attempts = MemoryAttemptStore()
    return Door(Throttle(attempts, ring, clock), attempts, clock)


def let(outcome: Counted | Refusal) -> bool:
    """an outcome -> whether the attempt may be evaluated"""
    assert isinstance(outcome, Counted) or outcome.retry_after_s > 0
    return isinstance(outcome, Counted)


def succeed(door: Door, outcome: Counted | Refusal) -> None:
    assert isinstance(outcome, Counted)
    door.attempts.forgive(outcome.attempt, outcome.clear_on_success)


# -- each limit, at its boundary ---------------------------------------------------------------


def one_account(door: Door, number: int) -> bool:
    return let(door.stranger())


def one_account_all_month(door: Door, number: int) -> bool:
    if number % 9 == 0:
        door.clock.advance(DAY_S)
    return let(door.stranger())


def one_source(door: Door, number: int) -> bool:
    return let(door.attempt())


def one_source_all_month(door: Door, number: int) -> bool:
    if number % 4 == 0:
        door.clock.advance(DAY_S)
    return let(door.attempt())


def one_source_over_many_names(door: Door, number: int) -> bool:
    return let(door.attempt(None, name=f"name {number}"))


def known_device(door: Door, number: int) -> bool:
    return let(door.attempt(device=LAPTOP))


WINDOWS: list[tuple[Callable[[Door, int], bool], int, int]] = [
    (one_account, 10, DAY_S),
    (one_account_all_month, 25, 30 * DAY_S),
    (one_source, 5, DAY_S),
    (one_source_all_month, 10, 30 * DAY_S),
    (one_source_over_many_names, 30, 10 * MINUTE_S),
    (known_device, 5, 5 * MINUTE_S),
]


@pytest.mark.parametrize(("attempt", "limit", "window_s"), WINDOWS)
@pytest.mark.parametrize(("offset", "allowed"), [(-1, True), (0, True), (1, False)])
def test_as_many_attempts_as_promised_are_evaluated_and_no_more(
    door: Door,
    attempt: Callable[[Door, int], bool],
    limit: int,
    window_s: int,
    offset: int,
    allowed: bool,
) -> None:
    outcomes = [attempt(door, number) for number in range(limit + offset)]
    assert all(outcomes[:-1])
    assert outcomes[-1] is allowed


@pytest.mark.parametrize(("attempt", "limit", "window_s"), WINDOWS)
@pytest.mark.parametrize(("offset_s", "allowed"), [(-1, False), (0, True), (1, True)])
def test_a_window_slides_and_frees_one_attempt_at_a_time(
    door: Door,
    attempt: Callable[[Door, int], bool],
    limit: int,
    window_s: int,
    offset_s: int,
    allowed: bool,
) -> None:
    assert attempt(door, 0)
    begun_at = door.clock.now_s()
    door.clock.advance(30)
    for number in range(1, limit):
        assert attempt(door, number)
    door.clock.time_s = begun_at + window_s + offset_s
    assert attempt(door, 1) is allowed
    assert attempt(door, 1) is False, "the second one was 30 s later"


@pytest.mark.parametrize(("attempt", "limit", "window_s"), WINDOWS[::2])
def test_the_wait_that_is_told_is_the_wait_there_is(
    door: Door, attempt: Callable[[Door, int], bool], limit: int, window_s: int
) -> None:
    for number in range(limit):
        attempt(door, number)
    door.clock.advance(7)
    if attempt is one_account:
        refused = door.stranger()
    elif attempt is one_source:
        refused = door.attempt()
    else:
        refused = door.attempt(None, name="another")
    assert isinstance(refused, Refusal)
    assert refused.retry_after_s == window_s - 7
    door.clock.advance(refused.retry_after_s)
    assert attempt(door, 1)


def test_the_longest_of_several_waits_is_told(door: Door) -> None:
    for _ in range(5):
        door.attempt()
        door.clock.advance(DAY_S)
        door.attempt()
    refused = door.attempt()
    assert isinstance(refused, Refusal)
    assert refused.retry_after_s == 25 * DAY_S


# -- the budgets do not touch one another ------------------------------------------------------


def test_a_stranger_who_fills_the_account_does_not_shut_out_a_known_device(door: Door) -> None:
    while let(door.stranger()):
        pass
    outcome = door.attempt(device=LAPTOP)
    assert isinstance(outcome, Counted)
    assert outcome.device == LAPTOP


def test_a_known_device_is_counted_in_its_own_budget_only(door: Door) -> None:
    for _ in range(5):
        assert let(door.attempt(device=LAPTOP))
    assert not let(door.attempt(device=LAPTOP))
    assert let(door.attempt(device=PHONE))
    assert [let(door.attempt()) for _ in range(6)] == [True] * 5 + [False]
    assert [let(door.stranger()) for _ in range(6)] == [True] * 5 + [False]


def test_a_known_device_is_not_held_up_by_what_its_source_did(door: Door) -> None:
    for number in range(30):
        assert let(door.attempt(None, name=f"name {number}"))
    assert not let(door.attempt())
    assert let(door.attempt(device=LAPTOP))


def test_the_schemes_have_separate_budgets_but_one_for_a_source_over_all_names(
    door: Door,
) -> None:
    for budget in ("totp", "email"):
        outcomes = [let(door.attempt(budget=budget)) for _ in range(6)]
        assert outcomes == [True] * 5 + [False]
        outcomes = [let(door.attempt(device=LAPTOP, budget=budget)) for _ in range(5)]
        assert outcomes == [True] * 5
    others = [let(door.attempt(None, name=f"name {number}")) for number in range(21)]
    assert others == [True] * 20 + [False]


def test_accounts_have_separate_budgets(door: Door) -> None:
    while let(door.stranger(AL)):
        pass
    assert let(door.stranger(BOB))


def test_all_networks_without_an_address_are_one_source(door: Door) -> None:
    assert [let(door.attempt(source="unix")) for _ in range(6)] == [True] * 5 + [False]
    assert let(door.attempt(source="192.0.2.1"))


# -- ten in a row ------------------------------------------------------------------------------


def fail_in_a_row(door: Door, number: int, device: Device = LAPTOP) -> list[Device | None]:
    """-> what each attempt of a device counted as; one a minute, so that no window fills"""
    outcomes = []
    for _ in range(number):
        door.clock.advance(61)
        outcome = door.attempt(device=device)
        assert isinstance(outcome, Counted)
        outcomes.append(outcome.device)
    return outcomes


@pytest.mark.parametrize(("offset", "known"), [(-1, True), (0, True), (1, False)])
def test_after_ten_failures_in_a_row_a_device_counts_as_unknown(
    door: Door, offset: int, known: bool
) -> None:
    *before, last = fail_in_a_row(door, 10 + offset)
    assert before == [LAPTOP] * (9 + offset)
    assert last == (LAPTOP if known else None)


def test_a_void_device_has_the_budgets_of_a_stranger_and_no_more(door: Door) -> None:
    fail_in_a_row(door, 10)
    door.clock.advance(399 * DAY_S)
    assert [let(door.attempt(device=LAPTOP)) for _ in range(6)] == [True] * 5 + [False]
    assert isinstance(door.attempt(device=PHONE), Counted)


def test_a_device_that_is_void_and_just_full_counts_as_unknown_too(door: Door) -> None:
    for _ in range(2):
        door.clock.advance(5 * MINUTE_S)
        assert [let(door.attempt(device=LAPTOP)) for _ in range(5)] == [True] * 5
    outcome = door.attempt(device=LAPTOP)
    assert isinstance(outcome, Counted)
    assert outcome.device is None


def test_a_void_device_has_the_mails_of_a_stranger(door: Door) -> None:
    while sent_to_one_account(door, 0):
        pass
    assert sent_by_a_known_device(door, 0)
    fail_in_a_row(door, 10)
    while sent_to_one_account(door, 0):
        pass
    assert not sent_by_a_known_device(door, 0)


@pytest.mark.parametrize(("failures", "known"), [(9, True), (10, False), (11, False)])
def test_what_needs_no_guess_ends_the_run_of_a_device_and_makes_no_void_one_good(
    door: Door, failures: int, known: bool
) -> None:
    fail_in_a_row(door, failures)
    counted = door.throttle.unguessed(LAPTOP)
    assert counted.device == (LAPTOP if known else None)
    succeed(door, counted)
    assert fail_in_a_row(door, 1) == [LAPTOP if known else None]
    assert door.throttle.unguessed(None).device is None


def test_what_needs_no_guess_gives_no_guess_back(door: Door) -> None:
    assert [let(door.attempt(device=LAPTOP)) for _ in range(6)] == [True] * 5 + [False]
    while let(door.stranger()):
        pass
    for device in (LAPTOP, None):
        succeed(door, door.throttle.unguessed(device))
        assert not let(door.attempt(device=device))


def test_a_success_ends_the_run_and_gives_back_nothing_else(door: Door) -> None:
    fail_in_a_row(door, 9)
    door.clock.advance(61)
    succeed(door, door.attempt(device=LAPTOP))
    assert fail_in_a_row(door, 11) == [LAPTOP] * 10 + [None]


def test_a_run_is_over_both_schemes(door: Door) -> None:
    fail_in_a_row(door, 10)
    outcome = door.attempt(device=LAPTOP, budget="email")
    assert isinstance(outcome, Counted)
    assert outcome.device is None


# -- success, refusal, clocks, names -----------------------------------------------------------


def test_a_success_takes_back_its_own_count_and_resets_nothing(door: Door) -> None:
    for _ in range(4):
        assert let(door.attempt())
    for _ in range(50):
        succeed(door, door.attempt())
    assert [let(door.attempt()) for _ in range(2)] == [True, False]
    assert [let(door.stranger()) for _ in range(6)] == [True] * 5 + [False]


def test_a_success_of_a_device_leaves_its_failures_of_the_last_minutes(door: Door) -> None:
    for _ in range(4):
        assert let(door.attempt(device=LAPTOP))
    for _ in range(20):
        succeed(door, door.attempt(device=LAPTOP))
    assert [let(door.attempt(device=LAPTOP)) for _ in range(2)] == [True, False]


def test_a_refused_attempt_is_counted_nowhere_and_lengthens_nothing(door: Door) -> None:
    for _ in range(5):
        door.attempt()
    for _ in range(100):
        door.clock.advance(60)
        assert not let(door.attempt())
    # neither for the account, nor for the source over all names, nor for the source itself
    assert [let(door.stranger()) for _ in range(6)] == [True] * 5 + [False]
    names_tried = [let(door.attempt(None, name=f"name {number}")) for number in range(31)]
    assert names_tried == [True] * 30 + [False]
    door.clock.advance(DAY_S - 100 * 60)
    assert let(door.attempt())


def test_a_refused_attempt_of_a_device_is_counted_nowhere(door: Door) -> None:
    for _ in range(5):
        door.attempt(device=LAPTOP)
    for _ in range(50):
        assert not let(door.attempt(device=LAPTOP))
    assert fail_in_a_row(door, 0) == []
    door.clock.advance(5 * MINUTE_S)
    outcomes = [door.attempt(device=LAPTOP) for _ in range(5)]
    assert all(isinstance(one, Counted) and one.device == LAPTOP for one in outcomes)


@pytest.mark.parametrize("back_s", [1, HOUR_S, DAY_S, 40 * DAY_S])
def test_a_clock_that_goes_back_opens_no_budget(door: Door, back_s: int) -> None:
    while let(door.stranger()):
        pass
    door.clock.advance(-back_s)
    assert not let(door.stranger())


@pytest.mark.parametrize(
    "typed", ["AL@Example.com", " al@example.com ", "al@EXAMPLE.COM", "Al@example.com"]
)
def test_all_spellings_of_a_name_share_one_bucket(door: Door, typed: str) -> None:
    first = names.key(names.check("al@example.com"))
    other = names.key(names.check(typed))
    for _ in range(10):
        assert let(door.stranger(None, name=first))
    assert not let(door.stranger(None, name=other))


def test_a_name_without_an_account_behaves_like_one_with(door: Door, clock: FixedClock) -> None:
    """The same history, told step by step: (outcome, wait) must not differ."""
    history = [("a", 0), ("a", 10), ("b", 5), ("a", 0), ("a", HOUR_S), ("a", 1), ("a", 1)]
    history += [(str(number), 60) for number in range(8)] + [("a", DAY_S), ("z", 0), ("c", DAY_S)]
    told: list[list[object]] = []
    for user in (AL, None):
        clock.time_s = NOW_S
        ring = KeyRing(lambda: (b"k" * 32,))
        door = made_door(ring, clock)
        told.append([])
        for source, after_s in history:
            clock.advance(after_s)
            outcome = door.attempt(user, source)
            told[-1].append(outcome.retry_after_s if isinstance(outcome, Refusal) else "counted")
    assert told[0] == told[1]
    assert set(told[0]) > {"counted"}


def test_made_up_names_share_a_bounded_number_of_buckets(door: Door) -> None:
    made_up = {door.throttle.account_bucket("totp", f"name {n}", None) for n in range(2000)}
    assert len(made_up) > 1900
    assert SHARED_BUCKETS == 65536
    assert all(0 <= int(bucket[1:].partition(":")[0]) < 65536 for bucket in made_up)
    assert door.throttle.account_bucket("totp", "al", AL) not in made_up
    assert len(door.throttle.account_bucket("totp", "al" * 127, None)) < 80


def test_nobody_can_tell_from_a_bucket_which_name_it_is_without_the_key(door: Door) -> None:
    other = Throttle(MemoryAttemptStore(), KeyRing(lambda: (b"o" * 32,)), door.clock)
    assert other.account_bucket("totp", "al", None) != door.throttle.account_bucket(
        "totp", "al", None
    )


class BrokenStore(MemoryAttemptStore):
    def count(self, charges: Sequence[Charge], *, now_s: int) -> Attempt | Refusal:
        raise StoreError("the database did not answer")


@pytest.mark.parametrize("device", [None, LAPTOP])
def test_without_the_store_nothing_may_be_evaluated(
    clock: FixedClock, device: Device | None
) -> None:
    throttle = Throttle(BrokenStore(), KeyRing(lambda: (b"k" * 32,)), clock)
    with pytest.raises(StoreError):
        throttle.count("totp", "al", AL, "192.0.2.1", device)


def test_the_chance_to_guess_a_code_in_a_year_is_what_is_promised() -> None:
    worst = max(one.count * 365.25 * DAY_S / one.window_s for one in ACCOUNT[1:])
    assert (1 - (1 - 3 / 10**6) ** worst) <= 0.001


# -- sending -----------------------------------------------------------------------------------


def sent_to_one_account(door: Door, number: int) -> bool:
    source = f"198.51.100.{next(door.sources)}"
    return door.throttle.count_sending("al", AL, source, None) is None


def sent_to_a_name_without_an_account(door: Door, number: int) -> bool:
    source = f"198.51.100.{next(door.sources)}"
    return door.throttle.count_sending("nobody", None, source, None) is None


def sent_by_one_source(door: Door, number: int) -> bool:
    return door.throttle.count_sending(f"name {number}", None, "192.0.2.1", None) is None


def sent_by_a_known_device(door: Door, number: int) -> bool:
    return door.throttle.count_sending("al", AL, "192.0.2.1", LAPTOP) is None


@pytest.mark.parametrize(
    ("send", "limit", "window_s"),
    [
        (sent_to_one_account, 3, 600),
        (sent_to_a_name_without_an_account, 3, 600),
        (sent_by_one_source, 30, HOUR_S),
        (sent_by_a_known_device, 3, 600),
    ],
)
def test_each_limit_of_sending_holds_for_its_window(
    door: Door, send: Callable[[Door, int], bool], limit: int, window_s: int
) -> None:
    assert [send(door, number) for number in range(limit + 1)] == [True] * limit + [False]
    door.clock.advance(window_s - 1)
    assert not send(door, limit)
    door.clock.advance(1)
    assert send(door, limit)


@pytest.mark.parametrize(
    ("send", "limit"),
    [
        (sent_to_one_account, 10),
        (sent_to_a_name_without_an_account, 10),
        (sent_by_a_known_device, 20),
    ],
)
def test_each_limit_of_sending_in_a_day(
    door: Door, send: Callable[[Door, int], bool], limit: int
) -> None:
    sent = []
    for number in range(limit + 1):
        sent.append(send(door, number))
        door.clock.advance(600)
    assert sent == [True] * limit + [False]
    door.clock.advance(DAY_S - 600 * (limit + 1))
    assert send(door, 0)


def test_sending_and_guessing_and_devices_and_strangers_have_nothing_in_common(door: Door) -> None:
    while sent_to_one_account(door, 0):
        pass
    assert sent_by_a_known_device(door, 0)
    assert let(door.stranger())
    assert let(door.attempt(device=LAPTOP, budget="email"))
    while let(door.attempt(device=LAPTOP, budget="email")):
        pass
    assert sent_by_a_known_device(door, 0)
    assert door.throttle.count_sending("al", AL, "192.0.2.1", PHONE) is None
