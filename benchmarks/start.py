"""Seconds from the start of a server to its first answer, memory of a worker, time of imports.

Every case starts anew in each round, one after the other: the same server with a bare WSGI app,
with a bare Pyramid app, with ``egg:factored#hello``, which has imported factored but built nothing,
and with factored as in production.ini. A MB is 1,000,000 bytes. RSS counts what workers share in
full, PSS its part; USS is what would be free if the worker ended: proc(5), smaps_rollup.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.databases import postgresql_url
from benchmarks.report import Effort, Row, Table
from benchmarks.servers import SERVERS
from tests.peers.servers import Server, free_port

NEEDS: dict[str, str] = {}

BIN = Path(sys.executable).parent
POLL_S = 0.002
START_S = 30
REQUESTS = 300

# An empty text: compiled modules are kept, as in an installation.
ENVIRONMENT = {"PYTHONDONTWRITEBYTECODE": ""}

BARE = """
def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]


def make_wsgi(global_conf):
    return wsgi


def make_pyramid(global_conf):
    from pyramid.config import Configurator
    from pyramid.response import Response

    config = Configurator()
    config.add_route("page", "/")
    config.add_view(lambda request: Response("ok"), route_name="page")
    return config.make_wsgi_app()
"""

INI = """
[app:wsgi]
paste.app_factory = bare:make_wsgi

[app:pyramid]
paste.app_factory = bare:make_pyramid

[app:hello]
use = egg:factored#hello

[app:proxy]
use = egg:factored#simpleproxy
server = 127.0.0.1
port = 9

[filter-app:factored]
use = egg:factored#main
next = {next}
auth_tkt.secret_file = %(here)s/factored.secret
key_file = %(here)s/factored.key
sqlalchemy.url = {url}

[app:main]
use = {app}

[server:main]
{server}
"""


class Case(NamedTuple):
    """One app under one server.

    :param app: section of :data:`INI`
    :param kind: of :data:`benchmarks.servers.SERVERS`
    :param database: "" for SQLite
    """

    app: str
    kind: str
    next: str = "hello"
    database: str = ""

    @property
    def name(self) -> str:
        said = {
            "wsgi": "bare WSGI app", "pyramid": "bare Pyramid app", "hello": "factored#hello",
            "factored": "factored, WSGI site" if self.next == "hello" else "factored, simpleproxy",
        }[self.app]  # fmt: skip
        return f"{SERVERS[self.kind][1]}: {said}{', PostgreSQL' if self.database else ''}"


class Found(NamedTuple):
    """What one start showed: seconds, and (RSS, PSS, USS) in MB."""

    first_s: float
    login_page_s: float
    fresh: tuple[float, float, float]
    used: tuple[float, float, float]


def cases(database: str, *, few: bool) -> list[Case]:
    """url of a PostgreSQL database, or "" -> what is measured; each server's first row is bare"""
    if few:
        return [
            Case("pyramid", "waitress"), Case("factored", "waitress"),
            Case("pyramid", "gunicorn"), Case("factored", "gunicorn", "proxy"),
        ]  # fmt: skip
    found = [
        Case("pyramid", "waitress"), Case("wsgi", "waitress"), Case("hello", "waitress"),
        Case("factored", "waitress"), Case("factored", "waitress", "proxy"),
        Case("pyramid", "gunicorn"), Case("factored", "gunicorn"),
        Case("factored", "gunicorn", "proxy"),
    ]  # fmt: skip
    return [*found, *([Case("factored", "gunicorn", database=database)] if database else [])]


def server_of(folder: Path, case: Case) -> Server:
    """folder, case -> its server, not started; nodes of one database share the key files"""
    port = free_port()
    section, command = SERVERS[case.kind]
    url = case.database or "sqlite:///%(here)s/factored.sqlite"
    server = section.format(port=port)
    ini = folder / f"{port}.ini"
    ini.write_text(INI.format(app=case.app, next=case.next, url=url, server=server))
    return Server(
        [str(BIN / command), str(ini)], port, folder / str(port),
        environment={**ENVIRONMENT, "PYTHONPATH": str(folder)},
    )  # fmt: skip


def prepare(folder: Path, made: dict[Case, Server]) -> None:
    """folder, cases -> None; key files and databases are there, and the modules are compiled"""
    (folder / "bare.py").write_text(BARE)
    inis = {case.database: server.argv[1] for case, server in made.items()}
    for ini in inis.values():
        argv = [str(BIN / "factored"), "init", f"{ini}#factored"]
        subprocess.run(argv, check=True, capture_output=True, env=os.environ | ENVIRONMENT)


def asked(connection: http.client.HTTPConnection, path: str, status: int) -> None:
    connection.request("GET", path, headers={"Accept": "text/html"})
    answer = connection.getresponse()
    answer.read()
    assert answer.status == status, (path, answer.status)


