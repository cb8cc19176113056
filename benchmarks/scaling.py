"""What one visitor costs, in processor time of each part: the figures of docs/scaling.rst.

Three nodes under gunicorn on one PostgreSQL, and nginx that checks tickets in Lua. Processor time
and not requests/s: what asks shares the machine with what answers, so that a rate says little about
either.
"""

from __future__ import annotations

import gc
import http.client
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from benchmarks.databases import POSTGRESQL, postgresql
from benchmarks.nodes import add_users, answered, log_in, running
from benchmarks.processes import used_s
from benchmarks.report import Effort, Row, Table
from factored.clock import SystemClock
from factored.services.revocation import RevocationList
from tests.contract.test_stores import sql_stores_as_they_are
from tests.peers.client import form_of, visitor
from tests.peers.databases import DatabaseServer
from tests.peers.nodes import Nodes
from tests.peers.servers import Server, User, free_port
from tests.peers.web_servers.harness import SHIPPED, filled, nginx_argv
from tests.peers.web_servers.test_nginx_lua import MODULES

NEEDS = {
    "wrk": "wrk",
    "nginx": "nginx",
    "/usr/lib/nginx/modules/ngx_http_lua_module.so": "libnginx-mod-http-lua",
    **POSTGRESQL,
}

NODES = 3
VISITORS = 36


def cost_us(rounds: int, work: Callable[[], int], *servers: Server) -> list[float]:
    """function that says how many times it did a thing -> microseconds for one, of each round"""
    found = []
    for _ in range(rounds):
        before = used_s(*servers)
        times = work()
        found.append((used_s(*servers) - before) / times * 1e6)
    return found


