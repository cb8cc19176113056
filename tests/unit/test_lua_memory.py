"""What ``auth_tkt.lua`` and ``requests.lua`` remember, and how long a text takes them.

One luajit reads all that a test asks, so that later questions meet what earlier ones left.
"""

from __future__ import annotations

import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.support_programs import require_program
from tests.vectors.readers import LUA, Asked, LuaReader, as_lua
from tests.vectors.tickets import (
    ADDRESS,
    GOOD,
    NOW_S,
    OLD_SECRET,
    OTHER_SECRET,
    READERS,
    SECRET,
    TICKET,
    Reader,
    flipped,
    issued,
)

HEADER = f"theme=dark; auth_tkt={GOOD}"
AL = (TICKET.user, TICKET.scheme)
ENDS_S = TICKET.issued_at + TICKET.lifetime_s


def reader_of(folder: Path, **readers: Reader) -> LuaReader:
    return LuaReader(folder, {name: asdict(reader) for name, reader in readers.items()})


def test_a_remembered_ticket_ends_to_the_second(tmp_path: Path) -> None:
    readers = {
        "plain": (Reader(), ENDS_S),
        "hour": (READERS["absolute timeout of an hour"], TICKET.login_at + 3600),
        "aged": (READERS["max_age of ten minutes"], TICKET.issued_at + 600),
    }
    reader = reader_of(tmp_path, **{name: one for name, (one, _) in readers.items()})
    for name, (_, end_s) in readers.items():
        moments = [end_s - 1, end_s - 1, end_s, end_s + 1, end_s - 1, TICKET.issued_at - 61]
        found = reader.read([Asked(name, moment, ADDRESS, HEADER) for moment in moments])
        assert found == [AL, AL, None, None, AL, None], name


def test_of_two_remembered_tickets_the_one_that_lives_counts(tmp_path: Path) -> None:
    later = issued(user="bo@example.com", issued_at=NOW_S, lifetime_s=9000)
    both = f"{HEADER}; auth_tkt={later}"
    moments = [NOW_S, ENDS_S - 1, ENDS_S, NOW_S + 9000]
    reader = reader_of(tmp_path, plain=Reader())
    found = reader.read([Asked("plain", moment, ADDRESS, both) for moment in moments * 2])
    assert found == [None, None, ("bo@example.com", "ga"), None] * 2


def test_a_ticket_that_is_remembered_for_one_address_is_not_for_another(tmp_path: Path) -> None:
    mine = f"auth_tkt={issued(address='192.0.2.1')}"
    yours = f"auth_tkt={issued(user='bo@example.com', address='2001:db8::7')}"
    both = f"{mine}; {yours}"
    asked = [
        ("192.0.2.1", mine, AL), ("192.0.2.2", mine, None), ("2001:db8::7", mine, None),
        ("", mine, None), ("192.0.2.1", mine, AL), ("192.0.2.1", both, AL),
        ("2001:db8::7", both, ("bo@example.com", "ga")), ("192.0.2.1", both, AL),
        ("192.0.2.3", both, None),
    ]  # fmt: skip
    reader = reader_of(tmp_path, bound=READERS["bound to the address"])
    found = reader.read([Asked("bound", NOW_S, address, header) for address, header, _ in asked])
    assert found == [one for _, _, one in asked]


def test_sites_of_one_process_remember_each_for_itself(tmp_path: Path) -> None:
    """With another secret, hash, scheme or age, what is good at one is not good there."""
    reader = reader_of(
        tmp_path, first=Reader(), secret=Reader(secrets=(OTHER_SECRET, OLD_SECRET)),
        hash=Reader(hashalg="sha256"), scheme=Reader(schemes=("em",)),
        address=Reader(include_ip=True), hour=Reader(absolute_timeout_s=660),
        age=Reader(max_age_s=600), same=Reader(),
    )  # fmt: skip
    others = ["secret", "hash", "scheme", "address", "hour", "age"]
    names = ["first", *others, "same", "first", *others]
    found = reader.read([Asked(name, NOW_S, ADDRESS, HEADER) for name in names])
    assert found == [AL, *[None] * 6, AL, AL, *[None] * 6]


def test_nothing_that_looks_like_a_remembered_ticket_gets_in(tmp_path: Path) -> None:
    forged = [f"theme=dark; auth_tkt={value}" for value in flipped(GOOD)]
    reader = reader_of(tmp_path, plain=Reader())
    headers = [HEADER, *forged, HEADER[:-1], HEADER + "A", HEADER, *forged]
    found = reader.read([Asked("plain", NOW_S, ADDRESS, header) for header in headers])
    assert [place for place, one in enumerate(found) if one] == [0, len(forged) + 3]


