"""Tables of users as people have them, and as enemies make them."""

from __future__ import annotations

import io

import pytest

from factored.services.importing import Entry, Held, Item, Refused
from factored.services.lines import MAX_LINE, Lines
from factored.services.users_csv import NotAUserTable, read

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


def items(content: str | bytes) -> list[Item]:
    raw = content if isinstance(content, bytes) else content.encode()
    return list(read(Lines(io.BytesIO(raw))))


def one(line: str, header: str = "username,secret,label,disabled") -> Item:
    """a line -> what becomes of it, below a header and above another line that is well"""
    last = "zz" + "," * header.count(",")
    found, after = items(f"{header}\n{line}\n{last}\n")
    assert after == Entry(3, "zz", (Held(),))
    return found


def test_names_alone_are_enough() -> None:
    assert items("username\nal\nBo\n") == [
        Entry(2, "al", (Held(),)),
        Entry(3, "Bo", (Held(),)),
    ]


def test_all_columns_in_any_order_and_case() -> None:
    header = " Disabled ,LABEL,secret,Username"
    assert items(f"{header}\nyes,Phone,{SECRET},al\n,,,bo\nno,,,cy") == [
        Entry(2, "al", (Held(SECRET, "Phone"),), True),
        Entry(3, "bo", (Held(),)),
        Entry(4, "cy", (Held(),), False),
    ]


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_files_of_all_systems_are_read(bom: bytes, end: bytes, last: bool) -> None:
    content = bom + end.join([b"username,label", "zoë,☎".encode()]) + end * last
    assert items(content) == [Entry(2, "zoë", (Held(None, "☎"),))]


def test_blank_lines_are_no_users_and_count_as_lines() -> None:
    assert items("username\n\n  \nal\n\n") == [Entry(4, "al", (Held(),))]


def test_quotes_may_hold_commas_and_quotes() -> None:
    assert one('"al, ""the"" one",,,') == Entry(2, 'al, "the" one', (Held(),))


@pytest.mark.parametrize(
    "secret",
    [SECRET, SECRET.lower(), "JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP", f" {SECRET} ",
     "jbsw-y3dp-ehpk-3pxp-jbsw-y3dp-ehpk-3pxp"],
)  # fmt: skip
def test_a_secret_is_taken_as_apps_show_it(secret: str) -> None:
    assert one(f"al,{secret},,") == Entry(2, "al", (Held(SECRET),))


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        ("JBSWY3DPEHPK3PX1", "the secret is not base32"),
        ("JBSWY3DPEHPK3PX", "the secret has less than 80 bits"),
        ("=====", "the secret is missing"),
        ("é" * 16, "the secret is not base32"),
        ("A" * 136, "the secret is longer than 128 characters"),
        ("A" * 60000, "the secret is longer than 128 characters"),
        ("=1+1", "the secret is not base32"),
    ],
)
def test_a_secret_that_gives_no_code_is_refused_and_not_shown(secret: str, reason: str) -> None:
    assert one(f"al,{secret},,") == Refused(2, "al", reason)


@pytest.mark.parametrize("word", ["x", "2", "disabled", "yes no", "\0"])
def test_whether_disabled_must_be_clear(word: str) -> None:
    found = one(f"al,,,{word}")
    assert isinstance(found, Refused)
    if word != "\0":
        assert found == Refused(2, "al", "disabled must be yes or no")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("al", "columns: 1, and 4 in the header line"),
        ("al,,,,", "columns: 5, and 4 in the header line"),
        ('"al,,,', "has a quote that is not closed in the same line"),
        ('"al"x,,,', "is no CSV"),
        ("a\rl,,,", "is no CSV"),
        ("al,,," + "x" * MAX_LINE, f"is longer than {MAX_LINE:,} bytes"),
    ],
)
def test_a_broken_line_is_refused_and_spoils_no_other(line: str, reason: str) -> None:
    found = one(line)
    assert isinstance(found, Refused)
    assert (found.line, found.username) == (2, "")
    assert reason in found.reason


def test_a_line_that_is_not_utf8_is_refused_and_spoils_no_other() -> None:
    found = items(b"username\nzo\xeb\nal\n")
    assert found == [
        Refused(2, "", "is not UTF-8: save the file as CSV in UTF-8"),
        Entry(3, "al", (Held(),)),
    ]


@pytest.mark.parametrize("name", ["=1+1", "+41", "-x", "@SUM(A1)", "=cmd|' /C calc'"])
def test_what_an_office_program_would_reckon_is_text_here(name: str) -> None:
    assert one(f'"{name}",,,') == Entry(2, name, (Held(),))


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("", "has no username"),
        ("\n", "has no username"),
        ("al,bo\n", "has no username"),
        (f"al@example.com,{SECRET}\n", "has no username"),
        ("username;secret\n", "has no username"),
        ("username,secert\n", "unknown columns: 'secert'; there are username, secret, label"),
        ("username,\n", "unknown columns: ''"),
        ("username,Username\n", "names a column twice"),
        ('"username\n', "a quote that is not closed"),
        (b"\xff\xfeu\0s\0\n", "is not UTF-8"),
        ("x" * (MAX_LINE + 1), "has no username"),
    ],
)
def test_without_a_header_nothing_is_read_and_no_secret_is_shown(
    header: str | bytes, reason: str
) -> None:
    with pytest.raises(NotAUserTable) as caught:
        items(header)
    assert reason in str(caught.value)
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)
