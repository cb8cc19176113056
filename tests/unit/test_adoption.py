"""Old rows become users of their own, all of those that wait, or none."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from factored import codes, keys
from factored.interfaces import NewUser, StoreError
from factored.keys import KeyRing
from factored.schemes import totp
from factored.services import adoption
from factored.services.adoption import Adoption, BadSecret, NotAdoptable, read_secret
from factored.services.enrolment import open_secret
from factored.store import legacy
from factored.store.bundle import SqlStores
from factored.store.legacy import LegacyUsers, Newcomer, OldUser
from tests.contract.test_stores import sql_stores
from tests.contract.user_store import add
from tests.support import NOW_S, FixedClock

OLD_TABLE = (
    "CREATE TABLE users (id INTEGER NOT NULL PRIMARY KEY, username TEXT UNIQUE, "
    "secret TEXT UNIQUE, generated_code TEXT, generated_code_time_stamp DATETIME)"
)
SECRET = "JBSWY3DPEHPK3PXP"

Row = tuple[int, object, object]
Fill = Callable[..., None]


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SqlStores:
    """Stores of today in the database of yesterday, read by pages of two."""
    monkeypatch.setattr(legacy, "PAGE", 2)
    return sql_stores(f"sqlite:///{tmp_path / 'old.sqlite'}")


@pytest.fixture
def fill(stores: SqlStores, tmp_path: Path) -> Fill:
    """-> function: rows (id, name, secret) -> None; they are in the old table, which is there"""

    def insert(*rows: Row) -> None:
        with contextlib.closing(sqlite3.connect(tmp_path / "old.sqlite")) as connection:
            connection.execute(OLD_TABLE.replace("TABLE users", "TABLE IF NOT EXISTS users"))
            connection.executemany("INSERT INTO users (id, username, secret) VALUES (?,?,?)", rows)
            connection.commit()

    return insert


@pytest.fixture
def adopting(stores: SqlStores, clock: FixedClock) -> Adoption:
    return Adoption(LegacyUsers(stores.database), clock)


@pytest.fixture(scope="module")
def ring() -> KeyRing:
    key = keys.parse_keys(codes.new_key())
    return KeyRing(lambda: key)


def refused(adopting: Adoption) -> tuple[str, ...]:
    """-> the problems that are told, without how to mend them"""
    with pytest.raises(NotAdoptable) as caught:
        adopting.check()
    *problems, last = caught.value.problems
    assert last == adoption.HOW_TO_MEND
    return tuple(problems)


# -- secrets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "saved",
    [SECRET, f"b'{SECRET}'", SECRET.lower(), f" {SECRET}\n", f"{SECRET}======", f"b'{SECRET}='"],
)
def test_a_secret_is_read_however_it_was_saved(saved: str) -> None:
    assert read_secret(saved) == SECRET


@pytest.mark.parametrize(
    ("saved", "reason"),
    [
        (None, "is missing"),
        ("", "is missing"),
        ("b''", "is missing"),
        ("====", "is missing"),
        ("JBSWY3DPEHPK3PX1", "is not base32"),
        ("JBSWY3DPEHPK3PXP!", "is not base32"),
        ("JBSWY3DPEHPK3PXPA", "is not base32"),
        ("JB=WY3DPEHPK3PXP", "is not base32"),
        ("JB\u017fWY3DPEHPK3PXP", "is not base32"),
        ("JBSWY3DPEHPK3PX", "has less than 80 bits"),
        ("JBSWY3DP", "has less than 80 bits"),
    ],
)
def test_what_no_code_can_come_from_is_no_secret(saved: str | None, reason: str) -> None:
    with pytest.raises(BadSecret, match=f"^{reason}$"):
        read_secret(saved)


def test_the_shortest_secret_taken_over_is_the_shortest_that_logs_in() -> None:
    assert adoption.MIN_SECRET_BYTES == totp.MIN_SECRET_BYTES


@pytest.mark.parametrize(
    ("characters", "needs_renewal"), [(16, True), (31, True), (32, False), (40, False)]
)
def test_a_secret_under_160_bits_is_marked_for_renewal(
    stores: SqlStores, fill: Fill, adopting: Adoption, ring: KeyRing,
    characters: int, needs_renewal: bool,
) -> None:  # fmt: skip
    fill((1, "al", "A" * characters))
    adopting.run(ring)
    user = stores.users.find("al")
    assert user is not None
    assert user.authenticators[0].needs_renewal is needs_renewal


# -- users -----------------------------------------------------------------------------------------


def test_a_row_becomes_a_user_who_can_log_in(
    stores: SqlStores, fill: Fill, adopting: Adoption, ring: KeyRing
) -> None:
    fill((7, "  Jose\u0301 ", f"b'{SECRET}'"))
    adopting.check()
    assert adopting.run(ring) == adoption.Adopted(1, ())
    user = stores.users.find("josé")
    assert user is not None
    assert (user.username, user.created_at, len(user.ticket_series)) == ("José", NOW_S, 22)
    (held,) = user.active("ga")
    assert (held.user_id, held.confirmed_at, held.last_step) == (user.id, NOW_S, -1)
    assert SECRET not in held.secret
    assert open_secret(ring, held) == SECRET


def test_every_user_gets_his_own_secret_and_series_over_several_pages(
    stores: SqlStores, fill: Fill, adopting: Adoption, ring: KeyRing
) -> None:
    secrets = {f"user{number}": f"JBSWY3DPEHPK3PX{'ABCDE'[number]}" for number in range(5)}
    fill(*((10 - number, name, saved) for number, (name, saved) in enumerate(secrets.items())))
    assert adopting.run(ring).count == 5
    users = list(stores.users.each())
    found = {one.username: open_secret(ring, one.authenticators[0]) for one in users}
    assert found == secrets
    assert len({one.ticket_series for one in users}) == 5


def test_a_user_without_a_good_secret_is_taken_over_and_named(
    stores: SqlStores, fill: Fill, adopting: Adoption, ring: KeyRing
) -> None:
    fill((1, "al", None), (2, "bo", SECRET), (3, "cy", "not base32"))
    assert adopting.run(ring) == adoption.Adopted(
        3, (("al", "the old secret is missing"), ("cy", "the old secret is not base32"))
    )
    held = {one.username: len(one.authenticators) for one in stores.users.each()}
    assert held == {"al": 0, "bo": 1, "cy": 0}


def test_text_that_sqlite_keeps_as_bytes_is_text(
    stores: SqlStores, fill: Fill, adopting: Adoption, ring: KeyRing
) -> None:
    fill((1, "José".encode(), SECRET.encode()))
    adopting.run(ring)
    user = stores.users.find("josé")
    assert user is not None and open_secret(ring, user.authenticators[0]) == SECRET


def test_a_database_without_an_old_table_has_nobody_waiting(
    adopting: Adoption, ring: KeyRing
) -> None:
    adopting.check()
    assert adopting.run(ring).count == 0


@pytest.mark.parametrize("missing", sorted(legacy.COLUMNS))
def test_a_table_of_the_sites_own_is_left_alone(
    stores: SqlStores, adopting: Adoption, ring: KeyRing, missing: str
) -> None:
    columns = {**dict.fromkeys(legacy.COLUMNS, "TEXT"), "email": "TEXT"}
    del columns[missing]
    with stores.database.writing() as session:
        parts = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        session.execute(sa.text(f"CREATE TABLE users ({parts})"))
        session.execute(sa.text("INSERT INTO users (email) VALUES ('al@example.com')"))
    adopting.check()
    assert adopting.run(ring).count == 0
    assert list(stores.users.each()) == []


def test_an_old_table_with_columns_added_is_still_the_old_table(
    stores: SqlStores, fill: Fill, adopting: Adoption, ring: KeyRing
) -> None:
    fill((1, "al", SECRET))
    with stores.database.writing() as session:
        session.execute(sa.text("ALTER TABLE users ADD COLUMN remark TEXT"))
    assert adopting.run(ring).count == 1


# -- names -----------------------------------------------------------------------------------------


def test_names_that_would_become_one_are_told_in_pairs_across_pages(
    stores: SqlStores, fill: Fill, adopting: Adoption
) -> None:
    fill((1, "al", None), (2, "bo", None), (3, "cy", None), (4, "AL", None), (5, " Al ", None))
    assert refused(adopting) == (
        "'al' (id 1 of the old table) and 'AL' (id 4 of the old table) would be one user.",
        "'al' (id 1 of the old table) and ' Al ' (id 5 of the old table) would be one user.",
    )


def test_a_name_of_a_user_who_is_there_already_is_told(
    stores: SqlStores, fill: Fill, adopting: Adoption
) -> None:
    add(stores, "Al")
    fill((1, "bo", None), (2, "cy", None), (3, "AL", None))
    assert refused(adopting) == (
        "'AL' (id 3 of the old table) and 'Al', a user already, would be one user.",
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (None, "no user name"),
        ("", "empty"),
        ("   ", "empty"),
        ("al!bo", "exclamation mark"),
        ("al\x00", "control"),
        ("al@", "one plain e-mail address"),
        ("a" * 255, "longer than 254"),
        (b"al\xff", "not text"),
    ],
)
def test_a_name_that_is_none_today_is_told_with_the_reason(
    fill: Fill, adopting: Adoption, name: object, reason: str
) -> None:
    fill((1, "bo", None), (4, name, None))
    (problem,) = refused(adopting)
    assert "(id 4 of the old table)" in problem and reason in problem
    assert problem.isprintable()


def test_the_longest_name_is_taken_over(
    stores: SqlStores, fill: Fill, adopting: Adoption, ring: KeyRing
) -> None:
    fill((1, "a" * 254, None))
    adopting.check()
    assert adopting.run(ring).count == 1


def test_all_problems_are_told_at_once(stores: SqlStores, fill: Fill, adopting: Adoption) -> None:
    add(stores, "cy")
    fill((1, "al", None), (2, "b!", None), (3, "AL", None), (4, "Cy", None))
    assert len(refused(adopting)) == 3


# -- once and only once ----------------------------------------------------------------------------


def test_what_was_taken_over_is_not_taken_over_again(
    stores: SqlStores, fill: Fill, adopting: Adoption, ring: KeyRing
) -> None:
    fill((1, "al", SECRET), (2, "bo", None), (3, "cy", None))
    assert adopting.run(ring).count == 3
    (user, *_) = stores.users.each()
    stores.users.remove(user.id, revoke_for_s=60)
    adopting.check()
    assert adopting.run(ring).count == 0
    assert [one.username for one in stores.users.each()] == ["bo", "cy"]


def test_a_row_that_got_the_id_of_a_removed_one_is_another_user(
    stores: SqlStores, fill: Fill, adopting: Adoption, ring: KeyRing
) -> None:
    fill((1, "al", None), (2, "bo", None))
    adopting.run(ring)
    with stores.database.writing() as session:
        session.execute(sa.text("DELETE FROM users WHERE id = 2"))
    fill((2, "cy", None), (3, "di", None))
    for expected in (2, 0):
        adopting.check()
        assert adopting.run(ring).count == expected
    assert [one.username for one in stores.users.each()] == ["al", "bo", "cy", "di"]


def test_an_error_at_the_last_row_undoes_all_of_them(stores: SqlStores, fill: Fill) -> None:
    fill(*((number, f"user{number}", None) for number in range(5)))
    old_users = LegacyUsers(stores.database)

    def make(old: OldUser) -> Newcomer:
        if old.id == 4:
            raise KeyboardInterrupt
        name = str(old.username)
        return Newcomer(old, NewUser(name, name, codes.new_id(), NOW_S))

    with pytest.raises(KeyboardInterrupt):
        old_users.adopt(make)
    assert list(stores.users.each()) == []
    assert len(list(old_users.waiting())) == 5


def test_a_name_taken_between_the_check_and_the_run_changes_nothing(
    stores: SqlStores, fill: Fill, adopting: Adoption, ring: KeyRing
) -> None:
    fill((1, "al", None), (2, "bo", None), (3, "cy", None))
    adopting.check()
    add(stores, "cy")
    with pytest.raises(StoreError):
        adopting.run(ring)
    assert [one.username for one in stores.users.each()] == ["cy"]
    assert len(refused(adopting)) == 1


def test_secrets_are_not_shown_by_accident() -> None:
    assert SECRET not in repr(OldUser(1, "al", SECRET))
