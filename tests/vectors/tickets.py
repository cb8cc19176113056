"""The test vectors: what is in a Cookie header, and what each reader must make of it.

Readers are the gate, ``web-servers/lua/auth_tkt.lua`` and Apache's mod_auth_tkt. The last is laxer,
so a vector says what it makes of it where that is something else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from factored.auth_tkt import NO_ADDRESS, USER_SAFE, TicketFormat
from factored.interfaces import Ticket

NOW_S = 1_800_000_000
"""What every reader's clock says."""
SECRET = "a-ticket-secret-for-vectors-0123456789abcdef"
OLD_SECRET = "an-older-ticket-secret-for-vectors-0123456789"
OTHER_SECRET = "the-ticket-secret-of-somebody-else-0123456789"
ADDRESS = "192.0.2.1"
HOUR_S = 3600
DAY_S = 86400

TICKET = Ticket(
    user="al@example.com", scheme="ga", issued_at=NOW_S - 600, login_at=NOW_S - 660,
    lifetime_s=7200, remember=False, ticket_id="i" * 22, series="S-_" + "s" * 19,
)  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """How a reader is set up. The gate knows no max_age; mod_auth_tkt always has a time-out."""

    hashalg: str = "sha512"
    secrets: tuple[str, ...] = (SECRET,)
    schemes: tuple[str, ...] = ("em", "ga")
    include_ip: bool = False
    absolute_timeout_s: int = DAY_S
    max_age_s: int | None = None
    mod_auth_tkt_timeout_s: int = 7200


READERS = {
    "sha512": Reader(),
    "sha256": Reader(hashalg="sha256"),
    "two secrets": Reader(secrets=(SECRET, OLD_SECRET)),
    "one scheme": Reader(schemes=("ga",)),
    "bound to the address": Reader(include_ip=True),
    "bound to the address, sha256": Reader(include_ip=True, hashalg="sha256"),
    "absolute timeout of an hour": Reader(absolute_timeout_s=HOUR_S),
    "max_age of ten minutes": Reader(max_age_s=600, mod_auth_tkt_timeout_s=600),
}

Found = tuple[str, str] | None
"""User and scheme, or None: refused."""


@dataclass(frozen=True)
class Vector:
    """Some Cookie headers of which the same holds; each character of them is one byte."""

    name: str
    headers: tuple[str, ...]
    reader: str
    address: str
    gate: Found
    lua: Found
    mod_auth_tkt: Found


def issued(*, secret: str = SECRET, hashalg: str = "sha512", address: str = NO_ADDRESS,
           **changed: Any) -> str:  # fmt: skip
    """changed facts -> cookie value of a ticket, as factored issues it"""
    ticket = replace(TICKET, **changed)
    form = TicketFormat(lambda: (secret,), hashalg=hashalg, schemes=(ticket.scheme,))
    return form.issue(ticket, address)


GOOD = issued()
DATA = GOOD.rpartition("!")[2]


def signed(
    user: str | bytes = TICKET.user,
    data: str = DATA,
    *,
    scheme: str = "ga",
    time: str = f"{TICKET.issued_at:08x}",
    spelled: str | None = None,
) -> str:
    """any parts -> cookie value whose digest is right, in the spelling asked for

    Bytes are for names that are no text.
    """
    name = user.encode() if isinstance(user, str) else user
    key, at = SECRET.encode(), int(time, 16).to_bytes(4, "big")
    place = bytes(map(int, NO_ADDRESS.split("."))) + at
    body = b"\0".join((name, scheme.encode(), data.encode()))
    inner = hashlib.sha512(place + key + body).hexdigest().encode()
    made = hashlib.sha512(inner + key).hexdigest()
    user_part = quote(user, safe=USER_SAFE) if spelled is None else spelled
    return f"{made}{time}{user_part}!{scheme}!{data}"


