"""A PostgreSQL server for benchmarks, where it is installed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.peers.databases import DatabaseServer, start_postgresql

POSTGRESQL = {"pg_ctlcluster": "postgresql"}
"""For NEEDS: program -> Debian package."""


@contextmanager
def postgresql() -> Iterator[DatabaseServer]:
    """-> a server of one's own, as tests have it: its files are not synced to the disk"""
    server = start_postgresql()
    try:
        yield server
    finally:
        server.remove()


@contextmanager
def postgresql_url() -> Iterator[str]:
    """-> url of an empty database, or "" where PostgreSQL is not installed"""
    with contextlib.ExitStack() as ends:
        there = any(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
        yield ends.enter_context(postgresql()).new_database() if there else ""
