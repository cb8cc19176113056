"""Enrolment of a TOTP authenticator: its secret made, kept encrypted, and shown once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyotp

from factored.codes import new_id, new_totp_secret, six_digits
from factored.interfaces import Authenticator, AuthenticatorState, Cipher, Clock, User, Verdict
from factored.keys import SECRET
from factored.words import _

if TYPE_CHECKING:
    import segno

SCHEME = "ga"
STEP_S = 30
WINDOW = 1
"""One step each side: clocks may be 30 s apart (RFC 6238 section 5.2 recommends no more)."""
EXPLAINED = 10
"""Steps each side in which a code is never accepted, but is told to fit another moment."""
URI_LENGTH = 2900
"""Of what a QR code can hold at most, in bytes (ISO/IEC 18004: 2,953)."""
NAME_SHOWN = 60
"""Characters of a name that an app shows anyway."""
LABEL = _("Authenticator app")
LABEL_LENGTH = 60

CheckCode = Callable[[str, str, float], tuple[Verdict, int | None]]
"""secret that was never used, six digits, Unix time -> Verdict, and the TOTP step they are for."""


@dataclass(frozen=True)
class TotpCredential:
    """What an authenticator app needs: the base32 secret, and the URI that its QR code holds.

    ``id`` is the authenticator's. A page that shows the secret carries it along, and confirms that
    one or none: another page may have begun another enrolment meanwhile.
    """

    id: str
    secret: str = field(repr=False)
    uri: str = field(repr=False)


class Enrolment:
    """Makes and reads TOTP authenticators.

    :param check_code: the TOTP rule, handed in: services know no scheme
    :param issuer: the site's name in the authenticator app
    """

    def __init__(self, cipher: Cipher, clock: Clock, check_code: CheckCode, *, issuer: str) -> None:
        self._cipher = cipher
        self._check_code = check_code
        self._clock = clock
        self._issuer = issuer

    def make(
        self, user_id: int, state: AuthenticatorState = AuthenticatorState.ACTIVE
    ) -> Authenticator:
        """user id -> an Authenticator with a fresh 160-bit secret, ready to log in if ACTIVE"""
        now_s = int(self._clock.now_s())
        authenticator_id = new_id()
        sealed = self._cipher.encrypt(
            SECRET, new_totp_secret(), bound_to=place(user_id, authenticator_id)
        )
        return Authenticator(
            authenticator_id, user_id, SCHEME, str(LABEL), sealed, state, now_s,
            confirmed_at=now_s if state is AuthenticatorState.ACTIVE else None,
        )  # fmt: skip

    def credential(self, username: str, held: Authenticator) -> TotpCredential:
        """name, authenticator -> its TotpCredential

        :raises DecryptionError: the row was moved or the key file is another
        Source: Key Uri Format of Google Authenticator; issuer and account are percent-quoted.
        """
        secret = open_secret(self._cipher, held)
        totp = pyotp.TOTP("A" * 32)  # pyotp refuses old 80-bit secrets, so ours is put in its URI
        uri = totp.provisioning_uri(name=username, issuer_name=self._issuer)
        if len(uri) > URI_LENGTH:  # a long name in letters that are nine signs each when quoted
            uri = totp.provisioning_uri(name=username[:NAME_SHOWN], issuer_name=self._issuer)
        return TotpCredential(held.id, secret, uri.replace("A" * 32, secret, 1))

    def first_code(self, held: Authenticator, typed: str) -> tuple[Verdict, int | None]:
        """pending authenticator, what was typed -> ACCEPTED and its step, or why not and None

        :raises DecryptionError: the row was moved or the key file is another
        """
        digits = six_digits(typed)
        if digits is None:
            return Verdict.WRONG, None
        return self._check_code(open_secret(self._cipher, held), digits, self._clock.now_s())

    def resealed(self, held: Authenticator) -> str:
        """authenticator -> its secret as ciphertext under the newest key

        :raises DecryptionError: the row was moved or the key file is another
        """
        secret = open_secret(self._cipher, held)
        return self._cipher.encrypt(SECRET, secret, bound_to=place(held.user_id, held.id))


def qr_code(uri: str) -> segno.QRCode:
    """otpauth URI -> its QR code, drawn here: the secret goes to nobody"""
    import segno  # most processes draw none, and it takes a megabyte of each

    return segno.make(uri, micro=False)


def pending(user: User | None, authenticator_id: str) -> Authenticator | None:
    """user, id that a page shows -> that authenticator, if it still waits for its first code"""
    held = user.authenticators if user is not None and user.disabled_at is None else ()
    return next(
        (
            one
            for one in held
            if one.id == authenticator_id and one.state is AuthenticatorState.PENDING
        ),
        None,
    )


def label_of(text: str) -> str:
    """what was typed -> a label for an authenticator: what shows of it, and not too long"""
    shown = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(shown.split())[:LABEL_LENGTH].strip() or str(LABEL)


def label_shown(label: str) -> str:
    """label as stored -> what its user reads: his own words, or ours, to be translated"""
    return LABEL if label == LABEL else label


def open_secret(cipher: Cipher, held: Authenticator) -> str:
    """authenticator -> its base32 secret

    :raises DecryptionError: the row was moved or the key file is another
    """
    return cipher.decrypt(SECRET, held.secret, bound_to=place(held.user_id, held.id))


def place(user_id: int, authenticator_id: str) -> str:
    """-> the row that a secret is bound to: copied to another one it cannot be read"""
    return f"user {user_id} authenticator {authenticator_id}"
