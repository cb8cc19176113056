"""A gunicorn configuration: the worker is killed, once, where the file ``die-at`` says."""

from __future__ import annotations

import functools
import os
import signal
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from factored.services.login import Login
from factored.store.attempts import SqlAttemptStore
from factored.store.challenges import SqlChallengeStore
from factored.store.devices import SqlTicketStore
from factored.store.sql import SqlUserStore

WRITING = {
    "INSERT INTO factored_attempts ": "counting",
    "UPDATE factored_authenticators SET last_used_at": "using the code",
    "UPDATE factored_authenticators SET last_step": "using the code",
    "UPDATE factored_challenges SET used_at": "using the code",
    "INSERT INTO factored_tickets ": "storing the login",
}
"""How a statement begins that was executed, and not committed yet."""


def die_at(point: str) -> None:
    flag = Path("die-at")
    if flag.exists() and flag.read_text() == point:
        flag.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def dies_after(owner: type, name: str, point: str) -> None:
    real = getattr(owner, name)

    @functools.wraps(real)
    def call(*what: Any, **more: Any) -> Any:
        found = real(*what, **more)
        die_at(point)
        return found

    setattr(owner, name, call)


dies_after(SqlAttemptStore, "count", "counted")
dies_after(SqlUserStore, "accept_step", "code used")
dies_after(SqlChallengeStore, "answer", "code used")
dies_after(SqlTicketStore, "add_login", "login stored")
dies_after(Login, "attempt", "ticket made")


@event.listens_for(Engine, "after_cursor_execute")
def executed(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
    for beginning, point in WRITING.items():
        if statement.startswith(beginning):
            die_at(point)
