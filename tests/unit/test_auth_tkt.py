"""The ticket: read by its peers, taken back in one form only, aged, and kept in a cookie."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from paste.auth import auth_tkt as paste_tkt
from pyramid import authentication as pyramid_tkt
from pyramid.request import Request

from factored import cookies
from factored.auth_tkt import (
    NO_ADDRESS,
    USER_SAFE,
    TicketCookie,
    TicketFormat,
    bound_address,
    digest,
    expires_at,
    is_current,
)
from factored.interfaces import Ticket
from factored.settings import Settings
from tests.support import NOW_S

SECRET = "a-ticket-secret-for-tests-0123456789abcdef"
OLD_SECRET = "an-older-ticket-secret-0123456789abcdefgh"
TICKET = Ticket(
    user="al@example.com", scheme="ga", issued_at=NOW_S, login_at=NOW_S - 60, lifetime_s=7200,
    remember=False, ticket_id="i" * 22, series="S-_" + "s" * 19,
)  # fmt: skip
DATA = f"{TICKET.login_at:x}.s1c20.{TICKET.ticket_id}.{TICKET.series}"

USERS = ["al", "al@example.com", "Al Smith", "\u00c5lice \u4e2d\U0001f600", "100% al", "a%41b",
         "a,b;c", "a[b]", 'a"b\\c', "+&=~:/?#", "a\tb", USER_SAFE]  # fmt: skip
HASHES = ["sha512", "sha256"]
IPV4 = [NO_ADDRESS, "192.0.2.1", "255.255.255.255"]
IPV6 = ["::1", "2001:db8::7", "::ffff:192.0.2.1"]

relaxed = settings(deadline=None, max_examples=300)


def tickets(*secrets: str, hashalg: str = "sha512", schemes: Any = ("ga", "em")) -> TicketFormat:
    return TicketFormat(lambda: secrets or (SECRET,), hashalg=hashalg, schemes=schemes)


FORMAT = tickets()
VALUE = FORMAT.issue(TICKET)


def signed(user: str = TICKET.user, data: str = DATA, *, scheme: str = "ga", time: str = "",
           quoted: str = "") -> str:  # fmt: skip
    """any parts -> a ticket whose digest is right, in the spelling asked for"""
    made = digest(NO_ADDRESS, int(time or f"{NOW_S:x}", 16), SECRET, user, scheme, data, "sha512")
    return f"{made}{time or f'{NOW_S:08x}'}{quoted or quote(user, safe=USER_SAFE)}!{scheme}!{data}"


# -- peers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("hashalg", HASHES)
@pytest.mark.parametrize("address", IPV4 + IPV6)
@pytest.mark.parametrize("user", USERS)
def test_pyramid_reads_our_tickets(user: str, address: str, hashalg: str) -> None:
    value = tickets(hashalg=hashalg).issue(replace(TICKET, user=user), address)
    read = pyramid_tkt.parse_ticket(SECRET, value, address, hashalg)
    assert read == (NOW_S, user, ["ga"], DATA)


@pytest.mark.parametrize("hashalg", HASHES)
@pytest.mark.parametrize("include_ip", [True, False])
@pytest.mark.parametrize("address", IPV4 + IPV6)
@pytest.mark.parametrize("user", USERS)
def test_pyramid_knows_our_users_by_their_cookie(
    user: str, address: str, include_ip: bool, hashalg: str
) -> None:
    bound = bound_address(address) if include_ip else NO_ADDRESS
    value = tickets(hashalg=hashalg).issue(replace(TICKET, user=user), bound)
    request = Request.blank("/", {"REMOTE_ADDR": address}, headers={"Cookie": f"auth_tkt={value}"})
    helper = pyramid_tkt.AuthTktCookieHelper(SECRET, hashalg=hashalg, include_ip=include_ip)
    identity = helper.identify(request)
    assert identity is not None
    assert (identity["userid"], identity["tokens"]) == (user, ["ga"])
    assert (identity["timestamp"], identity["userdata"]) == (NOW_S, DATA)


@pytest.mark.parametrize("hashalg", HASHES)
@pytest.mark.parametrize("address", IPV4)
@pytest.mark.parametrize("user", USERS)
def test_paste_reads_our_tickets(user: str, address: str, hashalg: str) -> None:
    value = tickets(hashalg=hashalg).issue(replace(TICKET, user=user), address)
    read = paste_tkt.parse_ticket(
        SECRET, value.encode(), address, digest_algo=getattr(hashlib, hashalg)
    )
    assert read == (NOW_S, user, [b"ga"], DATA.encode())


def test_the_bytes_are_those_of_pyramid_where_both_need_no_quoting() -> None:
    theirs = pyramid_tkt.AuthTicket(
        SECRET, "al", "192.0.2.1", tokens=("ga",), user_data=DATA, time=NOW_S, hashalg="sha512"
    )
    assert FORMAT.issue(replace(TICKET, user="al"), "192.0.2.1") == theirs.cookie_value()


@pytest.mark.parametrize("hashalg", HASHES)
@pytest.mark.parametrize("tokens", [(), ("ga",), ("ga", "em")])
@pytest.mark.parametrize("data", ["", "userid_type:b64unicode", f"userid_type:x|{DATA}"])
def test_tickets_of_pyramid_without_our_user_data_are_refused(
    data: str, tokens: tuple[str, ...], hashalg: str
) -> None:
    theirs = pyramid_tkt.AuthTicket(
        SECRET, "al", NO_ADDRESS, tokens=tokens, user_data=data, time=NOW_S, hashalg=hashalg
    )
    assert tickets(hashalg=hashalg).parse(theirs.cookie_value()) is None


# -- what is issued comes back -----------------------------------------------------------------


@relaxed
@given(
    user=st.text(min_size=1, max_size=20).filter(lambda text: "\0" not in text),
    times=st.tuples(*[st.integers(0, 0xFFFFFFFF)] * 3),
    remember=st.booleans(),
    address=st.sampled_from(IPV4 + IPV6),
    hashalg=st.sampled_from(HASHES),
)
@example("!", (0, 0, 0), False, NO_ADDRESS, "sha512")
def test_what_was_issued_is_taken_back_as_it_was(
    user: str, times: tuple[int, int, int], remember: bool, address: str, hashalg: str
) -> None:
    ticket = replace(
        TICKET, user=user, issued_at=times[0], login_at=times[1], lifetime_s=times[2],
        remember=remember, scheme="em",
    )  # fmt: skip
    form = tickets(hashalg=hashalg)
    value = form.issue(ticket, address)
    assert form.parse(value, address) == ticket
    assert value.isascii()
    assert not set(value) & set(' ",;\\[]\r\n')


def test_the_first_secret_signs_and_every_listed_one_verifies() -> None:
    both = tickets(SECRET, OLD_SECRET)
    assert both.issue(TICKET) == VALUE != tickets(OLD_SECRET).issue(TICKET)
    assert both.parse(tickets(OLD_SECRET).issue(TICKET)) == TICKET
    assert tickets(OLD_SECRET).parse(VALUE) is None


def test_secrets_are_asked_for_anew_each_time() -> None:
    secrets = [SECRET]
    form = TicketFormat(lambda: tuple(secrets), hashalg="sha512", schemes=["ga"])
    assert form.parse(VALUE) == TICKET
    secrets[:] = [OLD_SECRET]
    assert form.parse(VALUE) is None
    assert form.issue(TICKET) == tickets(OLD_SECRET).issue(TICKET)


def test_a_user_name_with_nul_is_not_issued() -> None:
    with pytest.raises(ValueError, match="NUL"):
        FORMAT.issue(replace(TICKET, user="a\0b"))


# -- one spelling only -------------------------------------------------------------------------


@pytest.mark.parametrize("place", range(len(VALUE)))
def test_a_ticket_cut_short_is_refused(place: int) -> None:
    assert FORMAT.parse(VALUE[:place]) is None
    assert FORMAT.parse(VALUE[place + 1 :]) is None


@relaxed
@given(st.integers(0, len(VALUE) - 1), st.characters())
@example(0, VALUE[0].upper())
@example(len(VALUE) - 1, "\n")
def test_a_ticket_with_one_other_character_is_refused(place: int, char: str) -> None:
    altered = VALUE[:place] + char + VALUE[place + 1 :]
    assert altered == VALUE or FORMAT.parse(altered) is None
    assert FORMAT.parse(VALUE[:place] + char + VALUE[place:]) is None


@relaxed
@given(st.text(st.characters(), max_size=40), st.integers(0, 150))
@example("\ud800", 0)
def test_junk_is_refused_and_never_an_error(junk: str, digits: int) -> None:
    for value in (junk, "0" * digits + junk, f"{VALUE[:136]}{junk}!ga!{DATA}", f"{VALUE}{junk}!"):
        assert FORMAT.parse(value) is None


@pytest.mark.parametrize(
    "value",
    [
        VALUE.upper(), VALUE[:136].upper() + VALUE[136:], f'"{VALUE}"', f" {VALUE}", f"{VALUE} ",
        f"{VALUE}\n", f"{VALUE}!", VALUE.replace("!ga!", "!"), VALUE.replace("!ga!", "!ga,em!"),
        VALUE.replace("!ga!", "!!"), VALUE.replace("!ga!", "!em!"), VALUE.replace("al@", "al%40"),
        f"{'0' * 128}{VALUE[128:]}",
    ],
)  # fmt: skip
def test_an_altered_spelling_is_refused(value: str) -> None:
    assert FORMAT.parse(value) is None


def test_the_helper_of_these_tests_signs_as_the_code_does() -> None:
    assert signed() == VALUE
    assert FORMAT.parse(signed(time="00001234")) == replace(TICKET, issued_at=0x1234)


@pytest.mark.parametrize(
    "time",
    ["+0001234", "0x001234", "0X001234", "000_1234", " 0001234", "0001234 ",
     "\t0001234", "0000ABCD", "000\u0661234\u0661", "0000\uff11234"],
)  # fmt: skip
def test_times_that_python_would_read_are_refused_though_signed(time: str) -> None:
    assert int(time, 16) is not None
    assert FORMAT.parse(signed(time=time)) is None


@pytest.mark.parametrize("at", ["+1", "0x1", "1_2", "01", "-1", "", " 1", "1 ", "A", "1" * 9,
                                "\u0661", "1.0"])  # fmt: skip
def test_numbers_in_the_user_data_have_one_form_though_signed(at: str) -> None:
    tail = f"{TICKET.ticket_id}.{TICKET.series}"
    assert FORMAT.parse(signed(data=f"1.s1.{tail}")) is not None
    assert FORMAT.parse(signed(data=f"{at}.s1.{tail}")) is None
    assert FORMAT.parse(signed(data=f"1.s{at}.{tail}")) is None


@pytest.mark.parametrize(
    "data",
    ["", "x", f"{DATA}.", f"{DATA}.x", f"x.{DATA}", DATA.replace(".s", "."),
     DATA.replace(".s", ".S"), DATA.replace(".s", ".t"), DATA.replace("i" * 22, "i" * 21),
     DATA.replace("i" * 22, "i" * 23), DATA.replace("i" * 22, "=" * 22), DATA[:-1],
     f"{DATA}s", f"{DATA}!", f"{DATA}\n", f"{DATA}\0",
     DATA.replace(".", "|")],
)  # fmt: skip
def test_other_user_data_are_refused_though_signed(data: str) -> None:
    assert FORMAT.parse(signed(data=data)) is None


@pytest.mark.parametrize(
    ("user", "quoted"),
    [
        ("al@example.com", "al%40example.com"), ("al", "%61l"), ("al", "a%6C"),
        ("\u00e9", "%c3%a9"), ("\u00e9", "\u00e9"), ("a b", "a b"), ("a b", "a+b"), ("%", "%"),
        ("a[b", "a[b"), ('a"b', 'a"b'), ("a;b", "a;b"), ("a\nb", "a\nb"), ("a\0b", "a%00b"),
        ("a!b", "a!b"),
    ],
)  # fmt: skip
def test_a_name_in_another_spelling_is_refused_though_signed(user: str, quoted: str) -> None:
    assert FORMAT.parse(signed(user, quoted=quoted)) is None


@pytest.mark.parametrize("quoted", ["%ff", "%C3", "a%ED%A0%80", "%"])
def test_a_name_that_is_not_utf8_is_refused(quoted: str) -> None:
    assert FORMAT.parse(signed("x", quoted=quoted)) is None


@pytest.mark.parametrize("scheme", ["em", "", "g", "gaa", "GA", "ga,em", ".*", "sms"])
def test_a_scheme_that_this_gate_does_not_support_is_refused(scheme: str) -> None:
    assert tickets(schemes=["ga"]).parse(signed(scheme=scheme)) is None
    assert tickets(schemes=["g."]).parse(VALUE) is None


@pytest.mark.parametrize(
    ("issued_for", "shown_from"),
    [("192.0.2.1", "192.0.2.2"), ("192.0.2.1", NO_ADDRESS), (NO_ADDRESS, "192.0.2.1"),
     ("::1", "::2"), ("::1", NO_ADDRESS)],
)  # fmt: skip
def test_a_ticket_of_another_address_is_refused(issued_for: str, shown_from: str) -> None:
    value = FORMAT.issue(TICKET, issued_for)
    assert FORMAT.parse(value, issued_for) == TICKET
    assert FORMAT.parse(value, shown_from) is None


def test_a_ticket_of_another_hash_is_refused() -> None:
    for made, read in (HASHES, HASHES[::-1]):
        assert tickets(hashalg=read).parse(tickets(hashalg=made).issue(TICKET)) is None


@pytest.mark.parametrize(
    ("remote", "bound"),
    [
        ("192.0.2.1", "192.0.2.1"), ("0.0.0.0", "0.0.0.0"), ("255.255.255.255", "255.255.255.255"),
        ("::1", "::1"), ("2001:db8::7", "2001:db8::7"), ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
        ("fe80::1%eth0", "fe80::1%eth0"), ("", NO_ADDRESS), ("unix", NO_ADDRESS),
        ("256.0.0.1", NO_ADDRESS), ("1.2.3", NO_ADDRESS), ("1.2.3.4.5", NO_ADDRESS),
        ("1.2.3.4.", NO_ADDRESS), ("1.2.3.4\n", NO_ADDRESS), ("\u0661.2.3.4", NO_ADDRESS),
        ("::\u00e9", NO_ADDRESS), ("a.b.c.d", NO_ADDRESS),
    ],
)  # fmt: skip
def test_what_a_ticket_is_bound_to(remote: str, bound: str) -> None:
    assert bound_address(remote) == bound
    assert FORMAT.parse(FORMAT.issue(TICKET, bound), bound) == TICKET


# -- age ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ahead_s", "good"), [(59, True), (60, True), (61, False)])
def test_a_ticket_may_be_a_minute_ahead_of_this_clock(ahead_s: int, good: bool) -> None:
    ticket = replace(TICKET, issued_at=NOW_S + ahead_s, login_at=NOW_S)
    assert is_current(ticket, NOW_S, 86400) is good


@pytest.mark.parametrize(("offset", "good"), [(-1, True), (0, True), (1, False)])
def test_a_login_is_never_later_than_its_ticket(offset: int, good: bool) -> None:
    assert is_current(replace(TICKET, login_at=TICKET.issued_at + offset), NOW_S, 86400) is good


@pytest.mark.parametrize(("offset", "good"), [(-1, True), (-0.001, True), (0, False), (1, False)])
@pytest.mark.parametrize(
    ("lifetime_s", "absolute_s", "ends_at"),
    [
        (7200, 86400, NOW_S + 7200),
        (7200, 7260, NOW_S + 7200),
        (7200, 7259, NOW_S + 7199),  # counted from the login, a minute before
        (86400, 3600, NOW_S + 3540),
    ],
)
def test_a_ticket_ends_with_its_lifetime_and_never_past_the_absolute_timeout(
    lifetime_s: int, absolute_s: int, ends_at: int, offset: float, good: bool
) -> None:
    ticket = replace(TICKET, lifetime_s=lifetime_s)
    assert expires_at(ticket, absolute_s) == ends_at
    assert is_current(ticket, ends_at + offset, absolute_s) is good


# -- the cookie --------------------------------------------------------------------------------


def cookie(**changes: Any) -> TicketCookie:
    return TicketCookie(Settings(key_file=Path("k"), sqlalchemy={}, **changes))


def domains(lines: list[str]) -> list[str | None]:
    """Set-Cookie texts -> their domains; None is host-only"""
    return [
        next((part[7:] for part in line.split("; ") if part.startswith("Domain=")), None)
        for line in lines
    ]


def test_a_cookie_says_what_the_settings_say() -> None:
    assert cookie().set_lines("v", "a.test", max_age_s=None) == [
        "auth_tkt=v; Path=/; Secure; HttpOnly; SameSite=Lax"
    ]
    changed = cookie(
        cookie_name="n", cookie_path="/p", cookie_secure=False, cookie_http_only=False,
        cookie_samesite="Strict",
    )  # fmt: skip
    assert changed.set_lines("v", "a.test", max_age_s=60) == [
        "n=v; Path=/p; Max-Age=60; SameSite=Strict"
    ]


@pytest.mark.parametrize(
    ("changes", "host", "set_for", "removed_for"),
    [
        ({}, "a.test", [None], [None]),
        ({"wild_domain": True}, "www.A.test", ["www.a.test"], ["www.a.test", None]),
        ({"wild_domain": True}, " a.test:8080 ", ["a.test"], ["a.test", None]),
        ({"wild_domain": True}, "localhost", [None], [None]),
        ({"wild_domain": True}, "localhost:8000", [None], [None]),
        ({"wild_domain": True}, "192.0.2.1", [None], [None]),
        ({"wild_domain": True}, "192.0.2.1:80", [None], [None]),
        ({"wild_domain": True}, "[2001:db8::1]:80", [None], [None]),
        ({"wild_domain": True}, "", [None], [None]),
        ({"wild_domain": True}, "a.test;x=y", [None], [None]),
        ({"wild_domain": True}, "a.test\r\nX: y", [None], [None]),
        ({"cookie_domain": "a.test"}, "a.test", ["a.test"], ["a.test", None]),
        ({"cookie_domain": "a.test"}, "www.a.test:80", ["a.test"], ["a.test", None]),
        # a browser refuses a domain that does not cover the host: it gets its own as well
        ({"cookie_domain": "a.test"}, "b.test", ["a.test", None], ["a.test", None]),
        ({"cookie_domain": "a.test"}, "xa.test", ["a.test", None], ["a.test", None]),
        ({"cookie_domain": "www.a.test"}, "a.test", ["www.a.test", None], ["www.a.test", None]),
        ({"cookie_domain": "a.test"}, "localhost", ["a.test", None], ["a.test", None]),
        (
            {"cookie_domain": "a.test", "wild_domain": True}, "www.a.test",
            ["a.test", "www.a.test"], ["a.test", "www.a.test", None],
        ),
        ({"cookie_domain": "a.test", "wild_domain": True}, "a.test", ["a.test"], ["a.test", None]),
    ],
)  # fmt: skip
def test_a_cookie_goes_to_the_domains_that_cover_the_host_and_leaves_all(
    changes: dict[str, Any], host: str, set_for: list[str | None], removed_for: list[str | None]
) -> None:
    made = cookie(**changes)
    assert domains(made.set_lines("v", host, max_age_s=None)) == set_for
    removed = made.expire_lines(host)
    assert domains(removed) == removed_for
    assert all(line.startswith("auth_tkt=; Path=/; ") and "Max-Age=0" in line for line in removed)


# -- what was never issued ---------------------------------------------------------------------

FUZZED = 100_000
OTHER = replace(
    TICKET, user="bo@example.com", scheme="em", issued_at=NOW_S + 1, login_at=NOW_S - 61,
    lifetime_s=86400, remember=True, ticket_id="j" * 22, series="t" * 22,
)  # fmt: skip


def parts_of(value: str) -> list[str]:
    """ticket -> digest, time, user, scheme, and the fields of its user data"""
    user, scheme, data = value[136:].split("!")
    login, lifetime, ticket_id, series = data.split(".")
    return [value[:128], value[128:136], user, scheme, login, lifetime, ticket_id, series]


def joined(parts: Sequence[str]) -> str:
    made, time, user, scheme, *data = parts
    return f"{made}{time}{user}!{scheme}!{'.'.join(data)}"


def test_no_mixture_of_two_good_tickets_is_good() -> None:
    """Nor the same parts in another order, nor with their ends elsewhere."""
    mine, other = parts_of(VALUE), parts_of(FORMAT.issue(OTHER))
    assert joined(mine) == VALUE
    good = [
        value
        for picked in itertools.product(*zip(mine, other, strict=True))
        if FORMAT.parse(value := joined(picked)) is not None
    ]
    assert good == [VALUE, joined(other)]
    for one, next_one in itertools.pairwise(range(len(mine))):
        for shift in range(1, 4):
            moved = mine.copy()
            moved[next_one] = mine[one][-shift:] + mine[next_one]
            moved[one] = mine[one][:-shift]
            altered = joined(moved)
            assert altered == VALUE or FORMAT.parse(altered) is None
            swapped = mine.copy()
            swapped[one], swapped[next_one] = mine[next_one], mine[one]
            assert FORMAT.parse(joined(swapped)) is None


@pytest.mark.parametrize("bit", range(8))
def test_a_ticket_with_one_flipped_bit_is_refused(bit: int) -> None:
    for place, char in enumerate(VALUE):
        altered = VALUE[:place] + chr(ord(char) ^ 1 << bit) + VALUE[place + 1 :]
        assert FORMAT.parse(altered) is None


@pytest.mark.parametrize("scheme", ["ga", "em"])
@pytest.mark.parametrize("hashalg", HASHES)
def test_whoever_has_no_secret_cannot_sign(hashalg: str, scheme: str) -> None:
    form = tickets(hashalg=hashalg)
    for guess in ("", " ", "secret", SECRET[:-1], SECRET + " ", SECRET.upper(), OLD_SECRET):
        forged = tickets(guess, hashalg=hashalg).issue(replace(TICKET, scheme=scheme))
        assert form.parse(forged) is None
    value = form.issue(replace(TICKET, scheme=scheme))
    size = hashlib.new(hashalg).digest_size * 2
    for digits in ("0" * size, "f" * size, value[:size][::-1], value[: size - 1], value[:size] * 2):
        assert form.parse(digits + value[size:]) is None


def altered(chance: random.Random, value: str) -> str:
    """ticket -> the same with up to four alterations of any kind, anywhere"""
    for _ in range(chance.randint(1, 4)):
        place, end = sorted(chance.choices(range(len(value) + 1), k=2))
        piece = value[place:end]
        match chance.randrange(7):
            case 0:
                value = value[:place] + chr(chance.randrange(256)) + value[place + 1 :]
            case 1:
                value = value[:place] + chr(chance.randrange(256)) + value[place:]
            case 2:
                value = value[:place] + value[end:]
            case 3:
                value = value[:place] + piece + piece + value[end:]
            case 4:
                value = value[:place] + piece[::-1] + value[end:]
            case 5:
                value = value[:place] + piece.swapcase() + value[end:]
            case _:
                value = value[end:] + value[:end]
    return value


def test_a_hundred_thousand_altered_tickets_are_refused_and_none_is_an_error() -> None:
    chance, form = random.Random(4), tickets(SECRET, OLD_SECRET)
    issued = {VALUE, form.issue(OTHER), form.issue(replace(TICKET, user="al"))}
    good = sorted(issued)
    for _ in range(FUZZED):
        value = altered(chance, chance.choice(good))
        # As the gate sees it: in a header, with whatever else is there.
        found = list(cookies.values(f"a=b; auth_tkt={value}", "auth_tkt"))
        assert value in issued or not any(form.parse(one) for one in found if one not in issued)
