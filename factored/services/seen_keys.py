"""Which user stood in which line of a file, remembered for very many lines."""

from __future__ import annotations

from array import array
from hashlib import blake2b

from factored import codes


class SeenKeys:
    """Which canonical keys a file had so far, and in which line each came first.

    A table of 64-bit keyed hashes and line numbers, at most half full: 24 to 48 bytes for each
    user, however long his name. Of a million names two share a hash once in 30 million imports, and
    the later one would be refused; nobody can choose such names, as the key is new each time.
    """

    def __init__(self) -> None:
        self._key = codes.new_id().encode()
        self._used = 0
        self._allot(1024)

    def line(self, key: str, line: int) -> int:
        """key, line -> the line that had it first, which is this one from now on if none had"""
        digest = blake2b(key.encode(), digest_size=8, key=self._key).digest()
        number = int.from_bytes(digest, "big") or 1  # 0 is an empty place
        at = self._place(number)
        if self._hashes[at]:
            return self._lines[at]
        self._hashes[at], self._lines[at] = number, line
        self._used += 1
        if 2 * self._used > len(self._hashes):
            old = zip(self._hashes, self._lines, strict=True)
            self._allot(2 * len(self._hashes))
            for known, known_line in old:
                if known:
                    at = self._place(known)
                    self._hashes[at], self._lines[at] = known, known_line
        return line

    def _allot(self, size: int) -> None:
        self._hashes = array("Q", bytes(8 * size))
        self._lines = array("I", bytes(4 * size))

    def _place(self, number: int) -> int:
        """hash -> where it is, or the empty place where it belongs"""
        last = len(self._hashes) - 1
        at = number & last
        while self._hashes[at] not in (0, number):
            at = (at + 1) & last
        return at
