"""Days of a site's traffic, compressed: users, strangers and a clock that jumps from step to step.

What the gate does beside its requests (it reads revocations, it tidies up) its own thread does once
between two steps.
"""

from __future__ import annotations

import gc
import os
import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

import pyotp
import pytest
import sqlalchemy as sa

from factored import app as composition
from factored import ticket_check
from factored.services import outbox as outboxes
from factored.services import parts, throttle
from factored.services.outbox import WAITING
from factored.services.revocation import FULL_READ_S
from factored.store import revocations
from factored.store.attempts import LOCKS
from factored.store.tables import AttemptRow, Base
from factored.words import REMEMBERED
from tests.functional.mailing import Post
from tests.support import Browser, Site, add_users, code_in, token_of

STEP_S, HOUR_S, DAY_S, MONTH_S = 600, 3600, 86400, 30 * 86400
TICKET_S = 2 * HOUR_S
ENROL_LINK_S = HOUR_S // 2
CODE_S = 120
REVOKED_S = TICKET_S + DAY_S
TIDIED_S = FULL_READ_S + 2 * STEP_S
"""By then whatever has ended is gone from tables and memory."""

SHARED = 3
"""Buckets for names without an account, in the place of 65,536: few enough to be full in a day."""
MEMO_BYTES = 5_000
"""Of the gate's memo, in the place of 2 MiB: little enough to be full in a day."""
TOO_LONG_BYTES = 8192
"""A Cookie header of the longest kind may be the one that fills the memo."""

THERE = 1
"""A user whom every site of the tests has, and who does not come."""

PER_DAY = {
    "logs_in": 36,
    "mistypes": 12,
    "logs_in_by_mail": 12,
    "logs_out": 10,
    "reads": 60,
    "loses_the_app": 5,
    "guesses_at_a_name": 57,
    "guesses_at_a_user": 57,
    "asks_for_mails": 25,
}
"""What happens, and how often in a day, at a rate of 1."""


class Paced(threading.Event):
    """Stands for the event that a thread of the gate ends by, and takes its turn between."""

    def __init__(self) -> None:
        super().__init__()
        self._turn, self._done = threading.Semaphore(0), threading.Semaphore(0)

    def wait(self, timeout: float | None = None) -> bool:
        self._done.release()
        self._turn.acquire()
        return self.is_set()

    def set(self) -> None:
        super().set()
        self._turn.release()

    def one_turn(self) -> None:
        """-> None; the thread has done all that it does between two waits"""
        self._turn.release()
        assert self._done.acquire(timeout=30)

    def first_turn(self) -> None:
        assert self._done.acquire(timeout=30)


@dataclass
class Person:
    name: str
    secret: str
    web: Browser
    good_until: float = 0


@dataclass(frozen=True)
class Held:
    """What the process and the database hold at one moment."""

    threads: int
    files: int
    connections: int
    objects: int
    """Of factored's own classes."""


