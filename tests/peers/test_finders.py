"""The finder SQL on real PostgreSQL and MariaDB, with the collations that operators have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from factored.finders.sql import SqlFinder
from factored.interfaces import ConfigurationError, FinderContext, FinderError
from tests.contract.finder import Case, FinderContract

from .databases import DatabaseServer

STRANGERS = ("cy@example.com", "al@sub.example.com", "jose@example.org", "al@example.com.evil.xyz")
ROWS = (
    "Al@Example.com", "bo@example.com", "Bo@example.com", "jose@example.com",
    "jos\u00e9@example.com", "jos\u00e9@example.org", "dee@example.com ", None, "",
)  # fmt: skip


@pytest.fixture(scope="module", params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> DatabaseServer:
    made: DatabaseServer = request.getfixturevalue(request.param)
    return made


@pytest.fixture
def execute(server: DatabaseServer) -> Iterator[Callable[..., None]]:
    """-> function: statement, values -> None"""
    engine = sa.create_engine(server.url, poolclass=sa.NullPool)

    def run(statement: sa.Executable, *values: dict[str, str | None]) -> None:
        with engine.begin() as connection:
            connection.execute(statement, list(values) or None)

    yield run
    engine.dispose()


@pytest.fixture
def make(
    server: DatabaseServer, execute: Callable[..., None]
) -> Iterator[Callable[[str, str], SqlFinder]]:
    """-> function: table, column -> the finder, on a new table with ROWS"""
    metadata = sa.MetaData()
    finders: list[SqlFinder] = []
    engine = sa.create_engine(server.url, poolclass=sa.NullPool)

    def new(table: str, column: str) -> SqlFinder:
        made = sa.Table(
            table, metadata, sa.Column(column, sa.String(100)), mysql_charset="utf8mb4",
            mysql_collate="utf8mb4_general_ci",
        )  # fmt: skip
        metadata.create_all(engine)
        for row in ROWS:
            execute(made.insert().values([row]))
        finders.append(finder_on(server.url, table, column))
        return finders[-1]

    yield new
    for finder in finders:
        finder._engine.dispose()
    metadata.drop_all(engine)
    engine.dispose()


def finder_on(url: str, table: str, column: str = "email") -> SqlFinder:
    settings = SimpleNamespace(
        finder_connection_string=url, finder_table_name=table, finder_email_field=column
    )
    return SqlFinder(FinderContext(settings))


class TestSql(FinderContract):
    @pytest.fixture
    def case(self, make: Callable[[str, str], SqlFinder], execute: Callable[..., None]) -> Case:
        finder = make("people", "email")
        return Case(
            finder, "al@example.com", STRANGERS, lambda: execute(sa.text("DROP TABLE people"))
        )


def test_a_collation_decides_nothing(make: Callable[[str, str], SqlFinder]) -> None:
    finder = make("people", "email")
    assert finder.find("al@example.com") == "Al@Example.com"
    assert finder.find("bo@example.com") is None
    assert finder.find("jose@example.com") == "jose@example.com"
    assert finder.find("jose@example.org") is None


@pytest.mark.parametrize(
    ("table", "column"),
    [("select", "order"), ("Two Words", "E-Mail"), ('a"b`c', "per%cent"), ("x%(y)s", "col:on"),
     ("it's", "que?ry")],
)  # fmt: skip
def test_identifiers_are_quoted(
    make: Callable[[str, str], SqlFinder], table: str, column: str
) -> None:
    assert make(table, column).find("al@example.com") == "Al@Example.com"


def test_a_table_may_be_named_with_its_schema(
    server: DatabaseServer, make: Callable[[str, str], SqlFinder]
) -> None:
    make("people", "email")
    schema = "public" if server.url.startswith("postgresql") else "factored"
    finder = finder_on(server.url, f"{schema}.people")
    assert finder.find("al@example.com") == "Al@Example.com"
    finder._engine.dispose()


def test_what_is_not_there_is_named(
    server: DatabaseServer, make: Callable[[str, str], SqlFinder]
) -> None:
    make("people", "email")
    for table in ("persons", "nowhere.people"):
        with pytest.raises(ConfigurationError, match=f"{table}' is not a table"):
            finder_on(server.url, table)
    with pytest.raises(ConfigurationError, match="'mail' is not a column of people; it has: email"):
        finder_on(server.url, "people", "mail")


def test_a_server_that_stops_is_a_finder_error_and_found_again_later(
    server: DatabaseServer, make: Callable[[str, str], SqlFinder]
) -> None:
    finder = make("people", "email")
    assert finder.find("al@example.com")
    server.stop()
    try:
        with pytest.raises(FinderError):
            finder.find("al@example.com")
    finally:
        server.start()
    assert finder.find("al@example.com") == "Al@Example.com"
