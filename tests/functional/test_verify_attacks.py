"""What strangers try on the answers that web servers get, and on the way back to other sites."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from factored.converters import as_identity_headers
from tests.functional.mailing import MakeMailed
from tests.functional.test_verify import SITE, ask, every_endpoint, forwarded, way_back
from tests.support import Site

SITES = {
    "trusted_proxies": "192.0.2.1",
    "public_url": "https://login.test",
    "allowed_hosts": "one.test",
    "auth_tkt.secure": "true",
}


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site(trusted_proxies="192.0.2.1", excepted_paths="/open")


# -- whose word it is -----------------------------------------------------------------------------


@every_endpoint
@pytest.mark.parametrize("before", ["/open?", "/open?a=b", "/open?a&b=/c,d"])
@pytest.mark.parametrize("comma", [",", ", ", ",\t"])
def test_a_target_that_was_told_twice_is_never_exempt(
    site: Site, path: str, before: str, comma: str
) -> None:
    """HAProxy's add-header puts its own behind a visitor's, and gunicorn joins them."""
    told = forwarded(f"{before}{comma}/secret")
    assert ask(site, path, url=None, **told).status_int in (302, 401)
    for scheme in ("http", "https", "HTTP"):
        url = f"{SITE}{before}{comma}{scheme}://localhost/secret"
        assert ask(site, path, url).status_int in (302, 401)


@every_endpoint
@pytest.mark.parametrize("query", ["a,b", "a=1,2&b=,", ",", "a,httpd"])
def test_another_comma_in_a_query_makes_no_difference(site: Site, path: str, query: str) -> None:
    assert ask(site, path, f"{SITE}/open?{query}").status_int == 200
    assert ask(site, path, url=None, **forwarded(f"/open?{query}")).status_int == 200


@every_endpoint
@pytest.mark.parametrize("query", ["a,/b", "a,http://x/"])
def test_whoever_is_signed_in_may_ask_with_any_comma(site: Site, path: str, query: str) -> None:
    answer = ask(site, path, url=None, ticket=None, **forwarded(f"/page?{query}"))
    assert answer.status_int == 200
    assert way_back(ask(site, path, url=None, **forwarded(f"/page?{query}"))) == f"/page?{query}"


@every_endpoint
def test_what_nginxs_own_example_sets_counts_against_a_visitors_claim(
    site: Site, path: str
) -> None:
    """Its manual has X-Original-URI for X-Original-URL, which a visitor could then send."""
    told = {"X-Original-URI": "/secret"}
    assert ask(site, path, f"{SITE}/open", **told).status_int == 401
    assert ask(site, path, url=None, **forwarded("/open"), **told).status_int == 401
    assert ask(site, path, f"{SITE}/open", X_Original_URI="/open").status_int == 200
    assert ask(site, path, url=None, ticket=None, **told).status_int == 200
    assert ask(site, path, url=None, X_Original_URI="/open").status_int in (302, 401)


@every_endpoint
@pytest.mark.parametrize("host", ["one.test/open?", "one.test/open?a=", "ONE.test:443/open?"])
def test_a_host_put_before_the_path_opens_nothing_under_a_login_host_of_its_own(
    make_site: Callable[..., Site], path: str, host: str
) -> None:
    """HAProxy takes any Host; the question's own is set to the login's, and shows nothing."""
    sites = make_site(excepted_paths="/open", **SITES)
    told = {"Host": "login.test", "X-Forwarded-Proto": "https"}
    assert ask(sites, path, f"https://{host}/secret", **told).status_int in (302, 401)
    told["Host"] = "one.test"
    assert ask(sites, path, "https://one.test/open?a=/secret", **told).status_int == 200


@every_endpoint
@pytest.mark.parametrize("host", ["evil.test/", "evil.test/open?", "a b", "u@evil.test", "\u00e9"])
def test_a_forwarded_host_that_is_none_is_not_passed_over(
    make_site: Callable[..., Site], path: str, host: str
) -> None:
    """Traefik asks under factored's own host, which is no word of the visitor's."""
    sites = make_site(**SITES)
    told = {**forwarded("/a", Host=host, Proto="https"), "Host": "login.test"}
    assert ask(sites, path, None, ticket=None, **told).status_int == 401
    told = {"Host": "login.test", "X-Forwarded-Host": host, "X-Forwarded-Proto": "https"}
    assert ask(sites, path, "https://login.test/a", ticket=None, **told).status_int == 401


@every_endpoint
@pytest.mark.parametrize("name", ["Script-Name", "Path-Info"])
def test_a_header_that_tries_to_move_the_path_gets_what_web_servers_understand(
    site: Site, path: str, name: str
) -> None:
    """nginx makes 500 of everything but 2xx, 401 and 403."""
    for value in ("", "/open", path):
        assert ask(site, path, ticket=None, **{name: value}).status_int == 401


def test_a_forgotten_proxy_of_either_kind_is_named_in_the_log_once(
    make_site: Callable[..., Site], caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site()
    for _ in range(3):
        ask(site, url=None, **forwarded("/a"))
    (record,) = [one for one in caplog.records if one.name == "factored.gate"]
    assert "trusted_proxies" in record.getMessage()


@pytest.mark.parametrize(
    "name", ["X-Accel-Redirect", "x-accel-buffering", "X-Sendfile", "X-Frame-Options",
             "X-Content-Type-Options"]
)  # fmt: skip
def test_no_name_of_a_user_can_steer_a_web_server_or_a_browser(name: str) -> None:
    with pytest.raises(ValueError, match="meaning"):
        as_identity_headers(name)


# -- the way back ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "referrer",
    ["http\u017f://one.test/a", "HTTP\u017f://one.test/a", "http\u017f://login.test/a",
     "https://o\u0144e.test/", "https://one.te\u017ft/", "https://one.test\uff0fa"],
)  # fmt: skip
def test_a_letter_that_only_looks_like_ascii_makes_no_url(
    make_site: Callable[..., Site], referrer: str
) -> None:
    """``(?i:s)`` matches U+017F; no Location can hold it, and the code was spent by then."""
    sites = make_site(**SITES)
    web = sites.browser(HTTP_HOST="login.test", **{"wsgi.url_scheme": "https"})
    landed = sites.login(web, referrer=referrer)
    assert (landed.status_int, landed.headers["Location"]) == (303, "/")


@pytest.mark.parametrize(
    ("host", "referrer", "landed"),
    [
        ("one.test", "/page?a=b", "https://one.test/page?a=b"),
        ("one.test", "https://one.test/page", "https://one.test/page"),
        ("one.test", "", "/"),
        ("one.test", "//evil.test/", "/"),
        ("login.test", "/page", "/page"),
        ("login.test", "https://one.test/page", "https://one.test/page"),
    ],
)
def test_a_mailed_link_leads_back_to_the_site_that_one_came_from(
    make_mailed: MakeMailed, host: str, referrer: str, landed: str
) -> None:
    """The link itself is at public_url, where the same path is another site's."""
    mailed = make_mailed(**{**SITES, "email_auth.body": "{code} {url}"})
    asking = mailed.site.browser(HTTP_HOST=host, **{"wsgi.url_scheme": "https"})
    assert mailed.ask(asking, referrer=referrer).status_int == 200
    found = re.search(r"https://\S+", mailed.post.next().text)
    assert found
    link = urlsplit(found[0])
    pressing = mailed.site.browser(HTTP_HOST=link.netloc, **{"wsgi.url_scheme": "https"})
    done = pressing.get(link.path).forms[0].submit("submit", value="authenticate")
    assert (done.status_int, done.headers["Location"]) == (303, landed)


