"""The auth app: a Pyramid application with the pages under base_auth_url, and nothing but pages."""

from __future__ import annotations

import linecache
import logging
from typing import Any, cast

from pyramid.config import Configurator
from pyramid.events import NewResponse
from pyramid.exceptions import ConfigurationError as PyramidConfigurationError
from pyramid.httpexceptions import HTTPException
from pyramid.request import Request
from pyramid.response import Response

from factored import plugins, templates
from factored.interfaces import (
    ConfigurationError,
    FactoredError,
    LinkScheme,
    SendingFails,
    WsgiApp,
)
from factored.services.enrolment import SCHEME as TOTP
from factored.web import security
from factored.web.account import AccountPage
from factored.web.brand import BrandFiles
from factored.web.chooser import Chooser
from factored.web.enrol import Enrol
from factored.web.flow import Flow
from factored.web.health import Health
from factored.web.logout import Logout
from factored.web.mailed_link import MailedLink
from factored.web.security import Refused
from factored.web.site import ACCOUNT, Site
from factored.web.unlock import Unlock
from factored.words import _

log = logging.getLogger(__name__)

FORM = ("GET", "HEAD", "POST")

STATIC_CACHE_S = 3600


def make_auth_app(site: Site) -> WsgiApp:
    """site -> the auth app, a WSGI app mounted at base_auth_url by the gate

    All that it answers is registered here, in this one list.

    :raises ConfigurationError: an add-on of pyramid.includes cannot be included
    """
    config = Configurator(
        settings={**site.settings.pyramid, "pyramid.includes": ""}, package="factored.web"
    )
    config.add_view_deriver(security.guard(site), name="factored_guard")
    config.add_subscriber(security.header_adder(hsts=site.settings.hsts), NewResponse)

    health = Health(site)
    _page(config, "chooser", "/", Chooser(site).show, methods=FORM)
    _page(config, "healthz", "/healthz", health.healthz)
    _page(config, "readyz", "/readyz", health.readyz)
    _page(config, "logout", "/logout", Logout(site).show, methods=FORM)
    _page(config, "unlock", "/unlock/{token}", Unlock(site).show, methods=FORM)
    _page(config, "account", f"/{ACCOUNT}", AccountPage(site).show, methods=FORM)
    if any(scheme.path == TOTP for scheme in site.schemes):
        _page(config, "enrol", "/enrol/{token}", Enrol(site).show, methods=FORM)
    for scheme in (*site.schemes, *([site.recovery] if site.recovery else [])):
        name, path = f"scheme_{scheme.path}", f"/{scheme.path}"
        _page(config, name, path, Flow(site, scheme).show, methods=FORM)
        if isinstance(scheme, LinkScheme):
            link = MailedLink(site, scheme)
            _page(config, f"{name}_link", f"{path}/link/{{token}}", link.show, methods=FORM)
    brand = BrandFiles(site.brand)
    _page(config, "brand_logo", "/brand/logo", brand.logo)
    _page(config, "brand_style", "/brand/style.css", brand.stylesheet)
    config.add_static_view("authstatic", "factored.web:static", cache_max_age=STATIC_CACHE_S)

    config.add_exception_view(_refused(site), context=Refused)
    config.add_exception_view(_http_error(site), context=HTTPException)
    config.add_exception_view(_sending_fails(site), context=SendingFails)
    config.add_exception_view(_unavailable(site), context=FactoredError)
    config.add_exception_view(_failed(site), context=Exception)
    config.commit()

    config.registry[templates.CUSTOMIZATIONS] = []
    # Last, so that an add-on sees the app as it is and may override what it was made for.
    for package in plugins.add_ons(site.settings.pyramid.get("pyramid.includes", "")):
        try:
            config.include(package)
        except (ImportError, PyramidConfigurationError) as error:
            raise ConfigurationError([f"pyramid.includes: {package!r}: {error}"]) from error
    problems = [
        f"{source}: {problem}"
        for source, folder in config.registry[templates.CUSTOMIZATIONS]
        for problem in site.pages.customize(folder)
    ]
    if problems:
        raise ConfigurationError(problems)
    app = cast(WsgiApp, config.make_wsgi_app())
    # Pyramid looks up the line of every call above, and a megabyte of sources stays behind.
    linecache.clearcache()
    return app


def _page(
    config: Configurator, name: str, path: str, view: Any, methods: tuple[str, ...] | None = None
) -> None:
    config.add_route(name, path)
    config.add_view(view, route_name=name, methods=methods)


WORDS = {
    400: (_("That did not work"), _("The request makes no sense here.")),
    403: (_("Not allowed"), _("This is not allowed.")),
    404: (_("Not found"), _("There is no such page here.")),
    405: (_("That did not work"), _("This page does not take such a request.")),
    413: (_("Too much"), _("That was more than this page can take.")),
    503: (
        _("Not possible right now"),
        _("Nobody can sign in at the moment. Please try again soon."),
    ),
}
OTHERWISE = (_("Something went wrong"), _("Something went wrong here, and was logged."))


def _error(site: Site, request: Request, status: int, text: str | None = None) -> Response:
    title, words = WORDS.get(status, OTHERWISE)
    onward = (site.auth_path(request), _("Back to sign-in"))
    try:
        return site.message(request, title=title, text=text or words, onward=onward, status=status)
    except Exception:  # a layout of the site's own, say; the answer must not hang on it
        log.exception("the page for an error failed too")
        shown = site.words(request)
        plain = f"{shown(title)}\n\n{shown(text or words)}\n"
        return Response(plain, status=status, content_type="text/plain", charset="utf-8")


def _refused(site: Site) -> Any:
    def view(error: Refused, request: Request) -> Response:
        response = _error(site, request, error.status, error.text)
        response.headers.update(error.headers)
        return response

    return view


def _http_error(site: Site) -> Any:
    """Pyramid's own: not found above all. Its words may repeat what was asked, ours do not."""

    def view(error: HTTPException, request: Request) -> Response:
        if error.status_int == 304:
            return error
        # Pyramid's own redirects name the Host that was asked: none of them goes out.
        return _error(site, request, error.status_int if error.status_int >= 400 else 404)

    return view


def _unavailable(site: Site) -> Any:
    """Something that factored needs is down: nobody is let in, and nothing was done by half."""

    def view(error: FactoredError, request: Request) -> Response:
        log.error("%s: %s", type(error).__name__, error)
        response = _error(site, request, 503)
        response.headers["Retry-After"] = "10"
        return response

    return view


def _sending_fails(site: Site) -> Any:
    """Everybody reads it, so that it tells nothing about a name."""

    def view(error: SendingFails, request: Request) -> Response:
        text = _("No mail can be sent at the moment. Please try again in a few minutes.")
        response = _error(site, request, 503, text)
        response.headers["Retry-After"] = "60"
        return response

    return view


def _failed(site: Site) -> Any:
    def view(error: Exception, request: Request) -> Response:
        log.error("a page failed", exc_info=error)
        return _error(site, request, 500)

    return view