# -- memory and time are bounded -------------------------------------------------------------------


def ran(tmp_path: Path, script: str) -> list[str]:
    """Lua with ``check``, ``requests``, GOOD and ``kib()`` -> the words that it wrote"""
    secret_file = tmp_path / "a.secret"
    secret_file.write_text(SECRET)
    before = (
        f"package.path = {as_lua(str(LUA))} .. '/?.lua'\n"
        f"local GOOD = {as_lua('auth_tkt=' + GOOD)}\n"
        "local requests = require('requests')\n"
        "local check = require('auth_tkt').reader({\n"
        f"  secret_file = {as_lua(str(secret_file))}, now_s = function() return {NOW_S} end,\n"
        "})\n"
        "local function kib() collectgarbage() return collectgarbage('count') end\n"
    )
    ended = subprocess.run(
        [require_program("luajit"), "-e", before + script], capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split()


FLOOD = 50_000


def test_a_flood_of_headers_fills_no_memory(tmp_path: Path) -> None:
    """Other cookies beside a good ticket make as many headers as somebody likes.

    All of these would be 45 MiB; and what is refused must not even take the bounded room.
    """
    before, refused, good, user = ran(
        tmp_path,
        "local before = kib()\n"
        f"for number = 1, {FLOOD} do assert(not check(GOOD .. 'A; n=' .. number, '')) end\n"
        "local refused = kib()\n"
        f"for number = 1, {FLOOD} do assert(check(GOOD .. '; n=' .. number, '')) end\n"
        "io.write(before, ' ', refused, ' ', kib(), ' ', check(GOOD, ''), '\\n')",
    )[:4]
    assert float(refused) - float(before) < 256
    assert float(good) - float(before) < 12 * 1024
    assert user == TICKET.user


def test_a_flood_of_header_names_fills_no_memory_and_hides_no_name(tmp_path: Path) -> None:
    before, after = ran(
        tmp_path,
        "local before = kib()\n"
        f"for number = 1, {FLOOD} do\n"
        "  assert(not requests.is_identity('X-Odd-' .. number))\n"
        "  assert(requests.is_identity('Remote-User' .. ('-'):rep(number % 50)))\n"
        "end\n"
        "io.write(before, ' ', kib())",
    )
    assert float(after) - float(before) < 256


HOSTILE = {
    "blanks within": "'a=x' .. (' '):rep(8000) .. 'y'",
    "blanks": "(' '):rep(8000)",
    "tabs": "'a' .. ('\\t '):rep(4000) .. 'b'",
    "semicolons": "(';'):rep(8000)",
    "blanks before a name": "(' '):rep(7900) .. 'auth_tkt=x'",
    "dashes": "'a' .. ('-'):rep(8000) .. 'b'",
    "percents": "'auth_tkt=' .. ('0'):rep(136) .. ('%41'):rep(2600)",
    "exclamations": "'auth_tkt=' .. ('!'):rep(8000)",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_text_takes_long(tmp_path: Path, text: str) -> None:
    """A pattern that trims both ends at once takes 0.1 s for such a header."""
    (seconds,) = ran(
        tmp_path,
        f"local text = {text}\n"
        "local function accept() return text end\n"
        "local began = os.clock()\n"
        "for _ = 1, 50 do\n"
        "  check(text, '') requests.without_cookie(text, 'auth_tkt') requests.is_identity(text)\n"
        "  requests.is_page_load('GET', accept) requests.login_url('/auth', text)\n"
        "end\n"
        "io.write(os.clock() - began)",
    )
    assert float(seconds) < 1


@pytest.mark.parametrize(
    ("header", "rest"),
    [
        ("auth_tkt=x", None),
        ("a=1; auth_tkt=x; b=2", "a=1; b=2"),
        (" auth_tkt =x;\ta=1 ;; ", "a=1 "),
        ("auth_tkt=x; auth_tkt=y", None),
        ("a=1, auth_tkt=x; b=2", "b=2"),
        ("a=1,\tauth_tkt\t=x", None),
        ("my_auth_tkt=1; auth_tkt2=2", "my_auth_tkt=1; auth_tkt2=2"),
        (" ; \t;", None),
        ("", None),
    ],
)
def test_the_site_gets_the_other_cookies(tmp_path: Path, header: str, rest: str | None) -> None:
    said = ran(
        tmp_path,
        f"io.write((('%s'):format(requests.without_cookie({as_lua(header)}, 'auth_tkt'))"
        ":gsub('.', function(byte) return ('%02x'):format(byte:byte()) end)))",
    )
    assert [bytes.fromhex(one).decode() for one in said] == [str(rest).replace("None", "nil")]
