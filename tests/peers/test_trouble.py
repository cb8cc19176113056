"""A database that is locked, full or read-only: nobody gets in, nothing is spent, guests go on."""

from __future__ import annotations

import contextlib
import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
import sqlalchemy as sa

from tests.support import at_once

from .client import code, visitor
from .databases import DatabaseServer
from .servers import Front, Nginx, gate_on

Trouble = Callable[[Front], AbstractContextManager[None]]


@contextlib.contextmanager
def locked(front: Front) -> Iterator[None]:
    """Somebody else writes, and does not come to an end."""
    path = front.installation.folder / "factored.sqlite"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextlib.contextmanager
def full(front: Front) -> Iterator[None]:
    """No process of the server can write beyond the first bytes of a file, as on a full disk."""
    server = front.server
    assert server.process is not None
    pids = server.workers() or [server.process.pid]
    for pid in pids:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (16384, resource.RLIM_INFINITY))
    yield
    for pid in pids:
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)


def is_over_without_harm(front: Front, trouble: Trouble) -> None:
    user, inside, outside = front.add_user(), visitor(front), visitor(front)
    inside.sign_in(user)
    next_code = code(user.secret, 1)
    with trouble(front):
        for _ in range(3):
            assert inside.signed_in()
        # All at once, as each of them waits for as long as may be waited.
        tries = [(outside, user.name, next_code), (visitor(front), user.name, "000000")]
        tries += [(visitor(front), "nobody", "000000")]
        for answer in at_once(3, lambda one: tries[one][0].attempt(*tries[one][1:])):
            assert answer.status == 503
            assert answer.header("Retry-After")
        assert not any("auth_tkt" in browser.cookies for browser, *_ in tries)
        assert visitor(front).get("/").status == 302
    done = outside.attempt(user.name, next_code)
    assert done.status == 303, "the code was not spent"
    assert inside.signed_in()


@pytest.mark.parametrize("trouble", [locked, full])
@pytest.mark.parametrize("kind", ["waitress", "gunicorn"])
def test_a_sqlite_file_in_trouble(
    make_front: Callable[..., Front], nginx: Nginx, kind: str, trouble: Trouble
) -> None:
    is_over_without_harm(make_front(kind, nginx.port), trouble)


def test_a_postgresql_that_takes_no_writes(
    make_front: Callable[..., Front], nginx: Nginx, postgresql: DatabaseServer
) -> None:
    url = postgresql.new_database()
    name = sa.make_url(url).database

    @contextlib.contextmanager
    def read_only(front: Front) -> Iterator[None]:
        """As on a standby, or after an operator's hand."""
        server = sa.create_engine(
            postgresql.url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT"
        )
        with server.connect() as connection:
            for step in ("SET default_transaction_read_only = on", None, "RESET ALL"):
                if step is None:
                    yield
                    continue
                connection.execute(sa.text(f"ALTER DATABASE {name} {step}"))
                connection.execute(
                    sa.text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        f"WHERE datname = '{name}'"
                    )
                )

    is_over_without_harm(make_front("waitress", nginx.port, gate_on(url)), read_only)