def parts_of(value: str) -> list[str]:
    """sha512 ticket -> its parts, with what stands between them"""
    user, scheme, data = value[136:].split("!")
    login, lifetime, ticket_id, series = data.split(".")
    return [value[:128], value[128:136], user, "!", scheme, "!", login, ".", lifetime, ".",
            ticket_id, ".", series]  # fmt: skip


def flipped(value: str) -> list[str]:
    """ticket -> the same with the lowest bit changed, once in each part and each separator"""
    parts = parts_of(value)
    made = []
    for place, part in enumerate(parts):
        middle = len(part) // 2
        other = part[:middle] + chr(ord(part[middle]) ^ 1) + part[middle + 1 :]
        made.append("".join([*parts[:place], other, *parts[place + 1 :]]))
    return made


SAME = ("the same", "as the gate")


def vector(
    name: str,
    *values: str,
    gate: Found = None,
    lua: Found = SAME,
    mod_auth_tkt: Found = SAME,
    reader: str = "sha512",
    address: str = ADDRESS,
    headers: Sequence[str] = (),
) -> Vector:
    """name, cookie values (or whole headers) -> Vector; not told otherwise, all read the same"""
    return Vector(
        name,
        (*(f"auth_tkt={value}" for value in values), *headers),
        reader,
        address,
        gate,
        gate if lua is SAME else lua,
        gate if mod_auth_tkt is SAME else mod_auth_tkt,
    )


AL = (TICKET.user, "ga")


def good() -> list[Vector]:
    remembered = issued(remember=True, lifetime_s=DAY_S)
    return [
        vector("a good ticket", GOOD, gate=AL),
        vector("a good ticket of sha256", issued(hashalg="sha256"), gate=AL, reader="sha256"),
        vector("issued this second", issued(issued_at=NOW_S, login_at=NOW_S), gate=AL),
        vector("with remember me", remembered, gate=AL),
        vector("of the one scheme", GOOD, gate=AL, reader="one scheme"),
        vector("by Email", issued(scheme="em"), gate=(TICKET.user, "em")),
        vector("signed with the older secret", issued(secret=OLD_SECRET), gate=AL,
               reader="two secrets"),
        vector("signed with the newer secret", GOOD, gate=AL, reader="two secrets"),
        vector("among other cookies", gate=AL, headers=[
            f"a=b; auth_tkt={GOOD}", f"auth_tkt={GOOD}; a=b", f"a=b;  auth_tkt={GOOD}; c=d",
            f"xauth_tkt=0; auth_tkt={GOOD}", f"auth_tkt=; auth_tkt={GOOD}",
        ]),
        vector("tabs around it, or blanks behind it", gate=AL, mod_auth_tkt=None, headers=[
            f"a=b;\tauth_tkt={GOOD}\t; c=d", f"a=b; auth_tkt={GOOD} ; c=d"]),
        vector("no blank before it", gate=AL, headers=[f"a=b;auth_tkt={GOOD}"]),
    ]  # fmt: skip


