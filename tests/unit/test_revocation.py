"""The revocations that a process knows: read again and again, held when they cannot be."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from factored.interfaces import StoreError, Ticket
from factored.services import revocation
from factored.services.revocation import FULL_READ_S, OVERLAP_S, RevocationList
from factored.store.memory import MemoryRevocationStore
from tests.support import NOW_S, FixedClock

KEEP_S = 86400
WAIT_S = 5.0
"""Longest that a test waits for a thread; reached only when something is broken."""


def ticket(ticket_id: str = "id", series: str = "series") -> Ticket:
    return Ticket("al", "ga", NOW_S, NOW_S, 7200, False, ticket_id, series)


class ScriptedStore:
    """A RevocationStore whose rows, clock and failures a test writes."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, int]] = []
        self.now = NOW_S
        self.fails: Exception | None = None
        self.asked: list[int | None] = []
        self.meanwhile: Callable[[], None] | None = None
        self.pruned = 0
        self.was_read = threading.Condition()

    def add(self, values: Sequence[str], *, for_s: int) -> None:
        if self.fails:
            raise self.fails
        self.rows += [(value, self.now) for value in values]

    def read(self, since: int | None) -> tuple[int, list[str]]:
        with self.was_read:
            self.asked.append(since)
            self.was_read.notify_all()
        if self.fails:
            raise self.fails
        found = [value for value, at in self.rows if since is None or at >= since]
        if self.meanwhile:
            self.meanwhile()
        return self.now, found

    def prune(self) -> int:
        self.pruned += 1
        return 0

    def wait_for_reads(self, number: int) -> None:
        with self.was_read:
            assert self.was_read.wait_for(lambda: len(self.asked) >= number, WAIT_S)


@pytest.fixture
def store() -> ScriptedStore:
    return ScriptedStore()


def followers() -> set[threading.Thread]:
    """-> the threads that keep a list up to date, in whatever test they began"""
    return {one for one in threading.enumerate() if one.name == "factored-revocations"}


@pytest.fixture
def make_list(store: ScriptedStore, clock: FixedClock) -> Iterator[Callable[..., RevocationList]]:
    """-> function: options -> a list before the store, whose thread ends with the test"""
    before = followers()
    made: list[RevocationList] = []

    def make(**options: list[Callable[[], object]]) -> RevocationList:
        made.append(RevocationList(store, clock, keep_s=KEEP_S, **options))
        return made[-1]

    yield make
    for one in made:
        one.stop()
    for thread in followers() - before:
        thread.join(WAIT_S)


@pytest.fixture
def known(make_list: Callable[..., RevocationList]) -> RevocationList:
    return make_list()


# -- reading -----------------------------------------------------------------------------------


def test_a_ticket_is_revoked_by_its_id_and_by_its_series(
    known: RevocationList, store: ScriptedStore
) -> None:
    store.rows = [("an id", NOW_S), ("a series", NOW_S)]
    assert not known.revoked(ticket("an id"))
    known.read()
    assert known.revoked(ticket("an id"))
    assert known.revoked(ticket(series="a series"))
    assert not known.revoked(ticket())


def test_the_first_read_is_of_everything_and_the_next_overlap(
    known: RevocationList, store: ScriptedStore, clock: FixedClock
) -> None:
    known.read()
    for after_s in (2, 5):
        clock.advance(after_s)
        store.now += after_s
        known.read()
    assert store.asked == [None, NOW_S - OVERLAP_S, NOW_S + 2 - OVERLAP_S]


@pytest.mark.parametrize(
    ("late_s", "seen"), [(OVERLAP_S - 1, True), (OVERLAP_S, True), (OVERLAP_S + 1, False)]
)
def test_a_row_that_commits_late_is_read_within_the_overlap(
    known: RevocationList, store: ScriptedStore, clock: FixedClock, late_s: int, seen: bool
) -> None:
    known.read()
    store.rows.append(("late", NOW_S - late_s))
    clock.advance(2)
    known.read()
    assert known.revoked(ticket("late")) is seen
    clock.advance(FULL_READ_S + 1)
    known.read()
    assert known.revoked(ticket("late"))


@pytest.mark.parametrize(("offset_s", "full"), [(-1, False), (0, False), (1, True)])
def test_now_and_then_everything_is_read_anew_and_what_ended_is_forgotten(
    known: RevocationList, store: ScriptedStore, clock: FixedClock, offset_s: int, full: bool
) -> None:
    store.rows = [("ended", NOW_S)]
    known.read()
    store.rows = [("new", NOW_S)]
    clock.advance(2)
    known.read()
    assert known.revoked(ticket("ended"))
    clock.advance(FULL_READ_S - 2 + offset_s)
    known.read()
    assert (store.asked[-1] is None) is full
    assert known.revoked(ticket("ended")) is not full
    assert known.revoked(ticket("new"))


