"""Signing out: GET asks, POST ends every ticket that the browser showed."""

from __future__ import annotations

from pyramid.request import Request
from pyramid.response import Response

from factored.web.security import Refused
from factored.web.site import LocalRedirect, Site
from factored.words import _

HERE = _("You are signed out of this site in this browser.")
EVERYWHERE = _("You are signed out of this site in every browser, within a few seconds.")


class Logout:
    """The page at ``base_auth_url/logout``."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def show(self, request: Request) -> Response:
        """GET -> the question; POST ``logout`` or ``everywhere`` -> signed out, on to the referrer

        The known-device cookie stays: it lets nobody in.
        """
        site = self._site
        way_back = site.way_back(request)
        if request.method != "POST":
            return site.page(
                request,
                "logout",
                title=_("Sign out"),
                action=f"{site.auth_path(request)}/logout",
                csrf_token=site.csrf_token(request),
                referrer=way_back,
                has_ticket=bool(site.browser(request).tickets),
                home=way_back or site.home(request),
            )
        everywhere = request.form["submit"] == "everywhere"
        if not everywhere and request.form["submit"] != "logout":
            raise Refused(400, _("This page has no such button."))
        with site.turn:
            site.login.logout(site.browser(request), everywhere=everywhere)
        site.sign_out(request)
        if way_back:
            return LocalRedirect(way_back)
        request.environ["factored.ticket"] = None
        return site.message(
            request,
            title=_("Signed out"),
            text=EVERYWHERE if everywhere else HERE,
            onward=(site.auth_path(request), _("Sign in again")),
        )