def memory_mb(pid: int) -> tuple[float, float, float]:
    """process id -> RSS, PSS and USS"""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    kib = {name: int(size) for name, size in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}
    uss = kib["Private_Clean"] + kib["Private_Dirty"]
    return kib["Rss"] * 1024 / 1e6, kib["Pss"] * 1024 / 1e6, uss * 1024 / 1e6


def started(case: Case, server: Server) -> Found:
    """case, its server -> what one start showed; it has ended again"""
    gated = case.app == "factored"
    began = time.perf_counter()
    process = server.launch()
    try:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=START_S)
        while True:
            assert time.perf_counter() - began < START_S, server.tail()
            with contextlib.suppress(ConnectionRefusedError):
                asked(connection, "/", 302 if gated else 200)
                break
            connection.close()
            time.sleep(POLL_S)
        first_s = time.perf_counter() - began
        worker = next(iter(server.workers()), process.pid)
        fresh = memory_mb(worker)
        if gated:
            asked(connection, "/auth/ga", 200)
        login_page_s = time.perf_counter() - began
        for _ in range(REQUESTS):
            asked(connection, "/auth/ga" if gated else "/", 200)
        connection.close()
        return Found(first_s, login_page_s, fresh, memory_mb(worker))
    finally:
        server.stop()


def servers(folder: Path, rounds: int) -> list[Table]:
    """folder, how often each starts -> tables of starts and of memory"""
    few = rounds == 1
    with contextlib.ExitStack() as ends:
        database = "" if few else ends.enter_context(postgresql_url())
        made = {case: server_of(folder, case) for case in cases(database, few=few)}
        prepare(folder, made)
        found: dict[Case, list[Found]] = {case: [] for case in made}
        for _ in range(rounds):
            for case, server in made.items():
                found[case].append(started(case, server))

    def row(case: Case, part: str) -> Row:
        rss, pss, uss = zip(*(getattr(one, part) for one in found[case]), strict=True)
        return Row(case.name, rss, {"PSS": statistics.median(pss), "USS": statistics.median(uss)})

    return [
        Table(
            "From the start to the first answer",
            "s",
            [Row(case.name, [one.first_s for one in each]) for case, each in found.items()],
        ),
        Table(
            "From the start to the first answer and the first login page",
            "s",
            [
                Row(case.name, [one.login_page_s for one in each])
                for case, each in found.items()
                if case.app in ("factored", "pyramid")
            ],
        ),
        *(
            Table(f"RSS of a worker, {when}", "MB", [row(case, part) for case in found])
            for when, part in (
                ("right after its first answer", "fresh"),
                (f"after {REQUESTS} pages", "used"),
            )
        ),
    ]


# -- imports and commands -------------------------------------------------------------------------


def import_ms(module: str) -> float:
    """module -> milliseconds that a fresh Python takes for it and for all that it imports"""
    argv = [sys.executable, "-X", "importtime", "-c", f"import {module}"]
    done = subprocess.run(
        argv, capture_output=True, text=True, check=True, env=os.environ | ENVIRONMENT
    )
    (us,) = re.findall(rf"\| +(\d+) \| {re.escape(module)}$", done.stderr, re.MULTILINE)
    return int(us) / 1000


def command_s(*argv: str) -> float:
    began = time.perf_counter()
    subprocess.run(argv, check=True, capture_output=True, env=os.environ | ENVIRONMENT)
    return time.perf_counter() - began


def fresh_processes(rounds: int) -> list[Table]:
    """-> tables of import times and of commands"""
    modules = ("pyramid.config", "sqlalchemy", "factored.app")
    factored = str(BIN / "factored")
    commands = {
        "python -c pass": (sys.executable, "-c", "pass"),
        "pserve --help": (str(BIN / "pserve"), "--help"),
        "alembic --help": (str(BIN / "alembic"), "--help"),
        "factored --version": (factored, "--version"),
        "factored --help": (factored, "--help"),
    }
    imports: dict[str, list[float]] = {module: [] for module in modules}
    whole: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for module in modules:
            imports[module].append(import_ms(module))
        for name, argv in commands.items():
            whole[name].append(command_s(*argv))
    return [
        Table("Import in a fresh process", "ms", [Row(*one) for one in imports.items()]),
        Table("A command from start to end", "s", [Row(*one) for one in whole.items()]),
    ]


def measure(effort: Effort) -> list[Table]:
    """-> tables: starts, memory, imports, commands"""
    rounds, processes = {"quick": (1, 1), "normal": (4, 4), "full": (15, 15)}[effort]
    with tempfile.TemporaryDirectory() as folder:
        return [*servers(Path(folder), rounds), *fresh_processes(processes)]
