"""A web server asks: /verify and /forward answer from the gate, and what is odd is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from webtest import TestResponse

from factored.ticket_check import MAX_CANDIDATES
from tests.support import NAME, Site

HTML = "text/html,application/xhtml+xml,*/*;q=0.8"
SITE = "http://localhost"

every_endpoint = pytest.mark.parametrize("path", ["/auth/verify", "/auth/forward"])


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site(trusted_proxies="192.0.2.1", excepted_paths="/open\n/caf\u00e9\n/two words")


def ask(
    site: Site,
    path: str = "/auth/verify",
    url: str | None = f"{SITE}/page",
    ticket: str | None = "",
    **headers: str,
) -> TestResponse:
    """what a web server tells -> the answer; ``ticket`` None: a good one"""
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    if url is not None:
        told.setdefault("X-Original-URL", url)
    browser = site.browser()
    if ticket != "":
        browser.cookie(site.ticket() if ticket is None else ticket)
    return browser.get(path, headers={"Accept": HTML, "Host": "localhost", **told})


def forwarded(uri: str, **changed: str) -> dict[str, str]:
    """path and query -> headers as Caddy and Traefik send them"""
    told = {"Method": "GET", "Proto": "http", "Host": "localhost", "Uri": uri} | changed
    return {f"X-Forwarded-{name}": value for name, value in told.items()}


def way_back(answer: TestResponse) -> str | None:
    """answer -> the referrer of its Location, decoded"""
    location = urlsplit(answer.headers["Location"])
    assert (location.scheme, location.netloc, location.path) == ("", "", "/auth")
    return parse_qs(location.query).get("referrer", [None])[0]


# -- yes ------------------------------------------------------------------------------------------


@every_endpoint
def test_a_good_ticket_is_answered_with_who_it_is(site: Site, path: str) -> None:
    answer = ask(site, path, ticket=None)
    assert answer.status_int == 200
    assert answer.headers["Remote-User"] == answer.headers["Factored-User"] == NAME
    assert answer.headers["Factored-Schemes"] == "ga"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.body == b""
    assert "Set-Cookie" not in answer.headers


@every_endpoint
def test_the_name_is_utf_8_as_downstream_gets_it(site: Site, path: str) -> None:
    answer = ask(site, path, ticket=site.ticket("andr\u00e9 \u65e5"))
    raw = answer.headers["Remote-User"].encode("latin-1")
    assert (answer.status_int, raw.decode()) == (200, "andr\u00e9 \u65e5")


def test_the_headers_have_the_names_that_the_operator_wants(make_site: Callable[..., Site]) -> None:
    site = make_site(trusted_proxies="192.0.2.1", identity_headers="X-Webauth-User")
    answer = ask(site, ticket=None)
    assert answer.headers["X-Webauth-User"] == NAME
    assert "Remote-User" not in answer.headers


@every_endpoint
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_every_method_of_the_question_is_taken(site: Site, path: str, method: str) -> None:
    answer = site.browser().cookie(site.ticket()).request(path, method=method)
    assert (answer.status_int, answer.headers["Remote-User"]) == (200, NAME)


@every_endpoint
def test_neither_database_nor_auth_app_is_asked(site: Site, path: str) -> None:
    def forbidden(*_: Any) -> Any:
        raise AssertionError("the gate answers this by itself")

    gate: Any = getattr(site.web.app, "app", site.web.app)
    gate._auth_app = gate._downstream = forbidden
    assert ask(site, path, ticket=None).status_int == 200
    assert ask(site, path).status_int in (302, 401)


@every_endpoint
def test_the_query_of_the_question_says_nothing(site: Site, path: str) -> None:
    """Caddy appends the visitor's query to it."""
    answer = ask(site, f"{path}?referrer=/evil&x=1", url=f"{SITE}/page?a=1")
    assert way_back(answer) == "/page?a=1"


# -- no -------------------------------------------------------------------------------------------


def test_verify_answers_401_with_the_way_to_the_login(site: Site) -> None:
    answer = ask(site, url=f"{SITE}/th%C3%A9?a=1&b=%262")
    assert answer.status_int == 401
    assert answer.headers["Location"] == "/auth?referrer=/th%25C3%25A9%3Fa%3D1%26b%3D%25262"
    assert answer.headers["Cache-Control"] == "no-store"


