"""A visitor signs in by pressing the button behind a mailed link, in whatever browser."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
from webtest import TestResponse

from factored.interfaces import ConfigurationError
from tests.functional.mailing import NEW, Directory, Mailed, MakeMailed, error_of
from tests.support import NAME, Browser, Recorder, at_once, code_in, token_of

PUBLIC = "https://site.test"
BODY = "Your code is: {code}\nOr press the button at {url}."
OVER = "This link was used before, or it is too old."
WRONG = "0000-0000"


@pytest.fixture
def make_linked(make_mailed: MakeMailed) -> MakeMailed:
    def make(downstream: object = None, **changed: str) -> Mailed:
        given = {"email_auth.body": BODY, "public_url": PUBLIC}
        made = make_mailed(downstream, **given | changed)
        made.site.web.extra_environ["HTTP_HOST"] = "site.test"
        return made

    return make


@pytest.fixture
def linked(make_linked: MakeMailed) -> Mailed:
    return make_linked()


def browser(mailed: Mailed, address: str = "192.0.2.1") -> Browser:
    return mailed.site.browser(address, HTTP_HOST="site.test")


def link(mailed: Mailed, web: Browser | None = None, name: str = NAME, **fields: str) -> str:
    """-> path of the link in the mail that this browser asks for"""
    assert mailed.ask(web, name, **fields).status_int == 200
    return link_in(mailed)


def link_in(mailed: Mailed) -> str:
    text = mailed.post.next().text
    match = re.search(r"https://site\.test(/auth/em/link/[\w-]{32})(?![\w-])", text)
    assert match, text
    return match[1]


def press(web: Browser, path: str, submit: str = "authenticate", **fields: str) -> TestResponse:
    page = web.get("/auth/em")  # any form of the site gives a token
    return web.post(path, {"csrf_token": token_of(page), "submit": submit, **fields})


def test_a_pressed_link_leads_to_the_page_that_was_asked_for(make_linked: MakeMailed) -> None:
    downstream = Recorder()
    mailed = make_linked(downstream)
    web = mailed.site.web
    path = link(mailed, referrer="/page?a=1&b=2")
    page = web.get(path)
    assert page.status_int == 200
    assert f"<strong>{NAME}</strong>" in page.text
    assert "Stay signed in on this browser for 1 day" in page.text
    assert page.headers["Referrer-Policy"] == "same-origin"
    done = page.form.submit("submit", value="authenticate")
    assert (done.status_int, done.headers["Location"]) == (303, "/page?a=1&b=2")
    assert web.get("/page").status_int == 200
    assert downstream.seen[-1]["REMOTE_USER"] == NAME
    assert downstream.seen[-1]["factored.ticket"].scheme == "em"


def test_the_browser_that_presses_is_signed_in_and_not_the_one_that_asked(linked: Mailed) -> None:
    asking, pressing = browser(linked), browser(linked, "198.51.100.1")
    path = link(linked, asking, referrer="/page")
    done = pressing.get(path).form.submit("submit", value="authenticate")
    assert done.headers["Location"] == "/page"
    assert pressing.get("/").status_int == 200
    assert asking.get("/").status_int == 302


@pytest.mark.parametrize("method", ["get", "head"])
def test_looking_at_a_link_signs_nobody_in_and_spends_nothing(linked: Mailed, method: str) -> None:
    path = link(linked)
    for _ in range(6):
        answer = getattr(linked.site.web, method)(path)
        assert answer.status_int == 200
        assert "auth_tkt" not in str(answer.headers.getall("Set-Cookie"))
    assert linked.site.web.get("/").status_int == 302
    assert press(linked.site.web, path).status_int == 303


def test_a_link_works_once(linked: Mailed) -> None:
    path = link(linked)
    assert press(linked.site.web, path).status_int == 303
    for web in (linked.site.web, browser(linked)):
        for answer in (web.get(path), press(web, path)):
            assert answer.status_int == 404
            assert OVER in answer.text


def test_of_many_presses_at_once_one_is_let_in(linked: Mailed) -> None:
    path = link(linked)
    browsers = [browser(linked, f"192.0.2.{number}") for number in range(8)]
    statuses = at_once(8, lambda number: press(browsers[number], path).status_int)
    assert sorted(set(statuses) - {503}) in ([303, 404], [303])
    assert statuses.count(303) == 1


def test_code_and_link_of_one_mail_are_used_up_together(linked: Mailed) -> None:
    linked.ask()
    mail = linked.post.next()
    linked.post.mails.put(mail)
    path = link_in(linked)
    assert linked.enter(code_in(mail)).status_int == 303
    assert press(linked.site.web, path).status_int == 404
    linked.ask()
    mail = linked.post.next()
    linked.post.mails.put(mail)
    assert press(linked.site.web, link_in(linked)).status_int == 303
    assert error_of(linked.enter(code_in(mail))).startswith("No code is waited for")


@pytest.mark.parametrize(("off_s", "status"), [(-1, 303), (0, 404), (1, 404)])
def test_a_link_ends_when_its_time_is_over(linked: Mailed, off_s: int, status: int) -> None:
    path = link(linked)
    linked.site.clock.advance(120 + off_s)
    assert press(linked.site.web, path).status_int == status


def test_a_new_mail_to_the_same_browser_ends_the_older_link(linked: Mailed) -> None:
    older, newer = link(linked), link(linked)
    assert press(linked.site.web, older).status_int == 404
    assert press(linked.site.web, newer).status_int == 303


def test_a_stranger_who_asks_does_not_spoil_the_users_link(linked: Mailed) -> None:
    path = link(linked)
    stranger = browser(linked, "198.51.100.1")
    link(linked, stranger)
    for _ in range(5):
        linked.enter(WRONG, stranger)
    assert press(linked.site.web, path).status_int == 303


@pytest.mark.parametrize("token", ["A" * 32, "x", "A" * 3000, "%00", "%E2%82%AC", "."])
def test_what_is_no_link_leads_nowhere(linked: Mailed, token: str) -> None:
    link(linked)
    answer = linked.site.web.get(f"/auth/em/link/{token}")
    assert answer.status_int == 404


def test_a_code_is_no_token_and_a_token_no_code(linked: Mailed) -> None:
    linked.ask()
    mail = linked.post.next()
    linked.post.mails.put(mail)
    path = link_in(linked)
    code = code_in(mail)
    for token in (code, code.replace("-", "")):
        assert press(linked.site.web, f"/auth/em/link/{token}").status_int == 404
    assert error_of(linked.enter(path.rpartition("/")[2])).startswith("That code is not right.")
    assert press(linked.site.web, path).status_int == 303


@pytest.mark.parametrize("submit", ["username", "unlock", "show", "logout"])
def test_another_button_presses_nothing(linked: Mailed, submit: str) -> None:
    path = link(linked)
    assert press(linked.site.web, path, submit).status_int == 400
    assert press(linked.site.web, path).status_int == 303


def test_a_press_without_csrf_token_or_from_another_site_is_refused(linked: Mailed) -> None:
    path = link(linked)
    web = linked.site.web
    form = {"csrf_token": token_of(web.get(path)), "submit": "authenticate"}
    assert web.post(path, {**form, "csrf_token": "x"}).status_int == 403
    for header, value in (("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.example")):
        assert web.post(path, form, headers={header: value}).status_int == 403
    assert browser(linked).post(path, form).status_int == 403
    assert web.post(path, form).status_int == 303


@pytest.mark.parametrize(("ticked", "lasting"), [({}, False), ({"remember": "on"}, True)])
def test_remember_me_is_asked_where_the_button_is(
    linked: Mailed, ticked: dict[str, str], lasting: bool
) -> None:
    done = press(linked.site.web, link(linked), **ticked)
    (line,) = (one for one in done.headers.getall("Set-Cookie") if one.startswith("auth_tkt="))
    assert ("; Max-Age=86400;" in line) is lasting


@pytest.mark.parametrize("referrer", ["//evil.example", "https://evil.example/", "/auth/em", ""])
def test_a_way_back_that_leads_elsewhere_is_not_stored(linked: Mailed, referrer: str) -> None:
    done = press(linked.site.web, link(linked, referrer=referrer))
    assert done.headers["Location"] == "/"


def test_a_stored_way_back_is_judged_again(linked: Mailed) -> None:
    path = link(linked, referrer="/page")
    linked.execute("UPDATE factored_challenges SET return_to = '//evil.example/'")
    assert press(linked.site.web, path).headers["Location"] == "/"


def test_the_host_of_the_link_is_never_the_one_that_was_asked(linked: Mailed) -> None:
    for headers in ({"Host": "evil.example"}, {"X-Forwarded-Host": "evil.example"}):
        web = browser(linked)
        form = {"csrf_token": token_of(web.get("/auth/em")), "username": NAME, "submit": "username"}
        answer = web.post("/auth/em", form, headers=headers)
        assert answer.status_int == (400 if "Host" in headers else 200)
    assert link_in(linked).startswith("/auth/em/link/")
    assert linked.post.mails.empty()


@pytest.mark.parametrize("change", ["removed", "disabled", "removed and made again"])
def test_a_user_who_is_gone_before_the_link_is_pressed_is_not_let_in(
    linked: Mailed, change: str
) -> None:
    path = link(linked)
    if change == "disabled":
        linked.disable()
    else:
        linked.site.command("user", "remove", f"--username={NAME}")
    if change.endswith("again"):
        linked.site.command("user", "add", f"--username={NAME}")
    answer = press(linked.site.web, path)
    assert answer.status_int == 404
    assert "auth_tkt" not in str(answer.headers.getall("Set-Cookie"))


def test_a_found_user_gets_an_account_by_the_press_and_not_by_looking(
    directory: Directory, make_linked: MakeMailed
) -> None:
    mailed = make_linked()
    path = link(mailed, name="new@EXAMPLE.com")
    assert f"<strong>{NEW}</strong>" in mailed.site.web.get(path).text
    assert mailed.users() == [NAME]
    assert press(mailed.site.web, path).status_int == 303
    assert mailed.users() == [NAME, NEW]


def test_a_link_opens_where_guessing_is_locked_and_makes_a_known_device(linked: Mailed) -> None:
    """Nobody guesses a link, so it is the way out of a lock (PROMISES 7)."""
    strangers = [browser(linked, f"10.0.0.{number}") for number in range(2)]
    for stranger in strangers:
        linked.ask(stranger)
        linked.post.next()
        for _ in range(5):
            answer = linked.enter(WRONG, stranger)
    web = browser(linked)
    path = link(linked, web)
    assert linked.enter(WRONG, web).status_int == 429
    assert answer.status_int == 200
    assert press(web, path).status_int == 303
    linked.site.clock.advance(600)
    assert linked.enter(linked.code(web), web).status_int == 303
    assert linked.enter(WRONG, browser(linked)).status_int == 200


def test_pressing_ends_the_failures_of_a_known_device_and_renews_no_void_one(
    linked: Mailed,
) -> None:
    web, others = browser(linked), 0

    def fail(times: int) -> list[int]:
        statuses = []
        for number in range(times):
            if number % 4 == 0:
                linked.site.clock.advance(600)
                linked.code(web)
            statuses.append(linked.enter(WRONG, web).status_int)
        return statuses

    def devices() -> int:
        return len(linked.query("SELECT id FROM factored_devices"))

    assert press(web, link(linked, web)).status_int == 303
    for _ in range(3):
        fail(8)
        linked.site.clock.advance(600)
        assert press(web, link(linked, web)).status_int == 303
    assert devices() == 1 + others
    fail(10)
    linked.site.clock.advance(600)
    assert press(web, link(linked, web)).status_int == 303
    assert devices() == 2


def test_the_tickets_that_the_browser_showed_end(linked: Mailed) -> None:
    web = linked.site.web
    assert press(web, link(linked)).status_int == 303
    before = web.cookies["auth_tkt"]
    assert press(web, link(linked)).status_int == 303
    thief = browser(linked).cookie(before)
    assert thief.get("/").status_int == 302
    assert web.get("/").status_int == 200


def test_token_and_code_are_in_the_mail_and_nowhere_else(
    linked: Mailed, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    asked = linked.ask()
    path = link_in(linked)
    token = path.rpartition("/")[2]
    database = Path(linked.site.given["sqlalchemy.url"].removeprefix("sqlite:///"))
    done = press(linked.site.web, path)
    assert token.encode() not in database.read_bytes()
    assert token not in caplog.text
    for answer in (asked, done, linked.site.web.get("/auth/em")):
        assert token not in answer.text + str(answer.headerlist)
    assert 'event=login user="al@example.com" scheme="em"' in caplog.text


def test_the_page_behind_the_link_shows_the_way_back_to_nobody_else(linked: Mailed) -> None:
    """What the page says is for whoever holds the link: the account, and nothing of the site."""
    page = linked.site.web.get(link(linked, referrer="/secret/page"))
    assert "/secret/page" not in page.text


def test_a_site_that_mails_no_links_has_none(mailed: Mailed) -> None:
    mailed.code()
    assert mailed.site.web.get("/auth/em/link/" + "A" * 32).status_int == 404
    assert mailed.query("SELECT link_hash, return_to FROM factored_challenges") == [(None, "")]


def test_links_need_public_url(make_mailed: MakeMailed) -> None:
    with pytest.raises(ConfigurationError, match="public_url: is missing"):
        make_mailed(**{"email_auth.body": BODY})


def test_the_database_being_down_is_a_503_page_and_the_link_stays(linked: Mailed) -> None:
    path = link(linked)
    form = {"csrf_token": token_of(linked.site.web.get(path)), "submit": "authenticate"}
    linked.query("ALTER TABLE factored_challenges RENAME TO away")
    assert linked.site.web.get(path).status_int == 503
    assert linked.site.web.post(path, form).status_int == 503
    linked.query("ALTER TABLE away RENAME TO factored_challenges")
    assert linked.site.web.post(path, form).status_int == 303


def test_a_gate_mounted_below_a_path_mails_links_below_it(
    make_linked: MakeMailed,
) -> None:
    mailed = make_linked()
    web = browser(mailed)
    web.extra_environ["SCRIPT_NAME"] = "/site"
    form = {"csrf_token": token_of(web.get("/auth/em")), "username": NAME, "submit": "username"}
    web.post("/auth/em", form)
    assert f"{PUBLIC}/site/auth/em/link/" in mailed.post.next().text
