"""A passphrase made into keys, for what leaves the machine: encrypt, sign, and the reverse."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import unicodedata
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from factored.interfaces import DecryptionError

SALT_BYTES = 16
NONCE_BYTES = 12
"""What AES-GCM takes (NIST SP 800-38D section 5.2.1.1); random, far below 2^32 uses of a key."""

MOST_N, MOST_R, MOST_P = 2**18, 8, 4
"""Of a file that others wrote: 256 MiB at most, or its first line could ask for all there is."""

MIN_LENGTH = 12
"""Characters of a new passphrase: whoever has the file may try as many as he likes."""


@dataclass(frozen=True)
class Cost:
    """What one try costs: scrypt's parameters.

    Source: OWASP Password Storage Cheat Sheet, "scrypt": N = 2^17, r = 8, p = 1; 128 MiB.
    """

    n: int = 2**17
    r: int = 8
    p: int = 1

    def __post_init__(self) -> None:
        """:raises ValueError: not to be reckoned, or dearer than this release ever writes"""
        if not (1 < self.n <= MOST_N and 0 < self.r <= MOST_R and 0 < self.p <= MOST_P):
            raise ValueError("the parameters of scrypt are out of bounds")
        if self.n & (self.n - 1):
            raise ValueError("n of scrypt is no power of two")


class PassphraseKeys:
    """Two keys of one passphrase: one encrypts (AES-256-GCM), one signs (HMAC with SHA-256).

    :param passphrase: as typed; NFKC makes two keyboards agree (RFC 8265 section 4.2 has NFC)
    """

    def __init__(self, passphrase: str, salt: bytes, cost: Cost) -> None:
        self.salt, self.cost = salt, cost
        text = unicodedata.normalize("NFKC", passphrase).encode("utf-8", "surrogateescape")
        derived = Scrypt(salt=salt, length=64, n=cost.n, r=cost.r, p=cost.p).derive(text)
        self._cipher = AESGCM(derived[:32])
        self._signing_key = derived[32:]

    def encrypt(self, plaintext: str, *, bound_to: str) -> str:
        """plaintext, place -> base64 of nonce and ciphertext, of use in that place only"""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, plaintext.encode(), bound_to.encode())
        return base64.b64encode(nonce + sealed).decode()

    def decrypt(self, ciphertext: str, *, bound_to: str) -> str:
        """the reverse of :meth:`encrypt`

        :raises DecryptionError: another passphrase or another place; or damaged
        """
        try:
            raw = base64.b64decode(ciphertext, validate=True)
            nonce, sealed = raw[:NONCE_BYTES], raw[NONCE_BYTES:]
            return self._cipher.decrypt(nonce, sealed, bound_to.encode()).decode()
        except (InvalidTag, binascii.Error, ValueError):
            raise DecryptionError("it was not encrypted with this passphrase, for here") from None

    def signing(self, purpose: str) -> hmac.HMAC:
        """purpose -> what is fed with ``update`` and gives the signature as ``hexdigest``"""
        return hmac.new(self._signing_key, purpose.encode() + b"\n", hashlib.sha256)
