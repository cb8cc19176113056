"""A visitor signs in with Google Auth and lands where he wanted to go."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote

import pytest
from webtest import TestResponse

from factored import plugins
from tests.support import NAME, Browser, MagicWord, Recorder, Site, token_of

TWO_SCHEMES = "Google Auth\nMagic Word"


@pytest.fixture
def magic(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second scheme is installed."""
    ours = plugins.load
    monkeypatch.setattr(
        plugins,
        "load",
        lambda group, name: MagicWord if name == MagicWord.name else ours(group, name),
    )


def error_of(response: TestResponse) -> str:
    """page -> what it says in role=alert"""
    match = re.search(r'role="alert"[^>]*>([^<]*)<', response.text)
    return match[1] if match else ""


def cookie_lines(response: TestResponse) -> dict[str, str]:
    """answer -> cookie name -> the line that sets it"""
    lines = response.headers.getall("Set-Cookie")
    named = {line.partition("=")[0]: line for line in lines}
    assert len(named) == len(lines)
    return named


def test_a_right_code_leads_to_the_page_that_was_asked_for(site: Site) -> None:
    anonymous = site.web.get("/page?a=1&b=2")
    assert anonymous.status_int == 302
    assert anonymous.headers["Location"] == "/auth?referrer=/page%3Fa%3D1%26b%3D2"
    chooser = site.web.get(anonymous.headers["Location"])
    assert chooser.headers["Location"] == "/auth/ga?referrer=/page%3Fa%3D1%26b%3D2"
    first = site.web.get(chooser.headers["Location"]).form
    first["username"] = "AL@example.com"
    second = first.submit("submit", value="username").form
    second["code"] = site.code()
    done = second.submit("submit", value="authenticate")
    assert done.status_int == 303
    assert done.headers["Location"] == "/page?a=1&b=2"
    assert "Hello, al@example.com" in site.web.get("/page?a=1&b=2").text


def test_without_a_way_back_one_lands_at_the_root(site: Site) -> None:
    assert site.login().headers["Location"] == "/"


@pytest.mark.parametrize("spelling", [NAME, "AL@EXAMPLE.COM", "  al@Example.com "])
def test_every_spelling_of_a_name_is_the_same_user_and_downstream_gets_the_stored_one(
    make_site: Callable[..., Site], spelling: str
) -> None:
    downstream = Recorder()
    site = make_site(downstream)
    site.login(name=spelling)
    site.web.get("/")
    assert downstream.seen[-1]["REMOTE_USER"] == NAME


# -- codes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [-2, -1, 0, 1, 2])
def test_a_code_is_good_one_step_around_now(site: Site, steps: int) -> None:
    status = site.attempt(site.code(steps)).status_int
    assert status == (303 if -1 <= steps <= 1 else 200)


def test_a_wrong_code_shows_the_form_again_and_says_so(site: Site) -> None:
    answer = site.attempt(site.wrong_code(), referrer="/page", remember="on")
    assert answer.status_int == 200
    assert error_of(answer) == "That code is not right. Look at the newest one and try again."
    assert "<title>Error - " in answer.text
    assert answer.form["username"].value == NAME
    assert answer.form["referrer"].value == "/page"
    assert answer.form["remember"].checked
    assert answer.form["code"].value == ""
    assert "auth_tkt" not in cookie_lines(answer)
    assert site.web.get("/").status_int == 302


def test_a_code_that_was_just_used_says_so_and_the_next_one_works(site: Site) -> None:
    used = site.code()
    site.login()
    stranger = site.browser()
    again = site.attempt(used, stranger)
    assert again.status_int == 200
    assert error_of(again) == "That code was just used. Wait for the next one and try again."
    assert site.attempt(site.code(-1), stranger).status_int == 200
    assert site.attempt(site.code(1), stranger).status_int == 303


def test_a_used_code_stays_used_when_the_clock_goes_back(site: Site) -> None:
    site.login()
    site.clock.advance(-30)
    assert site.attempt(site.code(1), site.browser()).status_int == 200
    assert site.attempt(site.code(), site.browser()).status_int == 200


@pytest.mark.parametrize("form", ["{0}{1}", " {0} {1} ", "{0}-{1}", "{0}\u2009{1}", "{0}\u2013{1}"])
def test_a_code_may_be_pasted_as_apps_show_it(site: Site, form: str) -> None:
    code = site.code()
    assert site.attempt(form.format(code[:3], code[3:])).status_int == 303


