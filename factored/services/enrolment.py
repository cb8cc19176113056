"""Enrolment of a TOTP authenticator: its secret made, kept encrypted, and shown once."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyotp

from factored.codes import new_id, new_totp_secret
from factored.interfaces import Authenticator, AuthenticatorState, Cipher, Clock
from factored.keys import SECRET

SCHEME = "ga"
STEP_S = 30
WINDOW = 1
"""One step each side: clocks may be 30 s apart (RFC 6238 section 5.2 recommends no more)."""
LABEL = "Authenticator app"


@dataclass(frozen=True)
class TotpCredential:
    """What an authenticator app needs: the base32 secret, and the URI that its QR code holds."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)


class Enrolment:
    """Makes and reads TOTP authenticators.

    :param issuer: the site's name in the authenticator app
    """

    def __init__(self, cipher: Cipher, clock: Clock, *, issuer: str) -> None:
        self._cipher = cipher
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
            authenticator_id, user_id, SCHEME, LABEL, sealed, state, now_s,
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
        return TotpCredential(secret, uri.replace("A" * 32, secret, 1))

    def resealed(self, held: Authenticator) -> str:
        """authenticator -> its secret as ciphertext under the newest key

        :raises DecryptionError: the row was moved or the key file is another
        """
        secret = open_secret(self._cipher, held)
        return self._cipher.encrypt(SECRET, secret, bound_to=place(held.user_id, held.id))


def open_secret(cipher: Cipher, held: Authenticator) -> str:
    """authenticator -> its base32 secret

    :raises DecryptionError: the row was moved or the key file is another
    """
    return cipher.decrypt(SECRET, held.secret, bound_to=place(held.user_id, held.id))


def place(user_id: int, authenticator_id: str) -> str:
    """-> the row that a secret is bound to: copied to another one it cannot be read"""
    return f"user {user_id} authenticator {authenticator_id}"
