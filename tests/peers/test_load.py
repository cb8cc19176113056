"""Many logins at once: on SQLite, and with a mail server that is dead.

``FACTORED_FULL=1`` asks for codes 1,000 times at once, with each way to be dead under each server.
"""

from __future__ import annotations

import contextlib
import gc
import re
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import pytest

from tests.support import at_once

from .client import Answer, Browser, code, form_of, visitor
from .letterbox import IGNORED, Letterbox, mail_ini
from .servers import FULL, GATE, Front, Nginx, User, each_worker, eventually, free_port
from .test_email import EVERYBODY, is_ready

pytestmark = IGNORED

AT_ONCE = 50
SERVERS = ["waitress", "gunicorn", "gthread"] if FULL else ["gthread"]


# -- SQLite ----------------------------------------------------------------------------------------


def rows(front: Front) -> dict[str, int]:
    """front -> how many rows each table has that a login writes to"""
    path = front.installation.folder / "factored.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        counted = {
            "attempts": "SELECT count(*) FROM factored_attempts",
            "tickets": "SELECT count(*) FROM factored_tickets",
            "devices": "SELECT count(*) FROM factored_devices",
            "revocations": "SELECT count(*) FROM factored_revocations",
            "used": "SELECT count(*) FROM factored_authenticators WHERE last_step >= 0",
        }
        return {what: connection.execute(sql).fetchone()[0] for what, sql in counted.items()}


@pytest.mark.parametrize("kind", SERVERS)
def test_50_users_who_log_in_at_once_are_all_let_in_on_sqlite(
    make_front: Callable[..., Front], nginx: Nginx, kind: str
) -> None:
    front = make_front(kind, nginx.port)
    users = front.installation.add_users(AT_ONCE)
    browsers = [visitor(front) for _ in users]
    for times, steps in enumerate((0, 1) if FULL else (0,), 1):
        forms = [
            one.name_given(user.name, "/auth/ga") for one, user in zip(browsers, users, strict=True)
        ]
        codes = [code(user.secret, steps) for user in users]

        def log_in(number: int, forms: list = forms, codes: list = codes) -> Answer:
            return browsers[number].send(forms[number], code=codes[number], submit="authenticate")

        assert [one.status for one in at_once(AT_ONCE, log_in)] == [303] * AT_ONCE
        assert all(browser.signed_in() for browser in browsers)
        assert rows(front) == {
            "attempts": 0,
            "tickets": AT_ONCE,
            "devices": AT_ONCE,
            "revocations": AT_ONCE * (times - 1),
            "used": AT_ONCE,
        }
    # The same codes again: each is refused, and each refusal is counted.
    others = [visitor(front) for _ in users]
    forms = [one.name_given(user.name) for one, user in zip(others, users, strict=True)]
    again = at_once(
        AT_ONCE, lambda number: others[number].send(
            forms[number], code=codes[number], submit="authenticate"
        )
    )  # fmt: skip
    assert [one.status for one in again] == [200] * AT_ONCE
    assert "auth_tkt" not in {name for other in others for name in other.cookies}
    # For the account, for its source, and for that source over all accounts.
    assert rows(front)["attempts"] == AT_ONCE * 3
    assert not re.search("Traceback|locked|ERROR", front.server.output)


# -- a mail server that is dead --------------------------------------------------------------------

ASKING = 1000 if FULL else 250
"""Codes that are asked for, by 50 at a time."""
QUEUED = 101
"""Mails of each process that may wait, and the one that is on its way."""
POOLED = 20
"""Threads, and connections of theirs, that a server takes when it is busy, and keeps."""
MOST_MIB = 64
SOON_S = 5
"""50 visitors wait for one another; a mail server's silence would take 10 s more."""

BOTH = """\
supported_auth_schemes =
    Email
    Google Auth
"""
DEAD = [("waitress", "hangs")]
MORE = [("waitress", "is not there"), ("gunicorn", "is not there"), ("gthread", "hangs")]


@contextlib.contextmanager
def dead_mail_server(how: str) -> Iterator[int]:
    """-> the port of a mail server that is not there, or takes connections and says nothing"""
    port = free_port()
    if how == "is not there":
        yield port
        return
    with closing(socket.create_server(("127.0.0.1", port), backlog=16)):
        yield port


