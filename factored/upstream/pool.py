"""One HTTP upstream, and the connections to it that wait for the next request."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping

from factored.upstream.answer import Answer
from factored.upstream.connection import Connection, UpstreamError, UpstreamTimeout

# What others than these ask for may have a body, so that they say when there is none (RFC 9110
# section 8.6).
WITHOUT_BODY = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})


class Upstream:
    """One HTTP server, and connections to it that wait for the next request.

    :param tls: context to check its certificate with; None for plain HTTP
    :param read_timeout_s: the longest silence, seconds, reading or writing
    :param pool_size: idle connections kept; more requests than that at once still pass
    """

    def __init__(
        self,
        server: str,
        port: int,
        tls: ssl.SSLContext | None = None,
        *,
        connect_timeout_s: float,
        read_timeout_s: float,
        pool_size: int,
    ) -> None:
        name = server.strip("[]")
        self._address = (name, port)
        self._tls = tls
        shown = f"[{name}]" if ":" in name else name
        self._host = shown if port == (443 if tls else 80) else f"{shown}:{port}"
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._pool_size = pool_size
        # A list's append and pop need no lock, which a fork could copy locked.
        self._idle: list[Connection] = []

    def ask(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: Iterator[bytes] | None,
    ) -> Answer:
        """request -> answer, the first bytes of its body read

        The request is sent once. Nothing of it is checked or quoted here.

        :param headers: with Content-Length or Transfer-Encoding: chunked if there is a body
        :raises UpstreamError: there is no answer, or not one that can be trusted
        """
        lines = [f"{method} {target} HTTP/1.1"]
        if "Host" not in headers:
            lines.append(f"Host: {self._host}")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body is None and method not in WITHOUT_BODY and "Content-Length" not in headers:
            lines.append("Content-Length: 0")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        connection = self._quiet() or self._connect()
        try:
            sent = connection.request(head, body, chunked="Transfer-Encoding" in headers)
            # After half a request the upstream may take the next one for the rest of it.
            return Answer(connection, self._keep if sent else None, to_head=method == "HEAD")
        except BaseException:
            connection.close()
            raise

    def _quiet(self) -> Connection | None:
        """-> an idle connection, or None; what the upstream closed meanwhile or spoke on goes"""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            if connection.is_quiet():
                return connection
            connection.close()

    def _keep(self, connection: Connection) -> None:
        if len(self._idle) < self._pool_size:
            self._idle.append(connection)
        else:
            connection.close()

    def _connect(self) -> Connection:
        try:
            sock = socket.create_connection(self._address, self._connect_timeout_s)
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._tls:
                    # An end that is not announced raises: anybody on the way can make one.
                    sock = self._tls.wrap_socket(
                        sock,
                        server_hostname=self._address[0].rstrip("."),
                        suppress_ragged_eofs=False,
                    )
                sock.settimeout(self._read_timeout_s)
            except BaseException:
                sock.close()
                raise
        except TimeoutError as error:
            raise UpstreamTimeout("no connection in time") from error
        except (OSError, UnicodeError) as error:
            # UnicodeError: a name that is none.
            raise UpstreamError(error) from error
        return Connection(sock, self._read_timeout_s)

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop().close()
