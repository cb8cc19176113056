"""Strangers may guess a little, owners are never shut out, and a link opens one browser."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from webtest import TestResponse

from tests.support import NAME, Browser, Site, token_of

DAY_S = 86400


def guess(site: Site, times: int, web: Browser | None = None, name: str = NAME) -> list[int]:
    """-> the statuses of so many wrong guesses"""
    return [site.attempt(site.wrong_code(), web, name).status_int for _ in range(times)]


def test_the_sixth_guess_of_a_day_is_refused_even_if_it_is_right(site: Site) -> None:
    assert guess(site, 5) == [200] * 5
    answer = site.attempt(site.code(), referrer="/page")
    assert answer.status_int == 429
    assert answer.headers["Retry-After"] == str(DAY_S)
    assert re.search(r'role="alert"[^>]*>Too many attempts. Try again in 1 day, use', answer.text)
    assert answer.form["username"].value == NAME
    assert answer.form["referrer"].value == "/page"
    assert "auth_tkt" not in answer.headers.get("Set-Cookie", "")
    assert site.web.get("/").status_int == 302


def test_a_refused_guess_does_not_burn_the_code(site: Site) -> None:
    guess(site, 5)
    code = site.code()
    assert site.attempt(code).status_int == 429
    assert site.attempt(code, site.browser("198.51.100.1")).status_int == 303


def test_a_refused_guess_lengthens_nothing(site: Site) -> None:
    guess(site, 5)
    for _ in range(9):
        site.clock.advance(DAY_S // 10)
        assert guess(site, 2) == [429, 429]
    site.clock.advance(DAY_S // 10)
    assert site.login()


@pytest.mark.parametrize("early_s", [1, 0])
def test_retry_after_is_exact(site: Site, early_s: int) -> None:
    guess(site, 5)
    site.clock.advance(100)
    told_s = int(site.attempt(site.code()).headers["Retry-After"])
    site.clock.advance(told_s - early_s)
    assert site.attempt(site.code()).status_int == (429 if early_s else 303)


def test_every_spelling_is_one_account(site: Site) -> None:
    for name in (NAME, "AL@example.com", " al@Example.com", "Al@example.COM ", NAME.upper()):
        assert guess(site, 1, name=name) == [200]
    assert guess(site, 1) == [429]


@pytest.mark.parametrize(
    ("first", "second", "one_source"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("", "unix:", True),
    ],
)
def test_a_source_is_an_ipv4_address_an_ipv6_network_or_a_socket(
    site: Site, first: str, second: str, one_source: bool
) -> None:
    guess(site, 5, site.browser(first))
    assert guess(site, 1, site.browser(second)) == [429 if one_source else 200]


def test_all_strangers_together_have_ten_guesses_a_day_and_25_in_a_month(site: Site) -> None:
    def strangers(first: int) -> int:
        """-> how many of 30 guesses from 30 addresses were evaluated"""
        return sum(guess(site, 1, site.browser(f"10.0.{first}.{n}")) == [200] for n in range(30))

    evaluated = []
    for day in range(4):
        evaluated.append(strangers(day))
        site.clock.advance(DAY_S)
    assert evaluated == [10, 10, 5, 0]
    site.clock.advance(27 * DAY_S)
    assert strangers(5) == 10


def test_one_source_has_ten_guesses_in_a_month(site: Site) -> None:
    evaluated = []
    for _ in range(3):
        evaluated.append(guess(site, 6).count(200))
        site.clock.advance(DAY_S)
    assert evaluated == [5, 5, 0]


def test_one_source_has_thirty_guesses_in_ten_minutes_over_all_accounts(site: Site) -> None:
    web = site.browser()
    tried = [guess(site, 1, web, f"user{n}@example.com")[0] for n in range(31)]
    assert tried == [200] * 30 + [429]
    assert site.attempt(site.code(), web).status_int == 429
    site.clock.advance(600)
    assert site.attempt(site.code(), web).status_int == 303


def test_counts_survive_a_restart(make_site: Callable[..., Site]) -> None:
    guess(make_site(), 5)
    assert guess(make_site(), 1) == [429]


# -- known devices ---------------------------------------------------------------------------------


@pytest.fixture
def known(site: Site) -> Browser:
    """A browser that has signed in, and is signed out again; its next code is a new one."""
    web = site.browser("203.0.113.1")
    site.login(web)
    web.get("/auth/logout").form.submit("submit", value="logout")
    site.clock.advance(60)
    return web


def test_a_known_device_gets_in_while_strangers_guess(site: Site, known: Browser) -> None:
    for n in range(12):
        guess(site, 1, site.browser(f"10.0.0.{n}"))
    guess(site, 6, site.browser("203.0.113.1"))
    assert site.attempt(site.code(), site.browser("198.51.100.1")).status_int == 429
    assert site.attempt(site.code(), known).status_int == 303


def test_a_known_device_has_five_tries_in_five_minutes(site: Site, known: Browser) -> None:
    assert guess(site, 5, known) == [200] * 5
    answer = site.attempt(site.code(), known)
    assert (answer.status_int, answer.headers["Retry-After"]) == (429, "300")
    site.clock.advance(300)
    assert site.attempt(site.code(), known).status_int == 303


def test_its_tries_are_counted_in_no_other_budget(site: Site, known: Browser) -> None:
    guess(site, 5, known)
    assert guess(site, 6, site.browser("203.0.113.1")) == [200] * 5 + [429]


def test_after_ten_failures_in_a_row_a_device_is_a_stranger(site: Site, known: Browser) -> None:
    assert guess(site, 5, known) == [200] * 5
    site.clock.advance(300)
    assert guess(site, 5, known) == [200] * 5
    site.clock.advance(300)
    assert guess(site, 6, known) == [200] * 5 + [429]
    assert site.attempt(site.code(), known).status_int == 429
    assert site.attempt(site.code(), site.browser("198.51.100.1")).status_int == 303


def test_a_success_ends_the_row_of_failures(site: Site, known: Browser) -> None:
    for _ in range(4):
        assert guess(site, 4, known) == [200] * 4
        assert site.attempt(site.code(), known).status_int == 303
        site.clock.advance(300)
    assert guess(site, 6, site.browser("203.0.113.1")) == [200] * 5 + [429]


def test_a_device_is_known_for_one_user_only(site: Site, known: Browser) -> None:
    site.command("user", "add", "--username=bo@example.com")
    assert guess(site, 6, known, "bo@example.com") == [200] * 5 + [429]
    assert guess(site, 1, site.browser("203.0.113.1"), "bo@example.com") == [429]


@pytest.mark.parametrize("spoil", [lambda cookie: cookie[:-1], lambda cookie: "9" + cookie])
def test_a_forged_device_cookie_makes_nobody_known(
    site: Site, known: Browser, spoil: Callable[[str], str]
) -> None:
    cookie = known.cookies["factored_device"]
    guess(site, 5, site.browser("203.0.113.9"))
    web = site.browser("203.0.113.9")
    web.take("factored_device", known, spoil(cookie))
    assert guess(site, 1, web) == [429]


@pytest.mark.parametrize(("days", "in_time"), [(399, True), (400, False)])
def test_a_device_is_known_for_400_days(
    site: Site, known: Browser, days: int, in_time: bool
) -> None:
    site.clock.advance(days * DAY_S - 60)
    guess(site, 5, site.browser("203.0.113.1"))
    web = site.browser("203.0.113.1")
    web.take("factored_device", known)
    assert site.attempt(site.code(), web).status_int == (303 if in_time else 429)


def test_success_takes_back_its_own_count_and_no_other(site: Site) -> None:
    for _ in range(6):
        assert site.attempt(site.code(), site.browser()).status_int == 303
        site.clock.advance(30)
    assert guess(site, 4, site.browser()) == [200] * 4
    assert site.attempt(site.code(), site.browser()).status_int == 303
    assert guess(site, 2, site.browser()) == [200, 429]


# -- the way out: an unlock link -------------------------------------------------------------------


@pytest.fixture
def link(site: Site) -> str:
    """The path of an unlock link, for a user whom strangers have locked."""
    for n in range(10):
        guess(site, 1, site.browser(f"10.0.0.{n}"))
    return str(json.loads(site.command("user", "unlock", f"--username={NAME}", "--json"))["url"])


def press(web: Browser, page: TestResponse, link: str) -> TestResponse:
    fields = {"csrf_token": token_of(page), "submit": "unlock"}
    return web.post(link, fields)


def test_an_unlock_link_lets_one_browser_try_again(site: Site, link: str) -> None:
    assert re.fullmatch(r"/auth/unlock/[A-Za-z0-9_-]{32}", link)
    assert site.attempt(site.code()).status_int == 429
    page = site.web.get(link)
    assert f"<strong>{NAME}</strong>" in page.text
    done = press(site.web, page, link)
    assert done.status_int == 200
    assert "This browser is unlocked" in done.text
    assert f"sign in here as {NAME}" in done.text
    assert "auth_tkt" not in " ".join(done.headers.getall("Set-Cookie"))
    assert site.login()
    assert site.attempt(site.code(1), site.browser("198.51.100.1")).status_int == 429


def test_looking_at_a_link_changes_nothing(site: Site, link: str) -> None:
    for scanner in (site.browser("198.51.100.1"), site.web):
        for method in (scanner.get, scanner.head):
            answer = method(link)
            assert answer.status_int == 200
            assert "factored_device" not in answer.headers.get("Set-Cookie", "")
    assert site.attempt(site.code()).status_int == 429
    assert press(site.web, site.web.get(link), link).status_int == 200


def test_a_link_is_pressed_once(site: Site, link: str) -> None:
    page = site.web.get(link)
    assert press(site.web, page, link).status_int == 200
    again = press(site.web, page, link)
    assert again.status_int == 404
    assert "used before, or it is too old" in again.text
    other = site.browser("198.51.100.1")
    assert other.get(link).status_int == 404
    assert site.attempt(site.code(), other).status_int == 429


def test_a_link_lives_for_a_day(site: Site, link: str) -> None:
    site.clock.advance(DAY_S - 1)
    assert site.web.get(link).status_int == 200
    site.clock.advance(1)
    assert site.web.get(link).status_int == 404


@pytest.mark.parametrize(("button", "status"), [("authenticate", 400), ("UNLOCK", 303), ("", 303)])
def test_another_button_does_not_press_a_link(
    site: Site, link: str, button: str, status: int
) -> None:
    page = site.web.get(link)
    fields = {"csrf_token": token_of(page), "submit": button}
    assert site.web.post(link, fields).status_int == status
    assert site.web.post(link, {"csrf_token": "wrong", "submit": "unlock"}).status_int == 403
    assert press(site.web, page, link).status_int == 200


@pytest.mark.parametrize("token", ["x", "A" * 32, "%00", "%C3%A9", "' OR 1=1 --", "x" * 5000])
def test_a_made_up_link_is_nothing(site: Site, token: str) -> None:
    assert site.web.get(f"/auth/unlock/{token}").status_int == 404


def test_a_link_of_a_removed_user_is_nothing(site: Site, link: str) -> None:
    site.command("user", "remove", f"--username={NAME}")
    assert site.web.get(link).status_int == 404


def test_unlocking_puts_back_a_step_that_a_wrong_clock_pushed_ahead(site: Site) -> None:
    site.clock.advance(10 * DAY_S)
    site.login()
    site.clock.advance(-10 * DAY_S)
    assert site.attempt(site.code()).status_int == 200
    url = json.loads(site.command("user", "unlock", f"--username={NAME}", "--json"))["url"]
    assert press(site.web, site.web.get(url), url).status_int == 200
    site.clock.advance(30)
    assert site.attempt(site.code()).status_int == 303


def test_unlocking_does_not_give_back_a_code_that_was_used_rightly(site: Site) -> None:
    codes = [site.code(), site.code(1)]
    for code in codes:
        assert site.attempt(code).status_int == 303
    site.command("user", "unlock", f"--username={NAME}")
    for code in codes:
        assert site.attempt(code).status_int == 200
