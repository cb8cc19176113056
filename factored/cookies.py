"""Cookie headers: values taken out by name, and lines written."""

from __future__ import annotations

from collections.abc import Iterator

MAX_HEADER_BYTES = 8192
"""A longer Cookie header is answered 431 before anybody parses it."""


def values(header: str, name: str) -> Iterator[str]:
    """Cookie header, name -> every value sent under that name, in order, as sent

    Found one by one, so that who wants the first few does not pay for a header full of others.
    Quotes are part of a value: what factored writes has none, so a quoted copy is not its own.
    Source: RFC 6265 section 5.4 (a name may come several times, for other paths and domains).
    """
    prefix = name + "="
    start = header.find(prefix)
    while start >= 0:
        end = header.find(";", start)
        if end < 0:
            end = len(header)
        before = start
        while before and header[before - 1] in " \t":
            before -= 1
        if not before or header[before - 1] == ";":
            yield header[start + len(prefix) : end].rstrip(" \t")
        start = header.find(prefix, end)


def line(
    name: str,
    value: str,
    *,
    path: str,
    secure: bool,
    http_only: bool = True,
    samesite: str = "Lax",
    domain: str | None = None,
    max_age_s: int | None = None,
) -> str:
    """name, value -> the text of one Set-Cookie header

    :param max_age_s: None ends the cookie with the browser; 0 removes it now
    """
    parts = [f"{name}={value}", f"Path={path}"]
    if domain:
        parts.append(f"Domain={domain}")
    if max_age_s is not None:
        parts.append(f"Max-Age={max_age_s}")
        if max_age_s == 0:
            parts.append("Expires=Thu, 01 Jan 1970 00:00:00 GMT")
    if secure:
        parts.append("Secure")
    if http_only:
        parts.append("HttpOnly")
    parts.append(f"SameSite={samesite}")
    return "; ".join(parts)
