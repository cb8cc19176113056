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
from factored.services.enrolment import EXPLAINED, STEP_S, WINDOW, open_secret
from factored.words import _

log = logging.getLogger(__name__)


MIN_SECRET_BYTES = 10


TELLING = (Verdict.REPLAYED, Verdict.SKEWED, Verdict.WRONG)
"""What came of several authenticators, the first that is among it being told."""


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

    Compares in constant time with all of the ``2 * EXPLAINED + 1`` steps around ``now_s``, of which
    ``2 * window + 1`` can be accepted. SKEWED comes with the step too: one that is yet to come has
    been told, so it must be used up.

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
    steps = range(max(0, present - EXPLAINED), present + EXPLAINED + 1)
    hits = [step for step in steps if codes.same(totp.generate_otp(step), code)]
    new = [step for step in hits if step > last_step]
    accepted = [step for step in new if abs(step - present) <= window]
    if accepted:
        return Verdict.ACCEPTED, accepted[0]
    if new:
        return Verdict.SKEWED, new[-1]
    return (Verdict.REPLAYED if hits else Verdict.WRONG), None


def first_code(secret: str, code: str, now_s: float) -> tuple[Verdict, int | None]:
    """secret that was never used, six digits, Unix time -> ACCEPTED and the step, or why not"""
    verdict, step = verify(secret, code, now_s=now_s, last_step=-1)
    return verdict, step if verdict is Verdict.ACCEPTED else None


class TotpScheme:
    """:class:`factored.interfaces.Scheme` for authenticator apps."""

    name = _("Google Auth")
    path = "ga"
    budget = "totp"
    title = _("Two-factor sign-in")
    code_label = _("Code")
    code_desc = _("The six digits that your authenticator app shows now.")
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
        self,
        user: User | None,
        response: str,
        challenge: Challenge | None = None,
        *,
        known_device: bool = False,
    ) -> Verdict:
        now_s = self._clock.now_s()
        held = () if user is None else user.active(self.path)
        if not held:
            self._take_as_long(response, now_s)
            return Verdict.UNKNOWN_USER if user is None else Verdict.WRONG
        # A stranger's guess fits three codes at most: one authenticator's three steps, or the
        # present step of up to three authenticators (PROMISES, "Numbers": 0.1 % a year).
        window = WINDOW if known_device or len(held) == 1 else 0
        found = {Verdict.WRONG}
        for one in held:
            try:
                secret = open_secret(self._cipher, one)
                verdict, step = verify(
                    secret, response, now_s=now_s, last_step=one.last_step, window=window
                )
            except (DecryptionError, ValueError) as error:
                # The operator reads why; the visitor must not learn that there is such a user.
                log.error("authenticator %s of user %d: %s", one.id, one.user_id, error)
                continue
            if step is not None and not self._users.accept_step(one.id, step, now_s=int(now_s)):
                verdict = Verdict.REPLAYED
            if verdict is Verdict.ACCEPTED:
                return verdict
            found.add(verdict)
        return next(one for one in TELLING if one in found)

    def _take_as_long(self, response: str, now_s: float) -> None:
        """A name without an authenticator costs what a wrong code costs."""
        sealed = self._cipher.encrypt(SECRET, self._nobodys_secret, bound_to="nobody")
        secret = self._cipher.decrypt(SECRET, sealed, bound_to="nobody")
        verify(secret, response, now_s=now_s, last_step=-1)
