"""What the gate takes of a server's requests: a WSGI app under waitress and gunicorn.

Run by ``make bench``; needs wrk. Each round asks every case for some seconds, one after another, so
that a machine that is busy for a moment is unfair to none. Requests a second and the latency of the
median and the slowest hundredth: medians of the rounds. ``kept`` is the share of the bare app's
requests a second in the same round, its median and range.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from factored.auth_tkt import TicketFormat
from factored.codes import new_id
from factored.interfaces import Ticket
from tests.peers.servers import Server, free_port

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
    """What wrk said: requests a second, latencies in ms."""

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
    per_s = re.search(r"Requests/sec:\s+([\d.]+)", done)
    said = {
        share: float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]
        for share, number, unit in re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s)\b", done)
    }
    assert per_s is not None
    return Asked(float(per_s[1]), said["50"], said["99"])


def a_ticket(folder: Path) -> str:
    """folder of an installation -> a Cookie header with a good ticket"""
    secret = (folder / "factored.secret").read_text().split()[0]
    form = TicketFormat(lambda: (secret,), hashalg="sha512", schemes=["ga"])
    now_s = int(time.time())
    ticket = Ticket("al@example.com", "ga", now_s, now_s, 7200, False, new_id(), new_id())
    return f"theme=dark; auth_tkt={form.issue(ticket)}"


def measure(folder: Path, rounds: int, seconds: int) -> dict[str, dict[bool, list[Asked]]]:
    """-> kind of server -> with the gate or without -> what each round gave"""
    found: dict[str, dict[bool, list[Asked]]] = {}
    ini = folder / "init.ini"
    ini.write_text(INI.format(app="gated", server=SERVERS["waitress"][0].format(port=0)))
    subprocess.run([str(BIN / "factored"), "init", str(ini)], check=True, capture_output=True)
    cookie = a_ticket(folder)
    with contextlib.ExitStack() as ends:
        ports = {}
        for kind in SERVERS:
            for gated in (False, True):
                server = server_of(folder, kind, gated=gated).start()
                ends.callback(server.stop)
                ports[kind, gated] = server.port
        for (kind, gated), port in ports.items():
            found.setdefault(kind, {})[gated] = []
            ask(port, cookie, 1)
        for number in range(rounds):
            # In turns, so that neither is always the first.
            order = list(ports.items())[:: 1 if number % 2 else -1]
            for (kind, gated), port in order:
                found[kind][gated].append(ask(port, cookie, seconds))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed (Debian: apt install wrk)")
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), args.rounds, args.seconds)
    table = {}
    for kind, both in found.items():
        shares = [
            gate.per_s / bare.per_s for bare, gate in zip(both[False], both[True], strict=True)
        ]
        for gated, asked in both.items():
            row = {key: statistics.median(getattr(one, key) for one in asked)
                   for key in Asked._fields}  # fmt: skip
            if gated:
                row |= {
                    "kept": statistics.median(shares),
                    "least": min(shares),
                    "most": max(shares),
                }
            table[f"{kind}, {'gate' if gated else 'bare'}"] = row
    if args.json:
        print(json.dumps(table))
        return
    print(f"{'':<18} {'requests/s':>10} {'median':>9} {'99 %':>9}   kept")
    for name, row in table.items():
        kept = "{kept:.1%} ({least:.1%} - {most:.1%})".format(**row) if "kept" in row else ""
        print(
            f"{name:<18} {row['per_s']:>10.0f} {row['median_ms']:>6.2f} ms "
            f"{row['slow_ms']:>6.2f} ms   {kept}"
        )


if __name__ == "__main__":
    main()
