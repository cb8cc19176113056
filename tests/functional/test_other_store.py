"""A site whose store is a plug-in's and no database: its commands, its pages, its being down."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from factored.codes import new_key
from factored.interfaces import StoreContext, StoreError
from factored.keys import create_file
from factored.scripts import bulk, installation, users
from factored.services import parts
from factored.store import bundle
from factored.store.bundle import MemoryStores
from tests.support import NAME, Browser, FixedClock, Site, build_gate, factored, settings_for
from tests.support import write_ini as write
from tests.unit.test_parts import Offer, offer

__all__ = ["offer"]


class Kept(MemoryStores):
    """The one store in memory of a test, for its commands and its gate, which can be down."""

    down = False
    closed = False

    def check(self) -> None:
        if self.down:
            raise StoreError("the store is down")
        super().check()

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def kept(clock: FixedClock, offer: Offer, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """The store ``Kept``, installed; whoever opens a database is told off."""
    made = Kept(StoreContext(None, clock))
    offer(parts.STORES, "Kept", instead=lambda context: made)

    def no_database(*args: Any, **kw: Any) -> None:
        raise AssertionError("a database was opened")

    monkeypatch.setattr(bundle, "Database", no_database)
    for commands in (bulk, installation, users):
        monkeypatch.setattr(commands, "SystemClock", lambda: clock)
    return made


@pytest.fixture
def given(tmp_path: Path) -> dict[str, str]:
    return settings_for(tmp_path, store="Kept", sqlalchemy__url=None)


@pytest.fixture
def site(
    tmp_path: Path,
    clock: FixedClock,
    kept: Kept,
    given: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Site]:
    ini = write(tmp_path, given)
    assert factored("init", str(ini)) == 0
    capsys.readouterr()
    assert factored("user", "add", str(ini), f"--username={NAME}", "--json") == 0
    secret = json.loads(capsys.readouterr().out)["secret"]
    gate = build_gate(given, clock)
    web = Browser(gate, extra_environ={"REMOTE_ADDR": "192.0.2.1"})
    yield Site(web, clock, ini, given, secret, capsys.readouterr)
    gate.close()


def test_init_makes_the_store_and_says_where_it_is(
    tmp_path: Path, kept: Kept, given: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    ini = str(write(tmp_path, given))
    assert kept.revision() is None
    for _ in range(2):
        assert factored("init", ini, "--json") == 0
        document = json.loads(capsys.readouterr().out)
        assert document == {"database": "memory", "revision": "1", "adopted": 0}
    assert factored("init", ini) == 0
    assert "memory is at revision 1" in capsys.readouterr().err


def test_before_init_the_commands_say_what_to_do(
    tmp_path: Path, kept: Kept, given: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    create_file(tmp_path / "factored.key", new_key())
    assert factored("user", "list", str(write(tmp_path, given))) == 1
    assert "run `factored init`" in capsys.readouterr().err


def test_a_lost_key_file_is_not_replaced(site: Site, tmp_path: Path) -> None:
    (tmp_path / "factored.key").unlink()
    assert factored("init", str(site.ini)) == 1
    assert "put it back from a backup" in site.printed()[1]


def test_the_commands_work(site: Site) -> None:
    checks = {one["name"]: one for one in json.loads(site.command("check", "--json"))["checks"]}
    assert checks["database"]["detail"] == "memory answers"
    assert checks["schema"]["detail"] == "is 1, which this release can use"
    assert site.command("user", "list") == f"{NAME}\n"
    assert site.secret in site.command("user", "show", f"--username={NAME}", "--show-secret")
    site.command("user", "remove", f"--username={NAME}")
    assert site.command("user", "list") == ""


def test_a_user_logs_in_with_each_code_once_and_out_again(site: Site, kept: Kept) -> None:
    assert site.web.get("/auth/readyz").status_int == 200
    site.login()
    assert NAME in site.web.get("/").text
    again = site.attempt(site.code(), site.browser())
    assert again.status_int == 200 and "just used" in again.text
    form = {"csrf_token": site.csrf(), "submit": "logout"}
    assert site.web.post("/auth/logout", form).status_int == 200
    assert site.web.get("/").status_int == 302
    assert len(kept.revocations.read(None)[1]) == 1


def test_a_store_that_is_down_is_not_ready_and_the_log_says_why(
    site: Site, kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    kept.down = True
    ready = site.web.get("/auth/readyz")
    assert (ready.status_int, ready.json["checks"]["database"]) == (503, False)
    assert "the store is down" in caplog.text
    site.printed()
    assert factored("check", str(site.ini), "--json") == 1
    checks = json.loads(site.printed()[0])["checks"]
    failed = {one["name"]: one["detail"] for one in checks if not one["ok"]}
    assert failed == {"schema": "the store is down"}


def test_closing_the_gate_closes_the_store(site: Site, kept: Kept) -> None:
    assert not kept.closed
    site.web.app.close()
    assert kept.closed
