"""Every suite of stores on every store that factored has."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from factored.interfaces import Charge, Limit, StoreError
from factored.services.parts import Stores, stores_in
from factored.store import memory, schema
from factored.store.database import Database
from factored.store.tables import Base
from tests.contract.attempt_store import AttemptStoreContract
from tests.contract.challenge_store import ChallengeStoreContract, challenge
from tests.contract.device_store import DeviceStoreContract
from tests.contract.link_store import LinkStoreContract
from tests.contract.revocation_store import RevocationStoreContract
from tests.contract.user_store import UserStoreContract, add
from tests.support import NOW_S, FixedClock


class MemoryStores:
    """The memory stores, under the names that :class:`Stores` has."""

    def __init__(self) -> None:
        self.revocations = memory.MemoryRevocationStore(FixedClock())
        self.attempts = memory.MemoryAttemptStore()
        self.devices = memory.MemoryDeviceStore()
        self.users = memory.MemoryUserStore(self.revocations, self.attempts, self.devices)
        self.links = memory.MemoryLinkStore(self.users)
        self.challenges = memory.MemoryChallengeStore()


def sql_stores(url: str) -> Stores:
    """URL of a database that may be emptied -> the stores in it"""
    database = Database({"sqlalchemy.url": url})
    with database.writing() as session:
        Base.metadata.drop_all(session.connection())
        session.execute(sa.text(f"DROP TABLE IF EXISTS {schema.VERSION_TABLE}"))
    schema.upgrade(database)
    return stores_in(database)


# One line for each database server: a name, and folder -> stores in an empty database.
SQL: dict[str, Callable[[Path], Stores]] = {
    "sqlite": lambda folder: sql_stores(f"sqlite:///{folder / 'stores.sqlite'}"),
}


@pytest.fixture(params=["memory", *SQL])
def stores(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    if request.param == "memory":
        yield MemoryStores()
        return
    monkeypatch.setattr("factored.store.sql.PAGE", 3)
    made = SQL[request.param](tmp_path)
    yield made
    made.database.engine.dispose()


@pytest.fixture(params=SQL)
def sql(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    made = SQL[request.param](tmp_path)
    yield made
    made.database.engine.dispose()


class TestUserStores(UserStoreContract):
    pass


class TestDeviceStores(DeviceStoreContract):
    pass


class TestLinkStores(LinkStoreContract):
    pass


class TestChallengeStores(ChallengeStoreContract):
    pass


class TestAttemptStores(AttemptStoreContract):
    pass


class TestRevocationStores(RevocationStoreContract):
    pass


# -- what only a database can do, and get wrong ----------------------------------------------------


@pytest.mark.parametrize("table", ["factored_revocations", "factored_attempts"])
def test_a_user_is_removed_and_revoked_or_neither(sql: Stores, table: str) -> None:
    user = add(sql, "al")
    with sql.database.writing() as session:
        session.execute(sa.text(f"ALTER TABLE {table} RENAME TO gone"))
    with pytest.raises(StoreError):
        sql.users.remove(user.id, revoke_for_s=60)
    with sql.database.writing() as session:
        session.execute(sa.text(f"ALTER TABLE gone RENAME TO {table}"))
    assert sql.users.find("al") == user
    assert sql.revocations.read(None)[1] == []


def test_a_challenge_goes_with_its_user_and_another_one_stays(sql: Stores) -> None:
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


def test_two_processes_that_count_at_once_let_none_too_many_through(sql: Stores) -> None:
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


@pytest.mark.parametrize(
    "call",
    [
        lambda stores: stores.users.find("al"),
        lambda stores: stores.users.get(1),
        lambda stores: list(stores.users.each()),
        lambda stores: stores.users.accept_step("a", 1, now_s=NOW_S),
        lambda stores: stores.users.lower_steps(1, 1),
        lambda stores: stores.users.remove(1, revoke_for_s=1),
        lambda stores: stores.devices.find("d", 1),
        lambda stores: stores.devices.touch("d", now_s=NOW_S),
        lambda stores: stores.links.find(["hash"], now_s=NOW_S),
        lambda stores: stores.links.spend(1, now_s=NOW_S),
        lambda stores: stores.challenges.add(challenge()),
        lambda stores: stores.challenges.newest(["browser"], "em", now_s=NOW_S),
        lambda stores: stores.challenges.answer("c", ["code"], now_s=NOW_S),
        lambda stores: stores.challenges.prune(now_s=NOW_S),
        lambda stores: stores.attempts.count((Charge("a", (Limit(1, 1),)),), now_s=NOW_S),
        lambda stores: stores.attempts.stamps(["a"], now_s=NOW_S),
        lambda stores: stores.links.prune(now_s=NOW_S),
        lambda stores: stores.devices.prune(unused_since=NOW_S),
        lambda stores: stores.attempts.prune(now_s=NOW_S),
        lambda stores: stores.revocations.add(["value"], for_s=1),
        lambda stores: stores.revocations.read(None),
        lambda stores: stores.revocations.prune(),
    ],
)
def test_every_call_says_so_when_the_database_does_not_answer(
    sql: Stores, call: Callable[[Stores], Any]
) -> None:
    with sql.database.writing() as session:
        Base.metadata.drop_all(session.connection())
    with pytest.raises(StoreError):
        call(sql)
