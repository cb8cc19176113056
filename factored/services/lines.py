"""Files read line by line: numbered, bounded, and never more than one line in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

MAX_LINE = 65536
"""Bytes; a user takes some hundreds."""

BOM = b"\xef\xbb\xbf"


class Lines:
    """The lines of a file that was opened for reading bytes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.number = 0
        self.bytes_read = 0

    def __iter__(self) -> Iterator[bytes | None]:
        """-> each line as it stands, its end too; None for one that is longer than MAX_LINE"""
        while line := self._read():
            self.number += 1
            if len(line) <= MAX_LINE:
                yield line
                continue
            while line and not line.endswith(b"\n"):
                line = self._read()
            yield None

    def _read(self) -> bytes:
        line = self._file.readline(MAX_LINE + 1)
        self.bytes_read += len(line)
        return line
