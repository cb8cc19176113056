"""TOTP: the standard's vectors, the window, single use, and the scheme around them."""

from __future__ import annotations

import base64
import hmac
import logging
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factored.interfaces import (
    Asker,
    Authenticator,
    AuthenticatorState,
    SchemeContext,
    User,
    Verdict,
)
from factored.keys import SECRET, KeyRing
from factored.schemes.totp import LenientTotp, TotpScheme, first_code, verify
from factored.services.enrolment import Enrolment, open_secret, place
from tests.contract.test_stores import memory_stores
from tests.support import NOW_S, FixedClock, KeptMails
from tests.support_programs import require_program

RFC_SECRET = base64.b32encode(b"12345678901234567890").decode()
SHORT_SECRET = "JBSWY3DPEHPK3PXP"  # 80 bits, as factored 1.x to 4.x made them
STEP = NOW_S // 30

relaxed = settings(deadline=None)


def code_at(step: int, secret: str = RFC_SECRET) -> str:
    """step -> its code, reckoned as RFC 4226 section 5.3 writes it, without any library"""
    key = base64.b32decode(secret.upper() + "=" * (-len(secret) % 8))
    mac = hmac.digest(key, step.to_bytes(8, "big"), "sha1")
    cut = mac[-1] & 15
    return f"{(int.from_bytes(mac[cut : cut + 4], 'big') & 0x7FFFFFFF) % 10**6:06d}"


@pytest.mark.parametrize(
    ("now_s", "eight_digits"),
    [
        (59, "94287082"), (1111111109, "07081804"), (1111111111, "14050471"),
        (1234567890, "89005924"), (2000000000, "69279037"), (20000000000, "65353130"),
    ],
)  # fmt: skip
def test_the_vectors_of_rfc_6238_are_accepted(now_s: int, eight_digits: str) -> None:
    verdict = verify(RFC_SECRET, eight_digits[2:], now_s=now_s, last_step=-1, window=0)
    assert verdict == (Verdict.ACCEPTED, now_s // 30)


@pytest.mark.parametrize(
    ("offset", "accepted"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)]
)
@pytest.mark.parametrize("within_s", [0, 29, 29.999])
@pytest.mark.parametrize("secret", [RFC_SECRET, SHORT_SECRET, SHORT_SECRET.lower()])
def test_a_code_is_taken_one_step_before_and_after_now(
    secret: str, within_s: float, offset: int, accepted: bool
) -> None:
    now_s = STEP * 30 + within_s
    found = verify(secret, code_at(STEP + offset, secret), now_s=now_s, last_step=-1)
    assert found == (Verdict.ACCEPTED if accepted else Verdict.SKEWED, STEP + offset)


@pytest.mark.parametrize(
    ("offset", "expected"),
    [(-11, Verdict.WRONG), (-10, Verdict.SKEWED), (10, Verdict.SKEWED), (11, Verdict.WRONG)],
)
def test_a_code_that_fits_within_ten_steps_is_told_and_not_accepted(
    offset: int, expected: Verdict
) -> None:
    found = verify(RFC_SECRET, code_at(STEP + offset), now_s=NOW_S, last_step=-1)
    assert found == (expected, STEP + offset if expected is Verdict.SKEWED else None)


def test_an_old_code_that_was_used_is_a_used_one_and_no_wrong_clock() -> None:
    found = verify(RFC_SECRET, code_at(STEP - 5), now_s=NOW_S, last_step=STEP - 5)
    assert found == (Verdict.REPLAYED, None)


@pytest.mark.parametrize("window", [0, 1, 2])
def test_the_window_is_as_wide_as_asked(window: int) -> None:
    for offset in range(-3, 4):
        verdict, _ = verify(
            RFC_SECRET, code_at(STEP + offset), now_s=NOW_S, last_step=-1, window=window
        )
        assert (verdict is Verdict.ACCEPTED) == (abs(offset) <= window)


