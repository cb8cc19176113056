"""The gate and ``auth_tkt.lua`` read tickets alike; mod_auth_tkt is asked in tests/peers."""

from __future__ import annotations

import os
import random
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import pytest

from factored.auth_tkt import NO_ADDRESS, USER_SAFE
from tests.support_programs import FULL, require_program
from tests.vectors import FILE, checked_in
from tests.vectors.readers import LUA, Asked, GateReader, LuaReader, as_lua
from tests.vectors.tickets import (
    GOOD,
    NOW_S,
    SECRET,
    TICKET,
    as_text,
    issued,
    parts_of,
    signed,
)

CONTENT = checked_in()
READERS = CONTENT["readers"]
FUZZED = 200_000 if FULL else 8_000


def asked_in(vectors: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], Asked]]:
    for one in vectors:
        for header in one["headers"]:
            yield one, Asked(one["reader"], CONTENT["now_s"], one["address"], header)


EACH = list(asked_in(CONTENT["vectors"]))


def differences(reader: GateReader | LuaReader, name: str) -> list[Any]:
    """reader, its name in the vectors -> what it reads otherwise than they say"""
    found = reader.read([asked for _, asked in EACH])
    return [
        (vector["name"], asked.header[:400], read, vector[name])
        for (vector, asked), read in zip(EACH, found, strict=True)
        if read != (vector[name] and tuple(vector[name]))
    ]


def test_the_checked_in_vectors_are_what_the_code_makes() -> None:
    """After a change: python -m tests.vectors"""
    assert FILE.read_text("utf-8") == as_text()


def test_each_vector_has_a_name_of_its_own_and_some_are_good() -> None:
    names = [one["name"] for one in CONTENT["vectors"]]
    assert len(set(names)) == len(names)
    for reader in READERS:
        assert any(one["gate"] for one in CONTENT["vectors"] if one["reader"] == reader), reader


def test_the_gate_reads_every_vector_as_it_should() -> None:
    assert differences(GateReader(READERS), "gate") == []


def test_lua_reads_every_vector_as_it_should(tmp_path: Path) -> None:
    reader = LuaReader(tmp_path, READERS)
    assert differences(reader, "lua") == []
    assert not [why for why in reader.reasons if why and "error" in why]


# -- they agree on what nobody thought of ---------------------------------------------------------


def swapped(text: str) -> str:
    """text -> the same with its ASCII letters in the other case: one byte stays one byte"""
    return re.sub("[A-Za-z]+", lambda letters: letters[0].swapcase(), text)


def altered(chance: random.Random, value: str) -> str:
    """ticket -> the same with up to three alterations of any kind, anywhere"""
    for _ in range(chance.randint(1, 3)):
        place, end = sorted(chance.choices(range(len(value) + 1), k=2))
        piece = value[place:end]
        match chance.randrange(6):
            case 0:
                value = value[:place] + chr(chance.randrange(256)) + value[place + 1 :]
            case 1:
                value = value[:place] + chr(chance.randrange(256)) + value[place:]
            case 2:
                value = value[:place] + value[end:]
            case 3:
                value = value[:place] + piece + piece + value[end:]
            case 4:
                value = value[:place] + swapped(piece) + value[end:]
            case _:
                value = value[end:] + value[:end]
    return value


NUMBERS = ["0", "1", "00", "1c20", "+1", "0x1", "1C20", "ffffffff", "100000000", "", "-1", " 1",
           f"{NOW_S:x}", f"{NOW_S + 60:x}", f"{NOW_S - 86400:x}", f"{NOW_S - 7200:x}"]  # fmt: skip
PIECES = [*USER_SAFE, *"azAZ09_.-~", "%20", "%25", "%21", "%C3%A9", "%c3%a9", "%41", "%00", "%ff",
          "%E4%B8%AD", "%F0%9F%98%80", "%ED%A0%80", "%C0%80", "%", "%4", "%F4%90%80%80", "%7F",
          "%0A", '"', "\\", ",", ";", " ", "[", "]", "!", "\0", "\xe9", "\xc3\xa9"]  # fmt: skip


def resigned(chance: random.Random) -> str:
    """-> ticket of odd parts, whose digest is right: what is refused is so for its form or age"""

    def number() -> str:
        return chance.choice(NUMBERS) if chance.random() < 0.5 else f"{NOW_S - 60:x}"

    def time() -> str:
        near = chance.choice([0, 1, -1, 59, 60, 61, 62, -7199, -7200, -7201, -599, -600, -601])
        return f"{NOW_S + near:08x}"

    spelled = "".join(chance.choices(PIECES, k=chance.randint(0, 4))) or "al"
    user = unquote_to_bytes(spelled.encode("latin-1"))
    if chance.random() < 0.7:
        spelled = quote(user, safe=USER_SAFE)
    ids = parts_of(GOOD)[10:]
    if chance.random() < 0.2:
        ids[chance.choice([0, 2])] += chance.choice(["x", "=", ".", "-"])
    flag = chance.choice("rrssssR")
    lifetime = number() if chance.random() < 0.3 else "1c20"
    data = f"{number()}.{flag}{lifetime}.{''.join(ids)}"
    scheme = chance.choice(["ga", "ga", "ga", "em", "rc", "", "ga,em"])
    return signed(user, data, scheme=scheme, time=time(), spelled=spelled)


