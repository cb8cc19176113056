"""SimpleProxy, the downstream for apps that are not WSGI: one HTTP upstream, streamed both ways."""

from __future__ import annotations

import http.client
import itertools
import logging
import os
import re
import ssl
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import urllib3
from urllib3.exceptions import HTTPError, NewConnectionError
from urllib3.exceptions import TimeoutError as UpstreamTimeout
from urllib3.util import SKIP_HEADER

from factored.answers import Answers
from factored.interfaces import Environ, StartResponse
from factored.upstream import BLOCK, LENGTH, TARGET, TCHARS, Connection, TlsConnection
from factored.words import Languages, _

# Names as CGI writes them, because PHP and others read every odd character of a header name as
# "_": X.Remote.User must not get through where X-Remote-User does not.
IDENTITY = frozenset(
    {"FACTORED_USER", "REMOTE_USER", "X_REMOTE_USER", "X_FORWARDED_USER"}
    | {"X_AUTHENTICATED_USER", "X_AUTH_REQUEST_USER"}
)
# RFC 9110 section 7.6.1; with PROXY, which CGI would take for the variable HTTP_PROXY.
HOP_BY_HOP = frozenset(
    {"CONNECTION", "KEEP_ALIVE", "PROXY", "TE", "TRAILER", "TRANSFER_ENCODING", "UPGRADE"}
)
# A client may list any name in Connection and must not thereby take these from the app.
END_TO_END = frozenset({"FACTORED_USER", "HOST", "COOKIE", "CONTENT_LENGTH"})
# Said by the server or not at all: framing, who asks, and by which path an app may be told to
# route instead of the one the gate decided on.
NOT_FROM_CLIENT = frozenset(
    {"CONTENT_LENGTH", "CONTENT_TYPE", "EXPECT", "FORWARDED", "X_REAL_IP", "FACTORED_SCHEMES"}
    | {"X_ORIGINAL_URL", "X_ORIGINAL_URI", "X_ORIGINAL_METHOD", "X_REWRITE_URL"}
)

BAD_VALUE = re.compile(r"[\r\n\0]|[^\x00-\xff]")
# Printable ASCII without "#": what may stand in a request line as the client sent it.
RAW_TARGET = re.compile(r"(?:(?i:https?)://[^/?#]*)?(/[!\"$->@-~]*)(\?[!\"$-~]*)?")
PATH_SAFE = "/-._~!$&'()*+,;=:@"
QUERY_SAFE = PATH_SAFE + '%?[]"<>\\^`{|}'

PAGES = {
    400: ("400 Bad Request", _("The server could not make sense of this request.")),
    405: ("405 Method Not Allowed", _("This site does not take requests of that kind.")),
    411: ("411 Length Required", _("This upload has to say how long it is.")),
    502: ("502 Bad Gateway", _("The application behind this site cannot be reached right now.")),
    504: ("504 Gateway Timeout", _("The application behind this site took too long to answer.")),
}

ALLOW = {405: [("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")]}

log = logging.getLogger(__name__)