@pytest.mark.parametrize("offset", [-1, 0, 1])
@pytest.mark.parametrize("last", [-2, -1, 0, 1, 2, 1000])
def test_a_step_is_accepted_once_and_only_forward(last: int, offset: int) -> None:
    """``last`` 1000: the clock went back after a login."""
    found = verify(RFC_SECRET, code_at(STEP + offset), now_s=NOW_S, last_step=STEP + last)
    if offset > last:
        assert found == (Verdict.ACCEPTED, STEP + offset)
    else:
        assert found == (Verdict.REPLAYED, None)


def test_at_the_beginning_of_time_there_is_no_step_before_the_first() -> None:
    assert verify(RFC_SECRET, code_at(0), now_s=0, last_step=-1) == (Verdict.ACCEPTED, 0)
    assert verify(RFC_SECRET, code_at(1), now_s=0, last_step=-1) == (Verdict.ACCEPTED, 1)


@pytest.mark.parametrize("secret", ["not base32", "A1", "0O8", "\u00e9", "JBSWY3DP!"])
def test_a_secret_that_is_not_base32_is_a_damaged_record(secret: str) -> None:
    with pytest.raises(ValueError):
        verify(secret, "123456", now_s=NOW_S, last_step=-1)


@relaxed
@given(st.binary(min_size=10, max_size=40), st.integers(1, 2**33), st.integers(-1, 1))
def test_any_secret_of_any_length_works_without_padding(
    raw: bytes, now_s: int, offset: int
) -> None:
    secret = base64.b32encode(raw).decode().rstrip("=")
    step = max(0, now_s // 30 + offset)
    verdict, found = verify(secret, code_at(step, secret), now_s=now_s, last_step=-1)
    assert verdict is Verdict.ACCEPTED
    assert found is not None
    assert code_at(found, secret) == code_at(step, secret)


@pytest.mark.parametrize("secret", [RFC_SECRET, SHORT_SECRET])
def test_oathtool_agrees(secret: str) -> None:
    oathtool = require_program("oathtool")
    told = subprocess.run(
        [oathtool, "--totp", "-b", secret, f"--now=@{NOW_S}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    code = told.stdout.strip()
    assert verify(secret, code, now_s=NOW_S, last_step=-1, window=0)[0] is Verdict.ACCEPTED


# -- the scheme --------------------------------------------------------------------------------


@dataclass
class Desk:
    """The scheme before a store in memory, and one user with an authenticator."""

    scheme: TotpScheme
    users: Any
    ring: KeyRing
    clock: FixedClock

    @property
    def user(self) -> User:
        user = self.users.find("al")
        assert user is not None
        return user

    def code(self, offset: int = 0, held: Authenticator | None = None) -> str:
        secret = open_secret(self.ring, held or self.user.authenticators[0])
        return code_at(int(self.clock.now_s()) // 30 + offset, secret)

    def wrong_code(self) -> str:
        near = {self.code(offset) for offset in (-1, 0, 1)}
        return next(code for code in ("000000", "000001", "000002", "000003") if code not in near)


@pytest.fixture
def desk(clock: FixedClock) -> Desk:
    stores = memory_stores()
    users = stores.users
    ring = KeyRing(lambda: (b"k" * 32,))
    make = Enrolment(ring, clock, first_code, issuer="factored").make
    users.add("al", "al", ticket_series="s", now_s=NOW_S, authenticator=make)
    context = SchemeContext(
        users=users,
        cipher=ring,
        clock=clock,
        hasher=ring,
        challenges=stores.challenges,
        recovery_codes=stores.recovery_codes,
        outbox=KeptMails(),
        finder=None,
        settings=None,
    )
    return Desk(TotpScheme(context), users, ring, clock)


def test_the_scheme_is_the_one_that_settings_urls_and_tickets_name(desk: Desk) -> None:
    assert (desk.scheme.name, desk.scheme.path, desk.scheme.budget) == ("Google Auth", "ga", "totp")
    assert desk.scheme.normalise("123 456") == "123456"
    assert desk.scheme.normalise("12345") is None


def test_nothing_is_sent_and_nothing_waited_for(desk: Desk) -> None:
    asker = Asker("al", "browser")
    assert desk.scheme.sends is False
    desk.scheme.check_sending()
    desk.scheme.challenge(desk.user, asker)
    assert desk.scheme.awaited(asker) is None


def test_the_right_code_is_accepted_once(desk: Desk) -> None:
    assert desk.scheme.verify(desk.user, desk.wrong_code()) is Verdict.WRONG
    assert desk.scheme.verify(desk.user, desk.code()) is Verdict.ACCEPTED
    assert desk.user.authenticators[0].last_step == STEP
    assert desk.scheme.verify(desk.user, desk.code()) is Verdict.REPLAYED
    assert desk.scheme.verify(desk.user, desk.code(-1)) is Verdict.REPLAYED
    assert desk.scheme.verify(desk.user, desk.code(1)) is Verdict.ACCEPTED


def test_a_code_stays_used_after_the_clock_went_back(desk: Desk) -> None:
    assert desk.scheme.verify(desk.user, desk.code()) is Verdict.ACCEPTED
    desk.clock.advance(-3600)
    assert desk.scheme.verify(desk.user, desk.code()) is Verdict.REPLAYED


def test_of_two_that_looked_at_the_same_moment_one_is_accepted(desk: Desk) -> None:
    seen_by_both, code = desk.user, desk.code()
    verdicts = [desk.scheme.verify(seen_by_both, code) for _ in range(2)]
    assert verdicts == [Verdict.ACCEPTED, Verdict.REPLAYED]


def test_each_authenticator_of_a_user_works_and_is_used_up_apart(desk: Desk) -> None:
    second = Enrolment(desk.ring, desk.clock, first_code, issuer="factored").make(desk.user.id)
    first = desk.user.authenticators[0]
    desk.users._users[1] = replace(desk.user, authenticators=(first, second))
    assert desk.scheme.verify(desk.user, desk.code(held=second)) is Verdict.ACCEPTED
    assert desk.scheme.verify(desk.user, desk.code(held=second)) is Verdict.REPLAYED
    assert desk.scheme.verify(desk.user, desk.code(held=first)) is Verdict.ACCEPTED


def test_a_code_to_come_is_used_up_once_it_was_told(desk: Desk) -> None:
    """Else a lucky guess would be told when to come back (PROMISES, "Numbers")."""
    ahead = desk.code(4)
    assert desk.scheme.verify(desk.user, ahead) is Verdict.SKEWED
    desk.clock.advance(4 * 30)
    assert desk.scheme.verify(desk.user, ahead) is not Verdict.ACCEPTED
    again = desk.users.get(desk.user.id)
    assert desk.scheme.verify(again, ahead) is Verdict.REPLAYED
    assert desk.scheme.verify(again, desk.code(1)) is Verdict.ACCEPTED


def with_another(desk: Desk) -> tuple[User, Authenticator]:
    """-> the user, who holds two by now, and the second"""
    second = Enrolment(desk.ring, desk.clock, first_code, issuer="factored").make(desk.user.id)
    both = replace(desk.user, authenticators=(*desk.user.authenticators, second))
    desk.users._users[desk.user.id] = both
    return both, second


@pytest.mark.parametrize("offset", [-1, 0, 1])
@pytest.mark.parametrize("known_device", [False, True])
def test_of_several_authenticators_a_stranger_may_use_the_present_step_alone(
    desk: Desk, known_device: bool, offset: int
) -> None:
    both, second = with_another(desk)
    code = desk.code(offset, held=second)
    verdict = desk.scheme.verify(both, code, known_device=known_device)
    expected = Verdict.ACCEPTED if known_device or offset == 0 else Verdict.SKEWED
    assert verdict is expected


def test_a_replayed_code_is_told_so_though_another_authenticator_calls_it_wrong(
    desk: Desk,
) -> None:
    second = Enrolment(desk.ring, desk.clock, first_code, issuer="factored").make(desk.user.id)
    code = desk.code()
    assert desk.scheme.verify(desk.user, code) is Verdict.ACCEPTED
    both = replace(desk.user, authenticators=(*desk.user.authenticators, second))
    assert desk.scheme.verify(both, code) is Verdict.REPLAYED


def without_one(user: User) -> User:
    return replace(user, authenticators=())


def disabled(user: User) -> User:
    return replace(user, disabled_at=NOW_S)


def pending(user: User) -> User:
    (held,) = user.authenticators
    return replace(user, authenticators=(replace(held, state=AuthenticatorState.PENDING),))


def of_another_scheme(user: User) -> User:
    (held,) = user.authenticators
    return replace(user, authenticators=(replace(held, scheme="em"),))


@pytest.mark.parametrize("change", [without_one, disabled, pending, of_another_scheme])
def test_who_holds_nothing_that_counts_is_wrong_with_every_code(
    desk: Desk, change: Callable[[User], User]
) -> None:
    assert desk.scheme.verify(change(desk.user), desk.code()) is Verdict.WRONG
    assert desk.user.authenticators[0].last_step == -1


def test_a_name_without_a_user_costs_the_same_work_and_is_unknown(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    work: list[str] = []

    def counted(owner: type, method: str) -> None:
        done = getattr(owner, method)

        def counting(*args: Any, **options: Any) -> Any:
            work.append(method)
            return done(*args, **options)

        monkeypatch.setattr(owner, method, counting)

    counted(KeyRing, "decrypt")
    counted(LenientTotp, "generate_otp")
    seen = []
    wrong = "000000"
    for user in (desk.user, None, without_one(desk.user)):
        work.clear()
        seen.append((desk.scheme.verify(user, wrong), list(work)))
    assert [verdict for verdict, _ in seen] == [
        Verdict.WRONG, Verdict.UNKNOWN_USER, Verdict.WRONG,
    ]  # fmt: skip
    assert seen[0][1] == seen[1][1] == seen[2][1] == ["decrypt"] + ["generate_otp"] * 21


def test_a_secret_of_another_row_is_no_way_in_and_only_the_log_knows(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    (held,) = desk.user.authenticators
    moved = replace(held, id="another row")
    user = replace(desk.user, authenticators=(moved,))
    assert desk.scheme.verify(user, desk.code()) is Verdict.WRONG
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "another row cannot be read" in record.getMessage()
    both = replace(user, authenticators=(moved, held))
    assert desk.scheme.verify(both, desk.code()) is Verdict.ACCEPTED


def test_a_damaged_secret_is_no_way_in_and_only_the_log_knows(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """An error page for this one name would tell a stranger that there is such a user."""
    (held,) = desk.user.authenticators
    sealed = desk.ring.encrypt(SECRET, "not base32!", bound_to=place(held.user_id, held.id))
    user = replace(desk.user, authenticators=(replace(held, secret=sealed),))
    assert desk.scheme.verify(user, "123456") is Verdict.WRONG
    assert held.id in caplog.text
    assert "not base32!" not in caplog.text


@pytest.mark.parametrize("secret", ["", "AE"])
def test_a_secret_too_short_to_be_one_lets_nobody_in(desk: Desk, secret: str) -> None:
    """An empty column of an old database is no secret: anybody can reckon its codes."""
    (held,) = desk.user.authenticators
    sealed = desk.ring.encrypt(SECRET, secret, bound_to=place(held.user_id, held.id))
    user = replace(desk.user, authenticators=(replace(held, secret=sealed),))
    assert desk.scheme.verify(user, code_at(STEP, secret)) is not Verdict.ACCEPTED