def test_the_stores_clock_counts_and_no_nodes_clock(
    known: RevocationList, store: ScriptedStore, clock: FixedClock
) -> None:
    store.now = 1000
    known.read()
    clock.time_s = NOW_S + 100
    known.read()
    assert store.asked == [None, 1000 - OVERLAP_S]


# -- revoking ----------------------------------------------------------------------------------


def test_what_is_revoked_here_holds_at_once_and_is_stored(clock: FixedClock) -> None:
    store = MemoryRevocationStore(clock)
    here, elsewhere = (RevocationList(store, clock, keep_s=KEEP_S) for _ in range(2))
    here.read()
    elsewhere.read()
    here.revoke("one", "two")
    assert here.revoked(ticket("one"))
    assert here.revoked(ticket("two"))
    assert not elsewhere.revoked(ticket("one"))
    clock.advance(5)
    for reader in (here, elsewhere):
        reader.read()
        assert reader.revoked(ticket("one"))
        assert reader.revoked(ticket(series="two"))


@pytest.mark.parametrize(("offset_s", "held"), [(-1, True), (0, False)])
def test_a_revocation_holds_as_long_as_a_ticket_can_live(
    clock: FixedClock, offset_s: int, held: bool
) -> None:
    store = MemoryRevocationStore(clock)
    RevocationList(store, clock, keep_s=KEEP_S).revoke("one")
    clock.advance(KEEP_S + offset_s)
    later = RevocationList(store, clock, keep_s=KEEP_S)
    later.read()
    assert later.revoked(ticket("one")) is held


def test_revoking_nothing_asks_nobody(known: RevocationList, store: ScriptedStore) -> None:
    store.fails = StoreError("down")
    known.revoke()


def test_what_could_not_be_stored_is_an_error_and_not_revoked(
    known: RevocationList, store: ScriptedStore
) -> None:
    store.fails = StoreError("down")
    with pytest.raises(StoreError):
        known.revoke("one")
    assert not known.revoked(ticket("one"))


@pytest.mark.parametrize("first", [True, False])
def test_revoking_waits_for_no_read_and_is_not_lost_with_it(
    known: RevocationList, store: ScriptedStore, first: bool
) -> None:
    """Sign-out must not hang on a store that hangs in another thread."""

    def revoke() -> None:
        done = threading.Thread(target=known.revoke, args=("mine",), daemon=True)
        done.start()
        done.join(WAIT_S)
        assert not done.is_alive()

    if not first:
        known.read()
    store.meanwhile = revoke
    known.read()
    assert known.revoked(ticket("mine"))


def test_what_was_revoked_here_is_forgotten_too_once_it_has_ended(
    known: RevocationList, store: ScriptedStore, clock: FixedClock
) -> None:
    known.read()
    known.revoke("mine")
    store.rows.clear()
    for after_s, held in ((2, True), (FULL_READ_S + 1, False)):
        clock.advance(after_s)
        known.read()
        assert known.revoked(ticket("mine")) is held


def test_while_the_store_is_down_what_is_known_holds(
    known: RevocationList, store: ScriptedStore, clock: FixedClock
) -> None:
    store.rows = [("one", NOW_S)]
    assert known.ready
    store.fails = StoreError("down")
    for after_s in (2, FULL_READ_S + 1):
        clock.advance(after_s)
        with pytest.raises(StoreError):
            known.read()
        assert known.revoked(ticket("one"))
    assert known.ready


# -- the thread --------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocation, "REREAD_S", 0.001)


def test_no_thread_runs_before_the_first_question(
    known: RevocationList, store: ScriptedStore
) -> None:
    before = followers()
    known.read()
    assert followers() == before
    assert known.ready
    (thread,) = followers() - before
    assert thread.daemon
    assert known.ready
    known.stop()
    thread.join(WAIT_S)
    assert not thread.is_alive()
    assert len(store.asked) <= 3, "it rests between two reads"


@pytest.mark.usefixtures("quick")
def test_the_thread_reads_again_and_again(known: RevocationList, store: ScriptedStore) -> None:
    assert known.ready
    store.rows.append(("new", NOW_S))
    store.wait_for_reads(len(store.asked) + 2)
    assert known.revoked(ticket("new"))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("error", [StoreError("down"), RuntimeError("a bug")])
