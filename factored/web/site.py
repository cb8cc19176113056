"""What every page of the auth app works with, and how a page, a redirect and a cookie are made."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pyramid.request import Request
from pyramid.response import Response

from factored import codes, cookies
from factored.auth_tkt import NO_ADDRESS, TicketCookie, TicketFormat, bound_address
from factored.environ import quoted
from factored.interfaces import (
    Clock,
    Environ,
    Revocations,
    Scheme,
    StartResponse,
    StoreError,
    Ticket,
)
from factored.keys import BROWSER, CSRF, KeyRing
from factored.services.devices import DeviceCookie
from factored.services.enrol_links import EnrolLinks
from factored.services.links import Links
from factored.services.login import Browser, Granted, Login
from factored.services.reminder import Reminder
from factored.settings import Settings
from factored.web.redirects import local_path
from factored.web.renderer import Pages
from factored.web.texts import TEXTS

BROWSER_COOKIE = "factored_browser"
DEVICE_COOKIE = "factored_device"


class LocalRedirect(Response):  # type: ignore[misc]  # WebOb has no types
    """A redirect whose Location goes out as it is: WebOb would put the request's Host before it."""

    def __init__(self, path: str, status: int = 303) -> None:
        super().__init__(status=status)
        self.headers["Location"] = path

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response(self.status, self.headerlist)
        return [b""]


class Turns:
    """At most a few requests of the auth app use the database at once, and the others wait little.

    A database that hangs must not hold all of a server's threads: those who have a ticket need
    them. Once somebody waited in vain, nobody else waits for a moment. With statement: enters, or
    raises StoreError, which is a 503 page.
    """

    def __init__(self, clock: Clock, places: int = 2, wait_s: float = 1.0) -> None:
        self._clock = clock
        self._places = threading.BoundedSemaphore(places)
        self._wait_s = wait_s
        self._in_vain_until = clock.monotonic_s()

    def __enter__(self) -> None:
        patient = self._clock.monotonic_s() >= self._in_vain_until
        if not self._places.acquire(timeout=self._wait_s if patient else 0):
            if patient:
                self._in_vain_until = self._clock.monotonic_s() + self._wait_s
            raise StoreError("the database keeps others waiting")

    def __exit__(self, *error: object) -> None:
        self._places.release()