def test_forward_sends_a_page_load_to_the_login(site: Site) -> None:
    answer = ask(site, "/auth/forward", url=None, **forwarded("/page?a=1&b=2"))
    assert (answer.status_int, way_back(answer)) == (302, "/page?a=1&b=2")


@pytest.mark.parametrize(
    "told",
    [
        {"X-Forwarded-Method": "POST"},
        {"X-Forwarded-Method": "OPTIONS"},
        {"X-Requested-With": "XMLHttpRequest"},
        {"Sec-Fetch-Mode": "cors"},
        {"Accept": "application/json"},
    ],
)
def test_what_is_no_page_load_gets_401_and_no_way_back(site: Site, told: dict[str, str]) -> None:
    for path in ("/auth/verify", "/auth/forward"):
        answer = ask(site, path, url=None, **{**forwarded("/page"), **told})
        assert answer.status_int == 401
        if answer.content_type == "application/json":
            assert json.loads(answer.text)["login_url"] == "/auth"
        else:
            assert way_back(answer) is None


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_the_original_method_counts_and_not_that_of_the_question(site: Site, method: str) -> None:
    asked = {"X-Original-Method": "GET", "X-Original-URL": f"{SITE}/a", "Accept": HTML}
    answer = site.browser().request("/auth/forward", method=method, headers=asked)
    assert (answer.status_int, way_back(answer)) == (302, "/a")


@every_endpoint
@pytest.mark.parametrize(
    "ticket",
    ["0" * 72, "0" * 200, "junk", '""', "\u00ff" * 140, "f" * 128 + "00000000al!ga!1.s1.x.y"],
)
def test_no_junk_lets_in(site: Site, path: str, ticket: str) -> None:
    assert ask(site, path, ticket=ticket).status_int in (302, 401)


@every_endpoint
def test_an_ended_ticket_lets_nobody_in(site: Site, path: str) -> None:
    ticket = site.ticket()
    site.clock.advance(7200)
    assert ask(site, path, ticket=ticket).status_int in (302, 401)


@every_endpoint
def test_a_revoked_ticket_lets_nobody_in(site: Site, path: str) -> None:
    web = site.browser()
    site.login(web)
    ticket = next(cookie.value for cookie in web.cookiejar if cookie.name == "auth_tkt")
    assert ask(site, path, ticket=ticket).status_int == 200
    web.post("/auth/logout", {"csrf_token": site.csrf(web), "submit": "logout"})
    assert ask(site, path, ticket=ticket).status_int in (302, 401)


@every_endpoint
def test_so_many_forged_tickets_and_no_more_are_verified(site: Site, path: str) -> None:
    forged = "f" * 128 + site.ticket()[128:]
    header = "; ".join([f"auth_tkt={forged}"] * MAX_CANDIDATES + [f"auth_tkt={site.ticket()}"])
    assert ask(site, path, Cookie=header).status_int in (302, 401)


@every_endpoint
def test_cookies_that_have_grown_too_large_lead_to_the_page_that_says_so(
    site: Site, path: str
) -> None:
    answer = ask(site, path, Cookie="a=" + "b" * 9000)
    assert (answer.status_int, way_back(answer)) == (401, None)


