"""SimpleProxy, the downstream for apps that are not WSGI: one HTTP upstream, streamed both ways."""

from __future__ import annotations

import itertools
import logging
import os
import re
import ssl
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import quote, unquote_to_bytes

from factored.answers import Answers
from factored.interfaces import Environ, StartResponse
from factored.upstream.answer import LENGTH, TCHARS, Fields
from factored.upstream.connection import BLOCK, UpstreamError, UpstreamTimeout
from factored.upstream.pool import Upstream
from factored.words import Languages, _

# Names as CGI writes them, because PHP and others read every odd character of a header name as
# "_": X.Remote.User must not get through where X-Remote-User does not.
IDENTITY = frozenset(
    {"FACTORED_USER", "REMOTE_USER", "X_REMOTE_USER", "X_FORWARDED_USER"}
    | {"X_AUTHENTICATED_USER", "X_AUTH_REQUEST_USER"}
)
# RFC 9110 section 7.6.1; with PROXY, which CGI would take for the variable HTTP_PROXY.
HOP_BY_HOP = frozenset(
    {
        "CONNECTION",
        "KEEP_ALIVE",
        "PROXY",
        "TE",
        "TRAILER",
        "TRAILERS",
        "TRANSFER_ENCODING",
        "UPGRADE",
    }
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
        tls = None
        if urlscheme == "https":
            tls = ssl.create_default_context(cafile=ca_file)
            tls.set_alpn_protocols(["http/1.1"])
        self._address = (server, port, tls)
        self._options: dict[str, Any] = {
            "connect_timeout_s": connect_timeout_s,
            "read_timeout_s": read_timeout_s,
            "pool_size": pool_size,
        }
        self._upstream_of: tuple[int, Upstream] | None = None
        answers = Answers(languages=languages)
        self._pages = {
            status: answers.page(title, text, *ALLOW.get(status, []))
            for status, (title, text) in PAGES.items()
        }

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            method, target = request_method(environ), request_target(environ)
            headers = request_headers(environ)
            body = request_body(environ, headers)
            answer = self._upstream().ask(method, target, headers, body)
        except Refusal as refusal:
            return self._page(environ, start_response, refusal.status, str(refusal))
        except UpstreamError as error:
            status = 504 if isinstance(error, UpstreamTimeout) else 502
            return self._page(environ, start_response, status, repr(error))
        try:
            start_response(f"{answer.status} {answer.reason}", answer_headers(answer.headers))
        except BaseException:
            answer.close()
            raise
        return answer

    def _page(
        self, environ: Environ, start_response: StartResponse, status: int, reason: str
    ) -> Iterable[bytes]:
        """environ, start_response, key of PAGES, reason for the log -> body"""
        log.log(logging.WARNING if status >= 500 else logging.INFO, "%d: %s", status, reason)
        return self._pages[status](environ, start_response)

    def _upstream(self) -> Upstream:
        """-> this process's own, as sockets made before a fork belong to the parent

        Without a lock, which a fork could copy locked: threads that race make one too many.
        """
        mine = self._upstream_of
        if mine is None or mine[0] != os.getpid():
            mine = self._upstream_of = (os.getpid(), Upstream(*self._address, **self._options))
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
        query.encode("latin-1")
    except UnicodeEncodeError:
        raise Refusal(400, "path or query is not a string of bytes") from None
    # waitress has the first, gunicorn the second.
    raw = RAW_TARGET.fullmatch(environ.get("REQUEST_URI") or environ.get("RAW_URI") or "")
    if raw and unquote_to_bytes(raw[1]) == path and (raw[2] or "?")[1:] == query:
        return raw[1] + (raw[2] or "")
    if path and not path.startswith(b"/"):
        raise Refusal(400, "the path does not start with a slash")
    quoted_query = quote(query, safe=QUERY_SAFE, encoding="latin-1")
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
        if key.startswith("HTTP_") and (name := sent_name(key)) and canonical(name) not in listed:
            headers[name] = value
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
    if BAD_VALUE.search("".join(headers.values())):
        raise Refusal(400, "a header has a value that cannot be sent")
    return headers


def without_cookie(header: str, name: str) -> str:
    """Cookie header, name -> the header without that cookie, the others byte for byte

    A comma may start a pair too: that is how servers join two Cookie headers.
    """
    pair = rf"(?:^|[;,])\s*{re.escape(name)}\s*(?:=.*?)?(?=;|,\s*{TCHARS}\s*=|$)"
    kept, found = re.subn(pair, "", header, flags=re.DOTALL)
    return kept.lstrip(";, \t") if found else header


def request_body(environ: Environ, headers: dict[str, str]) -> Iterator[bytes] | None:
    """environ, headers -> blocks or None; adds the header that tells where they end

    :raises Refusal: the length is no number; the client sent less than that; or the server lost a
        chunked body, which must not be forwarded as an empty one
    """
    length = environ.get("CONTENT_LENGTH") or ""
    if length and not LENGTH.fullmatch(length):
        raise Refusal(400, "Content-Length is not a number")
    coded = "HTTP_TRANSFER_ENCODING" in environ
    if coded and environ["HTTP_TRANSFER_ENCODING"].strip(" \t").lower() != "chunked":
        raise Refusal(400, "a transfer coding that cannot be passed on")
    if coded and environ.get("SERVER_PROTOCOL") == "HTTP/1.0":
        # waitress takes such a body for none (RFC 9112 section 6.1).
        raise Refusal(400, "HTTP/1.0 has no transfer codings")
    if environ.get("wsgi.input_terminated") and (coded or not length):
        # HTTP/2 need not announce a body: only reading tells.
        blocks = _blocks(environ["wsgi.input"], None)
        first = next(blocks, None)
        if first is None:
            return None
        headers["Transfer-Encoding"] = "chunked"
        return itertools.chain([first], blocks)
    size = int(length or 0)
    if coded and not size:
        raise Refusal(411, "a chunked body came without its end marked")
    if length:
        headers["Content-Length"] = length
    return _blocks(environ["wsgi.input"], size) if size else None


def _blocks(stream: Any, left: int | None) -> Iterator[bytes]:
    """wsgi.input, bytes to come (None: up to its end) -> blocks; Refusal if it ends before"""
    while left is None or left > 0:
        try:
            block = stream.read(BLOCK if left is None else min(BLOCK, left))
        except OSError as error:
            # Never an OSError: a broken pipe would be taken for the upstream's.
            raise Refusal(400, f"the client's body broke off: {error!r}") from error
        if not block:
            if left is None:
                return
            raise Refusal(400, "the client's body is shorter than its Content-Length")
        left = left and left - len(block)
        yield block


# -- names of headers --------------------------------------------------------------------------

Result = TypeVar("Result")
SHORT = 64
REMEMBERED = 512


def remembered(function: Callable[[str], Result]) -> Callable[[str], Result]:
    """function of a text alone -> the same, its results for short texts remembered

    The same few names come with every request. Bounded in number and length, as strangers choose
    them.
    """
    short = lru_cache(REMEMBERED)(function)
    return lambda text: short(text) if len(text) <= SHORT else function(text)


@remembered
def canonical(name: str) -> str:
    """header name -> as CGI writes it"""
    return re.sub("[^A-Z0-9]", "_", name.upper())


@remembered
def sent_name(key: str) -> str | None:
    """environ key of a header -> the name to send, or None where no client may say that"""
    name = canonical(key[5:])
    if not re.fullmatch(TCHARS, key[5:]) or name in NOT_FROM_CLIENT or _is_hop_by_hop(name):
        return None
    if name.startswith("X_FORWARDED") or (name in IDENTITY and key != "HTTP_FACTORED_USER"):
        return None
    return key[5:].replace("_", "-").title()


def answer_headers(fields: Fields) -> Fields:
    """answer's headers -> those for the client, in order"""
    names = [canonical(name) for name, _ in fields]
    told = zip(names, fields, strict=True)
    listed = _options(",".join(value for name, (_, value) in told if name == "CONNECTION"))
    return [
        field
        for name, field in zip(names, fields, strict=True)
        if not _is_hop_by_hop(name) and name not in listed
    ]


def _options(connection: str) -> set[str]:
    """Connection header -> the names listed in it that it may take"""
    return {canonical(option.strip()) for option in connection.split(",")} - END_TO_END


def _is_hop_by_hop(name: str) -> bool:
    """canonical name -> whether the header always ends here"""
    return name in HOP_BY_HOP or name.startswith("PROXY_")
