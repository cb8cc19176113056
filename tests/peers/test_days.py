"""The days of tests/functional/days.py on PostgreSQL; ``FACTORED_FULL=1`` makes it four of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from tests.functional.days import Days, make_days
from tests.support import Site

from .databases import DatabaseServer
from .servers import FULL


def connections(server: DatabaseServer, days: Days) -> int:
    """-> how many connections the server itself counts to the database of the site"""
    engine = sa.create_engine(server.url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        counted = sa.text("SELECT count(*) FROM pg_stat_activity WHERE datname = :name")
        given = {"name": days.engine.url.database}
        return int(connection.execute(counted, given).scalar_one())


def test_nothing_grows_on_postgresql(
    make_site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch, postgresql: DatabaseServer
) -> None:
    url = postgresql.new_database()
    days = make_days(make_site, monkeypatch, rate=1, people=3, sqlalchemy__url=url)
    held = []
    for _ in range(4 if FULL else 1):
        days.a_day()  # and at each step of it, all is bounded by what is live
        held.append((days.held().files, connections(postgresql, days)))
    assert held == [held[0]] * len(held)
    assert held[0][1] <= 3
    assert not FULL or days.guesses() == days.most_guesses
