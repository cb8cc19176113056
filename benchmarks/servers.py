"""What the gate takes of a server's requests: a WSGI app under waitress and gunicorn.

Each round starts every server anew, as two starts of one differ more than what is looked for, and
asks each for some seconds, the gated one and the bare one by turns.
"""

from __future__ import annotations

import contextlib
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.report import Effort, Row, Table
from factored.auth_tkt import TicketFormat
from factored.codes import new_id
from factored.interfaces import Ticket
from tests.peers.servers import Server, free_port

NEEDS = {"wrk": "wrk"}

BIN = Path(sys.executable).parent
ROOT = Path(__file__).resolve().parents[1]
BODY = b"x" * 1024
CONNECTIONS = 8

SERVERS = {
    "waitress": ("use = egg:waitress#main\nlisten = 127.0.0.1:{port}\nthreads = 4", "pserve"),
    "gunicorn": (
        "use = egg:gunicorn#main\nbind = 127.0.0.1:{port}\nworkers = 1\n"
        "worker_class = gthread\nthreads = 4",
        "gunicorn_paste",
    ),
}

INI = """
[app:page]
paste.app_factory = benchmarks.servers:make_page

[filter-app:gated]
use = egg:factored#main
next = page
auth_tkt.secret_file = %(here)s/factored.secret
key_file = %(here)s/factored.key
sqlalchemy.url = sqlite:///%(here)s/factored.sqlite

[app:main]
use = {app}

[server:main]
{server}
"""


def make_page(global_conf: Mapping[str, str], **local_conf: str) -> Any:
    """``paste.app_factory``: 1 KiB of text"""

    def page(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))]
        start_response("200 OK", headers)
        return [BODY]

    return page


class Asked(NamedTuple):
    """What wrk said: requests, how many a second, latencies in ms."""

    requests: float
    per_s: float
    median_ms: float
    slow_ms: float


def server_of(folder: Path, kind: str, *, gated: bool) -> Server:
    """folder, kind of server -> it, not started"""
    port = free_port()
    section, command = SERVERS[kind]
    ini = folder / f"{kind}-{gated}.ini"
    app = "gated" if gated else "page"
    ini.write_text(INI.format(app=app, server=section.format(port=port)))
    return Server(
        [str(BIN / command), str(ini)], port, folder / f"{kind}-{gated}",
        ready_path=None, environment={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def ask(port: int, cookie: str, seconds: int) -> Asked:
    """port, Cookie header, how long -> what wrk measured; every answer must be the page"""
    done = subprocess.run(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-H", f"Cookie: {cookie}",
         f"http://127.0.0.1:{port}/page"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    if "Non-2xx" in done or "Socket errors" in done:
        raise SystemExit(done)
    requests = re.search(r"(\d+) requests in ", done)
    per_s = re.search(r"Requests/sec:\s+([\d.]+)", done)
    said = {
        share: float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]
        for share, number, unit in re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s)\b", done)
    }
    assert requests is not None
    assert per_s is not None
    return Asked(float(requests[1]), float(per_s[1]), said["50"], said["99"])


def a_ticket(folder: Path) -> str:
    """folder of an installation -> a Cookie header with a good ticket"""
    secret = (folder / "factored.secret").read_text().split()[0]
    form = TicketFormat(lambda: (secret,), hashalg="sha512", schemes=["ga"])
    now_s = int(time.time())
    ticket = Ticket("al@example.com", "ga", now_s, now_s, 7200, False, new_id(), new_id())
    return f"theme=dark; auth_tkt={form.issue(ticket)}"


def a_round(folder: Path, kind: str, cookie: str, seconds: int) -> dict[bool, Asked]:
    """kind of server -> with the gate or without -> what was measured; both run side by side"""
    found: dict[bool, list[Asked]] = {False: [], True: []}
    with contextlib.ExitStack() as ends:
        servers = {gated: server_of(folder, kind, gated=gated) for gated in found}
        for server in servers.values():
            ends.callback(server.start().stop)
        for server in servers.values():
            ask(server.port, cookie, 1)
        for gated in (False, True, True, False):
            found[gated].append(ask(servers[gated].port, cookie, seconds))
    return {
        gated: Asked(*(statistics.mean(figures) for figures in zip(*both, strict=True)))
        for gated, both in found.items()
    }


def measure(effort: Effort) -> list[Table]:
    """-> for each kind of server a table of requests a second, and one of latencies"""
    rounds, seconds = {"quick": (1, 1), "normal": (5, 2), "full": (15, 3)}[effort]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ini = folder / "init.ini"
        ini.write_text(INI.format(app="gated", server=SERVERS["waitress"][0].format(port=0)))
        subprocess.run([str(BIN / "factored"), "init", str(ini)], check=True, capture_output=True)
        cookie = a_ticket(folder)
        found = {
            kind: [a_round(folder, kind, cookie, seconds) for _ in range(rounds)]
            for kind in SERVERS
        }
    tables = []
    for kind, each in found.items():
        for title, unit, field in (
            (f"1 KiB page under {kind}", "requests/s", "per_s"),
            (f"Latency under {kind}, median", "ms", "median_ms"),
            (f"Latency under {kind}, slowest hundredth", "ms", "slow_ms"),
        ):
            rows = [
                Row(label, [getattr(one[gated], field) for one in each])
                for gated, label in ((False, "bare app"), (True, "with the gate"))
            ]
            tables.append(Table(title, unit, rows))
    return tables
