"""A scripted HTTP upstream on a loopback port that keeps every request as the bytes it was."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass

WAIT_S = 10
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True)
class Request:
    """One request as it came in: the connection's number, the head and the body still coded."""

    connection: int
    head: bytes
    body: bytes

    @property
    def line(self) -> bytes:
        return self.head.split(b"\r\n")[0]

    @property
    def names(self) -> list[bytes]:
        return [line.partition(b":")[0].lower() for line in self.head.split(b"\r\n")[1:]]

    def values(self, name: bytes) -> list[bytes]:
        """header name -> every value sent under it"""
        lines = [line.partition(b": ") for line in self.head.split(b"\r\n")[1:]]
        return [value for found, _, value in lines if found.lower() == name.lower()]


def reset(connection: socket.socket) -> None:
    """connection -> None; the other side reads a reset instead of an end"""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class Upstream:
    """Answers each request with `answer`, or hands the connection to `script` when that is set.

    :param tls: context to serve https with
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answer: bytes | list[bytes] = OK
        self.closes = False
        self.script: Callable[[socket.socket], None] | None = None
        self.requests: list[Request] = []
        self.ended = threading.Event()
        """Set when a connection is over."""
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(WAIT_S)
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join(WAIT_S)
        for one in self._sockets:
            one.close()
        assert not any(thread.is_alive() for thread in self._threads)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._sockets.append(connection)
                number = len(self._sockets)
                self._threads.append(
                    threading.Thread(target=self._serve, args=(connection, number))
                )
                self._threads[-1].start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError):
            # Longer than a test waits for us to close it.
            connection.settimeout(3 * WAIT_S)
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._sockets.append(connection)
            if self.script:
                self.script(connection)
            else:
                self._answer_all(connection, number)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()
        self.ended.set()

    def _answer_all(self, connection: socket.socket, number: int) -> None:
        with connection.makefile("rb") as stream:
            while head := read_head(stream):
                body = read_body(stream, head)
                self.requests.append(Request(number, head, body))
                answer = self.answer
                connection.sendall(answer.pop(0) if isinstance(answer, list) else answer)
                if self.closes:
                    return


def read_head(stream) -> bytes:
    """stream -> head without the empty line; nothing at the end"""
    lines = []
    while (line := stream.readline()) not in (b"\r\n", b""):
        lines.append(line)
    return b"".join(lines)[:-2]


def read_body(stream, head: bytes) -> bytes:
    """stream, head -> body, chunk sizes included"""
    request = Request(0, head, b"")
    if request.values(b"Transfer-Encoding"):
        body = b""
        while not body.endswith(b"0\r\n\r\n"):
            line = stream.readline()
            body += line + stream.read(int(line, 16) + 2)
        return body
    return stream.read(int((request.values(b"Content-Length") or [b"0"])[0]))
