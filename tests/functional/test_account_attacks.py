"""Attacks on what users do with their own account: each must come to nothing."""

from __future__ import annotations

import html
import json
import logging
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pyotp
import pytest
from webtest import TestResponse

from factored.interfaces import (
    Mail,
    StoreError,
    Verdict,
)
from factored.schemes import totp
from factored.services import account
from factored.services.open_tickets import OpenTickets
from factored.services.outbox import BackgroundOutbox
from factored.services.revocation import RevocationList
from factored.store.devices import SqlTicketStore
from factored.store.links import SqlRecoveryCodeStore
from factored.store.sql import SqlUserStore
from tests.support import NAME, Browser, Site, at_once, run_sql, token_of

ACCOUNT = "/auth/account"
BUTTONS = ("add", "confirm", "rename", "delete", "codes", "signout", "forget", "everywhere")
PUBLIC = {"public_url": "http://localhost:80", "mail__host": "debug"}
FRESH_S = account.FRESH_S


@pytest.fixture
def mails(monkeypatch: pytest.MonkeyPatch) -> list[Mail]:
    """What is posted; nothing is sent, and nobody waits."""
    posted: list[Mail] = []
    monkeypatch.setattr(BackgroundOutbox, "post", lambda self, mail: posted.append(mail))
    return posted


@pytest.fixture
def home(make_site: Callable[..., Site], mails: list[Mail]) -> Site:
    """A site that mails, with its user signed in just now."""
    site = make_site(allowgooglecodereminder="true", **PUBLIC)
    site.login()
    return site


# -- what a browser does ---------------------------------------------------------------------------


def press(web: Browser, submit: str, path: str = ACCOUNT, **fields: str) -> TestResponse:
    form = {"csrf_token": token_of(web.get("/auth/ga")), "submit": submit}
    if submit == "confirm":
        form["id"] = web.shown_id
    return web.post(path, form | fields)


def secret_on(page: TestResponse) -> str:
    match = re.search(r"secret=([A-Z2-7]+)", html.unescape(page.text))
    assert match, page.text
    return match[1]


def code_of(site: Site, secret: str, steps: int = 0) -> str:
    return pyotp.TOTP(secret).at(int(site.clock.now_s()) + 30 * steps)


def add(site: Site, web: Browser | None = None, label: str = "second") -> str:
    """-> the secret of an authenticator that was added on the account page"""
    web = web or site.web
    secret = secret_on(press(web, "add"))
    answer = press(web, "confirm", code=code_of(site, secret), label=label)
    assert answer.status_int == 303, answer
    return secret


def held(site: Site) -> list[tuple[str, str, str, int]]:
    """-> id, label, state, last step of every authenticator, the oldest first"""
    return query(
        site,
        "SELECT id, label, state, last_step FROM factored_authenticators ORDER BY created_at, id",
    )


def query(site: Site, statement: str) -> list[Any]:
    path = site.given["sqlalchemy.url"].removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def ids(site: Site, table: str) -> list[str]:
    return [row[0] for row in query(site, f"SELECT id FROM factored_{table}")]


def another_user(site: Site, name: str = "bo@example.com") -> tuple[Browser, str]:
    """-> browser of another user who just signed in, and his secret"""
    secret = json.loads(site.command("user", "add", f"--username={name}", "--json"))["secret"]
    web = site.browser("192.0.2.200")
    answer = site.attempt(code_of(site, secret), web, name)
    assert answer.status_int == 303, answer
    return web, secret


def enrol_link(site: Site, verb: str = "reset", name: str = NAME) -> str:
    """-> path of an enrolment link that the operator made"""
    printed = site.command("user", verb, f"--username={name}", "--json")
    match = re.search(r"/auth/enrol/[\w-]+", json.loads(printed)["url"])
    assert match, printed
    return match[0]


def signed_in(web: Browser) -> bool:
    return bool(web.get("/", headers={"Accept": "text/html"}).status_int == 200)


def later(site: Site, seconds: int = 30) -> None:
    site.clock.advance(seconds)


def three(site: Site) -> list[str]:
    """-> secrets of the three authenticators that the user holds now"""
    later(site)
    return [site.secret, add(site, label="two"), add(site, label="three")]


def codes_on(page: TestResponse) -> list[str]:
    return re.findall(r"<code>([0-9A-Z]{4}(?:-[0-9A-Z]{4}){3})</code>", page.text)


def recover(site: Site, code: str, web: Browser, name: str = NAME) -> TestResponse:
    return press(web, "authenticate", "/auth/rc", username=name, code=code)


# -- holes that there were -------------------------------------------------------------------------


