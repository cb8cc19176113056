"""Key ring: one derived key for each purpose, newest first, old ones still read.

``auth_tkt.secret`` is shared with web servers, so nothing here derives from it. The key file is
factored's own: one key a line, the first signs and encrypts, all verify and decrypt.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
import os
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Generic, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from factored.interfaces import Clock, ConfigurationError, DecryptionError

log = logging.getLogger(__name__)

T = TypeVar("T")

REREAD_AFTER_S = 2.0
"""How long a file that was read is believed; running processes follow a change within 5 s."""

PENDING = "# pending: verifies only, until `factored keys promote`"

NONCE_BYTES = 12
"""What AES-GCM takes (NIST SP 800-38D section 5.2.1.1); random, far below 2^32 uses of a key."""

# One for each use: a value made for one purpose is refused for every other (PROMISES 13).
BROWSER = "browser cookie"
CSRF = "csrf token"
DEVICE = "known-device cookie"
CHALLENGE = "browser of a challenge"
CODE = "mailed code"
LINK = "one-time link"
LOGIN_LINK = "mailed login link"
RECOVERY = "recovery code"
DONE_WORD = "what a page says was done"
THROTTLE = "throttle bucket"
SECRET = "stored secret"  # noqa: S105 a purpose, not a password


class WatchedFile(Generic[T]):
    """A parsed file, read again when it changed; while it cannot be read the old content holds.

    :param parse: text -> content; ValueError means that the text is not usable
    :raises ConfigurationError: at the first read only, naming ``key`` and the path
    """

    def __init__(self, key: str, path: Path, parse: Callable[[str], T], clock: Clock) -> None:
        self._key, self._path, self._parse, self._clock = key, path, parse, clock
        self._checked_at = clock.monotonic_s()
        try:
            self._stamp = self._stat()
            self._content = parse(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigurationError([f"{key}: {path} {_reason(error)}"]) from error

    def content(self) -> T:
        """-> what the file held within the last seconds"""
        now = self._clock.monotonic_s()
        if now - self._checked_at > REREAD_AFTER_S:
            self._checked_at = now
            try:
                stamp = self._stat()
                if stamp != self._stamp:
                    self._content = self._parse(self._path.read_text("utf-8"))
                    self._stamp = stamp
            except (OSError, ValueError) as error:
                log.error("%s: %s %s; the old keys stay", self._key, self._path, _reason(error))
        return self._content

    def _stat(self) -> tuple[int, int, int]:
        status = self._path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "is not there; `factored init` makes it"
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror}"
    return str(error)


def parse_keys(text: str) -> tuple[bytes, ...]:
    """content of a key file -> its keys: the first signs, the last is the oldest

    :raises ValueError: no key, or a line that is not 32 bytes of base64url
    """
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        word = line.strip()
        if not word or word.startswith("#"):
            continue
        try:
            key = base64.urlsafe_b64decode(word + "=" * (-len(word) % 4))
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != 32:
            raise ValueError(f"line {number} is not a key of 32 bytes in base64url")
        keys.append(key)
    if not keys:
        raise ValueError("holds no key; restore it from a backup")
    if PENDING in text and len(keys) == 2:
        keys.append(keys[0])  # the last is to be the oldest, and not the pending one
    return tuple(keys)


class KeyRing:
    """Derived keys for every purpose, from a key file that is followed while running.

    :param read_keys: -> the file's keys, newest first; called at each use
    """

    def __init__(self, read_keys: Callable[[], tuple[bytes, ...]]) -> None:
        self._read_keys = read_keys
        self._derived: dict[tuple[bytes, str], bytes] = {}

    def mac(self, purpose: str, message: str) -> str:
        """purpose, message -> 43 characters of base64url under the newest key"""
        return self.macs(purpose, message)[0]

    def macs(self, purpose: str, message: str) -> list[str]:
        """purpose, message -> the MAC under every key, newest first"""
        return [_b64(hmac.digest(key, message.encode(), sha256)) for key in self._keys(purpose)]

    def sign(self, purpose: str, message: str) -> str:
        """purpose, message without a dot at its end -> ``message.mac``"""
        return f"{message}.{self.mac(purpose, message)}"

    def unsign(self, purpose: str, signed: str) -> str | None:
        """what :meth:`sign` made -> the message, or None if no key made it for this purpose"""
        message, _, mac = signed.rpartition(".")
        return message if message and self.verify(purpose, message, mac) else None

    def verify(self, purpose: str, message: str, mac: str) -> bool:
        """purpose, message, MAC -> whether any key made it; compared in constant time"""
        try:
            given = mac.encode("ascii")
            made = self.macs(purpose, message)
        except UnicodeEncodeError:
            return False
        return any(hmac.compare_digest(given, one.encode()) for one in made)

    def bucket(self, purpose: str, message: str, buckets: int) -> int:
        """purpose, message -> a number below ``buckets`` that only the key's holder can foresee

        Under the oldest key: rotating must not empty a throttle's buckets.
        """
        key = self._keys(purpose)[-1]
        return int.from_bytes(hmac.digest(key, message.encode(), sha256)[:8], "big") % buckets

    def encrypt(self, purpose: str, plaintext: str, *, bound_to: str) -> str:
        """purpose, plaintext, place -> ``v1.`` and base64url; see interfaces.Cipher"""
        nonce = os.urandom(NONCE_BYTES)
        sealed = AESGCM(self._keys(purpose)[0]).encrypt(
            nonce, plaintext.encode(), bound_to.encode()
        )
        return "v1." + _b64(nonce + sealed)

    def decrypt(self, purpose: str, ciphertext: str, *, bound_to: str) -> str:
        """the reverse of :meth:`encrypt`; see interfaces.Cipher"""
        version, _, body = ciphertext.partition(".")
        try:
            raw = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
        except (binascii.Error, ValueError):
            raw = b""
        if version == "v1" and len(raw) > NONCE_BYTES:
            for key in self._keys(purpose):
                try:
                    return (
                        AESGCM(key)
                        .decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], bound_to.encode())
                        .decode()
                    )
                except InvalidTag:
                    continue
        raise DecryptionError(
            f"the {purpose} of {bound_to} cannot be read with today's keys; "
            "restore the key file it was made with"
        )

    def _keys(self, purpose: str) -> list[bytes]:
        return [self._derive(key, purpose) for key in self._read_keys()]

    def _derive(self, key: bytes, purpose: str) -> bytes:
        """HKDF with the purpose as label (RFC 5869 section 3.2); kept, as it never changes."""
        derived = self._derived.get((key, purpose))
        if derived is None:
            hkdf = HKDF(SHA256(), length=32, salt=None, info=b"factored 6 " + purpose.encode())
            derived = self._derived[key, purpose] = hkdf.derive(key)
        return derived


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


# -- the files themselves: made, and rotated in two steps -----------------------------------------


def create_file(path: Path, first_key: str) -> bool:
    """path, key -> whether the file was made (0600); an existing one is left alone"""
    if path.exists():
        return False
    path = path.resolve()
    beside = _written_beside(path, first_key)
    try:
        os.link(beside, path)  # whole or not at all, and never over one that is there
    except FileExistsError:
        return False
    finally:
        beside.unlink()
    return True


def _written_beside(path: Path, text: str) -> Path:
    """path, text -> a new file in the same folder that holds the text, for its owner alone"""
    descriptor, name = tempfile.mkstemp(prefix=path.name, dir=path.parent)  # 0600
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    return Path(name)


def add_key(path: Path, new_key: str) -> None:
    """path, key -> None; puts it in the second place, where it verifies and does not sign yet

    :raises ValueError: one is pending already, or the file holds no key; nothing was changed
    """
    lines = _lines(path)
    if PENDING in lines:
        raise ValueError("a key is pending already; promote it first")
    _replace(path, [lines[0], PENDING, new_key, *lines[1:]])


def promote_key(path: Path) -> None:
    """path -> None; the pending key moves to the first place and signs from now on

    :raises ValueError: none is pending, or the file holds no key; nothing was changed
    """
    lines = _lines(path)
    if PENDING not in lines[:-1]:
        raise ValueError("no key is pending; add one first")
    place = lines.index(PENDING)
    _replace(path, [lines[place + 1], *lines[:place], *lines[place + 2 :]])


def _lines(path: Path) -> list[str]:
    """The file's lines, without blank ones and without an operator's own comments."""
    lines = [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    kept = [line for line in lines if line == PENDING or not line.startswith("#")]
    if not any(line != PENDING for line in kept):
        raise ValueError("holds no key; restore it from a backup")
    return kept


def _replace(path: Path, lines: list[str]) -> None:
    """Written beside and moved over, so that a reader sees the old file or the new one, whole."""
    path = path.resolve()  # a symlink goes on leading to the file that others read too
    status = path.stat()
    beside = _written_beside(path, "\n".join(lines))
    os.chown(beside, status.st_uid, status.st_gid)
    beside.chmod(status.st_mode & 0o777)
    beside.replace(path)
