"""The upstream's answer, read strictly: where it ends is never a guess."""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable, Generator, Iterator

from factored.upstream.connection import BLOCK, Connection, UpstreamError

# Bytes of an answer's head, interim answers included. Some apps send more than 100 headers, where
# many libraries stop; no limit would let an upstream fill the memory.
MAX_HEAD = 262144

TCHARS = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110 section 5.6.2
LENGTH = re.compile(r"[0-9]{1,18}")
TEXT = r"[\t -~\x80-\xff]*"
STATUS_LINE = re.compile(rf"HTTP/1\.([0-9]) +([1-5][0-9][0-9])(?: ({TEXT}))?\r?\n")
FIELD = re.compile(rf"({TCHARS})[ \t]*:({TEXT})\r?\n")
FIELDS = re.compile(rf"(?:{TCHARS}[ \t]*:{TEXT}\r?\n)*\r?\n")
FOLD = re.compile(r"\r?\n(?=[ \t])")
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?\r?\n")

Fields = list[tuple[str, str]]


class Answer:
    """Status, headers, and the body to iterate; close() ends it, whatever happened.

    The first bytes are read at once, while there can still be another answer.

    :param keep: takes the connection once the answer is whole; None if it must end
    :param to_head: the request was HEAD, whose answer has no body
    :raises UpstreamError: it cannot be trusted, breaks off, or stays out; of the body, later too
    Source: RFC 9112 sections 4 to 8.
    """

    def __init__(
        self,
        connection: Connection,
        keep: Callable[[Connection], None] | None,
        *,
        to_head: bool,
    ) -> None:
        self._connection = connection
        self._is_open = True
        minor, self.status, reason, fields = read_head(connection)
        self.reason = reason or http.client.responses.get(self.status, "Unknown")
        self.headers, chunked, length = framed(fields, minor, self.status)
        if to_head or self.status in (204, 304):
            chunked, length = False, 0
            if to_head or announces_body(fields):
                # Some send it all the same: late, it would be the next visitor's answer.
                keep = None
        if chunked:
            self._blocks = self._chunks()
        elif length is None:
            self._blocks, keep = self._rest(), None
        else:
            self._blocks = self._counted(length)
        self._keep = None if minor == "0" or wants_to_close(fields) else keep
        self._first = next(self._blocks, b"")

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """-> the bytes that are there; UpstreamError if the upstream broke off or fell silent"""
        block, self._first = self._first, b""
        return block or next(self._blocks)

    def close(self) -> None:
        """End the connection if a rest is unread; after a whole body it is not ours any more."""
        if self._is_open:
            self._is_open = False
            self._connection.close()

    def _end(self) -> None:
        self._is_open = False
        if self._keep:
            self._keep(self._connection)
        else:
            self._connection.close()

    def _counted(self, left: int) -> Generator[bytes, None, None]:
        """Content-Length -> blocks"""
        while left:
            block = self._some(left)
            left -= len(block)
            yield block
        self._end()

    def _chunks(self) -> Generator[bytes, None, None]:
        """-> blocks of chunks; what trails behind them is for nobody"""
        while left := self._chunk_size():
            while left:
                block = self._some(left)
                left -= len(block)
                yield block
            if self._connection.line() != b"\r\n":
                raise UpstreamError("a chunk is longer than it says")
        room = MAX_HEAD
        while (line := self._connection.line()) not in (b"\r\n", b"\n"):
            room -= len(line)
            if room < 0:
                raise UpstreamError("what trails behind the chunks is too long")
        self._end()

    def _chunk_size(self) -> int:
        size = CHUNK_SIZE.fullmatch(self._connection.line())
        if not size:
            raise UpstreamError("a chunk does not say how long it is")
        return int(size[1], 16)

    def _rest(self) -> Generator[bytes, None, None]:
        """-> blocks up to the end of the connection"""
        while block := self._connection.take(BLOCK):
            yield block
        self._end()

    def _some(self, left: int) -> bytes:
        """bytes to come -> those that are there"""
        block = self._connection.take(min(BLOCK, left))
        if not block:
            raise UpstreamError("the body breaks off")
        return block


def read_head(connection: Connection) -> tuple[str, int, str, Fields]:
    """connection -> (minor version, status, reason, headers) of the final answer

    Interim answers are skipped. 101 is none, as WSGI cannot switch protocols.
    """
    room, code = MAX_HEAD, "100"
    while code < "200":
        head = connection.head(room).decode("latin-1")
        room -= len(head)
        start = STATUS_LINE.match(head)
        lines = FOLD.sub("", head[start.end() :]) if start else ""
        if not start or start[2] == "101" or not FIELDS.fullmatch(lines):
            raise UpstreamError("not an HTTP/1 head, or a switch of protocols")
        minor, code, reason = start.groups("")
    return minor, int(code), reason, [(n, v.strip(" \t")) for n, v in FIELD.findall(lines)]


def framed(fields: Fields, minor: str, status: int) -> tuple[Fields, bool, int | None]:
    """headers -> (headers without doubt about the length, whether chunked, bytes or None)"""
    codings = [value.lower() for name, value in fields if name.lower() == "transfer-encoding"]
    told = [value for name, value in fields if name.lower() == "content-length"]
    lengths = {length.strip(" \t") for value in told for length in value.split(",")}
    if codings and (codings != ["chunked"] or minor == "0"):
        raise UpstreamError("a transfer coding that is not understood")
    if len(lengths) > 1 or not all(map(LENGTH.fullmatch, lengths)):
        raise UpstreamError("no single Content-Length")
    if codings or status == 204:
        lengths.clear()
    length = int(min(lengths)) if lengths else None
    headers = []
    for name, value in fields:
        if name.lower() != "content-length":
            headers.append((name, value))
        elif lengths:
            headers.append((name, lengths.pop()))
    return headers, bool(codings), length


def announces_body(fields: Fields) -> bool:
    """headers -> whether they tell of a body, as those of a 304 may"""
    return any(name.lower() in ("content-length", "transfer-encoding") for name, _ in fields)


def wants_to_close(fields: Fields) -> bool:
    """headers -> whether Connection says so; a name that only contains "close" costs no more"""
    return any("close" in value.lower() for name, value in fields if name.lower() == "connection")
