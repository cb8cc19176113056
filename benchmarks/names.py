"""What the time of an answer tells about a name: known or not, locked, disabled, never enrolled.

All names are asked for in turns, in an order drawn anew for each round; known names get real mails,
through a mail server in a process of its own. ``differs`` is the mean less that of a name that
nobody has, with the same history, in ms; the promise is less than 5. ``p`` is the p-value of the
two-sample Kolmogorov-Smirnov test: how often chance alone would set two like samples so far apart.
``--full`` takes 1,000 samples.
"""

from __future__ import annotations

import contextlib
import math
import random
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from webtest import TestApp

from benchmarks.report import Effort, Row, Table
from factored import app as composition
from tests.support import write_ini

NEEDS: dict[str, str] = {}

KNOWN, UNKNOWN = "al@example.com", "xx@example.com"
LOCKED, NOBODY_LOCKED = "lo@example.com", "lx@example.com"
COMPARED = {
    "known": (KNOWN, UNKNOWN),
    "never enrolled": ("no@example.com", UNKNOWN),
    "no address": ("al.example.com", UNKNOWN),
    "disabled": ("of@example.com", UNKNOWN),
    "locked": (LOCKED, NOBODY_LOCKED),
    "another unknown": ("xy@example.com", UNKNOWN),
}
"""What the name is: (name, one that nobody has with the same history). The last shows the noise."""

USERS = (KNOWN, "no@example.com", "al.example.com", "of@example.com", LOCKED)
CODES = {"ga": "000000", "em": "0000-0000"}
STEPS = [("ga", "username"), ("ga", "authenticate"), ("em", "username"), ("em", "authenticate")]


@contextlib.contextmanager
def mail_server() -> Iterator[int]:
    """-> the port of a mail server that throws away what it gets"""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    argv = [sys.executable, "-m", "aiosmtpd", "-n", "-l", f"127.0.0.1:{port}"]
    process = subprocess.Popen([*argv, "-c", "aiosmtpd.handlers.Sink"])
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


class Door:
    """A site with users of all kinds, and one browser that knocks."""

    def __init__(self, folder: Path, mail_port: int) -> None:
        given = {
            "auth_tkt.secret": "a-ticket-secret-for-benchmarks-0123456789",
            "auth_tkt.secure": "false", "key_file": str(folder / "key"),
            "sqlalchemy.url": f"sqlite:///{folder / 'db.sqlite'}",
            "supported_auth_schemes": "Google Auth\nEmail", "mail.host": "127.0.0.1",
            "mail.port": str(mail_port), "email_auth.sender": "site@example.com",
        }  # fmt: skip
        ini = write_ini(folder, given)
        command = str(Path(sys.executable).with_name("factored"))
        subprocess.run([command, "init", str(ini)], check=True, capture_output=True)
        table = folder / "users.csv"
        table.write_text("\n".join(["username", *USERS]) + "\n")
        argv = [command, "user", "import", str(ini), str(table)]
        subprocess.run(argv, check=True, capture_output=True)
        self.database = sqlite3.connect(folder / "db.sqlite", isolation_level=None, timeout=30)
        self.database.execute(
            "DELETE FROM factored_authenticators WHERE user_id = "
            "(SELECT id FROM factored_users WHERE username = 'no@example.com')"
        )
        self.database.execute(
            "UPDATE factored_users SET disabled_at = 1 WHERE username = 'of@example.com'"
        )
        self.gate: Any = composition.build(given)
        self.web = TestApp(self.gate, lint=False)
        self.token = self.web.get("/auth/ga").form["csrf_token"].value
        self.kept: list[str] = []

    def press(self, address: str, name: str, path: str, submit: str) -> tuple[float, int]:
        """-> milliseconds that the answer took, and its status"""
        fields = {"username": name, "code": CODES[path], "submit": submit}
        body = urlencode({"csrf_token": self.token, **fields}).encode()
        cookie = "; ".join(f"{key}={value}" for key, value in self.web.cookies.items())
        request = self.web.RequestClass.blank(
            f"/auth/{path}", method="POST", body=body,
            environ={"REMOTE_ADDR": address, "HTTP_COOKIE": cookie},
        )  # fmt: skip
        request.content_type = "application/x-www-form-urlencoded"
        environ, statuses = request.environ, []
        began = time.perf_counter_ns()
        b"".join(self.gate(environ, lambda status, headers, exc_info=None: statuses.append(status)))
        return (time.perf_counter_ns() - began) / 1e6, int(statuses[0][:3])

    def lock(self, name: str) -> None:
        for path, button in (("ga", "username"), ("em", "username")):
            for stranger in range(2):
                address = f"10.0.0.{stranger}"
                self.press(address, name, path, button)
                for _ in range(5):
                    self.press(address, name, path, "authenticate")

    def keep_counts(self) -> None:
        """What was counted until now stays counted through :meth:`forget`, but for mails."""
        self.database.execute("DELETE FROM factored_attempts WHERE bucket LIKE '%:mail'")
        found = self.database.execute("SELECT DISTINCT attempt_id FROM factored_attempts")
        self.kept = [attempt_id for (attempt_id,) in found]

    def forget(self) -> None:
        marks = ",".join("?" * len(self.kept))
        self.database.execute(
            f"DELETE FROM factored_attempts WHERE attempt_id NOT IN ({marks})", self.kept
        )

    def close(self) -> None:
        self.gate.close()
        self.database.close()


