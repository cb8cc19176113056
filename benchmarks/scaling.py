"""What one visitor costs, in processor time of each part: the figures of docs/scaling.rst.

    python benchmarks/scaling.py --json=scaling.json

Three nodes under gunicorn on one PostgreSQL, and nginx that checks tickets in Lua: ``.ci/run``
installs them; and ``ab`` of apache2-utils. Processor time and not requests/s: what asks shares the
machine with what answers, so that a rate says little about either.
"""

from __future__ import annotations

import argparse
import gc
import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.processes import used_s
from factored.clock import SystemClock
from factored.services.revocation import RevocationList
from tests.contract.test_stores import sql_stores_as_they_are
from tests.peers.client import Browser, code, form_of, visitor
from tests.peers.databases import DatabaseServer, start_postgresql
from tests.peers.nodes import Nodes
from tests.peers.servers import Server, User, free_port, program
from tests.peers.web_servers.harness import SHIPPED, filled, nginx_argv
from tests.peers.web_servers.test_nginx_lua import MODULES

ROUNDS = 5
NODES = 3


def cost_us(work: Callable[[], int], *servers: Server) -> list[float]:
    """function that says how many times it did a thing -> microseconds for one, of each round"""
    found = []
    for _ in range(ROUNDS):
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


def logins(nodes: Nodes, database: DatabaseServer, users: list[Browser]) -> dict[str, list[float]]:
    """-> processor time of node and of PostgreSQL for one login; users are made beforehand"""
    found: dict[str, list[float]] = {"login, node": [], "login, PostgreSQL": []}
    commits, sizes = [], []
    for _ in range(ROUNDS):
        prepared = []
        for number in range(60):
            user = nodes.add_user()
            browser = visitor(nodes.each[number % NODES])
            prepared.append((browser, user, code(user.secret)))

        def work(prepared: list[tuple[Browser, User, str]] = prepared) -> int:
            for browser, user, digits in prepared:
                form = form_of(browser.get("/auth/ga"))
                done = browser.send(form, username=user.name, code=digits, submit="authenticate")
                assert done.status == 303, done
            return len(prepared)

        servers = [node.server for node in nodes.each]
        before = used_s(*servers), used_s(database)
        for one, kept in zip(written(nodes, work), (commits, sizes), strict=True):
            kept.append(one)
        after = used_s(*servers), used_s(database)
        users += [browser for browser, _, _ in prepared]
        for name, start, end in zip(found, before, after, strict=True):
            found[name].append((end - start) / len(prepared) * 1e6)
    print(f"a login: {statistics.median(commits):.1f} commits that write, "
          f"{statistics.median(sizes):.0f} bytes of write-ahead log")  # fmt: skip
    return found


def connections(nodes: Nodes, database: DatabaseServer) -> tuple[int, int]:
    """-> most connections to PostgreSQL while 36 strangers try at once, and node processes"""
    over = threading.Event()

    def stranger(number: int) -> None:
        while not over.is_set():
            browser = visitor(nodes.each[number % NODES])
            form = form_of(browser.get("/auth/ga"))
            browser.send(form, username=f"u{number}", code="000000", submit="authenticate")

    engine = sa.create_engine(database.url, poolclass=sa.NullPool)
    query = sa.text("SELECT count(*) FROM pg_stat_activity WHERE datname = :name")
    name, most, end = sa.make_url(nodes.url).database, 0, time.monotonic() + 8
    threads = [threading.Thread(target=stranger, args=(number,)) for number in range(36)]
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


def readings(nodes: Nodes) -> int:
    """What every process does each two seconds, after 1,000 tickets ended in two minutes."""
    stores = sql_stores_as_they_are(nodes.url)
    now, _ = stores.revocations.read(None)
    for _ in range(500):
        stores.revocations.read(now)
    stores.close()
    return 500


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


def a_million_revocations(nodes: Nodes) -> dict[str, float]:
    """-> what they cost each process: seconds until it is ready, memory, and each reading"""
    stores = sql_stores_as_they_are(nodes.url)
    with stores.database.writing() as session:
        session.execute(
            sa.text(
                "INSERT INTO factored_revocations (value, created_at, ends_at) "
                "SELECT left(md5(n::text), 22), 0, 4000000000 FROM generate_series(1, 1000000) n"
            )
        )
    known = RevocationList(stores.revocations, SystemClock(), keep_s=1)
    pages, began = Path("/proc/self/statm"), time.monotonic()
    before = int(pages.read_text().split()[1])
    known.read()
    ready_s = time.monotonic() - began
    gc.collect()
    size = (int(pages.read_text().split()[1]) - before) * os.sysconf("SC_PAGE_SIZE") / 2**20
    used = time.process_time()
    for _ in range(ROUNDS):
        known.read()
    stores.close()
    reading_s = (time.process_time() - used) / ROUNDS
    return {"first reading, s": ready_s, "MiB": size, "each later reading, s": reading_s}


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


def many(port: int, path: str, cookie: str) -> Callable[[], int]:
    """-> function: 30,000 requests over 16 kept connections, by ab"""

    def work() -> int:
        words = ["-q", "-k", "-c", "16", "-n", "30000", "-C", f"auth_tkt={cookie}"]
        done = subprocess.run(
            [program("ab"), *words, f"http://127.0.0.1:{port}{path}"],
            capture_output=True, text=True, check=True, timeout=120,
        ).stdout  # fmt: skip
        assert "Non-2xx" not in done and "Failed requests:        0" in done, done
        return 30000

    return work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures there")
    given = parser.parse_args()
    database = start_postgresql()
    folder = Path(tempfile.mkdtemp(prefix="factored-scaling-"))
    nodes = Nodes(folder / "nodes", database.new_database())
    found: dict[str, list[float]] = {}
    try:
        for _ in range(NODES):
            nodes.add()
        nodes.start()
        users: list[Browser] = []
        found |= logins(nodes, database, users)
        port, server = nodes.each[0].port, nodes.each[0].server
        ticket = users[0].cookies["auth_tkt"][0]
        found["question to /auth/verify, node"] = cost_us(
            lambda: ask(port, ticket, "/auth/verify", 2000, 200), server
        )
        found["page through the gate, node"] = cost_us(
            lambda: ask(port, ticket, "/page", 2000, 200), server
        )
        found["stranger sent to the login, node"] = cost_us(
            lambda: ask(port, "", "/page", 2000, 302), server
        )
        stores = sql_stores_as_they_are(nodes.url)
        stores.revocations.add([f"revoked{number}" for number in range(1000)], for_s=3600)
        stores.close()
        found["reading of revocations, PostgreSQL"] = cost_us(lambda: readings(nodes), database)
        with edge(folder / "edge", nodes) as nginx:
            for name, path in (("with a ticket", "/page"), ("of anybody", "/bare")):
                work = many(nginx.port, path, ticket)
                found[f"1 KB page {name}, nginx"] = cost_us(work, nginx)
        most, processes = connections(nodes, database)
        million = a_million_revocations(nodes)
    finally:
        nodes.stop()
        database.remove()
        shutil.rmtree(folder)
    print("microseconds of processor time for one: median, least, most of", ROUNDS)
    for name, rounds in found.items():
        print(f"{name:40}{statistics.median(rounds):9.0f}{min(rounds):9.0f}{max(rounds):9.0f}")
    print(f"connections to PostgreSQL of {processes} node processes, 36 at once: {most}")
    print("a million tickets that were ended early, each process:", million)
    if given.json:
        given.json.write_text(
            json.dumps({"us": found, "connections": [most, processes], **million})
        )


if __name__ == "__main__":
    main()
