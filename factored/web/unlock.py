"""The page behind an unlock link: one press makes this browser a known device."""

from __future__ import annotations

from pyramid.request import Request
from pyramid.response import Response

from factored.interfaces import Link, LinkKind
from factored.web.security import Refused
from factored.web.site import Site
from factored.words import _


class Unlock:
    """The page at ``base_auth_url/unlock/TOKEN``. Looking changes nothing, pressing spends it."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def show(self, request: Request) -> Response:
        """GET -> names the account and asks; POST -> the known-device cookie, and on to sign in"""
        site = self._site
        link = self._link(request)
        if request.method != "POST":
            return site.page(
                request,
                "unlock",
                title=_("Unlock this browser"),
                account=link.username,
                action=f"{site.auth_path(request)}/unlock/{request.matchdict['token']}",
                csrf_token=site.csrf_token(request),
            )
        if request.form["submit"] != "unlock":
            raise Refused(400, _("This page has no such button."))
        with site.turn:
            cookie = site.links.unlock(link, site.browser(request))
        if cookie is None:
            raise _over()
        site.keep_device(request, cookie)
        return site.message(
            request,
            title=_("This browser is unlocked"),
            text=_(
                "You can now sign in here as ${username}, with a code as usual.",
                mapping={"username": link.username},
            ),
            onward=(site.auth_path(request), _("Sign in")),
        )

    def _link(self, request: Request) -> Link:
        with self._site.turn:
            link = self._site.links.look(request.matchdict["token"])
        if link is None or link.kind is not LinkKind.UNLOCK:
            raise _over()
        return link


def _over() -> Refused:
    return Refused(
        404, _("This link was used before, or it is too old. Ask the operator for a new one.")
    )
