"""The account page: everybody signed in may look, a fresh code is needed to change anything."""

from __future__ import annotations

import json
import logging
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest

from factored.services.account import FRESH_S
from tests.functional.accounts import AccountUser, codes_on, secret_on
from tests.functional.mailing import MakeMailed, error_of
from tests.support import NAME, Browser, token_of

BO = "bo@example.com"
LINUX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 26_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
    "Gecko) Version/26.0 Mobile/15E148 Safari/604.1"
)


@pytest.fixture
def al(make_mailed: MakeMailed) -> AccountUser:
    mailed = make_mailed(supported_auth_schemes="Google Auth")
    return AccountUser(mailed.site, mailed.post)


CHANGES = ["add", "confirm", "rename", "delete", "codes", "signout", "forget", "everywhere"]


# -- who may look, and who may change --------------------------------------------------------------


def test_who_is_not_signed_in_is_sent_to_sign_in_and_comes_back(al: AccountUser) -> None:
    web = al.site.browser("192.0.2.77")
    sent = web.get("/auth/account")
    assert (sent.status_int, sent.headers["Location"]) == (303, "/auth?then=account")
    page = web.get("/auth?then=account").follow()
    assert 'name="then" value="account"' in page.text
    al.site.clock.advance(30)
    assert al.site.login(web, then="account").headers["Location"] == "/auth/account"
    assert "Your account" in web.get("/auth/account").text


@pytest.mark.parametrize("then", ["", "logout", "//evil.example", "account/../ga", "ACCOUNT"])
def test_nothing_but_the_account_page_can_be_wanted(al: AccountUser, then: str) -> None:
    al.site.clock.advance(30)
    answer = al.site.login(al.site.browser("192.0.2.77"), then=then)
    assert answer.headers["Location"] == "/"


@pytest.mark.parametrize("submit", CHANGES)
@pytest.mark.parametrize(("later_s", "may"), [(-1, True), (0, False), (1, False)])
def test_a_change_asks_for_a_code_that_is_five_minutes_old_at_most(
    al: AccountUser, submit: str, later_s: int, may: bool
) -> None:
    assert FRESH_S == 300
    al.site.clock.advance(FRESH_S + later_s)
    answer = al.press(submit)
    stepped_up = answer.headers.get("Location") == "/auth/ga?then=account"
    assert stepped_up is not may
    page = al.page()
    assert page.status_int in ((200, 303) if submit == "everywhere" and may else (200,))
    if not may:
        assert "Confirm that it is you to make" in page.text
        assert "<button" not in page.text.partition("<main>")[2].partition("</main>")[0]


def test_stepping_up_asks_for_a_code_of_who_is_signed_in_and_leads_back(al: AccountUser) -> None:
    al.site.clock.advance(FRESH_S)
    old_ticket = al.web.cookies["auth_tkt"]
    page = al.web.get(al.press("add").headers["Location"])
    assert "Confirm that it is you" in page.text
    assert NAME in page.text
    assert "Not you?" not in page.text
    assert 'name="remember"' not in page.text
    wrong = al.site.attempt(al.site.wrong_code(), then="account")
    assert error_of(wrong)
    assert "Confirm that it is you" in wrong.text
    done = al.site.login(then="account")
    assert done.headers["Location"] == "/auth/account"
    assert al.press("add").status_int == 200
    assert al.site.browser().cookie(old_ticket).get("/").status_int == 302


@pytest.mark.parametrize("remember", ["on", ""])
def test_stepping_up_keeps_remember_me(al: AccountUser, remember: str) -> None:
    al.site.clock.advance(30)
    al.site.login(remember=remember)
    al.site.clock.advance(FRESH_S)
    (line,) = (
        one
        for one in al.site.login(then="account").headers.getall("Set-Cookie")
        if one.startswith("auth_tkt=")
    )
    assert ("Max-Age=86400" in line) is bool(remember)


def test_a_disabled_or_removed_user_sees_nothing_and_changes_nothing(al: AccountUser) -> None:
    al.site.command("user", "disable", f"--username={NAME}")
    assert al.page().status_int == 303
    assert al.press("add").headers["Location"] == "/auth?then=account"
    al.site.command("user", "remove", f"--username={NAME}")
    assert al.page().status_int == 303


def test_a_button_that_the_page_does_not_have_is_refused(al: AccountUser) -> None:
    assert al.press("unlock").status_int == 400


# -- authenticators --------------------------------------------------------------------------------


