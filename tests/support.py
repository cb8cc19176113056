"""What tests of every kind share: a clock that stands still, an ini on disk, a browser's steps."""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace
from typing import Any, TypeVar

import pyotp
import sqlalchemy as sa
from webtest import TestApp, TestResponse

from factored import app as composition
from factored.auth_tkt import NO_ADDRESS, TicketFormat
from factored.clock import SystemClock
from factored.codes import new_id
from factored.interfaces import (
    Asker,
    Challenge,
    Environ,
    Mail,
    SchemeContext,
    SendingFails,
    StartResponse,
    StoreContext,
    Ticket,
    User,
    Verdict,
)
from factored.keys import KeyRing, parse_keys
from factored.schemes.totp import first_code
from factored.scripts.main import main as factored_command
from factored.services.enrolment import Enrolment
from factored.services.users import Users
from factored.store.bundle import SqlStores

T = TypeVar("T")

TICKET_SECRET = "a-ticket-secret-for-tests-0123456789abcdef"
NOW_S = 1_800_000_000
NAME = "al@example.com"


class FixedClock:
    """A clock that moves when a test says so."""

    def __init__(self, now_s: float = NOW_S) -> None:
        self.time_s = now_s

    def now_s(self) -> float:
        return self.time_s

    def monotonic_s(self) -> float:
        return self.time_s

    def advance(self, seconds: float) -> None:
        self.time_s += seconds


def settings_for(folder: Path, **changed: str | None) -> dict[str, str]:
    """folder -> ini strings of a small site

    :param changed: ``__`` in a keyword stands for a dot; None takes a key out
    """
    given: dict[str, str | None] = {
        "auth_tkt.secret": TICKET_SECRET,
        "auth_tkt.secure": "false",
        "key_file": str(folder / "factored.key"),
        "sqlalchemy.url": f"sqlite:///{folder / 'factored.sqlite'}",
    }
    given.update({name.replace("__", "."): text for name, text in changed.items()})
    return {name: text for name, text in given.items() if text is not None}


def write_ini(folder: Path, given: Mapping[str, str], name: str = "site.ini") -> Path:
    """folder, settings -> an ini file with the demo downstream behind them"""
    lines = ["[app:demo]", "use = egg:factored#hello", "", "[filter-app:main]"]
    lines += ["use = egg:factored#main", "next = demo"]
    for key, text in given.items():
        lines.append(f"{key} = " + text.replace("%", "%%").replace("\n", "\n    "))
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


@dataclass
class Recorder:
    """A downstream that keeps every environ it is called with, and answers as it is told."""

    headers: list[tuple[str, str]] = field(default_factory=list)
    seen: list[Environ] = field(default_factory=list)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        self.seen.append(dict(environ))
        start_response("200 OK", [("Content-Type", "text/plain"), *self.headers])
        return [b"downstream"]


@dataclass
class KeptMails:
    """An outbox that keeps what is posted, and fails when a test says so."""

    mails: list[Mail] = field(default_factory=list)
    fails: bool = False

    def check(self) -> None:
        if self.fails:
            raise SendingFails("a test says so")

    def post(self, mail: Mail) -> None:
        self.check()
        self.mails.append(mail)


def code_in(mail: Mail) -> str:
    """mail -> the code as it stands there: ``ABCD-EFGH``"""
    match = re.search(r"\b[0-9A-Z]{4}-[0-9A-Z]{4}\b", mail.text)
    assert match, mail.text
    return match[0]


class MagicWord:
    """A second scheme, for sites with two: the word opens as often as it is said."""

    name = "Magic Word"
    path = "mw"
    budget = "word"
    title = "Say the word"
    code_label = "Word"
    code_desc = "You know which."
    sends = False

    def __init__(self, context: SchemeContext) -> None:
        pass

    def check_sending(self) -> None:
        raise AssertionError("it sends nothing")

    def challenge(self, user: User | None, asker: Asker) -> None:
        raise AssertionError("it sends nothing")

    def awaited(self, asker: Asker) -> Challenge | None:
        raise AssertionError("it sends nothing")

    def normalise(self, text: str) -> str | None:
        return text.strip() or None

    def verify(
        self,
        user: User | None,
        response: str,
        challenge: Challenge | None = None,
        *,
        known_device: bool = False,
    ) -> Verdict:
        if user is None:
            return Verdict.UNKNOWN_USER
        return Verdict.ACCEPTED if response == "please" else Verdict.WRONG


