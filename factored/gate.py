"""The gate: WSGI middleware that lets good tickets through and sends everybody else to log in.

It runs for every request of the protected site, so it is plain functions over the environ: no
request object, no database, and no lock on the good path. What it cannot decide, it refuses.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from factored import cookies
from factored import environ as env
from factored.answers import Answers
from factored.auth_tkt import (
    NO_ADDRESS,
    TicketCookie,
    TicketFormat,
    bound_address,
    expires_at,
    is_current,
)
from factored.interfaces import Clock, Environ, Revocations, StartResponse, Ticket, WsgiApp
from factored.settings import Settings
from factored.words import Languages, _

log = logging.getLogger(__name__)

IDENTITY_KEYS = (
    "HTTP_FACTORED_USER",
    "HTTP_REMOTE_USER",
    "HTTP_X_REMOTE_USER",
    "HTTP_X_FORWARDED_USER",
    "HTTP_X_AUTHENTICATED_USER",
    "HTTP_X_AUTH_REQUEST_USER",
    "REMOTE_USER",
    "factored.identity",
    "factored.ticket",
    "factored.tickets",
)
"""What says who somebody is: only the gate may say so, so all copies go first, always."""

PATH_HEADERS = ("HTTP_SCRIPT_NAME", "HTTP_PATH_INFO")
"""gunicorn takes the path from these of a peer on its own host (``forwarder_headers``), so a client
behind a proxy that passes underscores could choose what an exempt path is compared with."""

MEMO_SIZE = 4096
"""Verified tickets that are remembered; emptied when full. 600 bytes each."""

MAX_CANDIDATES = 8
"""Ticket cookies, junk of that length too, that one request for the site has verified at most."""

KEPT_DIRECTIVES = ("no-store", "no-cache", "must-revalidate", "no-transform", "max-age=0")
"""What downstream may still say of caching on an answer that sets a ticket."""

MAX_REFERRER = 2048
"""Longer ways back are dropped, or the Location header itself is refused by servers."""


class Gate:
    """WSGI middleware: ``(environ, start_response) -> body``.

    :param downstream: the protected app
    :param auth_app: the pages under base_auth_url
    :param closing: called by :meth:`close`
    :param languages: of refusals; English without
    :param tickets: reads and, with reissue_time, renews tickets
    :param seen: ticket id -> Unix time, put in for every good ticket; somebody else empties it
    """

    def __init__(
        self,
        settings: Settings,
        *,
        downstream: WsgiApp,
        auth_app: WsgiApp,
        tickets: TicketFormat,
        revocations: Revocations,
        clock: Clock,
        seen: MutableMapping[str, float] | None = None,
        closing: Sequence[Callable[[], object]] = (),
        languages: Languages | None = None,
    ) -> None:
        self._downstream = downstream
        self._auth_app = auth_app
        self._tickets = tickets
        self._revocations = revocations
        self._now_s = clock.now_s
        self._seen: MutableMapping[str, float] = {} if seen is None else seen
        self._closing = closing
        self._answers = Answers(hsts=settings.hsts, languages=languages)
        self._cookie = TicketCookie(settings)
        self._cookie_name = settings.cookie_name
        self._base = settings.base_auth_url
        self._below_base = settings.base_auth_url + "/"
        self._healthz = settings.base_auth_url + "/healthz"
        self._exempt = settings.excepted_paths
        self._include_ip = settings.include_ip
        self._absolute_timeout_s = settings.auth_absolute_timeout
        self._reissue_s = settings.reissue_time
        self._public_host = env.host_of(settings.public_url) if settings.public_url else None
        self._proxies = env.TrustedProxies(settings.trusted_proxies)
        self._memo: dict[tuple[str, str], Ticket] = {}
        self._memo_secrets: tuple[str, ...] = ()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            app = self._decide(environ)
        except Exception:
            log.exception("the gate failed on a request, which was refused")
            app = self._answers.page(
                "500 Internal Server Error", _("Something went wrong here, and was logged.")
            )
        return app(environ, start_response)

    def close(self) -> None:
        """-> None; ends what runs beside the requests, for tests and for reloading servers"""
        for close in self._closing:
            close()

    def _decide(self, environ: Environ) -> WsgiApp:
        """environ -> the app that answers: downstream, the auth app, or a refusal

        The order is the design's: nothing is looked at before the client's copies of identity
        are gone, and the auth app is reached with or without a ticket.
        """
        if any(key in environ for key in PATH_HEADERS):
            return self._answers.page(
                "400 Bad Request", _("A header of this request tries to move the path.")
            )
        env.repair_path(environ)
        for key in IDENTITY_KEYS:
            environ.pop(key, None)
        environ["factored.cookie_name"] = self._cookie_name
        environ["factored.base_auth_url"] = self._base
        if len(environ.get("HTTP_COOKIE", "")) > cookies.MAX_HEADER_BYTES:
            return self._answers.page(
                "431 Request Header Fields Too Large",
                _("The cookies of this site have grown too large: delete them and try again."),
            )
        path = environ.get("PATH_INFO", "")
        if "," in environ.get("HTTP_HOST", "") and path != self._healthz:
            # waitress joins two Host headers, and also two requests the first of which expects
            # 100-continue without a body. Source: RFC 9112 section 3.2.
            return self._answers.page(
                "400 Bad Request", _("This request names more than one host.")
            )
        if self._proxies:
            self._proxies.apply(environ)
        if self._public_host is not None and path != self._healthz:
            scheme = environ.get("wsgi.url_scheme", "http")
            if env.canonical_host(environ.get("HTTP_HOST", ""), scheme) != self._public_host:
                return self._answers.page(
                    "400 Bad Request", _("This site is not served under that name.")
                )
        if path == self._base or path.startswith(self._below_base):
            return self._auth(environ, path)
        ticket = the_one(self._good_tickets(environ, MAX_CANDIDATES))
        if ticket is not None:
            user = ticket.user.encode().decode("latin-1")
            environ["REMOTE_USER"] = environ["HTTP_FACTORED_USER"] = user
            environ["factored.identity"] = ticket.user
            environ["factored.ticket"] = ticket
            self._seen[ticket.ticket_id] = self._now_s()
            if self._reissue_s is not None and self._due(ticket) and is_page_load(environ):
                return self._reissuing(ticket, environ)
            return self._downstream
        if path in self._exempt and _sent_plainly(environ):
            return self._downstream
        if not self._revocations.ready:
            return self._answers.page(
                "503 Service Unavailable",
                _("Sign-in is not possible at the moment. Please try again in a few seconds."),
                ("Retry-After", "5"),
            )
        return self._login_wanted(environ)

    # -- tickets ----------------------------------------------------------------------------------

    def _good_tickets(self, environ: Environ, most: int | None = None) -> list[Ticket]:
        """environ, how many cookies to look at (None: all) -> the good tickets among them

        Verifying is remembered, and nothing unverified is; age and revocation are looked at anew
        each time.
        """
        header = environ.get("HTTP_COOKIE")
        if not header:
            return []
        shortest = self._tickets.shortest
        values = [
            value for value in cookies.values(header, self._cookie_name) if len(value) > shortest
        ]
        if not values or not self._revocations.ready:
            return []
        address = self._address(environ)
        memo = self._memo_of_today()
        good = []
        for value in values[:most]:
            ticket = memo.get((value, address))
            if ticket is None:
                ticket = self._tickets.parse(value, address)
                if ticket is None:
                    continue
                if len(memo) >= MEMO_SIZE:
                    memo.clear()
                memo[value, address] = ticket
            if is_current(
                ticket, self._now_s(), self._absolute_timeout_s
            ) and not self._revocations.revoked(ticket):
                good.append(ticket)
        return good

    def _memo_of_today(self) -> dict[tuple[str, str], Ticket]:
        """-> the memo; a new one once the secrets changed, as a dropped secret verifies nothing"""
        secrets = self._tickets.secrets()
        if secrets is not self._memo_secrets:
            self._memo = {}
            self._memo_secrets = secrets
        return self._memo

    def _address(self, environ: Environ) -> str:
        """environ -> the address that its tickets are bound to"""
        return bound_address(environ.get("REMOTE_ADDR", "")) if self._include_ip else NO_ADDRESS

    def _due(self, ticket: Ticket) -> bool:
        """Whether a new ticket is due, and would end later than this one."""
        now_s = self._now_s()
        latest = ticket.login_at + self._absolute_timeout_s
        return (
            self._reissue_s is not None
            and now_s - ticket.issued_at > self._reissue_s
            and expires_at(ticket, self._absolute_timeout_s) < latest
        )

    def _reissuing(self, old: Ticket, environ: Environ) -> WsgiApp:
        """ticket -> downstream, with the same login's renewed ticket set on its answer"""
        now_s = int(self._now_s())
        address = self._address(environ)
        renewed = Ticket(
            old.user, old.scheme, now_s, old.login_at, old.lifetime_s, old.remember,
            old.ticket_id, old.series,
        )  # fmt: skip
        left_s = expires_at(renewed, self._absolute_timeout_s) - now_s
        lines = self._cookie.set_lines(
            self._tickets.issue(renewed, address),
            environ.get("HTTP_HOST", ""),
            max_age_s=left_s if old.remember else None,
        )

        def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
                return start_response(
                    status,
                    [*_kept_private(headers), *(("Set-Cookie", line) for line in lines)],
                    *([exc_info] if exc_info else []),
                )

            return self._downstream(environ, start)

        return app

    # -- not signed in ----------------------------------------------------------------------------

    def _auth(self, environ: Environ, path: str) -> WsgiApp:
        """environ, path -> the auth app, mounted at base_auth_url and told the good tickets"""
        if not env.is_utf8(path):
            return self._answers.page(
                "400 Bad Request", _("The address holds bytes that are not text.")
            )
        # All of them: junk planted before a good one must not save it from logout.
        tickets = self._good_tickets(environ)
        environ["factored.tickets"] = tuple(tickets)
        environ["factored.ticket"] = the_one(tickets)
        environ["factored.mount"] = environ.get("SCRIPT_NAME", "")
        environ["SCRIPT_NAME"] = environ["factored.mount"] + self._base
        environ["PATH_INFO"] = path[len(self._base) :]
        return self._auth_app

    def _login_wanted(self, environ: Environ) -> WsgiApp:
        """environ -> 302 to the login for a page load, 401 for anything else

        Location is relative: a host would have to come from the request. The way back has path
        and query, never a host.
        """
        login_url = env.quoted(environ.get("SCRIPT_NAME", "")) + self._base
        if is_page_load(environ):
            target = env.raw_target(environ)
            if len(target) <= MAX_REFERRER:
                login_url += "?referrer=" + quote(target.encode("latin-1", "replace"), safe="/")
            return self._answers.page(
                "302 Found",
                _("You are being sent to the sign-in page."),
                ("Location", login_url),
                link=(login_url, _("Sign in")),
            )
        if "html" in environ.get("HTTP_ACCEPT", ""):
            return self._answers.page(
                "401 Unauthorized",
                _("Please sign in first."),
                link=(login_url, _("Sign in")),
            )
        body = {"error": "authentication_required", "login_url": login_url}
        return self._answers.answer(
            "401 Unauthorized", json.dumps(body).encode(), ("Content-Type", "application/json")
        )


