"""Name, then code, then ticket: the two forms of a scheme."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyramid.request import Request
from pyramid.response import Response

from factored import durations, names
from factored.converters import TRUE
from factored.interfaces import Asker, Scheme, Verdict
from factored.services.enrolment import SCHEME as TOTP
from factored.services.login import Outcome
from factored.web.security import Refused
from factored.web.site import Site

LOCKED = (
    "Too many attempts. Try again in {}, use a browser that you have signed in with before, or ask "
    "the operator of this site for an unlock link."
)
ASKED_TOO_OFTEN = "Too many mails were asked for. Ask again in {}."
WRONG = "error.wrong"
ERRORS = {Verdict.REPLAYED: "error.replayed", Verdict.EXPIRED: "error.expired"}
"""What the visitor reads; nothing tells a wrong code from an unknown name."""


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
        if request.method != "POST":
            return self._username_form(request)
        try:
            name = names.check(request.form.get("username", ""))
        except names.BadName as error:
            words = self._site.text("error.invalid_username", str(error))
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
        raise Refused(400, "This page has no such button.")

    def _remind(self, request: Request, name: str) -> Response:
        """An enrolment link by mail, for those who have an address; one page for every name."""
        site = self._site
        enrol_url = site.mailed_link(request, "/enrol/")
        with site.turn:
            refused = site.reminder.send(name, site.browser(request), enrol_url)
        if refused is not None:
            outcome = Outcome(Verdict.LOCKED, refused.retry_after_s)
            return self._too_many(request, name, outcome, ASKED_TOO_OFTEN)
        return site.page(
            request,
            "message",
            title="Look into your mailbox",
            text=site.text("error.code_reminder"),
            onward=(site.link(request, f"/{self._scheme.path}", site.way_back(request)), "Back"),
        )

    def _challenge(self, request: Request, name: str) -> Response:
        """The second form, once a code is on its way; the same for every name."""
        site, scheme = self._site, self._scheme
        browser = site.browser(request)
        link_url = site.mailed_link(request, f"/{scheme.path}/link/")
        asker = Asker(name, browser.browser_id, link_url, site.way_back(request))
        with site.turn:
            outcome = site.login.challenge(scheme, asker, browser)
        if outcome.verdict is Verdict.LOCKED:
            return self._too_many(request, name, outcome, ASKED_TOO_OFTEN)
        return self._code_form(request, name)

    def _attempt(self, request: Request, name: str) -> Response:
        site, form = self._site, request.form
        with site.turn:
            outcome = site.login.attempt(
                self._scheme,
                name,
                form.get("code", ""),
                site.browser(request),
                remember=ticked(form),
            )
        if outcome.granted is not None:
            return site.sign_in(request, outcome.granted, site.way_back(request))
        if outcome.verdict is Verdict.LOCKED:
            return self._too_many(request, name, outcome, LOCKED)
        return self._code_form(request, name, error=site.text(ERRORS.get(outcome.verdict, WRONG)))

    def _too_many(self, request: Request, name: str, outcome: Outcome, text: str) -> Response:
        error = text.format(durations.wait(outcome.retry_after_s))
        response = self._code_form(request, name, status=429, error=error)
        response.headers["Retry-After"] = str(outcome.retry_after_s)
        return response

    def _username_form(self, request: Request, status: int = 200, **shown: Any) -> Response:
        site = self._site
        return site.page(
            request,
            "auth",
            status,
            **self._common(request),
            username=request.form.get("username", ""),
            username_label=site.text("username.label"),
            username_desc=site.text("username.desc"),
            button=site.text("button.username"),
            **shown,
        )

    def _code_form(self, request: Request, name: str, status: int = 200, **shown: Any) -> Response:
        site, scheme = self._site, self._scheme
        common = self._common(request)
        return site.page(
            request,
            "auth-code",
            status,
            **common,
            username=name,
            code_label=site.text("code.label", scheme.code_label),
            code_desc=site.text("code.desc", scheme.code_desc),
            remember=ticked(request.form),
            remember_period=durations.period(site.settings.auth_remember_timeout),
            button=site.text("button.authenticate"),
            sends=scheme.sends,
            digits=scheme.path == TOTP,
            codereminder=site.text("button.codereminder") if self._reminds else "",
            start_again=site.link(request, f"/{scheme.path}", common["referrer"]),
            **shown,
        )

    def _common(self, request: Request) -> dict[str, Any]:
        """What both forms carry along."""
        site = self._site
        way_back = site.way_back(request)
        return {
            "title": site.text("title", self._scheme.title),
            "legend": site.text("legend"),
            "action": f"{site.auth_path(request)}/{self._scheme.path}",
            "csrf_token": site.csrf_token(request),
            "referrer": way_back,
            "others": [
                (other.name, site.link(request, f"/{other.path}", way_back))
                for other in site.schemes
                if other is not self._scheme
            ],
        }


def ticked(form: Mapping[str, str]) -> bool:
    """form -> whether "remember me" is ticked"""
    return form.get("remember", "").lower() in TRUE