# who reads the mailbox (link) or has a fresh ticket (account page) plants his own secret in
# the other's page: there is one pending slot, and a wrong code shows whatever lies in it.
def test_a_page_never_shows_a_secret_that_another_page_made(home: Site) -> None:
    link = enrol_link(home, "invite")
    phone = home.browser("192.0.2.77")
    mine = secret_on(press(phone, "show", link))
    planted = secret_on(press(home.web, "add"))
    answer = press(phone, "confirm", link, code=home.wrong_code())
    assert planted != mine
    assert planted not in html.unescape(answer.text)


def test_the_account_page_never_shows_a_secret_that_a_link_made(home: Site) -> None:
    link = enrol_link(home, "invite")
    mine = secret_on(press(home.web, "add"))
    planted = secret_on(press(home.browser("192.0.2.77"), "show", link))
    answer = press(home.web, "confirm", code=home.wrong_code(), label="phone")
    assert planted != mine
    assert planted not in html.unescape(answer.text)


# the same slot: a link confirms what it never showed.
def test_a_link_confirms_only_a_secret_that_it_showed(home: Site) -> None:
    link = enrol_link(home, "invite")
    planted = secret_on(press(home.web, "add"))
    answer = press(home.browser("192.0.2.77"), "confirm", link, code=code_of(home, planted))
    assert "You are signed in" not in answer.text


