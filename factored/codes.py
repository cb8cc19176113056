"""The only place that makes or compares random codes."""

from __future__ import annotations

import base64
import hmac
import re
import secrets
import unicodedata

ID_BYTES = 16
"""128 bits: nobody guesses or repeats one (NIST SP 800-63B section 7.1 asks for 64)."""

TOTP_SECRET_BYTES = 20
"""160 bits, as RFC 4226 section 4 R6 recommends."""

SEPARATORS = re.compile(r"[\s\-\u2010-\u2015]+")


def new_id() -> str:
    """-> 22 characters of base64url, 128 random bits; for tickets, series, devices, browsers"""
    return secrets.token_urlsafe(ID_BYTES)


def new_key() -> str:
    """-> 43 characters of base64url, 256 random bits; a ticket secret or a line of the key file"""
    return secrets.token_urlsafe(32)


def new_link_token() -> str:
    """-> 32 characters of base64url, 192 random bits (PROMISES 9 asks for 128)"""
    return secrets.token_urlsafe(24)


def new_totp_secret() -> str:
    """-> 32 letters and digits of base32, 160 random bits, no padding"""
    return base64.b32encode(secrets.token_bytes(TOTP_SECRET_BYTES)).decode()


def same(one: str, other: str) -> bool:
    """two texts -> whether they are equal, in a time that does not tell where they differ"""
    return hmac.compare_digest(one.encode(), other.encode())


ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""32 signs without look-alikes (Crockford's base 32): 8 of them are 40 bits."""

LOOK_ALIKES = str.maketrans("OILU", "011V")


def new_mail_code() -> str:
    """-> 8 signs of ALPHABET, 40 random bits (PROMISES 8)"""
    return "".join(secrets.choice(ALPHABET) for _ in range(8))


def mail_code(text: str) -> str | None:
    """what was typed, in any case, with spaces or look-alikes -> 8 signs, or None"""
    return _signs(text, 8)


def new_recovery_code() -> str:
    """-> 16 signs of ALPHABET in groups of four, 80 random bits"""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(4)) for _ in range(4))


def recovery_code(text: str) -> str | None:
    """what was typed, in any case, with spaces or look-alikes -> 16 signs, or None"""
    return _signs(text, 16)


def _signs(text: str, length: int) -> str | None:
    signs = SEPARATORS.sub("", unicodedata.normalize("NFKC", text)).upper().translate(LOOK_ALIKES)
    return signs if re.fullmatch(f"[{ALPHABET}]{{{length}}}", signs) else None


def six_digits(text: str) -> str | None:
    """what was typed -> six ASCII digits, or None

    Takes what people paste: ``123 456``, ``123-456``, full-width digits (NFKC makes them ASCII).
    """
    digits = SEPARATORS.sub("", unicodedata.normalize("NFKC", text))
    return digits if re.fullmatch(r"[0-9]{6}", digits, re.ASCII) else None
