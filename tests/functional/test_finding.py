"""Somebody without an account, whom the finder knows, gets one by proving a mailbox."""

from __future__ import annotations

import configparser
import queue
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from webtest import TestResponse

from factored.interfaces import Mail
from factored.mail import Postman
from factored.services.parts import read_settings
from tests.support import (
    NAME,
    Browser,
    Site,
    factored,
    make_people,
    run_sql,
    settings_for,
    token_of,
    unnamed,
)
from tests.test_docs import blocks, text_of

BO = "bo@example.com"
MAILED = {"supported_auth_schemes": "Google Auth\nEmail", "email_auth__sender": "in@example.com"}
BY_DOMAIN = {
    **MAILED,
    "autouserfinder": "Email Domain",
    "autouserfinder__valid_domains": "example.com",
}

Mails = queue.Queue[Mail]


@pytest.fixture
def mails(monkeypatch: pytest.MonkeyPatch) -> Mails:
    """-> every mail that is sent"""
    sent: Mails = queue.Queue()
    monkeypatch.setattr(Postman, "send", lambda self, mail: sent.put(mail))
    return sent


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """-> database of the site's own, with people"""
    path = tmp_path / "people.sqlite"
    make_people(f"sqlite:///{path}", "Bo@Example.com", "cy@example.com", "al@example.com")
    return path


@pytest.fixture
def by_table(make_site: Callable[..., Site], mails: Mails, people: Path) -> Site:
    return make_site(
        **MAILED,
        autouserfinder="SQL",
        autouserfinder__connection_string=f"sqlite:///{people}",
        autouserfinder__table_name="people",
        autouserfinder__email_field="email",
    )


@pytest.fixture
def by_domain(make_site: Callable[..., Site], mails: Mails) -> Site:
    return make_site(**BY_DOMAIN)


def ask(web: Browser, name: str) -> TestResponse:
    """browser, name -> the answer to the first form"""
    form = {"csrf_token": token_of(web.get("/auth/em")), "username": name, "submit": "username"}
    return web.post("/auth/em", form)


def answer(web: Browser, name: str, code: str) -> TestResponse:
    """browser, name, code -> the answer to the second form"""
    form = {"csrf_token": token_of(web.get("/auth/em")), "username": name, "code": code}
    return web.post("/auth/em", {**form, "submit": "authenticate"})


def mailed_code(mails: Mails, to: str) -> str:
    mail = mails.get(timeout=10)
    assert mail.to == to
    match = re.search(r"code is: (\S+)", mail.text)
    assert match, mail.text
    return match[1]


def log_in(site: Site, mails: Mails, name: str, to: str) -> Browser:
    """site, name -> a browser that proved the mailbox"""
    web = site.browser()
    assert ask(web, name).status_int == 200
    assert answer(web, name, mailed_code(mails, to)).status_int == 303
    return web


def users_of(site: Site) -> list[str]:
    return sorted(site.command("user", "list").split())


# -- who is found ---------------------------------------------------------------------------------


def test_who_stands_in_the_table_logs_in_by_mail(by_table: Site, mails: Mails) -> None:
    web = log_in(by_table, mails, BO, "Bo@Example.com")
    assert "Bo@Example.com" in web.get("/").text
    assert users_of(by_table) == ["Bo@Example.com", NAME]


def test_who_has_an_address_in_the_domain_logs_in_by_mail(by_domain: Site, mails: Mails) -> None:
    web = log_in(by_domain, mails, BO, BO)
    assert BO in web.get("/").text
    assert users_of(by_domain) == [NAME, BO]


def test_the_account_is_made_when_the_mailbox_is_proven_and_not_before(
    by_domain: Site, mails: Mails
) -> None:
    web = by_domain.browser()
    ask(web, BO)
    assert users_of(by_domain) == [NAME]
    code = mailed_code(mails, BO)
    wrong = "00000000" if code != "0000-0000" else "11111111"
    assert answer(web, BO, wrong).status_int == 200
    assert users_of(by_domain) == [NAME]
    assert answer(web, BO, code).status_int == 303
    assert users_of(by_domain) == [NAME, BO]


def test_the_code_of_another_browser_makes_no_account(by_domain: Site, mails: Mails) -> None:
    ask(by_domain.browser(), BO)
    code = mailed_code(mails, BO)
    assert answer(by_domain.browser("198.51.100.7"), BO, code).status_int == 200
    assert users_of(by_domain) == [NAME]