# a ticket is made with the series that is there after the change,
# not with the one that the change made: whoever ended all tickets in between did not end this one.
@pytest.mark.parametrize("ending", ["disable", "reset", "remove"])
def test_a_ticket_by_enrolment_does_not_survive_what_ended_all_tickets_meanwhile(
    home: Site, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    link = enrol_link(home)
    phone = home.browser("192.0.2.77")
    secret = secret_on(press(phone, "show", link))
    confirm = SqlUserStore.confirm

    def confirmed(self: SqlUserStore, *given: Any, **more: Any) -> bool:
        done = confirm(self, *given, **more)
        home.command("user", ending, f"--username={NAME}")
        return done

    monkeypatch.setattr(SqlUserStore, "confirm", confirmed)
    press(phone, "confirm", link, code=code_of(home, secret))
    home.read_revocations()
    assert not signed_in(phone)


def test_a_ticket_that_stays_does_not_survive_what_ended_all_tickets_meanwhile(
    home: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    later(home)
    add(home)
    thief = home.browser("192.0.2.66")
    later(home)
    home.login(thief)
    two = held(home)[1][0]
    drop = SqlUserStore.drop_authenticator

    def dropped(self: SqlUserStore, *given: Any, **more: Any) -> bool:
        done = drop(self, *given, **more)
        home.command("user", "reset", f"--username={NAME}")
        return done

    monkeypatch.setattr(SqlUserStore, "drop_authenticator", dropped)
    press(thief, "delete", id=two)
    home.read_revocations()
    assert not signed_in(thief)


# the same between two browsers, with no operator: both press "Delete", and the thief, who was
# first, is let stay by the deletion that was to sign him out.
def test_of_two_deletions_at_once_the_later_signs_out_the_browser_of_the_earlier(
    home: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    three(home)
    thief = home.browser("192.0.2.66")
    later(home)
    assert home.attempt(home.code(), thief).status_int == 303
    _, two, last = (row[0] for row in held(home))
    drop = SqlUserStore.drop_authenticator
    owners: list[Any] = []

    def dropped(self: SqlUserStore, *given: Any, **more: Any) -> bool:
        if not owners:  # the owner's: the thief's comes before it, and is not through after it
            owners.append(lambda: drop(self, *given, **more))
            assert press(thief, "delete", id=two).status_int == 303
            return bool(owners.pop())
        done = drop(self, *given, **more)
        owners[0] = owners[0]()
        return done

    monkeypatch.setattr(SqlUserStore, "drop_authenticator", dropped)
    press(home.web, "delete", id=last)
    assert len(held(home)) == 1
    home.read_revocations()
    assert not signed_in(thief)


# half done. The revocations are asked for when everything has changed already; the old
# authenticator is gone, the link spent, all are signed out, the page says 503, and no mail goes.
def test_an_enrolment_that_answers_503_has_changed_nothing(
    home: Site, mails: list[Mail], monkeypatch: pytest.MonkeyPatch
) -> None:
    link = enrol_link(home, "invite")
    phone = home.browser("192.0.2.77")
    secret = secret_on(press(phone, "show", link))
    token = token_of(phone.get(link))
    monkeypatch.setattr(RevocationList, "ready", property(lambda self: False))
    answer = phone.post(
        link, {"csrf_token": token, "submit": "confirm", "code": code_of(home, secret)}
    )
    assert answer.status_int == 503
    assert len(held(home)) == 2


# PROMISES 9, "told by mail": not if the step after the change fails.
def test_an_enrolment_is_told_by_mail_whatever_fails_after_it(
    home: Site, mails: list[Mail], monkeypatch: pytest.MonkeyPatch
) -> None:
    link = enrol_link(home)
    phone = home.browser("192.0.2.77")
    secret = secret_on(press(phone, "show", link))
    monkeypatch.setattr(SqlTicketStore, "add", broken)
    press(phone, "confirm", link, code=code_of(home, secret))
    assert [one[2] for one in held(home)] == ["active"]
    assert [mail.subject for mail in mails] == ["New authenticator at factored"]


def test_a_deletion_is_told_by_mail_whatever_fails_after_it(
    home: Site, mails: list[Mail], monkeypatch: pytest.MonkeyPatch
) -> None:
    later(home)
    add(home)
    mails.clear()
    monkeypatch.setattr(SqlTicketStore, "add", broken)
    press(home.web, "delete", id=held(home)[1][0])
    assert len(held(home)) == 1
    assert [mail.subject for mail in mails] == ["Authenticator deleted at factored"]


def broken(*given: Any, **more: Any) -> Any:
    raise StoreError("a test says so")


# half done. After a recovery code was burned and a ticket issued, the page counts what is
# left; if that fails, the code is gone, nobody is in, and no mail tells of it.
def test_a_recovery_code_that_was_burned_lets_in_and_is_told(
    home: Site, mails: list[Mail], monkeypatch: pytest.MonkeyPatch
) -> None:
    code = codes_on(press(home.web, "codes"))[0]
    mails.clear()
    web = home.browser("192.0.2.77")
    monkeypatch.setattr(SqlRecoveryCodeStore, "left", broken)
    answer = recover(home, code, web)
    assert (answer.status_int, len(mails)) == (303, 1)


# a race gives 500. Two pages, or a page and the thread, empty ``seen`` at once.
def test_two_that_write_what_was_seen_at_once_do_not_fail() -> None:
    class Shared(dict[str, float]):
        """Another thread takes the last one between the question and the taking."""

        raced = False

        def __bool__(self) -> bool:
            there = len(self) > 0
            if there and not self.raced:
                self.raced = True
                self.clear()
            return there

    class Store:
        def see(self, seen: dict[str, int]) -> None:
            """Whatever it was told."""

    store: Any = Store()
    clock: Any = None
    tickets = OpenTickets(store, clock, absolute_timeout_s=1, renewed=False)
    tickets.seen = Shared({"a ticket": 1.0})
    tickets.write()


# what is mailed is not what is stored: line ends and controls of a label go into the mail.
@pytest.mark.parametrize("button", ["rename", "confirm"])
def test_a_label_makes_no_lines_of_its_own_in_a_mail(
    home: Site, mails: list[Mail], button: str
) -> None:
    later(home)
    label = "phone.\n\nYour account is locked: http://evil.example/\x1b[2J\u202e"
    secret = secret_on(press(home.web, "add"))
    fields = {"rename": {"id": held(home)[0][0]}, "confirm": {"code": code_of(home, secret)}}
    assert press(home.web, button, label=label, **fields[button]).status_int == 303
    assert "\nYour account is locked" not in mails[-1].text
    assert all(char.isprintable() or char == "\n" for char in mails[-1].text)


# ``user unlock`` sets steps in the future back, and with them the explained ones: a code that
# strangers were told to be right for a moment to come is right then.
def test_an_explained_step_stays_used_up_after_an_unlock(home: Site) -> None:
    web = home.browser("192.0.2.77")
    told = home.code(+6)
    assert "clock" in home.attempt(told, web).text
    home.command("user", "unlock", f"--username={NAME}")
    later(home, 180)
    assert home.attempt(told, web).status_int == 200


# 500 (PROMISES 17): a name that may be one has a URI that no QR code holds.
def test_the_longest_name_can_be_enrolled(home: Site) -> None:
    name = "\u5b57" * 254
    link = enrol_link(home, "invite", name)
    assert press(home.browser("192.0.2.77"), "show", link).status_int == 200


# a dead end: the page asks for a press of a button that the account page does not take.
def test_a_page_without_a_pending_secret_offers_no_button_that_is_refused(home: Site) -> None:
    later(home)
    answer = press(home.web, "confirm", code="123456", label="x")
    buttons = re.findall(r'name="submit" value="(\w+)"', answer.text)
    for button in buttons:
        assert press(home.web, button).status_int != 400, button


# no budget: one signed-in user fills the queue of 100 that all logins by mail go through.
# PROMISES, "mails": a known device has 3 in 10 minutes and 20 a day.
def test_changes_in_a_row_do_not_fill_the_queue_of_mails(home: Site, mails: list[Mail]) -> None:
    one = held(home)[0][0]
    for number in range(101):
        press(home.web, "rename", id=one, label=f"name {number}")
    assert len(mails) < 100


# a link of anybody's makes the page say what did not happen.
def test_a_link_does_not_make_the_page_say_what_did_not_happen(home: Site) -> None:
    assert "is deleted" not in home.web.get(f"{ACCOUNT}?done=deleted").text


# a login on a node whose clock is ahead is in the future for the next: it asks for a code
# again, and refuses the one that was just used.
def test_a_login_on_a_node_that_is_a_little_ahead_is_fresh(site: Site) -> None:
    site.clock.advance(20)
    site.login()
    site.clock.advance(-20)
    assert press(site.web, "add").status_int == 200


# -- step-up and CSRF ------------------------------------------------------------------------------


def filled(site: Site) -> dict[str, dict[str, str]]:
    """-> button -> fields that would do something, if the press counted"""
    one = held(site)[0][0]
    return {
        "confirm": {"code": site.code(), "label": "x"},
        "rename": {"id": one, "label": "x"},
        "delete": {"id": one},
        "signout": {"id": ids(site, "tickets")[0]},
        "forget": {"id": ids(site, "devices")[0]},
    }


def everything(site: Site) -> list[Any]:
    """-> all that a user can change"""
    tables = ("authenticators", "recovery_codes", "devices", "revocations", "links")
    found = [query(site, f"SELECT * FROM factored_{table} ORDER BY id") for table in tables]
    return [*found, query(site, "SELECT id FROM factored_tickets"), query(
        site, "SELECT ticket_series, disabled_at FROM factored_users"
    )]  # fmt: skip


@pytest.mark.parametrize("button", BUTTONS)
def test_a_login_that_is_too_old_changes_nothing(
    home: Site, mails: list[Mail], button: str
) -> None:
    later(home)
    add(home)
    later(home, FRESH_S)
    mails.clear()
    before, fields = everything(home), filled(home).get(button, {})
    answer = press(home.web, button, **fields)
    assert (answer.status_int, answer.headers["Location"]) == (303, "/auth/ga?then=account")
    assert (everything(home), mails) == (before, [])


@pytest.mark.parametrize("button", BUTTONS)
def test_a_press_without_the_token_of_this_browser_changes_nothing(home: Site, button: str) -> None:
    later(home)
    add(home)
    fields = filled(home).get(button, {}) | {"submit": button}
    foreign = token_of(home.browser("192.0.2.66").get("/auth/ga"))
    before = everything(home)
    for token in ({}, {"csrf_token": ""}, {"csrf_token": foreign}):
        assert home.web.post(ACCOUNT, {**fields, **token}).status_int == 403
    own = {"csrf_token": token_of(home.web.get("/auth/ga"))}
    for header in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "same-site"}):
        assert home.web.post(ACCOUNT, {**fields, **own}, headers=header).status_int == 403
    assert home.web.get(ACCOUNT, params={**fields, **own}).status_int == 200
    assert everything(home) == before


@pytest.mark.parametrize("button", BUTTONS)
def test_nobody_changes_anything_without_a_ticket(home: Site, button: str) -> None:
    fields, before = filled(home).get(button, {}), everything(home)
    web = home.browser("192.0.2.66")
    answer = press(web, button, **fields)
    assert (answer.status_int, answer.headers["Location"]) == (303, "/auth?then=account")
    assert everything(home) == before


def test_a_renewed_ticket_is_as_old_as_its_login(make_site: Callable[..., Site]) -> None:
    site = make_site(auth_tkt__reissue_time="60")
    site.login()
    site.clock.advance(FRESH_S - 1)
    assert "auth_tkt" in site.web.get("/").headers["Set-Cookie"]
    site.clock.advance(2)
    assert site.web.get("/").status_int == 200
    assert press(site.web, "codes").status_int == 303


def test_a_wrong_code_on_the_step_up_page_is_counted_and_freshens_nothing(home: Site) -> None:
    later(home, FRESH_S)
    for _ in range(5):
        answer = home.attempt(home.wrong_code(), home.web, then="account")
        assert (answer.status_int, "Set-Cookie" in answer.headers) == (200, False)
    assert home.attempt(home.code(), home.web, then="account").status_int == 429
    assert press(home.web, "codes").status_int == 303


def test_who_steps_up_as_somebody_else_changes_his_own_account_alone(home: Site) -> None:
    _, secret = another_user(home)
    later(home, FRESH_S)
    name = "bo@example.com"
    answer = home.attempt(code_of(home, secret), home.web, name, then="account")
    assert answer.headers["Location"] == ACCOUNT
    press(home.web, "codes")
    owners = (
        "SELECT DISTINCT username FROM factored_recovery_codes "
        "JOIN factored_users u ON u.id = user_id"
    )
    assert query(home, owners) == [(name,)]


def test_a_step_up_gives_a_new_ticket_and_ends_the_one_before(home: Site) -> None:
    old = home.web.cookies["auth_tkt"]
    later(home, FRESH_S)
    home.login(then="account")
    home.read_revocations()
    assert not signed_in(home.browser("192.0.2.66").cookie(old))
    assert press(home.web, "codes").status_int == 200


def test_a_ticket_from_the_future_or_of_an_older_account_changes_nothing(home: Site) -> None:
    now_s = int(home.clock.now_s())
    (series,) = query(home, "SELECT ticket_series FROM factored_users")[0]
    thief = home.browser("192.0.2.66")
    token = token_of(thief.get("/auth/ga"))
    browser_id = next(one.value for one in thief.cookiejar if one.name == "factored_browser")
    for changed in ({"login_at": now_s + 61, "issued_at": now_s + 61, "series": series}, {}):
        web = home.browser("192.0.2.66")
        ticket = home.ticket(**changed)
        web.extra_environ["HTTP_COOKIE"] = f"factored_browser={browser_id}; auth_tkt={ticket}"
        answer = web.post(ACCOUNT, {"csrf_token": token, "submit": "codes"})
        assert answer.status_int == 303
    assert ids(home, "recovery_codes") == []


# -- ids of others ---------------------------------------------------------------------------------


@pytest.mark.parametrize("button", ["rename", "delete", "signout", "forget"])
def test_an_id_of_somebody_else_is_not_there(home: Site, button: str) -> None:
    later(home)
    add(home)
    fields = filled(home)[button]
    other, _ = another_user(home)
    press(other, "confirm", code="1")  # whatever it does, it does to the other
    before = everything(home)
    answer = press(other, button, **fields)
    assert "That is not there any more" in answer.text
    assert everything(home) == before
    assert signed_in(home.web)


def test_a_pending_authenticator_cannot_be_renamed_deleted_or_used(home: Site) -> None:
    later(home)
    secret = secret_on(press(home.web, "add"))
    pending = next(row[0] for row in held(home) if row[2] == "pending")
    for button in ("rename", "delete"):
        assert "not there" in press(home.web, button, id=pending, label="x").text
    assert home.attempt(code_of(home, secret), home.browser("192.0.2.9")).status_int == 200


@pytest.mark.parametrize("junk", ["", "0", "' OR 1=1 --", "%", "\u5b57" * 64, "\0", "x" * 64])
def test_junk_for_an_id_is_not_there(home: Site, junk: str) -> None:
    later(home)
    add(home)
    before = everything(home)
    for button in ("rename", "delete", "signout", "forget"):
        answer = press(home.web, button, id=junk, label="x")
        assert (answer.status_int, "not there" in answer.text) == (200, True)
    assert everything(home) == before


# -- how many --------------------------------------------------------------------------------------


def test_of_all_deletions_at_once_the_last_authenticator_is_spared(
    make_site: Callable[..., Site],
) -> None:
    site = make_site()
    site.login()
    three(site)
    webs = []
    for number in range(3):
        later(site)
        web = site.browser(f"192.0.2.{number + 10}")
        site.login(web)
        webs.append(web)
    before = [row[0] for row in held(site)]
    tokens = [token_of(web.get("/auth/ga")) for web in webs]

    def delete(number: int) -> int:
        form = {"csrf_token": tokens[number], "submit": "delete", "id": before[number]}
        return webs[number].post(ACCOUNT, form).status_int

    statuses = at_once(3, delete)
    assert len(held(site)) >= 1
    assert 500 not in statuses


def test_there_are_never_more_than_three(home: Site) -> None:
    three(home)
    assert "as many authenticators as an account can have" in press(home.web, "add").text
    assert press(home.web, "confirm", code="123456").status_int == 200
    assert len(held(home)) == 3


def test_of_confirmations_at_once_no_fourth_authenticator_comes(home: Site) -> None:
    later(home)
    add(home)
    secret = secret_on(press(home.web, "add"))
    token = token_of(home.web.get("/auth/ga"))
    cookie = "; ".join(f"{one.name}={one.value}" for one in home.web.cookiejar)
    form = {"csrf_token": token, "submit": "confirm", "code": code_of(home, secret)}

    def confirm(number: int) -> int:
        web = home.browser(HTTP_COOKIE=cookie)
        return web.post(ACCOUNT, form).status_int

    statuses = at_once(4, confirm)
    assert statuses.count(303) <= 1
    assert 500 not in statuses
    assert len(held(home)) == 3


# -- recovery codes --------------------------------------------------------------------------------


def test_a_recovery_code_lets_one_in_of_many_at_once(home: Site) -> None:
    code = codes_on(press(home.web, "codes"))[0]
    webs = [home.browser(f"10.{number}.0.1") for number in range(4)]
    tokens = [token_of(web.get("/auth/rc")) for web in webs]
    form = {"username": NAME, "code": code, "submit": "authenticate"}
    answers = at_once(
        4, lambda number: webs[number].post("/auth/rc", {**form, "csrf_token": tokens[number]})
    )
    assert [answer.status_int for answer in answers].count(303) == 1
    assert {answer.status_int for answer in answers} <= {200, 303, 503}
    assert recover(home, code, home.browser("10.9.0.1")).status_int == 200


def test_a_recovery_code_is_of_one_user_and_dies_with_the_next_ten(home: Site) -> None:
    other, _ = another_user(home)
    code = codes_on(press(home.web, "codes"))[0]
    assert recover(home, code, other, "bo@example.com").status_int == 200
    assert recover(home, code, home.browser("192.0.2.8"), "nobody@example.com").status_int == 200
    press(home.web, "codes")
    assert recover(home, code, home.browser("192.0.2.9")).status_int == 200


def test_recovery_codes_do_not_outlive_an_enrolment_nor_let_in_who_is_disabled(
    home: Site,
) -> None:
    one, two = codes_on(press(home.web, "codes"))[:2]
    home.command("user", "disable", f"--username={NAME}")
    assert recover(home, one, home.browser("192.0.2.8")).status_int == 200
    home.command("user", "enable", f"--username={NAME}")
    link, phone = enrol_link(home), home.browser("192.0.2.77")
    secret = secret_on(press(phone, "show", link))
    assert "signed in" in press(phone, "confirm", link, code=code_of(home, secret)).text
    for code in (one, two):
        assert recover(home, code, home.browser("192.0.2.9")).status_int == 200


def test_guesses_at_recovery_codes_spend_no_other_budget(home: Site) -> None:
    web = home.browser("192.0.2.66")
    wrong = "0000-0000-0000-0000"
    statuses = [recover(home, wrong, web).status_int for _ in range(6)]
    assert statuses == [200] * 5 + [429]
    later(home)
    assert home.attempt(home.code(), web).status_int == 303


def test_what_cannot_be_a_recovery_code_is_not_counted_and_never_fails(home: Site) -> None:
    web = home.browser("192.0.2.66")
    for junk in ("", "x", "0" * 15, "\0" * 16, "\u5b57" * 16, "' OR 1=1 --------"):
        assert recover(home, junk, web).status_int == 200
    assert query(home, "SELECT * FROM factored_attempts") == []


@pytest.mark.parametrize("path", ["/auth/rc", "/auth/ga"])
def test_names_look_alike_where_codes_are_asked_for(home: Site, path: str) -> None:
    press(home.web, "codes")
    another_user(home, "disabled@example.com")
    home.command("user", "disable", "--username=disabled@example.com")
    another_user(home, "three@example.com")
    home.command("user", "invite", "--username=invited@example.com")
    locked = home.browser("10.1.0.1")
    wrong = {"/auth/rc": "0000-0000-0000-0000", "/auth/ga": "000000"}[path]
    seen = []
    for number, name in enumerate(
        (NAME, "disabled@example.com", "invited@example.com", "nobody@example.com")
    ):
        web = home.browser(f"10.2.{number}.1")
        pages = []
        for step in range(7):
            submit = "authenticate" if step else "username"
            answer = press(web, submit, path, username=name, code=wrong)
            text = re.sub(r'value="[^"]{20,}"', "", answer.text.replace(name, "NAME"))
            pages.append((answer.status_int, sorted(answer.headers.keys()), text))
        seen.append(pages)
    assert [page[0] for page in seen[0]] == [200] * 6 + [429]
    assert seen[1:] == seen[:1] * 3
    assert locked.get(path).status_int == 200


# -- explained steps, and what strangers may guess -------------------------------------------------


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("ahead", [1, 2, 5, 10])
def test_every_explained_step_to_come_is_used_up(
    make_site: Callable[..., Site], many: bool, known: bool, ahead: int
) -> None:
    site = make_site()
    site.login()
    for number, secret in enumerate(three(site) if many else [site.secret]):
        later(site, 31 * 86400)
        site.login()  # and so the run of the known device is empty again
        later(site, 600)
        web = site.web if known else site.browser("192.0.2.66")
        told = code_of(site, secret, ahead)
        answer = site.attempt(told, web)
        if ahead == 1 and (known or not many):
            assert answer.status_int == 303
            continue
        assert (answer.status_int, "clock" in answer.text) == (200, True)
        later(site, 30 * (ahead - 1))
        for _ in range(3):
            assert site.attempt(told, web).status_int == 200
            later(site)
        later(site, -60)
        assert site.attempt(told, site.browser(f"10.{number}.0.1")).status_int == 200


def test_a_stranger_has_three_codes_a_guess_at_most(make_site: Callable[..., Site]) -> None:
    site = make_site()
    site.login()
    held_ = [site.secret]
    for _ in range(3):
        now_s = site.clock.now_s()
        window = 1 if len(held_) == 1 else 0
        taken = {
            step
            for secret in held_
            for step in range(-12, 13)
            if totp.verify(
                secret, code_of(site, secret, step), now_s=now_s, last_step=-1, window=window
            )[0] is Verdict.ACCEPTED
        }  # fmt: skip
        assert len(taken) * len(held_) <= 3
        if len(held_) < 3:
            later(site)
            held_.append(add(site))


def test_the_budget_of_strangers_is_one_for_all_authenticators(
    make_site: Callable[..., Site],
) -> None:
    site = make_site()
    site.login()
    three(site)
    answers = [
        site.attempt("000000", site.browser(f"10.{number}.0.1")).status_int for number in range(12)
    ]
    assert answers == [200] * 10 + [429] * 2


# -- where one is sent -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad", ["//evil.example", "/\\evil.example", "https://evil.example", "account/../..", "Account"]
)
def test_neither_then_nor_done_nor_locale_sends_anybody_away(home: Site, bad: str) -> None:
    for name in ("then", "done", "_LOCALE_", "referrer"):
        for path in (ACCOUNT, "/auth/ga", "/auth/rc", "/auth"):
            answer = home.web.get(path, {name: bad})
            assert "evil.example" not in answer.headers.get("Location", "")
            links = re.findall(r'(?:href|action|src)="([^"]*)"', answer.text)
            assert all(link.startswith(("/auth", "/", "data:", "#")) for link in links)
            assert not any(link.startswith(("//", "/\\")) for link in links)
        later(home)
        answer = home.attempt(home.code(), home.browser("192.0.2.9"), then=bad[:16])
        assert answer.headers["Location"] == "/"


