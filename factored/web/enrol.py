"""The page behind an enrolment link: a QR code after a press, and a code that makes it count."""

from __future__ import annotations

import contextlib
from typing import Any

import segno
from pyramid.request import Request
from pyramid.response import Response

from factored.environ import client_source
from factored.interfaces import Link, LinkKind, SendingFails
from factored.services.enrolment import TotpCredential
from factored.web.security import Refused
from factored.web.site import Site


class Enrol:
    """The page at ``base_auth_url/enrol/TOKEN``. Looking makes no secret and spends nothing."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def show(self, request: Request) -> Response:
        """GET -> asks, naming the account; POST ``show`` -> the QR code; ``confirm`` -> enrolled"""
        site = self._site
        with site.turn:
            link = site.links.look(request.matchdict["token"])
        if link is None or link.kind is not LinkKind.ENROL:
            raise Refused(404, "This link was used before, or it is too old. Ask for a new one.")
        if request.method != "POST":
            return self._page(request, link)
        submit = request.form["submit"]
        if submit == "show":
            with site.turn:
                return self._page(request, link, site.enrol_links.begin(link))
        if submit == "confirm":
            return self._confirm(request, link)
        raise Refused(400, "This page has no such button.")

    def _confirm(self, request: Request, link: Link) -> Response:
        site, browser = self._site, self._site.browser(request)
        with site.turn:
            enrolled = site.enrol_links.confirm(
                link,
                request.form.get("code", ""),
                user_agent=browser.user_agent,
                source=client_source(browser.address),
            )
            if enrolled is None:
                return self._page(
                    request, link, site.enrol_links.shown(link), error=site.text("error.wrong")
                )
        site.keep_device(request, enrolled.device_cookie)
        with contextlib.suppress(SendingFails):  # enrolled all the same, and in the audit log
            site.reminder.tell(enrolled.user)
        return site.page(
            request,
            "message",
            title="Your authenticator is set up",
            text=f"Sign in as {link.username} with the next code that your app shows.",
            onward=(site.auth_path(request), "Sign in"),
        )

    def _page(
        self, request: Request, link: Link, credential: TotpCredential | None = None, **shown: Any
    ) -> Response:
        site = self._site
        secret = credential.secret if credential else ""
        return site.page(
            request,
            "enrol",
            title="Set up your authenticator app",
            account=link.username,
            action=f"{site.auth_path(request)}/enrol/{request.matchdict['token']}",
            csrf_token=site.csrf_token(request),
            key=" ".join(secret[at : at + 4] for at in range(0, len(secret), 4)),
            uri=credential.uri if credential else "",
            qr=_picture(credential.uri) if credential else "",
            **shown,
        )


def _picture(uri: str) -> str:
    """otpauth URI -> its QR code as data URI, drawn here: the secret goes to nobody"""
    return segno.make(uri, error="m", micro=False).svg_data_uri(scale=5, light="#fff")
