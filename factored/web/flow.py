"""Name, then code, then ticket: the two forms of a scheme."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyramid.request import Request
from pyramid.response import Response

from factored import durations, names
from factored.converters import TRUE
from factored.interfaces import Asker, Scheme, StoreError, Ticket, Verdict
from factored.services import notices
from factored.services.enrolment import SCHEME as TOTP
from factored.services.enrolment import STEP_S
from factored.services.login import Granted, Outcome
from factored.web.security import Refused
from factored.web.site import Site
from factored.words import _

LOCKED = _(
    "Too many attempts. Try again in ${wait}, use a browser that you have signed in with before, "
    "or ask the operator of this site for an unlock link."
)
ASKED_TOO_OFTEN = _("Too many mails were asked for. Ask again in ${wait}.")
WRONG = "error.wrong"
ERRORS = {
    Verdict.REPLAYED: "error.replayed",
    Verdict.EXPIRED: "error.expired",
    Verdict.SKEWED: "error.skewed",
}
"""What the visitor reads; nothing tells a wrong code from an unknown name."""

STEP_UP = _("Confirm that it is you")

RESEND_S = 30
"""How long the button for another mail rests after one; the budgets are the throttle's."""


class Flow:
    """The pages of one scheme, at ``base_auth_url/PATH``."""

    def __init__(self, site: Site, scheme: Scheme) -> None:
        self._site = site
        self._scheme = scheme
        self._reminds = (
            scheme.path == TOTP and site.settings.reminder and bool(site.settings.public_url)
        )

    def show(self, request: Request) -> Response:
        """GET, and every POST that passed the guard -> the form that comes next, or the way in"""
        ticket = self._stepping_up(request)
        if request.method != "POST":
            if ticket is not None and not self._scheme.sends:
                return self._code_form(request, ticket.user)
            return self._username_form(request)
        try:
            name = names.check(request.form.get("username", ""))
        except names.BadName as error:
            words = self._site.text("error.invalid_username", error.text)
            return self._username_form(request, status=400, error=words)
        submit = request.form["submit"]
        if submit == "username":
            return (
                self._challenge(request, name)
                if self._scheme.sends
                else (self._code_form(request, name))
            )
        if submit == "authenticate":
            return self._attempt(request, name)
        if submit == "codereminder" and self._reminds:
            return self._remind(request, name)
        raise Refused(400, _("This page has no such button."))

    def _stepping_up(self, request: Request) -> Ticket | None:
        """request -> the ticket of a visitor who is signed in and wants to change the account"""
        ticket: Ticket | None = request.environ.get("factored.ticket")
        return ticket if self._site.then(request) else None

    def _remind(self, request: Request, name: str) -> Response:
        """An enrolment link by mail, for those who have an address; one page for every name."""
        site = self._site
        enrol_url = site.mailed_link(request, "/enrol/")
        with site.turn:
            refused = site.reminder.send(
                name, site.browser(request), enrol_url, site.words(request)
            )
        if refused is not None:
            outcome = Outcome(Verdict.LOCKED, refused.retry_after_s)
            return self._too_many(request, name, outcome, ASKED_TOO_OFTEN)
        return site.message(
            request,
            title=_("Look into your mailbox"),
            text=site.text("error.code_reminder"),
            onward=(site.link(request, f"/{self._scheme.path}", site.way_back(request)), _("Back")),
        )

    def _challenge(self, request: Request, name: str) -> Response:
        """The second form, once a code is on its way; the same for every name."""
        site, scheme = self._site, self._scheme
        browser = site.browser(request)
        link_url = site.mailed_link(request, f"/{scheme.path}/link/")
        way_back, words = site.way_back_from_link(request), site.words(request)
        asker = Asker(name, browser.browser_id, link_url, way_back, words)
        with site.turn:
            outcome = site.login.challenge(scheme, asker, browser)
        if outcome.verdict is Verdict.LOCKED:
            return self._too_many(request, name, outcome, ASKED_TOO_OFTEN)
        return self._code_form(request, name)

    def _attempt(self, request: Request, name: str) -> Response:
        site, form, stepping_up = self._site, request.form, self._stepping_up(request)
        with site.turn:
            outcome = site.login.attempt(
                self._scheme,
                name,
                form.get("code", ""),
                site.browser(request),
                remember=stepping_up.remember if stepping_up else ticked(form),
            )
            if outcome.granted is not None and self._scheme is site.recovery:
                self._tell(request, outcome.granted)
        if outcome.granted is not None:
            on = site.auth_path(request) + "/" + site.then(request) if site.then(request) else ""
            return site.sign_in(request, outcome.granted, on or site.way_back(request))
        if outcome.verdict is Verdict.LOCKED:
            return self._too_many(request, name, outcome, LOCKED)
        return self._code_form(request, name, error=site.text(ERRORS.get(outcome.verdict, WRONG)))

    def _tell(self, request: Request, granted: Granted) -> None:
        """A recovery code was used: its owner should hear of it."""
        site = self._site
        try:
            left = site.account.codes_left(granted.user)
        except StoreError:  # it has let its user in: nothing may be half done now
            left = None
        number = "?" if left is None else str(left.left)
        site.notices.tell(granted.user, notices.CODE_USED, site.words(request), number)

    def _too_many(self, request: Request, name: str, outcome: Outcome, text: str) -> Response:
        error = text % {"wait": durations.wait(outcome.retry_after_s, self._site.words(request))}
        response = self._code_form(request, name, status=429, error=error)
        response.headers["Retry-After"] = str(outcome.retry_after_s)
        return response

    def _username_form(self, request: Request, status: int = 200, **shown: Any) -> Response:
        site, ticket = self._site, self._stepping_up(request)
        return site.page(
            request,
            "auth",
            status,
            **self._common(request),
            username=request.form.get("username", ticket.user if ticket else ""),
            username_label=site.text("username.label"),
            username_desc=site.text("username.desc"),
            button=site.text("button.username"),
            **shown,
        )

    def _code_form(self, request: Request, name: str, status: int = 200, **shown: Any) -> Response:
        site, scheme, words = self._site, self._scheme, self._site.words(request)
        common = self._common(request)
        step_up = self._stepping_up(request) is not None
        return site.page(
            request,
            "auth-email" if scheme.sends else "auth-code",
            status,
            **common,
            username=name,
            code_label=self._text("code.label", scheme.code_label),
            code_desc=self._text("code.desc", scheme.code_desc),
            remember=ticked(request.form),
            remember_period=durations.period(site.settings.auth_remember_timeout, words),
            button=_("Confirm") if step_up else site.text("button.authenticate"),
            digits=scheme.path == TOTP,
            step_s=(STEP_S - site.now_s() % STEP_S, STEP_S) if scheme.path == TOTP else None,
            step_up=step_up,
            codereminder=(
                site.text("button.codereminder") if self._reminds and not step_up else ""
            ),
            start_again=site.link(request, f"/{scheme.path}", common["referrer"]),
            **(self._sent(request, name) if scheme.sends else {}),
            **shown,
        )

    def _sent(self, request: Request, name: str) -> dict[str, Any]:
        """What the page says of the mail that is waited for; the same for every name."""
        site = self._site
        asker = Asker(name, site.browser(request).browser_id)
        with site.turn:
            awaited = self._scheme.awaited(asker)
        left_s = max(0, awaited.ends_at - site.now_s()) if awaited else 0
        return {
            "masked": masked(name) if awaited else "",
            "code_s": left_s,
            "code_period": durations.wait(left_s, site.words(request)),
            "resend_s": RESEND_S if awaited and request.form["submit"] == "username" else 0,
        }

    def _text(self, name: str, own: str) -> str:
        """formtext name, the scheme's text -> the operator's, unless this is about other codes"""
        return own if self._scheme is self._site.recovery else self._site.text(name, own)

    def _common(self, request: Request) -> dict[str, Any]:
        """What both forms carry along."""
        site = self._site
        way_back, then = site.way_back(request), site.then(request)
        lost_device = site.recovery is not None and site.recovery is not self._scheme
        stepping_up = self._stepping_up(request) is not None
        return {
            "title": STEP_UP if stepping_up else self._text("title", self._scheme.title),
            "legend": site.text("legend"),
            "action": f"{site.auth_path(request)}/{self._scheme.path}",
            "csrf_token": site.csrf_token(request),
            "referrer": way_back,
            "then": then,
            "others": [
                (other.name, site.link(request, f"/{other.path}", way_back, then))
                for other in site.schemes
                if other is not self._scheme
            ],
            "lost_device": site.link(request, "/rc", way_back, then) if lost_device else "",
        }


def ticked(form: Mapping[str, str]) -> bool:
    """form -> whether "remember me" is ticked"""
    return form.get("remember", "").lower() in TRUE


def masked(name: str) -> str:
    """what was typed as user name -> ``a***@example.com``, or empty: it is no address

    Made of what was typed alone, so that it looks the same for every name.
    """
    local, at, domain = name.rpartition("@")
    return f"{local[0]}***@{domain}" if at and local else ""
