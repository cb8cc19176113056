"""SQL: whoever proves a mailbox that stands in a table of the site's own may have an account."""

from __future__ import annotations

import logging
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, NoSuchTableError, SQLAlchemyError

from factored import names
from factored.engines import enforced, one_line, read_url
from factored.interfaces import ConfigurationError, FinderContext, FinderError

log = logging.getLogger(__name__)

URL = "autouserfinder.connection_string"

MANY = 100
"""Rows that are looked at; an address that stands in more of them is nobody's."""


class SqlFinder:
    """:class:`factored.interfaces.Finder` on one table; one engine, identifiers quoted.

    :raises ConfigurationError: no such driver, or a database that answers and has no such table or
        column
    """

    def __init__(self, context: FinderContext) -> None:
        settings = context.settings
        table, column = settings.finder_table_name, settings.finder_email_field
        try:
            url = read_url(settings.finder_connection_string)
            if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
                # SQLite would make it, empty.
                raise ValueError(f"{url.database or 'a file'} is not there")
            self._engine = sa.create_engine(url, pool_pre_ping=True, **enforced(url))
        except (ArgumentError, NoSuchModuleError, ImportError, TypeError, ValueError) as error:
            raise ConfigurationError([f"{URL}: {one_line(error)}"]) from error
        self._check(table, column)
        self._address = sa.column(column, sa.String)
        schema, _, name = table.rpartition(".")
        self._table = sa.table(name, self._address, schema=schema or None)

    def find(self, username: str) -> str | None:
        if not names.ADDRESS.fullmatch(username):
            return None
        key = names.key(username)
        query = sa.select(self._address).where(sa.func.lower(self._address) == key).limit(MANY)
        try:
            with self._engine.connect() as connection:
                found = list(connection.scalars(query.select_from(self._table)))
        except SQLAlchemyError as error:
            raise FinderError(f"the finder's database: {one_line(error)}") from error
        addresses = {str(address).strip() for address in found}
        # A collation may take more for the same than we do: é for e.
        same = [one for one in addresses if names.ADDRESS.fullmatch(one) and names.key(one) == key]
        # Two rows that only differ in case are two people there, and cannot be one here.
        return same[0] if len(same) == 1 and len(found) < MANY else None

    def _check(self, table: str, column: str) -> None:
        """A database that is down may come back; one that answers must have the column."""
        schema, _, name = table.rpartition(".")
        try:
            columns = sa.inspect(self._engine).get_columns(name, schema=schema or None)
        except NoSuchTableError:
            raise ConfigurationError(
                [f"autouserfinder.table_name: {table!r} is not a table of that database"]
            ) from None
        except SQLAlchemyError as error:
            log.error("the finder's database does not answer: %s", one_line(error))
            return
        finally:
            self._engine.dispose()  # or a server that forks would share the connection
        there = [str(one["name"]) for one in columns]
        if column not in there:
            raise ConfigurationError(
                [
                    f"autouserfinder.email_field: {column!r} is not a column of {table}; "
                    f"it has: {', '.join(there)}"
                ]
            )