def test_another_authenticator_is_added_and_both_work(al: AccountUser) -> None:
    ticket = al.web.cookies["auth_tkt"]
    secret = al.add("Tablet & <co>")
    assert al.labels() == ["Authenticator app", "Tablet &amp; &lt;co&gt;"]
    mail = al.mail()
    assert (mail.to, "New authenticator at factored" in mail.subject) == (NAME, True)
    assert "Tablet & <co>" in mail.text
    assert secret not in mail.text
    assert al.site.browser().cookie(ticket).get("/").status_int == 200, "tickets go on"
    for number, code in enumerate((al.code(secret, 1), al.site.code(1))):
        al.site.clock.advance(30 if number == 0 else 0)
        assert al.site.attempt(code, al.site.browser(f"203.0.113.{number}")).status_int == 303


def test_leaving_half_way_changes_nothing(al: AccountUser) -> None:
    secret = al.begin()
    assert al.labels() == ["Authenticator app"]
    al.site.clock.advance(30)
    assert al.site.attempt(al.code(secret), al.site.browser("203.0.113.1")).status_int == 200
    assert al.post.mails.empty()


def test_a_wrong_first_code_shows_the_same_secret_again(al: AccountUser) -> None:
    secret = al.begin()
    wrong = al.press("confirm", code="000000", label="My <phone>")
    assert error_of(wrong)
    assert secret_on(wrong) == secret
    assert 'value="My &lt;phone&gt;"' in wrong.text
    early = al.press("confirm", code=al.code(secret, 3), label="")
    assert "the clock of the device" in error_of(early)
    assert "added" in al.done("confirm", code=al.code(secret), label="")
    assert al.labels() == ["Authenticator app"] * 2


def test_a_code_confirms_once(al: AccountUser) -> None:
    secret = al.add()
    assert error_of(al.press("confirm", code=al.code(secret), label="twice"))
    assert len(al.labels()) == 2


def test_three_authenticators_are_the_most(al: AccountUser) -> None:
    al.add("2")
    al.add("3")
    assert 'value="add"' not in al.page().text
    assert "as many authenticators as an account can have" in error_of(al.press("add"))


def test_an_authenticator_gets_a_name(al: AccountUser) -> None:
    (held,) = al.ids("rename")
    assert "new name" in al.done("rename", id=held, label="  Work \x07 phone\n")
    assert al.labels() == ["Work phone"]
    assert "Work" in al.mail().text
    al.done("rename", id=held, label="x" * 128)
    assert al.labels() == ["x" * 60]


def test_deleting_signs_every_other_browser_out_and_this_one_stays(al: AccountUser) -> None:
    other = al.another_browser()
    stale = al.web.cookies["auth_tkt"]
    secret = al.add()
    al.mail()
    first, second = al.ids("delete")
    assert "deleted" in al.done("delete", id=first)
    assert al.labels() == ["Tablet"]
    assert "was deleted: Authenticator app" in al.mail().text
    al.site.read_revocations()
    assert other.get("/").status_int == 302
    assert al.site.browser().cookie(stale).get("/").status_int == 302
    assert al.web.get("/").status_int == 200
    assert len(al.page().text.split("this browser")) > 1, "the open ticket is still shown"
    al.site.clock.advance(60)
    assert al.site.attempt(al.site.code(), al.site.browser("203.0.113.1")).status_int == 200
    assert al.site.attempt(al.code(secret), al.site.browser("203.0.113.2")).status_int == 303
    assert second not in al.ids("delete"), "the last one cannot be deleted"


def test_the_last_authenticator_stays(al: AccountUser) -> None:
    (held,) = al.ids("rename")
    assert al.ids("delete") == []
    assert error_of(al.press("delete", id=held))
    assert al.labels() == ["Authenticator app"]


def id_in(table: str) -> Callable[[AccountUser, Browser], str]:
    """-> function that finds what Bo has there; the page shows him no button for the last of it"""

    def find(al: AccountUser, bo: Browser) -> str:
        path = al.site.given["sqlalchemy.url"].removeprefix("sqlite:///")
        with closing(sqlite3.connect(path)) as connection:
            ((found,),) = connection.execute(
                f"SELECT {table}.id FROM {table} JOIN factored_users u ON u.id = user_id "
                "WHERE username = ?", (BO,),
            )  # fmt: skip
        return str(found)

    return find


BOS_ID = {
    "rename": id_in("factored_authenticators"),
    "delete": id_in("factored_authenticators"),
    "signout": id_in("factored_tickets"),
    "forget": id_in("factored_devices"),
}
SHOWN = ("--show-secret", "--json")


@pytest.mark.parametrize("submit", BOS_ID)
def test_what_belongs_to_somebody_else_is_not_there(al: AccountUser, submit: str) -> None:
    al.site.command("user", "add", f"--username={BO}")
    secret = json.loads(al.site.command("user", "show", f"--username={BO}", *SHOWN))["secret"]
    bo = al.site.browser("203.0.113.9")
    assert al.site.attempt(al.code(secret), bo, BO).status_int == 303
    al.add()
    bos = BOS_ID[submit](al, bo)
    for other in (bos, "", "nobody's", "%"):
        answer = al.press(submit, id=other, label="mine")
        assert "not there any more" in error_of(answer)
    assert bo.get("/").status_int == 200
    assert BOS_ID[submit](al, bo) == bos


