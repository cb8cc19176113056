"""Exports: what goes along arrives, and a file that was touched is not taken."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from factored import codes, keys, passphrase
from factored.interfaces import AuthenticatorState, NewUser, StoreContext
from factored.keys import SECRET, KeyRing
from factored.services import users_file
from factored.services.enrolment import open_secret, place
from factored.services.importing import Entry, Held, Import, Item, Refused
from factored.services.lines import Lines
from factored.services.users_file import Export, NotAnExport, is_export, read
from factored.store.bundle import MemoryStores
from tests.contract.user_store import authenticator
from tests.support import NOW_S, FixedClock

WORD = "correct horse battery"
ONE, TWO = "JBSWY3DP" * 4, "GEZDGNBV" * 2


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users_file, "Cost", lambda n=2, r=8, p=1: passphrase.Cost(n, r, p))


class Place:
    """A store in memory with a key file of its own."""

    def __init__(self) -> None:
        key = keys.parse_keys(codes.new_key())
        self.ring = KeyRing(lambda: key)
        self.stores: Any = MemoryStores(StoreContext(SimpleNamespace(), FixedClock()))
        self.behind: list[tuple[str, str]] = []

    def add(self, name: str, *held: tuple[str, dict[str, Any]], **changed: Any) -> None:
        def made(user_id: int) -> list[Any]:
            all_held = []
            for secret, said in held:
                one = authenticator(user_id, **said)
                sealed = self.ring.encrypt(SECRET, secret, bound_to=place(user_id, one.id))
                all_held.append(replace(one, secret=said.get("secret", sealed)))
            return all_held

        new = NewUser(name, name.lower(), codes.new_id(), NOW_S, authenticators=made)
        self.stores.users.add_many([replace(new, **changed)])

    def export(self, word: str | None = WORD) -> bytes:
        behind = lambda name, what: self.behind.append((name, what))  # noqa: E731
        made = Export(self.stores.users, self.ring, FixedClock(NOW_S + 5), behind=behind)
        return "".join(f"{line}\n" for line in made.lines(word)).encode()

    def take(self, content: bytes, word: str = WORD) -> list[Refused]:
        refused: list[Refused] = []
        Import(
            self.stores.users, self.ring, FixedClock(NOW_S + 9), refuse=refused.append,
            progress=lambda counts: None,
        ).run(items(content, word))  # fmt: skip
        return refused

    def facts(self) -> list[Any]:
        """-> all that an import should bring along, secrets in clear"""
        return [
            (
                replace(user, id=0, ticket_series="", authenticators=()),
                [
                    replace(one, id="", user_id=0, secret=open_secret(self.ring, one))
                    for one in user.authenticators
                ],
            )
            for user in self.stores.users.each()
        ]


def items(content: bytes, word: str = WORD) -> list[Item]:
    file = io.BytesIO(content)
    return list(read(file, lambda: word, Lines(file)))


def refusal(content: bytes, word: str = WORD) -> str:
    with pytest.raises(NotAnExport) as caught:
        items(content, word)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def here() -> Place:
    made = Place()
    made.add(
        "Al@example.com",
        (ONE, {"label": "Phone ☎", "last_step": 60_000_000, "last_used_at": NOW_S - 3}),
        (TWO, {"label": "Two", "created_at": 7, "confirmed_at": 8, "needs_renewal": True}),
        last_login_at=NOW_S - 2,
    )
    made.add("zoë", (TWO, {"needs_renewal": True}), disabled_at=NOW_S - 1)
    made.add("nothing")
    return made


def test_everything_that_means_something_elsewhere_arrives(here: Place) -> None:
    there = Place()
    content = here.export()
    assert there.take(content) == []
    assert there.facts() == here.facts()
    assert here.behind == []
    old = {user.ticket_series for user in here.stores.users.each()}
    assert not old & {user.ticket_series for user in there.stores.users.each()}


def test_an_export_shows_no_secret_and_no_key(here: Place) -> None:
    content = here.export().decode()
    assert not any(word in content for word in (ONE, TWO, WORD, "v1."))
    for user in here.stores.users.each():
        assert user.ticket_series not in content


def test_nothing_of_two_exports_is_alike_where_it_is_secret(here: Place) -> None:
    one, two = (json.loads(here.export().splitlines()[1]) for _ in range(2))
    assert one["authenticators"][0]["secret"] != two["authenticators"][0]["secret"]


def test_without_secrets_the_users_arrive_and_hold_nothing(here: Place) -> None:
    there = Place()
    content = here.export(None)
    assert "authenticators" not in content.decode()
    assert there.take(content) == []
    assert there.facts() == [(user, []) for user, _ in here.facts()]
    assert here.take(content) == []  # those who hold something are the same users


def test_imported_again_and_where_it_came_from_it_changes_nothing(here: Place) -> None:
    before = here.facts()
    assert here.take(here.export()) == []
    assert here.facts() == before


def test_what_is_not_confirmed_stays_and_what_cannot_go_is_told() -> None:
    here, there = Place(), Place()
    here.add("al", (ONE, {"state": AuthenticatorState.PENDING}), (TWO, {}))
    here.add("bo", (ONE, {"scheme": "sc"}))
    here.add("cy", (ONE, {"secret": "v1.damaged"}))
    assert there.take(here.export()) == []
    assert here.behind == [
        ("bo", "an authenticator of the scheme sc"),
        ("cy", "a secret that cannot be read with today's keys"),
    ]
    held = {user.username: user.authenticators for user in there.stores.users.each()}
    assert [len(held[name]) for name in ("al", "bo", "cy")] == [1, 0, 0]


def test_an_export_of_nobody_is_one(here: Place) -> None:
    assert items(Place().export()) == []


def test_it_is_told_from_a_table(here: Place) -> None:
    assert is_export(here.export()[:1])
    assert not any(map(is_export, (b"", b"username", b"\xef\xbb\xbfusername", b'"username"')))


# -- what is not taken -----------------------------------------------------------------------------


def test_another_passphrase_is_told_as_such(here: Place) -> None:
    for word in ("", "Correct horse battery", WORD + " "):
        assert "not the passphrase" in refusal(here.export(), word)


@pytest.mark.parametrize("word", [WORD, None])
def test_a_file_that_is_cut_off_anywhere_is_refused(here: Place, word: str | None) -> None:
    content = here.export(word)
    lines = content.splitlines(keepends=True)
    for count in range(1, len(lines)):
        assert "cut off" in refusal(b"".join(lines[:count]))
    for size in range(len(content) - 2, len(lines[0]), -7):
        refusal(content[:size])
    assert items(content[:-1]) == items(content)  # without the last line end it is whole


CHANGES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "a name": lambda lines: [lines[0], lines[1].replace(b"Al@", b"Bl@"), *lines[2:]],
    "enabled": lambda lines: [line.replace(b"1799999999", b"null") for line in lines],
    "an older step": lambda lines: [line.replace(b"60000000", b"-1") for line in lines],
    "one line less": lambda lines: [lines[0], *lines[2:]],
    "one twice": lambda lines: [*lines[:2], lines[1], *lines[2:]],
    "another order": lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
    "a line more": lambda lines: [*lines[:-1], b'{"username": "eve"}\n', lines[-1]],
    "more behind the end": lambda lines: [*lines, b'{"username": "eve"}\n'],
    "an empty line behind": lambda lines: [*lines, b"\n"],
    "another number": lambda lines: [*lines[:-1], lines[-1].replace(b": 3", b": 2")],
    "an end too early": lambda lines: [lines[0], lines[-1]],
    "other line ends": lambda lines: [line.replace(b"\n", b"\r\n") for line in lines],
    "no seal": lambda lines: [*lines[:-1], b'{"users": 3}\n'],
    "no json at the end": lambda lines: [*lines[:-1], b'{"users": \n'],
    "a list at the end": lambda lines: [*lines[:-1], b'{"users": [[[3\n'],
    "far too long": lambda lines: [lines[0], b"x" * 70000 + b"\n", *lines[1:]],
}


@pytest.mark.parametrize("how", CHANGES)
@pytest.mark.parametrize("word", [WORD, None])
def test_a_file_that_was_changed_is_refused(here: Place, how: str, word: str | None) -> None:
    lines = here.export(word).splitlines(keepends=True)
    changed = CHANGES[how](lines)
    if changed == lines:
        return  # there was nothing to change
    assert "changed" in refusal(b"".join(changed))


@pytest.mark.parametrize(
    ("key", "value"),
    [("salt", "AAAA"), ("salt", "!"), ("salt", 7), ("n", 2**40), ("n", 0), ("n", "2"), ("n", True),
     ("n", 3), ("r", 10**9), ("p", -1), ("p", None), ("p", 2), ("n", 4)],
)  # fmt: skip
def test_a_first_line_that_was_changed_is_refused_and_costs_little(
    here: Place, key: str, value: Any
) -> None:
    first, rest = here.export().split(b"\n", 1)
    header = json.loads(first)
    header["scrypt"][key] = value
    assert "changed" in refusal(json.dumps(header).encode() + b"\n" + rest)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"factored_users": 2}, "no export of this release"),
        ({"factored_users": None}, "no export of this release"),
        ({"secrets": False}, "changed"),
        ({"secrets": True, "scrypt": None}, "changed"),
        ({"exported_at": 1}, "changed"),
        ({"check": "0" * 64}, "changed"),
        ({"check": "é"}, "changed"),
    ],
)
def test_a_first_line_that_says_something_else_is_refused(
    here: Place, change: dict[str, Any], told: str
) -> None:
    first, rest = here.export().split(b"\n", 1)
    header = {**json.loads(first), **change}
    assert told in refusal(json.dumps(header).encode() + b"\n" + rest)


@pytest.mark.parametrize("content", [b"{", b"{}\n", b"[" * 50000, b'{"a": ' * 9000, b"{" * 70000])
def test_what_is_no_export_at_all_is_told(content: bytes) -> None:
    assert "no export of this release" in refusal(content)


# -- whoever knows the passphrase may write what he likes ------------------------------------------


def sealed(here: Place, facts: object) -> bytes:
    """facts -> an export with a line that says so, by somebody who knows how"""
    head = users_file._header(None, NOW_S)
    line = json.dumps(head) + "\n" + json.dumps(facts) + "\n"
    seal = users_file._seal(None)
    seal.update(line.encode())
    return (line + json.dumps({"users": 1, "seal": seal.hexdigest()}) + "\n").encode()


WELL = {"username": "al", "created_at": 1, "disabled_at": None, "last_login_at": None}


@pytest.mark.parametrize(
    "change",
    [
        {"username": None}, {"username": 7}, {"created_at": "1"}, {"created_at": -1},
        {"created_at": 10**12}, {"created_at": 1.5}, {"disabled_at": True},
        {"last_login_at": [1]},
    ],
)  # fmt: skip
def test_a_line_that_is_not_as_we_write_it_is_refused(here: Place, change: dict[str, Any]) -> None:
    (found,) = items(sealed(here, WELL | change))
    assert isinstance(found, Refused)
    assert (found.line, found.reason) == (2, "is not as an export has it")


@pytest.mark.parametrize("facts", [[], 7, "al", {}, {"username": "al"}])
def test_a_line_that_is_no_user_is_refused(here: Place, facts: object) -> None:
    (found,) = items(sealed(here, facts))
    assert isinstance(found, Refused)


def test_a_line_that_is_well_is_taken(here: Place) -> None:
    assert items(sealed(here, WELL)) == [Entry(2, "al", (), False, created_at=1)]


@pytest.mark.parametrize(
    ("change", "taken"),
    [
        ({}, True), ({"last_step": 5}, True), ({"last_step": -2}, False),
        ({"last_step": 2**63}, False), ({"number": 1}, False), ({"secret": "AAAA"}, False),
        ({"secret": None}, False), ({"created_at": -1}, False), ({"label": 7}, True),
    ],
)  # fmt: skip
def test_an_authenticator_is_as_we_write_it_and_in_its_place(
    here: Place, change: dict[str, Any], taken: bool
) -> None:
    made = passphrase.PassphraseKeys(WORD, b"salt", passphrase.Cost(n=2))
    held = {
        "label": "Phone", "last_step": -1, "created_at": 1, "confirmed_at": 1,
        "last_used_at": None, "number": 0,
        "secret": made.encrypt(ONE, bound_to=users_file._place("al", 0)),
    }  # fmt: skip
    facts: dict[str, Any] = {**WELL, "authenticators": [held | change]}
    if taken:
        expected = Held(ONE, str(change.get("label", "Phone")), 1, 1, None, -1)
        expected = replace(expected, last_step=change.get("last_step", -1))
        assert users_file._entry(2, facts, made).held == (expected,)
        return
    with pytest.raises((KeyError, TypeError, ValueError, users_file.DecryptionError)):
        users_file._entry(2, facts, made)


def test_a_secret_of_which_no_code_comes_is_refused_with_the_reason(here: Place) -> None:
    there = Place()
    here.add("short", ("AAAA", {}))
    (refused,) = there.take(here.export())
    assert (refused.username, refused.reason) == ("short", "the secret has less than 80 bits")
    assert len(there.facts()) == 3
