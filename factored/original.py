"""What a web server asks about: the request that it got itself, as its headers tell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from factored.environ import BLANKS, HOST, canonical_host, host
from factored.interfaces import Environ

TOLD_BY = ("HTTP_X_ORIGINAL_URL", "HTTP_X_FORWARDED_URI")
METHOD = re.compile(r"[A-Za-z-]{1,32}")
TARGET = re.compile(r'/[!"$-~\x80-\xff]*')
"""Path and query as sent; what would be cut off or split somewhere (``#``, blanks) is not taken."""

TOLD_TWICE = re.compile(r",(/|https?://)", re.IGNORECASE)
"""What gunicorn makes of two headers: a visitor's, and the one that a web server has added."""

URL = re.compile(rf"(?i:(https?))://({HOST})({TARGET.pattern})?")


class Odd(ValueError):
    """The headers make no sense, or contradict each other."""


@dataclass(frozen=True)
class Original:
    """A request at the web server: method, scheme, host as compared, path and query as sent."""

    method: str
    scheme: str
    host: str
    target: str

    @property
    def site(self) -> str:
        return f"{self.scheme}://{self.host}"

    def is_plain(self, environ: Environ) -> bool:
        """environ of the question -> whether its path is the web server's word, not a visitor's

        What was asked for may stand in the query of what a visitor said: behind his own header,
        joined to it, or behind his ``Host: a.test/open?``, which HAProxy passes on. The question's
        own Host is checked, so a URL of another host is the doubtful one.
        """
        query = self.target.partition("?")[2]
        return "/" not in query or (self.host == host(environ) and TOLD_TWICE.search(query) is None)

    def asked(self, environ: Environ) -> Environ:
        """environ of the question -> the same as if the original request had come by itself

        Outside the path that the gate is mounted at, there is no path that could be exempt.
        """
        mount = environ.get("SCRIPT_NAME", "")
        path = unquote_to_bytes(self.target.partition("?")[0].encode("latin-1")).decode("latin-1")
        inside = path.startswith(f"{mount}/")
        return {
            **environ,
            "REQUEST_METHOD": self.method,
            "REQUEST_URI": self.target,
            "PATH_INFO": path[len(mount) :] if inside else "",
            "HTTP_HOST": self.host,
            "wsgi.url_scheme": self.scheme,
        }


def original(environ: Environ) -> Original | None:
    """environ of a trusted peer -> the request it asks about; None: it does not say

    ``X-Original-URL`` and ``-Method`` (nginx), or ``X-Forwarded-Uri``, ``-Method``, ``-Host`` and
    ``-Proto`` (Caddy, Traefik; the last two are in the environ already, as from any proxy). A web
    server that sets one family may pass on a visitor's headers of the other: they must agree.

    :raises Odd: they make no sense
    """
    url, uri = map(environ.get, TOLD_BY)
    told = []
    here = host(environ)
    # ``Host: a.test/open?``, put before a path without a look, would move the path.
    if (url is not None or uri is not None) and re.fullmatch(HOST, here) is None:
        raise Odd("Host")
    forwarded_host = environ.get("HTTP_X_FORWARDED_HOST", "").rpartition(",")[2].strip(BLANKS)
    scheme = environ.get("wsgi.url_scheme", "http")
    if forwarded_host and canonical_host(forwarded_host, scheme) != here:
        raise Odd("X-Forwarded-Host")
    if url is not None:
        match = URL.fullmatch(url)
        if match is None:
            raise Odd("X-Original-URL")
        method = _method(environ, "HTTP_X_ORIGINAL_METHOD", "HTTP_X_FORWARDED_METHOD")
        its = match[1].lower()
        told.append(Original(method, its, canonical_host(match[2], its), match[3] or "/"))
    if uri is not None:
        if TARGET.fullmatch(uri) is None:
            raise Odd("X-Forwarded-Uri")
        method = _method(environ, "HTTP_X_FORWARDED_METHOD", "HTTP_X_ORIGINAL_METHOD")
        told.append(Original(method, scheme, here, uri))
    if len(set(told)) > 1:
        raise Odd("X-Original-URL and X-Forwarded-Uri differ")
    # nginx's own example sets this one: then the others are a visitor's.
    if told and environ.get("HTTP_X_ORIGINAL_URI", told[0].target) != told[0].target:
        raise Odd("X-Original-URI differs")
    return told[0] if told else None


def _method(environ: Environ, *keys: str) -> str:
    """keys of headers, the best first -> the method; the question's own if none tells it"""
    found = next((environ[key] for key in (*keys, "REQUEST_METHOD") if key in environ), "")
    if METHOD.fullmatch(found) is None:
        raise Odd("method")
    return str(found)