@pytest.mark.parametrize("junk", ["de\r\nX: y", "\0", "../../etc", "x" * 4000, "\u5b57", "de;"])
def test_a_junk_language_is_no_language(home: Site, junk: str) -> None:
    answer = home.web.get("/auth/ga", {"_LOCALE_": junk})
    assert answer.status_int == 200
    assert answer.headers["Content-Language"] == "en"
    web = home.browser(HTTP_COOKIE="_LOCALE_=" + junk.encode("utf-8").decode("latin-1"))
    assert web.get("/auth/ga").status_int in (200, 400, 431)
    assert home.web.get("/auth/nothing", {"_LOCALE_": junk}).status_int == 404


# -- what is shown ---------------------------------------------------------------------------------


NASTY = "\"><script>x</script>${1/0}<b onx='${what}'>"


def test_what_others_choose_is_text_on_the_page_and_in_mails(
    make_site: Callable[..., Site], mails: list[Mail]
) -> None:
    site = make_site(appname="<b>${user}", footer_text=NASTY, **PUBLIC)
    web = Browser(
        site.web.app, extra_environ={"REMOTE_ADDR": NASTY, "HTTP_USER_AGENT": NASTY + " Firefox/1"}
    )
    site.login(web)
    press(web, "rename", id=held(site)[0][0], label=NASTY)
    page = web.get(ACCOUNT).text
    assert "<script>" not in page
    assert "<b" not in re.sub(r"<(body|button|bdi)", "", page)
    assert held(site)[0][1] == NASTY[:60].strip()
    assert "${what}" not in mails[0].subject
    assert "\n" not in mails[0].subject
    codes = press(web, "codes").text
    assert "<script>" not in codes
    assert re.search(r'href="data:text/plain;charset=utf-8,[\w%.~-]+"', codes)


