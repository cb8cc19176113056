"""Logins and requests through nginx to 1, 2 and 3 nodes on one PostgreSQL, and what each costs.

Nodes are processes of their own on their own ports, each with the demo site behind its gate; nginx
before them has the shipped file. Nodes, nginx, PostgreSQL and what asks share the processors of one
machine, so that rates rise no further than these go. What must not rise with the number of nodes is
the processor time that one login and one request take of all of them together.
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pyotp

from benchmarks.databases import POSTGRESQL, postgresql
from benchmarks.processes import used_s
from benchmarks.report import Effort, Row, Table
from benchmarks.wrk import ask
from factored.clock import SystemClock
from factored.keys import KeyRing, parse_keys
from factored.schemes.totp import first_code
from factored.services.enrolment import Enrolment
from factored.services.users import Users
from tests.contract.test_stores import sql_stores_as_they_are
from tests.peers.client import form_of, visitor
from tests.peers.databases import DatabaseServer
from tests.peers.nodes import KEY_FILES, Nodes
from tests.peers.servers import Server, User, free_port
from tests.peers.web_servers.harness import filled, nginx_argv

NEEDS = {"wrk": "wrk", "nginx": "nginx", **POSTGRESQL}

NUMBERS = (1, 2, 3)
VISITORS = 6
"""Who log in at once."""
CONNECTIONS = 16


class Costs(NamedTuple):
    """What one round found: how many a second, and microseconds of processor time for one."""

    per_s: float
    nodes_us: float
    nginx_us: float
    postgresql_us: float

    @property
    def all_us(self) -> float:
        return self.nodes_us + self.nginx_us + self.postgresql_us


@contextmanager
def running(folder: Path, url: str, count: int) -> Iterator[Nodes]:
    """folder, empty database, how many -> nodes that serve, and have compiled their pages"""
    nodes = Nodes(folder, url)
    try:
        for _ in range(count):
            nodes.add()
        nodes.start()
        servers = [node.server for node in nodes.each]
        with ThreadPoolExecutor() as threads:
            list(threads.map(log_in, servers, add_users(nodes, count, "first")))
        yield nodes
    finally:
        nodes.stop()


def balancer(folder: Path, nodes: Nodes, count: int) -> Server:
    """folder, nodes -> nginx before the first of them, running"""
    port = free_port()
    shipped = {
        "listen 443 ssl": f"listen 127.0.0.1:{port}",
        "    ssl_certificate     /etc/ssl/www.example.com.pem;\n": "",
        "    ssl_certificate_key /etc/ssl/www.example.com.key;\n": "",
    }
    for number, node in enumerate(nodes.each, 1):
        line = f"server 127.0.0.1:800{number} max_fails=1 fail_timeout=5s;"
        shipped[line] = f"server 127.0.0.1:{node.port};" if number <= count else ""
    argv = nginx_argv(folder / "nginx", filled("nginx/nodes.conf", shipped))
    return Server(argv, port, folder / "server", ready_path=None).start()


def add_users(nodes: Nodes, count: int, name: str) -> list[User]:
    """how many, what their names begin with -> users who can log in"""
    clock = SystemClock()
    text = (nodes.each[0].installation.folder / KEY_FILES[0]).read_text()
    ring = KeyRing(lambda: parse_keys(text))
    enrolment = Enrolment(ring, clock, first_code, issuer="benchmark")
    with contextlib.closing(sql_stores_as_they_are(nodes.url)) as stores:
        users = Users(stores.users, stores.links, ring, clock, enrolment, revoke_for_s=86400)
        made = [users.add(f"{name}{number}@example.com") for number in range(count)]
    return [User(one.user.username, one.credential.secret) for one in made]


def log_in(server: Server, user: User) -> str:
    """server, user -> the ticket that came of the page with the form, and of the code"""
    browser = visitor(server)
    form = form_of(browser.get("/auth/ga"))
    digits = pyotp.TOTP(user.secret).now()
    done = browser.send(form, username=user.name, code=digits, submit="authenticate")
    assert done.status == 303, (done, done.text)
    return browser.cookies["auth_tkt"][0]


def log_in_all(server: Server, users: list[User]) -> int:
    """server, users -> how many; some at once"""
    with ThreadPoolExecutor(VISITORS) as threads:
        return len(list(threads.map(lambda user: log_in(server, user), users)))


def answered(port: int, path: str, ticket: str, seconds: int) -> int:
    """port, path, ticket, how long -> how many requests were answered"""
    return int(ask(port, path, f"auth_tkt={ticket}", seconds, CONNECTIONS).requests)


class Place:
    """Three nodes, PostgreSQL, and nginx before one, two and three of them.

    :param ends: closes what was started
    """

    def __init__(self, folder: Path, ends: contextlib.ExitStack) -> None:
        self.database: DatabaseServer = ends.enter_context(postgresql())
        url = self.database.new_database()
        self.nodes = ends.enter_context(running(folder / "nodes", url, max(NUMBERS)))
        self.nginx = {}
        for count in NUMBERS:
            self.nginx[count] = balancer(folder / f"nginx{count}", self.nodes, count)
            ends.callback(self.nginx[count].stop)

    def costs(self, count: int, work: Callable[[], int]) -> Costs:
        """function that says how often it did a thing -> what that took"""
        parts: tuple[list[Server], ...] = (
            [node.server for node in self.nodes.each],
            [self.nginx[count]],
            [self.database],
        )
        before, began = [used_s(*part) for part in parts], time.perf_counter()
        times = work()
        took_s = time.perf_counter() - began
        nodes, nginx, postgresql = (
            (used_s(*part) - start) / times * 1e6 for part, start in zip(parts, before, strict=True)
        )
        return Costs(times / took_s, nodes, nginx, postgresql)


def tables(what: str, found: dict[int, list[Costs]]) -> list[Table]:
    """ "Logins" or "Requests", number of nodes -> its rounds -> table of rates, and one of costs"""
    rates, costs = [], []
    for count, rounds in found.items():
        name = f"{count} node{'s' if count > 1 else ''}"
        rates.append(Row(name, [one.per_s for one in rounds]))
        parts = {
            "nodes": [one.nodes_us for one in rounds],
            "nginx": [one.nginx_us for one in rounds],
            "PostgreSQL": [one.postgresql_us for one in rounds],
        }
        medians = {part: statistics.median(samples) for part, samples in parts.items()}
        costs.append(Row(name, [one.all_us for one in rounds], medians))
    return [
        Table(f"{what} through nginx", f"{what.lower()}/s", rates),
        Table(f"{what} through nginx, processor time for one", "us", costs),
    ]


def measure(effort: Effort) -> list[Table]:
    """-> tables of logins and of requests with a ticket"""
    rounds, logins, seconds = {"quick": (1, 20, 1), "normal": (5, 60, 2), "full": (15, 100, 3)}[
        effort
    ]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as ends:
        place = Place(Path(folder), ends)
        (insider,) = add_users(place.nodes, 1, "insider")
        ticket = log_in(place.nginx[1], insider)
        entered: dict[int, list[Costs]] = {count: [] for count in NUMBERS}
        asked: dict[int, list[Costs]] = {count: [] for count in NUMBERS}
        for number in range(rounds):
            for count in NUMBERS:
                server = place.nginx[count]
                users = add_users(place.nodes, logins, f"user{number}-{count}-")
                entered[count].append(place.costs(count, partial(log_in_all, server, users)))
                asking = partial(answered, server.port, "/page", ticket, seconds)
                asked[count].append(place.costs(count, asking))
    return [*tables("Logins", entered), *tables("Requests", asked)]
