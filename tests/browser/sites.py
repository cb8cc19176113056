"""A real site for the browser: waitress on loopback, SQLite, a mail server, and the real clock."""

from __future__ import annotations

import contextlib
import datetime
import http.client
import io
import json
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

from waitress.server import create_server

from factored.clock import SystemClock
from tests.peers.letterbox import Letterbox
from tests.peers.servers import free_port, program
from tests.support import build_gate, factored, settings_for, write_ini

STEP_S = 30


class MovedClock:
    """Real time; a test may move it on instead of waiting."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now_s(self) -> float:
        return time.time() + self.ahead_s

    def monotonic_s(self) -> float:
        return time.monotonic() + self.ahead_s

    def advance(self, seconds: float) -> None:
        self.ahead_s += seconds


@contextmanager
def serving(app: Any, port: int) -> Iterator[str]:
    """WSGI app, port -> its origin, while waitress serves it"""
    server = create_server(app, host="127.0.0.1", port=port, threads=4, asyncore_loop_timeout=0.05)
    ends = threading.Event()

    def run() -> None:
        while not ends.is_set():
            server.asyncore.loop(timeout=0.05, map=server._map, count=1)

    thread = threading.Thread(target=run, name="waitress")
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        ends.set()
        thread.join()
        server.task_dispatcher.shutdown()
        server.asyncore.close_all(server._map)


@dataclass
class ServedSite:
    """factored in front of its demo site, and its operator's commands."""

    origin: str
    folder: Path
    ini: Path
    clock: MovedClock
    mails: Letterbox
    _users: int = 0

    def command(self, *words: str) -> Any:
        """``user unlock`` and options -> what it prints with --json, by the site's clock"""
        verbs = [word for word in words if not word.startswith("-")]
        options = [word for word in words if word.startswith("-")]
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.object(SystemClock, "now_s", self.clock.now_s),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            status = factored(*verbs, str(self.ini), *options, "--json")
        assert status == 0, err.getvalue()
        return json.loads(out.getvalue())

    def add_user(self, name: str = "") -> tuple[str, str]:
        """-> the name of a new user, and the TOTP secret"""
        self._users += 1
        name = name or f"user{self._users}@example.com"
        made = self.command("user", "add", f"--username={name}")
        return made["username"], made["secret"]

    def code(self, secret: str) -> str:
        """base32 secret -> what an app shows now, as oathtool says"""
        now = datetime.datetime.fromtimestamp(self.clock.now_s(), datetime.timezone.utc)
        moment = f"--now={now:%Y-%m-%d %H:%M:%S UTC}"
        argv = [program("oathtool"), "--totp", "--base32", moment, secret]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()

    def status(self, path: str) -> int:
        """path -> how it answers to somebody without a cookie"""
        connection = http.client.HTTPConnection(urlsplit(self.origin).netloc, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path)
            return connection.getresponse().status

    def next_step(self) -> None:
        """-> None; the app shows the next code, as each is good once"""
        self.clock.advance(STEP_S)


@contextmanager
def served_site(folder: Path, like: Path | None = None, **changed: str) -> Iterator[ServedSite]:
    """empty folder, settings (``__`` for a dot) -> a site with both schemes, running

    :param like: a folder with what ``factored init`` made, to save the time
    """
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    mails = Letterbox()
    given = settings_for(
        folder,
        **{
            "appname": "Example site",
            "supported_auth_schemes": "Google Auth\nEmail",
            "public_url": origin,
            "email_auth.sender": "site@example.com",
            "email_auth.body": "Your code is {code}, or press the button at {url}",
            "allowgooglecodereminder": "true",
            "allowgooglecodereminder.sender": "site@example.com",
            "mail.host": "127.0.0.1",
            "mail.port": str(mails.port),
            "mail.tls": "false",
        }
        | changed,
    )
    ini = write_ini(folder, given)
    if like is None:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            assert factored("init", str(ini)) == 0
    else:
        shutil.copy2(like / "factored.key", folder)
        with (
            contextlib.closing(sqlite3.connect(like / "factored.sqlite")) as source,
            contextlib.closing(sqlite3.connect(folder / "factored.sqlite")) as target,
        ):
            source.backup(target)
    clock = MovedClock()
    with contextlib.ExitStack() as ending:
        ending.callback(mails.stop)
        gate = build_gate(given, clock)  # type: ignore[arg-type]  # it moves as FixedClock does
        ending.callback(gate.close)
        ending.enter_context(serving(gate, port))
        yield ServedSite(origin, folder, ini, clock, mails)
