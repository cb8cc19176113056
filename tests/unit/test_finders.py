"""The finders: whom they find, what they refuse at start, and what an error may say."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from factored.finders.email_domain import EmailDomainFinder
from factored.finders.sql import MANY, SqlFinder
from factored.interfaces import ConfigurationError, FinderContext, FinderError
from tests.support import make_people, run_sql

PASSWORD = "Tr0ub4dor"


def finder_for(url: str, table: str = "people", column: str = "email") -> SqlFinder:
    return SqlFinder(
        FinderContext(
            SimpleNamespace(
                finder_connection_string=url, finder_table_name=table, finder_email_field=column
            )
        )
    )


def problem_of(url: str, table: str = "people", column: str = "email") -> str:
    with pytest.raises(ConfigurationError) as caught:
        finder_for(url, table, column)
    (problem,) = caught.value.problems
    return problem


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """-> SQLite file with a table of people"""
    made = tmp_path / "people.sqlite"
    make_people(f"sqlite:///{made}", "Al@Example.com", None, "", "no address")
    return made


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


# -- SQL: whom it finds ---------------------------------------------------------------------------


def test_the_address_comes_in_the_spelling_of_the_table(url: str) -> None:
    finder = finder_for(url)
    assert finder.find("al@example.com") == "Al@Example.com"
    assert finder.find("AL@EXAMPLE.COM") == "Al@Example.com"


@pytest.mark.parametrize(
    "name", ["bo@example.com", "al@example.co", "no address", "", "None", "null@example.com", "%"]
)
def test_who_is_not_in_the_table_is_nobody(url: str, name: str) -> None:
    assert finder_for(url).find(name) is None


def insert(path: Path, *addresses: str) -> None:
    for address in addresses:
        run_sql(path, f"INSERT INTO people (email) VALUES ('{address}')")


def test_two_rows_that_differ_in_case_are_nobody(path: Path, url: str) -> None:
    insert(path, "bo@example.com", "Bo@example.com")
    assert finder_for(url).find("bo@example.com") is None
    assert finder_for(url).find("Bo@example.com") is None


def test_two_people_behind_many_equal_rows_are_nobody(path: Path, url: str) -> None:
    insert(path, "bo@example.com", "bo@example.com", "bo@example.com", "BO@example.com")
    assert finder_for(url).find("bo@example.com") is None


@pytest.mark.parametrize(
    ("rows", "found"), [(2, "bo@example.com"), (MANY - 1, "bo@example.com"), (MANY, None)]
)
def test_equal_rows_are_one_address_up_to_a_bound(
    path: Path, url: str, rows: int, found: str | None
) -> None:
    insert(path, *["bo@example.com"] * rows)
    assert finder_for(url).find("bo@example.com") == found


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        (["jose@example.com", "josé@example.com"], "jose@example.com"),
        (["josé@example.com"], None),
        (["jose@example.com   "], "jose@example.com"),
        (["jose@example.com, evil@evil.example"], None),
        (["other@example.com"], None),
    ],
)
def test_what_a_collation_takes_for_equal_is_not_equal_here(
    url: str, rows: list[str], found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sa.Connection, "scalars", lambda self, query: rows)
    assert finder_for(url).find("jose@example.com") == found


@pytest.mark.parametrize(
    "name",
    ["al@example.com,evil@evil.example", '"al"@example.com', "al(x)@example.com", "al@@example.com",
     "al@example.com.", " al@example.com", "\u017fal@example.com", "al", "x' OR '1'='1"],
)  # fmt: skip
def test_what_is_no_plain_address_never_reaches_the_database(url: str, name: str) -> None:
    finder = finder_for(url)
    asked: list[str] = []
    sa.event.listen(
        finder._engine, "before_cursor_execute", lambda *args: asked.append(str(args[2]))
    )
    assert finder.find(name) is None
    assert asked == []
    finder.find("al@example.com")
    assert len(asked) == 1


# -- SQL: identifiers -----------------------------------------------------------------------------

NAMES = [
    "select", "Order", "two words", 'with "quotes"', "it's", "back`tick", "semi;colon", "per%cent",
    "col:on", "x] --", "ünï", "%(x)s", "question?mark",
]  # fmt: skip


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@pytest.mark.parametrize("column", NAMES)
@pytest.mark.parametrize("table", ["people", *NAMES])
def test_identifiers_are_quoted(tmp_path: Path, table: str, column: str) -> None:
    path = tmp_path / "people.sqlite"
    run_sql(
        path,
        f"CREATE TABLE {quoted(table)} (id INTEGER, {quoted(column)} TEXT)",
        f"INSERT INTO {quoted(table)} VALUES (1, 'al@example.com')",
    )
    finder = finder_for(f"sqlite:///{path}", table, column)
    assert finder.find("al@example.com") == "al@example.com"
    assert finder.find("bo@example.com") is None


def test_a_table_may_be_named_with_its_schema(url: str) -> None:
    assert finder_for(url, "main.people").find("al@example.com") == "Al@Example.com"


def test_a_view_is_a_table_too(path: Path, url: str) -> None:
    run_sql(path, "CREATE VIEW staff AS SELECT email AS mail FROM people WHERE id = 1")
    assert finder_for(url, "staff", "mail").find("al@example.com") == "Al@Example.com"


# -- SQL: what is wrong at start ------------------------------------------------------------------


@pytest.mark.parametrize("table", ["persons", "people; DROP TABLE people", "main.persons"])
def test_a_table_that_is_not_there_is_named(url: str, table: str) -> None:
    problem = problem_of(url, table)
    assert problem == f"autouserfinder.table_name: {table!r} is not a table of that database"


@pytest.mark.parametrize("column", ["mail", "email)", '"email"', "lower(email)", "*"])
def test_a_column_that_is_not_there_is_named_with_those_that_are(url: str, column: str) -> None:
    assert problem_of(url, "people", column) == (
        f"autouserfinder.email_field: {column!r} is not a column of people; it has: id, email"
    )


def test_a_sqlite_file_that_is_not_there_is_named_and_not_made(tmp_path: Path) -> None:
    missing = tmp_path / "missing.sqlite"
    problem = problem_of(f"sqlite:///{missing}")
    assert problem == f"autouserfinder.connection_string: {missing} is not there"
    assert not missing.exists()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (f"nonsense {PASSWORD}", "parse"),
        (f"nosuch://al:{PASSWORD}@db.example/x", "nosuch"),
        (f"postgresql+nosuch://al:{PASSWORD}@db.example/x", "nosuch"),
        ("sqlite://", "a file is not there"),
        (f"postgresql+psycopg://al:x@{PASSWORD}@db.example/x", "two @"),
        (f"postgresql+psycopg://al:x@y:{PASSWORD}/z@db.example/x", "%40"),
    ],
)
def test_a_url_that_cannot_be_used_is_named_without_its_password(url: str, says: str) -> None:
    problem = problem_of(url)
    assert problem.startswith("autouserfinder.connection_string: ")
    assert says in problem
    assert PASSWORD not in problem


def test_a_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*args: object, **kw: object) -> None:
        raise ModuleNotFoundError("No module named 'psycopg'")

    monkeypatch.setattr(sa, "create_engine", missing)
    problem = problem_of(f"postgresql+psycopg://al:{PASSWORD}@db.example/x")
    assert problem == "autouserfinder.connection_string: No module named 'psycopg'"


# -- SQL: a database that is down -----------------------------------------------------------------


def test_a_database_that_is_down_at_start_is_logged_and_asked_again_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    url = f"postgresql+psycopg://al:{PASSWORD}@127.0.0.1:1/x"
    with caplog.at_level(logging.ERROR, "factored"):
        finder = finder_for(url)
    assert "the finder's database does not answer" in caplog.text
    with pytest.raises(FinderError) as caught:
        finder.find("al@example.com")
    assert PASSWORD not in caplog.text + str(caught.value)
    assert "al@example.com" not in str(caught.value)


def test_a_database_that_goes_down_is_a_finder_error_and_may_come_back(
    path: Path, url: str
) -> None:
    finder = finder_for(url)
    run_sql(path, "ALTER TABLE people RENAME TO gone")
    for name in ("al@example.com", "bo@example.com"):
        with pytest.raises(FinderError, match="no such table"):
            finder.find(name)
    run_sql(path, "ALTER TABLE gone RENAME TO people")
    assert finder.find("al@example.com") == "Al@Example.com"


def test_a_sqlite_file_that_went_away_is_a_finder_error(path: Path, url: str) -> None:
    finder = finder_for(url)
    path.unlink()
    with pytest.raises(FinderError):
        finder.find("al@example.com")


def test_no_connection_is_left_open_by_the_start(url: str) -> None:
    """A server that forks afterwards would share it among its children."""
    pool = finder_for(url)._engine.pool
    assert isinstance(pool, sa.pool.QueuePool)
    assert pool.checkedin() == pool.checkedout() == 0


def test_an_error_shows_neither_statement_nor_values(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    finder = finder_for(url)
    assert finder._engine.hide_parameters

    def broken(*args: object) -> None:
        raise sa.exc.OperationalError("SELECT", {"x": PASSWORD}, Exception("went away"))

    monkeypatch.setattr(sa.Connection, "scalars", broken)
    with pytest.raises(FinderError) as caught:
        finder.find("al@example.com")
    assert str(caught.value) == "the finder's database: went away"


# -- Email Domain ---------------------------------------------------------------------------------


@pytest.fixture
def domains() -> EmailDomainFinder:
    return EmailDomainFinder(
        FinderContext(SimpleNamespace(finder_valid_domains=("example.com", "sub.example.org")))
    )


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("al@example.com", "al@example.com"),
        ("Al@EXAMPLE.Com", "al@example.com"),
        ("al+x@example.com", "al+x@example.com"),
        ("al@sub.example.org", "al@sub.example.org"),
        ("al@SUB.example.ORG", "al@sub.example.org"),
        ("al@example.org", None),
        ("al@sub.example.com", None),
        ("al@example.com.evil.example", None),
        ("al@evilexample.com", None),
        ("al@evil-example.com", None),
        ("al@xexample.com", None),
        ("al@.example.com", None),
        ("al@example.com.", None),
        ("al@com", None),
        ("example.com", None),
        ("@example.com", None),
        ("al", None),
        ("", None),
        ("al@evil.example@example.com", None),
        ("al@evil.example,bo@example.com", None),
        ('"al@evil.example"@example.com', None),
        ("al@evil.example(@example.com)", None),
        ("al@evil.example\n@example.com", None),
        ("al@evil.example\0@example.com", None),
        ("al%evil.example@example.com", None),
        ("evil.example!al@example.com", None),
        ("al@\uff45xample.com", None),
        ("al@examp\u017fe.com", None),
        ("\u212aal@example.com", None),
    ],
)
def test_the_domain_is_the_whole_part_after_the_one_at(
    domains: EmailDomainFinder, name: str, found: str | None
) -> None:
    assert domains.find(name) == found
