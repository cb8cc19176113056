"""Random codes: made, compared, and read from what people type."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factored import codes


@pytest.mark.parametrize(
    ("make", "shape", "least_bytes"),
    [
        (codes.new_id, r"[A-Za-z0-9_-]{22}", 16),
        (codes.new_key, r"[A-Za-z0-9_-]{43}", 32),
        (codes.new_link_token, r"[A-Za-z0-9_-]{32}", 16),
    ],
)
def test_random_text_has_its_shape_and_never_comes_twice(
    make: Callable[[], str], shape: str, least_bytes: int
) -> None:
    made = [make() for _ in range(500)]
    assert len(set(made)) == 500
    assert all(re.fullmatch(shape, one) for one in made)
    assert len(base64.urlsafe_b64decode(made[0] + "==")) >= least_bytes


def test_a_totp_secret_is_160_random_bits_of_unpadded_base32() -> None:
    made = {codes.new_totp_secret() for _ in range(500)}
    assert len(made) == 500
    assert {len(base64.b32decode(one)) for one in made} == {20}
    assert not any("=" in one for one in made)


@settings(deadline=None)
@given(st.text(max_size=8), st.text(max_size=8))
def test_same_is_equality(one: str, other: str) -> None:
    assert codes.same(one, other) == (one == other)
    assert codes.same(one, one)


@pytest.mark.parametrize(
    "typed",
    [
        "123456", "123 456", " 123456 ", "123-456", "1-2-3-4-5-6", "123\u00a0456", "123\u2009456",
        "123\u2010456", "123\u2011456", "123\u2013456", "123\u2014456", "123\u2015456",
        "\uff11\uff12\uff13\uff14\uff15\uff16", "\uff11\uff12\uff13\u3000\uff14\uff15\uff16",
        "123456\r\n", "\t123\n456",
    ],
)  # fmt: skip
def test_six_digits_are_read_as_people_paste_them(typed: str) -> None:
    assert codes.six_digits(typed) == "123456"


@pytest.mark.parametrize(
    "typed",
    [
        "", " ", "12345", "1234567", "12345a", "12345.", "123,456", "+123456", "-", "1234_56",
        "\u0661\u0662\u0663\u0664\u0665\u0666",  # digits, but of another alphabet
        "\u096a\u096a\u096a\u096a\u096a\u096a", "12345\x00", "123456\x00", "123456\x7f",
        "0x1234", "1e5000", "12345\u00bd", "123456\u200b",
    ],
)  # fmt: skip
def test_anything_else_is_no_code(typed: str) -> None:
    assert codes.six_digits(typed) is None


@settings(deadline=None)
@given(st.text(max_size=20))
def test_what_is_read_as_a_code_is_always_six_ascii_digits(typed: str) -> None:
    found = codes.six_digits(typed)
    assert found is None or re.fullmatch(r"[0-9]{6}", found, re.ASCII)


# -- mailed codes ----------------------------------------------------------------------------------


def test_a_mailed_code_has_forty_random_bits_and_no_look_alikes() -> None:
    made = {codes.new_mail_code() for _ in range(500)}
    assert len(made) == 500
    assert len(codes.ALPHABET) == len(set(codes.ALPHABET)) == 32
    assert set("".join(made)) == set(codes.ALPHABET)
    assert not set("ILOU") & set(codes.ALPHABET)
    assert all(len(one) == 8 and codes.mail_code(one) == one for one in made)


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("ABCD-EFGH", "ABCDEFGH"),
        (" abcd efgh\n", "ABCDEFGH"),
        ("a-b-c-d\u2013e f\u2009gh", "ABCDEFGH"),
        ("\uff21BCDEFG\uff18", "ABCDEFG8"),
        ("oOiIlLuU", "001111VV"),
        ("ABCDEFG", None),
        ("ABCDEFGHJ", None),
        ("ABCDEFG!", None),
        ("ABCDEFG\u0416", None),
        ("ABCDEFG\u00df", None),
        ("", None),
    ],
)
def test_a_mailed_code_is_read_as_people_type_it(typed: str, code: str | None) -> None:
    assert codes.mail_code(typed) == code
