"""Cookie headers: values taken out, lines written."""

from __future__ import annotations

import re
import time
from http.cookies import SimpleCookie
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factored import cookies
from factored.proxy import without_cookie

relaxed = settings(deadline=None, max_examples=500)
TOKEN = st.text("abcXYZ019-_.", min_size=1, max_size=6)
VALUE = st.text("abc019-_.!%@+/=", max_size=8)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", []),
        ("other=1", []),
        ("t=1", ["1"]),
        ("t=", [""]),
        ("a=b; t=1; c=d", ["1"]),
        ("t=1;t=2", ["1", "2"]),
        ("t=2; t=1; t=2", ["2", "1", "2"]),
        (" \tt=1 \t;\tt=2", ["1", "2"]),
        ("t=a=b=c", ["a=b=c"]),
        ('t="1"', ['"1"']),
        ("xt=1", []),
        ("xt=1; t=2", ["2"]),
        ("T=1", []),
        ("t =1", []),
        ("a=t=1", []),
        ("t", []),
        (";;;t=1;;;", ["1"]),
        ("a=1, t=2", []),
    ],
)
def test_values_come_in_order_and_as_they_were_sent(header: str, found: list[str]) -> None:
    assert list(cookies.values(header, "t")) == found


@settings(deadline=None)
@given(st.lists(st.tuples(TOKEN, VALUE), max_size=6), TOKEN)
def test_what_a_browser_sends_is_found_by_name(pairs: list[tuple[str, str]], name: str) -> None:
    header = "; ".join(f"{key}={value}" for key, value in pairs)
    assert list(cookies.values(header, name)) == [value for key, value in pairs if key == name]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "n=v; Path=/; HttpOnly; SameSite=Lax"),
        ({"path": "/auth"}, "n=v; Path=/auth; HttpOnly; SameSite=Lax"),
        ({"secure": True}, "n=v; Path=/; Secure; HttpOnly; SameSite=Lax"),
        ({"http_only": False}, "n=v; Path=/; SameSite=Lax"),
        ({"samesite": "Strict"}, "n=v; Path=/; HttpOnly; SameSite=Strict"),
        ({"domain": "a.test"}, "n=v; Path=/; Domain=a.test; HttpOnly; SameSite=Lax"),
        ({"domain": ""}, "n=v; Path=/; HttpOnly; SameSite=Lax"),
        ({"max_age_s": 1}, "n=v; Path=/; Max-Age=1; HttpOnly; SameSite=Lax"),
        (
            {"max_age_s": 0},
            "n=v; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; SameSite=Lax",
        ),
    ],
)
def test_a_line_says_what_the_browser_is_to_keep(changes: dict[str, Any], line: str) -> None:
    given_facts: dict[str, Any] = {"path": "/", "secure": False, **changes}
    assert cookies.line("n", "v", **given_facts) == line


def test_the_standard_library_reads_our_lines() -> None:
    line = cookies.line(
        "n", "v", path="/auth", secure=True, domain="a.test", samesite="Strict", max_age_s=60
    )
    morsel = SimpleCookie(line)["n"]
    assert morsel.value == "v"
    assert (morsel["path"], morsel["domain"], morsel["max-age"]) == ("/auth", "a.test", "60")
    assert (morsel["secure"], morsel["httponly"], morsel["samesite"]) == (True, True, "Strict")


# -- the splitter, whatever is sent ----------------------------------------------------------------

ANYTHING = st.text(st.characters(max_codepoint=255), max_size=60)
NEAR = st.lists(
    st.sampled_from([*'ab=;," \t\\\0\xa0\x85\r\n', "t=", "t", "; ", "t=1", "=t", "xt=", " t ="])
).map("".join)
HEADERS = st.one_of(ANYTHING, NEAR)


def reference(header: str, name: str) -> list[str]:
    """The same by another way: every ``;`` starts a pair, blanks around it are none of its own."""
    found = re.findall(rf"(?:^|;)[ \t]*{re.escape(name)}=([^;]*)", header)
    return [value.rstrip(" \t") for value in found]


@relaxed
@given(HEADERS, st.one_of(TOKEN, st.just("t")))
def test_any_header_is_split_as_a_plain_reference_does(header: str, name: str) -> None:
    # Blanks before the first pair and a value of blanks alone: the pair is trimmed as a whole.
    found = list(cookies.values(header, name))
    assert [value.lstrip(" \t") for value in found] == [
        value.lstrip(" \t") for value in reference(header, name)
    ]
    assert all(f"{name}={value}" in header and ";" not in value for value in found)


@relaxed
@given(HEADERS, HEADERS)
def test_what_stands_beside_a_cookie_never_hides_it(before: str, after: str) -> None:
    """Who can plant junk for this host must not shut people out (RFC 6265 section 8.6)."""
    assert "1" in cookies.values(f"{before};t=1;{after}", "t")


@relaxed
@given(HEADERS, st.sampled_from(["t", "auth_tkt", "a.b", "x"]))
def test_what_simpleproxy_takes_out_is_all_that_the_gate_would_find(header: str, name: str) -> None:
    kept = without_cookie(header, name)
    assert list(cookies.values(kept, name)) == []
    others = [pair for pair in header.split(";") if name not in pair]
    assert all(pair.strip("; \t,") in kept for pair in others)


def test_a_long_header_is_split_in_time_that_grows_with_its_length_only() -> None:
    """The largest one that is looked at (the gate refuses longer ones), in its worst shapes."""
    size = cookies.MAX_HEADER_BYTES
    began = time.perf_counter()
    for part in ("t=;", ";", " ", "t", "=", ",", ", t", "t=,", ",a", "\t;", "t=a,b="):
        header = (part * size)[:size]
        list(cookies.values(header, "t"))
        without_cookie(header, "t")
    # About 20 ms in all; quadratic time would be many seconds.
    assert time.perf_counter() - began < 3