def answers(door: Door, samples: int) -> dict[tuple[str, str, str], list[float]]:
    """-> (name, path, button): milliseconds of each answer"""
    names = sorted({name for pair in COMPARED.values() for name in pair})
    spent: dict[tuple[str, str, str], list[float]] = {}
    shuffle = random.Random(6).shuffle
    first = min(samples, 20)  # not counted: caches fill
    for number in range(first + samples):
        shuffle(names)
        for name in names:
            for path, submit in STEPS:
                took, status = door.press("192.0.2.1", name, path, submit)
                locked = submit == "authenticate" and name in (LOCKED, NOBODY_LOCKED)
                assert status == (429 if locked else 200), (name, path, submit, status)
                if number >= first:
                    spent.setdefault((name, path, submit), []).append(took)
        door.forget()
    return spent


def ks_p_value(one: list[float], other: list[float]) -> float:
    """two samples -> p-value of the two-sided Kolmogorov-Smirnov test, for large samples

    Source: Press et al., Numerical Recipes, 3rd ed., section 14.3.3.
    """
    ones, others = sorted(one), sorted(other)
    distance = max(
        abs(bisect_right(ones, at) / len(ones) - bisect_right(others, at) / len(others))
        for at in ones + others
    )
    size = math.sqrt(len(ones) * len(others) / (len(ones) + len(others)))
    scaled = (size + 0.12 + 0.11 / size) * distance
    if scaled < 0.3:  # the sum below converges too slowly there, and its value is 1
        return 1.0
    total = sum((-1.0) ** (k - 1) * math.exp(-2 * (k * scaled) ** 2) for k in range(1, 101))
    return min(1.0, max(0.0, 2 * total))


def of_page(path: str, submit: str, spent: dict[tuple[str, str, str], list[float]]) -> Table:
    """page, button, answers -> a row for each kind of name; the first is a name that nobody has"""
    rows = [Row("unknown", spent[UNKNOWN, path, submit])]
    for kind, names in COMPARED.items():
        one, other = (spent[name, path, submit] for name in names)
        differs = statistics.mean(one) - statistics.mean(other)
        rows.append(Row(kind, one, {"differs": differs, "p": ks_p_value(one, other)}))
    return Table(f"/auth/{path}, {submit}", "ms", rows)


def measure(effort: Effort) -> list[Table]:
    """-> a table for each page and button"""
    samples = {"quick": 10, "normal": 150, "full": 1000}[effort]
    with tempfile.TemporaryDirectory() as folder, mail_server() as port:
        door = Door(Path(folder), port)
        for name in (LOCKED, NOBODY_LOCKED):
            door.lock(name)
            door.keep_counts()
        door.forget()
        spent = answers(door, samples)
        door.close()
    return [of_page(path, submit, spent) for path, submit in STEPS]