def the_one(good: Sequence[Ticket]) -> Ticket | None:
    """good tickets of a request -> the one that counts: the newest; of several users, none"""
    if len({ticket.user for ticket in good}) != 1:
        return None
    return max(good, key=lambda ticket: ticket.issued_at)


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


def _sent_plainly(environ: Environ) -> bool:
    """Whether the raw path says what was decided on: to a site ``/a%2Fb`` may not be ``/a/b``

    waitress cuts ``//a`` to ``/a``, and a site that looks at the raw target sees another path.
    """
    raw = env.raw_target(environ).partition("?")[0]
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    hidden = raw.lower()
    return (
        "%2f" not in hidden
        and "%5c" not in hidden
        and unquote_to_bytes(raw) == path.encode("latin-1", "replace")
    )


def _kept_private(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """headers -> the same, saying that no shared cache may keep an answer with a ticket in it"""
    said = ",".join(value for name, value in headers if name.lower() == "cache-control").lower()
    directives = (word.strip() for word in said.split(","))
    kept = [word for word in directives if word in KEPT_DIRECTIVES]
    # The others speak to caches too, some of them louder (RFC 9213 section 2.2).
    others = [
        (name, value)
        for name, value in headers
        if not name.lower().endswith("cache-control")
        and name.lower() not in ("expires", "surrogate-control")
    ]
    return [*others, ("Cache-Control", ", ".join(["private", *kept]))]