@dataclass
class Site:
    """A gate built from settings, with a user, as WebTest app; its clock stands still."""

    web: TestApp
    clock: FixedClock
    ini: Path
    given: dict[str, str]
    secret: str
    printed: Callable[[], tuple[str, str]] = lambda: ("", "")

    def command(self, *words: str) -> str:
        """``user unlock`` and options -> stdout of that command on this site's ini, by its clock"""
        verbs = [word for word in words if not word.startswith("-")]
        options = [word for word in words if word.startswith("-")]
        self.printed()
        status = factored(*verbs, str(self.ini), *options)
        out, err = self.printed()
        assert status == 0, err
        return out

    def ticket(self, user: str = NAME, *, address: str = NO_ADDRESS, **changed: Any) -> str:
        """user, what else to change -> the cookie value of a ticket that was issued now"""
        now_s = int(self.clock.now_s())
        facts = {"issued_at": now_s, "login_at": now_s, "lifetime_s": 7200, "remember": False}
        facts |= {"scheme": "ga", "ticket_id": new_id(), "series": new_id()} | changed
        made = TicketFormat(lambda: (TICKET_SECRET,), hashalg="sha512", schemes=(facts["scheme"],))
        return made.issue(Ticket(user=user, **facts), address)

    def code(self, offset_steps: int = 0) -> str:
        """-> what the user's app shows now, or some steps from now"""
        return pyotp.TOTP(self.secret).at(int(self.clock.now_s()) + 30 * offset_steps)

    def wrong_code(self) -> str:
        """-> six digits that are right in no step near now"""
        near = {self.code(offset) for offset in range(-12, 13)}
        return next(code for code in map("{:06d}".format, range(100)) if code not in near)

    def read_revocations(self) -> None:
        """-> None; what the gate does every few seconds"""
        gate: Any = getattr(self.web.app, "app", self.web.app)
        gate._revocations.read()

    def browser(self, address: str = "192.0.2.1", **environ: str) -> TestApp:
        """-> another browser, without cookies, at an address"""
        return Browser(self.web.app, extra_environ={"REMOTE_ADDR": address, **environ})

    def csrf(self, web: TestApp | None = None) -> str:
        """-> a CSRF token for this browser"""
        return token_of((web or self.web).get("/auth/ga"))

    def attempt(
        self, code: str, web: TestApp | None = None, name: str = NAME, **fields: Any
    ) -> TestResponse:
        """code -> the answer to the second form"""
        web = web or self.web
        form = {"csrf_token": self.csrf(web), "username": name, "code": code, **fields}
        return web.post("/auth/ga", {**form, "submit": "authenticate"}, expect_errors=True)

    def login(self, web: TestApp | None = None, **fields: Any) -> TestResponse:
        """-> the answer to the right code, a 303"""
        response = self.attempt(self.code(), web, **fields)
        assert response.status_int == 303, response
        return response


class Browser(TestApp):  # type: ignore[misc]  # WebTest has no types
    """WebTest's, that shows every answer instead of raising for those from 400 on."""

    __test__ = False

    shown_id = ""
    """Of the authenticator whose secret was shown last: its page carries it along."""

    def do_request(self, req: Any, status: Any = None, expect_errors: Any = None) -> TestResponse:
        answer = super().do_request(req, status or "*", True)
        match = (
            re.search(r'<svg.*name="id" value="([^"]+)"', answer.text, re.DOTALL)
            if (answer.content_type == "text/html")
            else None
        )
        if match and 'value="confirm"' in answer.text:
            self.shown_id = match[1]
        return answer

    def cookie(self, value: str, name: str = "auth_tkt") -> Browser:
        """-> self, which sends this cookie and no other from now on"""
        self.cookiejar.clear()
        self.extra_environ["HTTP_COOKIE"] = f"{name}={value}"
        return self

    def take(self, name: str, other: Browser, value: str | None = None) -> None:
        """cookie name, browser -> None; this one has that cookie too, or one with this value"""
        for cookie in other.cookiejar:
            if cookie.name == name:
                mine = copy(cookie)
                mine.value = cookie.value if value is None else value
                self.cookiejar.set_cookie(mine)
                return
        raise LookupError(name)


