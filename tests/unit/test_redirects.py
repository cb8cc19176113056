"""Where a browser may be sent: by what browsers do with odd URLs, not by what a parser says."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factored.web.redirects import MAX_LENGTH, local_path, way_back

relaxed = settings(deadline=None, max_examples=500)

HOSTILE = st.text("/\\.%25fauth:@?#;\t\n\r \u2028\u00e9\uff0f[]AU0129", max_size=30)


@pytest.mark.parametrize(
    "path",
    [
        "/", "/a", "/a/b/", "/a?b=c&d=/e", "/a#b", "/a?x=http://evil.test/", "/a//b", "/a/../b",
        "/@evil.test", "/a@b", "/a:b", "/:80", "/http://evil.test", "/%2f%2fevil.test",
        "/%5cevil.test", "/a%20b", "/%ff", "/%", "/%zz", "/authors", "/auth2", "/auth.html",
        "/au/th", "/AUTH", "/x/auth", "/a?/auth", "/a?next=/auth/ga", "/%2561uth/ga", "/auth;x",
        "/x//../auth", "/auth/../x", "/auth/ga/../../x", "/%2e%2e%2fx/../y",
        "/~al/a!b$c&'()*+,;=", '/a"b<c>`{|}^',
    ],
)  # fmt: skip
def test_a_path_of_this_site_is_taken_as_it_is(path: str) -> None:
    assert local_path(path, "/auth") == path


@pytest.mark.parametrize(
    ("text", "path"),
    [("/caf\u00e9", "/caf%C3%A9"), ("/a?b=\u4e2d", "/a?b=%E4%B8%AD"), ("/\u2028", "/%E2%80%A8")],
)
def test_what_is_not_ascii_is_quoted(text: str, path: str) -> None:
    assert local_path(text, "/auth") == path


@pytest.mark.parametrize(
    "text",
    [
        "", "a", "a/b", "?a", "#a", ".", "./a", "../a", "*",
        "http://evil.test", "http:evil.test", "http:/evil.test", "https:///evil.test",
        "HTTPS://evil.test", "javascript:alert(1)", "java\nscript:alert(1)", "data:text/html,x",
        "mailto:al@evil.test", "evil.test", "al:pw@evil.test", "site.test@evil.test/",
        # two slashes name another host, and browsers take a backslash for a slash
        "//evil.test", "///evil.test", "////evil.test", "//al@evil.test", "//evil.test:80/a",
        "/\\evil.test", "\\/evil.test", "\\\\evil.test", "/\\/evil.test", "/a\\b", "/a?b=\\",
        "//", "/\\", "//\u3002evil.test",
        # they drop tabs and line ends wherever they stand
        "/\t/evil.test", "/\n/evil.test", "/\r/evil.test", "\t//evil.test", "/a\tb", "/a\r\nX: y",
        "/a\n", "\n/a",
        # and strip controls and spaces at both ends
        " /a", "/a ", " //evil.test", "\x00//evil.test", "\x0b//evil.test", "\x1f//evil.test",
        "/a\x00b", "/a b", "/a\x7f", "/a\x85", "/a\x9f", "\ufeff//evil.test", "\u3000//evil.test",
        "/\ud800", "/\udfff",
        "\uff0f\uff0fevil.test", "\u2044/evil.test",
    ],
)  # fmt: skip
def test_anything_that_could_lead_elsewhere_is_refused(text: str) -> None:
    assert local_path(text, "/auth") is None


@pytest.mark.parametrize(
    "text",
    [
        "/auth", "/auth/", "/auth/ga", "/auth?x", "/auth#x", "/auth/ga?referrer=/a", "/auth//ga",
        "/./auth", "/x/../auth", "/x/../auth/ga", "/../auth", "/.//auth", "/x/..//auth",
        "/%61uth/ga", "/auth%2fga", "/auth%2Fga", "/%2e/auth", "/x/%2e%2e/auth", "/x%2f..%2fauth",
        "/x/..%2Fauth?y", "/%2fauth", "/auth/%2e%2e/auth", "/auth/.", "/auth/./",
        # browsers end a segment at a slash alone, not at %2f, and an empty one is one too
        "/x%2fy/../auth", "/x%2Fy/%2E%2e/auth/ga", "/%5cauth%2fga/..//auth", "/auth//../ga",
        "/auth/x//../../ga", "/x/.%2e/auth", "/x%2f../../auth",
    ],
)  # fmt: skip
def test_the_way_back_never_leads_into_the_login(text: str) -> None:
    assert local_path(text, "/auth") is None


@pytest.mark.parametrize(
    ("auth_path", "text", "taken"),
    [
        ("/app/auth", "/app/auth/ga", False),
        ("/app/auth", "/app/x", True),
        ("/app/auth", "/auth/ga", True),
        # site.auth_path() hands a mount over as it stands in a URL
        ("/caf%C3%A9/auth", "/caf%C3%A9/auth/ga", False),
        ("/caf%C3%A9/auth", "/caf\u00e9/auth/ga", False),
        ("/my%20app/auth", "/my%20app/auth", False),
        ("/my%20app/auth", "/my%20app/x", True),
    ],
)
def test_a_gate_that_is_mounted_below_a_path_knows_its_own_login(
    auth_path: str, text: str, taken: bool
) -> None:
    assert (local_path(text, auth_path) is not None) is taken


@pytest.mark.parametrize(("length", "taken"), [(-1, True), (0, True), (1, False)])
def test_a_way_back_has_a_greatest_length(length: int, taken: bool) -> None:
    text = "/" + "a" * (MAX_LENGTH + length - 1)
    assert (local_path(text, "/auth") == text) is taken


@relaxed
@given(st.one_of(HOSTILE, HOSTILE.map("/".__add__), st.text(max_size=30).map("/".__add__)))
def test_what_is_given_back_stays_on_the_site_for_every_reader(text: str) -> None:
    path = local_path(text, "/auth")
    if path is None:
        return
    assert path.isascii()
    assert path.isprintable()
    assert " " not in path
    assert "\\" not in path
    assert path[0] == "/"
    assert path[1:2] != "/"
    assert urlsplit(urljoin("http://site.test/auth/ga", path))[:2] == ("http", "site.test")
    assert local_path(path, "/auth") in (path, None), "longer than allowed at most"


SEGMENT_NOISE = st.lists(st.sampled_from(["/.", "/x/..", "/", "/x/y/../.."]), max_size=3)


@relaxed
@given(SEGMENT_NOISE, SEGMENT_NOISE, st.sets(st.integers(0, 8)))
def test_no_spelling_of_a_path_under_the_login_is_taken(
    before: list[str], after: list[str], escaped: set[int]
) -> None:
    target = "/auth/ga"
    spelt = target[0] + "".join(
        f"%{ord(char):02x}" if place in escaped else char
        for place, char in enumerate(target[1:], 1)
    )
    assert local_path("".join([*before, spelt, *after]), "/auth") is None


# -- whole URLs -----------------------------------------------------------------------------------

ALLOWED = frozenset(("two.test", "three.test:8443", "[::1]:8443"))


def judged(text: str, *, own_host: str = "site.test", secure: bool = True) -> str | None:
    return way_back(text, "/auth", own_host=own_host, allowed_hosts=ALLOWED, secure=secure)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/a?b#c", "/a?b#c"),
        ("https://site.test/a?b#c", "/a?b#c"),
        ("https://site.test", "/"),
        ("HTTPS://Site.TEST:443/a", "/a"),
        # mod_auth_tkt forgets the port, and may not know that there is TLS in front of it
        ("http://site.test/a", "/a"),
        ("http://site.test:8080/a", "/a"),
        ("https://two.test/a?b#c", "https://two.test/a?b#c"),
        ("https://TWO.test:443", "https://two.test/"),
        ("https://three.test:8443/\u00e9", "https://three.test:8443/%C3%A9"),
        ("https://[::1]:8443/a", "https://[::1]:8443/a"),
    ],
)
def test_a_url_of_this_site_becomes_a_path_and_one_of_an_allowed_host_stays(
    text: str, expected: str
) -> None:
    assert judged(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "https://evil.test/", "https://two.test.evil.test/", "https://xtwo.test/",
        "https://two.test:8443/", "https://three.test/", "https://two.test./",
        "https://two.test@evil.test/", "https://evil.test@two.test/", "https://al:pw@two.test/",
        "https://two.test\\@evil.test/", "https://two.test\\.evil.test/", "https://two.test\\a",
        "https:two.test/", "https:/two.test/", "https:///two.test/", "https://two.test//",
        "https:\\\\two.test/", "https://two.test?a", "https://two.test#a", "https://two.test:/a",
        "https://two.test:443x/", "https://two.test:+443/", "https:// two.test/", " https://two.test/",
        "https://two.test/ ", "https://two.test/\ta", "https://two.te\nst/", "https://two.test\n/",
        "https://tw\uff4f.test/", "https://two\u3002test/", "https://%74wo.test/",
        "https://two.test/a\\b", "https://two.test//evil.test", "https://two.test/\\evil.test",
        "https://two.test/auth", "https://two.test/x/../auth/ga", "https://site.test/auth/logout",
        "https://site.test//evil.test", "https://site.test/\\evil.test", "//two.test/", "two.test",
        "ftp://two.test/", "javascript://two.test/%0aalert(1)", "https://[::1]/", "https://[::1/",
        "http://two.test/a",
    ],
)  # fmt: skip
def test_no_other_url_is_taken(text: str) -> None:
    assert judged(text) is None


def test_an_http_site_is_gone_back_to_if_tickets_go_over_http_too() -> None:
    assert judged("http://two.test/a", secure=False) == "http://two.test/a"


@pytest.mark.parametrize(("length", "taken"), [(-1, True), (0, True), (1, False)])
def test_a_url_has_a_greatest_length_too(length: int, taken: bool) -> None:
    text = "https://two.test/"
    text += "a" * (MAX_LENGTH - len(text) + length)
    assert (judged(text) == text) is taken


URLS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["https://", "http://", "https:", "https:/", "https:\\\\", "//", ""]),
    st.sampled_from(["", "al@", "two.test@", "two.test:80@", "two.test\\@", "evil.test"]),
    st.sampled_from(["two.test", "site.test", "evil.test", "two.test:443", "two.test."]),
    HOSTILE,
)


@relaxed
@given(URLS)
def test_what_is_given_back_leads_to_this_site_or_an_allowed_one(text: str) -> None:
    given_back = judged(text)
    if given_back is None:
        return
    assert given_back.isascii()
    assert "\\" not in given_back
    where = urlsplit(urljoin("https://site.test/auth/ga", given_back))
    assert (where.scheme, where.netloc) in {("https", "site.test"), ("https", "two.test")}
    assert given_back[0] == "/" or given_back.startswith("https://two.test/")
