"""A site that mails, the mail server that it hands mails to, and what a browser does there."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from webtest import TestResponse

from factored.interfaces import Mail
from tests.support import NAME, Browser, Site, code_in, token_of

DEADLINE_S = 10

NEW = "New@example.com"
"""Who has no account yet, and may have one."""


@dataclass
class Post:
    """Stands for the mail server: keeps what it gets, unless it is down or holds on."""

    error: Exception | None = None
    open: threading.Event = field(default_factory=threading.Event)
    mails: SimpleQueue[Mail] = field(default_factory=SimpleQueue)

    def send(self, mail: Mail) -> None:
        assert self.open.wait(DEADLINE_S)
        self.probe()
        self.mails.put(mail)

    def probe(self) -> None:
        if self.error is not None:
            raise self.error

    def next(self) -> Mail:
        return self.mails.get(timeout=DEADLINE_S)


@dataclass
class Mailed:
    """A site with Email, and what a browser does there."""

    site: Site
    post: Post

    def form(self, web: Browser, submit: str, name: str = NAME, **fields: str) -> TestResponse:
        form = {"csrf_token": token_of(web.get("/auth/em")), "username": name, **fields}
        return web.post("/auth/em", {**form, "submit": submit})

    def ask(self, web: Browser | None = None, name: str = NAME, **fields: str) -> TestResponse:
        return self.form(web or self.site.web, "username", name, **fields)

    def code(self, web: Browser | None = None, name: str = NAME) -> str:
        """-> the code that this browser asked for, as it stands in the mail"""
        answer = self.ask(web, name)
        assert answer.status_int == 200, answer
        return code_in(self.post.next())

    def enter(
        self, code: str, web: Browser | None = None, name: str = NAME, **fields: str
    ) -> TestResponse:
        return self.form(web or self.site.web, "authenticate", name, code=code, **fields)

    def users(self) -> list[str]:
        return self.site.command("user", "list").split()

    def execute(self, statement: str, *values: Any) -> None:
        with closing(self._connect()) as connection:
            assert connection.execute(statement, values).rowcount == 1

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with closing(self._connect()) as connection:
            return connection.execute(statement).fetchall()

    def _connect(self) -> sqlite3.Connection:
        path = self.site.given["sqlalchemy.url"].removeprefix("sqlite:///")
        return sqlite3.connect(path, isolation_level=None)

    def disable(self, name: str = NAME) -> None:
        self.execute("UPDATE factored_users SET disabled_at = 1 WHERE username = ?", name)


class Directory:
    """A finder: who may have an account, and under which address."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    def find(self, username: str) -> str | None:
        known = (one for one in self.addresses if one.casefold() == username.casefold())
        return next(known, None)


MakeMailed = Callable[..., Mailed]


def error_of(response: TestResponse) -> str:
    match = re.search(r'role="alert"[^>]*>([^<]*)<', response.text)
    return match[1] if match else ""