@every_endpoint
def test_a_process_that_never_read_the_revocations_lets_nobody_in(
    site: Site, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate: Any = getattr(site.web.app, "app", site.web.app)
    monkeypatch.setattr(type(gate._revocations), "ready", False)
    assert ask(site, path, ticket=None).status_int == 503
    assert ask(site, path).status_int == 503


# -- exempt paths ---------------------------------------------------------------------------------


@every_endpoint
@pytest.mark.parametrize(
    "target", ["/open", "/open?a=/../secret", "/%6fpen", "/caf%C3%A9", "/two%20words"]
)
def test_an_exempt_path_is_let_through_without_a_name(site: Site, path: str, target: str) -> None:
    for told in ({"url": SITE + target}, {"url": None, **forwarded(target)}):
        answer = ask(site, path, **told)
        assert answer.status_int == 200
        assert not {"Remote-User", "Factored-User", "Factored-Schemes"} & set(answer.headers)
        assert ask(site, path, ticket=None, **told).headers["Remote-User"] == NAME


@every_endpoint
@pytest.mark.parametrize(
    "target",
    [
        "/secret/../open", "/./open", "//open", "/open/", "/open;x", "/open%2F", "/%2Fopen",
        "/open#", "/Open", "/open%00", "/open%3Fx", "/secret?/open", "/open/../secret", "/open%2e",
        "/x#/../open", "/secret%23/../open", "/\\open", "/open\\", "/auth/open", "/open,/secret",
        "/open%5c",
    ],
)  # fmt: skip
def test_no_other_spelling_is_exempt(site: Site, path: str, target: str) -> None:
    assert ask(site, path, url=SITE + target).status_int in (302, 401)
    assert ask(site, path, url=None, **forwarded(target)).status_int in (302, 401)


@every_endpoint
@pytest.mark.parametrize(
    "host",
    ["localhost/open?", "localhost?", "localhost#", "x@localhost", "localhost/open#",
     "localhost/open?@localhost", "localhost:80/open?", "local host", "", "localhost:", "[::1",
     "localhost\\", "localhost%2fopen", "h\u00f6st"],
)  # fmt: skip
def test_a_host_that_is_none_moves_no_path(site: Site, path: str, host: str) -> None:
    """A visitor chooses it, and a web server may put it before the path without a look."""
    for target in ("/open", "/secret"):
        assert ask(site, path, url=f"http://{host}{target}", Host=host).status_int == 401


@every_endpoint
def test_below_a_mount_the_exempt_path_is_told_from_the_mount(
    make_site: Callable[..., Site], path: str
) -> None:
    site = make_site(trusted_proxies="192.0.2.1", excepted_paths="/open", base_auth_url="/auth")

    def status(target: str) -> int:
        asked = {"X-Original-URL": SITE + target, "Accept": HTML}
        return int(
            site.browser(SCRIPT_NAME="/below").get("/below" + path, headers=asked).status_int
        )

    assert status("/below/open") == 200
    for target in ("/open", "/below", "/below/below/open", "/belowopen", "/b%65low//open"):
        assert status(target) in (302, 401)


PIECES = st.lists(
    st.sampled_from(
        ["/", "open", "secret", "..", ".", "%2f", "%2e", "?", "#", ";", "\\", "%5c", " ", "\t",
         "\0", "//", ":", "@", ",", "localhost", "http://", "%", "%00", "\u00e9", "%6fpen", "&"]
    ),
    max_size=7,
).map("".join)  # fmt: skip


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from(["", "/", "/open", "/open?"]), PIECES, st.booleans(), PIECES)
def test_without_a_ticket_nothing_but_the_exempt_path_itself_is_let_through(
    site: Site, start: str, rest: str, as_url: bool, host: str
) -> None:
    """Whatever a visitor puts into target and Host: what the site would serve is ``/open``."""
    uri = start + rest
    told = {"HTTP_X_ORIGINAL_URL": f"http://{host or 'localhost'}{uri}"}
    if not as_url:
        told = {"HTTP_X_FORWARDED_URI": uri}
    web = site.browser(HTTP_HOST=host or "localhost", HTTP_ACCEPT=HTML, **told)
    answer = web.get("/auth/verify")
    assert answer.status_int in (200, 401)
    if answer.status_int == 200:
        path = uri.partition("?")[0]
        assert unquote(path) == "/open"
        assert "%2f" not in path


# -- whom to believe ------------------------------------------------------------------------------


@every_endpoint
def test_nobody_but_a_trusted_proxy_is_believed(make_site: Callable[..., Site], path: str) -> None:
    site = make_site(trusted_proxies="10.0.0.0/8", excepted_paths="/open")
    for told in ({"url": f"{SITE}/open"}, {"url": None, **forwarded("/open")}):
        answer = ask(site, path, **told)
        assert answer.status_int in (302, 401)
        assert way_back(answer) is None
        assert ask(site, path, ticket=None, **told).status_int == 200


