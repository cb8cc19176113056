"""The first page of base_auth_url: which way would you like to prove it?"""

from __future__ import annotations

from pyramid.request import Request
from pyramid.response import Response

from factored.web.security import Refused
from factored.web.site import LocalRedirect, Site
from factored.words import _


class Chooser:
    """Lists the schemes; with only one, goes straight to it."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def show(self, request: Request) -> Response:
        """GET -> the list, or 302 to the only scheme; the way back is carried along

        POST is taken for mod_auth_tkt alone, whose 307 repeats a visitor's POST here; the guard
        has answered it. A form of ours does not end here.
        """
        site = self._site
        if request.method == "POST":
            raise Refused(400, _("This page has no such button."))
        way_back, then = site.way_back(request), site.then(request)
        schemes = [
            (scheme.name, site.link(request, f"/{scheme.path}", way_back, then))
            for scheme in site.schemes
        ]
        if len(schemes) == 1:
            return LocalRedirect(schemes[0][1], status=302)
        return site.page(request, "auth-chooser", schemes=schemes, legend=site.text("legend"))
