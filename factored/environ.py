"""What the gate and the pages read from a WSGI environ, each fact decided in one function."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from urllib.parse import quote, unquote_to_bytes

from factored.interfaces import Environ

UNIX_SOCKET = "unix"
"""What stands for the client's address where the server gives none."""

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

BLANKS = " \t"
"""What may stand around a header's value; Python would strip more (RFC 9110 section 5.6.3)."""

HOST = r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
"""Pattern of a Host header that can be nothing else (RFC 9110 section 7.2; ``_`` is in use)."""

# The reserved characters that RFC 3986 section 3.3 allows in a path as they are.
PATH_SAFE = "/-._~!$&'()*+,;=:@"


def repair_path(environ: Environ) -> None:
    """environ -> None; sets PATH_INFO to what PEP 3333 asks for

    Paste's own server, the only one here that gives no raw target, hands over decoded text; its
    bytes seen as latin-1 are what everybody else expects.
    """
    path = environ.get("PATH_INFO", "")
    if path.isascii() or "REQUEST_URI" in environ or "RAW_URI" in environ:
        return
    try:
        path.encode("latin-1").decode("utf-8")
    except UnicodeError:
        environ["PATH_INFO"] = path.encode("utf-8", "replace").decode("latin-1")


def is_utf8(wsgi_text: str) -> bool:
    """PEP 3333 string -> whether its bytes are UTF-8"""
    try:
        wsgi_text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return False
    return True


def quoted(wsgi_path: str) -> str:
    """PEP 3333 path -> the same as it stands in a URL"""
    return quote(wsgi_path.encode("latin-1", "replace"), safe=PATH_SAFE)


def raw_target(environ: Environ) -> str:
    """environ -> path and query as the browser asked for them

    The raw request target where the server gives it (REQUEST_URI, RAW_URI), the quoted path else.
    """
    raw = str(environ.get("REQUEST_URI") or environ.get("RAW_URI") or "")
    absolute = re.match(r"(?i:https?)://[^/?#]*", raw)
    if absolute:
        raw = raw[absolute.end() :]
        raw = raw if raw.startswith("/") else f"/{raw}"
    if raw.startswith("/"):
        return raw
    path = quoted(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")) or "/"
    query = environ.get("QUERY_STRING", "")
    return f"{path}?{query}" if query else path


def is_page_load(environ: Environ) -> bool:
    """environ -> whether a browser is about to show the answer as a page

    GET or HEAD, Accept missing, ``*/*`` or naming html, not by script.
    Source: Fetch Metadata Request Headers, section 2.3 (Sec-Fetch-Mode: navigate).
    """
    accept = environ.get("HTTP_ACCEPT", "").strip().lower()
    return (
        environ.get("REQUEST_METHOD") in ("GET", "HEAD")
        and (accept in ("", "*/*") or "html" in accept)
        and environ.get("HTTP_X_REQUESTED_WITH", "").lower() != "xmlhttprequest"
        and environ.get("HTTP_SEC_FETCH_MODE", "navigate") == "navigate"
    )


def is_sent_plainly(environ: Environ) -> bool:
    """Whether the raw path says what was decided on: to a site ``/a%2Fb`` may not be ``/a/b``

    waitress cuts ``//a`` to ``/a``, and a site that looks at the raw target sees another path.
    """
    raw = raw_target(environ).partition("?")[0]
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    hidden = raw.lower()
    return (
        "%2f" not in hidden
        and "%5c" not in hidden
        and unquote_to_bytes(raw) == path.encode("latin-1", "replace")
    )


def canonical_host(host: str, scheme: str) -> str:
    """Host header, scheme -> host in lower case, with the port only where it is not the default"""
    default = ":443" if scheme == "https" else ":80"
    return host.strip(BLANKS).lower().removesuffix(default)


def host(environ: Environ) -> str:
    """environ -> the host that was asked, as :func:`canonical_host` writes it"""
    return canonical_host(environ.get("HTTP_HOST", ""), environ.get("wsgi.url_scheme", "http"))


def host_name(host: str) -> str:
    """Host header -> its name in lower case, without a port"""
    return re.sub(r":[0-9]*$", "", host.strip().lower())


def host_of(url: str) -> str:
    """``https://host:port`` -> its host as :func:`canonical_host` writes it"""
    scheme, _, host = url.partition("://")
    return canonical_host(host, scheme)


def is_loopback(host: str) -> bool:
    """host name or address -> whether it is this machine's own, which nobody else can listen to"""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def client_source(address: str) -> str:
    """REMOTE_ADDR -> the network that attempts are counted for

    IPv4 whole, IPv6 by /64 (one subscriber), mapped addresses as IPv4, unix sockets as one.
    Source: PROMISES 7.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return UNIX_SOCKET
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            return str(ipaddress.ip_network((parsed, 64), strict=False))
        parsed = parsed.ipv4_mapped
    return str(parsed)


class TrustedProxies:
    """Puts right what a listed proxy tells about the client; from anybody else nothing is believed.

    :param listed: networks, and ``unix`` for peers without an address
    """

    def __init__(self, listed: Sequence[IPNetwork | str]) -> None:
        self._unix = UNIX_SOCKET in listed
        self._networks = tuple(one for one in listed if not isinstance(one, str))

    def __bool__(self) -> bool:
        return self._unix or bool(self._networks)

    def apply(self, environ: Environ) -> bool:
        """environ -> whether a listed proxy sent it

        Sets REMOTE_ADDR, wsgi.url_scheme and HTTP_HOST from X-Forwarded-*.

        The client is the rightmost address of X-Forwarded-For that is not a listed proxy: what
        stands left of it was sent by the client. An entry that is no address ends the search.
        """
        if not self._trusted(environ.get("REMOTE_ADDR", "")):
            return False
        for entry in reversed(environ.get("HTTP_X_FORWARDED_FOR", "").split(",")):
            address = _address(entry)
            if address is None:
                break
            environ["REMOTE_ADDR"] = address
            if not self._trusted(address):
                break
        scheme = environ.get("HTTP_X_FORWARDED_PROTO", "").rpartition(",")[2].strip(BLANKS).lower()
        if scheme in ("http", "https"):
            environ["wsgi.url_scheme"] = scheme
        host = environ.get("HTTP_X_FORWARDED_HOST", "").rpartition(",")[2].strip(BLANKS)
        if re.fullmatch(r"[!-~]+", host) and not set(host) & set("/\\@?#<>\"'"):
            environ["HTTP_HOST"] = host
        return True

    def _trusted(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return self._unix
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self._networks)


def _address(entry: str) -> str | None:
    """One entry of X-Forwarded-For -> its address without port and brackets, or None"""
    text = entry.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
