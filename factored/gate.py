"""The gate: WSGI middleware that lets good tickets through and sends everybody else to log in.

It runs for every request of the protected site, so it is plain functions over the environ: no
request object, no database, and no lock on the good path. What it cannot decide, it refuses.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from typing import Any
from urllib.parse import quote

from factored import cookies
from factored import environ as env
from factored.answers import Answers
from factored.auth_tkt import TicketFormat
from factored.interfaces import Clock, Environ, Revocations, StartResponse, Ticket, WsgiApp
from factored.original import TOLD_BY, Odd, Original, original
from factored.settings import Settings
from factored.ticket_check import TicketCheck, newest
from factored.words import Languages, _

log = logging.getLogger(__name__)

IDENTITY_KEYS = (
    "HTTP_FACTORED_USER",
    "HTTP_FACTORED_SCHEMES",
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

KEPT_DIRECTIVES = ("no-store", "no-cache", "must-revalidate", "no-transform", "max-age=0")
"""What downstream may still say of caching on an answer that sets a ticket."""

MAX_REFERRER = 2048
"""Longer ways back are dropped, or the Location header itself is refused by servers."""


SENT_TO_SIGN_IN = _("You are being sent to the sign-in page.")
SIGN_IN_FIRST = _("Please sign in first.")
SIGN_IN = _("Sign in")


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
        self._tickets = TicketCheck(settings, tickets, revocations, clock)
        self._revocations = revocations
        self._now_s = clock.now_s
        self._seen: MutableMapping[str, float] = {} if seen is None else seen
        self._closing = closing
        self._answers = Answers(hsts=settings.hsts, languages=languages)
        self._cookie_name = settings.cookie_name
        self._base = settings.base_auth_url
        self._below_base = settings.base_auth_url + "/"
        self._healthz = settings.base_auth_url + "/healthz"
        self._forward = settings.base_auth_url + "/forward"
        self._questions = frozenset((settings.base_auth_url + "/verify", self._forward))
        self._exempt = settings.excepted_paths
        self._identity_headers = settings.identity_headers
        self._identity_keys = (*IDENTITY_KEYS, *map(_environ_key, settings.identity_headers))
        self._sites = settings.sites
        self._knows_its_host = settings.public_url is not None
        self._proxies = env.TrustedProxies(settings.trusted_proxies) or None
        self._warned = False

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
        if not environ.keys().isdisjoint(self._identity_keys):
            for key in self._identity_keys:
                environ.pop(key, None)
        env.repair_path(environ)
        environ["factored.cookie_name"] = self._cookie_name
        environ["factored.base_auth_url"] = self._base
        path = environ.get("PATH_INFO", "")
        is_question = path in self._questions
        refusal = self._malformed(environ, path)
        believed = self._proxies is not None and self._proxies.apply(environ)
        if refusal is None and self._knows_its_host:
            refusal = self._foreign_host(environ, path)
        if refusal is not None:
            return self._sign_in_first(environ) if is_question else refusal
        if is_question:
            return self._asked(environ, path, believed=believed)
        if path == self._base or path.startswith(self._below_base):
            return self._auth(environ, path)
        ticket = self._tickets.the_one(environ)
        if ticket is not None:
            user = _wsgi_text(ticket.user)
            environ["REMOTE_USER"] = environ["HTTP_FACTORED_USER"] = user
            environ["factored.identity"] = ticket.user
            environ["factored.ticket"] = ticket
            return self._admit(self._downstream, ticket, environ)
        if self._is_exempt(environ):
            return self._downstream
        return self._login_wanted(environ)

    def _malformed(self, environ: Environ, path: str) -> WsgiApp | None:
        """environ, path -> the answer to what nobody looks at any further, or None"""
        if not environ.keys().isdisjoint(PATH_HEADERS):
            return self._answers.page(
                "400 Bad Request", _("A header of this request tries to move the path.")
            )
        if len(environ.get("HTTP_COOKIE", "")) > cookies.MAX_HEADER_BYTES:
            return self._answers.page(
                "431 Request Header Fields Too Large",
                _("The cookies of this site have grown too large: delete them and try again."),
            )
        if "," in environ.get("HTTP_HOST", "") and path != self._healthz:
            # waitress joins two Host headers, and also two requests the first of which expects
            # 100-continue without a body. Source: RFC 9112 section 3.2.
            return self._answers.page(
                "400 Bad Request", _("This request names more than one host.")
            )
        return None

    def _foreign_host(self, environ: Environ, path: str) -> WsgiApp | None:
        """environ, path -> 400 if a host is asked that is not one of ours, else None"""
        if path == self._healthz or env.host(environ) in self._sites:
            return None
        return self._answers.page("400 Bad Request", _("This site is not served under that name."))

    def _is_exempt(self, environ: Environ) -> bool:
        return environ.get("PATH_INFO", "") in self._exempt and env.is_sent_plainly(environ)

    def _admit(self, app: WsgiApp, ticket: Ticket, environ: Environ) -> WsgiApp:
        """what a good ticket leads to -> the same, which sets a renewed ticket if one is due"""
        self._seen[ticket.ticket_id] = self._now_s()
        lines = self._tickets.renewal(ticket, environ)
        return _setting_cookies(app, lines) if lines else app

    # -- a web server asks ------------------------------------------------------------------------

    def _asked(self, environ: Environ, path: str, *, believed: bool) -> WsgiApp:
        """environ of a web server's question -> 200 with who it is, or why not; anything odd: 401

        :param believed: whether the web server is a trusted proxy, which tells what it asks about
        """
        if not believed and not self._warned and any(key in environ for key in TOLD_BY):
            self._warned = True
            log.warning(
                "%s asks about a URL, and is not believed: it is not in trusted_proxies",
                environ.get("REMOTE_ADDR") or env.UNIX_SOCKET,
            )
        try:
            about = original(environ) if believed else None
        except Odd:
            return self._sign_in_first(environ)
        if about is not None and self._sites and about.host not in self._sites:
            return self._sign_in_first(environ)
        asked = about.asked(environ) if about else environ
        ticket = self._tickets.the_one(asked)
        if ticket is not None:
            user = _wsgi_text(ticket.user)
            identity = [(name, user) for name in self._identity_headers]
            yes = self._answers.answer(
                "200 OK", b"", *identity, ("Factored-Schemes", ticket.scheme)
            )
            return self._admit(yes, ticket, asked)
        if about is not None and about.is_plain(environ) and self._is_exempt(asked):
            return self._answers.answer("200 OK", b"")
        way_back = self._way_back(environ, asked, about)
        if path == self._forward:
            return self._login_wanted(asked, way_back)
        if not self._revocations.ready:
            return self._not_ready()
        return self._sign_in_first(asked, way_back)

    def _way_back(self, environ: Environ, asked: Environ, about: Original | None) -> str:
        """question, request it is about -> where to go after the login: a path, as a rule

        A URL where the web server asks under another host than the site's own.
        """
        if about is None or not env.is_page_load(asked):
            return ""
        here = about.host == env.host(environ) or not self._sites
        return about.target if here else about.site + about.target

    # -- not signed in ----------------------------------------------------------------------------

    def _auth(self, environ: Environ, path: str) -> WsgiApp:
        """environ, path -> the auth app, mounted at base_auth_url and told the good tickets"""
        if not env.is_utf8(path):
            return self._answers.page(
                "400 Bad Request", _("The address holds bytes that are not text.")
            )
        # All of them: junk planted before a good one must not save it from logout.
        tickets = self._tickets.good(environ)
        environ["factored.tickets"] = tuple(tickets)
        environ["factored.ticket"] = newest(tickets)
        environ["factored.mount"] = environ.get("SCRIPT_NAME", "")
        environ["SCRIPT_NAME"] = environ["factored.mount"] + self._base
        environ["PATH_INFO"] = path[len(self._base) :]
        return self._auth_app

    def _login_wanted(self, environ: Environ, way_back: str | None = None) -> WsgiApp:
        """environ -> 302 to the login for a page load, 401 for anything else

        :param way_back: where to go after the login; if not given, to what was asked for
        """
        if not self._revocations.ready:
            return self._not_ready()
        if env.is_page_load(environ):
            asked_for = env.raw_target(environ) if way_back is None else way_back
            login_url = self._login_url(environ, asked_for)
            return self._answers.page(
                "302 Found",
                SENT_TO_SIGN_IN,
                ("Location", login_url),
                link=(login_url, SIGN_IN),
            )
        if "html" in environ.get("HTTP_ACCEPT", ""):
            return self._sign_in_first(environ)
        body = {"error": "authentication_required", "login_url": self._login_url(environ)}
        return self._answers.answer(
            "401 Unauthorized", json.dumps(body).encode(), ("Content-Type", "application/json")
        )

    def _sign_in_first(self, environ: Environ, way_back: str = "") -> WsgiApp:
        """environ -> 401 with the way to the login, which a web server may send a visitor"""
        login_url = self._login_url(environ, way_back)
        return self._answers.page(
            "401 Unauthorized",
            SIGN_IN_FIRST,
            ("Location", login_url),
            link=(login_url, SIGN_IN),
        )

    def _login_url(self, environ: Environ, way_back: str = "") -> str:
        """environ -> URL of the login, relative: a host would have to come from the request"""
        login_url = env.quoted(environ.get("SCRIPT_NAME", "")) + self._base
        if not way_back or len(way_back) > MAX_REFERRER:
            return login_url
        return f"{login_url}?referrer={quote(way_back.encode('latin-1', 'replace'), safe='/')}"

    def _not_ready(self) -> WsgiApp:
        return self._answers.page(
            "503 Service Unavailable",
            _("Sign-in is not possible at the moment. Please try again in a few seconds."),
            ("Retry-After", "5"),
        )


def _wsgi_text(text: str) -> str:
    """text -> the same as PEP 3333 has it: its UTF-8 bytes seen as latin-1"""
    return text.encode().decode("latin-1")


def _environ_key(header: str) -> str:
    return "HTTP_" + header.upper().replace("-", "_")


def _setting_cookies(app: WsgiApp, lines: Sequence[str]) -> WsgiApp:
    """app, Set-Cookie texts -> the same with these cookies, which no shared cache may keep"""

    def setting(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            return start_response(
                status,
                [*_kept_private(headers), *(("Set-Cookie", line) for line in lines)],
                *([exc_info] if exc_info else []),
            )

        return app(environ, start)

    return setting


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