def fuzzed(chance: random.Random) -> Asked:
    good = [GOOD, issued(user="\u00c5lice 100%"), issued(scheme="em", issued_at=NOW_S - 5),
            issued(hashalg="sha256")]  # fmt: skip
    values = []
    for _ in range(chance.choice([1, 1, 1, 2, 3, 12])):
        match chance.randrange(4):
            case 0:
                values.append(chance.choice(good))
            case 1:
                values.append(altered(chance, chance.choice(good)))
            case _:
                values.append(resigned(chance))
    header = "; ".join(f"auth_tkt={value}" for value in values)
    if chance.random() < 0.1:
        header = altered(chance, header)
    reader = chance.choice([name for name, one in READERS.items() if one["max_age_s"] is None])
    address = chance.choice(["192.0.2.1", "::1", "", "unix", "01.2.3.4", "001.2.3.4", "1.2.3.256"])
    return Asked(reader, NOW_S + chance.choice([0, 0, 0, 1, -1]), address, header)


def test_the_gate_and_lua_agree_on_thousands_of_altered_tickets(tmp_path: Path) -> None:
    chance = random.Random(6)
    asked = [fuzzed(chance) for _ in range(FUZZED)]
    by_gate = GateReader(READERS).read(asked)
    reader = LuaReader(tmp_path, READERS)
    # Twice, as what was good is remembered.
    by_lua = reader.read([*asked, *asked])
    assert by_lua[FUZZED:] == by_lua[:FUZZED]
    found = [one for one in zip(asked, by_gate, by_lua[:FUZZED], strict=True) if one[1] != one[2]]
    assert found == []
    assert not [why for why in reader.reasons if why and "error" in why]
    # So that agreement is not that all are refused, or none.
    assert FUZZED / 20 < sum(one is not None for one in by_gate) < FUZZED * 0.9


@pytest.mark.parametrize(
    "address",
    ["192.0.2.1", "0.0.0.0", "255.255.255.255", "::1", "2001:db8::7", "::ffff:192.0.2.1",
     "fe80::1%eth0", "", "unix", "256.0.0.1", "1.2.3", "1.2.3.4.5", "1.2.3.4.", "1.2.3.4\n",
     "01.2.3.4", "1.02.3.4", "001.2.3.4", "099.2.3.4", "199.2.3.4", "249.250.255.256", "::\xe9",
     "a.b.c.d", ".1.2.3", "1..2.3", " 1.2.3.4", "1.2.3.4\0", "::\0", "-1.2.3.4", "1e1.2.3.4"],
)  # fmt: skip
def test_both_bind_a_ticket_to_the_same_address(tmp_path: Path, address: str) -> None:
    readers = {"bound to the address": READERS["bound to the address"]}
    bound = [NO_ADDRESS]
    if ":" in address or address.count(".") == 3:
        try:
            issued(address=address)
            bound.append(address)
        except ValueError:
            pass
    asked = [
        Asked("bound to the address", NOW_S, address, f"auth_tkt={issued(address=one)}")
        for one in bound
    ]
    by_gate = GateReader(readers).read(asked)
    assert LuaReader(tmp_path, readers).read(asked) == by_gate
    assert any(by_gate)


# -- what is wrong at the start stops the start ----------------------------------------------------


def started(
    tmp_path: Path, options: str, secrets: str = SECRET
) -> subprocess.CompletedProcess[str]:
    """Lua table, what is in its secret file -> how making a reader of it ended"""
    secret_file = tmp_path / "a.secret"
    secret_file.write_text(secrets)
    script = (
        f"package.path = {as_lua(str(LUA))} .. '/?.lua'\n"
        f"local SECRET = {as_lua(str(secret_file))}\n"
        f"local read = require('auth_tkt').reader({options})\n"
        f"io.write(tostring((read({as_lua('auth_tkt=' + GOOD)}, '192.0.2.1'))))"
    )
    return subprocess.run(
        [require_program("luajit"), "-e", script], capture_output=True, text=True, timeout=20,
        check=False, env={**os.environ, "TZ": "UTC"},
    )  # fmt: skip


AT = f"now_s = function() return {NOW_S} end"


def test_few_options_are_needed(tmp_path: Path) -> None:
    ended = started(tmp_path, f"{{ secret_file = SECRET, {AT} }}")
    assert (ended.returncode, ended.stdout) == (0, TICKET.user), ended


