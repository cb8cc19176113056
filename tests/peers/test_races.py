"""What works once is accepted once, and a limit is a limit, however many race over two processes.

``FACTORED_FULL=1`` makes it 10,000 races of each kind, on MariaDB too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from factored.store.bundle import SqlStores
from tests.contract.test_stores import sql_stores

from .racers import COUNTED, ONCE, race_of, racers
from .servers import FULL

RACES = 10_000 if FULL else 150
RACERS = 2
"""Threads of each of the two processes that race for one thing."""
AT_ONCE = 100
"""Threads of each of the two processes that guess."""


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"] if FULL else ["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, new_database: Callable[[str], str]) -> str:
    """URL of a database that is empty, of each kind."""
    return new_database(request.param)


@pytest.fixture
def stores(database_url: str) -> Iterator[SqlStores]:
    made = sql_stores(database_url)
    yield made
    made.database.engine.dispose()


@pytest.mark.parametrize("kind", ONCE)
def test_what_works_once_is_accepted_once_in_every_race(
    stores: SqlStores, database_url: str, kind: str
) -> None:
    made = race_of(kind)(stores)
    with racers(database_url, kind, RACERS) as race:
        accepted = [race(made.prepare(number)) for number in range(RACES)]
    assert max(accepted) <= 1
    assert not made.always_one or min(accepted) == 1
    # Whoever comes alone gets it: the racers did not lose to anything but each other.
    assert made.attempt(made.prepare(RACES), 0)


@pytest.mark.parametrize("kind", COUNTED)
def test_200_at_once_over_two_processes_get_what_the_limit_allows_and_no_more(
    stores: SqlStores, database_url: str, kind: str
) -> None:
    made = race_of(kind)(stores)
    with racers(database_url, kind, AT_ONCE) as race:
        word = made.prepare(0)
        assert race(word) == COUNTED[kind][1]
        assert race(word) == 0