def names() -> list[Vector]:
    """mod_auth_tkt does not unquote, so who is quoted cannot be known there."""
    plain = ["al", "Al.Smith_1-x~", "al+site@example.com", "a/b", "a:b", "a=b", "$&*(){}|^`<>?#'"]
    quoted = ["Al Smith", "\u00e9", "\u00c5lice \u4e2d\U0001f600", "100% al", "a%41b", "a[b]",
              'a"b\\c', "a,b;c", "a\tb", "a!b", "\x7f"]  # fmt: skip
    # By its strict rules for what is UTF-8 a reader shows whether it has them right.
    edges = ["\u0080", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\uffff", "\U00010000", "\U0010ffff"]
    return [
        *(vector(f"the user {user!a}", issued(user=user), gate=(user, "ga")) for user in plain),
        *(
            vector(f"the user {user!a}", issued(user=user), gate=(user, "ga"), mod_auth_tkt=None)
            for user in quoted
        ),
        *(
            vector(f"the user {user!a}", issued(user=user), gate=(user, "ga"), mod_auth_tkt=None)
            for user in edges
        ),
    ]


def times() -> list[Vector]:
    def aged(age_s: int, **changed: Any) -> str:
        return issued(issued_at=NOW_S - age_s, login_at=NOW_S - age_s, **changed)

    def ahead(ahead_s: int) -> str:
        return issued(issued_at=NOW_S + ahead_s, login_at=NOW_S)

    hour, remember = {"lifetime_s": HOUR_S}, {"remember": True, "lifetime_s": DAY_S}
    ten_minutes = "max_age of ten minutes"
    absolute = "absolute timeout of an hour"
    return [
        vector("one second before its end", aged(7199), gate=AL),
        # mod_auth_tkt sees its own time-out and not the ticket's, and that a second later.
        vector("at its end", aged(7200), mod_auth_tkt=AL),
        vector("one second after its end", aged(7201)),
        vector("long over", aged(10 * DAY_S)),
        vector("of another century", aged(NOW_S)),
        vector("a shorter life, one second before its end", aged(3599, **hour), gate=AL),
        vector("a shorter life, at its end", aged(3600, **hour), mod_auth_tkt=AL),
        vector("a life of nothing", aged(0, lifetime_s=0), mod_auth_tkt=AL),
        vector("remembered, older than the time-out of mod_auth_tkt", aged(7201, **remember),
               gate=AL, mod_auth_tkt=None),
        vector("remembered, one second before its end", aged(DAY_S - 1, **remember), gate=AL,
               mod_auth_tkt=None),
        vector("remembered, at its end", aged(DAY_S, **remember)),
        vector("the latest times that can be written", signed(
            data=DATA.replace(f"{TICKET.login_at:x}.s1c20", f"{TICKET.login_at:x}.sffffffff")),
            gate=AL),
        vector("one second before the absolute timeout",
               issued(login_at=NOW_S - 3599), gate=AL, reader=absolute),
        vector("at the absolute timeout", issued(login_at=NOW_S - 3600), reader=absolute,
               mod_auth_tkt=AL),
        vector("past the absolute timeout", issued(login_at=NOW_S - 3601), reader=absolute,
               mod_auth_tkt=AL),
        vector("past the absolute timeout of a day, renewed just now",
               issued(issued_at=NOW_S, login_at=NOW_S - DAY_S, **remember), mod_auth_tkt=AL),
        vector("60 seconds ahead", ahead(60), gate=AL),
        vector("61 seconds ahead", ahead(61), mod_auth_tkt=AL),
        vector("an hour ahead", ahead(3600), mod_auth_tkt=AL),
        vector("a day ahead", ahead(DAY_S), mod_auth_tkt=AL),
        vector("a year ahead", ahead(365 * DAY_S), mod_auth_tkt=AL),
        vector("as far ahead as can be", ahead(0xFFFFFFFF - NOW_S)),
        vector("a login after the issue", issued(login_at=TICKET.issued_at + 1), mod_auth_tkt=AL),
        vector("one second before max_age", aged(599), gate=AL, reader=ten_minutes),
        vector("at max_age", aged(600), gate=AL, lua=None, reader=ten_minutes),
        vector("past max_age", aged(601, **remember), gate=AL, lua=None, mod_auth_tkt=None,
               reader=ten_minutes),
    ]  # fmt: skip


def forged() -> list[Vector]:
    zeros = "0" * 72
    return [
        vector("signed by somebody else", issued(secret=OTHER_SECRET)),
        vector("signed with a dropped secret", issued(secret=OLD_SECRET)),
        vector("signed with a start of the secret", issued(secret=SECRET[:-1])),
        vector("signed with no secret", issued(secret="")),
        vector("one bit changed", *flipped(GOOD)),
        vector("cut short", *(GOOD[:length] for length in range(len(GOOD)))),
        vector("its start cut off", *(GOOD[length:] for length in range(1, len(GOOD), 7))),
        vector("something behind it", *(GOOD + more for more in ("x", "!", ".", "!x", "%20", "="))),
        vector("72 zeros", zeros),
        vector("digests of one digit", *(f"{digit * 128}{GOOD[128:]}" for digit in "0f")),
        vector("digits only", "0" * 136, "f" * 136, "0" * 400),
        vector("another hash", issued(hashalg="sha256"), issued(hashalg="md5")),
        vector("another hash, the other way", GOOD, reader="sha256"),
        vector("a digest of sha256, doubled", issued(hashalg="sha256")[:64] * 2 + GOOD[128:]),
        vector("the user of another ticket", GOOD.replace("al@", "bo@")),
        vector("user and scheme moved", GOOD.replace("com!ga", "co!mga")),
        vector("a longer life", GOOD.replace(".s1c20.", ".s15180.")),
        vector("remembered by itself", GOOD.replace(".s1c20.", ".r1c20.")),
        vector("renewed by itself", f"{GOOD[:128]}{NOW_S:08x}{GOOD[136:]}"),
        vector("empty", "", headers=["", "auth_tkt", "auth_tkt;", ";", "=", "; ; ;", "a=b"]),
        vector("another name", headers=[
            f"auth_tk={GOOD}", f"AUTH_TKT={GOOD}", f"auth_tkt ={GOOD}", f"auth-tkt={GOOD}"]),
    ]  # fmt: skip


def spelled() -> list[Vector]:
    """Not the one form that the gate takes, though the digest is right where that is possible."""
    head, time = GOOD[:128], GOOD[128:136]
    rest = GOOD[136:]
    tail = DATA.partition(".s")[2].partition(".")[2]
    login = f"{TICKET.login_at:x}"
    return [
        vector("a digest in upper case", head.upper() + time + rest),
        vector("a time in upper case", head + time.upper() + rest, mod_auth_tkt=AL),
        vector("a scheme in upper case", GOOD.replace("!ga!", "!GA!")),
        vector("all in upper case", GOOD.upper()),
        vector("quotes around it", f'"{GOOD}"', mod_auth_tkt=AL),
        vector("a quote before it", f'"{GOOD}', mod_auth_tkt=AL),
        vector("a quote behind it", f'{GOOD}"', mod_auth_tkt=AL),
        vector("a time of 1 with a sign", signed(time="+0000001")),
        vector("a time of 1 with 0x", signed(time="0x000001")),
        vector("a time with a sign", signed(time="+" + f"{TICKET.issued_at:x}"[1:])),
        vector("a login time with a sign", signed(data=f"+{login}.s1c20.{tail}"), mod_auth_tkt=AL),
        vector("a login time with 0x", signed(data=f"0x{login}.s1c20.{tail}"), mod_auth_tkt=AL),
        vector("a login time with a zero before it", signed(data=f"0{login}.s1c20.{tail}"),
               signed(data=f"00.s1c20.{tail}"), mod_auth_tkt=AL),
        vector("a login time in upper case", signed(data=f"{login.upper()}.s1c20.{tail}"),
               mod_auth_tkt=AL),
        vector("a login time of nine digits", signed(data=f"1{login}.s1c20.{tail}"),
               mod_auth_tkt=AL),
        vector("a lifetime in another form", *(
            signed(data=f"{login}.s{lifetime}.{tail}")
            for lifetime in ("+1c20", "0x1c20", "01c20", "1C20", "1_c20", "", "-1", "1c20.", "1.0")
        ), mod_auth_tkt=AL),
        vector("another flag", *(
            signed(data=f"{login}.{flag}1c20.{tail}") for flag in ("", "R", "S", "t", "rs")
        ), mod_auth_tkt=AL),
        vector("ids of another length or kind", *(
            signed(data=f"{login}.s1c20.{ids}")
            for ids in (tail[:-1], f"{tail}x", tail[1:], tail.replace("i", "=", 1), f"{tail}.x",
                        tail.replace(".", ""), "", ".", f"{tail}=", f"x.{tail}")
        ), mod_auth_tkt=AL),
        vector("no user data", signed(data=""), mod_auth_tkt=AL),
        vector("user data of others", signed(data="userid_type:b64unicode"), mod_auth_tkt=AL),
        vector("no tokens", signed(scheme=""), signed(scheme="").replace("!!", "!")),
        vector("two tokens", signed(scheme="ga,em"), signed(scheme="em,ga"), mod_auth_tkt=AL),
        vector("two tokens, the comma quoted", signed(scheme="ga,em").replace(",", "%2c")),
        vector("a scheme that is none", signed(scheme="g"), signed(scheme="gaa"),
               signed(scheme=".*"), signed(scheme="g.")),
        vector("a scheme that is not supported", issued(scheme="em"), reader="one scheme"),
        vector("no user", signed(user=""), mod_auth_tkt=("", "ga")),
        vector("no user, and no tokens", signed(user="", scheme="")),
        vector("a name quoted that needs none", signed(spelled="al%40example.com"),
               signed(spelled="%61l@example.com")),
        vector("a name quoted in lower case", signed(user="\u00e9", spelled="%c3%a9")),
        *(
            vector(f"a name that should be quoted, {user!a}", signed(user=user, spelled=user),
                   mod_auth_tkt=(user, "ga"))
            for user in ("a b", "a[b", 'a"b', "%", "%4", "%zz", "a,b", "a\\b", "a\tb", "a%41b")
        ),
        vector("a name that should be quoted, in UTF-8", mod_auth_tkt=("\u00e9", "ga"),
               headers=["auth_tkt=" + signed(user="\u00e9", spelled="\u00c3\u00a9")]),
        vector("a blank as plus", signed(user="a b", spelled="a+b")),
        vector("a name that holds a separator", signed(user="a!ga", spelled="a!ga")),
        vector("a name that is not UTF-8", signed(b"\xff"), *(signed(b"x" + odd) for odd in (
            b"\x80", b"\xbf", b"\xc3", b"\xc0\xaf", b"\xc1\xbf", b"\xe0\x80\xaf", b"\xe0\x9f\xbf",
            b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xe2\x82", b"\xf0\x80\x80\xaf",
            b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xf0\x9f\x98",
            b"\xc3(", b"\xe2(\xa1", b"\xe2\x82\xc0", b"\xf0\x9f\x98\xc0", b"\xf0\x9f(\x80"))),
        vector("NUL in the name, quoted", signed(user="al\0", spelled="al%00"),
               signed(user="al\0x", spelled="al%00x")),
        vector("NUL in the name", signed(user="al\0", spelled="al\0")),
        vector("NUL in it", f"{GOOD}\0", GOOD.replace("!ga", "\0!ga"), f"\0{GOOD}",
               f"{GOOD[:136]}\0{GOOD[136:]}", headers=[f"auth_tkt={GOOD}\0; a=b"]),
        vector("bytes that are not ASCII", f"{GOOD}\xff", f"\xe9{GOOD}",
               GOOD.replace("al@", "\xe9l@"), GOOD.replace("!ga!", "!g\xe1!"),
               signed(user="\xe9", spelled="\xe9")),
        vector("controls", f"{GOOD}\x01", f"{GOOD}\x7f", f"{GOOD[:140]}\x01{GOOD[141:]}"),
        vector("blanks around it", headers=[
            f"auth_tkt= {GOOD}", f"auth_tkt ={GOOD}"]),
    ]  # fmt: skip


def addresses() -> list[Vector]:
    bound, bound_256 = "bound to the address", "bound to the address, sha256"
    addresses = ["127.0.0.1", "192.0.2.1", "198.51.100.255", "1.2.3.4", "255.255.255.255",
                 "::1", "2001:db8::7"]  # fmt: skip
    unknown = ["255.255.255.255", "::1", "2001:db8::7"]
    """mod_auth_tkt knows no IPv6, and takes the address of all bits for an error."""

    def both(address: str) -> list[Vector]:
        other = "192.0.2.77" if "." in address else "2001:db8::8"
        return [
            vector(f"bound to {address}", issued(address=address), gate=AL, reader=bound,
                   address=address, mod_auth_tkt=None if address in unknown else AL),
            vector(f"bound to {address}, sha256", issued(address=address, hashalg="sha256"),
                   gate=AL, reader=bound_256, address=address,
                   mod_auth_tkt=None if address in unknown else AL),
            vector(f"bound to {address}, shown from {other}", issued(address=address),
                   reader=bound, address=other),
            vector(f"bound to {address}, shown to one that binds none", issued(address=address),
                   address=address),
            vector(f"bound to no address, shown from {address}", GOOD, reader=bound,
                   address=address),
        ]  # fmt: skip

    return [one for address in addresses for one in both(address)]


def several() -> list[Vector]:
    newer = issued(issued_at=NOW_S - 60, scheme="em")
    other = issued(user="bo@example.com")
    expired = issued(issued_at=NOW_S - 7201, login_at=NOW_S - 7201)
    junk = "0" * 200
    by_mail = (TICKET.user, "em")

    def cookies(*values: str) -> str:
        return "; ".join(f"auth_tkt={value}" for value in values)

    padding = "x=" + "x" * (8192 - len(f"auth_tkt={GOOD}; x="))
    return [
        vector("the newest counts, the last", headers=[cookies(GOOD, newer)], gate=by_mail,
               mod_auth_tkt=AL),
        vector("the newest counts, the first", headers=[cookies(newer, GOOD)], gate=by_mail),
        vector("the same twice", headers=[cookies(GOOD, GOOD)], gate=AL),
        vector("tickets of two users", headers=[cookies(GOOD, other)], mod_auth_tkt=AL),
        vector("tickets of two users, the other first", headers=[cookies(other, GOOD)],
               mod_auth_tkt=("bo@example.com", "ga")),
        vector("one of them expired", headers=[cookies(expired, GOOD)], gate=AL,
               mod_auth_tkt=None),
        vector("an expired one behind it", headers=[cookies(GOOD, expired)], gate=AL),
        vector("one of them forged", gate=AL, mod_auth_tkt=None, headers=[
            cookies(other.replace("bo@", "cy@"), GOOD)]),
        vector("an empty one before it", headers=[cookies("", GOOD)], gate=AL),
        vector("two of junk before it", headers=[cookies(*[junk] * 2, GOOD)], gate=AL,
               mod_auth_tkt=None),
        vector("three of junk before it", headers=[cookies(*[junk] * 3, GOOD)]),
        vector("much junk of no length before it", headers=[cookies(*["x" * 128] * 20, GOOD)],
               gate=AL, mod_auth_tkt=None),
        vector("as long as a header may be", headers=[f"auth_tkt={GOOD}; {padding}"], gate=AL,
               mod_auth_tkt=None),
        vector("a header too long", headers=[f"auth_tkt={GOOD}; {padding}x"]),
        vector("huge", "f" * 20_000, GOOD + "s" * 10_000),
    ]  # fmt: skip


def make() -> list[Vector]:
    """-> all of them"""
    return [*good(), *names(), *times(), *forged(), *spelled(), *addresses(), *several()]


def as_text() -> str:
    """-> what the checked-in file must hold"""
    content = {
        "about": "Made by python -m tests.vectors. Each character of a header is one byte. "
        "What each reader finds is user and scheme, or null where it must refuse; mod_auth_tkt "
        "knows no scheme, and what stands there is the ticket's.",
        "now_s": NOW_S,
        "readers": {name: vars(reader) for name, reader in READERS.items()},
        "vectors": [vars(one) for one in make()],
    }
    return json.dumps(content, indent=1) + "\n"
