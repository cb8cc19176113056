"""Signing out: asked for by GET, done by POST, and the ticket ends everywhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from webtest import TestResponse

from tests.support import NAME, Browser, Site, token_of


@pytest.fixture
def signed_in(site: Site) -> Browser:
    site.login()
    return site.web


def sign_out(web: Browser, query: str = "", **fields: str) -> TestResponse:
    token = token_of(web.get("/auth/logout" + query))
    return web.post("/auth/logout", {"csrf_token": token, "submit": "logout", **fields})


def expired(response: TestResponse) -> list[str]:
    """answer -> the lines that remove a ticket cookie"""
    lines = response.headers.getall("Set-Cookie")
    return [line for line in lines if line.startswith("auth_tkt=; ") and "; Max-Age=0;" in line]


def test_asking_changes_nothing(site: Site, signed_in: Browser) -> None:
    page = signed_in.get("/auth/logout")
    assert page.status_int == 200
    assert NAME in page.text
    assert not expired(page)
    assert signed_in.get("/").status_int == 200


def test_pressing_ends_the_ticket_here_and_for_whoever_copied_it(
    site: Site, signed_in: Browser
) -> None:
    copied = signed_in.cookies["auth_tkt"]
    assert site.browser().cookie(copied).get("/").status_int == 200
    done = sign_out(signed_in)
    assert done.status_int == 200
    assert "You are signed out" in done.text
    assert "Signed in as" not in done.text
    (line,) = expired(done)
    assert line.startswith("auth_tkt=; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT;")
    assert signed_in.get("/").status_int == 302
    assert site.browser().cookie(copied).get("/").status_int == 302


def test_another_process_learns_of_it(make_site: Callable[..., Site]) -> None:
    here, there = make_site(), make_site()
    here.login()
    copied = here.web.cookies["auth_tkt"]
    sign_out(here.web)
    assert there.browser().cookie(copied).get("/").status_int == 302


def test_every_good_ticket_that_was_shown_ends(site: Site) -> None:
    tickets = [site.ticket(), site.ticket(), site.ticket("bo")]
    web = site.browser()
    web.get("/auth/ga")
    cookies = [("factored_browser", web.cookies["factored_browser"])]
    cookies += [("auth_tkt", ticket) for ticket in tickets]
    web.extra_environ["HTTP_COOKIE"] = "; ".join(f"{name}={value}" for name, value in cookies)
    token = token_of(web.get("/auth/ga"))
    done = web.post("/auth/logout", {"csrf_token": token, "submit": "logout"})
    assert done.status_int == 200
    for ticket in tickets:
        assert site.browser().cookie(ticket).get("/").status_int == 302


def test_other_logins_of_the_same_user_go_on(site: Site, signed_in: Browser) -> None:
    elsewhere = site.browser("198.51.100.1")
    site.clock.advance(30)
    site.login(elsewhere)
    sign_out(signed_in)
    assert elsewhere.get("/").status_int == 200


@pytest.mark.parametrize(
    ("referrer", "location"),
    [("/bye?x=1", "/bye?x=1"), ("//evil.example", None), ("/auth/ga", None), ("", None)],
)
def test_one_lands_on_this_site_only(
    site: Site, signed_in: Browser, referrer: str, location: str | None
) -> None:
    by_field = sign_out(signed_in, referrer=referrer)
    site.clock.advance(30)
    site.login()
    page = signed_in.get("/auth/logout", {"referrer": referrer})
    by_url = page.form.submit("submit", value="logout")
    for done in (by_field, by_url):
        assert done.status_int == (303 if location else 200)
        assert done.headers.get("Location") == location
        assert expired(done)


@pytest.mark.parametrize(("button", "status"), [("LOGOUT", 303), ("authenticate", 400), ("", 303)])
def test_another_button_signs_nobody_out(
    site: Site, signed_in: Browser, button: str, status: int
) -> None:
    assert sign_out(signed_in, submit=button).status_int == status
    assert signed_in.get("/").status_int == 200


def test_a_form_of_another_browser_signs_nobody_out(site: Site, signed_in: Browser) -> None:
    token = token_of(site.browser().get("/auth/ga"))
    fields = {"csrf_token": token, "submit": "logout"}
    assert signed_in.post("/auth/logout", fields).status_int == 403
    assert signed_in.get("/").status_int == 200


def test_who_is_not_signed_in_is_told_so_and_may_press_all_the_same(site: Site) -> None:
    page = site.web.get("/auth/logout")
    assert "You are not signed in." in page.text
    assert "<form" not in page.text
    done = site.web.post("/auth/logout", {"csrf_token": site.csrf(), "submit": "logout"})
    assert done.status_int == 200
    assert expired(done)


def test_the_known_device_stays_known(site: Site, signed_in: Browser) -> None:
    device = signed_in.cookies["factored_device"]
    sign_out(signed_in)
    assert signed_in.cookies["factored_device"] == device


@pytest.mark.parametrize(
    ("changed", "domains"),
    [
        ({"auth_tkt__cookie_domain": "example.com"}, ["example.com", None]),
        ({"auth_tkt__wild_domain": "true"}, ["www.example.com", None]),
        ({"auth_tkt__wild_domain": "true", "auth_tkt__cookie_domain": "example.com"},
         ["example.com", "www.example.com", None]),
    ],
)  # fmt: skip
def test_every_variant_of_the_cookie_is_removed(
    make_site: Callable[..., Site], changed: dict[str, str], domains: list[str | None]
) -> None:
    site = make_site(**changed)
    web = site.browser(HTTP_HOST="www.example.com")
    first = web.get("/auth/ga")
    web.cookie(first.headers["Set-Cookie"].partition(";")[0].partition("=")[2], "factored_browser")
    done = web.post("/auth/logout", {"csrf_token": token_of(first), "submit": "logout"})
    lines = expired(done)
    assert len(lines) == len(domains)
    for line, domain in zip(lines, domains, strict=True):
        assert (f"; Domain={domain};" in line) if domain else ("Domain" not in line)


def test_removing_a_user_ends_the_tickets_of_that_user(site: Site, signed_in: Browser) -> None:
    site.command("user", "remove", f"--username={NAME}")
    site.read_revocations()
    assert signed_in.get("/").status_int == 302


def test_signing_out_everywhere_ends_all_tickets_of_that_user_and_nobody_elses(
    site: Site, signed_in: Browser
) -> None:
    elsewhere, somebody = site.browser("198.51.100.1"), site.browser()
    site.clock.advance(30)
    site.login(elsewhere)
    somebody.cookie(site.ticket("bo"))
    done = sign_out(signed_in, submit="everywhere")
    assert "in every browser" in done.text
    site.read_revocations()
    for web, status in ((signed_in, 302), (elsewhere, 302), (somebody, 200)):
        assert web.get("/").status_int == status
    site.clock.advance(30)
    site.login(elsewhere)
    assert elsewhere.get("/").status_int == 200


def test_without_a_good_ticket_nothing_ends_everywhere(site: Site, signed_in: Browser) -> None:
    old = signed_in.cookies["auth_tkt"]
    stranger = site.browser()
    token = token_of(stranger.get("/auth/ga"))
    browser = f"factored_browser={stranger.cookies['factored_browser']}"
    header = f"{browser}; auth_tkt={'f' * 128 + old[128:]}"
    form = {"csrf_token": token, "submit": "everywhere"}
    assert site.browser(HTTP_COOKIE=header).post("/auth/logout", form).status_int == 200
    site.read_revocations()
    assert signed_in.get("/").status_int == 200


@pytest.mark.parametrize(
    ("verb", "ends"), [("disable", True), ("reset", True), ("unlock", False), ("show", False)]
)
def test_disabling_and_resetting_end_the_tickets_of_that_user(
    site: Site, signed_in: Browser, verb: str, ends: bool
) -> None:
    somebody = site.browser().cookie(site.ticket("bo"))
    site.command("user", verb, f"--username={NAME}")
    site.read_revocations()
    assert signed_in.get("/").status_int == (302 if ends else 200)
    assert somebody.get("/").status_int == 200


def test_a_disabled_user_cannot_log_in_and_reads_what_everybody_reads(site: Site) -> None:
    site.command("user", "disable", f"--username={NAME}")
    refused = site.attempt(site.code())
    assert refused.status_int == 200
    assert "That code is not right." in refused.text
    site.command("user", "enable", f"--username={NAME}")
    site.login()
    assert site.web.get("/").status_int == 200


def test_forged_tickets_in_front_do_not_save_a_good_one(site: Site, signed_in: Browser) -> None:
    """A sibling domain can plant as many as the header holds; all are looked at here."""
    good = signed_in.cookies["auth_tkt"]
    token = token_of(signed_in.get("/auth/logout"))
    browser = f"factored_browser={signed_in.cookies['factored_browser']}"
    forged = "f" * 128 + good[128:]
    header = "; ".join([browser, *[f"auth_tkt={forged}"] * 20, f"auth_tkt={good}"])
    form = {"csrf_token": token, "submit": "logout"}
    assert site.browser(HTTP_COOKIE=header).post("/auth/logout", form).status_int == 200
    assert site.browser().cookie(good).get("/").status_int == 302


def test_who_is_signed_in_as_two_is_asked_too_and_both_end(site: Site) -> None:
    tickets = [site.ticket("al"), site.ticket("bo")]
    web = site.browser()
    token = token_of(web.get("/auth/ga"))
    browser = f"factored_browser={web.cookies['factored_browser']}"
    header = "; ".join([browser, *(f"auth_tkt={ticket}" for ticket in tickets)])
    both = site.browser(HTTP_COOKIE=header)
    assert "Do you want to sign out" in both.get("/auth/logout").text
    both.post("/auth/logout", {"csrf_token": token, "submit": "logout"})
    for ticket in tickets:
        assert site.browser().cookie(ticket).get("/").status_int == 302
