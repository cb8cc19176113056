"""Text of one ini key -> its value, or a sentence that says what is allowed."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

import pytest

from factored import codes
from factored import converters as conv

STRONG = "x7Kq2mVw9Rb4Tz8Yn3Lc6Hd1Jf5Gs0Pa"
STRONG_2 = "pW3_vN8-eX5uC1iO6yA9tZ2rM7kB4hQ0"
net = ipaddress.ip_network
port = conv.whole_number(1, 65535)
colour = conv.one_of("Red", "Blue")


@pytest.mark.parametrize("word", ["true", "yes", "on", "1", "t", "TRUE", "Yes", "oN", "T"])
def test_words_that_mean_true(word: str) -> None:
    assert conv.as_bool(word) is True


@pytest.mark.parametrize("word", ["false", "no", "off", "0", "f", "FALSE", "No", "oFF", "F"])
def test_words_that_mean_false(word: str) -> None:
    assert conv.as_bool(word) is False


@pytest.mark.parametrize(
    ("convert", "text", "value"),
    [
        (port, "1", 1), (port, "65535", 65535), (port, "080", 80),
        (colour, "Red", "Red"), (colour, "rED", "Red"), (colour, "blue", "Blue"),
        (conv.as_text, "a", "a"),
        (conv.as_lines, "", ()), (conv.as_lines, " a \n\n b\na\r\n\t", ("a", "b")),
        (conv.as_scheme_names, "Google Auth\nEmail\nGoogle Auth", ("Google Auth", "Email")),
        (conv.as_appname, "a", "a"), (conv.as_appname, "\u00e9" * 64, "\u00e9" * 64),
        (conv.as_base_url, "/auth", "/auth"), (conv.as_base_url, "/a.b/~c_d-1", "/a.b/~c_d-1"),
        (conv.as_base_url, "/...", "/..."),
        (conv.as_exempt_path, "/", "/"), (conv.as_exempt_path, "/a b/c%2f", "/a b/c%2f"),
        (conv.as_exempt_path, "/\u00e9", "/\u00c3\u00a9"), (conv.as_exempt_path, "/.a/..b/c..",
         "/.a/..b/c.."),
        (conv.as_exempt_paths, "", frozenset()),
        (conv.as_exempt_paths, "/a\n\n /b \n/a", frozenset(("/a", "/b"))),
        (conv.as_cookie_path, "/", "/"), (conv.as_cookie_path, "/a/%20~._-", "/a/%20~._-"),
        (conv.as_cookie_name, "auth_tkt", "auth_tkt"), (conv.as_cookie_name, "a" * 64, "a" * 64),
        (conv.as_cookie_name, "__Host-!#$%&'*+.^`|~", "__Host-!#$%&'*+.^`|~"),
        (conv.as_domain, "example.com", "example.com"), (conv.as_domain, ".Example.COM",
         "example.com"), (conv.as_domain, "a-1.b.xn--p1ai", "a-1.b.xn--p1ai"),
        (conv.as_public_url, "https://Example.com", "https://example.com"),
        (conv.as_public_url, "HTTP://example.com/", "http://example.com"),
        (conv.as_public_url, "http://localhost:8000", "http://localhost:8000"),
        (conv.as_public_url, "https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"),
        (conv.as_public_url, "http://a.test:1", "http://a.test:1"),
        (conv.as_public_url, "http://a.test:65535", "http://a.test:65535"),
        (conv.as_host_name, "a_b.test", "a_b.test"), (conv.as_host_name, "192.0.2.1", "192.0.2.1"),
        (conv.as_host_name, "[::1]", "[::1]"),
        (conv.as_hosts, "", frozenset()),
        (conv.as_hosts, "A.test, b_c.test:8443\n[::1]:8443 192.0.2.1 [::1]",
         {"a.test", "b_c.test:8443", "[::1]:8443", "192.0.2.1", "[::1]"}),
        (conv.as_hosts, "a.test:80 b.test:443", {"a.test", "b.test"}),
        (conv.as_identity_headers, "X-Webauth-User\nRemote-Email, Auth-User X-Webauth-User",
         ("X-Webauth-User", "Remote-Email", "Auth-User")),
        (conv.as_trusted_proxies, "", ()),
        (conv.as_trusted_proxies, "unix, 10.0.0.0/8\n::1,,192.0.2.1",
         ("unix", net("10.0.0.0/8"), net("::1/128"), net("192.0.2.1/32"))),
        (conv.as_secrets, STRONG, (STRONG,)),
        (conv.as_secrets, f"# newest\n{STRONG}\n\n  {STRONG_2} \n", (STRONG, STRONG_2)),
    ],
)  # fmt: skip
def test_text_becomes_its_value(convert: Callable[[str], Any], text: str, value: object) -> None:
    assert convert(text) == value


REFUSED: list[tuple[Callable[[str], Any], str, list[str]]] = [
    (conv.as_bool, "true/false", ["", "maybe", "2", "true ; note", "truefalse", "y", "-1"]),
    (port, "from 1 to 65535", ["", "0", "65536", "-1", "+1", "1.0", "1_0", "0x1", " 1", "a",
                               "\u0661", "1" * 13, "1 s"]),
    (colour, "Red or Blue", ["", "re", "Green", "Red,Blue"]),
    (conv.as_text, "empty", [""]),
    (conv.as_scheme_names, "one a line", ["", " \n "]),
    (conv.as_appname, "printable", ["", "a" * 65, "a:b", "a\nb", "a\x00", "a\u2028b"]),
    (conv.as_base_url, "a path like /auth", ["", "/", "auth", "/auth/", "//auth", "/a//b",
     "/a/../b", "/..", "/.", "/a b", "/a?b", "/a%20", "/\u00e9", "/a\n", "http://a/b"]),
    (conv.as_exempt_path, "one exact path", ["", "a", "a/b", "/a/../b", "/..", "/./a", "/a;b",
     "/a\\b", "/a?b", "/a#b", "/a\x00b", "/a\tb", "/a\x7f", "/\ud800", "*", "http://a/"]),
    (conv.as_exempt_paths, "one exact path", ["/a\nb", "/a, /b?"]),
    (conv.as_cookie_path, "starts with /", ["", "a", "/a b", "/a;b", "/a,b", "/\u00e9", "/\n"]),
    (conv.as_cookie_name, "cookie name", ["", "a" * 65, "a b", "a=b", "a;b", "a,b", 'a"b',
     "a/b", "\u00e9", "a\n", "(a)", "[a]"]),
    (conv.as_cookie_name, "choose another", ["factored_browser", "factored_device"]),
    (conv.as_domain, "at least one dot", ["", ".", "localhost", "..a.test", "a..test", "a.test.",
     "-a.test", "a-.test", "192.0.2.1", "a_b.test", "a b.test", "a.test:80", "\u00e9.test",
     "a.test\n", "*.a.test"]),
    (conv.as_public_url, "scheme and host", ["", "example.com", "//example.com", "ftp://a.test",
     "https://", "https://a.test/b", "https://a.test?b", "https://a.test#b", "https://a b.test",
     "https://al@a.test", "https://a.test:0", "https://a.test:65536", "https://a.test:x",
     "https://a.test:", "https://\u00e9.test", "javascript:alert(1)", "https://[", "https://[::1",
     "https://]", "https:///a", "https://a.test,b.test", "https://[x]"]),
    (conv.as_host_name, "without scheme and port", ["", "a:80", "http://a", "a/b", "al@a",
     "::1", "[::1]:80", "[x]", "a b", "a\n", "\u00e9"]),
    (conv.as_hosts, "without a scheme", ["https://a.test", "a/b", "al@a.test", "a:", "a:0",
     "a:65536", "::1", "a.test:x", "*", ".a,b/", "\u00e9.test", "a?b"]),
    (conv.as_identity_headers, "will not do", ["User", "Host", "Cookie", "User-Agent", "Set-Cookie",
     "X-", "X_User", "X-Us er", "X-User:", "X-Forwarded-For", "x-forwarded-host", "X-Original-URL",
     "X-Real-IP", "Factored-Schemes", "Content-Type", "X-\u00e9", "-User"]),
    (conv.as_trusted_proxies, "networks", ["x", "10.0.0.1/8", "10.0.0.0/33", "UNIX", "10.0",
     "10.0.0.1;10.0.0.2", "*", "localhost", "::1/129"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("convert", "allowed", "text"),
    [(convert, allowed, text) for convert, allowed, texts in REFUSED for text in texts],
)
def test_anything_else_is_refused_with_what_is_allowed(
    convert: Callable[[str], Any], allowed: str, text: str
) -> None:
    with pytest.raises(ValueError, match=allowed):
        convert(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("# only a comment", "is empty"),
        (STRONG, None),
        (STRONG[:-1], "it has 31 characters; at least 32"),
        ("secret", "it has 6 characters"),
        ("eaghbdcf" + "gaehcbfdhagebcdfaghecbdf", None),
        ("eaghbdcf".replace("h", "a") + "gaeacbfdaagebcdfagaecbdf", "it repeats itself"),
        ("a" * 100, "it repeats itself"),
        (STRONG[:16] * 2, "it repeats itself"),
        (STRONG[:15] * 2 + STRONG[:9], "it repeats itself"),
        (STRONG + STRONG, "it repeats itself"),
        ("abcdefghijklmnopqrstuvwxyz0123456789", "it repeats itself"),
        ("zyxwvutsrqponmlkjihgfedcba9876543210", "it repeats itself"),
        ("abcdefghijklmnop" + STRONG[:17], None),
        ("abcdefghijklmnopqr" + STRONG[:16], "it repeats itself"),
        (f"{STRONG}\n{STRONG_2[:16]}", "secret 2 of 2 has 16 characters"),
        (f"{STRONG[:16]}\n{STRONG_2}", "secret 1 of 2 has 16"),
        (f"{STRONG}\n{STRONG_2}\n{'ab' * 20}", "secret 3 of 3 repeats"),
    ],
)
def test_a_ticket_secret_is_long_and_varied(text: str, reason: str | None) -> None:
    if reason is None:
        assert conv.as_secrets(text) == (text,)
    else:
        with pytest.raises(ValueError, match=reason):
            conv.as_secrets(text)


def test_what_our_own_commands_make_is_always_strong_enough() -> None:
    made = [codes.new_key() for _ in range(500)]
    assert conv.as_secrets("\n".join(made)) == tuple(made)


@pytest.mark.parametrize(
    "word",
    [
        "REPLACEME", "ReplaceMe", "replace me", "REPLACE_ME", "change_me", "changeme", "changeit",
        "CHANGE-ME", "placeholder", "your_secret", "your - secret",
    ],
)  # fmt: skip
def test_a_placeholder_is_refused_however_long_it_is(word: str) -> None:
    with pytest.raises(ValueError, match="placeholder"):
        conv.as_secrets(f"{STRONG[:16]}-{word}-{STRONG[16:]}")


@pytest.mark.parametrize("bad", ["hunter2", "hunter2 REPLACEME, and long enough otherwise"])
def test_a_refusal_never_shows_the_secret(bad: str) -> None:
    with pytest.raises(ValueError, match="it ") as refusal:
        conv.as_secrets(bad)
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(
    "text", ["/help", "/", "/help?a=1#b", "https://www.example.com", "http://example.com:8080/x"]
)
def test_help_may_be_on_this_site_or_another(text: str) -> None:
    assert conv.as_help_url(text) == text


@pytest.mark.parametrize(
    "text",
    ["help", "//evil.example", "/\\evil.example", "javascript:alert(1)", "https://", "/a b",
     "https://al@example.com/", "/caf\u00e9", "ftp://example.com/", "/" + "x" * 2000],
)  # fmt: skip
def test_help_is_nothing_that_surprises(text: str) -> None:
    with pytest.raises(ValueError, match="must be a path that starts with one /"):
        conv.as_help_url(text)