@contextmanager
def statements() -> Iterator[list[str]]:
    """-> what this thread asks of databases meanwhile, but for where transactions begin and end"""
    asked: list[str] = []
    thread = threading.get_ident()

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if threading.get_ident() == thread and not statement.startswith("BEGIN"):
            asked.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)


def statements_of_logins(site: Site) -> dict[str, list[str]]:
    """site -> for each kind of login the statements of all its three requests"""
    web, found = site.browser("192.0.2.77"), {}

    def log_in(kind: str) -> None:
        site.clock.advance(60)
        with statements() as found[kind]:
            page = web.get("/auth/ga")
            form = {"csrf_token": token_of(page), "username": NAME}
            web.post("/auth/ga", {**form, "submit": "username"})
            assert found[kind] == []
            done = web.post("/auth/ga", {**form, "code": site.code(), "submit": "authenticate"})
            assert done.status_int == 303, done

    log_in("an unknown browser")
    log_in("over a good ticket")
    web.cookiejar.clear("localhost.local", "/", "auth_tkt")
    log_in("a known device")
    return found


def at_once(times: int, call: Callable[[int], T]) -> list[T]:
    """how often, function of a number -> its results from as many threads, let go together"""
    start = Barrier(times)

    def wait_and_call(number: int) -> T:
        start.wait(timeout=30)
        return call(number)

    with ThreadPoolExecutor(times) as threads:
        return list(threads.map(wait_and_call, range(times)))


def eventually(what: Callable[[], T], *, within_s: float = 10) -> T:
    """function -> the first true thing it returns; fails when the time is over"""
    end = time.monotonic() + within_s
    while not (value := what()):
        assert time.monotonic() < end, f"not within {within_s} s: {what}"
        time.sleep(0.005)
    return value


def run_sql(path: Path, *statements: str) -> None:
    """SQLite file, statements -> None; the file is made if it is not there"""
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def add_users(key_file: Path, url: str, *usernames: str) -> dict[str, str]:
    """key_file, database -> user name -> secret of the users, made here: commands start slowly"""
    clock, text = SystemClock(), key_file.read_text()
    ring = KeyRing(lambda: parse_keys(text))
    enrolment = Enrolment(ring, clock, first_code, issuer="site")
    settings: Any = SimpleNamespace(sqlalchemy={"sqlalchemy.url": url})
    stores = SqlStores(StoreContext(settings, clock, must_exist=False))
    try:
        stores.upgrade()
        users = Users(stores.users, stores.links, ring, clock, enrolment, revoke_for_s=86400)
        made = map(users.add, usernames)
        return {one.user.username: one.credential.secret for one in made}
    finally:
        stores.close()


def make_people(url: str, *emails: str | None) -> None:
    """database, addresses -> None; the table that a finder looks into, ``people``, is there"""
    people = sa.Table(
        "people", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("email", sa.String(100)), mysql_charset="utf8mb4",
    )  # fmt: skip
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        people.create(connection)
        for email in emails:
            connection.execute(people.insert().values(email=email))


def token_of(response: TestResponse) -> str:
    """page -> the CSRF token of its form"""
    match = re.search(r'name="csrf_token" value="([^"]+)"', response.text)
    assert match, response.text
    return match[1]


def unnamed(text: str, name: str) -> str:
    """page, what was typed as name -> the page without what is made of that name"""
    sent = r"<span>(?:Sent to <strong>[^<]*</strong>\.|If there is an account[^<]*)</span>\s*"
    text = re.sub(r"\s+", " ", re.sub(sent, "", text))
    return text.replace(name, "NAME")


def factored(*argv: str) -> int:
    """command line -> exit status; argparse's own exits too"""
    try:
        return factored_command(list(argv))
    except SystemExit as stop:
        return int(stop.code or 0)


def build_gate(given: Mapping[str, str], clock: FixedClock, downstream: Any = None) -> Any:
    """settings, clock -> the gate, before the demo downstream unless told otherwise"""
    return composition.build(given, downstream or composition.hello_app, clock=clock)