def test_a_user_agent_with_controls_is_stored_without(site: Site) -> None:
    web = site.browser(HTTP_USER_AGENT="a\0b\x1b[2J\x85c" + "x" * 5000)
    site.login(web)
    ((stored,),) = query(site, "SELECT user_agent FROM factored_devices")
    assert stored.startswith("ab[2Jc")
    assert len(stored) == 255
    assert web.get(ACCOUNT).status_int == 200


def test_no_secret_of_the_account_is_in_logs_urls_or_mails(
    home: Site, mails: list[Mail], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    later(home)
    secret = secret_on(press(home.web, "add"))
    code = code_of(home, secret)
    answer = press(home.web, "confirm", code=code, label="a label of mine")
    made = codes_on(press(home.web, "codes"))
    assert len(made) == 10
    used = recover(home, made[0], home.browser("192.0.2.9"))
    said = caplog.text + "".join(mail.subject + mail.text for mail in mails)
    said += answer.headers["Location"] + used.headers["Location"]
    for one in (secret, home.secret, code, *made, *(code.replace("-", "") for code in made)):
        assert one not in said
    assert home.web.cookies["auth_tkt"] not in said
    stored = str(query(home, "SELECT code_hash FROM factored_recovery_codes"))
    assert not any(one in stored or one.replace("-", "") in stored for one in made)


def test_pages_with_secrets_are_kept_nowhere(home: Site) -> None:
    later(home)
    for answer in (press(home.web, "add"), press(home.web, "codes"), home.web.get(ACCOUNT)):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


# -- tickets that must end -------------------------------------------------------------------------


def test_a_deletion_leaves_this_browser_alone_signed_in(home: Site) -> None:
    later(home)
    add(home)
    other = home.browser("192.0.2.66")
    later(home)
    home.login(other)
    old = home.web.cookies["auth_tkt"]
    press(home.web, "delete", id=held(home)[1][0])
    home.read_revocations()
    assert signed_in(home.web)
    assert not signed_in(other)
    assert not signed_in(home.browser("192.0.2.67").cookie(old))
    # On the account page it ends at once, whatever this node has read.
    assert press(other, "codes").headers["Location"] == "/auth?then=account"


@pytest.mark.parametrize("button", ["signout", "everywhere"])
def test_a_ticket_that_was_signed_out_is_good_no_more(home: Site, button: str) -> None:
    thief = home.browser("192.0.2.66")
    later(home)
    home.login(thief)
    (ticket,) = query(home, "SELECT id FROM factored_tickets WHERE address = '192.0.2.66'")[0]
    press(home.web, button, **({"id": ticket} if button == "signout" else {}))
    home.read_revocations()
    assert not signed_in(thief)
    assert signed_in(home.web) == (button == "signout")


def test_a_login_gives_the_browser_another_id(home: Site) -> None:
    web = home.browser("192.0.2.9")
    planted = token_of(web.get("/auth/ga"))
    later(home)
    home.login(web)
    form = {"csrf_token": planted, "submit": "codes"}
    assert web.post(ACCOUNT, form).status_int == 403


def test_a_ticket_bound_to_an_address_stays_so_after_a_deletion(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(auth_tkt__include_ip="true")
    site.login()
    later(site)
    add(site)
    press(site.web, "delete", id=held(site)[1][0])
    site.read_revocations()
    assert signed_in(site.web)
    elsewhere = site.browser("192.0.2.66")
    elsewhere.take("auth_tkt", site.web)
    assert not signed_in(elsewhere)


def test_strangers_put_nothing_into_memory(home: Site) -> None:
    gate: Any = home.web.app
    gate = getattr(gate, "app", gate)
    gate._seen.clear()
    for number in range(50):
        web = home.browser("192.0.2.66").cookie(home.ticket()[:-1] + str(number))
        web.get("/")
        web.get(f"/auth/ga?_LOCALE_=x{number}&then=y{number}")
    assert gate._seen == {}


def test_two_gates_of_one_process_keep_apart_what_they_saw(make_site: Callable[..., Site]) -> None:
    one = make_site()
    two = make_site(auth_tkt__secret="another-ticket-secret-for-tests-0123456789")
    one.login()
    assert one.web.get("/").status_int == 200
    gates: list[Any] = [getattr(site.web.app, "app", site.web.app) for site in (one, two)]
    assert (len(gates[0]._seen), len(gates[1]._seen)) == (1, 0)
    assert not signed_in(two.browser("192.0.2.66").cookie(one.web.cookies["auth_tkt"]))


# -- a store that fails, and rows of older nodes ---------------------------------------------------


STORED = {
    "add": [(SqlUserStore, "add_pending")],
    "confirm": [(SqlUserStore, "confirm_another")],
    "rename": [(SqlUserStore, "rename_authenticator")],
    "delete": [(SqlUserStore, "drop_authenticator")],
    "codes": [(SqlRecoveryCodeStore, "replace")],
    "signout": [(SqlTicketStore, "of")],
    "everywhere": [(SqlUserStore, "end_tickets")],
}


@pytest.mark.parametrize("button", STORED)
def test_a_store_that_fails_is_a_503_and_no_change(
    home: Site, mails: list[Mail], monkeypatch: pytest.MonkeyPatch, button: str
) -> None:
    later(home)
    add(home)
    fields = filled(home).get(button, {})
    if button == "confirm":
        fields["code"] = code_of(home, secret_on(press(home.web, "add")))
    elif button == "delete":
        fields["id"] = held(home)[1][0]
    mails.clear()
    held_before = held(home)
    for owner, name in STORED[button]:
        monkeypatch.setattr(owner, name, broken)
    answer = press(home.web, button, **fields)
    assert (answer.status_int, answer.headers["Retry-After"]) == (503, "10")
    assert (held(home), mails) == (held_before, [])


def test_rows_of_older_nodes_are_shown(home: Site) -> None:
    run_sql(
        Path(home.given["sqlalchemy.url"].removeprefix("sqlite:///")),
        "UPDATE factored_tickets SET last_seen_at = NULL, device_id = NULL",
        "UPDATE factored_devices SET address = NULL",
    )
    assert home.web.get(ACCOUNT).status_int == 200
    assert home.web.get("/").status_int == 200
    assert home.web.get(ACCOUNT).status_int == 200
