"""Entries become users, once; what differs from a user that is there is refused."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from factored import codes, keys
from factored.interfaces import StoreContext, StoreError, User, UserExists
from factored.keys import KeyRing
from factored.services import importing
from factored.services.enrolment import open_secret
from factored.services.importing import (
    Counts,
    Entry,
    Held,
    Import,
    Item,
    Overtaken,
    Refused,
)
from factored.store.bundle import MemoryStores
from tests.contract.user_store import add
from tests.support import NOW_S, FixedClock

SECRET, OTHER, SHORT = "JBSWY3DP" * 4, "GEZDGNBV" * 4, "JBSWY3DP" * 2


class Bench:
    """An import into a store in memory, by batches of three."""

    def __init__(self) -> None:
        clock = FixedClock()
        key = keys.parse_keys(codes.new_key())
        self.ring = KeyRing(lambda: key)
        self.stores: Any = MemoryStores(StoreContext(SimpleNamespace(), clock))
        self.clock = clock
        self.shown: list[int] = []

    def run(self, *items: Item, atomic: bool = False) -> tuple[Counts, list[Refused]]:
        refused: list[Refused] = []
        self.importing = Import(
            self.stores.users, self.ring, self.clock, refuse=refused.append,
            progress=lambda counts: self.shown.append(counts.lines),
        )  # fmt: skip
        if atomic:
            assert self.importing.run_atomic(items) is not bool(refused)
        else:
            self.importing.run(items)
        return self.importing.counts, refused

    def user(self, name: str) -> User:
        user: User = self.stores.users.find(name)
        return user

    def names(self) -> list[str]:
        return [user.username for user in self.stores.users.each()]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(importing, "BATCH", 3)
    return Bench()


def entry(name: str, line: int = 2, *held: Held, **said: Any) -> Entry:
    return Entry(line, name, held or (Held(),), **said)


def entries(*names: str) -> list[Entry]:
    return [entry(name, line) for line, name in enumerate(names, 2)]


def test_a_new_user_has_what_the_file_says(bench: Bench) -> None:
    held = Held(SECRET, " My\tphone ", 5, 6, 7, 8)
    said = {"disabled": True, "disabled_at": 9, "created_at": 4, "last_login_at": 10}
    bench.run(entry(" Al ", 2, held, **said))
    user = bench.user("al")
    assert (user.username, user.created_at, user.disabled_at) == ("Al", 4, 9)
    assert user.last_login_at == 10
    (one,) = user.authenticators
    assert open_secret(bench.ring, one) == SECRET
    assert (one.label, one.created_at, one.confirmed_at) == ("My phone", 5, 6)
    assert (one.last_used_at, one.last_step, one.needs_renewal) == (7, 8, False)


def test_what_the_file_does_not_say_is_made_now(bench: Bench) -> None:
    bench.run(entry("al", disabled=True), entry("bo", 3), entry("cy", 4, Held(SHORT)))
    al, bo, cy = map(bench.user, ("al", "bo", "cy"))
    assert (al.created_at, al.disabled_at, bo.disabled_at) == (NOW_S, NOW_S, None)
    assert len({user.ticket_series for user in (al, bo, cy)}) == 3
    secrets = [open_secret(bench.ring, user.authenticators[0]) for user in (al, bo)]
    assert len(set(secrets)) == 2 and all(len(secret) == 32 for secret in secrets)
    held = bo.authenticators[0]
    assert (held.label, held.last_step, held.confirmed_at) == ("Authenticator app", -1, NOW_S)
    assert cy.authenticators[0].needs_renewal


@pytest.mark.parametrize("atomic", [False, True])
def test_all_batches_are_made_and_counted(bench: Bench, atomic: bool) -> None:
    names = [f"user {number}" for number in range(7)]
    counts, refused = bench.run(*entries(*names), atomic=atomic)
    assert bench.names() == names
    assert (counts.new, counts.already, refused) == (7, 0, [])
    assert bench.shown == [3, 6, 7]


@pytest.mark.parametrize("atomic", [False, True])
def test_the_same_again_changes_nothing_and_is_no_error(bench: Bench, atomic: bool) -> None:
    again = [
        entry("al"),
        entry("bo", 3, Held(SECRET)),
        entry("cy", 4, disabled=True),
        Entry(5, "di", ()),
    ]
    bench.run(*again)
    before = list(bench.stores.users.each())
    counts, refused = bench.run(*again, atomic=atomic)
    assert (counts.new, counts.already, refused) == (0, 4, [])
    assert list(bench.stores.users.each()) == before


def test_users_without_an_authenticator_are_counted(bench: Bench) -> None:
    counts, _ = bench.run(Entry(2, "al", ()), entry("bo"))
    assert (counts.new, counts.without_authenticator) == (2, 1)
    assert bench.user("al").authenticators == ()


@pytest.mark.parametrize(
    ("name", "held", "said", "reason"),
    [
        ("AL", Held(), {}, "exists already, spelt 'al'"),
        ("al", Held(OTHER), {}, "exists already, with another secret"),
        ("al", Held(), {"disabled": True}, "exists already, and is not disabled"),
        ("off", Held(), {"disabled": False}, "exists already, and is disabled"),
        ("odd", Held(SECRET), {}, "with a secret that cannot be read with today's keys"),
    ],
)
def test_a_user_who_differs_is_refused_and_stays_as_he_is(
    bench: Bench, name: str, held: Held, said: dict[str, Any], reason: str
) -> None:
    bench.run(entry("al", 2, Held(SECRET)), entry("off", 3, disabled=True))
    add(bench.stores, "odd")
    before = list(bench.stores.users.each())
    counts, refused = bench.run(entry(name, 9, held, **said))
    assert (counts.new, counts.already, counts.refused) == (0, 0, 1)
    assert (refused[0].line, refused[0].username) == (9, name)
    assert reason in refused[0].reason
    assert list(bench.stores.users.each()) == before


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "must not be empty"), ("a!b", "exclamation mark"), ("a\0b", "control"),
        ("x" * 300, "longer than 254"), ("x" * 60000, "longer than 254"),
        ("al@exa\u043cple.com", "one plain e-mail address"), ("al@b@c", "one plain e-mail"),
        ("al\uff20example.com", "one plain e-mail address"), ("a\u200bl", "invisible"),
        ("\ud800", "not text"), ("a\u2028b", "special spaces"),
    ],
)  # fmt: skip
def test_a_name_that_cannot_be_one_is_refused_with_the_reason(
    bench: Bench, name: str, reason: str
) -> None:
    counts, refused = bench.run(entry(name, 2), entry("bo", 3))
    assert (counts.new, counts.refused) == (1, 1)
    assert reason in refused[0].reason
    assert bench.names() == ["bo"]


@pytest.mark.parametrize("between", [0, 7])
def test_two_lines_of_one_user_in_any_spelling_make_one(bench: Bench, between: int) -> None:
    others = [f"user {number}" for number in range(between)]
    counts, refused = bench.run(*entries("Straße", *others, "STRASSE", "\u212aim", "kim"))
    assert [(one.line, one.reason) for one in refused] == [
        (between + 3, "is the same user as in line 2"),
        (between + 5, f"is the same user as in line {between + 4}"),
    ]
    assert counts.new == between + 2


def test_a_line_that_was_refused_takes_no_name_away(bench: Bench) -> None:
    many = (Held(SECRET),) * 4
    counts, refused = bench.run(Refused(2, "al", "why"), Entry(3, "al", many), entry("al", 4))
    assert [one.reason for one in refused] == ["why", "has more than 3 authenticators"]
    assert (counts.new, counts.refused) == (1, 2)


def test_letters_that_look_alike_are_other_names(bench: Bench) -> None:
    counts, _ = bench.run(*entries("paypal", "p\u0430yp\u0430l"))
    assert counts.new == 2


def test_all_or_nothing_with_one_line_refused_is_nothing_and_tells_of_all(bench: Bench) -> None:
    items = [*entries("a", "b", "c", "d", "e!"), *entries("f", "g!")]
    counts, refused = bench.run(*items, atomic=True)
    assert bench.names() == []
    assert (counts.new, counts.already, counts.refused) == (0, 0, 2)
    assert [one.username for one in refused] == ["e!", "g!"]


class Meanwhile:
    """A store in which somebody else makes users just before the import does."""

    def __init__(self, bench: Bench, *names: str) -> None:
        self._users = bench.stores.users
        self._names = list(names)
        self._stores = bench.stores
        bench.stores.users = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._users, name)

    def add_many(self, newcomers: Iterator[Any]) -> int:
        made = list(newcomers)
        if self._names:
            name = self._names.pop(0)
            self._users.add(name, name.lower(), ticket_series=codes.new_id(), now_s=1)
        count: int = self._users.add_many(made)
        return count


def test_somebody_who_makes_one_of_them_meanwhile_is_met_as_a_user_who_is_there(
    bench: Bench,
) -> None:
    Meanwhile(bench, "al", "BO")
    counts, refused = bench.run(*entries("al", "bo", "cy"))
    assert (counts.new, counts.already) == (1, 1)
    assert [one.reason for one in refused] == ["exists already, spelt 'BO'"]


def test_all_or_nothing_that_is_overtaken_is_nothing(bench: Bench) -> None:
    Meanwhile(bench, "bo")
    with pytest.raises(Overtaken, match="again"):
        bench.run(*entries("al", "bo"), atomic=True)
    assert bench.importing.counts.new == 0
    assert bench.names() == ["bo"]


def test_a_store_that_is_never_sure_ends_the_import(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(newcomers: Any) -> int:
        raise UserExists("one of them")

    monkeypatch.setattr(bench.stores.users, "add_many", never)
    with pytest.raises(Overtaken):
        bench.run(entry("al"))


@pytest.mark.parametrize(("atomic", "left"), [(False, 3), (True, 0)])
def test_what_is_counted_as_new_is_there_when_the_input_ends_in_an_error(
    bench: Bench, atomic: bool, left: int
) -> None:
    def items() -> Iterator[Item]:
        yield from entries("a", "b", "c", "d")
        raise StoreError("down")

    bench.run()
    run = bench.importing.run_atomic if atomic else bench.importing.run
    with pytest.raises(StoreError):
        run(items())
    assert len(bench.names()) == bench.importing.counts.new == left


def test_a_secret_is_not_shown_by_accident() -> None:
    assert SECRET not in repr(entry("al", 2, Held(SECRET)))


def test_all_or_nothing_that_is_interrupted_counts_nobody_as_new(bench: Bench) -> None:
    def items() -> Iterator[Item]:
        yield from entries("a", "b", "c", "d!", "e", "f", "g")
        raise KeyboardInterrupt

    bench.run()
    with pytest.raises(KeyboardInterrupt):
        bench.importing.run_atomic(items())
    assert bench.importing.counts == Counts(refused=1)
    assert bench.names() == []
