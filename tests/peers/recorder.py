"""A site on a raw socket: reads strictly, keeps what came byte for byte, and says what it saw."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

WAIT_S = 60
PAD = b"0123456789abcdef" * 4096
"""64 KiB: more than one block of what simpleproxy moves at a time."""

LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ /[!-~]* HTTP/1\.1")
FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([\t -~\x80-\xff]*)")
FRAMING = (b"content-length", b"transfer-encoding")


@dataclass(frozen=True)
class Arrived:
    """One request as the site behind simpleproxy got it, whole."""

    line: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes

    @property
    def target(self) -> bytes:
        return self.line.split(b" ")[1]

    def values(self, *names: bytes) -> list[bytes]:
        return [value for name, value in self.fields if name.lower() in names]

    @property
    def saw(self) -> bytes:
        """What the answer says of the request: its target, and each user it names."""
        return b" ".join([self.target, *self.values(b"factored-user")])


class Recorder:
    """Listens on a loopback port; :attr:`port`.

    The query chooses the answer: ``long``, ``chunked``, ``close``, ``nothing`` (204). Each answer
    has a header ``X-Saw``, and a body that is the same text and a pad.
    """

    def __init__(self) -> None:
        self.arrived: list[Arrived] = []
        self.junk: list[bytes] = []
        """Heads that are none, by the letter of RFC 9112."""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def with_mark(self, mark: bytes) -> list[Arrived]:
        return [one for one in list(self.arrived) if mark in one.line]

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.add(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(WAIT_S)
        with (
            connection,
            connection.makefile("rb") as stream,
            contextlib.suppress(OSError, EOFError),
        ):
            while True:
                request = self._read(stream)
                self.arrived.append(request)
                connection.sendall(b"".join(answer_to(request)))
                if b"close" in request.target:
                    break
        self._open.discard(connection)

    def _read(self, stream: BinaryIO) -> Arrived:
        """stream -> the next request; EOFError at its end, or where it cannot go on"""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = stream.readline()
            if not line:
                if head:
                    self.junk.append(head)
                raise EOFError
            head += line
        first, *lines = head[:-4].split(b"\r\n")
        fields = [FIELD.fullmatch(line) for line in lines]
        names = [field[1].lower() for field in fields if field]
        framing = [name for name in names if name in FRAMING]
        if (
            not LINE.fullmatch(first)
            or not all(fields)
            or len(set(names)) != len(names)
            or names.count(b"host") != 1
            or len(framing) > 1
        ):
            self.junk.append(head)
            raise EOFError
        told = [(field[1], field[2]) for field in fields if field]
        how, value = next((pair for pair in told if pair[0].lower() in FRAMING), (b"", b"0"))
        if how.lower() == b"transfer-encoding":
            body = self._chunks(stream, value)
        else:
            body = whole(stream, int(value))
        return Arrived(first, told, body)

    def _chunks(self, stream: BinaryIO, coding: bytes) -> bytes:
        body = b""
        while True:
            line = stream.readline()
            if not line:
                raise EOFError
            size = re.fullmatch(rb"([0-9a-f]+)\r\n", line)
            if not size or coding != b"chunked":
                self.junk.append(coding + b"\n" + line)
                raise EOFError
            block = whole(stream, int(size[1], 16) + 2)
            if not block.endswith(b"\r\n"):
                self.junk.append(block)
                raise EOFError
            if block == b"\r\n":
                return body
            body += block[:-2]


def whole(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def answer_to(request: Arrived) -> Iterator[bytes]:
    query = request.target.partition(b"?")[2]
    nothing = b"nothing" in query
    body = b"" if nothing else request.saw + (PAD if b"long" in query else b"")
    yield b"HTTP/1.1 204 Nothing\r\n" if nothing else b"HTTP/1.1 200 OK\r\n"
    yield b"X-Saw: " + request.saw + b"\r\n"
    if b"close" in query:
        yield b"Connection: close\r\n"
    if b"chunked" in query and not nothing:
        yield b"Transfer-Encoding: chunked\r\n\r\n"
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    elif not nothing:
        yield b"Content-Length: %d\r\n\r\n" % len(body)
    else:
        yield b"\r\n"
    if not request.line.startswith(b"HEAD "):
        yield body
