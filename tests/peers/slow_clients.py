"""Visitors on bad lines, or of bad will: each sends and reads a byte at a time, all at once."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

BYTE_EACH_S = 0.05
WAIT_S = 60
HURRYING = 20
"""That are no longer slow, at a time."""
WINDOW_BYTES = 4096
"""Of an answer that they take in before they read it, as far as they are asked."""


@dataclass
class SlowClient:
    """One connection: what it sends at once, and what a byte at a time."""

    quick: bytes
    slow: bytes = b""
    received: bytearray = field(default_factory=bytearray)
    steps: int = 0
    gone: bool = False

    def __post_init__(self) -> None:
        self._socket = socket.socket()

    def connect(self, port: int) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW_BYTES)
        self._socket.settimeout(WAIT_S)
        self._socket.connect(("127.0.0.1", port))
        self._socket.sendall(self.quick)
        self._socket.setblocking(False)

    def goes_on(self) -> None:
        """-> None; one byte more is sent, or read, or the server has no time for it now"""
        self.steps += 1
        if self.gone:
            return
        try:
            if self.slow:
                self.slow = self.slow[self._socket.send(self.slow[:1]) :]
            else:
                block = self._socket.recv(1)
                self.received += block
                self.gone = not block
        except BlockingIOError:
            pass
        except OSError:
            self.gone = True

    def hurries(self) -> int:
        """-> status of the answer, read whole; 0: none"""
        self._socket.settimeout(WAIT_S)
        with self._socket, contextlib.suppress(ConnectionError):
            self._socket.sendall(self.slow)
            while block := self._socket.recv(1 << 16):
                self.received += block
        match = re.match(rb"HTTP/1\.1 (\d{3}) ", self.received)
        return int(match[1]) if match else 0

    def leaves(self) -> None:
        self._socket.close()

    @property
    def body_length(self) -> int:
        return len(self.received.partition(b"\r\n\r\n")[2])


@contextlib.contextmanager
def slow_clients(
    port: int, clients: Sequence[SlowClient]
) -> Iterator[Callable[[Sequence[SlowClient]], list[int]]]:
    """port, clients -> function: some of them -> statuses, now that all are as quick as others

    Those who still wait at the end leave.
    """
    enough = threading.Event()

    def keep_going() -> None:
        while not enough.wait(BYTE_EACH_S):
            for client in clients:
                client.goes_on()

    with contextlib.ExitStack() as ends, ThreadPoolExecutor(HURRYING) as threads:
        for client in clients:
            ends.callback(client.leaves)
            client.connect(port)
        going = threads.submit(keep_going)

        def hurry(some: Sequence[SlowClient]) -> list[int]:
            enough.set()
            going.result()
            return list(threads.map(SlowClient.hurries, some))

        try:
            yield hurry
        finally:
            enough.set()
