"""The page behind a mailed link: a button signs in the browser that presses it."""

from __future__ import annotations

from pyramid.request import Request
from pyramid.response import Response

from factored import durations
from factored.interfaces import LinkScheme
from factored.web.flow import ticked
from factored.web.security import Refused
from factored.web.site import Site
from factored.words import _

OVER = _("This link was used before, or it is too old. Sign in again to get a new one.")


class MailedLink:
    """The page at ``base_auth_url/PATH/link/TOKEN``. Looking changes nothing and lets nobody in.

    Mail programs and scanners look at links; people press buttons (PROMISES 9).
    """

    def __init__(self, site: Site, scheme: LinkScheme) -> None:
        self._site = site
        self._scheme = scheme

    def show(self, request: Request) -> Response:
        """GET -> names the account and asks; POST ``authenticate`` -> signed in here, and on"""
        site, scheme, token = self._site, self._scheme, request.matchdict["token"]
        with site.turn:
            challenge = scheme.linked(token)
        if challenge is None:
            raise Refused(404, OVER)
        if request.method != "POST":
            return site.page(
                request,
                "mailed-link",
                title=site.text("title", scheme.title),
                account=challenge.address,
                action=f"{site.auth_path(request)}/{scheme.path}/link/{token}",
                csrf_token=site.csrf_token(request),
                remember_period=durations.period(
                    site.settings.auth_remember_timeout, site.words(request)
                ),
                button=site.text("button.authenticate"),
            )
        if request.form["submit"] != "authenticate":
            raise Refused(400, _("This page has no such button."))
        with site.turn:
            outcome = site.login.press(
                scheme, challenge, token, site.browser(request), remember=ticked(request.form)
            )
        if outcome.granted is None:
            raise Refused(404, OVER)
        # It was checked when it was stored; base_auth_url may have moved since.
        return site.sign_in(request, outcome.granted, site.allowed(request, challenge.return_to))
