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
    path = posixpath.normpath(unquote(re.split(r"[?#]", text, maxsplit=1)[0]))
    # normpath keeps two leading slashes, which POSIX leaves open.
    path = "/" + path.lstrip("/")
    login = unquote(auth_path)
    if path == login or path.startswith(login + "/"):
        return None
    quoted = quote(text, safe=PRINTABLE_ASCII)
    return quoted if len(quoted) <= MAX_LENGTH else None
