"""User names: which are taken, and which spellings are one user."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from factored import names

relaxed = settings(deadline=None, max_examples=500)

ODD = "aAsSi \u00df\u1e9e\u017f\u0130\u0131\u0345\u03b1\u0391\u03c3\u03c2\u1f80\u0301\ufb01\u212b"
"""Characters that fold, compose and reorder in unusual ways."""
NAMES = st.one_of(st.text(max_size=20), st.text(ODD, max_size=8))


def key_of(typed: str) -> str:
    return names.key(names.check(typed))


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("al", "al"),
        ("Al Smith", "Al Smith"),
        ("  al\u3000", "al"),
        ("AL@Example.com", "AL@Example.com"),
        ("a.b+c_d%e#f'g@sub-1.example", "a.b+c_d%e#f'g@sub-1.example"),
        ("al@localhost", "al@localhost"),
        ("a\u0308l", "\u00e4l"),
        ("\u212b", "\u00c5"),
        ("\u4e2d\u6587", "\u4e2d\u6587"),
        ("\U0001f600", "\U0001f600"),
        ("CORP\\al", "CORP\\al"),
        ("a,b;c=d[e]\"f'", "a,b;c=d[e]\"f'"),
    ],
)
def test_a_name_is_stored_as_typed_trimmed_and_in_nfc(typed: str, stored: str) -> None:
    assert names.check(typed) == stored


@pytest.mark.parametrize(
    ("typed", "word"),
    [
        ("", "empty"), ("   ", "empty"), ("\u3000", "empty"), ("\ud800", "not text"),
        ("a\x00b", "invisible"), ("al\r\n", "invisible"), ("al\n", "invisible"),
        ("a\tb", "invisible"), ("a\x7fb", "invisible"), ("a\x85b", "invisible"),
        ("a\u200bb", "invisible"), ("a\u200db", "invisible"), ("a\u202eb", "invisible"),
        ("a\u034fb", "invisible"), ("a\u115fb", "invisible"), ("a\u3164b", "invisible"),
        ("a\ufe0fb", "invisible"), ("a\uffa0b", "invisible"), ("a\U000e0100b", "invisible"),
        ("a\ufeffb", "invisible"), ("a\u00adb", "invisible"), ("a\ue000b", "invisible"),
        ("a\u0378b", "invisible"),  # unassigned: the next Unicode may fold it
        ("a\u2028b", "spaces"), ("a\u2029b", "spaces"), ("a\u00a0b", "spaces"),
        ("a\u2003b", "spaces"), ("a!b", "exclamation"), ("al@a.test!x", "exclamation"),
        ("@", "e-mail"), ("al@", "e-mail"), ("@a.test", "e-mail"), ("al@@a.test", "e-mail"),
        ("al@b@a.test", "e-mail"), ("al @a.test", "e-mail"), ("al@a.test bob@b.test", "e-mail"),
        ("al@a.test,bob@b.test", "e-mail"), ("al@a.test;bob@b.test", "e-mail"),
        ("Al <al@a.test>", "e-mail"), ('"al"@a.test', "e-mail"), ("al(x)@a.test", "e-mail"),
        ("\u00e4l@a.test", "e-mail"), ("al@\u00e4.test", "e-mail"), ("\u0430l@a.test", "e-mail"),
        (".al@a.test", "e-mail"), ("al.@a.test", "e-mail"), ("a..l@a.test", "e-mail"),
        ("al@.test", "e-mail"), ("al@a..test", "e-mail"), ("al@a.test.", "e-mail"),
        ("al@-a.test", "e-mail"), ("al@a-.test", "e-mail"), ("al@[192.0.2.1]", "e-mail"),
        ("al@a_b.test", "e-mail"), ("al\uff20a.test", "e-mail"), ("al\ufe6ba.test", "e-mail"),
        ("al%a.test@\uff20b.test", "e-mail"), ("al@\u212a.test", "e-mail"),
        ("al@a.test\uff0ex", "e-mail"),
    ],
)  # fmt: skip
def test_a_name_that_could_mislead_is_refused_with_a_reason(typed: str, word: str) -> None:
    with pytest.raises(names.BadName, match=word):
        names.check(typed)


@pytest.mark.parametrize(
    ("typed", "taken"),
    [
        ("a" * 253, True),
        ("a" * 254, True),
        ("a" * 255, False),
        (" " + "a" * 254 + " ", True),
        ("\u00df" * 127, True),  # its key has twice as many: ss
        ("\u00df" * 128, False),
        ("a" * (254 - 9) + "@a.tested", True),
        ("a" * (255 - 9) + "@a.tested", False),
    ],
)
def test_a_name_and_its_key_have_at_most_254_characters(typed: str, taken: bool) -> None:
    if taken:
        assert len(key_of(typed)) <= names.MAX_LENGTH
    else:
        with pytest.raises(names.BadName, match="longer than 254"):
            names.check(typed)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("al@example.com", "AL@Example.COM"),
        ("al", " Al "),
        ("stra\u00dfe", "STRASSE"),
        ("stra\u00dfe", "STRA\u1e9eE"),
        ("\u00e4l", "a\u0308L"),
        ("\u00c5", "\u212b"),
        ("\u03c3\u03bf\u03c6\u03cc\u03c2", "\u03a3\u039f\u03a6\u038c\u03a3"),
        ("\ufb01n", "FIN"),
        ("\u1f80", "\u1f88"),
        ("\u03b1\u0345\u0301", "\u0391\u0301\u0399"),
        ("a\u0323\u0307", "A\u0307\u0323"),
        ("\u212aelvin", "kelvin"),
    ],
)
def test_spellings_of_one_name_have_one_key(one: str, other: str) -> None:
    assert key_of(one) == key_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("al", "all"), ("al", "\u00e4l"), ("a b", "ab"), ("a b", "a  b"), ("al", "\u0430l"),
        ("l", "1"), ("i", "\u0131"), ("al@a.test", "al@b.test"), ("al@a.test", "a.l@a.test"),
        ("al@a.test", "al+x@a.test"),
    ],
)  # fmt: skip
def test_different_names_have_different_keys(one: str, other: str) -> None:
    assert key_of(one) != key_of(other)


@relaxed
@given(NAMES)
def test_a_key_is_its_own_key_and_passes_the_check_unchanged(typed: str) -> None:
    try:
        key = key_of(typed)
    except names.BadName:
        assume(False)
    assert names.key(key) == key
    assert names.check(key) == key


@relaxed
@given(NAMES)
def test_case_and_form_never_make_another_user(typed: str) -> None:
    try:
        key = key_of(typed)
        spellings = [
            names.check(form)
            for form in (
                unicodedata.normalize("NFD", typed).casefold(),
                f"  {typed} ",
                unicodedata.normalize("NFD", typed),
                unicodedata.normalize("NFC", typed),
            )
        ]
    except names.BadName:
        assume(False)
    assert {names.key(spelling) for spelling in spellings} == {key}


@relaxed
@given(st.text())
def test_any_text_is_either_taken_or_refused_with_a_sentence(typed: str) -> None:
    try:
        name = names.check(typed)
    except names.BadName as refusal:
        assert str(refusal).endswith(".")
    else:
        assert name == names.check(name) == name.strip() != ""
        assert name.isprintable()


# -- who is whom ---------------------------------------------------------------------------------

PRINTABLE = st.text("".join(map(chr, range(0x20, 0x7F))), min_size=1, max_size=8)
WORDS = st.lists(st.text("abAB1", min_size=1, max_size=3), min_size=1, max_size=2)
ADDRESSES = st.tuples(WORDS.map(".".join), WORDS.map("-".join)).map("@".join)
TAKEN = st.one_of(
    st.text(
        st.characters(exclude_categories=("C", "Z"), exclude_characters="!@\uff20\ufe6b"),
        min_size=1, max_size=20,
    ),
    st.text(ODD, min_size=1, max_size=8),
)  # fmt: skip
"""Names of which next to none are refused, so that two of them are rarely in vain."""


@relaxed
@given(st.one_of(PRINTABLE, ADDRESSES), st.one_of(PRINTABLE, ADDRESSES))
def test_names_of_ascii_are_one_user_if_they_differ_in_case_and_edges_only(
    one: str, other: str
) -> None:
    try:
        keys = key_of(one), key_of(other)
    except names.BadName:
        assume(False)
    assert (keys[0] == keys[1]) is (one.strip().lower() == other.strip().lower())


@relaxed
@given(st.one_of(TAKEN, st.text("abAB1@\u212a\uff20\ufe6b", max_size=8), ADDRESSES), ADDRESSES)
def test_nothing_else_is_taken_for_an_address(typed: str, address: str) -> None:
    """Or somebody who may choose a name could get the mail of another."""
    try:
        keys = key_of(typed), key_of(address)
    except names.BadName:
        assume(False)
    assert keys[0] != keys[1] or typed.strip().lower() == address.strip().lower()
    assert "@" not in keys[0] or typed.strip().isascii()


@relaxed
@given(TAKEN, TAKEN)
def test_two_names_are_one_user_exactly_if_unicode_says_so(one: str, other: str) -> None:
    """D145 written out: NFD(fold(NFD(fold(NFD(X))))) of both is the same."""

    def caseless(text: str) -> str:
        form = unicodedata.normalize("NFD", text)
        for _ in range(2):
            form = unicodedata.normalize("NFD", form.casefold())
        return form

    try:
        stored = names.check(one), names.check(other)
    except names.BadName:
        assume(False)
    same = caseless(stored[0]) == caseless(stored[1])
    assert (names.key(stored[0]) == names.key(stored[1])) is same


@pytest.mark.parametrize("around", ["{}", "a{}", "{}b", "a{}b", "al@a.te{}st"])
def test_no_control_mark_or_stray_character_is_taken_anywhere(around: str) -> None:
    """Every one of the Basic Multilingual Plane, and the tags and private planes by their ends."""
    chars = [chr(point) for point in (*range(0x10000), *range(0xE0000, 0xE0200), 0xF0000, 0x10FFFF)]
    refused = [char for char in chars if unicodedata.category(char)[0] == "C" or char == "!"]
    assert len(refused) > 8_000
    for char in refused:
        with pytest.raises(names.BadName):
            names.check(around.format(char))


@relaxed
@given(TAKEN)
def test_a_key_holds_nothing_that_a_ticket_or_a_log_could_mistake(typed: str) -> None:
    try:
        key = key_of(typed)
    except names.BadName:
        assume(False)
    assert "!" not in key
    assert key.isprintable()
    assert key == key.strip()
    assert 0 < len(key) <= names.MAX_LENGTH
