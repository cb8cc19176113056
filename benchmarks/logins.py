"""What a login by TOTP takes: over servers, of statements, and of the store as its users grow.

A whole login is three requests: the page, the name, the code. Each is another user's, as a code
works once. Who asks is one process of four threads, which shares the machine with what answers.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pyotp
import sqlalchemy as sa
from webtest import TestApp

from benchmarks.report import Effort, Row, Table
from factored import app as composition
from factored.clock import SystemClock
from factored.codes import new_id
from factored.hello import hello
from factored.interfaces import Challenge, NewUser, User, Verdict
from factored.keys import KeyRing, parse_keys
from factored.schemes.totp import first_code
from factored.services.devices import Browser, Devices
from factored.services.enrolment import STEP_S, Enrolment
from factored.services.login import Login
from factored.services.open_tickets import OpenTickets
from factored.services.revocation import RevocationList
from factored.services.throttle import Throttle
from factored.store.bundle import SqlStores
from tests.contract.test_stores import sql_stores, sql_stores_as_they_are
from tests.peers.databases import DatabaseServer, start_postgresql
from tests.peers.servers import Server, free_port
from tests.support import (
    NAME,
    FixedClock,
    MagicWord,
    Site,
    factored,
    settings_for,
    statements_of_logins,
    write_ini,
)

NEEDS = {"psql": "postgresql"}

BIN = Path(sys.executable).parent
THREADS = 4
DATABASES = ("SQLite", "PostgreSQL")
SERVER = """
[server:main]
use = egg:gunicorn#main
bind = 127.0.0.1:{port}
workers = {workers}
worker_class = gthread
threads = 4
"""

Urls = Callable[[str, str], str]
"""(name out of DATABASES, a new name) -> URL of an empty database"""


def initialised(folder: Path, url: str) -> tuple[Path, dict[str, str]]:
    """folder, empty database -> an ini whose ``factored init`` has run, and its settings"""
    folder.mkdir()
    given = settings_for(folder, sqlalchemy__url=url)
    ini = write_ini(folder, given)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        assert factored("init", str(ini)) == 0
    return ini, given


# -- whole logins ----------------------------------------------------------------------------------


def add_people(folder: Path, url: str, names: list[str]) -> dict[str, str]:
    """folder of an installation, its database, names of new users -> name: TOTP secret"""
    text = (folder / "factored.key").read_text()
    enrolment = Enrolment(
        KeyRing(lambda: parse_keys(text)), SystemClock(), first_code, issuer="benchmark"
    )
    secrets: dict[str, str] = {}

    def newcomer(name: str) -> NewUser:
        def held(user_id: int) -> list[Any]:
            one = enrolment.make(user_id)
            secrets[name] = enrolment.credential(name, one).secret
            return [one]

        return NewUser(name, name, new_id(), int(time.time()), authenticators=held)

    stores = sql_stores_as_they_are(url)
    stores.users.add_many(map(newcomer, names))
    stores.close()
    return secrets


def log_in(connection: http.client.HTTPConnection, name: str, code: str) -> float:
    """kept connection, user, the code of now -> seconds that a whole login took"""
    cookies: dict[str, str] = {}

    def ask(method: str, status: int, **fields: str) -> str:
        headers = {"Cookie": "; ".join(f"{key}={value}" for key, value in cookies.items())}
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request(method, "/auth/ga", urlencode(fields) or None, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        assert answer.status == status, (answer.status, text)
        for line in answer.headers.get_all("Set-Cookie", ()):
            key, _, value = line.partition(";")[0].partition("=")
            cookies[key] = value
        return text

    began = time.perf_counter()
    found = re.search(r'name="csrf_token" value="([^"]+)"', ask("GET", 200))
    assert found is not None
    form = {"csrf_token": found[1], "username": name, "referrer": "/page"}
    ask("POST", 200, submit="username", **form)
    ask("POST", 303, submit="authenticate", code=code, **form)
    took_s = time.perf_counter() - began
    assert "auth_tkt" in cookies
    return took_s


def a_round(
    port: int, secrets: Mapping[str, str], *, kept: bool = True
) -> tuple[float, list[float]]:
    """server, users who have not logged in yet -> logins/s, and seconds of each

    :param kept: a connection for many logins; else one for each, so that every worker has some
    """
    codes = {name: pyotp.TOTP(secret).now() for name, secret in secrets.items()}
    share = [list(codes.items())[number::THREADS] for number in range(THREADS)]

    def visit(number: int) -> list[float]:
        took = []
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        with contextlib.closing(connection):
            for name, code in share[number]:
                took.append(log_in(connection, name, code))
                if not kept:
                    connection.close()  # the next request opens another
        return took

    began = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as threads:
        took = [one for each in threads.map(visit, range(THREADS)) for one in each]
    return len(took) / (time.perf_counter() - began), took


def whole_logins(
    folder: Path, new_url: Urls, cases: Sequence[tuple[str, int]], rounds: int, each: int
) -> Table:
    """-> logins/s over real servers; each case is a database and how many workers"""
    per_s: dict[str, list[float]] = {}
    took: dict[str, list[float]] = {}
    with contextlib.ExitStack() as ends:
        sites: dict[str, tuple[Server, list[dict[str, str]]]] = {}
        for database, workers in cases:
            place = folder / f"{database}{workers}"
            url, port = new_url(database, f"whole{workers}"), free_port()
            ini, _ = initialised(place, url)
            ini.write_text(ini.read_text() + SERVER.format(port=port, workers=workers))
            names = [f"u{number}@example.com" for number in range((rounds + 1) * each)]
            secrets = list(add_people(place, url, names).items())
            shares = [dict(secrets[at : at + each]) for at in range(0, len(secrets), each)]
            server = Server([str(BIN / "gunicorn_paste"), str(ini)], port, place / "server")
            server.launch()
            ends.callback(server.stop)
            sites[f"{database}, {workers} worker{'s' if workers > 1 else ''}"] = server, shares
        for server, shares in sites.values():
            server.wait()
            a_round(server.port, shares.pop(), kept=False)  # templates are compiled, in each worker
        for _ in range(rounds):
            for name, (server, shares) in sites.items():
                rate, seconds = a_round(server.port, shares.pop())
                per_s.setdefault(name, []).append(rate)
                took.setdefault(name, []).extend(seconds)
    rows = [
        Row(
            name,
            rates,
            {
                "median_ms": statistics.median(took[name]) * 1000,
                "slow_ms": statistics.quantiles(took[name], n=100)[98] * 1000,
            },
        )
        for name, rates in per_s.items()
    ]
    return Table("Whole logins, four at once", "logins/s", rows)


# -- statements ------------------------------------------------------------------------------------


def counted(folder: Path, new_url: Urls) -> Table:
    """-> SQL statements of a login; where transactions begin and end is not counted"""
    rows = []
    for database in DATABASES:
        place, url = folder / database, new_url(database, "counted")
        ini, given = initialised(place, url)
        secret = add_people(place, url, [NAME])[NAME]
        clock = FixedClock(time.time())
        gate: Any = composition.build(given, hello, clock=clock)
        site = Site(TestApp(gate), clock, ini, given, secret)
        site.login(site.browser())  # what a process asks once is over
        for kind, statements in statements_of_logins(site).items():
            rows.append(Row(f"{database}, {kind}", [len(statements)]))
        gate.close()
    return Table("Statements of a login", "statements", rows)


# -- the store as it grows -------------------------------------------------------------------------

SERIES = (
    "WITH RECURSIVE series(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < {users})"
)
FILL = (
    "INSERT INTO factored_users (id, username, username_key, ticket_series, created_at) "
    + SERIES
    + " SELECT n, 'u' || n || '@example.com', 'u' || n || '@example.com', 's' || n, 1 FROM series",
    "INSERT INTO factored_authenticators (id, user_id, scheme, label, secret, state, created_at, "
    "last_step, needs_renewal) "
    + SERIES
    + " SELECT 'a' || n, n, 'ga', 'App', 'sealed', 'active', 1, -1, false FROM series",
)


class NextStep(MagicWord):
    """A scheme that accepts the step that it is told, so that only the store is at work."""

    path = "ga"

    def __init__(self, stores: SqlStores) -> None:
        self._users = stores.users

    def verify(
        self,
        user: User | None,
        response: str,
        challenge: Challenge | None = None,
        *,
        known_device: bool = False,
    ) -> Verdict:
        assert user is not None
        (held,) = user.active(self.path)
        fresh = self._users.accept_step(held.id, int(response), now_s=int(time.time()))
        return Verdict.ACCEPTED if fresh else Verdict.REPLAYED


@contextlib.contextmanager
def filled(url: str, users: int) -> Iterator[Callable[[int], None]]:
    """empty database, how many users -> function: the so-manieth login, each of another user"""
    stores, clock = sql_stores(url), SystemClock()
    with stores.database.engine.begin() as connection:
        for statement in FILL:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
            connection.execute(sa.text(statement.format(users=users)))
    if stores.database.engine.dialect.name == "postgresql":  # it does so itself, a minute later
        engine = stores.database.engine.execution_options(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sa.text("SET statement_timeout = 0"))
            connection.execute(sa.text("VACUUM ANALYZE"))
    ring = KeyRing(lambda: (b"k" * 32,))
    revocations = RevocationList(stores.revocations, clock, keep_s=1)
    login = Login(
        stores.users,
        Throttle(stores.attempts, ring, clock),
        Devices(stores.users, stores.devices, ring, clock),
        OpenTickets(stores.tickets, clock, absolute_timeout_s=86400, renewed=False),
        revocations,
        clock,
        lifetime_s=7200,
        remember_s=86400,
        revoke_for_s=86400,
    )
    scheme = NextStep(stores)

    def one(number: int) -> None:
        name = f"u{number * 7919 % users + 1}@example.com"
        step = str(int(time.time()) // STEP_S + number)
        outcome = login.attempt(scheme, name, step, Browser("192.0.2.1"), remember=False)
        assert outcome.verdict is Verdict.ACCEPTED, outcome

    yield one
    revocations.stop()
    stores.close()


def growing(new_url: Urls, sizes: tuple[int, ...], rounds: int, each: int) -> list[Table]:
    """-> for each database a table: milliseconds of a login's store work, by number of users"""
    tables = []
    for database in DATABASES:
        spent: dict[int, list[float]] = {size: [] for size in sizes}
        with contextlib.ExitStack() as ends:
            logins = {
                size: ends.enter_context(filled(new_url(database, f"of{size}"), size))
                for size in sizes
            }
            for log_in_once in logins.values():
                for number in range(each):
                    log_in_once(number)
            for turn in range(1, rounds + 1):
                for size, log_in_once in logins.items():
                    began = time.perf_counter()
                    for number in range(turn * each, (turn + 1) * each):
                        log_in_once(number)
                    spent[size].append((time.perf_counter() - began) / each * 1000)
        rows = [Row(f"{size:,} users", times) for size, times in spent.items()]
        tables.append(Table(f"Store work of a login, {database}", "ms", rows))
    return tables


# -- all of it -------------------------------------------------------------------------------------


def urls(folder: Path, server: DatabaseServer) -> Urls:
    """-> function that makes databases"""

    def make(database: str, name: str) -> str:
        sqlite = f"sqlite:///{folder / name}.sqlite"
        return sqlite if database == "SQLite" else server.new_database()

    return make


def measure(effort: Effort) -> list[Table]:
    """-> tables of whole logins, of statements, and of the store as it grows"""
    rounds, each = {"quick": (1, 40), "normal": (4, 120), "full": (12, 300)}[effort]
    cases = [(database, workers) for database in DATABASES for workers in (1, 2)]
    if effort == "quick":  # most of it is the start of a server
        cases = [("SQLite", 1), ("PostgreSQL", 1)]
    sizes = (1_000, 10_000) if effort == "quick" else (1_000, 100_000, 1_000_000)
    turns = {"quick": (4, 20), "normal": (10, 50), "full": (40, 100)}[effort]
    server = start_postgresql()
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            new_url = urls(folder, server)
            tables = [whole_logins(folder, new_url, cases, rounds, each)]
            (folder / "counted").mkdir()
            tables.append(counted(folder / "counted", new_url))
            return tables + growing(new_url, sizes, *turns)
    finally:
        server.remove()
