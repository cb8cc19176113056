"""The users of factored 1.x to 4.x go on logging in after ``factored init``."""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
import signal
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import pytest

from factored.services.adoption import HOW_TO_MEND
from factored.store import schema
from tests.support import Browser, FixedClock, Site, build_gate, factored, settings_for, write_ini
from tests.support_programs import require_program
from tests.unit.test_adoption import OLD_TABLE

DONE, FAILED = 0, 1


def old_secret(text: str) -> str:
    """ten letters or digits -> the secret that the old releases made of them: 80 bits"""
    assert len(text) == 10
    return base64.b32encode(text.encode()).decode()


AL, BO = old_secret("aB3dE6gH9k"), old_secret("0123456789")


@dataclass
class OldSite:
    """A folder with a database as the old releases left it, and an ini of today."""

    folder: Path
    printed: Callable[[], tuple[str, str]]

    def __post_init__(self) -> None:
        self.ini = str(write_ini(self.folder, settings_for(self.folder)))
        self.execute(OLD_TABLE)

    @property
    def file(self) -> Path:
        return self.folder / "factored.sqlite"

    def execute(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        with contextlib.closing(sqlite3.connect(self.file)) as connection:
            rows = connection.execute(statement, values).fetchall()
            connection.commit()
            return rows

    def add(self, name: str | None, secret: str | None, code: str | None = None) -> None:
        """As the old releases did: the database chooses the id."""
        self.execute(
            "INSERT INTO users (username, secret, generated_code, generated_code_time_stamp) "
            "VALUES (?, ?, ?, ?)",
            name, secret, code, code and "2015-06-07 08:09:10.123456",
        )  # fmt: skip

    def old_rows(self) -> list[tuple[object, ...]]:
        return self.execute("SELECT * FROM users ORDER BY id")

    def tables(self) -> set[object]:
        return {name for (name,) in self.execute("SELECT name FROM sqlite_master")}

    def run(self, *argv: str) -> tuple[int, str, str]:
        """command and options -> exit status, stdout, stderr"""
        verbs = [word for word in argv if not word.startswith("-")]
        self.printed()
        status = factored(*verbs, self.ini, *argv[len(verbs) :])
        return status, *self.printed()

    def init(self) -> int:
        """-> how many ``factored init`` says that it took over"""
        status, out, err = self.run("init", "--json")
        assert status == DONE, err
        told = json.loads(out)
        assert told["revision"] == schema.HEAD
        return int(told["adopted"])

    def names(self) -> list[str]:
        return [one["username"] for one in json.loads(self.run("user", "list", "--json")[1])]


@pytest.fixture
def old(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> OldSite:
    return OldSite(tmp_path, capsys.readouterr)


@pytest.fixture
def adopted(old: OldSite, clock: FixedClock) -> Iterator[Site]:
    """A running site whose user al@example.com was taken over."""
    old.add("Al@example.com", AL, code="k2Jd81lsPQ9z")
    old.add("bo", f"b'{BO}'")
    assert old.init() == 2
    given = settings_for(old.folder)
    gate = build_gate(given, clock)
    web = Browser(gate, extra_environ={"REMOTE_ADDR": "192.0.2.1"})
    yield Site(web, clock, Path(old.ini), given, AL)
    gate.close()


def code_of(secret: str, clock: FixedClock) -> str:
    """old secret -> its code now, made anew from RFC 6238: pyotp refuses 80 bits"""
    step = int(clock.now_s()) // 30
    digest = hmac.digest(base64.b32decode(secret), step.to_bytes(8, "big"), "sha1")
    (number,) = struct.unpack_from(">I", digest, digest[-1] & 15)
    return f"{(number & 0x7FFFFFFF) % 1_000_000:06}"


# -- logging in ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "secret", "stored"),
    [("al@example.com", AL, "Al@example.com"), ("bo", BO, "bo")],
)
def test_a_user_taken_over_logs_in_by_the_app_he_has(
    adopted: Site, name: str, secret: str, stored: str
) -> None:
    response = adopted.attempt(code_of(secret, adopted.clock), name=name)
    assert response.status_int == 303, response
    assert f"Hello, {stored}<" in adopted.web.get("/").text


def test_the_codes_are_those_of_oathtool(adopted: Site) -> None:
    oathtool = require_program("oathtool")
    now = datetime.fromtimestamp(adopted.clock.now_s(), timezone.utc)
    shown = subprocess.run(
        [oathtool, "--totp", "--base32", f"--now={now:%Y-%m-%d %H:%M:%S UTC}", AL],
        capture_output=True,
        text=True,
        check=True,
    )
    assert adopted.attempt(shown.stdout.strip()).status_int == 303


def test_an_old_secret_is_marked_for_renewal_and_unreadable_in_the_new_tables(
    adopted: Site, old: OldSite
) -> None:
    _, out, _ = old.run("user", "show", "--username=al@example.com", "--json", "--show-secret")
    told = json.loads(out)
    assert told["secret"] == AL
    assert [one["needs_renewal"] for one in told["authenticators"]] == [True]
    for (sealed,) in old.execute("SELECT secret FROM factored_authenticators"):
        assert str(sealed).startswith("v1.")


# -- the command -----------------------------------------------------------------------------------


def test_the_old_table_is_left_as_it_is(old: OldSite) -> None:
    old.add("al", AL, code="k2Jd81lsPQ9z")
    old.add("bo", None)
    before = old.old_rows()
    assert old.init() == 2
    assert old.old_rows() == before


def test_init_says_who_has_no_authenticator_and_what_stays(old: OldSite) -> None:
    old.add("al", AL)
    old.add("bo", None)
    old.add("cy", "not base32")
    status, out, err = old.run("init", "--json")
    assert (status, json.loads(out)["adopted"]) == (DONE, 3)
    assert "bo is taken over without an authenticator: the old secret is missing" in err
    assert "cy is taken over without an authenticator: the old secret is not base32" in err
    assert "al is taken over without" not in err
    assert "users taken over: 3; the old table is left as it is" in err
    assert AL not in out + err


def test_an_old_table_without_rows_is_no_trouble(old: OldSite) -> None:
    assert old.init() == 0


def test_a_second_run_takes_over_nobody_not_even_who_was_removed_since(old: OldSite) -> None:
    for name in ("al", "bo"):
        old.add(name, None)
    assert old.init() == 2
    assert old.init() == 0
    assert old.names() == ["al", "bo"]
    assert old.run("user", "remove", "--username=bo")[0] == DONE
    assert old.init() == 0
    assert old.names() == ["al"]


def test_users_whom_the_old_release_added_later_are_taken_over_by_the_next_run(
    old: OldSite,
) -> None:
    old.add("al", AL)
    assert old.init() == 1
    old.add("bo", BO)
    assert old.init() == 1
    assert old.names() == ["al", "bo"]


def test_the_old_table_may_be_dropped(old: OldSite) -> None:
    old.add("al", AL)
    assert old.init() == 1
    old.execute("DROP TABLE users")
    assert old.init() == 0
    assert old.names() == ["al"]


@pytest.mark.parametrize(
    ("clashing", "told"),
    [("AL", "'al' (id 1"), ("al ", "'al' (id 1"), ("al!", "exclamation"), (None, "no user name")],
)
def test_names_that_cannot_be_taken_over_change_nothing_at_all(
    old: OldSite, clashing: str | None, told: str
) -> None:
    old.add("al", AL)
    old.add(clashing, BO)
    before = old.old_rows()
    status, out, err = old.run("init", "--json")
    assert (status, out) == (FAILED, "")
    assert "(id 2 of the old table)" in err and HOW_TO_MEND in err
    assert told in err
    assert old.old_rows() == before
    assert not {name for name in old.tables() if str(name).startswith("factored")}
    assert not (old.folder / "factored.key").exists()


def test_mended_as_the_message_says_it_goes_on(old: OldSite) -> None:
    old.add("al", AL)
    old.add("AL", BO)
    assert old.run("init", "--json")[0] == FAILED
    old.execute("UPDATE users SET username = 'al2' WHERE id = 2")
    assert old.init() == 2
    assert old.names() == ["al", "al2"]


def test_a_later_old_row_that_clashes_is_told_and_nobody_is_taken_over(old: OldSite) -> None:
    old.add("al", AL)
    assert old.init() == 1
    old.add("bo", None)
    old.add("AL", BO)
    status, _, err = old.run("init", "--json")
    assert status == FAILED
    assert "'AL' (id 3 of the old table) and 'al', a user already, would be one user." in err
    assert old.names() == ["al"]


KILLED = """
import os, signal, sys
from factored.scripts.main import main
from factored.services.adoption import Adoption
from factored.store import legacy

def kill(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)

def insert_and_kill(*arguments):
    insert(*arguments)
    kill()

insert, legacy.PAGE = legacy._insert, 2
if sys.argv[2] == "after the tables":
    Adoption.run = kill
else:
    legacy._insert = insert_and_kill
main(["init", sys.argv[1]])
"""


@pytest.mark.parametrize("moment", ["after the tables", "after some rows"])
def test_a_run_that_was_killed_can_run_again(old: OldSite, moment: str) -> None:
    for name in ("al", "bo", "cy"):
        old.add(name, None)
    killed = subprocess.run([sys.executable, "-c", KILLED, old.ini, moment], capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert "factored_adopted" in old.tables()
    assert old.names() == []
    assert old.init() == 3
    assert old.names() == ["al", "bo", "cy"]