def test_a_code_that_is_over_makes_no_account(by_domain: Site, mails: Mails) -> None:
    web = by_domain.browser()
    ask(web, BO)
    code = mailed_code(mails, BO)
    by_domain.clock.advance(120)
    assert answer(web, BO, code).status_int == 200
    assert users_of(by_domain) == [NAME]


def test_a_code_for_one_name_makes_no_account_of_another(by_domain: Site, mails: Mails) -> None:
    web = by_domain.browser()
    ask(web, BO)
    code = mailed_code(mails, BO)
    assert answer(web, "cy@example.com", code).status_int == 200
    assert users_of(by_domain) == [NAME]


@pytest.mark.parametrize("spelling", ["BO@EXAMPLE.COM", "Bo@example.com", " bo@example.com "])
def test_another_spelling_is_the_same_account(by_table: Site, mails: Mails, spelling: str) -> None:
    log_in(by_table, mails, BO, "Bo@Example.com")
    web = log_in(by_table, mails, spelling, "Bo@Example.com")
    assert "Bo@Example.com" in web.get("/").text
    assert users_of(by_table) == ["Bo@Example.com", NAME]


def test_an_account_made_meanwhile_is_not_taken_over(by_domain: Site, mails: Mails) -> None:
    web = by_domain.browser()
    ask(web, BO)
    code = mailed_code(mails, BO)
    by_domain.command("user", "add", "--username=BO@example.com")
    assert answer(web, BO, code).status_int == 200
    assert users_of(by_domain) == ["BO@example.com", NAME]


def test_two_who_prove_one_mailbox_at_once_have_one_account(by_domain: Site, mails: Mails) -> None:
    both = [by_domain.browser(), by_domain.browser("198.51.100.7")]
    codes = []
    for web, name in zip(both, (BO, "Bo@Example.com"), strict=True):
        ask(web, name)
        codes.append(mailed_code(mails, BO))
    assert answer(both[0], BO, codes[0]).status_int == 303
    # Its challenge was for a name without an account, and there is one now: ask again.
    assert answer(both[1], BO, codes[1]).status_int == 200
    assert users_of(by_domain) == [NAME, BO]
    log_in(by_domain, mails, "Bo@Example.com", BO)


def test_the_new_account_is_an_audit_event(
    by_domain: Site, mails: Mails, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "factored.audit"):
        log_in(by_domain, mails, BO, BO)
    told = [one.getMessage() for one in caplog.records if one.name == "factored.audit"]
    assert [one.split()[0] for one in told] == ["event=enrolment", "event=login"]
    assert all(f'user="{BO}"' in one and 'result="success"' in one for one in told)


# -- who is not -----------------------------------------------------------------------------------


def shown(response: TestResponse, name: str) -> tuple[Any, ...]:
    """answer -> all that somebody sees of it, but for the name and what is random"""
    text = unnamed(response.text, name).replace(token_of(response), "TOKEN")
    headers = sorted(
        (key, value)
        for key, value in response.headerlist
        if key not in ("Set-Cookie", "Content-Length")
    )
    cookies = [
        re.sub(r"=[^;]+", "=X", one, count=1) for one in response.headers.getall("Set-Cookie")
    ]
    return response.status, headers, cookies, text


@pytest.mark.parametrize("site_name", ["by_table", "by_domain"])
def test_a_name_that_is_not_found_looks_like_one_that_is(
    site_name: str, request: pytest.FixtureRequest, mails: Mails
) -> None:
    site: Site = request.getfixturevalue(site_name)
    names = {"known": NAME, "found": BO, "stranger": "bo@evil-11.xyz"[-len(BO) :]}
    pages = {}
    for kind, name in names.items():
        web = site.browser()
        first = ask(web, name)
        second = answer(web, name, "00000000")
        pages[kind] = (shown(first, name), shown(second, name))
    assert pages["known"] == pages["found"] == pages["stranger"]
    assert {mails.get(timeout=10).to.lower() for _ in range(2)} == {NAME, BO}
    assert mails.empty()
    assert users_of(site) == [NAME]