# -- where one is signed in ------------------------------------------------------------------------


def test_browsers_are_shown_and_signed_out_one_by_one(al: AccountUser) -> None:
    phone = al.another_browser("198.51.100.7", IPHONE)
    page = al.page().text
    assert "Safari, iPhone" in page
    assert "198.51.100.7" in page
    (phones,) = al.ids("signout")
    assert "signed out" in al.done("signout", id=phones)
    assert phone.get("/").status_int == 302
    assert al.web.get("/").status_int == 200
    assert al.ids("signout") == []
    assert "Safari, iPhone" in al.mail().text


def test_when_a_ticket_was_last_seen_is_shown(al: AccountUser) -> None:
    phone = al.another_browser()
    al.site.clock.advance(120)
    phone.get("/")
    seen = "2027-01-15 08:02"
    assert al.page().text.count(f"{seen} UTC</time>") == 1, al.page().text


def test_signing_out_here_ends_what_is_shown(al: AccountUser) -> None:
    phone = al.another_browser()
    phone.post(
        "/auth/logout", {"csrf_token": token_of(phone.get("/auth/logout")), "submit": "logout"}
    )
    assert al.ids("signout") == []


def test_everywhere_is_everywhere(al: AccountUser) -> None:
    phone = al.another_browser()
    assert al.press("everywhere").headers["Location"] == "/auth/logout"
    al.site.read_revocations()
    for web in (phone, al.web):
        assert web.get("/").status_int == 302
    assert "Every browser" in al.mail().text


def test_a_known_browser_is_forgotten(al: AccountUser) -> None:
    al.another_browser(agent=LINUX)
    assert "Firefox, Linux" in al.page().text
    before = al.ids("forget")
    assert len(before) == 2
    assert "no longer known" in al.done("forget", id=before[0])
    assert al.ids("forget") == before[1:]


@pytest.mark.parametrize("agent", ["", "\x1b[31m", "<script>alert(1)</script>", "x" * 4000])
def test_what_calls_itself_anything_is_an_unknown_browser(al: AccountUser, agent: str) -> None:
    al.another_browser(agent=agent)
    assert "Unknown browser" in al.page().text
    assert "<script>alert" not in al.page().text


# -- all the rest ----------------------------------------------------------------------------------


def test_every_change_is_in_the_audit_log(
    al: AccountUser, caplog: pytest.LogCaptureFixture
) -> None:
    al.another_browser()
    caplog.clear()
    with caplog.at_level(logging.INFO, "factored.audit"):
        al.add()
        al.done("rename", id=al.ids("rename")[0], label="x")
        al.done("signout", id=al.ids("signout")[0])
        al.done("forget", id=al.ids("forget")[1])
        al.done("delete", id=al.ids("delete")[0])
        assert codes_on(al.press("codes"))
        al.press("rename", id="nobody's", label="x")
    told = [one.getMessage() for one in caplog.records if one.name == "factored.audit"]
    assert [one.split()[0].partition("=")[2] for one in told] == [
        "enrolment", "renaming", "logout", "forgetting", "deletion", "recovery_codes", "renaming",
    ]  # fmt: skip
    assert ["success" in one for one in told] == [True] * 6 + [False]
    schemes = [re.search(r'scheme="(\w+)"', one) for one in told]
    assert [one and one[1] for one in schemes] == ["ga", "ga", None, None, "ga", "rc", "ga"]
    assert 'reason="added"' in told[0]
    assert all(f'user="{NAME}"' in one and 'source="192.0.2.1"' in one for one in told)


def test_a_mail_that_cannot_be_sent_stops_no_change(al: AccountUser) -> None:
    al.post.error = OSError("down")
    al.add()
    assert len(al.labels()) == 2


def test_a_site_without_apps_shows_tickets_and_devices_alone(make_mailed: MakeMailed) -> None:
    mailed = make_mailed(recovery_codes="false")
    web: Browser = mailed.site.web
    assert mailed.enter(mailed.code()).status_int == 303
    page = web.get("/auth/account")
    assert page.status_int == 200
    assert "Where you are signed in" in page.text
    assert "Authenticators" not in page.text
    assert "Recovery codes" not in page.text
    form = {"csrf_token": token_of(web.get("/auth/logout"))}
    for submit in ("add", "codes", "rename", "delete", "confirm"):
        assert web.post("/auth/account", {**form, "submit": submit}).status_int == 400
    assert web.get("/auth/rc").status_int == 404
    assert "Lost your device?" not in mailed.site.browser().get("/auth/em").text
