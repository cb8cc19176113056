"""Text of one ini key -> its value, or ValueError with what is allowed."""

from __future__ import annotations

import ipaddress
import itertools
import re
from collections.abc import Callable

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

TRUE = frozenset(("true", "yes", "on", "1", "t"))
FALSE = frozenset(("false", "no", "off", "0", "f"))


def as_bool(text: str) -> bool:
    """text -> bool; unlike Paste's and Pyramid's, no other word means false in silence

    ``x = false ; note`` keeps the note in the value, and ``asbool`` calls that False.
    """
    word = text.lower()
    if word in TRUE:
        return True
    if word in FALSE:
        return False
    raise ValueError(
        "must be true/false, yes/no, on/off, 1/0 or t/f (a comment needs its own line)"
    )


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """bounds -> converter of text to an int within them"""

    def convert(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text, re.ASCII) or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return convert


def one_of(*allowed: str) -> Callable[[str], str]:
    """words -> converter that takes one of them, in any case"""

    def convert(text: str) -> str:
        for word in allowed:
            if text.lower() == word.lower():
                return word
        raise ValueError(f"must be {' or '.join(allowed)}")

    return convert


def as_text(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    return text


def as_lines(text: str) -> tuple[str, ...]:
    """text -> its lines, trimmed, blank ones left out, each once"""
    return tuple(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))


def as_scheme_names(text: str) -> tuple[str, ...]:
    names = as_lines(text)
    if not names:
        raise ValueError("must list at least one scheme, one a line")
    return names


def as_appname(text: str) -> str:
    """An authenticator app splits ``issuer:account`` at the colon (Key Uri Format)."""
    if not text or len(text) > 64 or ":" in text or not text.isprintable():
        raise ValueError("must be 1 to 64 printable characters without a colon")
    return text


def as_footer(text: str) -> str:
    """text, of several lines maybe -> the same in one line"""
    line = " ".join(text.split())
    if len(line) > 300 or not line.isprintable():
        raise ValueError("must be at most 300 printable characters of plain text")
    return line


def as_help_url(text: str) -> str:
    """A path of the site, or an address of the web: what a link may lead to without surprise."""
    path = re.fullmatch(r"/(?![/\\])[!-~]*", text)
    web = re.fullmatch(r"https?://[A-Za-z0-9.:-]+(/[!-~]*)?", text)
    if not (path or web) or "\\" in text or len(text) > 2000:
        raise ValueError("must be a path that starts with one /, or an http or https URL")
    return text


def as_base_url(text: str) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", text, re.ASCII) or _dot_segments(text):
        raise ValueError("must be a path like /auth: letters, digits and . _ ~ -, no / at its end")
    return text


def as_exempt_path(text: str) -> str:
    """decoded path -> the same as a WSGI string; only what can be compared exactly is taken"""
    if (
        not text.startswith("/")
        or not text.isprintable()
        or _dot_segments(text)
        or any(char in text for char in ";\\?#")
    ):
        raise ValueError(
            "each line must be one exact path that starts with /, decoded, "
            "without dot segments, ; \\ ? # or control characters"
        )
    return text.encode().decode("latin-1")


def as_exempt_paths(text: str) -> frozenset[str]:
    return frozenset(as_exempt_path(line) for line in as_lines(text))


def as_cookie_path(text: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9._~/%-]*", text, re.ASCII):
        raise ValueError("must be a path that starts with /")
    return text


RESERVED_COOKIES = ("factored_browser", "factored_device")


def as_cookie_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}", text, re.ASCII):
        raise ValueError("must be a cookie name: letters, digits and !#$%&'*+.^_`|~-")
    if text in RESERVED_COOKIES:
        raise ValueError("is the name of a cookie of the login pages; choose another")
    return text


def as_domain(text: str) -> str:
    """``.example.com`` and ``example.com`` mean the same (RFC 6265 section 5.2.3)."""
    name = text.lower().removeprefix(".")
    if not re.fullmatch(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z][a-z0-9-]*", name, re.ASCII):
        raise ValueError("must be a domain name with at least one dot, like example.com")
    return name


def as_public_url(text: str) -> str:
    match = re.fullmatch(
        r"(?i:(https?))://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/?", text, re.ASCII
    )
    if match is None or not 1 <= int((match[3] or ":1")[1:]) <= 65535:
        raise ValueError("must be scheme and host only, like https://www.example.com")
    return f"{match[1].lower()}://{match[2].lower()}{match[3] or ''}"


