"""One engine a process, short transactions, and errors that an operator may read aloud."""

from __future__ import annotations

import os
import sqlite3
import stat
import traceback
from pathlib import Path

import pytest
import sqlalchemy as sa

from factored.interfaces import ConfigurationError, StoreError
from factored.store.database import Database, database_now, one_line
from factored.store.tables import Base, UserRow

PASSWORD = "pa55word-of-the-database"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "here.sqlite"


@pytest.fixture
def database(path: Path) -> Database:
    made = Database({"sqlalchemy.url": f"sqlite:///{path}"})
    Base.metadata.create_all(made.engine)
    return made


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("busy_timeout", 3000), ("foreign_keys", 1), ("synchronous", 2)],
)
def test_every_connection_to_sqlite_is_set_up(
    database: Database, pragma: str, value: object
) -> None:
    for _ in range(2):
        with database.reading() as session:
            assert session.scalar(sa.text(f"PRAGMA {pragma}")) == value
        database.engine.dispose()


def test_a_new_sqlite_file_is_for_its_owner_alone(database: Database, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def names(database: Database) -> list[str]:
    with database.reading() as session:
        return list(session.scalars(sa.select(UserRow.username)))


def add_user(database: Database, name: str) -> None:
    row = UserRow(username=name, username_key=name, ticket_series="s", created_at=1)
    with database.writing() as session:
        session.add(row)


def test_a_sqlite_file_put_in_the_place_of_another_is_the_one(
    database: Database, path: Path, tmp_path: Path
) -> None:
    """Or processes that opened it before and after would each have their own truth."""
    add_user(database, "before")
    copy = tmp_path / "copy.sqlite"
    with sqlite3.connect(path) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    source.close()
    target.close()
    add_user(database, "later")
    assert names(database) == ["before", "later"]
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    copy.replace(path)
    assert names(database) == ["before"]
    add_user(database, "again")
    assert names(Database({"sqlalchemy.url": f"sqlite:///{path}"})) == ["before", "again"]


def test_a_sqlite_file_that_is_gone_is_told_and_not_made_anew(
    database: Database, path: Path
) -> None:
    add_user(database, "here")
    away = path.with_name("away.sqlite")
    path.rename(away)
    for _ in range(2):
        with pytest.raises(StoreError, match="No such file"):
            names(database)
        assert not path.exists()
    away.rename(path)
    assert names(database) == ["here"]


def test_the_databases_clock_tells_whole_unix_seconds(database: Database) -> None:
    with database.reading() as session:
        now = session.scalar(sa.select(database_now()))
        text = session.scalar(sa.text("SELECT strftime('%s', 'now')"))
    assert isinstance(now, int)
    assert int(text) - now in (0, 1)


@pytest.mark.parametrize(
    ("dialect", "sql"), [("postgresql", "clock_timestamp()"), ("mysql", "unix_timestamp()")]
)
def test_every_database_has_a_clock_of_its_own(dialect: str, sql: str) -> None:
    from sqlalchemy.dialects import mysql, postgresql

    dialects = {"postgresql": postgresql.dialect(), "mysql": mysql.dialect()}
    assert sql in str(sa.select(database_now()).compile(dialect=dialects[dialect]))


def test_what_was_written_stays_and_what_failed_half_way_does_not(database: Database) -> None:
    user = {"username": "al", "ticket_series": "s", "created_at": 1}
    with database.writing() as session:
        session.add(UserRow(username_key="stays", **user))
    with pytest.raises(ZeroDivisionError), database.writing() as session:
        session.add(UserRow(username_key="goes", **user))
        session.flush()
        raise ZeroDivisionError
    with database.reading() as session:
        assert list(session.scalars(sa.select(UserRow.username_key))) == ["stays"]


def test_a_writer_holds_the_lock_from_its_start(database: Database, path: Path) -> None:
    other = sqlite3.connect(path, timeout=0, isolation_level=None)
    with database.writing(), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    with database.reading() as session:
        session.scalars(sa.select(UserRow.id)).all()
        other.execute("BEGIN IMMEDIATE")
    other.close()


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", [{}, {"sqlalchemy.hide_parameters": "false"}])
def test_an_error_is_a_store_error_without_parameters(
    database: Database, path: Path, setting: dict[str, str]
) -> None:
    database = Database({"sqlalchemy.url": f"sqlite:///{path}", **setting})
    secret = "v1.this-is-what-must-not-be-in-a-log"
    with pytest.raises(StoreError) as raised, database.writing() as session:
        for _ in range(2):
            session.execute(
                sa.insert(UserRow).values(
                    username="al", username_key="al", ticket_series=secret, created_at=1
                )
            )
    shown = "".join(traceback.format_exception(raised.value))
    assert "UNIQUE constraint failed" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert secret not in shown


def test_a_server_that_does_not_answer_is_told_without_its_password() -> None:
    url = f"postgresql+psycopg://al:{PASSWORD}@127.0.0.1:1/db?connect_timeout=1"
    database = Database({"sqlalchemy.url": url})
    assert PASSWORD not in database.url
    with pytest.raises(StoreError) as raised, database.reading():
        pass
    assert PASSWORD not in "".join(traceback.format_exception(raised.value))
    assert "127.0.0.1:1" in str(raised.value)


def test_a_file_that_is_no_database_is_a_store_error(path: Path) -> None:
    path.write_text("This is not a database, and it is long enough to look at." * 20)
    database = Database({"sqlalchemy.url": f"sqlite:///{path}"})
    with pytest.raises(StoreError, match="not a database"), database.reading() as session:
        session.scalar(sa.text("SELECT 1 FROM sqlite_master"))


def test_an_error_without_words_is_told_by_its_kind() -> None:
    assert one_line(KeyError()) == "KeyError"
    assert one_line(ValueError("two\n  lines")) == "two lines"


# -- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"url": "sqlite://"}, "in memory"),
        ({"url": "sqlite:///:memory:"}, "in memory"),
        ({"url": "sqlite:///file::memory:?uri=true"}, "in memory"),
        ({"url": "sqlite:///file:name?mode=memory&uri=true"}, "in memory"),
        ({"url": "sqlite:////no/such/folder/f.sqlite"}, "/no/such/folder"),
        ({"url": "nosuchdatabase://host/db"}, "nosuchdatabase"),
        ({"url": "postgres://host/db"}, "postgres"),
        ({"url": "just text"}, "sqlalchemy.url"),
        ({"url": f"postgresql+psycopg://al:{PASSWORD}@host:port/db"}, "sqlalchemy.url"),
        ({"url": "sqlite:///{path}", "pool_sice": "5"}, "pool_sice"),
        ({"url": "sqlite:///{path}", "pool_size": "many"}, "many"),
        ({"url": "sqlite:///{path}", "pool_pre_ping": "maybe"}, "pool_pre_ping"),
    ],
)
def test_settings_that_cannot_work_are_named(
    settings: dict[str, str],
    told: str,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(path.parent)
    given = {f"sqlalchemy.{key}": text.format(path=path) for key, text in settings.items()}
    with pytest.raises(ConfigurationError) as raised:
        Database(given)
    (problem,) = raised.value.problems
    assert told in problem
    assert PASSWORD not in problem
    assert "\n" not in problem


def test_a_file_that_is_not_there_is_named_where_it_is_required(path: Path) -> None:
    given = {"sqlalchemy.url": f"sqlite:///{path}"}
    with pytest.raises(ConfigurationError, match=r"here\.sqlite is not there; `factored init`"):
        Database(given, require_file=True)
    assert not path.exists()
    Database(given)
    assert path.exists()
    Database(given, require_file=True)


def test_the_ini_may_set_what_sqlalchemy_knows(path: Path) -> None:
    database = Database({"sqlalchemy.url": f"sqlite:///{path}", "sqlalchemy.pool_size": "3"})
    assert database.engine.pool.size() == 3


# -- forks -----------------------------------------------------------------------------------------


def test_a_forked_child_makes_an_engine_of_its_own(database: Database) -> None:
    parents = database.engine
    with database.reading() as session:
        parents_raw = session.connection().connection.driver_connection
    child = os.fork()
    if child == 0:
        status = 1
        try:
            own = database.engine is not parents
            with database.reading() as session:
                raw = session.connection().connection.driver_connection
                own = own and raw is not parents_raw and session.scalar(sa.text("SELECT 1")) == 1
            own = own and database.engine is database.engine
            status = 0 if own else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert database.engine is parents
    with database.reading() as session:
        assert session.scalar(sa.text("SELECT 1")) == 1