@dataclass(frozen=True)
class Site:
    """The parts of one gate that its pages use; two sites live in one process side by side.

    :param schemes: the supported ones, in the order of supported_auth_schemes
    :param pages: renders templates
    :param check_store: -> None, or StoreError: it is not as this release needs; for /readyz
    :param sending_fails: -> whether mails are needed and cannot be sent; for /readyz
    :param turn: entered around whatever uses the database
    """

    settings: Settings
    schemes: tuple[Scheme, ...]
    login: Login
    links: Links
    enrol_links: EnrolLinks
    reminder: Reminder
    keys: KeyRing
    tickets: TicketFormat
    revocations: Revocations
    pages: Pages
    check_store: Callable[[], None]
    sending_fails: Callable[[], bool]
    turn: Turns

    # -- what the request shows -------------------------------------------------------------------

    def mount(self, request: Request) -> str:
        """request -> path that the gate is mounted at, quoted; empty at the root"""
        return quoted(request.environ.get("factored.mount", ""))

    def auth_path(self, request: Request) -> str:
        """request -> path of the auth app, quoted: ``/auth``"""
        return self.mount(request) + self.settings.base_auth_url

    def home(self, request: Request) -> str:
        """request -> where one lands who did not say where to"""
        return self.mount(request) + "/"

    def browser(self, request: Request) -> Browser:
        """request -> what it shows of who asks"""
        environ = request.environ
        return Browser(
            address=environ.get("REMOTE_ADDR", ""),
            user_agent=environ.get("HTTP_USER_AGENT", ""),
            device_cookies=self._cookies(request, DEVICE_COOKIE),
            tickets=environ.get("factored.tickets", ()),
            browser_id=next(iter(self.browser_ids(request)), ""),
        )

    def way_back(self, request: Request) -> str:
        """request -> the referrer of the form, or of the URL, if one may go there, else empty"""
        given = request.form.get("referrer") or request.query.get("referrer", "")
        return local_path(given, self.auth_path(request)) or ""

    @staticmethod
    def _cookies(request: Request, name: str) -> tuple[str, ...]:
        """A site on a sibling domain can plant copies, so there may be several, ours among them."""
        return tuple(cookies.values(request.environ.get("HTTP_COOKIE", ""), name))

    # -- the browser cookie, and the CSRF token that hangs on it ----------------------------------

    def browser_ids(self, request: Request) -> list[str]:
        """request -> the random ids that we made and this browser sent back: one, as a rule"""
        sent = self._cookies(request, BROWSER_COOKIE)
        return [made for made in (self.keys.unsign(BROWSER, one) for one in sent) if made]

    def csrf_token(self, request: Request) -> str:
        """request -> token for its forms; gives the browser an id if it has none"""
        browser_ids = self.browser_ids(request)
        return self.keys.mac(CSRF, browser_ids[0] if browser_ids else self.new_browser_id(request))

    def csrf_token_is_good(self, request: Request, token: str) -> bool:
        """request, token of its form -> whether it was made for this browser"""
        return any(self.keys.verify(CSRF, one, token) for one in self.browser_ids(request))

    def new_browser_id(self, request: Request) -> str:
        """request -> a fresh id, set as cookie on the answer"""
        browser_id = codes.new_id()
        self.set_cookie(request, BROWSER_COOKIE, self.keys.sign(BROWSER, browser_id))
        return browser_id

    # -- answers ----------------------------------------------------------------------------------

    def page(self, request: Request, template: str, status: int = 200, **names: Any) -> Response:
        """request, template -> the page, with what every template may use"""
        auth_path = self.auth_path(request)
        ticket: Ticket | None = request.environ.get("factored.ticket")
        names.setdefault("title", self.text("title"))
        names.setdefault("error", None)
        html = self.pages.render(
            template,
            appname=self.settings.appname,
            auth_path=auth_path,
            static=f"{auth_path}/authstatic",
            hide_banner=self.settings.hide_banner,
            signed_in_as=ticket.user if ticket else None,
            **names,
        )
        return Response(html, status=status, content_type="text/html", charset="utf-8")

    def text(self, name: str, default: str = "") -> str:
        """formtext name -> the operator's words, else the scheme's (default), else ours"""
        return self.settings.formtext.get(name) or default or TEXTS[name]

    def link(self, request: Request, path: str, way_back: str) -> str:
        """path under base_auth_url, way back -> URL path that carries it along"""
        url = self.auth_path(request) + path
        return f"{url}?referrer={quote(way_back, safe='/')}" if way_back else url

    def mailed_link(self, request: Request, path: str) -> str:
        """path under base_auth_url -> URL for a mail, on this site whatever the request says

        Empty without public_url: no link can be mailed.
        """
        public_url = self.settings.public_url
        return f"{public_url}{self.auth_path(request)}{path}" if public_url else ""

    def set_cookie(
        self, request: Request, name: str, value: str, max_age_s: int | None = None
    ) -> None:
        """a cookie of the auth app -> None; goes out with the answer, whatever it will be"""
        line = cookies.line(
            name,
            value,
            path=self.auth_path(request),
            secure=self.settings.cookie_secure,
            max_age_s=max_age_s,
        )
        request.add_response_callback(_adds([line]))

    def keep_device(self, request: Request, cookie: DeviceCookie) -> None:
        """a known device's cookie -> None; goes out with the answer"""
        self.set_cookie(request, DEVICE_COOKIE, cookie.value, cookie.max_age_s)

    def sign_in(self, request: Request, granted: Granted, way_back: str) -> Response:
        """request, what a login gave -> on to the way back, with ticket and device cookie

        The browser gets a new id: the one that the login began with may have been planted.
        """
        environ, ticket = request.environ, granted.ticket
        bound = self.settings.include_ip
        address = bound_address(environ.get("REMOTE_ADDR", "")) if bound else NO_ADDRESS
        lines = TicketCookie(self.settings).set_lines(
            self.tickets.issue(ticket, address),
            environ.get("HTTP_HOST", ""),
            max_age_s=ticket.lifetime_s if ticket.remember else None,
        )
        request.add_response_callback(_adds(lines))
        self.new_browser_id(request)
        self.keep_device(request, granted.device_cookie)
        return LocalRedirect(way_back or self.home(request))

    def sign_out(self, request: Request) -> None:
        """request -> None; every variant of the ticket cookie is removed with the answer"""
        lines = TicketCookie(self.settings).expire_lines(request.environ.get("HTTP_HOST", ""))
        request.add_response_callback(_adds(lines))


def _adds(lines: list[str]) -> Callable[[Request, Response], None]:
    def callback(request: Request, response: Response) -> None:
        for line in lines:
            response.headers.add("Set-Cookie", line)

    return callback
