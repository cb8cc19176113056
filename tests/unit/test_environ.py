"""Facts read from a WSGI environ: paths, hosts, and what a proxy may say about the client."""

from __future__ import annotations

import ipaddress
import re
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from factored import environ as env

relaxed = settings(deadline=None)

PROXIES = env.TrustedProxies(
    [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("2001:db8:1::/48")]
)
HEADER = st.text(st.characters(max_codepoint=255), max_size=30)


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"PATH_INFO": "/a"}, "/a"),
        ({"PATH_INFO": "/\u00c3\u00a9"}, "/\u00c3\u00a9"),  # bytes seen as latin-1, as they should
        ({"PATH_INFO": "/\u00e9"}, "/\u00c3\u00a9"),
        ({"PATH_INFO": "/\u4e2d"}, "/\u00e4\u00b8\u00ad"),
        ({"PATH_INFO": "/\ud800"}, "/?"),
        ({"PATH_INFO": "/\u00e9", "REQUEST_URI": "/%E9"}, "/\u00e9"),
        ({"PATH_INFO": "/\u00e9", "RAW_URI": "/%E9"}, "/\u00e9"),
    ],
)
def test_a_path_becomes_what_pep_3333_asks_for(environ: dict[str, Any], path: str) -> None:
    env.repair_path(environ)
    assert environ["PATH_INFO"] == path


def test_an_environ_without_a_path_stays_without_one() -> None:
    environ: dict[str, Any] = {}
    env.repair_path(environ)
    assert environ == {}


@pytest.mark.parametrize(
    ("text", "is_it"),
    [("", True), ("/a", True), ("/\u00c3\u00a9", True), ("/\u00e9", False), ("/\u4e2d", False)],
)
def test_wsgi_text_is_told_from_bytes_that_are_not_utf8(text: str, is_it: bool) -> None:
    assert env.is_utf8(text) is is_it


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/a/b-._~!$&'()*+,;=:@", "/a/b-._~!$&'()*+,;=:@"),
        ("/a b", "/a%20b"),
        ("/a%2Fb", "/a%252Fb"),
        ("/a?b#c", "/a%3Fb%23c"),
        ("/\u00c3\u00a9", "/%C3%A9"),
        ("/\u00e9", "/%E9"),
        ('/\r\n"<>\\', "/%0D%0A%22%3C%3E%5C"),
    ],
)
def test_a_path_is_quoted_as_it_stands_in_a_url(path: str, shown: str) -> None:
    assert env.quoted(path) == shown


@relaxed
@given(HEADER)
def test_quoting_loses_nothing(path: str) -> None:
    shown = env.quoted(path)
    assert shown.isascii()
    assert unquote_to_bytes(shown) == path.encode("latin-1")


@pytest.mark.parametrize(
    ("environ", "target"),
    [
        ({"REQUEST_URI": "/a%2Fb?c=%20"}, "/a%2Fb?c=%20"),
        ({"RAW_URI": "/a%2Fb?c"}, "/a%2Fb?c"),
        ({"REQUEST_URI": "/a", "RAW_URI": "/b"}, "/a"),
        ({"REQUEST_URI": "", "RAW_URI": "/b"}, "/b"),
        ({"REQUEST_URI": "http://evil.test/a?b=c"}, "/a?b=c"),
        ({"REQUEST_URI": "http://evil.test/a"}, "/a"),
        ({"REQUEST_URI": "http://evil.test"}, "/"),
        ({"REQUEST_URI": "http://evil.test?b"}, "/?b"),
        ({"REQUEST_URI": "/a?b=http://c.test/"}, "/a?b=http://c.test/"),
        ({"REQUEST_URI": "/http://c.test/"}, "/http://c.test/"),
        ({"REQUEST_URI": "*", "PATH_INFO": "/x"}, "/x"),
        ({"PATH_INFO": "/a b", "QUERY_STRING": "c=d"}, "/a%20b?c=d"),
        ({"SCRIPT_NAME": "/app", "PATH_INFO": "/a"}, "/app/a"),
        ({"SCRIPT_NAME": "/app"}, "/app"),
        ({"QUERY_STRING": "c"}, "/?c"),
        ({}, "/"),
    ],
)
def test_the_target_is_what_the_browser_asked_for(environ: dict[str, Any], target: str) -> None:
    assert env.raw_target(environ) == target