@dataclass
class Days:
    """A site with people and strangers, and what of all that happened is still live."""

    site: Site
    post: Post
    outbox: Any
    paced: Paced
    rate: float
    people: list[Person] = field(default_factory=list)
    chance: random.Random = field(default_factory=lambda: random.Random("a day"))
    happened: dict[str, list[float]] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    stranger: Browser = field(init=False)

    def __post_init__(self) -> None:
        self.stranger = self.browser()
        self.tokens = {path: token_of(self.stranger.get(f"/auth/{path}")) for path in ("ga", "em")}
        self.paced.first_turn()
        self.engine = self._engine()

    # -- what happens -----------------------------------------------------------------------------

    def a_day(self) -> None:
        """-> None; it went by, with all that happens in it"""
        for _ in range(DAY_S // STEP_S):
            self.site.clock.advance(STEP_S)
            self.paced.one_turn()
            for what, per_day in PER_DAY.items():
                expected = per_day * self.rate * STEP_S / DAY_S
                for _ in range(int(expected) + (self.chance.random() < expected % 1)):
                    getattr(self, what)()
                    self.done[what] += 1
            self._read_mails()
            self.is_bounded()

    def silence(self, seconds: int) -> None:
        """seconds -> None; they went by, and nobody came"""
        self.site.clock.advance(seconds)
        self.paced.one_turn()

    def logs_in(self) -> None:
        person = self._somebody()
        now_s = self.site.clock.now_s()
        code = pyotp.TOTP(person.secret).at(int(now_s))
        answer = self.site.attempt(code, person.web, person.name)
        assert answer.status_int == 303 or "already used" in answer.text, answer
        if answer.status_int == 303:
            self._let_in(person)

    def _let_in(self, person: Person) -> None:
        now_s = self.site.clock.now_s()
        if now_s < person.good_until:
            self._note("ended")
        person.good_until = now_s + TICKET_S
        self._note("ticket")

    def mistypes(self) -> None:
        person = self._somebody()
        near = {
            pyotp.TOTP(person.secret).at(int(self.site.clock.now_s()) + 30 * step)
            for step in range(-12, 13)
        }
        wrong = next(code for code in map("{:06d}".format, range(100)) if code not in near)
        assert self.site.attempt(wrong, person.web, person.name).status_int in (200, 429)

    def logs_in_by_mail(self) -> None:
        person = self._somebody()
        form = {"csrf_token": token_of(person.web.get("/auth/em")), "username": person.name}
        self._read_mails()
        asked = person.web.post("/auth/em", {**form, "submit": "username"})
        assert asked.status_int in (200, 429), asked
        if asked.status_int == 200:
            self._note("challenge")
            code = code_in(self.post.next())
            done = person.web.post("/auth/em", {**form, "code": code, "submit": "authenticate"})
            assert done.status_int == 303, done
            self._let_in(person)

    def logs_out(self) -> None:
        inside = [one for one in self.people if self.site.clock.now_s() < one.good_until]
        for person in inside[:1]:
            token = token_of(person.web.get("/auth/logout"))
            person.web.post("/auth/logout", {"csrf_token": token, "submit": "logout"})
            assert person.web.get("/page").status_int == 302
            self._note("ended")
            person.good_until = 0

    def reads(self) -> None:
        """A page, with another cookie of the site, so that the gate sees a new header."""
        person = self._somebody()
        person.web.set_cookie("visits", str(self.chance.random()))
        good = self.site.clock.now_s() < person.good_until
        assert person.web.get("/page").status_int == (200 if good else 302)

    def loses_the_app(self) -> None:
        person = self._somebody()
        token = token_of(person.web.get("/auth/ga"))
        form = {"csrf_token": token, "username": person.name, "submit": "codereminder"}
        if person.web.post("/auth/ga", form).status_int == 200:
            self._note("link")

    def guesses_at_a_name(self) -> None:
        name = f"name{self.chance.randrange(10**9)}@example.org"
        self._stranger_posts("ga", name, code="000000", submit="authenticate")

    def guesses_at_a_user(self) -> None:
        self._stranger_posts("ga", self._somebody().name, code="000 000", submit="authenticate")

    def asks_for_mails(self) -> None:
        known = self.chance.random() < 0.5
        name = self._somebody().name if known else f"name{self.chance.randrange(10**9)}@example.org"
        if self._stranger_posts("em", name, submit="username") == 200:
            self._note("challenge")

    def _stranger_posts(self, path: str, name: str, **fields: str) -> int:
        """From anywhere in the world, with any wish for a language."""
        net = self.chance.randrange(1 << 24)
        address = f"11.{net >> 16}.{net >> 8 & 255}.{net & 255}"
        form = {"csrf_token": self.tokens[path], "username": name, **fields}
        self.stranger.extra_environ["REMOTE_ADDR"] = address
        self.stranger.extra_environ["HTTP_ACCEPT_LANGUAGE"] = f"en, x-{net}"
        status = self.stranger.post(f"/auth/{path}", form).status_int
        assert status in (200, 429)
        return int(status)

    def _somebody(self) -> Person:
        return self.chance.choice(self.people)

    def browser(self) -> Browser:
        return self.site.browser(HTTP_HOST="site.test")

    def _read_mails(self) -> None:
        while True:
            try:
                self.post.mails.get_nowait()
            except Empty:
                return

    def _note(self, what: str) -> None:
        self.happened.setdefault(what, []).append(self.site.clock.now_s())

    def _within(self, what: str, seconds: float) -> int:
        """-> how often it happened so lately that it is live, or may still be lying about"""
        since = self.site.clock.now_s() - seconds - TIDIED_S
        return sum(at >= since for at in self.happened.get(what, ()))

    # -- what is left of it -----------------------------------------------------------------------

    def rows(self) -> dict[str, int]:
        """-> how many rows each table has"""
        with self.engine.connect() as connection:
            return {
                name.removeprefix("factored_"): connection.execute(
                    sa.select(sa.func.count()).select_from(table)
                ).scalar_one()
                for name, table in Base.metadata.tables.items()
            }

    @property
    def most_guesses(self) -> int:
        """-> rows for 30 days: 25 guesses at each account, and at each bucket of names without one

        Each has a row for the account, and one for its source there.
        """
        return (len(self.people) + SHARED) * 25 * 2

    def guesses(self) -> int:
        """-> rows for 30 days"""
        rows = AttemptRow.ends_at - AttemptRow.at == MONTH_S
        with self.engine.connect() as connection:
            counted = sa.select(sa.func.count()).select_from(AttemptRow).where(rows)
            return int(connection.execute(counted).scalar_one())

    def most(self) -> dict[str, int]:
        """-> how many rows each table may have, by what is live and what is promised"""
        people = len(self.people)
        # Each guess has a row for its source over all accounts, which ends soon, and two for long.
        guesses = self.most_guesses * 3 // 2
        # 10 a day for each of them, with a row for the source; and a known device's own 20.
        mails = (people + SHARED) * 10 * 2 + people * 20
        # 5 in 5 minutes, and 10 in a row, for each known device, of which each person has one.
        own = people * (5 + 10)
        return {
            "users": people + THERE,
            "authenticators": people + THERE,
            "recovery_codes": 0,
            "challenges": self._within("challenge", CODE_S),
            "links": self._within("link", ENROL_LINK_S),
            "devices": people,
            "tickets": self._within("ticket", TICKET_S),
            "attempts": guesses + mails + own,
            "attempt_locks": LOCKS,
            "revocations": self._within("ended", REVOKED_S),
            "adopted": 0,
        }

    def is_bounded(self) -> None:
        """-> None; fails if a table or something in memory holds more than what is live."""
        rows, most = self.rows(), self.most()
        assert rows.keys() == most.keys()
        assert {name: number for name, number in rows.items() if number > most[name]} == {}, most
        gate = self.site.web.app
        assert len(gate._revocations._known.revoked) <= most["revocations"]
        assert len(gate._seen) <= len(self.people)
        assert gate._tickets._memo_bytes <= MEMO_BYTES + TOO_LONG_BYTES
        assert len(gate._tickets._memo) <= self.done["reads"]
        assert sum(sender.waiting.qsize() for sender in self.outbox._by_pid.values()) <= WAITING
        assert len(self.languages._accepted) <= REMEMBERED

    @property
    def languages(self) -> Any:
        return self.site.web.app._answers._languages

    def held(self) -> Held:
        """-> what this process holds"""
        gc.collect()  # what earlier tests left
        pool: Any = self.engine.pool
        assert pool.checkedout() == 0
        files = os.listdir("/proc/self/fd")  # noqa: PTH208 a list, and closed
        objects = sum("factored." in str(type(one).__module__) for one in gc.get_objects())
        return Held(threading.active_count(), len(files), pool.checkedin(), objects)

    def _engine(self) -> sa.Engine:
        engine: sa.Engine = self.site.web.app._revocations._store._database.engine
        return engine


def make_days(
    make_site: Callable[..., Site], patch: pytest.MonkeyPatch, *, rate: float, people: int,
    **changed: str,
) -> Days:  # fmt: skip
    """-> a site at its beginning

    :param rate: how often everything happens; 1 is PER_DAY
    """
    post, outbox = Post(), []
    post.open.set()
    patch.setattr(parts, "Postman", lambda settings, *, sender: post)
    patch.setattr(outboxes, "LATER_MS", [0])
    make_outbox = composition.make_outbox

    def kept(*given: Any) -> Any:
        outbox.append(make_outbox(*given))
        return outbox[-1]

    patch.setattr(composition, "make_outbox", kept)
    patch.setattr(throttle, "SHARED_BUCKETS", SHARED)
    patch.setattr(ticket_check, "MEMO_BYTES", MEMO_BYTES)
    site = make_site(
        supported_auth_schemes="Google Auth\nEmail",
        email_auth__sender="site@example.org",
        allowgooglecodereminder="true",
        public_url="http://site.test",
        auth_remember_timeout=str(TICKET_S),
        **changed,
    )
    # The database's own clock is to go as the site's.
    now = site.clock.now_s
    patch.setattr(revocations, "database_now", lambda: sa.literal(int(now()), sa.BigInteger))
    names = [f"person{number}@example.com" for number in range(people)]
    secrets = add_users(Path(site.given["key_file"]), site.given["sqlalchemy.url"], *names)
    paced = site.web.app._revocations._known.stop = Paced()
    made = Days(site, post, outbox[0], paced, rate)
    made.people += [Person(name, secret, made.browser()) for name, secret in secrets.items()]
    return made
