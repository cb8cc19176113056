"""The ticket: issue, check, age; and its cookie.

``digest + 8 hex digits of time + quoted user ! scheme ! user data``, the form of auth_tkt, so that
Apache's mod_auth_tkt, Paste and Pyramid read it. The user data carry what the gate enforces by
itself: ``login time . remember and lifetime . ticket id . ticket series``.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Collection
from urllib.parse import quote, unquote

from factored import cookies
from factored.environ import host_name
from factored.interfaces import Ticket
from factored.settings import Settings

FUTURE_S = 60
"""How far a ticket's time may be ahead of this node's clock."""

USER_SAFE = "@+/~:=$&*(){}|^`<>?#'"
"""What mod_auth_tkt needs unquoted, as it does not unquote; never ``[ ]``: WebOb cuts there."""

NO_ADDRESS = "0.0.0.0"  # noqa: S104 the auth_tkt form's way to bind no address; nothing listens
HEX_TIME = "[0-9a-f]{8}"
HEX = "0|[1-9a-f][0-9a-f]{0,7}"
ID = "[A-Za-z0-9_-]{22}"


def digest(
    address: str, time: int, secret: str, user: str, token: str, data: str, hashalg: str
) -> str:
    """the ticket's parts -> its digest in lower-case hex

    Source: mod_auth_tkt, README "Cookie Format"; for IPv6 Pyramid's form (address and time as
    text), which ``pyramid.authentication.calculate_digest`` reads.
    """
    if address == NO_ADDRESS:
        place = b"\0\0\0\0" + time.to_bytes(4, "big")
    elif ":" in address:
        place = f"{address}{time}".encode()
    else:
        place = bytes(map(int, address.split("."))) + time.to_bytes(4, "big")
    key = secret.encode()
    body = f"{user}\0{token}\0{data}".encode()
    hashed = getattr(hashlib, hashalg)
    inner = hashed(place + key + body).hexdigest()
    return str(hashed(inner.encode() + key).hexdigest())


def bound_address(address: str) -> str:
    """REMOTE_ADDR -> what a ticket with include_ip is bound to, byte for byte as Pyramid does

    A unix socket has no address: all its clients are one.
    """
    if re.fullmatch(r"((25[0-5]|2[0-4]\d|1?\d?\d)(\.(?!$)|$)){4}", address, re.ASCII):
        return address
    return address if ":" in address and address.isascii() else NO_ADDRESS


class TicketFormat:
    """Issues tickets and takes back only those of its own making, in their one canonical form.

    :param secrets: -> ticket secrets, the first signs, all verify; called at each use
    :param hashalg: ``sha512`` or ``sha256``
    :param schemes: paths of the schemes that this gate supports
    """

    def __init__(
        self, secrets: Callable[[], tuple[str, ...]], *, hashalg: str, schemes: Collection[str]
    ) -> None:
        self.secrets = secrets
        self._hashalg = hashalg
        digits = getattr(hashlib, hashalg)().digest_size * 2
        self.shortest = digits
        """A cookie value that is not longer than its digest is no ticket."""
        self._shape = re.compile(
            rf"([0-9a-f]{{{digits}}})({HEX_TIME})([\x22-\x7e]+)"
            rf"!({'|'.join(map(re.escape, sorted(schemes)))})"
            rf"!(({HEX})\.([rs])({HEX})\.({ID})\.({ID}))",
            re.ASCII,
        )

    def issue(self, ticket: Ticket, address: str = NO_ADDRESS) -> str:
        """Ticket, address from :func:`bound_address` -> cookie value

        :raises ValueError: a user name with NUL, which the digest could not tell apart
        """
        if "\0" in ticket.user:
            raise ValueError("a user name with NUL cannot have a ticket")
        data = (
            f"{ticket.login_at:x}.{'r' if ticket.remember else 's'}{ticket.lifetime_s:x}"
            f".{ticket.ticket_id}.{ticket.series}"
        )
        made = digest(
            address, ticket.issued_at, self.secrets()[0], ticket.user, ticket.scheme, data,
            self._hashalg,
        )  # fmt: skip
        user = quote(ticket.user, safe=USER_SAFE)
        return f"{made}{ticket.issued_at:08x}{user}!{ticket.scheme}!{data}"

    def parse(self, value: str, address: str = NO_ADDRESS) -> Ticket | None:
        """cookie value, address -> Ticket, or None: not made by these secrets, or altered

        Says nothing about age or revocation. What does not re-encode to itself is refused, so
        that a ticket has one spelling and nothing can be read two ways (``int(x, 16)`` alone
        would take ``+1``, ``0x1`` and ``1_2``).
        """
        match = self._shape.fullmatch(value)
        if match is None:
            return None
        given, time, quoted_user, scheme, data, login, flag, lifetime, ticket_id, series = (
            match.groups()
        )
        try:
            user = unquote(quoted_user, errors="strict")
        except UnicodeDecodeError:
            return None
        issued_at = int(time, 16)
        for secret in self.secrets():
            made = digest(address, issued_at, secret, user, scheme, data, self._hashalg)
            if hmac.compare_digest(given, made):
                break
        else:
            return None
        if "\0" in user or quote(user, safe=USER_SAFE) != quoted_user:
            return None
        return Ticket(
            user, scheme, issued_at, int(login, 16), int(lifetime, 16), flag == "r",
            ticket_id, series,
        )  # fmt: skip


def expires_at(ticket: Ticket, absolute_timeout_s: int) -> int:
    """ticket, seconds -> the moment it ends: its lifetime, and never past the absolute limit"""
    return min(ticket.issued_at + ticket.lifetime_s, ticket.login_at + absolute_timeout_s)


def is_current(ticket: Ticket, now_s: float, absolute_timeout_s: int) -> bool:
    """ticket, Unix time, seconds -> whether it is neither over nor from the future"""
    return ticket.login_at <= ticket.issued_at <= now_s + FUTURE_S and now_s < expires_at(
        ticket, absolute_timeout_s
    )


class TicketCookie:
    """Writes the lines that set and remove the ticket cookie.

    The cookie is host-only, unless ``cookie_domain``, or ``wild_domain`` with the request's own
    host, name a domain that covers the host.
    """

    def __init__(self, settings: Settings) -> None:
        self._name = settings.cookie_name
        self._path = settings.cookie_path
        self._secure = settings.cookie_secure
        self._http_only = settings.cookie_http_only
        self._samesite = settings.cookie_samesite
        self._domain = settings.cookie_domain
        self._wild = settings.wild_domain

    def set_lines(self, value: str, host: str, *, max_age_s: int | None) -> list[str]:
        """cookie value, Host header, seconds (None: until the browser ends) -> Set-Cookie texts"""
        domains: list[str | None] = [*self._domains(host)]
        name = host_name(host)
        if not any(domain and f".{name}".endswith(f".{domain}") for domain in domains):
            domains.append(None)
        return [self._line(value, domain, max_age_s) for domain in domains]

    def expire_lines(self, host: str) -> list[str]:
        """Host header -> Set-Cookie texts that remove every variant there can be"""
        return [self._line("", domain, 0) for domain in (*self._domains(host), None)]

    def _domains(self, host: str) -> list[str]:
        """``localhost`` and addresses have no domain: browsers refuse such a cookie."""
        domains = [self._domain] if self._domain else []
        name = host_name(host)
        if self._wild and re.fullmatch(r"([a-z0-9-]+\.)+[a-z][a-z0-9-]*", name, re.ASCII):
            domains.append(name)
        return list(dict.fromkeys(domains))

    def _line(self, value: str, domain: str | None, max_age_s: int | None) -> str:
        return cookies.line(
            self._name, value, path=self._path, secure=self._secure, http_only=self._http_only,
            samesite=self._samesite, domain=domain, max_age_s=max_age_s,
        )  # fmt: skip
