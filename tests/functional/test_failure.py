"""The database is down: nobody new gets in, nothing is half done, and who is in goes on working."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from factored.interfaces import StoreError
from factored.services.revocation import RevocationList
from factored.web.site import Turns
from tests.functional.test_gate import gate_of
from tests.support import NAME, FixedClock, Recorder, Site


def path_of(site: Site) -> str:
    return site.given["sqlalchemy.url"].removeprefix("sqlite:///")


def execute(site: Site, *statements: str) -> list[tuple[str, ...]]:
    """statements -> the rows of the last one"""
    rows: list[tuple[str, ...]] = []
    with closing(sqlite3.connect(path_of(site), isolation_level=None)) as connection:
        for statement in statements:
            rows = connection.execute(statement).fetchall()
    return rows


@contextmanager
def database_down(site: Site) -> Iterator[None]:
    """While it lasts the database has none of our tables; afterwards it is as it was."""
    rows = execute(
        site, "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'factored%'"
    )
    tables = [name for (name,) in rows]
    execute(site, *(f"ALTER TABLE {name} RENAME TO gone_{name}" for name in tables))
    try:
        yield
    finally:
        execute(site, *(f"ALTER TABLE gone_{name} RENAME TO {name}" for name in tables))


def revocations_of(site: Site) -> RevocationList:
    found = gate_of(site)._revocations
    assert isinstance(found, RevocationList)
    return found


def test_a_login_is_a_503_page_and_works_again_afterwards(site: Site) -> None:
    site.web.get("/")
    with database_down(site):
        answer = site.attempt(site.code())
        assert answer.status_int == 503
        assert answer.headers["Retry-After"] == "10"
        assert "Nobody can sign in at the moment" in answer.text
        assert "auth_tkt" not in answer.headers.get("Set-Cookie", "")
        for name in (NAME, "nobody@example.com"):
            assert site.attempt(site.wrong_code(), name=name).text == answer.text
    assert site.login()


def test_a_damaged_database_file_is_a_503_page(site: Site) -> None:
    site.csrf()
    Path(path_of(site)).write_bytes(b"This is no database any more. " * 400)
    assert site.attempt(site.code()).status_int == 503
    assert site.web.get("/auth/readyz").status_int == 503
    assert site.web.get("/auth/healthz").status_int == 200


def test_who_has_a_good_ticket_goes_on_working(site: Site) -> None:
    site.login()
    assert site.web.get("/").status_int == 200
    with database_down(site):
        for path in ("/", "/other", "/auth/ga"):
            assert site.web.get(path).status_int == 200


def test_what_is_known_to_be_revoked_stays_revoked(site: Site) -> None:
    site.login()
    ticket = site.web.cookies["auth_tkt"]
    site.web.get("/auth/logout").form.submit("submit", value="logout")
    with database_down(site):
        assert site.browser().cookie(ticket).get("/").status_int == 302


def test_a_logout_that_cannot_be_kept_is_not_said_to_be_done(site: Site) -> None:
    site.login()
    page = site.web.get("/auth/logout")
    with database_down(site):
        answer = page.form.submit("submit", value="logout", expect_errors=True)
        assert answer.status_int == 503
        assert "auth_tkt" not in answer.headers.get("Set-Cookie", "")
    assert site.web.get("/").status_int == 200


def test_an_unlock_link_is_a_503_page_and_stays_unspent(site: Site) -> None:
    url = json.loads(site.command("user", "unlock", f"--username={NAME}", "--json"))["url"]
    page = site.web.get(url)
    with database_down(site):
        assert site.web.get(url).status_int == 503
        assert page.form.submit("submit", value="unlock", expect_errors=True).status_int == 503
    assert page.form.submit("submit", value="unlock").status_int == 200


def test_a_load_balancer_is_told(site: Site) -> None:
    assert site.web.get("/auth/readyz").json == {
        "status": "ready",
        "checks": {"revocations": True, "database": True, "mail": True},
    }
    with database_down(site):
        health, ready = site.web.get("/auth/healthz"), site.web.get("/auth/readyz")
        assert (health.status_int, health.json) == (200, {"status": "ok"})
        assert (ready.status_int, ready.json["checks"]["database"]) == (503, False)
        assert "sqlite" not in ready.text
    assert site.web.get("/auth/readyz").status_int == 200


def test_a_database_of_another_release_is_not_ready(site: Site) -> None:
    execute(site, "UPDATE factored_version SET version_num = '9999'")
    assert site.web.get("/auth/readyz").status_int == 503


def test_a_process_that_has_never_read_the_revocations_lets_nobody_in(
    make_site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    downstream = Recorder()
    site = make_site(downstream, excepted_paths="/open")
    monkeypatch.setattr("factored.services.revocation.REREAD_S", 0.01)
    with database_down(site):
        web = site.browser().cookie(site.ticket())
        for ask in (web.get, web.post, site.browser().get):
            answer = ask("/")
            assert answer.status_int == 503
            assert answer.headers["Retry-After"] == "5"
        assert web.get("/auth/readyz").json["checks"]["revocations"] is False
        assert web.get("/auth/ga").status_int == 200
        assert "Signed in as" not in web.get("/auth/ga").text
        assert web.get("/auth/healthz").status_int == 200
        assert web.get("/open").status_int == 200
        assert site.attempt(site.code()).status_int == 503
    assert [one.get("REMOTE_USER") for one in downstream.seen] == [None]
    revocations_of(site).read()
    assert web.get("/").status_int == 200


def test_few_wait_for_a_slow_database_at_once_and_the_others_are_turned_away() -> None:
    turn = Turns(FixedClock(), places=1, wait_s=0)
    for _ in range(2):
        with turn, pytest.raises(StoreError, match="keeps others waiting"), turn:
            raise AssertionError("there is one place")
    with pytest.raises(ZeroDivisionError), turn:
        raise ZeroDivisionError
    with turn:
        pass


def test_once_somebody_waited_in_vain_nobody_waits_for_a_moment() -> None:
    clock = FixedClock()
    turn = Turns(clock, places=1, wait_s=0.05)

    def waits(longer_than_s: float) -> bool:
        before = time.monotonic()
        with pytest.raises(StoreError), turn:
            raise AssertionError("there is one place")
        return time.monotonic() - before > longer_than_s

    with turn:
        assert waits(0.04)
        clock.advance(0.04)
        assert not waits(0.04)
        clock.advance(0.02)
        assert waits(0.04)
    with turn:
        pass


def test_a_revocation_made_elsewhere_holds_once_it_is_read(
    make_site: Callable[..., Site],
) -> None:
    here, there = make_site(), make_site()
    here.login()
    ticket = here.web.cookies["auth_tkt"]
    assert there.browser().cookie(ticket).get("/").status_int == 200
    here.web.get("/auth/logout").form.submit("submit", value="logout")
    revocations_of(there).read()
    assert there.browser().cookie(ticket).get("/").status_int == 302


def test_a_key_file_that_cannot_be_read_any_more_does_not_stop_a_running_site(site: Site) -> None:
    site.login()
    key_file = Path(site.given["key_file"])
    whole = key_file.read_text()
    for spoilt in ("", "this is no key\n", None):
        key_file.unlink() if spoilt is None else key_file.write_text(spoilt)
        site.clock.advance(60)
        assert site.attempt(site.code()).status_int == 303
    key_file.write_text(whole)


def test_a_secret_that_cannot_be_decrypted_is_a_wrong_code_for_all_who_ask(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    execute(site, "UPDATE factored_authenticators SET secret = 'v1.AAAA'")
    answer = site.attempt(site.code())
    assert answer.status_int == 200
    assert "That code is not right" in answer.text
    assert "cannot be read with today's keys" in caplog.text
