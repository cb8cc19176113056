"""What the gate takes of a server's requests: a WSGI app under waitress and gunicorn.

One process serves the app at ``/bare``, and again behind the gate, and is asked for both by turns:
two processes of one program differ by more than what is looked for. Each round starts it anew.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.report import Effort, Row, Table
from benchmarks.wrk import Asked, ask
from factored.app import filter_app_factory
from factored.auth_tkt import TicketFormat
from factored.codes import new_id
from factored.interfaces import Ticket
from tests.peers.servers import Server, free_port

NEEDS = {"wrk": "wrk"}

BIN = Path(sys.executable).parent
ROOT = Path(__file__).resolve().parents[1]
BODY = b"x" * 1024
PATHS = {"/bare": "bare app", "/page": "with the gate"}

SERVERS = {
    "waitress": ("use = egg:waitress#main\nlisten = 127.0.0.1:{port}\nthreads = 4", "pserve"),
    "gunicorn": (
        "use = egg:gunicorn#main\nbind = 127.0.0.1:{port}\nworkers = 1\n"
        "worker_class = gthread\nthreads = 4",
        "gunicorn_paste",
    ),
}

INI = """
[app:main]
paste.app_factory = benchmarks.servers:make_both
auth_tkt.secret_file = %(here)s/factored.secret
key_file = %(here)s/factored.key
sqlalchemy.url = sqlite:///%(here)s/factored.sqlite

[server:main]
{server}
"""

INIT = """
[app:main]
use = egg:factored#main
auth_tkt.secret_file = %(here)s/factored.secret
key_file = %(here)s/factored.key
sqlalchemy.url = sqlite:///%(here)s/factored.sqlite
"""


def page(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))]
    start_response("200 OK", headers)
    return [BODY]


def make_both(global_conf: Mapping[str, str], **local_conf: str) -> Any:
    """``paste.app_factory``: the page, at ``/bare`` as it is and elsewhere behind the gate"""
    gated = filter_app_factory(page, global_conf, **local_conf)

    def both(environ: dict[str, Any], start_response: Any) -> Any:
        app = page if environ["PATH_INFO"] == "/bare" else gated
        return app(environ, start_response)

    return both


def server_of(folder: Path, kind: str) -> Server:
    """folder, kind of server -> it, not started"""
    port = free_port()
    section, command = SERVERS[kind]
    ini = folder / f"{kind}.ini"
    ini.write_text(INI.format(server=section.format(port=port)))
    return Server(
        [str(BIN / command), str(ini)], port, folder / kind,
        ready_path=None, environment={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def a_ticket(folder: Path) -> str:
    """folder of an installation -> a Cookie header with a good ticket"""
    secret = (folder / "factored.secret").read_text().split()[0]
    form = TicketFormat(lambda: (secret,), hashalg="sha512", schemes=["ga"])
    now_s = int(time.time())
    ticket = Ticket("al@example.com", "ga", now_s, now_s, 7200, False, new_id(), new_id())
    return f"theme=dark; auth_tkt={form.issue(ticket)}"


def a_round(folder: Path, kind: str, cookie: str, turns: int) -> dict[str, Asked]:
    """kind of server -> path -> what was measured, the mean of the turns of a second each"""
    found: dict[str, list[Asked]] = {path: [] for path in PATHS}
    server = server_of(folder, kind).start()
    try:
        for path in PATHS:
            ask(server.port, path, cookie, 1)
        for turn in range(turns):
            for path in list(PATHS)[:: 1 if turn % 2 else -1]:
                found[path].append(ask(server.port, path, cookie, 1))
    finally:
        server.stop()
    return {
        path: Asked(*(statistics.mean(figures) for figures in zip(*asked, strict=True)))
        for path, asked in found.items()
    }


def measure(effort: Effort) -> list[Table]:
    """-> for each kind of server a table of requests a second, and one of latencies"""
    rounds, turns = {"quick": (1, 1), "normal": (3, 3), "full": (12, 6)}[effort]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ini = folder / "init.ini"
        ini.write_text(INIT)
        subprocess.run([str(BIN / "factored"), "init", str(ini)], check=True, capture_output=True)
        cookie = a_ticket(folder)
        found = {
            kind: [a_round(folder, kind, cookie, turns) for _ in range(rounds)]
            for kind in list(SERVERS)[: 1 if effort == "quick" else None]
        }
    tables = []
    for kind, each in found.items():
        for title, unit, field in (
            (f"1 KiB page under {kind}", "requests/s", "per_s"),
            ("The same, latency of the median", "ms", "median_ms"),
            ("The same, latency of the slowest hundredth", "ms", "slow_ms"),
        ):
            rows = [
                Row(label, [getattr(one[path], field) for one in each])
                for path, label in PATHS.items()
            ]
            tables.append(Table(title, unit, rows))
    return tables