def test_a_proxy_that_was_forgotten_is_named_in_the_log_once(
    make_site: Callable[..., Site], caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site()
    for _ in range(3):
        ask(site)
    (record,) = [one for one in caplog.records if one.name == "factored.gate"]
    assert "192.0.2.1" in record.getMessage()
    assert "trusted_proxies" in record.getMessage()


@every_endpoint
@pytest.mark.parametrize(
    "told",
    [
        {"X-Original-URL": f"{SITE}/secret", **forwarded("/open")},
        {"X-Original-URL": f"{SITE}/open", **forwarded("/secret")},
        {"X-Original-URL": "http://two.test/open", **forwarded("/open")},
        {"X-Original-URL": f"{SITE}/open", "X-Original-Method": "POST", **forwarded("/open")},
    ],
)
def test_headers_that_contradict_each_other_are_refused(
    site: Site, path: str, told: dict[str, str]
) -> None:
    """A web server sets those it knows, and passes the others on as a visitor sent them."""
    assert ask(site, path, url=None, ticket=None, **told).status_int == 401


@every_endpoint
def test_headers_that_agree_are_taken(site: Site, path: str) -> None:
    told = {"X-Original-URL": f"{SITE}/a?b=c", **forwarded("/a?b=c", Method="POST")}
    assert ask(site, path, url=None, ticket=None, **told).status_int == 200


@every_endpoint
@pytest.mark.parametrize(
    "told",
    [
        {"X-Original-URL": "/page"},
        {"X-Original-URL": ""},
        {"X-Original-URL": "ftp://localhost/"},
        {"X-Original-URL": "http:/localhost/"},
        {"X-Original-URL": f"{SITE}/a b"},
        {"X-Original-URL": f"{SITE}/a\tb"},
        {"X-Original-URL": f" {SITE}/a"},
        {"X-Original-URL": f"{SITE}/a, {SITE}/b"},
        {"X-Original-URL": f"{SITE}/", "X-Original-Method": ""},
        {"X-Original-URL": f"{SITE}/", "X-Original-Method": "GET "},
        {"X-Original-URL": f"{SITE}/", "X-Original-Method": "GET,POST"},
        forwarded(""),
        forwarded("*"),
        forwarded("page"),
        forwarded("http://localhost/open"),
        forwarded("/open, /secret"),
        forwarded("/open", Host="x", Method="G\u00cbT"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_good_ticket_too(
    site: Site, path: str, told: dict[str, str]
) -> None:
    answer = ask(site, path, url=None, ticket=None, **told)
    assert (answer.status_int, way_back(answer)) == (401, None)


# -- hosts ----------------------------------------------------------------------------------------


@pytest.fixture
def sites(make_site: Callable[..., Site]) -> Site:
    """Two sites and a third with the login pages, one factored."""
    return make_site(
        **{
            "trusted_proxies": "192.0.2.1",
            "public_url": "https://login.test",
            "allowed_hosts": "one.test two.test:8443",
            "auth_tkt.secure": "true",
        }
    )


@every_endpoint
@pytest.mark.parametrize(
    ("url", "host", "expected"),
    [
        ("https://one.test/a?b=c", "one.test", "/a?b=c"),
        ("https://one.test:443/a", "one.test", "/a"),
        ("https://ONE.test/a", "one.test", "/a"),
        ("https://two.test:8443/a", "two.test:8443", "/a"),
        ("https://login.test/a", "login.test", "/a"),
        ("https://one.test/a?b=c&d", "login.test", "https://one.test/a?b=c&d"),
        ("https://two.test:8443/", "one.test", "https://two.test:8443/"),
    ],
)
def test_the_way_back_is_a_path_of_the_site_that_is_asked_or_a_url_of_another(
    sites: Site, path: str, url: str, host: str, expected: str
) -> None:
    told = {"Host": host, "X-Forwarded-Proto": "https"}
    assert way_back(ask(sites, path, url, **told)) == expected
    assert ask(sites, path, url, ticket=None, **told).status_int == 200


@every_endpoint
@pytest.mark.parametrize(
    "url",
    ["https://evil.test/a", "https://one.test:8443/a", "https://two.test/a", "https://xone.test/",
     "https://one.test.evil.test/a", "https://one.test.:443/a"],
)  # fmt: skip
def test_other_sites_are_refused_with_a_good_ticket_too(sites: Site, path: str, url: str) -> None:
    told = {"Host": "login.test", "X-Forwarded-Proto": "https"}
    answer = ask(sites, path, url, ticket=None, **told)
    assert (answer.status_int, way_back(answer)) == (401, None)


@every_endpoint
def test_a_question_under_a_foreign_host_is_refused(sites: Site, path: str) -> None:
    told = {"Host": "evil.test", "X-Forwarded-Proto": "https"}
    answer = ask(sites, path, "https://one.test/a", ticket=None, **told)
    assert (answer.status_int, way_back(answer)) == (401, None)
    told = {**forwarded("/a", Host="evil.test", Proto="https"), "Host": "one.test"}
    assert ask(sites, path, None, ticket=None, **told).status_int == 401


def test_pages_are_served_under_every_site_and_no_other_host(sites: Site) -> None:
    def status(host: str) -> int:
        told = {"Host": host, "X-Forwarded-Proto": "https"}
        return int(sites.browser().get("/auth/ga", headers=told).status_int)

    assert [status(host) for host in ("login.test", "one.test", "two.test:8443")] == [200] * 3
    assert [status(host) for host in ("two.test", "evil.test", "one.test:81")] == [400] * 3


@every_endpoint
def test_without_a_list_of_sites_no_way_back_has_a_host(site: Site, path: str) -> None:
    assert way_back(ask(site, path, "http://elsewhere.test/a")) == "/a"


# -- reissue --------------------------------------------------------------------------------------


@pytest.fixture
def renewing(make_site: Callable[..., Site]) -> Site:
    return make_site(**{"trusted_proxies": "192.0.2.1", "auth_tkt.reissue_time": "60"})


@every_endpoint
def test_a_ticket_that_is_due_is_renewed_on_page_loads_alone(renewing: Site, path: str) -> None:
    ticket = renewing.ticket()
    renewing.clock.advance(61)
    answer = ask(renewing, path, ticket=ticket)
    (line,) = answer.headers.getall("Set-Cookie")
    assert line.startswith("auth_tkt=")
    assert line.split(";")[0] != f"auth_tkt={ticket}"
    assert answer.headers["Cache-Control"] == "private, no-store"
    told = {"X-Original-Method": "POST"}
    assert "Set-Cookie" not in ask(renewing, path, ticket=ticket, **told).headers
    told = {"Sec-Fetch-Mode": "cors"}
    assert "Set-Cookie" not in ask(renewing, path, ticket=ticket, **told).headers


def test_the_renewed_cookie_is_for_the_site_that_was_asked_for(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(
        **{"trusted_proxies": "192.0.2.1", "auth_tkt.reissue_time": "60",
           "auth_tkt.wild_domain": "true", "allowed_hosts": "one.test login.test"}
    )  # fmt: skip
    ticket = site.ticket()
    site.clock.advance(61)
    answer = ask(site, url="http://one.test/", ticket=ticket, Host="login.test")
    assert "Domain=one.test" in answer.headers["Set-Cookie"]


def test_a_ticket_bound_to_an_address_is_judged_by_the_visitors(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(**{"trusted_proxies": "192.0.2.1", "auth_tkt.include_ip": "true"})
    ticket = site.ticket(address="198.51.100.7")
    assert ask(site, ticket=ticket, X_Forwarded_For="198.51.100.7").status_int == 200
    assert ask(site, ticket=ticket, X_Forwarded_For="198.51.100.8").status_int == 401
    assert ask(site, ticket=ticket).status_int == 401


def test_from_any_site_one_comes_back_to_that_of_public_url(sites: Site) -> None:
    web = sites.browser(HTTP_HOST="one.test", **{"wsgi.url_scheme": "https"})
    landed = sites.login(web, referrer="https://login.test/a").headers["Location"]
    assert landed == "https://login.test/a"


# -- back to the other site -----------------------------------------------------------------------


def test_one_lands_on_the_site_that_one_came_from(sites: Site) -> None:
    told = {"X-Forwarded-Proto": "https"}
    asked = ask(sites, url="https://one.test/a?b=c&d", Host="login.test", **told)
    web = sites.browser(HTTP_HOST="login.test", **{"wsgi.url_scheme": "https"})
    form = web.get(web.get(asked.headers["Location"]).headers["Location"]).forms[0]
    form["username"] = NAME
    second = form.submit("submit").forms[0]
    second["code"] = sites.code()
    landed = second.submit("submit")
    assert (landed.status_int, landed.headers["Location"]) == (303, "https://one.test/a?b=c&d")


@pytest.mark.parametrize(
    ("referrer", "location"),
    [
        ("https://one.test/a?b", "https://one.test/a?b"),
        ("https://login.test/a", "/a"),
        ("http://login.test/a", "/a"),
        ("https://evil.test/a", "/"),
        ("http://one.test/a", "/"),
    ],
)
def test_after_the_login_one_lands_on_a_site_of_ours(
    sites: Site, referrer: str, location: str
) -> None:
    web = sites.browser(HTTP_HOST="login.test", **{"wsgi.url_scheme": "https"})
    assert sites.login(web, referrer=referrer).headers["Location"] == location
    form = {"csrf_token": sites.csrf(web), "submit": "logout", "referrer": referrer}
    left = web.post("/auth/logout", form)
    assert left.headers.get("Location", "/") == location
