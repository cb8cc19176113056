"""A visitor signs in with a code that was mailed to the stored address."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from factored.interfaces import ConfigurationError, UserExists
from factored.store.sql import SqlUserStore
from tests.functional.mailing import NEW, Directory, Mailed, MakeMailed, Post, error_of
from tests.support import NAME, Browser, Recorder, code_in, eventually, token_of, unnamed

DAY_S = 86400
WRONG = "0000-0000"
EXPIRED = "No code is waited for any more. Ask for a new one."


# -- the story -------------------------------------------------------------------------------------


def test_a_mailed_code_leads_to_the_page_that_was_asked_for(
    make_mailed: MakeMailed, post: Post
) -> None:
    downstream = Recorder()
    mailed = make_mailed(downstream)
    web = mailed.site.web
    chooser = web.get(web.get("/page?a=1").headers["Location"])
    assert chooser.headers["Location"] == "/auth/em?referrer=/page%3Fa%3D1"
    first = web.get(chooser.headers["Location"])
    assert "Sign in by e-mail" in first.text
    first.form["username"] = "AL@example.com"
    second = first.form.submit("submit", value="username")
    assert second.status_int == 200
    assert "Sent to <strong>A***@example.com</strong>" in second.text
    assert 'inputmode="text"' in second.text
    mail = post.next()
    assert (mail.to, mail.subject) == (NAME, "Your code")
    assert re.fullmatch(r"Your code is: [0-9A-Z]{4}-[0-9A-Z]{4}\n?", mail.text)
    second.form["code"] = code_in(mail)
    done = second.form.submit("submit", value="authenticate")
    assert (done.status_int, done.headers["Location"]) == (303, "/page?a=1")
    assert web.get("/page?a=1").status_int == 200
    assert downstream.seen[-1]["REMOTE_USER"] == NAME
    assert downstream.seen[-1]["factored.ticket"].scheme == "em"


def test_the_operators_words_stand_in_the_mail(make_mailed: MakeMailed, post: Post) -> None:
    mailed = make_mailed(
        **{"em.subject": "Hello\n from us", "em.body": "{code} is it.\n{Mind} {code}!"}
    )
    code = mailed.code()
    mailed.ask(mailed.site.browser("192.0.2.2"))
    mail = post.next()
    assert mail.subject == "Hello from us"
    again = code_in(mail)
    assert mail.text == f"{again} is it.\n{{Mind}} {again}!"
    assert again != code


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("Welcome!", "email_auth.body: has no {code}"),
        ("{url}", "email_auth.body: has no {code}"),
    ],
)
def test_a_mail_that_would_help_nobody_stops_the_start(
    make_mailed: MakeMailed, body: str, words: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_mailed(public_url="https://site.test", **{"email_auth.body": body})
    (problem,) = caught.value.problems
    assert problem.startswith(words)


@pytest.mark.parametrize(
    "typed",
    [str.lower, lambda code: code.replace("-", ""), lambda code: f" {code[:2]} {code[2:]} ",
     lambda code: code.replace("0", "O").replace("1", "l"),
     lambda code: code.replace("0", "o").replace("1", "I").replace("V", "u"),
     lambda code: "".join(chr(ord(sign) + 0xFEE0) for sign in code)],
)  # fmt: skip
def test_a_code_may_be_pasted_and_misread(
    mailed: Mailed, monkeypatch: pytest.MonkeyPatch, typed: Callable[[str], str]
) -> None:
    monkeypatch.setattr("factored.codes.new_mail_code", lambda: "0V1AZ019")
    assert mailed.enter(typed(mailed.code())).status_int == 303


@pytest.mark.parametrize("typed", ["", "123456", "ABCD-EFGHJ", "ABCD-EFG!", "ABCD-EFG\u0416"])
def test_what_cannot_be_a_code_is_wrong_and_costs_no_try(mailed: Mailed, typed: str) -> None:
    code = mailed.code()
    for _ in range(8):
        answer = mailed.enter(typed)
        assert answer.status_int == 200
        assert error_of(answer).startswith("That code is not right.")
    assert mailed.enter(code).status_int == 303


def test_the_form_carries_name_way_back_and_remember_me_along(mailed: Mailed) -> None:
    asked = mailed.ask(referrer="/page", remember="on")
    assert asked.form["username"].value == NAME
    assert asked.form["referrer"].value == "/page"
    assert asked.form["remember"].checked
    wrong = mailed.enter(WRONG, referrer="/page", remember="on")
    assert error_of(wrong) == "That code is not right. Look at the newest one and try again."
    assert wrong.form["referrer"].value == "/page"
    code = code_in(mailed.post.next())
    done = mailed.enter(code, referrer="//evil.example", remember="on")
    assert done.headers["Location"] == "/"
    (line,) = (one for one in done.headers.getall("Set-Cookie") if one.startswith("auth_tkt="))
    assert "; Max-Age=86400;" in line


def test_without_remember_me_the_ticket_ends_with_the_browser(mailed: Mailed) -> None:
    done = mailed.enter(mailed.code())
    (line,) = (one for one in done.headers.getall("Set-Cookie") if one.startswith("auth_tkt="))
    assert "Max-Age" not in line


def test_the_second_form_has_a_button_for_another_code(mailed: Mailed, post: Post) -> None:
    again = mailed.ask().form.submit("submit", value="username")
    assert again.status_int == 200
    old, new = code_in(post.next()), code_in(post.next())
    assert error_of(mailed.enter(old)).startswith("That code is not right.")
    assert mailed.enter(new).status_int == 303


# -- how long, where, how often --------------------------------------------------------------------


@pytest.mark.parametrize("window_s", [120, 600])
@pytest.mark.parametrize(("off_s", "good"), [(-1, True), (0, False), (1, False)])
def test_a_code_ends_when_its_time_is_over(
    make_mailed: MakeMailed, window_s: int, off_s: int, good: bool
) -> None:
    mailed = make_mailed(email_auth_window=str(window_s))
    code = mailed.code()
    mailed.site.clock.advance(window_s + off_s)
    answer = mailed.enter(code)
    assert answer.status_int == (303 if good else 200)
    assert error_of(answer) == ("" if good else EXPIRED)


def test_a_code_is_good_in_the_browser_that_asked_and_nowhere_else(mailed: Mailed) -> None:
    code = mailed.code()
    thief = mailed.site.browser("198.51.100.1")
    assert error_of(mailed.enter(code, thief)) == EXPIRED
    thiefs_own = mailed.code(thief)
    assert error_of(mailed.enter(code, thief)).startswith("That code is not right.")
    assert error_of(mailed.enter(thiefs_own)).startswith("That code is not right.")
    assert mailed.enter(code).status_int == 303


def test_a_code_is_good_for_the_name_it_was_asked_for(mailed: Mailed) -> None:
    mailed.site.command("user", "add", "--username=bo@example.com")
    code = mailed.code()
    assert error_of(mailed.enter(code, name="bo@example.com")) == EXPIRED
    mailed.code(name="bo@example.com")
    assert error_of(mailed.enter(code)) == EXPIRED


@pytest.mark.parametrize("wrong", [4, 5, 6])
def test_a_code_may_be_tried_five_times(mailed: Mailed, wrong: int) -> None:
    code = mailed.code()
    for number in range(wrong):
        expected = "That code is not right." if number < 5 else EXPIRED
        assert error_of(mailed.enter(WRONG)).startswith(expected)
    answer = mailed.enter(code)
    assert answer.status_int == (303 if wrong < 5 else 200)
    assert error_of(answer) == ("" if wrong < 5 else EXPIRED)


def test_a_code_works_once(mailed: Mailed) -> None:
    code = mailed.code()
    assert mailed.enter(code).status_int == 303
    answer = mailed.enter(code)
    assert (answer.status_int, error_of(answer)) == (200, EXPIRED)


def test_without_having_asked_nothing_is_evaluated_and_nothing_counted(mailed: Mailed) -> None:
    for _ in range(12):
        assert error_of(mailed.enter(WRONG)) == EXPIRED
    assert mailed.enter(mailed.code()).status_int == 303


def test_a_stranger_does_not_spoil_the_users_code(mailed: Mailed) -> None:
    code = mailed.code()
    for number in range(2):
        stranger = mailed.site.browser(f"198.51.100.{number}")
        mailed.code(stranger)
        for _ in range(4):
            mailed.enter(WRONG, stranger)
    assert mailed.enter(code).status_int == 303


@pytest.mark.parametrize("change", ["removed", "disabled", "removed and made again"])
def test_a_user_who_is_gone_before_the_code_is_entered_is_not_let_in(
    mailed: Mailed, change: str
) -> None:
    code = mailed.code()
    if change == "disabled":
        mailed.disable()
    else:
        mailed.site.command("user", "remove", f"--username={NAME}")
    if change.endswith("again"):
        mailed.site.command("user", "add", f"--username={NAME}")
    answer = mailed.enter(code)
    assert answer.status_int == 200
    assert "auth_tkt" not in str(answer.headers.getall("Set-Cookie"))


# -- names -----------------------------------------------------------------------------------------


def likeness(mailed: Mailed, name: str, address: str) -> list[object]:
    """name, address -> all there is to see of a history of requests, but name and tokens"""
    web = mailed.site.browser(address)
    seen: list[object] = []
    steps = [("username", 1), ("authenticate", 7), ("username", 4), ("authenticate", 1)]
    for submit in (one for one, times in steps for _ in range(times)):
        answer = mailed.form(web, submit, name, code=WRONG)
        body = unnamed(answer.text, name).replace(token_of(answer), "TOKEN")
        headers = [(key, value) for key, value in answer.headerlist if key != "Content-Length"]
        seen.append((answer.status, headers, body))
    return seen


def test_all_names_look_the_same_for_the_same_history(mailed: Mailed, post: Post) -> None:
    for name in ("al.example.com", "bo@example.com"):
        mailed.site.command("user", "add", f"--username={name}")
    mailed.disable("bo@example.com")
    known = likeness(mailed, NAME, "2001:db8:0:1::1")
    statuses = [str(one[0])[:3] for one in known]  # type: ignore[index]
    assert statuses == ["200"] * 8 + ["200", "200", "429", "429"] + ["429"]
    others = ("al.example.com", "bo@example.com", "xx@example.com", "xx.example.com")
    for number, name in enumerate(others, 2):
        assert likeness(mailed, name, f"2001:db8:0:{number}::1") == known
    assert {post.next().to for _ in range(3)} == {NAME}
    mailed.site.clock.advance(DAY_S)
    mailed.code()
    assert post.mails.empty()


def test_no_mail_goes_to_what_was_typed(mailed: Mailed, post: Post) -> None:
    for name in ("nobody@example.com", "al@example.org", "al"):
        assert mailed.ask(mailed.site.browser(), name).status_int == 200
    mailed.ask(name="AL@EXAMPLE.COM")
    assert post.next().to == NAME
    assert post.mails.empty()


@pytest.mark.parametrize("name", ["a@b\r\nBcc: c@d", "a@b,c@d", "a@b>c", "a b@c", "a@b\0", ""])
def test_what_cannot_be_a_name_is_asked_nothing(mailed: Mailed, name: str) -> None:
    assert mailed.ask(name=name).status_int == 400


# -- how often one may ask -------------------------------------------------------------------------


def test_strangers_have_three_mails_in_ten_minutes_for_an_account(mailed: Mailed) -> None:
    places = [mailed.site.browser(f"10.0.0.{number}") for number in range(4)]
    answers = [mailed.ask(web, referrer="/page") for web in places]
    assert [one.status_int for one in answers] == [200, 200, 200, 429]
    assert answers[3].headers["Retry-After"] == "600"
    assert error_of(answers[3]).endswith("Ask again in 10 minutes.")
    assert answers[3].form["referrer"].value == "/page"
    mailed.site.clock.advance(599)
    assert mailed.ask(places[3]).status_int == 429
    mailed.site.clock.advance(1)
    assert mailed.ask(places[3]).status_int == 200


def test_strangers_have_ten_mails_a_day_for_an_account(mailed: Mailed) -> None:
    sent = 0
    for number in range(20):
        sent += mailed.ask(mailed.site.browser(f"10.0.0.{number}")).status_int == 200
        mailed.site.clock.advance(600)
    assert sent == 10
    mailed.site.clock.advance(DAY_S - 20 * 600 - 1)
    assert mailed.ask().headers["Retry-After"] == "1"
    mailed.site.clock.advance(1)
    assert mailed.ask().status_int == 200


def test_one_source_has_thirty_mails_an_hour_over_all_names(mailed: Mailed) -> None:
    asked = [mailed.ask(name=f"user{number}@example.com") for number in range(31)]
    assert [one.status_int for one in asked] == [200] * 30 + [429]
    assert asked[30].headers["Retry-After"] == "3600"
    assert mailed.ask(mailed.site.browser("198.51.100.1")).status_int == 200
    mailed.site.clock.advance(3600)
    assert mailed.ask().status_int == 200


def test_a_request_that_is_refused_spoils_nothing(mailed: Mailed) -> None:
    mailed.code()
    mailed.code()
    code = mailed.code()
    assert mailed.ask().status_int == 429
    assert mailed.enter(code).status_int == 303


def test_counts_survive_a_restart(make_mailed: MakeMailed) -> None:
    for _ in range(3):
        make_mailed().code()
    assert make_mailed().ask().status_int == 429


@pytest.fixture
def known(mailed: Mailed) -> Browser:
    """A browser that has signed in before, and whose mails of that time are long ago."""
    web = mailed.site.browser("203.0.113.1")
    assert mailed.enter(mailed.code(web), web).status_int == 303
    mailed.site.clock.advance(DAY_S)
    return web


def test_strangers_spend_nothing_of_a_known_devices_mails_or_tries(
    mailed: Mailed, known: Browser
) -> None:
    for number in range(5):
        stranger = mailed.site.browser(f"10.0.0.{number}")
        if mailed.ask(stranger).status_int == 200:
            mailed.post.next()
            for _ in range(5):
                mailed.enter(WRONG, stranger)
    assert mailed.ask(mailed.site.browser("203.0.113.1")).status_int == 429
    assert mailed.enter(mailed.code(known), known).status_int == 303


def test_a_known_device_has_three_mails_in_ten_minutes(mailed: Mailed, known: Browser) -> None:
    assert [mailed.ask(known).status_int for _ in range(4)] == [200, 200, 200, 429]
    assert mailed.ask(known).headers["Retry-After"] == "600"
    assert mailed.ask(mailed.site.browser("10.0.0.1")).status_int == 200
    mailed.site.clock.advance(600)
    assert mailed.ask(known).status_int == 200


def test_a_known_device_has_twenty_mails_a_day(mailed: Mailed, known: Browser) -> None:
    sent = 0
    for _ in range(25):
        sent += mailed.ask(known).status_int == 200
        mailed.site.clock.advance(600)
    assert sent == 20
    mailed.site.clock.advance(DAY_S - 25 * 600)
    assert mailed.ask(known).status_int == 200


def test_google_auth_and_email_have_budgets_of_their_own(make_mailed: MakeMailed) -> None:
    mailed = make_mailed(supported_auth_schemes="Google Auth\nEmail")
    site = mailed.site
    chooser = site.web.get("/auth")
    assert chooser.status_int == 200
    assert 'href="/auth/em"' in chooser.text
    for _ in range(6):
        answer = site.attempt(site.wrong_code())
    assert answer.status_int == 429
    code = mailed.code()
    assert mailed.enter(code).status_int == 303
    stranger = site.browser("198.51.100.1")
    for _ in range(2):
        mailed.ask(stranger)
        for _ in range(3):
            answer = mailed.enter(WRONG, stranger)
    assert answer.status_int == 429
    assert site.attempt(site.code(), stranger).status_int == 303


# -- the mail server -------------------------------------------------------------------------------


def test_a_page_does_not_wait_for_the_mail_server(mailed: Mailed, post: Post) -> None:
    post.open.clear()
    assert mailed.ask().status_int == 200
    assert mailed.ask().status_int == 200
    assert post.mails.empty()
    post.open.set()
    post.next()
    assert mailed.enter(code_in(post.next())).status_int == 303


def is_ready(mailed: Mailed) -> bool:
    answer = mailed.site.web.get("/auth/readyz")
    assert answer.json["checks"]["mail"] is (answer.status_int == 200)
    return bool(answer.status_int == 200)


def test_while_no_mail_gets_out_everybody_reads_that(mailed: Mailed, post: Post) -> None:
    assert is_ready(mailed)
    post.error = ConnectionRefusedError("nobody there")
    assert mailed.ask().status_int == 200
    eventually(lambda: not is_ready(mailed))
    pages = []
    for name in (NAME, "xx@example.com", "al"):
        for _ in range(6):
            answer = mailed.ask(mailed.site.browser("198.51.100.1"), name)
            pages.append((answer.status_int, answer.headers["Retry-After"], answer.text))
    assert len(set(pages)) == 1
    assert pages[0][:2] == (503, "60")
    assert "No mail can be sent at the moment." in pages[0][2]
    assert mailed.site.web.get("/auth/em").status_int == 200
    assert mailed.site.web.get("/auth/healthz").status_int == 200
    post.error = None
    eventually(lambda: is_ready(mailed))
    assert mailed.enter(code_in(post.next())).status_int == 303
    assert mailed.enter(mailed.code()).status_int == 303


def test_mails_that_are_too_late_are_dropped_and_sending_recovers(
    mailed: Mailed, post: Post
) -> None:
    post.error = ConnectionRefusedError("nobody there")
    mailed.ask()
    eventually(lambda: not is_ready(mailed))
    mailed.site.clock.advance(120)
    post.error = None
    eventually(lambda: is_ready(mailed))
    assert post.mails.empty()
    assert mailed.enter(mailed.code()).status_int == 303


def test_a_site_that_sends_nothing_is_ready_without_a_mail_server(
    make_mailed: MakeMailed, post: Post
) -> None:
    post.error = ConnectionRefusedError("nobody there")
    mailed = make_mailed(supported_auth_schemes="Google Auth")
    assert is_ready(mailed)
    assert mailed.site.web.get("/auth/em").status_int == 404


def test_the_database_being_down_is_a_503_page_and_no_mail(mailed: Mailed, post: Post) -> None:
    mailed.site.web.get("/auth/em")
    path = Path(mailed.site.given["sqlalchemy.url"].removeprefix("sqlite:///"))
    path.write_bytes(b"This is no database any more. " * 400)
    for name in (NAME, "xx@example.com"):
        assert mailed.ask(name=name).status_int == 503
        assert mailed.enter(WRONG, name=name).status_int == 503
    assert post.mails.empty()


# -- secrets ---------------------------------------------------------------------------------------


def test_the_code_is_in_the_mail_and_nowhere_else(
    mailed: Mailed, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    pages = [mailed.ask()]
    code = code_in(mailed.post.next())
    pages += [mailed.enter(WRONG), mailed.enter(code[:-1]), mailed.enter(code)]
    pages += [mailed.enter(code), mailed.site.web.get("/"), mailed.site.web.get("/auth/em")]
    path = Path(mailed.site.given["sqlalchemy.url"].removeprefix("sqlite:///"))
    for spelling in (code, code.replace("-", ""), code.lower()):
        assert spelling not in caplog.text
        assert spelling.encode() not in path.read_bytes()
        for page in pages:
            assert spelling not in page.text
            assert spelling not in str(page.headerlist)


# -- found users -----------------------------------------------------------------------------------


def test_a_found_user_gets_an_account_when_the_mailbox_is_proven_and_not_before(
    directory: Directory, make_mailed: MakeMailed, post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "factored.audit")
    downstream = Recorder()
    mailed = make_mailed(downstream)
    assert mailed.ask(name="new@EXAMPLE.com").status_int == 200
    mail = post.next()
    assert mail.to == NEW
    assert mailed.users() == [NAME]
    mailed.enter(WRONG, name="new@example.com")
    assert mailed.users() == [NAME]
    assert mailed.enter(code_in(mail), name="NEW@example.com").status_int == 303
    assert mailed.users() == [NAME, NEW]
    mailed.site.web.get("/")
    assert downstream.seen[-1]["REMOTE_USER"] == NEW
    assert "enrolment" in caplog.text
    assert mailed.enter(mailed.code(name=NEW), name=NEW).status_int == 303
    assert mailed.users() == [NAME, NEW]


@pytest.mark.parametrize("canonical", ["other@example.com", "New@example.com\n", " New@example.com",
                                       "Old <new@example.com>", ""])  # fmt: skip
def test_a_finder_that_names_another_address_or_none_makes_no_account(
    found: Mailed, directory: Directory, monkeypatch: pytest.MonkeyPatch, canonical: str
) -> None:
    monkeypatch.setattr(directory, "find", lambda name: canonical)
    assert found.ask(name=NEW).status_int == 200
    assert found.code(found.site.browser("192.0.2.2"))
    assert found.post.mails.empty()
    found.enter(WRONG, name=NEW)
    assert found.users() == [NAME]


def test_who_is_not_found_looks_like_who_is(found: Mailed) -> None:
    first = likeness(found, NEW, "2001:db8:0:1::1")
    assert likeness(found, "xxx@example.com", "2001:db8:0:2::1") == first
    assert likeness(found, "New@example.org", "2001:db8:0:3::1") == first


def test_two_browsers_of_a_found_user_make_one_account(found: Mailed) -> None:
    browsers = [found.site.browser(f"192.0.2.{number}") for number in (1, 2)]
    codes = [found.code(web, NEW) for web in browsers]
    assert found.enter(codes[0], browsers[0], NEW).status_int == 303
    # The second one asked for nobody's account, and there is one now: a new code is needed.
    assert found.enter(codes[1], browsers[1], NEW).status_int == 200
    assert found.enter(found.code(browsers[1], NEW), browsers[1], NEW).status_int == 303
    assert found.users() == [NAME, NEW]


def test_an_account_made_in_the_same_moment_elsewhere_is_the_one(
    found: Mailed, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = SqlUserStore.add

    def add_after_another(self: SqlUserStore, *names: Any, **facts: Any) -> None:
        ours(self, *names, **facts)
        raise UserExists(names[0])

    monkeypatch.setattr(SqlUserStore, "add", add_after_another)
    assert found.enter(found.code(name=NEW), name=NEW).status_int == 303
    assert found.users() == [NAME, NEW]


def test_a_removed_user_who_is_found_comes_back_only_by_a_new_proof(
    found: Mailed, directory: Directory
) -> None:
    directory.addresses = (NAME,)
    code = found.code()
    found.site.command("user", "remove", f"--username={NAME}")
    assert found.enter(code).status_int == 200
    assert found.users() == []
    assert found.enter(found.code()).status_int == 303
    assert found.users() == [NAME]
