"""Recovery codes: ten at a time, shown once, stored as keyed hashes."""

from __future__ import annotations

from factored import codes
from factored.interfaces import Clock, CodesLeft, Hasher, RecoveryCodeStore
from factored.keys import RECOVERY

SCHEME = "rc"

HOW_MANY = 10


class RecoveryCodes:
    """Makes them, burns them, and tells how many are left."""

    def __init__(self, store: RecoveryCodeStore, hasher: Hasher, clock: Clock) -> None:
        self._store = store
        self._hasher = hasher
        self._clock = clock

    def make(self, user_id: int) -> list[str]:
        """user id -> ten new codes, to be shown now and never again; the old ones are void"""
        made = [codes.new_recovery_code() for _ in range(HOW_MANY)]
        hashes = [self._hashes(user_id, code.replace("-", ""))[0] for code in made]
        self._store.replace(user_id, hashes, now_s=int(self._clock.now_s()))
        return made

    def burn(self, user_id: int, code: str) -> bool:
        """user id, 16 signs -> whether it was one of the user's, and this call burned it"""
        hashes = self._hashes(user_id, code)
        return self._store.burn(user_id, hashes, now_s=int(self._clock.now_s()))

    def left(self, user_id: int) -> CodesLeft | None:
        """user id -> how many are left, or None: none were made"""
        return self._store.left(user_id)

    def _hashes(self, user_id: int, code: str) -> list[str]:
        return self._hasher.macs(RECOVERY, f"{user_id} {code}")
