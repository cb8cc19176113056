"""PostgreSQL and MariaDB keep the promises that SQLite keeps, on real servers."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from factored.codes import new_id
from factored.interfaces import (
    Attempt,
    Charge,
    Device,
    Limit,
    NewLogin,
    OpenTicket,
    StoreError,
)
from factored.store import schema
from factored.store.attempts import LOCKS, SqlAttemptStore
from factored.store.bulk import plan_anew
from factored.store.bundle import SqlStores
from factored.store.database import Database, database_now
from factored.store.tables import AttemptLockRow, Base, TicketRow, UserRow
from tests.contract.attempt_store import AttemptStoreContract
from tests.contract.challenge_store import ChallengeStoreContract
from tests.contract.device_store import DeviceStoreContract
from tests.contract.link_store import LinkStoreContract
from tests.contract.recovery_code_store import RecoveryCodeStoreContract
from tests.contract.revocation_store import RevocationStoreContract
from tests.contract.stores import Case, StoresContract

# The same tests again, on the `sql` below.
from tests.contract.test_stores import (  # noqa: F401
    drop_tables,
    sql_case,
    sql_stores,
    test_a_challenge_goes_with_its_user_and_another_one_stays,
    test_a_user_is_removed_and_revoked_or_neither,
    test_two_processes_that_count_at_once_let_none_too_many_through,
)
from tests.contract.ticket_store import TicketStoreContract, new_login
from tests.contract.user_store import UserStoreContract, add
from tests.support import (
    NAME,
    NOW_S,
    Browser,
    FixedClock,
    Site,
    at_once,
    build_gate,
    factored,
    settings_for,
    statements_of_logins,
    write_ini,
)
from tests.unit.test_schema import constraint_names, differences

from .databases import DatabaseServer, start_mariadb
from .servers import FULL, eventually

ANSWER_S = 6
"""The longest that a call may wait for a database that hangs."""
CHARGES = (Charge("a", (Limit(100, 60),)),)


@pytest.fixture(scope="session", params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> DatabaseServer:
    made: DatabaseServer = request.getfixturevalue(request.param)
    return made


only_postgresql = pytest.mark.parametrize("server", ["postgresql"], indirect=True)
only_mariadb = pytest.mark.parametrize("server", ["mariadb"], indirect=True)


@pytest.fixture
def sql(server: DatabaseServer) -> Iterator[SqlStores]:
    made = sql_stores(server.url)
    yield made
    made.database.engine.dispose()


@pytest.fixture(scope="session")
def shared(server: DatabaseServer) -> Iterator[SqlStores]:
    made = sql_stores(server.url)
    yield made
    made.database.engine.dispose()


@pytest.fixture
def stores(shared: SqlStores, monkeypatch: pytest.MonkeyPatch) -> SqlStores:
    """The tables of all tests, emptied for each: making them takes long."""
    monkeypatch.setattr("factored.store.sql.PAGE", 3)
    if not sa.inspect(shared.database.engine).has_table(UserRow.__tablename__):
        drop_tables(shared.database)
        schema.upgrade(shared.database)
    with shared.database.writing() as session:
        for table in reversed(Base.metadata.sorted_tables):
            if table.name != AttemptLockRow.__tablename__:
                session.execute(sa.delete(table))
    return shared


class TestStores(StoresContract):
    @pytest.fixture
    def case(self, server: DatabaseServer) -> Iterator[Case]:
        yield from sql_case(server.url)


class TestUserStore(UserStoreContract):
    pass


class TestDeviceStore(DeviceStoreContract):
    pass


class TestLinkStore(LinkStoreContract):
    pass


class TestChallengeStore(ChallengeStoreContract):
    pass


class TestTicketStore(TicketStoreContract):
    pass


class TestRecoveryCodeStore(RecoveryCodeStoreContract):
    pass


class TestAttemptStore(AttemptStoreContract):
    pass


class TestRevocationStore(RevocationStoreContract):
    pass


# -- many users ------------------------------------------------------------------------------------


@only_postgresql
def test_plans_for_many_users_are_made_anew_and_no_others(sql: SqlStores) -> None:
    shown = sa.text("SHOW plan_cache_mode")
    with sql.database.writing() as session:
        plan_anew(session)
        assert session.scalar(shown) == "force_custom_plan"
    with sql.database.writing() as session:
        assert session.scalar(shown) == "auto"


# -- tables ----------------------------------------------------------------------------------------


def test_the_migrations_make_exactly_the_tables_of_the_models(sql: SqlStores) -> None:
    assert schema.revision(sql.database) == schema.HEAD
    assert differences(sql.database) == []
    migrated = constraint_names(sql.database)
    with sql.database.writing() as session:
        Base.metadata.drop_all(session.connection())
        Base.metadata.create_all(session.connection())
    assert constraint_names(sql.database) == migrated


class CutOff(Exception):
    pass


def cut_upgrade(database: Database, after: int | None) -> int:
    """database, after how many statements -> how many that change something have run"""
    seen = 0

    def count(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        nonlocal seen
        if statement.split()[0] in ("CREATE", "ALTER", "INSERT", "UPDATE"):
            if seen == after:
                raise CutOff
            seen += 1

    sa.event.listen(database.engine, "before_cursor_execute", count)
    try:
        schema.upgrade(database)
    except CutOff:
        pass
    finally:
        sa.event.remove(database.engine, "before_cursor_execute", count)
    return seen


def test_an_upgrade_that_was_cut_off_goes_on_where_it_stopped(sql: SqlStores) -> None:
    drop_tables(sql.database)
    statements = cut_upgrade(sql.database, None)
    assert statements > len(Base.metadata.tables)
    for after in range(0, statements, 1 if FULL else 6):
        drop_tables(sql.database)
        assert cut_upgrade(sql.database, after) == after
        schema.upgrade(sql.database)
        assert differences(sql.database) == []
        assert schema.revision(sql.database) == schema.HEAD
        with sql.database.reading() as session:
            assert session.scalar(sa.select(sa.func.count(AttemptLockRow.id))) == LOCKS


@only_mariadb
@pytest.mark.parametrize("scheme", ["mariadb+pymysql", "mysql+pymysql"])
def test_mariadb_makes_tables_that_lose_nothing_whatever_its_defaults(
    server: DatabaseServer, scheme: str
) -> None:
    stores = sql_stores(server.url.replace("mariadb+pymysql", scheme))
    assert differences(stores.database) == []
    with stores.database.reading() as session:
        assert session.scalar(sa.text("SELECT @@global.default_storage_engine")) == "MyISAM"
        made = session.execute(
            sa.text(
                "SELECT DISTINCT engine, row_format, table_collation "
                "FROM information_schema.tables WHERE table_schema = database()"
            )
        ).all()
        columns = session.scalars(
            sa.text(
                "SELECT DISTINCT collation_name FROM information_schema.columns "
                "WHERE table_schema = database() AND collation_name IS NOT NULL"
            )
        ).all()
    assert [tuple(one) for one in made] == [("InnoDB", "Dynamic", "utf8mb4_nopad_bin")]
    assert columns == ["utf8mb4_nopad_bin"]
    for name in ("al", "al ", "Al", "\u00e1l", "a\u0301l", "\N{KEY}"):
        stores.users.add(name, name, ticket_series="s", now_s=1)
    assert len(list(stores.users.each())) == 6
    assert stores.users.find("aL") is None
    stores.close()


@pytest.mark.parametrize(("length", "fits"), [(254, True), (255, True), (256, False)])
def test_a_name_is_stored_whole_or_not_at_all(stores: SqlStores, length: int, fits: bool) -> None:
    name = "\N{KEY}" * length
    if fits:
        assert stores.users.add(name, name, ticket_series="s", now_s=1).username == name
        assert stores.users.find(name) is not None
        return
    with pytest.raises(StoreError):
        stores.users.add(name, name, ticket_series="s", now_s=1)
    assert list(stores.users.each()) == []


def test_a_mysql_server_is_refused_in_so_many_words() -> None:
    server = start_mariadb("--version=5.7.10", wait=False)
    # MariaDB that says it is MySQL: Debian has no other.
    server.launch()
    database = Database({"sqlalchemy.url": server.url.replace("mariadb", "mysql", 1)})

    def refusal() -> str:
        try:
            schema.revision(database)
        except StoreError as error:
            return "" if "onnect" in str(error) else str(error)
        return "not refused"

    try:
        assert "MySQL server: not supported" in eventually(refusal, within_s=20)
    finally:
        database.engine.dispose()
        server.remove()


# -- many at once ----------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE", "AUTOCOMMIT"])
def test_counting_is_exact_whatever_isolation_the_ini_asks_for(
    stores: SqlStores, server: DatabaseServer, level: str
) -> None:
    given = {"sqlalchemy.url": server.url, "sqlalchemy.isolation_level": level}
    database = Database(given)
    store = SqlAttemptStore(database)
    charges = tuple(Charge(name, (Limit(5, 60),)) for name in ("a", "b"))
    tries = at_once(
        200, lambda number: store.count(charges[:: 1 if number % 2 else -1], now_s=1000)
    )
    assert sum(isinstance(one, Attempt) for one in tries) == 5
    assert {name: len(at) for name, at in store.stamps(["a", "b"], now_s=1000).items()} == {
        "a": 5,
        "b": 5,
    }
    database.engine.dispose()


def test_counting_forgiving_and_pruning_at_once_hold_one_another_up_for_nobody(
    stores: SqlStores,
) -> None:
    al = add(stores, "al")

    def visit(number: int) -> int:
        own, all_of_it = f"u{number % 3}:totp", f"u{number % 3}:run"
        counted = 0
        for second in range(20):
            charges = [Charge(own, (Limit(10_000, 60),)), Charge(all_of_it, (Limit(10_000, 60),))]
            attempt = stores.attempts.count(charges[:: 1 if number % 2 else -1], now_s=1000)
            assert isinstance(attempt, Attempt)
            counted += 1
            if number % 4 == 0:
                stores.tickets.add_login(new_login(al.id, forgiven=attempt, cleared=(all_of_it,)))
                counted -= 1
            if second % 7 == 0:
                stores.attempts.prune(now_s=900)
        return counted

    counted = sum(at_once(12, visit))
    own = stores.attempts.stamps([f"u{number}:totp" for number in range(3)], now_s=1000)
    assert sum(len(at) for at in own.values()) == counted


# -- time ------------------------------------------------------------------------------------------


def test_nothing_is_counted_where_the_lock_rows_are_gone(stores: SqlStores) -> None:
    with stores.database.writing() as session:
        session.execute(sa.delete(AttemptLockRow))
    try:
        with pytest.raises(StoreError, match="factored init"):
            stores.attempts.count(CHARGES, now_s=NOW_S)
    finally:
        schema.upgrade(stores.database)
    assert isinstance(stores.attempts.count(CHARGES, now_s=NOW_S), Attempt)


@only_postgresql
def test_tickets_are_locked_in_one_order_in_a_language_too(server: DatabaseServer) -> None:
    """English sorts "a" before "B", Python the other way: of two orders deadlocks are made."""
    stores = sql_stores(
        server.new_database("TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en'")
    )
    user = add(stores, "al")
    upper, lower = "B" * 22, "a" * 22
    for ticket_id in (upper, lower):
        stores.tickets.add(OpenTicket(ticket_id, user.id, "ga", "", "", "", 1, 1, 9**9))
    login = NewLogin(
        OpenTicket(new_id(), user.id, "ga", "", "", "", 1, 1, 9**9),
        Device(new_id(), user.id, 1, 1, "", ""), True, ended=(lower, upper), revoke_for_s=9,
    )  # fmt: skip
    waiting = sa.text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )

    def is_waiting() -> bool:
        with stores.database.reading() as other:
            return bool(other.scalar(waiting))

    one = sa.select(TicketRow.id).with_for_update(nowait=True)
    thread = threading.Thread(target=stores.tickets.add_login, args=(login,))
    with stores.database.writing() as session:
        session.execute(one.where(TicketRow.id == upper)).all()
        thread.start()
        eventually(is_waiting)
        session.execute(one.where(TicketRow.id == lower)).all()
    thread.join()
    assert len(stores.tickets.of(user.id, now_s=2)) == 1
    stores.close()


def test_the_databases_clock_tells_unix_time_in_any_time_zone(stores: SqlStores) -> None:
    with stores.database.reading() as session:
        now = session.scalar(sa.select(database_now()))
    assert isinstance(now, int)
    assert abs(now - time.time()) < 5


def test_a_logout_holds_within_5_s_on_a_node_with_a_wrong_clock(
    make_site: Callable[..., Site],
) -> None:
    here, there = make_site(), make_site(1800)
    here.login()
    value = here.web.cookies["auth_tkt"]
    visitor = there.browser().cookie(value)
    assert visitor.get("/").status_int == 200
    here.web.post("/auth/logout", {"csrf_token": here.csrf(), "submit": "logout"})
    eventually(lambda: visitor.get("/").status_int == 302, within_s=5)


# -- a database in trouble -------------------------------------------------------------------------

TABLES = ("factored_users", "factored_attempts", "factored_attempt_locks", "factored_revocations")
LOCK = {
    "postgresql": f"LOCK TABLE {', '.join(TABLES)} IN ACCESS EXCLUSIVE MODE",
    "mariadb": "LOCK TABLES " + ", ".join(f"{table} WRITE" for table in TABLES),
}
CALLS: list[Callable[[SqlStores], Any]] = [
    lambda stores: stores.users.find("al"),
    lambda stores: add(stores, "bo"),
    lambda stores: stores.attempts.count(CHARGES, now_s=NOW_S),
    lambda stores: stores.attempts.prune(now_s=NOW_S),
    lambda stores: stores.revocations.read(None),
]


def test_tables_that_somebody_holds_are_told_in_bounded_time(
    stores: SqlStores, server: DatabaseServer
) -> None:
    def waited_s(number: int) -> float:
        began = time.monotonic()
        with pytest.raises(StoreError):
            CALLS[number](stores)
        return time.monotonic() - began

    other = sa.create_engine(server.url, poolclass=sa.pool.NullPool)
    with other.connect() as connection:
        connection.execute(sa.text(LOCK[other.dialect.name]))
        assert max(at_once(len(CALLS), waited_s)) < ANSWER_S
    began = time.monotonic()
    for call in CALLS:
        call(stores)
    assert time.monotonic() - began < 1


def test_a_row_that_somebody_holds_is_told_in_bounded_time(stores: SqlStores) -> None:
    with stores.database.writing() as session:
        session.execute(sa.select(AttemptLockRow.id).with_for_update()).all()
        began = time.monotonic()
        with pytest.raises(StoreError):
            stores.attempts.count(CHARGES, now_s=NOW_S)
        assert time.monotonic() - began < ANSWER_S
    assert isinstance(stores.attempts.count(CHARGES, now_s=NOW_S), Attempt)


@only_postgresql
def test_options_in_the_url_do_not_lift_the_time_limit(
    stores: SqlStores, server: DatabaseServer
) -> None:
    given = {"sqlalchemy.url": server.url + "?options=-c%20timezone%3DUTC"}
    database = Database(given)
    with database.reading() as session:
        assert session.scalar(sa.text("SHOW timezone")) == "UTC"
        assert session.scalar(sa.text("SHOW statement_timeout")) == "5s"
    database.engine.dispose()


@only_postgresql
def test_an_upgrade_may_take_longer_than_an_answer_but_waits_for_no_lock_for_long(
    stores: SqlStores, server: DatabaseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database({"sqlalchemy.url": server.url + "?options=-c%20statement_timeout%3D100"})

    def slow(config: Any, target: str) -> None:
        config.attributes["connection"].execute(sa.text("SELECT pg_sleep(0.3)"))

    def locking(config: Any, target: str) -> None:
        config.attributes["connection"].execute(sa.text(LOCK["postgresql"]))

    monkeypatch.setattr("alembic.command.upgrade", slow)
    schema.upgrade(database)
    monkeypatch.setattr("alembic.command.upgrade", locking)
    monkeypatch.setattr("factored.store.schema.ANSWER_S", 1)
    with stores.database.engine.connect() as other:
        other.execute(sa.text(LOCK["postgresql"]))
        with pytest.raises(StoreError, match="lock timeout"):
            schema.upgrade(database)
    database.engine.dispose()


def test_a_server_that_was_restarted_is_used_again_at_once(
    stores: SqlStores, server: DatabaseServer
) -> None:
    user = add(stores, "al")
    server.stop()
    began = time.monotonic()
    with pytest.raises(StoreError):
        stores.users.find("al")
    assert time.monotonic() - began < ANSWER_S
    server.start()
    assert stores.users.find("al") == user


# -- the whole -------------------------------------------------------------------------------------


@pytest.fixture
def make_site(
    stores: SqlStores,
    server: DatabaseServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Callable[..., Site]]:
    """-> function: seconds by which this node's clock is wrong -> Site; all share one user"""
    databases: list[Database] = []

    class NotedDatabase(Database):
        def __init__(self, *args: Any, **kw: Any) -> None:
            super().__init__(*args, **kw)
            databases.append(self)

    monkeypatch.setattr("factored.store.bundle.Database", NotedDatabase)
    given = settings_for(tmp_path, sqlalchemy__url=server.url)
    ini = write_ini(tmp_path, given)
    assert factored("init", str(ini)) == 0
    capsys.readouterr()
    assert factored("user", "add", str(ini), f"--username={NAME}", "--json") == 0
    secret = json.loads(capsys.readouterr().out)["secret"]
    gates = []

    def make(wrong_by_s: int = 0) -> Site:
        clock = FixedClock(time.time() + wrong_by_s)
        gates.append(build_gate(given, clock))
        web = Browser(gates[-1], extra_environ={"REMOTE_ADDR": "192.0.2.1"})
        return Site(web, clock, ini, given, secret, capsys.readouterr)

    yield make
    for gate in gates:
        gate.close()
    for thread in threading.enumerate():
        if thread.name == "factored-revocations":
            thread.join(ANSWER_S)
    for database in databases:
        database.engine.dispose()


@only_postgresql
def test_a_login_takes_at_most_six_statements(make_site: Callable[..., Site]) -> None:
    site = make_site()
    site.login(site.browser())  # what a process asks once is over
    for kind, asked in statements_of_logins(site).items():
        assert 1 < len(asked) <= 6, "\n\n".join([kind, *asked])


def test_a_login_and_what_becomes_of_it_while_the_database_is_away(
    make_site: Callable[..., Site], server: DatabaseServer
) -> None:
    site = make_site()
    assert site.web.get("/").status_int == 302
    wrong = site.attempt(site.wrong_code())
    assert 'role="alert"' in wrong.text
    used = site.code()
    assert site.login().headers["Location"] == "/"
    assert f"Hello, {NAME}" in site.web.get("/").text
    assert "just used" in site.attempt(used, site.browser("192.0.2.2")).text

    server.stop()
    site.clock.advance(60)
    stranger = site.browser("192.0.2.3")
    assert f"Hello, {NAME}" in site.web.get("/").text
    assert site.attempt(site.code(), stranger).status_int == 503
    assert stranger.get("/").status_int == 302
    server.start()
    assert f"Hello, {NAME}" in site.login(stranger).follow().text
    assert site.command("user", "list").split() == [NAME]
