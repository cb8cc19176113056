"""The page behind an unlock link: one press makes this browser a known device."""

from __future__ import annotations

from pyramid.request import Request
from pyramid.response import Response

from factored.environ import client_source
from factored.interfaces import Link, LinkKind
from factored.web.security import Refused
from factored.web.site import Site


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
                title="Unlock this browser",
                account=link.username,
                action=f"{site.auth_path(request)}/unlock/{request.matchdict['token']}",
                csrf_token=site.csrf_token(request),
            )
        if request.form["submit"] != "unlock":
            raise Refused(400, "This page has no such button.")
        browser = site.browser(request)
        with site.turn:
            cookie = site.links.unlock(
                link, user_agent=browser.user_agent, source=client_source(browser.address)
            )
        if cookie is None:
            raise _over()
        site.keep_device(request, cookie)
        return site.page(
            request,
            "message",
            title="This browser is unlocked",
            text=f"You can now sign in here as {link.username}, with a code as usual.",
            onward=(site.auth_path(request), "Sign in"),
        )

    def _link(self, request: Request) -> Link:
        with self._site.turn:
            link = self._site.links.look(request.matchdict["token"])
        if link is None or link.kind is not LinkKind.UNLOCK:
            raise _over()
        return link


def _over() -> Refused:
    return Refused(
        404, "This link was used before, or it is too old. Ask the operator for a new one."
    )
