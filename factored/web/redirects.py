"""Where a browser may be sent after login and logout: to this site and allowed_hosts alone."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection
from urllib.parse import quote, unquote

from factored.environ import HOST, canonical_host, host_name

MAX_LENGTH = 2048
"""Characters as quoted, so that what one page hands out the next one takes back."""

PRINTABLE_ASCII = "".join(map(chr, range(0x21, 0x7F)))


# re.ASCII: (?i:s) would match U+017F, which no Location can hold.
URL = re.compile(rf"(?i:(https?))://({HOST})(/.*)?", re.DOTALL | re.ASCII)


def way_back(
    text: str, auth_path: str, *, own_host: str, allowed_hosts: Collection[str], secure: bool
) -> str | None:
    """what was asked for -> a path of this site, a URL of an allowed host, or None

    mod_auth_tkt gives whole URLs, and of this site maybe without the port: what it leads to under
    the same name is a path here.

    :param own_host: Host header of the request
    :param allowed_hosts: as :func:`canonical_host` writes them
    :param secure: whether the ticket goes over https alone; then nobody is sent to an http site
    """
    url = URL.fullmatch(text)
    if url is None:
        return local_path(text, auth_path)
    scheme, host = url[1].lower(), canonical_host(url[2], url[1].lower())
    path = local_path(url[3] or "/", auth_path)
    if path is None or host == canonical_host(own_host, scheme):
        return path
    if host in allowed_hosts:
        there = f"{scheme}://{host}{path}"
        return there if len(there) <= MAX_LENGTH and not (secure and scheme == "http") else None
    return path if host_name(host) == host_name(own_host) else None


def local_path(text: str, auth_path: str) -> str | None:
    """what was asked for, path of the auth app -> path and query to go to, or None

    Judged by what browsers do, not by what a parser says: they take ``\\`` for ``/``, drop tabs
    and line ends wherever they stand, and read two slashes at the start as another host.

    :param text: decoded once, as it came with the query or the form
    :param auth_path: URL path of the auth app; a way back into the login would go in circles
    Source: WHATWG URL Standard, basic URL parser (relative and path states); PROMISES 5.
    """
    if (
        not re.match(r"/(?![/\\])", text)
        or "\\" in text
        or not re.fullmatch(r"[^\x00-\x20\x7f-\x9f\ud800-\udfff]+", text)
    ):
        return None
    asked = unquote(_without_dots(re.split(r"[?#]", text, maxsplit=1)[0]))
    login = unquote(auth_path)
    # Some servers remove dots once more, after decoding, and cut leading slashes.
    for path in (asked, posixpath.normpath(asked)):
        shown = "/" + path.lstrip("/")
        if shown == login or shown.startswith(login + "/"):
            return None
    quoted = quote(text, safe=PRINTABLE_ASCII)
    return quoted if len(quoted) <= MAX_LENGTH else None


def _without_dots(path: str) -> str:
    """path of a URL -> the path that a browser asks for; only a slash ends a segment, no ``%2f``

    Source: WHATWG URL Standard, path state, and single- and double-dot URL path segments.
    """
    kept: list[str] = []
    for segment in path[1:].split("/"):
        dots = segment.lower().replace("%2e", ".")
        if dots == "..":
            del kept[-1:]
        elif dots != ".":
            kept.append(segment)
    return "/" + "/".join(kept)
