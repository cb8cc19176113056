"""One database: its engine, its short transactions, its clock and its errors."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import (
    ArgumentError,
    DisconnectionError,
    NoSuchModuleError,
    SQLAlchemyError,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.functions import FunctionElement

from factored.converters import as_bool
from factored.engines import ANSWER_S, enforced, one_line, read_url
from factored.interfaces import ConfigurationError, StoreError

PRE_PING = "sqlalchemy.pool_pre_ping"

SQLITE_BUSY_S = 3
"""How long a writer waits for the one before it; SQLite lets in one at a time."""

MARIADB_TABLES = {
    "engine": "InnoDB",
    "row_format": "DYNAMIC",  # the others index 767 bytes, and a name takes up to 1,020
    "charset": "utf8mb4",
    "collate": "utf8mb4_nopad_bin",
}
"""What a table would else take from the server: an engine perhaps without transactions, and a
collation that takes ``al``, ``AL``, ``ál`` and ``al `` for one name."""


class database_now(FunctionElement[int]):
    """The database's own clock, whole Unix seconds: no node's clock decides about revocation."""

    type = sa.BigInteger()
    inherit_cache = True


@compiles(database_now)
def _now(element: database_now, compiler: Any, **kw: Any) -> str:
    return "CAST(strftime('%s', 'now') AS INTEGER)"


@compiles(database_now, "postgresql")
def _now_postgresql(element: database_now, compiler: Any, **kw: Any) -> str:
    # clock_timestamp, not now(): that one stands still from the start of the transaction.
    return "CAST(floor(extract(epoch FROM clock_timestamp())) AS BIGINT)"


@compiles(database_now, "mysql")
@compiles(database_now, "mariadb")
def _now_mysql(element: database_now, compiler: Any, **kw: Any) -> str:
    return "unix_timestamp()"


class Database:
    """An engine for one process at a time; a forked child makes its own.

    :param settings: the ini's ``sqlalchemy.*`` keys
    :param require_file: refuse a SQLite file that is not there, instead of making an empty one
    :raises ConfigurationError: no such driver, a key that SQLAlchemy does not know, or a bad URL
    """

    def __init__(self, settings: Mapping[str, str], *, require_file: bool = False) -> None:
        self._settings = dict(settings)
        self._require_file = require_file
        self._pid = os.getpid()
        self._engine = self._make()

    @property
    def engine(self) -> sa.Engine:
        if self._pid != os.getpid():
            self._engine.dispose(close=False)  # the parent goes on using its connections
            self._engine = self._make()
            self._pid = os.getpid()
        return self._engine

    @property
    def url(self) -> str:
        """-> the URL without its password, which may stand in the query too, for people"""
        return self.engine.url.set(query={}).render_as_string(hide_password=True)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """-> a session in one short transaction that changes nothing

        :raises StoreError: the database did not answer
        """
        with self._session({}) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """-> a session in one short transaction, committed at its end

        :raises StoreError: the database did not answer, or refused; nothing was changed
        """
        with self._session({"factored_write": True}) as session:
            yield session

    @contextmanager
    def _session(self, options: dict[str, bool]) -> Iterator[Session]:
        try:
            with (
                self.engine.connect().execution_options(**options) as connection,
                connection.begin(),
                Session(bind=connection, expire_on_commit=False) as session,
            ):
                yield session
                session.flush()
        except SQLAlchemyError as error:
            raise StoreError(f"{self.url}: {one_line(error)}") from error

    def _make(self) -> sa.Engine:
        try:  # SQLAlchemy takes this one as it is, and any text for true
            ping = as_bool(self._settings.get(PRE_PING, "true"))
        except ValueError as error:
            raise ConfigurationError([f"{PRE_PING}: {error}"]) from error
        options = {**self._settings, PRE_PING: ping}
        try:
            url = read_url(self._settings.get("sqlalchemy.url", ""))
            if url.get_backend_name() == "sqlite":
                _check_sqlite_file(url, self._require_file)
            engine = sa.engine_from_config(options, "sqlalchemy.", **enforced(url, options))
        except (ArgumentError, NoSuchModuleError, ValueError, ImportError) as error:
            raise ConfigurationError([f"sqlalchemy.url: {one_line(error)}"]) from error
        except TypeError as error:
            raise ConfigurationError([f"sqlalchemy.*: {one_line(error)}"]) from error
        if engine.dialect.name == "sqlite":
            _prepare_sqlite(engine, Path(str(url.database)))
        elif engine.dialect.name in ("mysql", "mariadb"):
            _prepare_mariadb(engine)
        return engine


def row_count(result: object) -> int:
    """what an UPDATE or DELETE gave -> how many rows it found"""
    return int(getattr(result, "rowcount", 0))


def _check_sqlite_file(url: sa.URL, required: bool) -> None:
    if not url.database or ":memory:" in url.database or "mode=memory" in str(url):
        raise ValueError("SQLite in memory is lost at each restart; name a file")
    path = Path(url.database)
    if not path.parent.is_dir():
        raise ValueError(f"the folder of {path} is not there")
    if required and not path.is_file():
        raise ValueError(f"{path} is not there; `factored init` makes it")
    if not required:
        path.touch(mode=0o600)  # SQLite itself would let everybody read it


def _prepare_sqlite(engine: sa.Engine, path: Path) -> None:
    """WAL, a busy time-out, and transactions that begin where SQLAlchemy says so.

    A file that was put in the place of the one that is open is opened, or this process would go on
    with the old one, and the next with the new; one that is gone is not made anew.

    A writer takes the lock at its start: one that reads first and locks later can fail at once,
    whatever the time-out (SQLite documentation, "Transaction", section 2.2).
    """

    def file_now() -> tuple[int, int]:
        try:
            status = path.stat()
        except OSError as error:
            raise sqlite3.OperationalError(f"{path}: {error.strerror}") from error
        return status.st_dev, status.st_ino

    @event.listens_for(engine, "do_connect")
    def look(dialect: object, record: object, *rest: object) -> None:
        file_now()

    @event.listens_for(engine, "checkout")
    def check(connection: object, record: ConnectionPoolEntry, proxy: object) -> None:
        if record.info["file"] != file_now():
            raise DisconnectionError(f"{path} was replaced")

    @event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
        record.info["file"] = file_now()
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {SQLITE_BUSY_S * 1000}")
        cursor.execute("PRAGMA journal_mode = WAL")
        # FULL: after a power cut no code that was used, and no logout, comes back.
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        write = connection.get_execution_options().get("factored_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _prepare_mariadb(engine: sa.Engine) -> None:
    """Tables as they must be, no text cut to fit its column, and time limits of the server's own.

    MariaDB goes on waiting for what a client asked that has given up, and holds its locks.
    """
    dialect = engine.dialect

    @event.listens_for(engine, "connect")
    def connect(connection: Any, record: object) -> None:
        if not getattr(dialect, "is_mariadb", False):
            raise StoreError(
                f"{engine.url.host} is a MySQL server: not supported, for it lacks the collation "
                f"{MARIADB_TABLES['collate']}; use MariaDB"
            )
        limits = ("max_statement_time", "lock_wait_timeout", "innodb_lock_wait_timeout")
        cursor = connection.cursor()
        cursor.execute(
            "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'), "
            + ", ".join(f"{limit} = {ANSWER_S - 1}" for limit in limits)
        )
        cursor.close()

    @event.listens_for(engine, "before_execute")
    def execute(connection: sa.Connection, statement: object, *rest: object) -> None:
        if isinstance(statement, CreateTable):
            for option, value in MARIADB_TABLES.items():
                statement.element.kwargs[f"{dialect.name}_{option}"] = value
