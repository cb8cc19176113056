"""One connection to the upstream: bytes out, with an ear for an early answer, and bytes in."""

from __future__ import annotations

import re
import select
import socket
import ssl
from collections.abc import Iterator

BLOCK = 65536  # bytes moved at a time: memory stays flat whatever is sent or fetched
STALL_S = 1.0  # an upload that stalls this long may have been answered already

END_OF_HEAD = re.compile(rb"\n\r?\n")


class UpstreamError(Exception):
    """The upstream cannot be reached, breaks off, or says what cannot be trusted."""


class UpstreamTimeout(UpstreamError):
    """The upstream neither takes nor gives anything for too long."""


class Connection:
    """A socket with what was read from it and not yet used."""

    def __init__(self, sock: socket.socket, timeout_s: float) -> None:
        self._sock = sock
        self._timeout_s = timeout_s
        self._buffer = bytearray()

    def close(self) -> None:
        self._sock.close()

    def is_quiet(self) -> bool:
        """-> whether the upstream has said nothing that was not asked for, not even good-bye"""
        if self._buffer or readable(self._sock):
            return False
        # The TLS library reads whole records, which no poll sees.
        return not (isinstance(self._sock, ssl.SSLSocket) and self._sock.pending())

    # -- out ---------------------------------------------------------------------------------------

    def request(self, head: bytes, body: Iterator[bytes] | None, *, chunked: bool) -> bool:
        """head, blocks -> whether all was sent; not if the upstream reads no more

        :raises UpstreamError: the upstream neither reads nor answers
        """
        try:
            self._send(head)
            for block in body or ():
                self._send(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)
            if chunked:
                self._send(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            return False  # and has perhaps said why
        except TimeoutError as error:
            raise UpstreamTimeout("the upstream stopped reading") from error
        except OSError as error:
            raise UpstreamError(error) from error
        return True

    def _send(self, data: bytes) -> None:
        """bytes -> None; BrokenPipeError if there is an answer and nothing more is read"""
        pause_s, stalled_s, view = min(STALL_S, self._timeout_s), 0.0, memoryview(data)
        while view:
            if writable(self._sock, pause_s):
                view, stalled_s = view[self._sock.send(view) :], 0.0
                continue
            stalled_s += pause_s
            answered, too_long = self._answered(), stalled_s >= self._timeout_s
            # Who refuses reads no more; who agrees may only be slow to read.
            if answered > b"2" or (answered == b"2" and too_long):
                raise BrokenPipeError("answered before the upload was read")
            if too_long:
                raise TimeoutError

    def _answered(self) -> bytes:
        """-> first digit of the status that waits; b"1" if that is not there yet, b"5" at the end

        Over TLS, where other things wait too, it is never known.
        """
        if isinstance(self._sock, ssl.SSLSocket) or not readable(self._sock):
            return b"1"
        head = self._sock.recv(10, socket.MSG_PEEK)
        return (head[9:] or b"1") if head else b"5"

    # -- in ----------------------------------------------------------------------------------------

    def take(self, most: int) -> bytes:
        """-> the bytes that are there, at most so many; none at the end"""
        if not self._buffer:
            return self._receive(most)
        return self._cut(min(most, len(self._buffer)))

    def line(self) -> bytes:
        """-> a line with its end; UpstreamError if it breaks off or is longer than a block"""
        while (end := self._buffer.find(b"\n", 0, BLOCK)) < 0:
            self._fill(BLOCK)
        return self._cut(end + 1)

    def head(self, most: int) -> bytes:
        """-> a head with the empty line; UpstreamError if it breaks off or is longer than that"""
        seen = 0
        while not (end := END_OF_HEAD.search(self._buffer, max(seen - 2, 0), most)):
            seen = len(self._buffer)
            self._fill(most)
        return self._cut(end.end())

    def _cut(self, size: int) -> bytes:
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def _fill(self, most: int) -> None:
        """bytes wanted at most -> None; there are more of them in the buffer"""
        if len(self._buffer) >= most:
            raise UpstreamError("a head or a line is too long")
        data = self._receive(BLOCK)
        if not data:
            raise UpstreamError("a head or a line breaks off")
        self._buffer += data

    def _receive(self, most: int) -> bytes:
        try:
            return self._sock.recv(most)
        except TimeoutError as error:
            raise UpstreamTimeout("the upstream fell silent") from error
        except OSError as error:
            raise UpstreamError(error) from error


def readable(sock: socket.socket) -> bool:
    """socket -> whether there is something to read, be it the end"""
    return _ready(sock, select.POLLIN, 0)


def writable(sock: socket.socket, within_s: float) -> bool:
    """socket, seconds -> whether it takes some bytes by then"""
    return _ready(sock, select.POLLOUT, within_s)


def _ready(sock: socket.socket, event: int, within_s: float) -> bool:
    # poll, as select knows no more than 1,024 files.
    poll = select.poll()
    poll.register(sock, event)
    return bool(poll.poll(within_s * 1000))