@dataclass(frozen=True)
class Asked:
    """One who asked for a code: what for, when, and what came of it."""

    name: str
    began_s: float
    ended_s: float
    answer: Answer

    @property
    def known(self) -> bool:
        return self.name.endswith("@example.com")


def name_of(number: int, mark: str) -> str:
    """Three of five may have an account; of the others some could not even have a mailbox."""
    domain = ("@example.com", "@example.com", "@example.com", "@example.org", "")[number % 5]
    return f"{mark}{number}{domain}"


def ask_all(front: Front, number: int, mark: str) -> list[Asked]:
    """front, how many -> what each who asks for a code is told, 50 of them at a time"""

    def ask(one: int) -> Asked:
        browser, name = visitor(front), name_of(one, mark)
        form = form_of(browser.get("/auth/em"))
        began_s = time.monotonic()
        answer = browser.send(form, username=name, submit="username")
        return Asked(name, began_s, time.monotonic(), answer)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(ask, range(number)))


@contextlib.contextmanager
def others_go_on(front: Front, member: Browser, users: list[User]) -> Iterator[None]:
    """While the others ask: pages for one who is signed in, and logins by TOTP."""
    enough, waiting = threading.Event(), list(users)

    def go_on() -> int:
        times = 0
        while not enough.is_set():
            assert member.signed_in()
            if waiting:
                visitor(front).sign_in(waiting.pop(), "/auth/ga")
            times += 1
        return times

    with ThreadPoolExecutor(1) as thread:
        going = thread.submit(go_on)
        try:
            yield
        finally:
            enough.set()
        assert going.result() > 1


def is_refused(answer: Answer) -> bool:
    """answer -> whether it says that mails cannot be sent; it must be that, or the code's form"""
    assert answer.status in (200, 503), answer
    if answer.status == 200:
        return False
    assert answer.header("Retry-After") == "60"
    assert "No mail can be sent at the moment." in answer.text
    return True


@pytest.mark.parametrize(("kind", "how"), DEAD + MORE if FULL else DEAD)
def test_1000_codes_asked_for_at_once_while_the_mail_server(
    make_front: Callable[..., Front], nginx: Nginx, kind: str, how: str
) -> None:
    with dead_mail_server(how) as port:
        ini = GATE + mail_ini(port).replace("supported_auth_schemes = Email\n", BOTH) + EVERYBODY
        front = make_front(kind, nginx.port, ini)
        inside, *users = front.installation.add_users(11)
        member = visitor(front)
        member.sign_in(inside, "/auth/ga")
        processes = len(front.server.workers()) or 1
        before = front.server.held()
        with front.server.memory() as grown, others_go_on(front, member, users):
            asked = ask_all(front, ASKING, "first")
            assert grown() < MOST_MIB
        assert max(one.ended_s - one.began_s for one in asked) < SOON_S
        queued = {one.name for one in asked if one.known and not is_refused(one.answer)}
        assert 0 < len(queued) <= QUEUED * processes
        refused_s = [one.ended_s for one in asked if is_refused(one.answer)]
        if processes == 1:  # each finds out by itself
            assert all(is_refused(one.answer) for one in asked if one.began_s > min(refused_s))

        for alone in each_worker(front):
            with alone:
                eventually(lambda: not is_ready(front), within_s=20)
        again = ask_all(front, ASKING // 5, "again")
        assert all(is_refused(one.answer) for one in again)
        assert len({one.answer.body for one in again}) == 1
        assert {len(one.answer.headers) for one in again} == {len(again[0].answer.headers)}
        assert member.signed_in()

    box = Letterbox(port=port)
    try:
        eventually(lambda: len(box.taken) >= len(queued), within_s=30)
        for alone in each_worker(front):
            with alone:
                eventually(lambda: is_ready(front))
        assert sorted(to for (to,), _ in box.taken) == sorted(queued)
        newcomer = visitor(front)
        form = newcomer.name_given("newcomer@example.com", "/auth/em")
        code = box.code(len(queued) + 1)
        assert newcomer.send(form, code=code, submit="authenticate").status == 303
    finally:
        box.stop()
        gc.collect()
    eventually(
        lambda: all(
            now <= was + POOLED for now, was in zip(front.server.held(), before, strict=True)
        )
    )
    assert "Traceback" not in front.server.output