class SimpleProxy:
    """environ, start_response -> the upstream's answer

    Nothing in a request chooses the upstream, and a request is sent once. What goes wrong before
    the answer begins is a short page; what goes wrong later is raised out of the body, so that
    the server cuts the connection and nobody takes a part for the whole.

    :param read_timeout_s: the longest silence of the upstream, seconds, reading or writing
    :param pool_size: idle connections kept; more requests than that at once still pass
    :param ca_file: PEM file of the authorities to trust for https; None for the system's
    :raises ValueError: urlscheme is neither http nor https
    :raises OSError: ca_file cannot be read
    """

    def __init__(
        self,
        server: str,
        port: int,
        urlscheme: str = "http",
        *,
        connect_timeout_s: float = 5,
        read_timeout_s: float = 60,
        pool_size: int = 32,
        ca_file: str | None = None,
        languages: Languages | None = None,
    ) -> None:
        if urlscheme not in ("http", "https"):
            raise ValueError(f"urlscheme must be http or https, not {urlscheme!r}")
        self._tls = ssl.create_default_context(cafile=ca_file) if urlscheme == "https" else None
        self._address = (server, port)
        self._options: dict[str, Any] = {
            "timeout": urllib3.Timeout(connect=connect_timeout_s, read=read_timeout_s),
            "send_timeout_s": read_timeout_s,
            "maxsize": pool_size,
        }
        self._pool_of: tuple[int, urllib3.HTTPConnectionPool] | None = None
        answers = Answers(languages=languages)
        self._pages = {
            status: answers.page(title, text, *ALLOW.get(status, []))
            for status, (title, text) in PAGES.items()
        }

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            method = request_method(environ)
            headers = request_headers(environ) | {TARGET: request_target(environ)}
            body, chunked = request_body(environ, headers)
            answer: Any = self._pool().urlopen(
                method,
                "/",
                body,
                headers,
                retries=False,
                redirect=False,
                assert_same_host=False,
                chunked=chunked,
                preload_content=False,
                decode_content=False,
            )
            body_out = AnswerBody(answer)
        except Refusal as refusal:
            return self._page(environ, start_response, refusal.status, str(refusal))
        except HTTPError as error:
            # A connection refused is urllib3's kind of timeout too.
            late = isinstance(error, UpstreamTimeout) and not isinstance(error, NewConnectionError)
            return self._page(environ, start_response, 504 if late else 502, repr(error))
        try:
            start_response(f"{answer.status} {answer.reason}", answer_headers(answer.msg))
        except BaseException:
            body_out.close()
            raise
        return body_out

    def _page(
        self, environ: Environ, start_response: StartResponse, status: int, reason: str
    ) -> Iterable[bytes]:
        """environ, start_response, key of PAGES, reason for the log -> body"""
        log.log(logging.WARNING if status >= 500 else logging.INFO, "%d: %s", status, reason)
        return self._pages[status](environ, start_response)

    def _pool(self) -> urllib3.HTTPConnectionPool:
        """-> this process's pool, as sockets made before a fork belong to the parent

        Without a lock, which a fork could copy locked: threads that race make a pool too many.
        """
        mine = self._pool_of
        if mine is None or mine[0] != os.getpid():
            if self._tls:
                pool: urllib3.HTTPConnectionPool = urllib3.HTTPSConnectionPool(
                    *self._address, ssl_context=self._tls, **self._options
                )
                pool.ConnectionCls = TlsConnection
            else:
                pool = urllib3.HTTPConnectionPool(*self._address, **self._options)
                pool.ConnectionCls = Connection
            mine = self._pool_of = (os.getpid(), pool)
        return mine[1]


# -- the request -------------------------------------------------------------------------------


class Refusal(Exception):
    """The request is not forwarded, or not to its end, by the client's fault.

    :param status: key of PAGES
    """

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        super().__init__(reason)


def request_method(environ: Environ) -> str:
    """environ -> method, any that RFC 9110 section 9.1 allows

    :raises Refusal: no method; CONNECT, a tunnel, which WSGI cannot give; TRACE, whose answer shows
        a script the cookies kept from it (RFC 9110 section 9.3.8)
    """
    method = str(environ["REQUEST_METHOD"])
    if not re.fullmatch(TCHARS, method):
        raise Refusal(400, "the request line has no valid method")
    if method.upper() in ("CONNECT", "TRACE"):
        raise Refusal(405, f"{method} is not forwarded")
    return method