def ask(port: int, cookie: str, target: str, times: int, status: int) -> int:
    """Over one connection, one after the other."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"Cookie": f"auth_tkt={cookie}", "Accept": "text/html"} if cookie else {}
    for _ in range(times):
        connection.request("GET", target, headers=headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status, answer.status
    connection.close()
    return times


# -- nodes and database ---------------------------------------------------------------------------


def logins(nodes: Nodes, database: DatabaseServer, rounds: int, count: int) -> list[list[float]]:
    """rounds, logins of each -> for one login: us of nodes, us of PostgreSQL, commits, bytes"""
    servers = [node.server for node in nodes.each]
    found: list[list[float]] = []
    for number in range(rounds):
        users = add_users(nodes, count, f"round{number}-")
        before = used_s(*servers), used_s(database)
        commits, size = written(nodes, partial(log_in_by_turns, servers, users))
        after = used_s(*servers), used_s(database)
        used = [(end - start) / count * 1e6 for start, end in zip(before, after, strict=True)]
        found.append([*used, commits, size])
    return [list(figures) for figures in zip(*found, strict=True)]


def log_in_by_turns(servers: list[Server], users: list[User]) -> int:
    for number, user in enumerate(users):
        log_in(servers[number % len(servers)], user)
    return len(users)


def connections(nodes: Nodes, database: DatabaseServer, for_s: float) -> tuple[int, int]:
    """-> most connections to PostgreSQL while VISITORS try at once, and node processes"""
    over = threading.Event()

    def stranger(number: int) -> None:
        while not over.is_set():
            browser = visitor(nodes.each[number % NODES])
            form = form_of(browser.get("/auth/ga"))
            browser.send(form, username=f"u{number}", code="000000", submit="authenticate")

    engine = sa.create_engine(database.url, poolclass=sa.NullPool)
    query = sa.text("SELECT count(*) FROM pg_stat_activity WHERE datname = :name")
    name, most, end = sa.make_url(nodes.url).database, 0, time.monotonic() + for_s
    threads = [threading.Thread(target=stranger, args=(number,)) for number in range(VISITORS)]
    for thread in threads:
        thread.start()
    with engine.connect() as connection:
        while time.monotonic() < end:
            most = max(most, connection.scalar(query, {"name": name}))
            time.sleep(0.05)
    over.set()
    for thread in threads:
        thread.join()
    return most, sum(len(node.server.workers()) for node in nodes.each)


def end_some_tickets(nodes: Nodes) -> None:
    with closing(sql_stores_as_they_are(nodes.url)) as stores:
        stores.revocations.add([f"revoked{number}" for number in range(1000)], for_s=3600)


def readings(nodes: Nodes) -> int:
    """What every process does each two seconds, after 1,000 tickets ended in two minutes."""
    with closing(sql_stores_as_they_are(nodes.url)) as stores:
        now, _ = stores.revocations.read(None)
        for _ in range(300):
            stores.revocations.read(now)
    return 300


def written(nodes: Nodes, work: Callable[[], int]) -> tuple[float, float]:
    """function that says how often it did a thing -> commits that write, bytes of log, for one"""
    engine = sa.create_engine(nodes.url, poolclass=sa.NullPool)
    query = sa.text(
        "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint, "
        "pg_current_wal_lsn() - '0/0'::pg_lsn"
    )
    with engine.connect() as connection:
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        before = connection.execute(query).one()
        times = work()
        after = connection.execute(query).one()
    commits, size = (float(end - start) / times for start, end in zip(before, after, strict=True))
    return commits, size


def known_revocations(nodes: Nodes, count: int, rounds: int) -> list[Row]:
    """how many -> what they cost each process: until it is ready, memory, and each reading"""
    with closing(sql_stores_as_they_are(nodes.url)) as stores:
        with stores.database.writing() as session:
            session.execute(
                sa.text(
                    "INSERT INTO factored_revocations (value, created_at, ends_at) SELECT "
                    "left(md5(n::text), 22), 0, 4000000000 FROM generate_series(1, :count) n"
                ),
                {"count": count},
            )
        known = RevocationList(stores.revocations, SystemClock(), keep_s=1)
        pages, began = Path("/proc/self/statm"), time.monotonic()
        before = int(pages.read_text().split()[1])
        known.read()
        ready_s = time.monotonic() - began
        gc.collect()
        size = (int(pages.read_text().split()[1]) - before) * os.sysconf("SC_PAGE_SIZE") / 2**20
        later = []
        for _ in range(rounds):
            used = time.process_time()
            known.read()
            later.append(time.process_time() - used)
    return [Row("first reading", [ready_s], {"MiB": size}), Row("processor, each later one", later)]


# -- the edge -------------------------------------------------------------------------------------


@contextmanager
def edge(folder: Path, nodes: Nodes) -> Iterator[Server]:
    """folder -> nginx with the shipped file; /page is a small file, /bare the same unprotected"""
    port = free_port()
    first = nodes.each[0]
    files = folder / "files"
    files.mkdir(parents=True)
    for name in ("page", "bare"):
        (files / name).write_text("x" * 1024)
    text = filled(
        "nginx/lua.conf",
        {
            "www.example.com yes;": f'"127.0.0.1:{port}" yes;',
            "listen 443 ssl": f"listen 127.0.0.1:{port}",
            "    ssl_certificate     /etc/ssl/www.example.com.pem;\n": "",
            "    ssl_certificate_key /etc/ssl/www.example.com.key;\n": "",
            "/usr/local/share/factored/lua": str(SHIPPED / "lua"),
            "/etc/factored/factored.secret": str(first.installation.folder / "factored.secret"),
            "127.0.0.1:8000": f"127.0.0.1:{first.port}",
            "        proxy_pass http://127.0.0.1:8080;\n": f"        root {files};\n",
            "    location = /open {": (
                f"    location = /bare {{ access_by_lua_block {{ return }} root {files}; }}\n"
                "    location = /open {"
            ),
        },
    )
    argv = nginx_argv(folder / "nginx", text, modules=MODULES, http="access_log off;")
    server = Server(argv, port, folder / "server", ready_path=None)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def measure(effort: Effort) -> list[Table]:
    """-> tables of processor time, of what a login writes, of connections, of revocations"""
    rounds, few, times, seconds, revoked = {
        "quick": (1, 15, 300, 1, 100_000),
        "normal": (5, 60, 2000, 1, 1_000_000),
        "full": (15, 60, 2000, 3, 1_000_000),
    }[effort]
    with (
        tempfile.TemporaryDirectory() as name,
        postgresql() as database,
        running(Path(name, "nodes"), database.new_database(), NODES) as nodes,
    ):
        (user,) = add_users(nodes, 1, "insider")
        port, server = nodes.each[0].port, nodes.each[0].server
        ticket = log_in(server, user)
        of_nodes, of_database, commits, sizes = logins(nodes, database, rounds, few)
        end_some_tickets(nodes)
        asked = [
            Row(said, cost_us(rounds, partial(ask, port, cookie, path, times, status), server))
            for said, cookie, path, status in (
                ("question to /auth/verify, node", ticket, "/auth/verify", 200),
                ("page through the gate, node", ticket, "/page", 200),
                ("stranger sent to the login, node", "", "/page", 302),
            )
        ]
        read = Row("reading of revocations, PostgreSQL",
                   cost_us(rounds, partial(readings, nodes), database))  # fmt: skip
        with edge(Path(name, "edge"), nodes) as nginx:
            pages = [
                Row(f"1 KB file {said}, nginx",
                    cost_us(rounds, partial(answered, nginx.port, path, ticket, seconds), nginx))
                for said, path in (("for anybody", "/bare"), ("with a ticket", "/page"))
            ]  # fmt: skip
        most, processes = connections(nodes, database, for_s=1 if effort == "quick" else 8)
        known = known_revocations(nodes, revoked, rounds)
    return [
        Table("Processor time for one", "us",
              [*pages, *asked, Row("login, node", of_nodes),
               Row("login, PostgreSQL", of_database), read]),
        Table("What a login writes", "commits", [Row("commits that write", commits)]),
        Table("What a login writes", "bytes", [Row("write-ahead log", sizes)]),
        Table(f"Connections to PostgreSQL, {VISITORS} visitors at once", "at most",
              [Row(f"{processes} processes of nodes", [most])]),
        Table(f"{revoked:,} tickets that were ended early, in each process", "s", known),
    ]  # fmt: skip
