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
from factored.environ import host, host_of, quoted
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
from factored.services.account import Account
from factored.services.devices import Browser, DeviceCookie
from factored.services.enrol_links import EnrolLinks
from factored.services.links import Links
from factored.services.login import Granted, Login
from factored.services.notices import Notices
from factored.services.reminder import Reminder
from factored.settings import Settings
from factored.web.brand import Brand
from factored.web.redirects import way_back
from factored.web.renderer import Pages
from factored.web.texts import TEXTS
from factored.words import LANGUAGES, Languages, Words

BROWSER_COOKIE = "factored_browser"
DEVICE_COOKIE = "factored_device"

ACCOUNT = "account"
"""What a login may be for, other than a page of the site: the account page, of this path."""

LOCALE = "_LOCALE_"
"""Field of a URL, and cookie, that say a language: Pyramid's names for it."""

LOCALE_FOR_S = 365 * 86400


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
    :param recovery: the scheme of recovery codes, if there are any here
    :param pages: renders templates
    :param brand: logo, colours and footer of the site's own
    :param check_store: -> None, or StoreError: it is not as this release needs; for /readyz
    :param sending_fails: -> whether mails are needed and cannot be sent; for /readyz
    :param turn: entered around whatever uses the database
    :param languages: that pages and mails can be in
    """

    settings: Settings
    schemes: tuple[Scheme, ...]
    recovery: Scheme | None
    login: Login
    account: Account
    notices: Notices
    links: Links
    enrol_links: EnrolLinks
    reminder: Reminder
    keys: KeyRing
    tickets: TicketFormat
    revocations: Revocations
    pages: Pages
    brand: Brand
    check_store: Callable[[], None]
    sending_fails: Callable[[], bool]
    turn: Turns
    languages: Languages
    clock: Clock

    # -- what the request shows -------------------------------------------------------------------

    def now_s(self) -> int:
        """-> Unix time, whole seconds"""
        return int(self.clock.now_s())

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
        return self.allowed(
            request, request.form.get("referrer") or request.query.get("referrer", "")
        )

    def way_back_from_link(self, request: Request) -> str:
        """request -> the same from a mailed link: a link is at public_url, maybe another site's"""
        path, environ = self.way_back(request), request.environ
        public_url = self.settings.public_url
        if not path.startswith("/") or not public_url or host(environ) == host_of(public_url):
            return path
        return f"{environ.get('wsgi.url_scheme', 'http')}://{host(environ)}{path}"

    def allowed(self, request: Request, return_to: str) -> str:
        """request, where to go -> the same if one may go there, else empty"""
        return (
            way_back(
                return_to,
                self.auth_path(request),
                own_host=request.environ.get("HTTP_HOST", ""),
                allowed_hosts=self.settings.sites,
                secure=self.settings.cookie_secure,
            )
            or ""
        )

    @staticmethod
    def then(request: Request) -> str:
        """request -> ACCOUNT if the login is wanted for the account page, else empty

        No way back leads under base_auth_url, so this one has a name of its own.
        """
        return ACCOUNT if ACCOUNT in (request.form.get("then"), request.query.get("then")) else ""

    def words(self, request: Request) -> Words:
        """request -> the language to answer in: of its URL, its cookie, or its browser's wishes

        What asks for a language that is not there is passed over. A form is answered in the
        language of its page, as the cookie remembers it.
        """
        said = (self._said(request), *self._cookies(request, LOCALE))
        found = (self.languages.named(one) for one in said)
        header = request.environ.get("HTTP_ACCEPT_LANGUAGE", "")
        return next((one for one in found if one), None) or self.languages.accepted(header)

    @staticmethod
    def _said(request: Request) -> str:
        """request -> the language that its URL names; a request that is refused has no query"""
        query: dict[str, str] = getattr(request, "query", {})
        return query.get(LOCALE, "")

    def _language_links(
        self, request: Request, status: int, words: Words
    ) -> list[tuple[str, str, str, bool]]:
        """request, status, language of its page -> (code, own name, URL of the same, is this one)

        None for answers to a form, which a link would not repeat, and for errors.
        """
        if request.method not in ("GET", "HEAD") or status >= 400:
            return []
        environ = request.environ
        path = quoted(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""))
        carried = {"referrer": self.way_back(request), "then": self.then(request)}
        kept = "".join(f"&{name}={quote(text, safe='/')}" for name, text in carried.items() if text)
        return [
            (code, name, f"{path}?{LOCALE}={code}{kept}", code == words.language)
            for code, name in LANGUAGES.items()
        ]

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
        words = self.words(request)
        if self.languages.named(self._said(request)) is words:
            self.set_cookie(request, LOCALE, words.language, LOCALE_FOR_S)
        names.setdefault("home", self.home(request))
        html = self.pages.render(
            template,
            translate=words.translate,
            language=words.language,
            direction=words.direction,
            languages=self._language_links(request, status, words),
            appname=self.settings.appname,
            auth_path=auth_path,
            static=f"{auth_path}/authstatic",
            brand=self.brand.shown(auth_path),
            hide_banner=self.settings.hide_banner,
            signed_in_as=ticket.user if ticket else None,
            **names,
        )
        response = Response(html, status=status, content_type="text/html", charset="utf-8")
        response.headers["Content-Language"] = words.language
        return response

    def message(
        self,
        request: Request,
        *,
        title: str,
        text: str,
        onward: tuple[str, str],
        also_onward: tuple[str, str] | None = None,
        status: int = 200,
    ) -> Response:
        """request, what there is to say, (URL path, label) of where to go on -> a page of that"""
        return self.page(
            request, "message", status,
            title=title, text=text, onward=onward, also_onward=also_onward,
        )  # fmt: skip

    def text(self, name: str, default: str = "") -> str:
        """formtext name -> the operator's words, else the scheme's (default), else ours"""
        return self.settings.formtext.get(name) or default or TEXTS[name]

    def link(self, request: Request, path: str, way_back: str, then: str = "") -> str:
        """path under base_auth_url, way back, what it is for -> URL path that carries them"""
        carried = {"referrer": way_back, "then": then}
        query = "&".join(
            f"{name}={quote(text, safe='/')}" for name, text in carried.items() if text
        )
        url = self.auth_path(request) + path
        return f"{url}?{query}" if query else url

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
        """request, what a login gave -> on to the way back, with ticket and device cookie"""
        self.let_in(request, granted)
        return LocalRedirect(way_back or self.home(request))

    def let_in(self, request: Request, granted: Granted) -> None:
        """request, what a login gave -> None; ticket and device cookie go out with the answer

        The browser gets a new id: the one that the login began with may have been planted.
        """
        self.set_ticket(request, granted.ticket)
        self.new_browser_id(request)
        self.keep_device(request, granted.device_cookie)

    def set_ticket(self, request: Request, ticket: Ticket) -> None:
        """request, a ticket that is good from now on -> None; it goes out with the answer"""
        environ = request.environ
        environ["factored.ticket"] = ticket
        bound = self.settings.include_ip
        address = bound_address(environ.get("REMOTE_ADDR", "")) if bound else NO_ADDRESS
        lines = TicketCookie(self.settings).set_lines(
            self.tickets.issue(ticket, address),
            environ.get("HTTP_HOST", ""),
            max_age_s=ticket.lifetime_s if ticket.remember else None,
        )
        request.add_response_callback(_adds(lines))

    def sign_out(self, request: Request) -> None:
        """request -> None; every variant of the ticket cookie is removed with the answer"""
        lines = TicketCookie(self.settings).expire_lines(request.environ.get("HTTP_HOST", ""))
        request.add_response_callback(_adds(lines))


def _adds(lines: list[str]) -> Callable[[Request, Response], None]:
    def callback(request: Request, response: Response) -> None:
        for line in lines:
            response.headers.add("Set-Cookie", line)

    return callback
