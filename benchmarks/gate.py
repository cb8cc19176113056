"""What the gate costs for each request, beside what it cannot be quicker than.

All cases are measured in turns within one run, so that a machine that is busy for a moment is
unfair to none. The making of the environ is included.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from pyramid.authentication import AuthTktCookieHelper
from pyramid.request import Request

from benchmarks.report import Effort, Row, Table
from factored import app as composition
from factored.auth_tkt import TicketFormat
from factored.codes import new_id
from factored.interfaces import Ticket
from tests.support import write_ini

NEEDS: dict[str, str] = {}

SECRET = "a-ticket-secret-for-benchmarks-0123456789"
USER = "al@example.com"
PER_ROUND = 200
MEMORY = 16384
"""Tickets in turn: more than the gate remembers, so that each is verified anew."""


def downstream(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]


def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
    start_response.status = status  # type: ignore[attr-defined]


def environ_of(path: str = "/page", cookie: str = "") -> dict[str, Any]:
    """-> the environ that a server makes of a browser's request"""
    environ = {
        "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": "a=1&b=2",
        "REQUEST_URI": f"{path}?a=1&b=2", "SERVER_NAME": "localhost", "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "192.0.2.1", "wsgi.url_scheme": "http",
        "HTTP_HOST": "www.example.com", "HTTP_ACCEPT": "text/html,*/*;q=0.8",
        "HTTP_ACCEPT_LANGUAGE": "en", "HTTP_USER_AGENT": "benchmark", "HTTP_CONNECTION": "close",
    }  # fmt: skip
    if cookie:
        environ["HTTP_COOKIE"] = cookie
    return environ


def make_gate(folder: Path) -> tuple[Any, str]:
    """folder -> a gate before the bare downstream, and the ticket series of its one user"""
    given = {
        "auth_tkt.secret": SECRET, "key_file": str(folder / "key"), "excepted_paths": "/open",
        "sqlalchemy.url": f"sqlite:///{folder / 'db.sqlite'}",
    }  # fmt: skip
    ini = write_ini(folder, given)
    command = [str(Path(sys.executable).with_name("factored")), "init", str(ini)]
    subprocess.run(command, check=True, capture_output=True)
    return composition.build(given, downstream), new_id()


def tickets(series: str) -> Iterator[str]:
    """-> cookie headers with good tickets, each another one"""
    form = TicketFormat(lambda: (SECRET,), hashalg="sha512", schemes=["ga"])
    while True:
        now_s = int(time.time())
        ticket = Ticket(USER, "ga", now_s, now_s, 7200, False, new_id(), series)
        yield f"theme=dark; auth_tkt={form.issue(ticket)}; lang=en"


def cases(gate: Any, series: str) -> dict[str, tuple[Callable[[str], str], list[str], str]]:
    """-> name of the case: (what is called with a cookie header, the headers, what comes back)"""
    several = [header for header, _ in zip(tickets(series), range(MEMORY), strict=False)]
    good = several[0].split("; ")[1].partition("=")[2]
    # Well made but for the digest, as many as fit: each has to be verified to be refused.
    forged = "; ".join(f"auth_tkt={number:04x}{good[4:]}" for number in range(8192 // len(good)))
    hostile = forged[:8192]
    plain = good.encode()
    secret = SECRET.encode()
    helper = AuthTktCookieHelper(SECRET, hashalg="sha512", timeout=7200)
    request = Request(environ_of())
    (_, remembered), *_ = helper.remember(request, USER)
    pyramid = f"theme=dark; {remembered.partition(';')[0]}; lang=en"

    def through(app: Any, path: str = "/page") -> Callable[[str], str]:
        def call(cookie: str) -> str:
            b"".join(app(environ_of(path, cookie), start_response))
            return str(start_response.status[:3])  # type: ignore[attr-defined]

        return call

    def digests(cookie: str) -> str:
        inner = hashlib.sha512(plain[:100] + secret).hexdigest()
        return str(len(hashlib.sha512(inner.encode() + secret).hexdigest()))

    def identify(cookie: str) -> str:
        return str(helper.identify(Request(environ_of("/page", cookie)))["userid"])

    return {
        "bare downstream": (through(downstream), several[:1], "200"),
        "two SHA-512 digests": (digests, several[:1], "128"),
        "exempt path": (through(gate, "/open"), [""], "200"),
        "ticket seen before": (through(gate), several[:1], "200"),
        "ticket, first time": (through(gate), several, "200"),
        "anonymous, redirected": (through(gate), [""], "302"),
        "hostile cookie, 8 KiB": (through(gate), [hostile], "302"),
        "/verify, seen before": (through(gate, "/auth/verify"), several[:1], "200"),
        "/verify, anonymous": (through(gate, "/auth/verify"), [""], "401"),
        "Pyramid's identify": (identify, [pyramid], USER),
    }


def timed(found: dict[str, Any], rounds: int) -> dict[str, list[float]]:
    """cases -> microseconds for one request in each round"""
    spent: dict[str, list[float]] = {name: [] for name in found}
    places = dict.fromkeys(found, 0)
    for name, (call, headers, expected) in found.items():
        assert call(headers[0]) == expected, name
    for _ in range(rounds):
        for name, (call, headers, _) in found.items():
            place = places[name]
            # Each a text of its own, as a server makes it: of the same one Python knows the hash.
            batch = [
                "".join([header[:-1], header[-1:]])
                for header in (
                    headers[(place + number) % len(headers)] for number in range(PER_ROUND)
                )
            ]
            places[name] = (place + PER_ROUND) % len(headers)
            began = time.perf_counter_ns()
            for header in batch:
                call(header)
            spent[name].append((time.perf_counter_ns() - began) / 1000 / PER_ROUND)
    return spent


def measure(effort: Effort) -> list[Table]:
    """-> one table: microseconds for one request"""
    rounds = {"quick": 30, "normal": 200, "full": 1000}[effort]
    with tempfile.TemporaryDirectory() as folder:
        gate, series = make_gate(Path(folder))
        spent = timed(cases(gate, series), rounds)
        gate.close()
    rows = [Row(name, times) for name, times in spent.items()]
    return [Table("One request, in this process", "us", rows)]
