"""The page behind an enrolment link: a QR code after a press, and a code that makes it count."""

from __future__ import annotations

from typing import Any

from pyramid.request import Request
from pyramid.response import Response

from factored.interfaces import Link, LinkKind
from factored.services import notices
from factored.services.enrolment import SCHEME, TotpCredential, qr_code
from factored.web.flow import ERRORS, WRONG
from factored.web.security import Refused
from factored.web.site import ACCOUNT, Site
from factored.words import _

GONE = _("This was begun anew on another page. Show a new QR code, and scan that one.")


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
            raise Refused(404, _("This link was used before, or it is too old. Ask for a new one."))
        if request.method != "POST":
            return self._page(request, link)
        submit = request.form["submit"]
        if submit == "show":
            with site.turn:
                return self._page(request, link, site.enrol_links.begin(link))
        if submit == "confirm":
            return self._confirm(request, link)
        raise Refused(400, _("This page has no such button."))

    def _confirm(self, request: Request, link: Link) -> Response:
        """A code of the new secret: it counts from now on, and lets this browser in."""
        site, browser = self._site, self._site.browser(request)
        shown, typed = request.form.get("id", ""), request.form.get("code", "")
        with site.turn:
            site.login.require_revocations()  # before anything is changed
            verdict, user = site.enrol_links.confirm(link, shown, typed, browser)
            if user is None:
                credential = site.enrol_links.shown(link, shown)
                error = site.text(ERRORS.get(verdict, WRONG)) if credential else GONE
                return self._page(request, link, credential, error=error)
            site.notices.tell(user, notices.ENROLLED, site.words(request))
            site.let_in(request, site.login.enrolled(user, SCHEME, browser))
        return site.message(
            request,
            title=_("Your authenticator is set up"),
            text=_("You are signed in as ${username}.", mapping={"username": link.username}),
            onward=(site.home(request), _("Go on")),
            also_onward=(
                (
                    f"{site.auth_path(request)}/{ACCOUNT}",
                    _("Make recovery codes for the day you lose your phone"),
                )
                if site.recovery
                else None
            ),
        )

    def _page(
        self, request: Request, link: Link, credential: TotpCredential | None = None, **shown: Any
    ) -> Response:
        site = self._site
        return site.page(
            request,
            "enrol",
            title=_("Set up your authenticator app"),
            account=link.username,
            action=f"{site.auth_path(request)}/enrol/{request.matchdict['token']}",
            csrf_token=site.csrf_token(request),
            back="",
            label=None,
            **to_scan(credential),
            **shown,
        )


def to_scan(credential: TotpCredential | None) -> dict[str, Any]:
    """credential, if it is to be shown -> what the page shows of it, drawn here: nobody else sees

    The key in groups of four, the otpauth URI, and its QR code as SVG.
    """
    if credential is None:
        return {"pending": "", "key": "", "uri": "", "qr": ""}
    secret = credential.secret
    return {
        "pending": credential.id,
        "key": " ".join(secret[at : at + 4] for at in range(0, len(secret), 4)),
        "uri": credential.uri,
        "qr": qr_code(credential.uri).svg_inline(
            light="#fff", omitsize=True, svgclass=None, lineclass=None
        ),
    }
