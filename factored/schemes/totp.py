"""Google Auth at /ga: a code from an authenticator app (TOTP, RFC 6238)."""

from __future__ import annotations

import base64
import logging

import pyotp

from factored import codes
from factored.interfaces import (
    Asker,
    Challenge,
    DecryptionError,
    SchemeContext,
    User,
    Verdict,
)
from factored.keys import SECRET
from factored.services.enrolment import STEP_S, WINDOW, open_secret

log = logging.getLogger(__name__)


MIN_SECRET_BYTES = 10


class LenientTotp(pyotp.TOTP):
    """pyotp's TOTP with a lower bound of 80 bits: factored 1.x to 4.x made secrets of that size."""

    def byte_secret(self) -> bytes:
        secret = base64.b32decode(self.secret + "=" * (-len(self.secret) % 8), casefold=True)
        if len(secret) < MIN_SECRET_BYTES:
            raise ValueError("the secret is too short to be one")
        return secret


def verify(
    secret: str, code: str, *, now_s: float, last_step: int, window: int = WINDOW
) -> tuple[Verdict, int | None]:
    """secret, code, time -> (Verdict, step or None)

    Compares in constant time with all of the ``2 * window + 1`` steps around ``now_s``.

    :param secret: base32 text; 160 bits for new users, 80 in databases of factored 1.x-4.x
    :param code: six ASCII digits, already normalised
    :param now_s: Unix time, seconds
    :param last_step: step of the last accepted code, or -1; a step is accepted once, and only
        forward
    :raises ValueError: the secret is not base32, or under 80 bits: a damaged record, not a
        user's mistake
    Source: RFC 6238 section 5.2; RFC 4226 section 7.2.
    """
    totp = LenientTotp(secret)
    present = int(now_s) // STEP_S
    steps = range(max(0, present - window), present + window + 1)
    hits = [step for step in steps if codes.same(totp.generate_otp(step), code)]
    new = [step for step in hits if step > last_step]
    if new:
        return Verdict.ACCEPTED, new[0]
    return (Verdict.REPLAYED if hits else Verdict.WRONG), None


def first_step(secret: str, code: str, now_s: float) -> int | None:
    """secret that was never used, six digits, Unix time -> the step they are right for, or None"""
    return verify(secret, code, now_s=now_s, last_step=-1)[1]


class TotpScheme:
    """:class:`factored.interfaces.Scheme` for authenticator apps."""

    name = "Google Auth"
    path = "ga"
    budget = "totp"
    title = "Two-factor sign-in"
    code_label = "Code"
    code_desc = "The six digits that your authenticator app shows now."
    sends = False

    def __init__(self, context: SchemeContext) -> None:
        self._users = context.users
        self._cipher = context.cipher
        self._clock = context.clock
        self._nobodys_secret = codes.new_totp_secret()

    def check_sending(self) -> None:
        """Nothing is sent."""

    def challenge(self, user: User | None, asker: Asker) -> None:
        """Nothing: the app needs no challenge."""

    def awaited(self, asker: Asker) -> Challenge | None:
        return None

    def normalise(self, text: str) -> str | None:
        return codes.six_digits(text)

    def verify(
        self, user: User | None, response: str, challenge: Challenge | None = None
    ) -> Verdict:
        now_s = self._clock.now_s()
        held = () if user is None else user.active(self.path)
        if not held:
            self._take_as_long(response, now_s)
            return Verdict.UNKNOWN_USER if user is None else Verdict.WRONG
        verdict = Verdict.WRONG
        for one in held:
            try:
                secret = open_secret(self._cipher, one)
                found, step = verify(secret, response, now_s=now_s, last_step=one.last_step)
            except (DecryptionError, ValueError) as error:
                # The operator reads why; the visitor must not learn that there is such a user.
                log.error("authenticator %s of user %d: %s", one.id, one.user_id, error)
                continue
            if step is not None:
                if self._users.accept_step(one.id, step, now_s=int(now_s)):
                    return Verdict.ACCEPTED
                found = Verdict.REPLAYED
            if found is Verdict.REPLAYED:
                verdict = found
        return verdict

    def _take_as_long(self, response: str, now_s: float) -> None:
        """A name without an authenticator costs what a wrong code costs."""
        sealed = self._cipher.encrypt(SECRET, self._nobodys_secret, bound_to="nobody")
        secret = self._cipher.decrypt(SECRET, sealed, bound_to="nobody")
        verify(secret, response, now_s=now_s, last_step=-1)