HOST_NAME = r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]"


def as_host_name(text: str) -> str:
    """a name, an IPv4 address or an IPv6 address in brackets, without a port"""
    if not re.fullmatch(HOST_NAME, text):
        raise ValueError("must be a host name or address, without scheme and port")
    return text


def as_hosts(text: str) -> frozenset[str]:
    """words -> hosts as they are compared: in lower case, the default port left out"""
    hosts = []
    for word in text.replace(",", " ").split():
        match = re.fullmatch(rf"({HOST_NAME})(:[0-9]{{1,5}})?", word)
        if match is None or not 1 <= int((match[2] or ":1")[1:]) <= 65535:
            raise ValueError(
                "must list host names, with a port where it is not the default and without "
                "a scheme, like www.example.com or www.example.com:8443"
            )
        port = "" if match[2] in (":80", ":443", None) else match[2]
        hosts.append(match[1].lower() + port)
    return frozenset(hosts)


NO_IDENTITY = re.compile(
    r"x-(forwarded-(for|proto|protocol|host|uri|method|port|prefix|ssl|server)|original-.*|real-ip"
    r"|requested-with|accel-.*|sendfile|frame-options|content-type-options)|factored-schemes"
)
"""What has another meaning already."""


def as_identity_headers(text: str) -> tuple[str, ...]:
    """lines -> header names; the gate removes what clients send under them, so not any will do"""
    names = tuple(dict.fromkeys(text.replace(",", " ").split()))
    for name in names:
        known = re.fullmatch(r"(X|Remote|Factored)-[A-Za-z0-9-]+|[A-Za-z][A-Za-z0-9-]*-User", name)
        if known is None or NO_IDENTITY.fullmatch(name.lower()):
            raise ValueError(
                f"{name!r} will not do: it must be a header name that starts with X-, Remote- or "
                "Factored-, or ends with -User, and has no other meaning yet"
            )
    return names


def as_trusted_proxies(text: str) -> tuple[IPNetwork | str, ...]:
    proxies: list[IPNetwork | str] = []
    for word in text.replace(",", " ").split():
        try:
            proxies.append(word if word == "unix" else ipaddress.ip_network(word))
        except ValueError:
            raise ValueError(
                "must list addresses, networks (10.0.0.0/8, host bits zero) or the word unix"
            ) from None
    return tuple(proxies)


MIN_SECRET_LENGTH = 32
MIN_SECRET_VARIETY = 8
"""Different characters; 32 random hex digits have 14 on average, fewer than 8 practically never."""
PLACEHOLDERS = re.compile(
    r"replace[^a-z]*me|change[^a-z]*me|changeit|placeholder|your[^a-z]*secret"
)


def as_secrets(text: str) -> tuple[str, ...]:
    """lines -> ticket secrets, newest first; comment lines (#) are not secrets

    :raises ValueError: says which line is weak and why, never what it holds
    Source: PROMISES 13; a placeholder from a sample ini is everybody's secret.
    """
    secrets = tuple(line for line in as_lines(text) if not line.startswith("#"))
    if not secrets:
        raise ValueError("is empty: put a long random text there, like that of `factored init`")
    for number, secret in enumerate(secrets, 1):
        where = f"secret {number} of {len(secrets)}" if len(secrets) > 1 else "it"
        if PLACEHOLDERS.search(secret.lower()):
            raise ValueError(f"{where} is a placeholder: put a long random text there")
        if len(secret) < MIN_SECRET_LENGTH:
            raise ValueError(
                f"{where} has {len(secret)} characters; at least {MIN_SECRET_LENGTH} are needed"
            )
        if len(set(secret)) < MIN_SECRET_VARIETY or _is_pattern(secret):
            raise ValueError(f"{where} repeats itself; put a long random text there")
    return secrets


def _is_pattern(secret: str) -> bool:
    """Whether a short block comes again and again, or most characters just count up or down."""
    blocks = (secret[:length] for length in range(1, len(secret) // 2 + 1))
    steps = [abs(ord(one) - ord(other)) for one, other in itertools.pairwise(secret)]
    return (
        any(secret in block * (len(secret) // len(block) + 1) for block in blocks)
        or steps.count(1) > len(steps) // 2
    )


def _dot_segments(path: str) -> bool:
    return any(segment in (".", "..") for segment in path.split("/"))