@pytest.mark.parametrize("raw", ["http://[", "http://[::1/a", "//[://x", "http://[v]/a", "//]://x"])
def test_a_target_with_half_an_ipv6_address_is_junk_and_no_error(raw: str) -> None:
    """waitress and gunicorn hand ``//[://x`` on; an exception would be a 500 (PROMISES 17)."""
    assert env.raw_target({"REQUEST_URI": raw, "PATH_INFO": "/x"}).startswith("/")


@relaxed
@given(HEADER, HEADER)
def test_a_target_always_begins_with_a_slash(raw: str, path: str) -> None:
    environ = {"REQUEST_URI": raw, "PATH_INFO": f"/{path}"}
    assert env.raw_target(environ).startswith("/")


@pytest.mark.parametrize(
    ("host", "scheme", "shown"),
    [
        ("Site.Test", "http", "site.test"),
        (" site.test ", "http", "site.test"),
        ("site.test:80", "http", "site.test"),
        ("site.test:443", "https", "site.test"),
        ("site.test:443", "http", "site.test:443"),
        ("site.test:80", "https", "site.test:80"),
        ("site.test:8080", "http", "site.test:8080"),
        ("[::1]:80", "http", "[::1]"),
        ("[2001:DB8::443]", "https", "[2001:db8::443]"),
        ("", "http", ""),
    ],
)
def test_a_host_is_lower_case_without_the_default_port(host: str, scheme: str, shown: str) -> None:
    assert env.canonical_host(host, scheme) == shown
    assert env.host_of(f"{scheme}://{host}") == shown


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:201", "192.0.2.1"),
        ("", "unix"),
        ("unix:", "unix"),
        ("/run/site.sock", "unix"),
        ("192.0.2.1:80", "unix"),
        ("192.0.2.256", "unix"),
    ],
)
def test_a_client_is_counted_by_its_network(address: str, source: str) -> None:
    assert env.client_source(address) == source


def seen(
    *, proxies: env.TrustedProxies = PROXIES, address: str = "10.0.0.1", **headers: Any
) -> Any:
    """X-Forwarded-* headers, from a peer -> (address, scheme, host) that the gate goes by"""
    environ = {"REMOTE_ADDR": address, "wsgi.url_scheme": "http", "HTTP_HOST": "inner.test"}
    environ.update({f"HTTP_X_FORWARDED_{name}": text for name, text in headers.items()})
    proxies.apply(environ)
    return environ["REMOTE_ADDR"], environ["wsgi.url_scheme"], environ["HTTP_HOST"]


def test_proxies_are_true_when_any_is_listed() -> None:
    assert not env.TrustedProxies(())
    assert env.TrustedProxies(("unix",))
    assert PROXIES


@pytest.mark.parametrize(
    "address",
    ["192.0.2.1", "11.0.0.1", "9.255.255.255", "2001:db8:2::1", "::1", "", "unix", "10.0.0.1.",
     "::ffff:192.0.2.1"],
)  # fmt: skip
def test_nobody_else_is_believed(address: str) -> None:
    told: dict[str, Any] = {"FOR": "198.51.100.1", "PROTO": "https", "HOST": "evil.test"}
    assert seen(address=address, **told) == (address, "http", "inner.test")


@pytest.mark.parametrize(
    "address",
    ["10.0.0.0", "10.255.255.255", "::ffff:10.0.0.1", "2001:db8:1::", "2001:db8:1:ffff::1"],
)
def test_a_listed_proxy_is_believed(address: str) -> None:
    told: dict[str, Any] = {"FOR": "198.51.100.1", "PROTO": "https", "HOST": "site.test"}
    assert seen(address=address, **told) == ("198.51.100.1", "https", "site.test")


@pytest.mark.parametrize("address", ["", "unix:", "/run/site.sock"])
def test_a_listed_unix_socket_is_believed(address: str) -> None:
    proxies = env.TrustedProxies(("unix",))
    assert seen(proxies=proxies, address=address, FOR="198.51.100.1")[0] == "198.51.100.1"
    assert seen(proxies=proxies, address="192.0.2.1", FOR="198.51.100.1")[0] == "192.0.2.1"


