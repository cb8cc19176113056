"""Where a browser may be sent after login and logout: to a path of this site, nowhere else."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import quote, unquote

MAX_LENGTH = 2048
"""Characters as quoted, so that what one page hands out the next one takes back."""

PRINTABLE_ASCII = "".join(map(chr, range(0x21, 0x7F)))


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