@pytest.mark.parametrize(
    "secrets",
    [f"\n\n  {SECRET}\t\r\n", f"# {SECRET}x\n{SECRET}", f"{'y0' + SECRET}\n#\n{SECRET}"],
)
def test_a_secret_file_is_read_as_factored_reads_it(tmp_path: Path, secrets: str) -> None:
    ended = started(tmp_path, f"{{ secret_file = SECRET, {AT} }}", secrets)
    assert (ended.returncode, ended.stdout) == (0, TICKET.user), ended


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("", "options must be a table"),
        ("{}", "secret_file must be a text"),
        ("{ secret_file = '/nowhere/a.secret' }", "No such file"),
        ("{ secret_file = '/' }", "secret_file"),
        ("{ secret_file = SECRET, secret = 'x' }", "no option secret"),
        ("{ secret_file = SECRET, max_agee = 60 }", "no option max_agee"),
        ("{ secret_file = SECRET, hashalg = 'md5' }", "hashalg must be"),
        ("{ secret_file = SECRET, hashalg = false }", "hashalg must be"),
        ("{ secret_file = SECRET, schemes = {} }", "schemes must be"),
        ("{ secret_file = SECRET, schemes = 'ga' }", "schemes must be"),
        ("{ secret_file = SECRET, schemes = { ga = true } }", "schemes must be"),
        ("{ secret_file = SECRET, schemes = { 'Google Auth' } }", "schemes must be"),
        ("{ secret_file = SECRET, include_ip = 'false' }", "include_ip must be"),
        ("{ secret_file = SECRET, max_age = '60' }", "max_age must be"),
        ("{ secret_file = SECRET, max_age = 0 }", "max_age must be"),
        ("{ secret_file = SECRET, max_age = 0/0 }", "max_age must be"),
        ("{ secret_file = SECRET, absolute_timeout = -1 }", "absolute_timeout must be"),
        ("{ secret_file = SECRET, absolute_timeout = 1/0 }", "absolute_timeout must be"),
        ("{ secret_file = SECRET, cookie_name = '' }", "cookie_name must be"),
        ("{ secret_file = SECRET, cookie_name = 'a b' }", "cookie_name must be"),
        ("{ secret_file = SECRET, now_s = 5 }", "now_s must be"),
    ],
)
def test_wrong_options_stop_the_start_and_say_why(tmp_path: Path, options: str, said: str) -> None:
    ended = started(tmp_path, options)
    assert ended.returncode != 0
    assert said in ended.stderr
    assert SECRET not in ended.stderr


@pytest.mark.parametrize("secrets", ["", "\n\n", "# no-secret-here", "x1y2z3", SECRET[:31],
                                     f"{SECRET}\nx1y2z3", "ab" * 40])  # fmt: skip
def test_weak_secrets_stop_the_start_and_are_not_shown(tmp_path: Path, secrets: str) -> None:
    ended = started(tmp_path, "{ secret_file = SECRET }", secrets)
    assert ended.returncode != 0
    assert "secret" in ended.stderr
    assert not [word for word in secrets.split() if len(word) > 1 and word in ended.stderr]


def test_what_goes_wrong_in_the_check_is_a_refusal(tmp_path: Path) -> None:
    """A header that is no text, no address where one is needed, a clock that fails."""
    for options, header, address in (
        ("include_ip = true", as_lua(f"auth_tkt={GOOD}"), "nil"),
        ("include_ip = true", as_lua(f"auth_tkt={GOOD}"), "{}"),
        ("include_ip = false", "{ 'a', 'b' }", "'192.0.2.1'"),
        ("include_ip = false", "5", "'192.0.2.1'"),
        ("now_s = function() error('no clock') end", as_lua(f"auth_tkt={GOOD}"), "nil"),
        ("now_s = function() return 0/0 end", as_lua(f"auth_tkt={GOOD}"), "nil"),
        ("now_s = function() return 'x' end", as_lua(f"auth_tkt={GOOD}"), "nil"),
    ):
        secret_file = tmp_path / "a.secret"
        secret_file.write_text(SECRET)
        script = (
            f"package.path = {as_lua(str(LUA))} .. '/?.lua'\n"
            f"local given = {{ secret_file = {as_lua(str(secret_file))}, {options} }}\n"
            f"local user, why = require('auth_tkt').reader(given)({header}, {address})\n"
            "io.write(tostring(user), ' ', why)"
        )
        ended = subprocess.run(
            [require_program("luajit"), "-e", script], capture_output=True, text=True, timeout=20,
            check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.startswith("nil an error in the check: "), (options, ended.stdout)


def test_no_cookie_at_all_is_a_refusal(tmp_path: Path) -> None:
    reader = LuaReader(tmp_path, READERS)
    assert reader.read([Asked("sha512", NOW_S, "", "")]) == [None]