@pytest.mark.parametrize(
    ("chain", "client"),
    [
        ("198.51.100.1", "198.51.100.1"),
        ("203.0.113.9, 198.51.100.1", "198.51.100.1"),  # what stands left, the client made up
        ("203.0.113.9, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("203.0.113.9,10.0.0.3 ,\t2001:db8:1::7", "203.0.113.9"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),  # the client is inside
        ("198.51.100.1, ::ffff:10.0.0.2", "198.51.100.1"),
        ("198.51.100.1:4711", "198.51.100.1"),
        ("[2001:db8:2::1]:4711", "2001:db8:2::1"),
        ("[2001:db8:2::1]", "2001:db8:2::1"),
        ("2001:DB8:2::1", "2001:db8:2::1"),
        ("::ffff:198.51.100.1", "::ffff:198.51.100.1"),
        # an entry that is no address ends the search
        ("", "10.0.0.1"),
        (",", "10.0.0.1"),
        ("198.51.100.1,", "10.0.0.1"),
        ("unknown", "10.0.0.1"),
        ("203.0.113.9, unknown", "10.0.0.1"),
        ("203.0.113.9, unknown, 10.0.0.2", "10.0.0.2"),
        ("203.0.113.9, _hidden, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.2 203.0.113.9", "10.0.0.1"),
        ("0x7f000001", "10.0.0.1"),
        ("127.1", "10.0.0.1"),
        ("010.0.0.9", "10.0.0.1"),
        ("[198.51.100.1", "198.51.100.1"),
        ("[junk]:80", "10.0.0.1"),
        ("\u00e9", "10.0.0.1"),
    ],
)
def test_the_client_is_the_rightmost_that_is_no_proxy(chain: str, client: str) -> None:
    assert ipaddress.ip_address(seen(FOR=chain)[0]) == ipaddress.ip_address(client)


@pytest.mark.parametrize(
    ("told", "scheme"),
    [
        ("https", "https"), ("HTTPS", "https"), ("http, https", "https"), ("https, http", "http"),
        (" https ", "https"), ("", "http"), ("ftp", "http"), ("https,", "http"), ("wss", "http"),
    ],
)  # fmt: skip
def test_the_scheme_is_what_the_last_proxy_says_if_it_is_one(told: str, scheme: str) -> None:
    assert seen(PROTO=told)[1] == scheme


@pytest.mark.parametrize(
    ("told", "host"),
    [
        ("site.test", "site.test"), ("site.test:8443", "site.test:8443"), ("[::1]:80", "[::1]:80"),
        ("evil.test, site.test", "site.test"), ("", "inner.test"), ("site.test,", "inner.test"),
        ("a b", "inner.test"), ("a/b", "inner.test"), ("a\\b", "inner.test"),
        ("al@b", "inner.test"), ("a?b", "inner.test"), ("a#b", "inner.test"),
        ("<b>", "inner.test"), ('"a"', "inner.test"), ("'a'", "inner.test"),
        ("s\u00eete.test", "inner.test"),
    ],
)  # fmt: skip
def test_the_host_is_what_the_last_proxy_says_if_it_can_be_one(told: str, host: str) -> None:
    assert seen(HOST=told)[2] == host


@relaxed
@given(st.lists(HEADER, max_size=4).map(",".join), HEADER, HEADER)
def test_junk_from_a_proxy_never_becomes_an_error(chain: str, scheme: str, host: str) -> None:
    address, found, named = seen(FOR=chain, PROTO=scheme, HOST=host)
    ipaddress.ip_address(address)
    assert found in ("http", "https")
    assert named


# -- hosts -----------------------------------------------------------------------------------------


OWN_HOST = re.compile(r"[ \t]*(?i:www\.site\.test)(:443)?[ \t]*", re.ASCII)
HOST_PARTS = [
    "www.site.test", "WWW.Site.test", ":443", ":80", ":", ".", " ", "\t", "\xa0", "\x85", "\x0b",
    "\x1f", "\0", "@", "/", "\\", "\xc0", "0", ",",
]  # fmt: skip


@relaxed
@given(st.one_of(HEADER, st.lists(st.sampled_from(HOST_PARTS), max_size=4).map("".join)))
@example("www.site.test\xa0")
@example("\x85www.site.test:443")
@example("www.site.test\x0b")
@example("www.site.test:443:443")
def test_only_the_one_host_is_taken_for_it(host: str) -> None:
    """Blanks around a header's value are no part of it (RFC 9110 section 5.5); all else is."""
    taken = env.canonical_host(host, "https") == "www.site.test"
    assert taken is bool(OWN_HOST.fullmatch(host))


@relaxed
@given(HEADER)
@example("site.test\x1b[2J")
@example("\x85site.test")
def test_a_host_from_a_proxy_is_printable_ascii_or_not_believed(told: str) -> None:
    host = seen(HOST=told)[2]
    assert host == "inner.test" or re.fullmatch(r"[!-~]+", host)
