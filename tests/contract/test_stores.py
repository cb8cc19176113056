"""Every suite of stores on every store that factored has."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from factored.interfaces import StoreContext, StoreError
from factored.store import schema
from factored.store.bundle import MemoryStores, SqlStores
from factored.store.database import Database
from factored.store.tables import Base
from tests.contract.attempt_store import AttemptStoreContract
from tests.contract.challenge_store import ChallengeStoreContract, challenge
from tests.contract.device_store import DeviceStoreContract
from tests.contract.link_store import LinkStoreContract
from tests.contract.recovery_code_store import RecoveryCodeStoreContract
from tests.contract.revocation_store import RevocationStoreContract
from tests.contract.stores import Case, StoresContract
from tests.contract.ticket_store import TicketStoreContract
from tests.contract.user_store import UserStoreContract, add
from tests.support import NOW_S, FixedClock


def sql_stores_as_they_are(url: str) -> SqlStores:
    """URL -> the stores in that database, as another process would make them"""
    settings = SimpleNamespace(sqlalchemy={"sqlalchemy.url": url})
    return SqlStores(StoreContext(settings, FixedClock(), must_exist=False))


def drop_tables(database: Database) -> None:
    with database.writing() as session:
        Base.metadata.drop_all(session.connection())
        session.execute(sa.text(f"DROP TABLE IF EXISTS {schema.VERSION_TABLE}"))


def sql_stores(url: str) -> SqlStores:
    """URL of a database that may be emptied -> the stores in it"""
    made = sql_stores_as_they_are(url)
    drop_tables(made.database)
    made.upgrade()
    return made


def memory_stores() -> MemoryStores:
    return MemoryStores(StoreContext(SimpleNamespace(), FixedClock()))


# One line for each database server: a name, and folder -> URL of an empty database.
SQL: dict[str, Callable[[Path], str]] = {
    "sqlite": lambda folder: f"sqlite:///{folder / 'stores.sqlite'}",
}


@pytest.fixture(params=["memory", *SQL])
def stores(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    if request.param == "memory":
        yield memory_stores()
        return
    monkeypatch.setattr("factored.store.sql.PAGE", 3)
    made = sql_stores(SQL[request.param](tmp_path))
    yield made
    made.close()


@pytest.fixture(params=SQL)
def sql(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlStores]:
    made = sql_stores(SQL[request.param](tmp_path))
    yield made
    made.close()


def sql_case(url: str) -> Iterator[Case]:
    """URL of a database that may be emptied -> its case, once; closed afterwards"""
    made = [sql_stores_as_they_are(url)]
    drop_tables(made[0].database)

    def make() -> SqlStores:
        made.append(sql_stores_as_they_are(url))
        return made[-1]

    yield Case(make, lambda: drop_tables(made[0].database), made[0].database.engine.url.password)
    for stores in made:
        stores.close()


class TestStores(StoresContract):
    @pytest.fixture(params=["memory", *SQL])
    def case(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
        if request.param == "memory":
            made = memory_stores()
            yield Case(lambda: made)
        else:
            yield from sql_case(SQL[request.param](tmp_path))


class TestUserStores(UserStoreContract):
    pass


class TestDeviceStores(DeviceStoreContract):
    pass


class TestLinkStores(LinkStoreContract):
    pass


class TestChallengeStores(ChallengeStoreContract):
    pass


class TestTicketStores(TicketStoreContract):
    pass


class TestRecoveryCodeStores(RecoveryCodeStoreContract):
    pass


class TestAttemptStores(AttemptStoreContract):
    pass


class TestRevocationStores(RevocationStoreContract):
    pass


# -- what only a database can do, and get wrong ----------------------------------------------------


@pytest.mark.parametrize("table", ["factored_revocations", "factored_attempts"])
def test_a_user_is_removed_and_revoked_or_neither(sql: SqlStores, table: str) -> None:
    user = add(sql, "al")
    with sql.database.writing() as session:
        session.execute(sa.text(f"ALTER TABLE {table} RENAME TO gone"))
    with pytest.raises(StoreError):
        sql.users.remove(user.id, revoke_for_s=60)
    with sql.database.writing() as session:
        session.execute(sa.text(f"ALTER TABLE gone RENAME TO {table}"))
    assert sql.users.find("al") == user
    assert sql.revocations.read(None)[1] == []


def test_a_challenge_goes_with_its_user_and_another_one_stays(sql: SqlStores) -> None:
    user = add(sql, "al")
    sql.challenges.add(challenge(user_id=user.id))
    sql.challenges.add(challenge("other", user_id=None, browser_hash="another browser"))
    sql.users.remove(user.id, revoke_for_s=60)
    assert sql.challenges.newest(["browser"], "em", now_s=NOW_S) is None
    assert sql.challenges.newest(["another browser"], "em", now_s=NOW_S) is not None


COUNT = """
import sys
from concurrent.futures import ThreadPoolExecutor
from factored.interfaces import Attempt, Charge, Limit
from factored.store.attempts import SqlAttemptStore
from factored.store.database import Database

store = SqlAttemptStore(Database({"sqlalchemy.url": sys.argv[1]}))
charges = (Charge("a", (Limit(50, 60),)),)
print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(10) as threads:
    tries = list(threads.map(lambda _: store.count(charges, now_s=1000), range(100)))
print(sum(isinstance(one, Attempt) for one in tries))
"""


def test_two_processes_that_count_at_once_let_none_too_many_through(sql: SqlStores) -> None:
    url = sql.database.engine.url.render_as_string(hide_password=False)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    counters = [subprocess.Popen([sys.executable, "-c", COUNT, url], **pipes) for _ in range(2)]
    for counter in counters:
        assert counter.stdout.readline() == "ready\n"
    for counter in counters:
        counter.stdin.write("\n")
        counter.stdin.flush()
    counted = [int(counter.communicate(timeout=30)[0]) for counter in counters]
    assert sum(counted) == 50
