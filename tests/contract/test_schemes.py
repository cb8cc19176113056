"""The suite of schemes on every scheme that factored has."""

from __future__ import annotations

import pyotp
import pytest

from factored import keys
from factored.interfaces import SchemeContext, User
from factored.schemes.totp import TotpScheme
from factored.services.enrolment import Enrolment
from factored.store.memory import (
    MemoryAttemptStore,
    MemoryDeviceStore,
    MemoryRevocationStore,
    MemoryUserStore,
)
from tests.contract.scheme import Case, SchemeContract
from tests.support import FixedClock


class TestTotp(SchemeContract):
    @pytest.fixture
    def case(self, clock: FixedClock) -> Case:
        ring = keys.KeyRing(lambda: (b"k" * 32,))
        users = MemoryUserStore(
            MemoryRevocationStore(clock), MemoryAttemptStore(), MemoryDeviceStore()
        )
        enrolment = Enrolment(ring, clock, issuer="Test")

        def add(name: str, enrolled: bool = True) -> User:
            make = enrolment.make if enrolled else None
            return users.add(name, name, ticket_series=name, now_s=1, authenticator=make)

        def right(user: User, step: int = 0) -> str:
            secret = enrolment.credential(user.username, user.authenticators[0]).secret
            return pyotp.TOTP(secret).at(int(clock.now_s()) + 30 * step)

        user, stranger = add("al"), add("bo")
        taken = {right(one, step) for one in (user, stranger) for step in (-1, 0, 1)}
        wrong = next(code for code in map("{:06d}".format, range(9)) if code not in taken)
        scheme = TotpScheme(SchemeContext(users=users, cipher=ring, clock=clock))
        return Case(scheme, users, user, stranger, add("cy", enrolled=False), right, wrong)
