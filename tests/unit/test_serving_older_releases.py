"""A migration that says older releases may go on serving only adds what they need not know."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from factored.interfaces import StoreError
from factored.store import schema
from factored.store.database import Database
from tests.contract.test_stores import sql_stores
from tests.contract.user_store import add

SCRIPT = """
from alembic import op

revision, down_revision = {name!r}, {after!r}
branch_labels = depends_on = None


def upgrade() -> None:
    for statement in {statements!r}:
        op.execute(statement)
"""
NUMBER = int(schema.HEAD[:4])
OURS = schema.HEAD[:4]
NEXT = f"{NUMBER + 1:04}"


@pytest.fixture
def newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """-> function: name of a revision, what it does -> folder of ours with that one after them"""

    def make(name: str, *statements: str) -> Path:
        folder = tmp_path / f"with {name}"
        shutil.copytree(schema.MIGRATIONS, folder)
        text = SCRIPT.format(name=name, after=schema.HEAD, statements=statements)
        (folder / "versions" / f"v{name}.py").write_text(text)
        return folder

    return make


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database({"sqlalchemy.url": f"sqlite:///{tmp_path / 'served.sqlite'}"})


def migrate(database: Database, folder: Path, revision: str) -> None:
    """What the release that has these migrations does."""
    config = Config()
    config.set_main_option("script_location", str(folder))
    with database.writing() as session:
        config.attributes["connection"] = session.connection()
        command.upgrade(config, revision)


# -- who may serve ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "head", "served"),
    [
        (None, "0004", False),
        ("0003", "0004", False),
        ("0004", "0004", True),
        ("0005", "0004", False),
        ("0005_from_0003", "0004", True),
        ("0005_from_0004", "0004", True),
        ("0005_from_0005", "0004", False),
        ("0009_from_0004", "0004", True),
        ("0010_from_0009", "0009", True),
        ("0004_from_0003", "0004", False),
        ("0003_from_0002", "0004", False),
        ("0006_from_0004", "0005_from_0002", True),
        ("0006_from_0005", "0005_from_0002", True),
        ("0006_from_0006", "0005_from_0002", False),
        ("0005_from_0002", "0005_from_0002", True),
        ("0005_from_0002", "0006_from_0002", False),
        ("0005_from_", "0004", False),
        ("0005_from_0004\n", "0004", False),
        ("0005_from_0004 ", "0004", False),
        ("00005_from_0004", "0004", False),
        ("0005_from_4", "0004", False),
        ("", "0004", False),
        ("head", "0004", False),
    ],
)
def test_who_may_serve_is_in_the_name_of_the_revision(
    found: str | None, head: str, served: bool
) -> None:
    assert schema.serves(found, head) is served


def test_this_release_goes_on_with_newer_tables_that_serve_it(
    tmp_path: Path, newer: Callable[..., Path]
) -> None:
    stores = sql_stores(f"sqlite:///{tmp_path / 'served.sqlite'}")
    before = add(stores, "al")
    name = f"{NEXT}_from_{OURS}"
    folder = newer(name, "ALTER TABLE factored_users ADD COLUMN nickname VARCHAR(255)")
    migrate(stores.database, folder, "head")
    stores.check()
    assert stores.revision() == name
    assert stores.users.find("al") == before
    assert add(stores, "bo").username == "bo"
    stores.upgrade()  # a node that starts anew may run `factored init` first
    assert stores.revision() == name


def test_this_release_refuses_newer_tables_that_are_not_for_it(
    tmp_path: Path, newer: Callable[..., Path]
) -> None:
    stores = sql_stores(f"sqlite:///{tmp_path / 'served.sqlite'}")
    migrate(stores.database, newer(NEXT), "head")
    with pytest.raises(StoreError, match=f"{NEXT}, made by a newer factored; .* upgrade it"):
        stores.check()
    with pytest.raises(StoreError, match="newer factored"):
        stores.upgrade()
    assert stores.revision() == NEXT


# -- what such a migration may do ------------------------------------------------------------------


def breaks(before: sa.MetaData, after: sa.MetaData) -> list[str]:
    """tables as an older release knows them, as they are -> what that release would fail at"""
    found = []
    for name, old in before.tables.items():
        if name == schema.VERSION_TABLE:
            continue
        new = after.tables.get(name)
        if new is None:
            found.append(f"{name} is gone")
            continue
        for column in old.columns:
            now = new.columns.get(column.name)
            if now is None:
                found.append(f"{name}.{column.name} is gone")
            elif (str(now.type), now.nullable) != (str(column.type), column.nullable):
                found.append(f"{name}.{column.name} takes other values")
        found += [
            f"{name}.{column.name} wants a value"
            for column in new.columns
            if column.name not in old.columns and not column.nullable and not column.server_default
        ]
        found += [f"{name} refuses what it took: {one}" for one in _rules(new) - _rules(old)]
    return found


def _rules(table: sa.Table) -> set[tuple[str, ...]]:
    """table -> what its rows are held to; whoever leaves a column NULL breaks no key of it"""
    checks = {
        ("check", str(one.sqltext))
        for one in table.constraints
        if isinstance(one, sa.CheckConstraint)
    }
    keys = {
        ("key", *sorted(one.name for one in held.columns))
        for held in (*table.constraints, *table.indexes)
        if isinstance(held, sa.UniqueConstraint | sa.ForeignKeyConstraint | sa.PrimaryKeyConstraint)
        or (isinstance(held, sa.Index) and held.unique)
        if not any(one.nullable for one in held.columns)
    }
    return checks | keys


def tables_of(database: Database) -> sa.MetaData:
    made = sa.MetaData()
    made.reflect(database.engine)
    return made


def broken_by(database: Database, folder: Path, name: str) -> list[str]:
    """migrations, one of them -> what it breaks for the oldest release that it says may serve"""
    said = schema.REVISION.fullmatch(name)
    assert said
    scripts = ScriptDirectory(str(folder))
    (oldest,) = [
        one.revision
        for one in scripts.walk_revisions()
        if one.revision[:4] == said["oldest"]
    ]  # fmt: skip
    migrate(database, folder, oldest)
    before = tables_of(database)
    migrate(database, folder, name)
    return breaks(before, tables_of(database))


def test_what_our_migrations_say_of_older_releases_is_so(tmp_path: Path) -> None:
    scripts = [one.revision for one in ScriptDirectory(str(schema.MIGRATIONS)).walk_revisions()]
    oldest_before = "0001"
    for number, name in enumerate(reversed(scripts), 1):
        said = schema.REVISION.fullmatch(name)
        assert said and int(said["number"]) == number
        oldest = said["oldest"] or said["number"]
        assert oldest_before <= oldest <= said["number"], "who was shut out does not come back"
        oldest_before = oldest
        if said["oldest"]:
            database = Database({"sqlalchemy.url": f"sqlite:///{tmp_path / name}.sqlite"})
            assert broken_by(database, schema.MIGRATIONS, name) == []


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE factored_users ADD COLUMN x VARCHAR(255)",
        "ALTER TABLE factored_users ADD COLUMN x INTEGER NOT NULL DEFAULT 0",
        "CREATE TABLE factored_x (id INTEGER PRIMARY KEY)",
        "CREATE INDEX ix_x ON factored_users (ticket_series)",
    ],
)
def test_what_adds_breaks_nothing(
    database: Database, newer: Callable[..., Path], statement: str
) -> None:
    name = f"{NEXT}_from_{OURS}"
    assert broken_by(database, newer(name, statement), name) == []


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE factored_users DROP COLUMN last_login_at",
        "ALTER TABLE factored_users RENAME COLUMN last_login_at TO seen_at",
        "ALTER TABLE factored_adopted RENAME TO factored_taken_over",
        "DROP TABLE factored_attempt_locks",
        "CREATE UNIQUE INDEX ix_x ON factored_users (ticket_series)",
    ],
)
def test_what_takes_away_is_found(
    database: Database, newer: Callable[..., Path], statement: str
) -> None:
    name = f"{NEXT}_from_{OURS}"
    assert broken_by(database, newer(name, statement), name)


def test_a_column_that_wants_a_value_of_old_nodes_is_found() -> None:
    def users(*more: sa.Column[int]) -> sa.MetaData:
        return sa.Table("users", sa.MetaData(), sa.Column("id", sa.Integer), *more).metadata

    old = users()
    assert breaks(old, users(sa.Column("x", sa.Integer, nullable=False)))
    assert not breaks(old, users(sa.Column("x", sa.Integer, nullable=False, server_default="0")))
    assert breaks(users(sa.Column("x", sa.Integer)), users(sa.Column("x", sa.BigInteger)))