def test_full_width_digits_are_digits(site: Site) -> None:
    wide = "".join(chr(ord(digit) - ord("0") + 0xFF10) for digit in site.code())
    assert site.attempt(wide).status_int == 303


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "12345a", "١٢٣٤٥٦", "'--"])
def test_what_cannot_be_a_code_is_wrong_and_costs_no_attempt(site: Site, code: str) -> None:
    for _ in range(12):
        answer = site.attempt(code)
        assert answer.status_int == 200
        assert error_of(answer).startswith("That code is not right.")
    assert site.login()


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("submit", ["username", "authenticate"])
@pytest.mark.parametrize(
    "name",
    ["", "   ", "a\0b", "a\r\nb", "a\tb", "\u202ea", "a!b", "@", "a@b@c", "a b@example.com",
     "a@exa\uff0emple.com", "a\uff20example.com", "\u2028", "x" * 300],
)  # fmt: skip
def test_what_cannot_be_a_name_is_refused_by_the_form(site: Site, submit: str, name: str) -> None:
    form = {"csrf_token": site.csrf(), "username": name, "code": site.code(), "submit": submit}
    answer = site.web.post("/auth/ga", form)
    assert answer.status_int == 400
    assert "auth_tkt" not in cookie_lines(answer)


@pytest.mark.parametrize("length", [253, 254])
def test_a_name_may_be_as_long_as_an_address(site: Site, length: int) -> None:
    form = {"csrf_token": site.csrf(), "username": "x" * length, "submit": "username"}
    answer = site.web.post("/auth/ga", form)
    assert answer.status_int == 200
    assert answer.form["username"].value == "x" * length


def test_a_refused_name_is_shown_again_with_the_reason(site: Site) -> None:
    form = {"csrf_token": site.csrf(), "username": "a!<b>", "submit": "username"}
    answer = site.web.post("/auth/ga", form)
    assert error_of(answer) == "The user name must not have an exclamation mark."
    assert answer.form["username"].value == "a!<b>"


# -- the way back ----------------------------------------------------------------------------------

HOSTILE = [
    "//evil.example/", "///evil.example", "/\\evil.example", "\\\\evil.example", "/\t/evil.example",
    "/\n/evil.example", "https://evil.example/", "javascript:alert(1)", "evil.example", " /page",
    "/\x00", "/a\\b", "/auth", "/auth/logout", "/auth/../auth/ga", "/x/../auth", "/%61uth/logout",
    "/auth%2Flogout", "//auth", "", "?x", "#", "/.//../auth?x",
]  # fmt: skip


@pytest.mark.parametrize("referrer", HOSTILE)
def test_a_hostile_way_back_leads_to_the_root(site: Site, referrer: str) -> None:
    first = site.web.get("/auth/ga?referrer=" + quote(referrer)).form
    assert "referrer" not in first.fields
    token = first["csrf_token"].value
    form = {"csrf_token": token, "username": NAME, "code": site.code(), "submit": "authenticate"}
    answer = site.web.post("/auth/ga?referrer=" + quote(referrer), form)
    assert (answer.status_int, answer.headers["Location"]) == (303, "/")
    answer = site.attempt(site.code(1), site.browser(), referrer=referrer)
    assert (answer.status_int, answer.headers["Location"]) == (303, "/")


@pytest.mark.parametrize(
    ("referrer", "location"),
    [
        ("/page?a=1&b=2", "/page?a=1&b=2"),
        ("/é?ü=%20#x", "/%C3%A9?%C3%BC=%20#x"),
        ("/authority", "/authority"),
        ("/a//b/../c;d", "/a//b/../c;d"),
        ("/%2F/x?next=//evil.example", "/%2F/x?next=//evil.example"),
        ("/" + "x" * 2047, "/" + "x" * 2047),
    ],
)
def test_a_way_back_within_the_site_is_kept(site: Site, referrer: str, location: str) -> None:
    answer = site.login(referrer=referrer)
    assert answer.headers["Location"] == location


@pytest.mark.parametrize("path", ["/" + "é" * 1000, "/" + "%" * 2000, "/" + "日" * 2047])
def test_a_long_way_back_never_stands_in_the_way_of_the_login(site: Site, path: str) -> None:
    first = site.web.get("/auth/ga?referrer=" + quote(path)).form
    first["username"] = NAME
    second = first.submit("submit", value="username").form
    second["code"] = site.code()
    assert second.submit("submit", value="authenticate").status_int == 303


# -- remember me, and the cookies ------------------------------------------------------------------


def test_without_remember_me_the_ticket_ends_with_the_browser(site: Site) -> None:
    line = cookie_lines(site.login())["auth_tkt"]
    assert re.fullmatch(r"auth_tkt=[^;]+; Path=/; HttpOnly; SameSite=Lax", line)


def test_with_remember_me_the_ticket_says_how_long_it_lives(site: Site) -> None:
    line = cookie_lines(site.login(remember="on"))["auth_tkt"]
    assert "; Max-Age=86400;" in line


@pytest.mark.parametrize(("remember", "lifetime_s"), [({}, 7200), ({"remember": "on"}, 86400)])
def test_the_gate_ends_a_ticket_by_itself(
    site: Site, remember: dict[str, str], lifetime_s: int
) -> None:
    site.login(**remember)
    site.clock.advance(lifetime_s - 1)
    assert site.web.get("/").status_int == 200
    site.clock.advance(1)
    assert site.web.get("/").status_int == 302


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        ("86400", "1 day"),
        ("604800", "7 days"),
        ("3600", "1 hour"),
        ("5400", "90 minutes"),
        ("61", "61 seconds"),
    ],
)
def test_the_form_says_how_long_it_remembers(
    make_site: Callable[..., Site], seconds: str, words: str
) -> None:
    site = make_site(auth_timeout="60", auth_remember_timeout=seconds)
    form = {"csrf_token": site.csrf(), "username": NAME, "submit": "username"}
    assert f"browser for {words}</span>" in site.web.post("/auth/ga", form).text


