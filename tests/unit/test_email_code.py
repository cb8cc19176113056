"""Email: what is written, what is mailed and to whom, and which answer is taken."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from factored.interfaces import Asker, Challenge, SchemeContext, SendingFails, User, Verdict
from factored.keys import KeyRing
from factored.schemes.email_code import EmailScheme
from factored.store.memory import MemoryChallengeStore
from tests.support import NOW_S, FixedClock, KeptMails, code_in

AL = User(1, "Al@example.com", "al@example.com", "series", NOW_S)
ASKER = Asker("AL@example.com", "the browser")


class NotedChallenges(MemoryChallengeStore):
    """Keeps all that was added."""

    def __init__(self) -> None:
        super().__init__()
        self.added: list[Challenge] = []

    def add(self, challenge: Challenge) -> None:
        self.added.append(challenge)
        super().add(challenge)


@dataclass
class Desk:
    """The scheme before stores in memory; ``found`` is what the finder says."""

    clock: FixedClock
    keys: list[bytes] = field(default_factory=lambda: [b"k" * 32])
    challenges: NotedChallenges = field(default_factory=NotedChallenges)
    outbox: KeptMails = field(default_factory=KeptMails)
    asked: list[str] = field(default_factory=list)
    found: str | None = None
    scheme: EmailScheme = field(init=False)

    def __post_init__(self) -> None:
        ring = KeyRing(lambda: tuple(self.keys))
        context: Any = SchemeContext(
            users=None,  # type: ignore[arg-type]  # it needs none
            cipher=ring,
            clock=self.clock,
            hasher=ring,
            challenges=self.challenges,
            recovery_codes=None,  # type: ignore[arg-type]
            outbox=self.outbox,
            finder=self,
            settings=SimpleNamespace(
                email_auth_window=120, email_auth_subject="Code", email_auth_body="{code}"
            ),
        )
        self.scheme = EmailScheme(context)

    def find(self, username: str) -> str | None:
        self.asked.append(username)
        return self.found

    def code(self, user: User | None = AL, asker: Asker = ASKER) -> str:
        self.scheme.challenge(user, asker)
        code = self.scheme.normalise(code_in(self.outbox.mails[-1]))
        assert code is not None
        return code

    def verify(self, code: str, user: User | None = AL, asker: Asker = ASKER) -> Verdict:
        return self.scheme.verify(user, code, self.scheme.awaited(asker))


@pytest.fixture
def desk(clock: FixedClock) -> Desk:
    return Desk(clock)


def test_the_scheme_is_the_one_that_settings_urls_and_tickets_name(desk: Desk) -> None:
    scheme = desk.scheme
    assert (scheme.name, scheme.path, scheme.budget, scheme.sends) == ("Email", "em", "email", True)


def test_a_code_is_mailed_to_the_stored_address_and_stored_as_a_keyed_hash(desk: Desk) -> None:
    code = desk.code()
    (mail,) = desk.outbox.mails
    assert (mail.to, mail.subject, mail.good_until) == ("Al@example.com", "Code", NOW_S + 120)
    (made,) = desk.challenges.added
    assert (made.user_id, made.username_key, made.address) == (1, "al@example.com", AL.username)
    assert (made.created_at, made.ends_at) == (NOW_S, NOW_S + 120)
    assert code not in str(tuple(getattr(made, name) for name in made.__slots__))
    assert ASKER.browser_id not in made.browser_hash
    assert len(made.code_hash) == len(made.browser_hash) == 43


@pytest.mark.parametrize(
    ("user", "name"),
    [
        (None, "nobody@example.com"),
        (replace(AL, username="al", username_key="al"), "al"),
        (replace(AL, disabled_at=1), AL.username),
    ],
)
def test_who_gets_no_mail_has_a_challenge_all_the_same_and_no_code_opens_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, user: User | None, name: str
) -> None:
    monkeypatch.setattr("factored.codes.new_mail_code", lambda: "ABCDEFGH")
    asker = Asker(name, "the browser")
    desk.scheme.challenge(user, asker)
    assert desk.outbox.mails == []
    (made,) = desk.challenges.added
    assert made.address == ""
    verdict = desk.verify("ABCDEFGH", user, asker)
    assert verdict is (Verdict.WRONG if user else Verdict.UNKNOWN_USER)


@pytest.mark.parametrize("found", ["new@example.com", "New@Example.COM"])
def test_a_found_name_is_mailed_to_the_address_that_was_found(desk: Desk, found: str) -> None:
    desk.found = found
    asker = Asker("NEW@example.com", "the browser")
    code = desk.code(None, asker)
    assert desk.outbox.mails[0].to == desk.challenges.added[0].address == found
    assert desk.verify(code, None, asker) is Verdict.ACCEPTED


@pytest.mark.parametrize("found", ["eve@example.com", "new@example.com ", "N <new@example.com>"])
def test_what_a_finder_makes_of_a_name_must_be_that_address(desk: Desk, found: str) -> None:
    desk.found = found
    desk.scheme.challenge(None, Asker("new@example.com", "the browser"))
    assert desk.outbox.mails == []


def test_the_finder_is_asked_for_known_names_too_and_not_heeded(desk: Desk) -> None:
    desk.found = "eve@example.com"
    desk.code()
    assert desk.asked == [ASKER.username]
    assert desk.outbox.mails[0].to == AL.username


def test_an_account_that_was_made_in_between_is_not_opened_by_a_code_for_none(desk: Desk) -> None:
    desk.found = "al@example.com"
    code = desk.code(None)
    assert desk.verify(code, AL) is Verdict.WRONG
    assert desk.verify(code, None) is Verdict.EXPIRED


def test_a_code_holds_while_keys_rotate(desk: Desk) -> None:
    code = desk.code()
    desk.keys.insert(0, b"n" * 32)
    assert desk.verify(code) is Verdict.ACCEPTED
    newer = desk.code()
    desk.keys.pop()
    assert desk.verify(newer) is Verdict.ACCEPTED
    desk.code()
    desk.keys[:] = [b"x" * 32]
    assert desk.scheme.awaited(ASKER) is None


def test_equal_codes_have_unequal_hashes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a copy of the table would tell who was sent the same."""
    monkeypatch.setattr("factored.codes.new_mail_code", lambda: "ABCDEFGH")
    for _ in range(2):
        desk.code()
    first, second = desk.challenges.added
    assert first.code_hash != second.code_hash
    assert first.browser_hash == second.browser_hash


def test_while_sending_fails_the_scheme_says_so(desk: Desk) -> None:
    desk.scheme.check_sending()
    desk.outbox.fails = True
    with pytest.raises(SendingFails):
        desk.scheme.check_sending()
    with pytest.raises(SendingFails):
        desk.scheme.challenge(AL, ASKER)
