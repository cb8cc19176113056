"""Cookie headers: values taken out, lines written."""

from __future__ import annotations

from http.cookies import SimpleCookie
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factored import cookies

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
    assert cookies.values(header, "t") == found


@settings(deadline=None)
@given(st.lists(st.tuples(TOKEN, VALUE), max_size=6), TOKEN)
def test_what_a_browser_sends_is_found_by_name(pairs: list[tuple[str, str]], name: str) -> None:
    header = "; ".join(f"{key}={value}" for key, value in pairs)
    assert cookies.values(header, name) == [value for key, value in pairs if key == name]


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
