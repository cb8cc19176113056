"""One connection to an HTTP upstream: the target sent as it is, the answer read strictly."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Mapping
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import TimeoutError as UpstreamTimeout
from urllib3.util import wait_for_read, wait_for_write

BLOCK = 65536  # bytes moved at a time: memory stays flat whatever is sent or fetched
# Bytes of an answer's head, interim answers included. The standard library's limit of 100 headers
# is too small for some apps; no limit would let an upstream fill the memory.
MAX_HEAD = 262144
STALL_S = 1.0  # an upload that stalls this long may have been answered already
TARGET = ":target"  # carries the raw target past urllib3's quoting; no client can send this name

TCHARS = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110 section 5.6.2
LENGTH = re.compile(r"[0-9]{1,18}")
STATUS_LINE = re.compile(rb"HTTP/1\.([0-9]) +([1-5][0-9][0-9])(?: ([\t -~\x80-\xff]*))?")
FIELD = re.compile(rf"({TCHARS})[ \t]*:([\t -~\x80-\xff]*)".encode("latin-1"))
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?\r?\n")


class Answer(http.client.HTTPResponse):
    """The upstream's answer, read strictly: where it ends is never a guess.

    The standard library takes a head that breaks off for a whole one, drops what follows a line it
    does not understand, and skips no interim answer but 100.
    HTTPException for an answer that cannot be trusted. Source: RFC 9112 sections 4 to 8.
    """

    def __init__(self, sock: socket.socket, *, method: str | None = None) -> None:
        super().__init__(sock, method=method)
        self._to_head = method == "HEAD"

    def begin(self) -> None:
        """Read the head of the final answer; 101 is none, as WSGI cannot switch protocols."""
        room, code = MAX_HEAD, b"100"
        while code < b"200":
            head = b""
            while not head.endswith((b"\n\r\n", b"\n\n")):
                line = self.fp.readline(room)
                if not line:
                    raise http.client.HTTPException("the head breaks off or is too long")
                room -= len(line)
                head += line
            first, *lines = re.split(rb"\r?\n(?![ \t])", head.rstrip(b"\r\n"))
            start = STATUS_LINE.fullmatch(first)
            fields = [FIELD.fullmatch(re.sub(rb"\r?\n", b"", line)) for line in lines]
            if not start or start[2] == b"101" or not all(fields):
                raise http.client.HTTPException("not an HTTP/1 head, or a switch of protocols")
            minor, code, reason = start.groups(b"")
        self.version, self.status = 10 if minor == b"0" else 11, int(code)
        self.reason = reason.decode("latin-1") or http.client.responses.get(self.status, "Unknown")
        self._frame([(f[1].decode(), f[2].decode("latin-1").strip(" \t")) for f in fields if f])

    def _frame(self, fields: list[tuple[str, str]]) -> None:
        """headers -> None; sets where the body ends, and the headers without doubt about it"""
        self.headers = self.msg = http.client.HTTPMessage()
        codings = [value.lower() for name, value in fields if name.lower() == "transfer-encoding"]
        told = [value for name, value in fields if name.lower() == "content-length"]
        lengths = {length.strip(" \t") for value in told for length in value.split(",")}
        if codings and (codings != ["chunked"] or self.version == 10):
            raise http.client.HTTPException("a transfer coding that is not understood")
        if len(lengths) > 1 or not all(map(LENGTH.fullmatch, lengths)):
            raise http.client.HTTPException("no single Content-Length")
        bodiless = self._to_head or self.status in (204, 304)
        self.chunked, self.chunk_left = bool(codings) and not bodiless, None
        if codings or self.status == 204:
            lengths.clear()
        self.length = 0 if bodiless else int(min(lengths)) if lengths else None
        for name, value in fields:
            if name.lower() != "content-length":
                self.msg[name] = value
            elif lengths:
                self.msg[name] = lengths.pop()
        endless = self.length is None and not self.chunked
        # A name that only contains "close" costs a connection, no more.
        closing = "close" in ",".join(self.msg.get_all("Connection", [])).lower()
        self.will_close = endless or closing or self.version == 10

    def _read_next_chunk_size(self) -> int:
        """-> size; the standard library's takes half a line for a whole one, and -1 for a size"""
        size = CHUNK_SIZE.fullmatch(self.fp.readline(BLOCK))
        if not size:
            raise http.client.HTTPException("a chunk breaks off or does not say how long it is")
        return int(size[1], 16)


class Connection(HTTPConnection):
    """A connection that sends the target as it is and hears an upstream that answers early."""

    response_class = Answer

    def __init__(self, *args: Any, send_timeout_s: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self._send_timeout_s = send_timeout_s
        self._sent = False

    def request(
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        """As urllib3's, but the target comes in `headers`, past urllib3's own quoting."""
        fields = dict(headers or {})
        self._sent = False
        super().request(method, fields.pop(TARGET, url), body, fields, **options)
        self._sent = True

    def send(self, data: Any) -> None:
        """bytes -> None

        :raises BrokenPipeError: the upstream answered and reads no more; urllib3 reads its answer
        :raises UpstreamTimeout: the upstream neither reads nor answers
        """
        if self.sock is None:
            self.connect()
        self.sock.settimeout(self._send_timeout_s)
        pause_s, stalled_s, view = min(STALL_S, self._send_timeout_s), 0.0, memoryview(data)
        try:
            while view:
                if wait_for_write(self.sock, pause_s):
                    view, stalled_s = view[self.sock.send(view) :], 0.0
                elif self._answered():
                    raise BrokenPipeError("answered before the upload was read")
                elif (stalled_s := stalled_s + pause_s) >= self._send_timeout_s:
                    raise TimeoutError
        except TimeoutError as error:
            raise UpstreamTimeout("the upstream stopped reading") from error

    def _answered(self) -> bool:
        """-> whether a final answer waits; over TLS, where other things wait too, never known"""
        if isinstance(self.sock, ssl.SSLSocket) or not wait_for_read(self.sock, 0):
            return False
        return self.sock.recv(10, socket.MSG_PEEK)[9:] != b"1"

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]
        """-> answer, its `msg` filled, because in its `headers` the order is lost"""
        answer: Any = super().getresponse()
        answer.msg = answer._original_response.msg
        if not self._sent and self.sock is not None:
            # The upstream may take the rest of this request for the next one.
            self.sock.close()
            self.sock = None
        return answer  # type: ignore[no-any-return]


class TlsConnection(Connection, HTTPSConnection):
    """The same with the certificate and the host name checked."""