def test_a_process_that_never_read_is_not_ready_until_it_has(
    known: RevocationList,
    store: ScriptedStore,
    error: Exception,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store.fails = error
    assert not known.ready
    store.wait_for_reads(3)
    assert not known.ready
    said = [record.getMessage() for record in caplog.records]
    if isinstance(error, StoreError):
        assert said == ["revocations cannot be read, those known hold: down"], "once, not each time"
    else:
        assert set(said) == {"reading revocations failed; it is tried again"}
    store.fails = None
    store.wait_for_reads(len(store.asked) + 2)
    assert known.ready


@pytest.mark.usefixtures("quick")
def test_the_log_says_when_the_store_is_back(
    known: RevocationList, store: ScriptedStore, caplog: pytest.LogCaptureFixture
) -> None:
    assert known.ready
    for _ in range(2):
        caplog.clear()
        store.fails = StoreError("down")
        store.wait_for_reads(len(store.asked) + 3)
        store.fails = None
        store.wait_for_reads(len(store.asked) + 3)
        assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
            (logging.ERROR, "revocations cannot be read, those known hold: down"),
            (logging.WARNING, "revocations are read again"),
        ]


@pytest.mark.usefixtures("quick")
def test_the_same_thread_tidies_up_now_and_then(
    store: ScriptedStore, clock: FixedClock, make_list: Callable[..., RevocationList]
) -> None:
    tidied: list[bool] = []
    assert make_list(housekeeping=[lambda: tidied.append(True)]).ready
    store.wait_for_reads(3)
    clock.advance(FULL_READ_S)
    store.wait_for_reads(len(store.asked) + 3)
    assert (store.pruned, tidied) == (0, [])
    clock.advance(1)
    store.wait_for_reads(len(store.asked) + 3)
    assert (store.pruned, tidied) == (1, [True])


@pytest.mark.usefixtures("quick")
def test_housekeeping_that_fails_does_not_end_the_reading(
    store: ScriptedStore,
    clock: FixedClock,
    make_list: Callable[..., RevocationList],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails() -> None:
        raise RuntimeError("a bug")

    known = make_list(housekeeping=[fails])
    assert known.ready
    clock.advance(FULL_READ_S + 1)
    store.wait_for_reads(len(store.asked) + 3)
    store.rows.append(("new", NOW_S))
    store.wait_for_reads(len(store.asked) + 2)
    assert known.revoked(ticket("new"))
    assert "a bug" in caplog.text


def test_the_first_question_waits_for_the_first_read_but_not_for_ever(
    known: RevocationList, store: ScriptedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocation, "FIRST_READ_WAIT_S", 0.05)
    answers = threading.Event()
    read = store.read

    def slow(since: int | None) -> tuple[int, list[str]]:
        answers.wait(WAIT_S)
        return read(since)

    monkeypatch.setattr(store, "read", slow)
    assert not known.ready
    monkeypatch.setattr(revocation, "FIRST_READ_WAIT_S", WAIT_S)
    answers.set()
    assert known.ready


def test_questions_at_the_same_moment_start_one_thread(
    known: RevocationList, store: ScriptedStore
) -> None:
    before, together = followers(), threading.Barrier(8)
    answers: list[bool] = []

    def ask() -> None:
        together.wait(WAIT_S)
        answers.append(known.ready)

    askers = [threading.Thread(target=ask) for _ in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(WAIT_S)
    assert answers == [True] * 8
    assert len(followers() - before) == 1


def test_whoever_asks_while_another_starts_the_thread_starts_no_second_one(
    known: RevocationList, store: ScriptedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, both = followers(), threading.Barrier(2)

    class MadeTogether(threading.Thread):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            both.wait(WAIT_S)

    askers = [threading.Thread(target=lambda: known.ready) for _ in range(2)]
    monkeypatch.setattr(
        revocation, "threading", SimpleNamespace(**{**vars(threading), "Thread": MadeTogether})
    )
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(WAIT_S)
    assert len(followers() - before) == 1


# -- fork --------------------------------------------------------------------------------------


FORK = """
import os, signal, sys, threading
from factored.clock import SystemClock
from factored.interfaces import StoreError, Ticket
from factored.services import revocation

class Store:
    hangs = down = False
    hanging = threading.Event()
    rows = ["before"]
    def read(self, since):
        if self.hangs:
            self.hanging.set()
            threading.Event().wait(20)
        if self.down:
            raise StoreError("down")
        return 1, self.rows
    def prune(self):
        return 0

revocation.REREAD_S = 0.01
store = Store()
known = revocation.RevocationList(store, SystemClock(), keep_s=1)
assert known.ready
if sys.argv[1] == "hanging":
    store.hangs = True
    assert store.hanging.wait(10)
child = os.fork()
if not child:
    try:
        signal.alarm(5)
        store.hangs, store.down = False, True
        assert not known.ready, "of its own it has read nothing"
        store.rows, store.down = ["after"], False
        while not known.ready:
            pass
        ticket = Ticket("al", "ga", 1, 1, 1, False, "after", "series")
        assert known.revoked(ticket)
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.parametrize("parent", ["at rest", "hanging"])
def test_a_forked_child_reads_by_itself_before_it_lets_anybody_in(parent: str) -> None:
    """A lock that another thread held at the fork stays locked in the child for ever."""
    command = [sys.executable, "-W", "ignore", "-c", FORK, parent]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