@pytest.mark.parametrize("secure", ["true", "false"])
def test_the_auth_apps_cookies_are_confined_to_it(
    make_site: Callable[..., Site], secure: str
) -> None:
    site = make_site(auth_tkt__secure=secure)
    web = site.browser(**{"wsgi.url_scheme": "https"})
    lines = cookie_lines(site.login(web))
    assert set(lines) == {"auth_tkt", "factored_browser", "factored_device"}
    for name in ("factored_browser", "factored_device"):
        assert "; Path=/auth;" in lines[name]
        assert "; HttpOnly" in lines[name]
        assert lines[name].endswith("; SameSite=Lax")
    assert all(("; Secure;" in line) is (secure == "true") for line in lines.values())
    assert f"; Max-Age={400 * 86400};" in lines["factored_device"]
    assert "Max-Age" not in lines["factored_browser"]


def test_a_login_gives_the_browser_a_new_id_and_the_old_token_ends(site: Site) -> None:
    token = site.csrf()
    before = site.web.cookies["factored_browser"]
    site.login()
    assert site.web.cookies["factored_browser"] != before
    form = {"csrf_token": token, "username": NAME, "submit": "username"}
    assert site.web.post("/auth/ga", form).status_int == 403


def test_a_new_login_ends_every_ticket_that_the_browser_showed(site: Site) -> None:
    site.login()
    old = site.web.cookies["auth_tkt"]
    answer = site.attempt(site.code(1))
    assert answer.status_int == 303
    assert site.web.cookies["auth_tkt"] != old
    assert site.web.get("/").status_int == 200
    assert site.browser().cookie(old).get("/").status_int == 302


def test_who_is_signed_in_sees_the_form_and_who_he_is(site: Site) -> None:
    site.login()
    page = site.web.get("/auth/ga")
    assert page.status_int == 200
    assert f"Signed in as <strong>{NAME}</strong>" in page.text
    assert "username" in page.form.fields


# -- the chooser -----------------------------------------------------------------------------------


def test_two_schemes_are_offered_and_either_lets_in(
    make_site: Callable[..., Site], magic: None
) -> None:
    site = make_site(supported_auth_schemes=TWO_SCHEMES)
    chooser = site.web.get("/auth?referrer=/page%3Fx")
    assert chooser.status_int == 200
    links = re.findall(r'class="button" href="([^"]+)">([^<]+)<', chooser.text)
    assert links == [
        ("/auth/ga?referrer=/page%3Fx", "Google Auth"),
        ("/auth/mw?referrer=/page%3Fx", "Magic Word"),
    ]
    first = site.web.get(links[1][0])
    assert "Use Google Auth instead" in first.text
    first.form["username"] = NAME
    second = first.form.submit("submit", value="username")
    assert "Say the word" in second.text
    second.form["code"] = "please"
    done = second.form.submit("submit", value="authenticate")
    assert (done.status_int, done.headers["Location"]) == (303, "/page?x")
    assert site.web.get("/page").status_int == 200


def test_a_scheme_has_its_own_budget(make_site: Callable[..., Site], magic: None) -> None:
    site = make_site(supported_auth_schemes=TWO_SCHEMES)
    for _ in range(5):
        site.attempt(site.wrong_code())
    form = {"csrf_token": site.csrf(), "username": NAME, "code": "please", "submit": "authenticate"}
    assert site.web.post("/auth/mw", form).status_int == 303


def test_a_ticket_of_a_scheme_that_is_not_listed_any_more_is_refused(
    make_site: Callable[..., Site], magic: None
) -> None:
    both = make_site(supported_auth_schemes=TWO_SCHEMES)
    ticket = both.ticket(scheme="mw")
    assert both.browser().cookie(ticket).get("/").status_int == 200
    one = make_site()
    assert one.browser().cookie(ticket).get("/").status_int == 302
    assert one.web.get("/auth/mw").status_int == 404


def test_a_broken_scheme_lets_nobody_in(
    make_site: Callable[..., Site], magic: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from factored.interfaces import Verdict

    monkeypatch.setattr(MagicWord, "verify", lambda self, *answer, **more: Verdict.ACCEPTED)
    site = make_site(supported_auth_schemes="Magic Word")
    web: Browser = site.web
    token = token_of(web.get("/auth/mw"))
    form = {"csrf_token": token, "username": "nobody", "code": "x", "submit": "authenticate"}
    answer = web.post("/auth/mw", form)
    assert answer.status_int == 200
    assert "auth_tkt" not in cookie_lines(answer)