def request_target(environ: Environ) -> str:
    """environ -> path and query for the request line

    The client's bytes where they mean the path that was decided on, else that path, quoted.
    Of an absolute target the host is left out.

    :raises Refusal: the path does not start with a slash, or is no PEP 3333 string
    """
    query = environ.get("QUERY_STRING", "")
    try:
        path = (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1")
        quoted_query = quote(query.encode("latin-1"), safe=QUERY_SAFE)
    except UnicodeEncodeError:
        raise Refusal(400, "path or query is not a string of bytes") from None
    # waitress has the first, gunicorn the second.
    raw = RAW_TARGET.fullmatch(environ.get("REQUEST_URI") or environ.get("RAW_URI") or "")
    if raw and unquote_to_bytes(raw[1]) == path and (raw[2] or "?")[1:] == query:
        return raw[1] + (raw[2] or "")
    if path and not path.startswith(b"/"):
        raise Refusal(400, "the path does not start with a slash")
    return quote(path or b"/", safe=PATH_SAFE) + (f"?{quoted_query}" if query else "")


def request_headers(environ: Environ) -> dict[str, str]:
    """environ -> headers to send, framing left out

    The name the gate set goes on as Factored-User; other identity headers and the ticket cookie
    (`factored.cookie_name`) do not. X-Forwarded-* tell what was checked on this side.

    :raises Refusal: a value has CR, LF or NUL in it, or is no PEP 3333 string
    """
    listed = _options(environ.get("HTTP_CONNECTION", ""))
    headers = {}
    for key, value in environ.items():
        if not key.startswith("HTTP_") or not re.fullmatch(TCHARS, key[5:]):
            continue
        name = _canonical(key[5:])
        if _hop_by_hop(name, listed) or name in NOT_FROM_CLIENT or name.startswith("X_FORWARDED"):
            continue
        if name not in IDENTITY or key == "HTTP_FACTORED_USER":
            headers[key[5:].replace("_", "-").title()] = value
    if "Cookie" in headers and "factored.cookie_name" in environ:
        headers["Cookie"] = without_cookie(headers["Cookie"], environ["factored.cookie_name"])
        if not headers["Cookie"]:
            del headers["Cookie"]
    told = {
        "Content-Type": environ.get("CONTENT_TYPE"),
        "X-Forwarded-For": environ.get("REMOTE_ADDR"),
        "X-Forwarded-Host": environ.get("HTTP_HOST"),
        "X-Forwarded-Proto": environ.get("wsgi.url_scheme"),
    }
    headers |= {name: value for name, value in told.items() if value}
    # urllib3 gives the value SKIP_HEADER a meaning of its own.
    if any(BAD_VALUE.search(value) or value == SKIP_HEADER for value in headers.values()):
        raise Refusal(400, "a header has a value that cannot be sent")
    return {"User-Agent": SKIP_HEADER, "Accept-Encoding": SKIP_HEADER} | headers


def without_cookie(header: str, name: str) -> str:
    """Cookie header, name -> the header without that cookie, the others byte for byte

    A comma may start a pair too: that is how servers join two Cookie headers.
    """
    pair = rf"(?:^|[;,])\s*{re.escape(name)}\s*(?:=.*?)?(?=;|,\s*{TCHARS}\s*=|$)"
    kept, found = re.subn(pair, "", header, flags=re.DOTALL)
    return kept.lstrip(";, \t") if found else header


def request_body(environ: Environ, headers: dict[str, str]) -> tuple[Iterator[bytes] | None, bool]:
    """environ, headers -> (blocks or None, whether to send them chunked); sets Content-Length

    :raises Refusal: the length is no number; the client sent less than that; or the server lost a
        chunked body, which must not be forwarded as an empty one
    """
    length = environ.get("CONTENT_LENGTH") or ""
    if length and not LENGTH.fullmatch(length):
        raise Refusal(400, "Content-Length is not a number")
    coded = "HTTP_TRANSFER_ENCODING" in environ
    if coded and environ["HTTP_TRANSFER_ENCODING"].strip(" \t").lower() != "chunked":
        raise Refusal(400, "a transfer coding that cannot be passed on")
    if environ.get("wsgi.input_terminated") and (coded or not length):
        # HTTP/2 need not announce a body: only reading tells.
        blocks = _blocks(environ["wsgi.input"], None)
        first = next(blocks, None)
        return (None, False) if first is None else (itertools.chain([first], blocks), True)
    size = int(length or 0)
    if coded and not size:
        raise Refusal(411, "a chunked body came without its end marked")
    if length:
        headers["Content-Length"] = length
    return (_blocks(environ["wsgi.input"], size) if size else None), False


def _blocks(stream: Any, left: int | None) -> Iterator[bytes]:
    """wsgi.input, bytes to come (None: up to its end) -> blocks; Refusal if it ends before"""
    while left is None or left > 0:
        try:
            block = stream.read(BLOCK if left is None else min(BLOCK, left))
        except OSError as error:
            # Never an OSError of ours: urllib3 takes a broken pipe for the upstream's.
            raise Refusal(400, f"the client's body broke off: {error!r}") from error
        if not block:
            if left is None:
                return
            raise Refusal(400, "the client's body is shorter than its Content-Length")
        left = left and left - len(block)
        yield block


# -- the answer --------------------------------------------------------------------------------


class AnswerBody:
    """The body for the server to iterate, which calls close() whatever happened.

    The first bytes are read at once, while there can still be another answer; servers send no head
    before them (PEP 3333).

    :raises HTTPError: the upstream broke off or fell silent before them
    """

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        try:
            self._first: bytes | None = self._read()
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """-> the bytes that are there; HTTPError if the upstream broke off or fell silent"""
        data, self._first = self._read() if self._first is None else self._first, None
        if not data:
            raise StopIteration
        return data

    def _read(self) -> bytes:
        data: bytes = self._answer.read1(BLOCK, decode_content=False)
        return data

    def close(self) -> None:
        """Close the connection if a rest is unread; after a whole body it is in the pool again."""
        self._answer.close()


def answer_headers(message: http.client.HTTPMessage) -> list[tuple[str, str]]:
    """answer's headers -> those for the client, in order"""
    listed = _options(",".join(message.get_all("Connection", [])))
    return [field for field in message.items() if not _hop_by_hop(_canonical(field[0]), listed)]


def _canonical(name: str) -> str:
    """header name -> as CGI writes it"""
    return re.sub("[^A-Z0-9]", "_", name.upper())


def _options(connection: str) -> set[str]:
    """Connection header -> the names listed in it"""
    return {_canonical(option.strip()) for option in connection.split(",")}


def _hop_by_hop(name: str, listed: set[str]) -> bool:
    """canonical name, names listed in Connection -> whether the header ends here"""
    if name in END_TO_END:
        return False
    return name in HOP_BY_HOP or name in listed or name.startswith("PROXY_")