# -- what did not work, and shall not -------------------------------------------------------------


@every_endpoint
@pytest.mark.parametrize("length", [2047, 2048, 2049, 6000])
def test_a_long_target_costs_the_way_back_and_nothing_else(
    site: Site, path: str, length: int
) -> None:
    target = "/" + "a" * (length - 1)
    answer = ask(site, path, url=None, **forwarded(target))
    assert answer.status_int in (302, 401)
    assert way_back(answer) == (target if length <= 2048 else None)
    assert ask(site, path, url=None, ticket=None, **forwarded(target)).status_int == 200


@every_endpoint
@pytest.mark.parametrize("target", ["//evil.test/", "/\\evil.test", "/a\\..\\b", "/.//evil.test"])
def test_no_way_back_of_a_question_leads_off_the_site(site: Site, path: str, target: str) -> None:
    asked = ask(site, path, url=None, **forwarded(target))
    landed = site.login(site.browser(), referrer=way_back(asked) or "").headers["Location"]
    assert landed in ("/", "/.//evil.test"), "a browser stays here with a dot segment"


@every_endpoint
def test_an_answer_carries_no_header_of_the_visitors(site: Site, path: str) -> None:
    told = {"Remote-User": "admin", "Factored-User": "admin", "Factored-Schemes": "admin"}
    for answer in (
        ask(site, path, f"{SITE}/open", **told),
        ask(site, path, ticket=None, **told),
        ask(site, path, **told),
    ):
        assert "admin" not in str(answer.headers)
        assert "no-store" in answer.headers["Cache-Control"]
