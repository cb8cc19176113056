"""The suite of schemes on every scheme that factored has."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pyotp
import pytest

from factored import keys
from factored.interfaces import Asker, SchemeContext, User
from factored.schemes.email_code import EmailScheme
from factored.schemes.totp import TotpScheme, first_code
from factored.services.enrolment import Enrolment
from factored.store.memory import MemoryChallengeStore, MemoryRecoveryCodeStore
from tests.contract.scheme import BROWSER, Case, SchemeContract
from tests.contract.test_stores import memory_stores
from tests.support import FixedClock, KeptMails, code_in

SETTINGS = SimpleNamespace(
    email_auth_window=120, email_auth_subject="Your code", email_auth_body="Your code is: {code}"
)


@pytest.fixture
def users() -> Any:
    return memory_stores().users


@pytest.fixture
def outbox() -> KeptMails:
    return KeptMails()


@pytest.fixture
def ring() -> keys.KeyRing:
    return keys.KeyRing(lambda: (b"k" * 32,))


@pytest.fixture
def context(clock: FixedClock, users: Any, outbox: KeptMails, ring: keys.KeyRing) -> SchemeContext:
    return SchemeContext(
        users=users,
        cipher=ring,
        clock=clock,
        hasher=ring,
        challenges=MemoryChallengeStore(),
        recovery_codes=MemoryRecoveryCodeStore(),
        outbox=outbox,
        finder=None,
        settings=SETTINGS,
    )


class TestTotp(SchemeContract):
    @pytest.fixture
    def case(
        self,
        context: SchemeContext,
        clock: FixedClock,
        users: Any,
        ring: keys.KeyRing,
    ) -> Case:
        enrolment = Enrolment(ring, clock, first_code, issuer="Test")

        def add(name: str, enrolled: bool = True) -> User:
            make = enrolment.make if enrolled else None
            return users.add(name, name, ticket_series=name, now_s=1, authenticator=make)

        def right(user: User, step: int = 0) -> str:
            secret = enrolment.credential(user.username, user.authenticators[0]).secret
            return pyotp.TOTP(secret).at(int(clock.now_s()) + 30 * step)

        user, stranger = add("al"), add("bo")
        taken = {right(one, step) for one in (user, stranger) for step in (-1, 0, 1)}
        wrong = next(code for code in map("{:06d}".format, range(9)) if code not in taken)
        scheme = TotpScheme(context)
        return Case(scheme, users, user, stranger, add("cy", enrolled=False), right, wrong)


class TestEmail(SchemeContract):
    @pytest.fixture
    def case(self, context: SchemeContext, users: Any, outbox: KeptMails) -> Case:
        scheme = EmailScheme(context)

        def add(name: str) -> User:
            return users.add(name, name, ticket_series=name, now_s=1)

        def right(user: User) -> str:
            scheme.challenge(user, Asker(user.username, BROWSER))
            return code_in(outbox.mails[-1])

        user, stranger = add("al@example.com"), add("bo@example.com")
        return Case(scheme, users, user, stranger, add("cy"), right, "0000-0000")
