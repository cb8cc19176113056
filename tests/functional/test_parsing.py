"""The gate under junk: what is exempt is exactly what was decided on, and nobody gets in."""

from __future__ import annotations

import posixpath
import random
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from factored import environ as env
from factored import proxy
from factored.cookies import MAX_HEADER_BYTES
from tests.functional.test_gate import raw
from tests.support import Recorder, Site
from tests.support_programs import FULL
from tests.unit.test_auth_tkt import altered

EXEMPT = ["/open", "/a b", "/d\u00e9", "/deep/er", "/slash/", "/~x,y=z"]
EXEMPT_BYTES = [path.encode() for path in EXEMPT]
FUZZED = 100_000 if FULL else 4_000

fuzz = settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def downstream() -> Recorder:
    return Recorder()


@pytest.fixture
def site(make_site: Callable[..., Site], downstream: Recorder) -> Site:
    return make_site(downstream, excepted_paths="\n".join(EXEMPT))


# -- paths -----------------------------------------------------------------------------------------

NOISE = [
    "", "/", "//", "/.", "/..", "/./", "/../", "/x/..", "\\", "/\\", "%2f", "%2F", "%5c", "%2e",
    "%00",
    "\0", ";", ";x", ";/..", "%3b", "?", "?/open", "#", "%3f", "%23", "%", "%zz", "%25", "+", "%20",
    " ", "\t", "%0a", "\n", "\xe9", "%e9", "%C3%A9", "%c0%af", "%ed%a0%80", "http://h", "//h", "*",
]  # fmt: skip
PLACES = [*EXEMPT, *map(quote, EXEMPT), "/%6fpen", "/auth", "/%61uth", "/auth/ga", "/authority"]
SPELT = (
    st.lists(st.sampled_from([*NOISE, *PLACES]), max_size=4)
    .map("".join)
    .map(lambda text: text if text.startswith("/") else "/" + text)
)
SERVERS = st.sampled_from(["REQUEST_URI", "RAW_URI", None])


def asked(target: str, key: str | None, cut: bool) -> dict[str, Any]:
    """target as it was sent -> environ, as a server makes it

    :param key: what the server calls the raw target; None: it gives none
    :param cut: waitress makes one slash of several at the start, and Paste removes dots too
    """
    path, _, query = target.partition("?")
    decoded = unquote_to_bytes(path.encode("latin-1", "replace")).decode("latin-1")
    if cut:
        decoded = "/" + decoded.lstrip("/")
        if key is None:
            decoded = posixpath.normpath(decoded)
    environ = {"PATH_INFO": decoded, "QUERY_STRING": query}
    return environ | ({key: target} if key else {})


@fuzz
@given(SPELT, SERVERS, st.booleans())
@example("/open", "REQUEST_URI", False)
@example("//open", "REQUEST_URI", True)
@example("/deep%2fer", "RAW_URI", False)
@example("/x/../open", None, True)
def test_what_is_exempt_is_exactly_what_was_decided_on_and_goes_on_as_that(
    site: Site, downstream: Recorder, target: str, key: str | None, cut: bool
) -> None:
    environ = asked(target, key, cut)
    sent = unquote_to_bytes(target.partition("?")[0].encode("latin-1", "replace"))
    downstream.seen.clear()
    status = raw(site, environ.pop("PATH_INFO"), **environ)["status"]
    assert status in (200, 302, 303, 400, 404)
    if downstream.seen:
        (got,) = downstream.seen
        decided = got["PATH_INFO"].encode("latin-1")
        assert decided in EXEMPT_BYTES
        # Where the server tells what was sent, that is the same path, and no other reading of it.
        assert sent == decided or key is None
        forwarded = proxy.request_target(got).partition("?")[0]
        assert unquote_to_bytes(forwarded) == decided
        assert not {"%2f", "%5c"} & {forwarded.lower()[n : n + 3] for n in range(len(forwarded))}
        assert not {".", ".."} & set(unquote_to_bytes(forwarded).decode().split("/"))
    elif key and sent in EXEMPT_BYTES:
        # An exempt path is shut only where it was sent in a way that others may read otherwise.
        plain = target.partition("?")[0].lower()
        assert "%2f" in plain or "%5c" in plain or environ.get(key) != target


