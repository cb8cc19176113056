"""The migrations make the tables, wherever they begin, and never touch a newer database."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import factored.store.migrations
from factored.interfaces import StoreError
from factored.store import schema
from factored.store.attempts import LOCKS
from factored.store.database import Database
from factored.store.tables import Base
from tests.contract.test_stores import sql_stores
from tests.contract.user_store import add


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database({"sqlalchemy.url": f"sqlite:///{tmp_path / 'schema.sqlite'}"})


def differences(database: Database) -> list[object]:
    """-> what alembic would change so that the database has the tables of tables.py"""
    options = {"version_table": schema.VERSION_TABLE, "compare_server_default": True}
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, Base.metadata))


def constraint_names(database: Database) -> dict[str, set[str | None]]:
    """-> by table, the names of what alembic does not compare"""
    inspector = sa.inspect(database.engine)
    return {
        table: {one["name"] for one in inspector.get_foreign_keys(table)}
        | {one["name"] for one in inspector.get_unique_constraints(table)}
        | {inspector.get_pk_constraint(table)["name"]}
        for table in Base.metadata.tables
    }


def test_the_migrations_make_exactly_the_tables_of_the_models(database: Database) -> None:
    schema.upgrade(database)
    assert differences(database) == []


def test_the_migrations_name_constraints_as_the_models_do(
    database: Database, tmp_path: Path
) -> None:
    schema.upgrade(database)
    modelled = Database({"sqlalchemy.url": f"sqlite:///{tmp_path / 'models.sqlite'}"})
    Base.metadata.create_all(modelled.engine)
    assert constraint_names(database) == constraint_names(modelled)


def test_the_head_constant_is_the_newest_script() -> None:
    folder = Path(factored.store.migrations.__file__).parent
    assert ScriptDirectory(str(folder)).get_heads() == [schema.HEAD]


def test_a_database_without_tables_has_no_revision(database: Database) -> None:
    assert schema.revision(database) is None
    schema.upgrade(database)
    assert schema.revision(database) == schema.HEAD


def test_upgrading_twice_changes_nothing_and_keeps_the_users(tmp_path: Path) -> None:
    stores = sql_stores(f"sqlite:///{tmp_path / 'twice.sqlite'}")
    user = add(stores, "al")
    schema.upgrade(stores.database)
    assert stores.users.find("al") == user
    assert differences(stores.database) == []


@pytest.mark.parametrize("made", range(len(Base.metadata.tables)))
def test_an_upgrade_that_was_cut_off_goes_on_where_it_stopped(
    database: Database, made: int
) -> None:
    schema.upgrade(database)
    tables = [table.name for table in Base.metadata.sorted_tables]
    with database.writing() as session:
        session.execute(sa.text(f"DROP TABLE {schema.VERSION_TABLE}"))
        for table in reversed(tables[made:]):
            session.execute(sa.text(f"DROP TABLE {table}"))
        if made:
            for index in sa.inspect(session.connection()).get_indexes(tables[made - 1])[1:]:
                session.execute(sa.text(f"DROP INDEX {index['name']}"))
    schema.upgrade(database)
    assert schema.revision(database) == schema.HEAD
    assert differences(database) == []


@pytest.mark.parametrize(
    "missing",
    [
        ["DROP INDEX ix_factored_challenges_link_hash"],
        [
            "DROP INDEX ix_factored_challenges_link_hash",
            "ALTER TABLE factored_challenges DROP COLUMN return_to",
        ],
        [
            "DROP INDEX ix_factored_challenges_link_hash",
            "ALTER TABLE factored_challenges DROP COLUMN return_to",
            "ALTER TABLE factored_challenges DROP COLUMN link_hash",
            "ALTER TABLE factored_users DROP COLUMN last_login_at",
        ],
    ],
)
def test_columns_that_a_cut_off_run_has_made_already_are_kept(
    database: Database, missing: list[str]
) -> None:
    schema.upgrade(database)
    with database.writing() as session:
        for statement in missing:
            session.execute(sa.text(statement))
        session.execute(sa.text(f"UPDATE {schema.VERSION_TABLE} SET version_num = '0002'"))
    assert differences(database) != []
    schema.upgrade(database)
    assert schema.revision(database) == schema.HEAD
    assert differences(database) == []


def test_missing_lock_rows_are_made_up_for(database: Database) -> None:
    schema.upgrade(database)
    with database.writing() as session:
        session.execute(sa.text("DELETE FROM factored_attempt_locks WHERE id % 3 = 0"))
    schema.upgrade(database)
    with database.reading() as session:
        locks = session.scalars(sa.text("SELECT id FROM factored_attempt_locks ORDER BY id"))
        assert list(locks) == list(range(LOCKS))


def test_a_database_from_the_future_is_refused_and_left_alone(database: Database) -> None:
    schema.upgrade(database)
    with database.writing() as session:
        session.execute(sa.text(f"UPDATE {schema.VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(StoreError, match="newer factored"):
        schema.upgrade(database)
    assert schema.revision(database) == "9999"
