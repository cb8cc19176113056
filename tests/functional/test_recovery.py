"""Recovery codes: shown once, good once, with a budget of their own, and news of each use."""

from __future__ import annotations

import re
import sqlite3
from urllib.parse import unquote

import pytest
from webtest import TestResponse

from tests.functional.accounts import AccountUser, codes_on
from tests.functional.mailing import MakeMailed, error_of
from tests.support import NAME, Browser, token_of

NOBODYS = "0000-0000-0000-0000"


@pytest.fixture
def al(make_mailed: MakeMailed) -> AccountUser:
    mailed = make_mailed(supported_auth_schemes="Google Auth\nEmail")
    return AccountUser(mailed.site, mailed.post)


def use(web: Browser, code: str, name: str = NAME, **fields: str) -> TestResponse:
    form = {"csrf_token": token_of(web.get("/auth/rc")), "username": name, "code": code}
    return web.post("/auth/rc", {**form, "submit": "authenticate", **fields})


def test_ten_codes_are_shown_once_to_copy_print_and_download(al: AccountUser) -> None:
    assert "You have none yet" in al.page().text
    page = al.press("codes")
    codes = codes_on(page)
    assert len(set(codes)) == 10
    match = re.search(r'href="data:text/plain;charset=utf-8,([^"]+)" download="([^"]+)"', page.text)
    assert match
    assert match[2] == "recovery-codes.txt"
    assert unquote(match[1]).split("\n") == [f"factored: {NAME}", "", *codes, ""]
    after = al.page().text
    assert "Codes left: <strong>10</strong>" in after
    assert not any(code in after for code in codes)
    assert "New recovery codes were made" in al.mail().text


@pytest.mark.parametrize(
    "typed",
    [lambda code: code, lambda code: f" {code.lower()} ", lambda code: code.replace("-", ""),
     lambda code: code.replace("-", " ").replace("0", "o").replace("1", "l")],
)  # fmt: skip
def test_a_code_lets_in_once_and_its_owner_hears_of_it(al: AccountUser, typed: object) -> None:
    codes = codes_on(al.press("codes"))
    al.mail()
    web = al.site.browser("203.0.113.1")
    answer = use(web, typed(codes[3]), referrer="/reports")  # type: ignore[operator]
    assert (answer.status_int, answer.headers["Location"]) == (303, "/reports")
    assert web.get("/").status_int == 200
    mail = al.mail()
    assert mail.to == NAME
    assert "with a recovery code. Codes left: 9" in mail.text
    again = use(al.site.browser("203.0.113.2"), codes[3])
    assert again.status_int == 200
    assert error_of(again)
    assert al.post.mails.empty()


def test_who_came_in_by_a_code_can_set_up_a_new_app_at_once(al: AccountUser) -> None:
    codes = codes_on(al.press("codes"))
    web = al.site.browser("203.0.113.1")
    use(web, codes[0], then="account")
    assert al.press("add", web).status_int == 200
    al.site.clock.advance(300)
    assert al.press("add", web).headers["Location"] == "/auth?then=account"


def test_new_codes_void_the_old_ones(al: AccountUser) -> None:
    old = codes_on(al.press("codes"))
    new = codes_on(al.press("codes"))
    assert not set(old) & set(new)
    assert error_of(use(al.site.browser("203.0.113.1"), old[0]))
    assert use(al.site.browser("203.0.113.2"), new[0]).status_int == 303


def test_a_code_is_of_no_use_for_anybody_else_nor_while_disabled(al: AccountUser) -> None:
    al.site.command("user", "add", "--username=bo@example.com")
    code = codes_on(al.press("codes"))[0]
    assert error_of(use(al.site.browser("203.0.113.1"), code, "bo@example.com"))
    al.site.command("user", "disable", f"--username={NAME}")
    assert error_of(use(al.site.browser("203.0.113.2"), code))
    al.site.command("user", "enable", f"--username={NAME}")
    assert use(al.site.browser("203.0.113.3"), code).status_int == 303


def test_codes_are_stored_as_hashes(al: AccountUser) -> None:
    codes = codes_on(al.press("codes"))
    path = al.site.given["sqlalchemy.url"].removeprefix("sqlite:///")
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT * FROM factored_recovery_codes").fetchall()
    assert len(rows) == 10
    kept = repr(rows)
    assert not any(code in kept or code.replace("-", "") in kept for code in codes)


def test_guessing_at_codes_spends_a_budget_of_its_own(al: AccountUser) -> None:
    codes = codes_on(al.press("codes"))
    web = al.site.browser("203.0.113.1")
    answers = [use(web, NOBODYS) for _ in range(6)]
    assert [one.status_int for one in answers] == [200] * 5 + [429]
    assert "Retry-After" in answers[-1].headers
    assert use(web, codes[0]).status_int == 429
    al.site.clock.advance(30)
    assert al.site.attempt(al.site.code(), web).status_int == 303, "the app's budget is untouched"
    assert use(al.site.browser("203.0.113.2"), codes[0]).status_int == 303


def test_every_name_looks_the_same(al: AccountUser) -> None:
    codes_on(al.press("codes"))
    al.site.command("user", "add", "--username=bo@example.com")
    al.site.command("user", "add", "--username=cy@example.com")
    al.site.command("user", "disable", "--username=cy@example.com")
    seen = []
    for number, name in enumerate((NAME, "bo@example.com", "cy@example.com", "dy@example.com")):
        web = al.site.browser(f"203.0.113.{number}")
        answers = [use(web, NOBODYS, name) for _ in range(7)]
        seen.append(
            [
                (one.status_int, one.text.replace(name, "N").replace(token_of(one), "T"))
                for one in answers
            ]
        )
    assert seen[0] == seen[1] == seen[2] == seen[3]


@pytest.mark.parametrize("typed", ["", "0000", "000000", "U" * 15, "x" * 64, "0000-0000-0000-000!"])
def test_what_cannot_be_a_code_costs_nothing(al: AccountUser, typed: str) -> None:
    web = al.site.browser("203.0.113.1")
    for _ in range(7):
        assert use(web, typed).status_int == 200


def test_a_lost_device_is_a_link_on_every_way_in(al: AccountUser) -> None:
    for path in ("/auth/ga", "/auth/em"):
        page = al.site.browser().get(f"{path}?referrer=/x")
        assert 'href="/auth/rc?referrer=/x"' in page.text
    assert "Lost your device?" not in al.site.browser().get("/auth/rc").text
    assert "Recovery code" not in al.site.browser().get("/auth").text, "it is no way of its own"


def test_a_ticket_by_a_code_is_void_once_codes_are_turned_off(
    al: AccountUser, make_mailed: MakeMailed
) -> None:
    web = al.site.browser("203.0.113.1")
    use(web, codes_on(al.press("codes"))[0])
    without = make_mailed(supported_auth_schemes="Google Auth", recovery_codes="false").site
    assert without.browser().cookie(web.cookies["auth_tkt"]).get("/").status_int == 302