@fuzz
@given(SPELT, SERVERS, st.booleans())
def test_a_path_reaches_the_login_pages_or_the_site_and_never_both(
    site: Site, downstream: Recorder, target: str, key: str | None, cut: bool
) -> None:
    environ = asked(target, key, cut)
    path = environ.pop("PATH_INFO")
    downstream.seen.clear()
    status = raw(site, path, HTTP_COOKIE=f"auth_tkt={site.ticket()}", **environ)["status"]
    below = path == "/auth" or path.startswith("/auth/")
    # Without a raw target, what is no UTF-8 is text: that is how Paste's server hands it over.
    repaired = {"PATH_INFO": path, **environ}
    env.repair_path(repaired)
    assert [one["PATH_INFO"] for one in downstream.seen] == (
        [] if below else [repaired["PATH_INFO"]]
    )
    assert below or status == 200


# -- hosts -----------------------------------------------------------------------------------------


@pytest.fixture
def public_site(make_site: Callable[..., Site]) -> Site:
    return make_site(public_url="https://www.example.com")


@fuzz
@given(
    st.sampled_from(["www.example.com", "www.example.com:443"]),
    st.text(st.characters(max_codepoint=255), max_size=12),
    st.sampled_from([0, 5, 15, 19]),
)
@example("www.example.com", "\xa0", 15)
def test_a_host_with_anything_in_it_is_another_host(
    public_site: Site, own: str, junk: str, place: int
) -> None:
    host = own[:place] + junk + own[place:]
    answer = raw(public_site, "/", HTTP_HOST=host, **{"wsgi.url_scheme": "https"})
    same = host.strip(" \t").lower() in ("www.example.com", "www.example.com:443")
    assert (answer["status"] == 302) is same


# -- cookies and tickets ---------------------------------------------------------------------------


def test_no_fuzzed_cookie_lets_anybody_in_or_is_an_error(site: Site, downstream: Recorder) -> None:
    chance = random.Random(5)
    good = [site.ticket(), site.ticket("bo@example.com", remember=True), site.ticket("zo\u00eb")]
    found = set()
    for _ in range(FUZZED):
        pairs = []
        for _ in range(chance.randint(1, 3)):
            value = altered(chance, chance.choice(good))
            if value not in good:
                pairs.append(chance.choice(["auth_tkt=", " auth_tkt=", "a=b, auth_tkt="]) + value)
        header = chance.choice(["; ", ";", ";;", " ; ", ", "]).join(pairs)
        # A cut at ";" could free a whole ticket, which would be no forgery.
        if len(header) <= MAX_HEADER_BYTES and not any(one in header for one in good):
            path = chance.choice(["/", "/auth/ga", "/auth/logout"])
            found.add((path[:5], raw(site, path, HTTP_COOKIE=header)["status"]))
    assert found == {("/", 302), ("/auth", 200)}
    assert downstream.seen == []


@pytest.mark.parametrize("path", ["/", "/open", "/auth/ga", "/auth/healthz", "/auth/\0", "/\xff"])
def test_no_byte_over_the_limit_of_cookies_is_read(site: Site, path: str) -> None:
    """431 comes first, even where the rest of the request is junk, or nothing would bound it."""
    for pair in (f"auth_tkt={site.ticket()}; ", "", "auth_tkt=;" * 9):
        header = pair + "x" * (MAX_HEADER_BYTES + 1 - len(pair))
        assert raw(site, path, HTTP_COOKIE=header)["status"] == 431
        assert raw(site, path, HTTP_COOKIE=header, HTTP_HOST="\0")["status"] == 431
        assert raw(site, path, HTTP_COOKIE=header[1:])["status"] != 431
