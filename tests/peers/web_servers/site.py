"""The site behind a web server: keeps what arrived as it was sent, and echoes WebSocket."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from tests.support import eventually

IDENTITY = (
    "Factored-User",
    "Remote-User",
    "X-Remote-User",
    "X-Forwarded-User",
    "X-Authenticated-User",
    "X-Auth-Request-User",
)
"""What a client may not say, in any spelling."""

MOVING = (
    "X-Original-URL",
    "X-Original-Method",
    "X-Rewrite-URL",
    "X-Forwarded-Uri",
    "X-Forwarded-Method",
    "X-Forwarded-Prefix",
    "Forwarded",
    "SCRIPT_NAME",
    "PATH_INFO",
)
"""With what a client may move a request to another path at some sites."""

WAIT_S = 60
WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455 section 1.3."""


@dataclass(frozen=True)
class Arrived:
    """One request as the site got it; bytes are seen as latin-1, as WSGI has it."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    version: str = "HTTP/1.1"

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def values(self, name: str) -> list[str]:
        """header -> its values, in order; the name in any case, but spelt with these characters"""
        return [value for found, value in self.headers if found.lower() == name.lower()]

    def named(self) -> list[tuple[str, str]]:
        """-> all that a site of any kind may take for the user: (name as in IDENTITY, value)

        CGI, WSGI and PHP cannot tell ``Remote_User`` from ``Remote-User``.
        """
        names = {name.lower(): name for name in IDENTITY}
        spelt = [(name.lower().replace("_", "-").strip(), value) for name, value in self.headers]
        return [(names[name], value) for name, value in spelt if name in names]


class Site:
    """Listens on a loopback port; :attr:`port`. Answers 200 with what it saw, in JSON.

    A request of ``/socket`` with ``Upgrade: websocket`` becomes a WebSocket that sends back what it
    gets. The query ``cached`` makes an answer that caches may keep.

    :param status: of its answers; with another than 200 it can stand in for factored
    """

    def __init__(self, status: int = 200) -> None:
        self._status = status
        self._arrived: list[Arrived] = []
        self.junk: list[str] = []
        """What came where a request should begin, and is none."""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for one in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def requests(self) -> list[Arrived]:
        return list(self._arrived)

    def saw(self, mark: str) -> Arrived:
        """a text that only one request's target holds -> that request"""
        (one,) = eventually(lambda: [one for one in self.requests() if mark in one.target])
        return one

    def never_saw(self, mark: str) -> bool:
        return not [one for one in self.requests() if mark in one.target]

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
            contextlib.suppress(OSError, EOFError, ValueError),
        ):
            while first := stream.readline().decode("latin-1"):
                if len(first.split(" ")) != 3:
                    self.junk.append(first)
                    break
                request = _read(first.rstrip("\r\n"), stream)
                self._arrived.append(request)
                if request.path.startswith("/socket") and _opens_websocket(request):
                    (key,) = request.values("Sec-WebSocket-Key")
                    connection.sendall(_switching(key))
                    for opcode, text in frames(stream):
                        connection.sendall(frame(opcode, text))
                    break
                connection.sendall(_answer(request, self._status))
        self._open.discard(connection)


def _read(first: str, stream: BinaryIO) -> Arrived:
    """request line, stream -> that request, whole; EOFError where it breaks off"""
    method, target, version = first.split(" ")
    headers: list[tuple[str, str]] = []
    while line := _line(stream):
        name, _, value = line.partition(":")
        headers.append((name, value.strip(" \t")))
    told = {name.lower(): value for name, value in headers}
    body = b""
    if told.get("transfer-encoding", "").lower() == "chunked":
        while size := int(_line(stream), 16):
            body += _whole(stream, size)
            _line(stream)
        while line := _line(stream):  # a trailer is a header to some sites
            name, _, value = line.partition(":")
            headers.append((name, value.strip(" \t")))
    else:
        body = _whole(stream, int(told.get("content-length", "0")))
    return Arrived(method, target, headers, body, version)


def _line(stream: BinaryIO) -> str:
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    return line.decode("latin-1").removesuffix("\n").removesuffix("\r")


def _whole(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _answer(request: Arrived, status: int) -> bytes:
    said = {"method": request.method, "target": request.target, "headers": request.headers}
    body = json.dumps(said).encode()
    cache = b"Cache-Control: public, max-age=60\r\n" if "cached" in request.target else b""
    head = b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n"
    return head % (status, cache, len(body)) + (b"" if request.method == "HEAD" else body)


# -- WebSocket ------------------------------------------------------------------------------------


def accept_of(key: str) -> str:
    """Sec-WebSocket-Key -> what proves that a WebSocket server answered it (RFC 6455 4.2.2)"""
    return base64.b64encode(hashlib.sha1(key.encode() + WEBSOCKET_GUID).digest()).decode()


def _opens_websocket(request: Arrived) -> bool:
    """RFC 6455 section 4.2.1"""
    connection = ",".join(request.values("Connection")).lower().split(",")
    upgrade = [value.lower() for value in request.values("Upgrade")]
    asked_for = upgrade == ["websocket"] and "upgrade" in map(str.strip, connection)
    return asked_for and request.version == "HTTP/1.1"


def _switching(key: str) -> bytes:
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_of(key)}\r\n\r\n"
    ).encode()


def frame(opcode: int, payload: bytes, mask: bytes = b"") -> bytes:
    """opcode, payload, four bytes (of a client) or none -> one whole frame: RFC 6455 section 5.2"""
    masked = 0x80 if mask else 0
    size = len(payload)
    if size < 126:
        length = struct.pack("!B", masked | size)
    elif size < 1 << 16:
        length = struct.pack("!BH", masked | 126, size)
    else:
        length = struct.pack("!BQ", masked | 127, size)
    return struct.pack("!B", 0x80 | opcode) + length + mask + _masked(payload, mask)


def frames(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """stream -> opcode and payload of each frame; EOFError at its end"""
    while True:
        opcode, length = _whole(stream, 2)
        size = length & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", _whole(stream, 2))
        elif size == 127:
            (size,) = struct.unpack("!Q", _whole(stream, 8))
        mask = _whole(stream, 4) if length & 0x80 else b""
        yield opcode & 0x0F, _masked(_whole(stream, size), mask)


def _masked(payload: bytes, mask: bytes) -> bytes:
    if not mask:
        return payload
    repeated = (mask * (len(payload) // 4 + 1))[: len(payload)]
    number = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return number.to_bytes(len(payload), "big")