@pytest.mark.parametrize(
    "name",
    [
        "bo@sub.example.com", "bo@example.com.evil.example", "bo@evilexample.com", "bo",
        "bo%evil.example@example.com",
    ],
)  # fmt: skip
def test_a_stranger_gets_no_mail_and_no_account(by_domain: Site, mails: Mails, name: str) -> None:
    web = by_domain.browser()
    assert ask(web, name).status_int == 200
    # Mails are sent in the order in which they were asked for.
    ask(by_domain.browser(), BO)
    assert mails.get(timeout=10).to == BO
    assert users_of(by_domain) == [NAME]


@pytest.mark.parametrize(
    "name",
    ["bo@example.com,x@evil.example", "bo@evil.example\n@example.com", '"x@y.z"@example.com',
     "bo(x)@example.com", "Bo <bo@example.com>", "bo@example.com.", "bo@@example.com"],
)  # fmt: skip
def test_what_is_not_one_plain_address_is_no_name(by_domain: Site, mails: Mails, name: str) -> None:
    assert ask(by_domain.browser(), name).status_int == 400
    assert mails.empty()


def test_only_email_makes_accounts(by_domain: Site, mails: Mails) -> None:
    assert by_domain.attempt("000000", name=BO).status_int == 200
    assert users_of(by_domain) == [NAME]


# -- the finder is down ---------------------------------------------------------------------------


def test_while_the_finder_is_down_everybody_reads_that(
    by_table: Site, mails: Mails, people: Path
) -> None:
    run_sql(people, "ALTER TABLE people RENAME TO gone")
    pages = set()
    for name in (NAME, BO, "dee@example.com"):
        response = ask(by_table.browser(), name)
        assert response.status_int == 503
        assert "Nobody can sign in at the moment" in response.text
        pages.add(response.text)
    assert len(pages) == 1
    assert mails.empty()
    assert users_of(by_table) == [NAME]
    run_sql(people, "ALTER TABLE gone RENAME TO people")
    log_in(by_table, mails, BO, "Bo@Example.com")


def test_other_schemes_and_good_tickets_work_without_the_finder(
    by_table: Site, people: Path
) -> None:
    run_sql(people, "DROP TABLE people")
    by_table.login()
    assert by_table.web.get("/").status_int == 200


def test_a_site_starts_while_the_finders_database_is_down(
    make_site: Callable[..., Site], mails: Mails, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    site = make_site(
        **MAILED,
        autouserfinder="SQL",
        autouserfinder__connection_string="postgresql+psycopg://al:Tr0ub4dor@127.0.0.1:1/x",
        autouserfinder__table_name="people",
        autouserfinder__email_field="email",
    )
    site.login()
    assert ask(site.browser(), BO).status_int == 503
    assert ask(site.browser(), NAME).status_int == 503
    assert "the finder's database" in caplog.text
    assert "Tr0ub4dor" not in caplog.text


# -- somebody who was removed ---------------------------------------------------------------------


def test_removing_says_so_if_the_finder_would_let_him_come_back(
    by_table: Site, mails: Mails
) -> None:
    log_in(by_table, mails, BO, "Bo@Example.com")
    assert "may let Bo@Example.com come back" in removed(by_table, BO)
    log_in(by_table, mails, BO, "Bo@Example.com")
    assert users_of(by_table) == ["Bo@Example.com", NAME]


def test_removing_does_not_say_so_of_whom_the_finder_does_not_know(by_table: Site) -> None:
    by_table.command("user", "add", "--username=dee@example.com")
    assert "come back" not in removed(by_table, "dee@example.com")


def test_removing_says_so_if_the_finder_cannot_be_asked(by_table: Site, people: Path) -> None:
    run_sql(people, "DROP TABLE people")
    assert f"may let {NAME} come back" in removed(by_table, NAME)
    assert users_of(by_table) == []


def removed(site: Site, name: str) -> str:
    """site, name -> what ``factored user remove`` told people"""
    site.printed()
    assert factored("user", "remove", str(site.ini), f"--username={name}") == 0
    return site.printed()[1]


# -- docs/finders.rst -----------------------------------------------------------------------------


def test_the_ini_files_of_the_page_are_understood(tmp_path: Path) -> None:
    shown = blocks(text_of("docs/finders.rst"), "ini")
    finders = []
    for ini in shown:
        parser = configparser.ConfigParser()
        parser.read_string(f"[site]\n{ini}\n")
        given = {**settings_for(tmp_path), **parser["site"]}
        finders.append(read_settings(given, require_files=False).autouserfinder)
    assert finders == ["SQL", "Email Domain"]
