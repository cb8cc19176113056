"""The account page: what a signed-in user holds, and where he is signed in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

from pyramid.request import Request
from pyramid.response import Response

from factored import browsers, durations
from factored.interfaces import Ticket, User, Verdict
from factored.keys import DONE_WORD
from factored.services import notices
from factored.services.account import FRESH_S, MOST, Actor
from factored.services.enrolment import SCHEME as TOTP
from factored.services.enrolment import TotpCredential, label_shown
from factored.web.enrol import GONE, to_scan
from factored.web.flow import ERRORS, WRONG
from factored.web.security import Refused
from factored.web.site import ACCOUNT, LocalRedirect, Site
from factored.words import _

DONE = {
    "added": _("The authenticator is added."),
    "renamed": _("The authenticator has its new name."),
    "deleted": _("The authenticator is deleted, and every other browser is signed out."),
    "signed-out": _("That browser is signed out."),
    "forgotten": _("That browser is no longer known."),
}
"""What the page says after a change, by the word in its URL."""

NOT_THERE = _("That is not there any more. Perhaps it was changed in another window.")
TOO_MANY = _("Too many changes. Try again in ${wait}.")
ENOUGH = _("You have as many authenticators as an account can have. Delete one first.")


class AccountPage:
    """The page at ``base_auth_url/account``.

    Whoever has a good ticket may look. To change anything the login must be some minutes old at
    most, which one place decides for all changes: :meth:`_changed`.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._has_totp = any(scheme.path == TOTP for scheme in site.schemes)
        self._changes: dict[str, Callable[[Request, Actor, Ticket], Response]] = {
            "everywhere": self._everywhere,
            "signout": self._sign_out,
            "forget": self._forget,
        }
        if self._has_totp:
            self._changes |= {
                "add": self._add,
                "show": self._add,
                "confirm": self._confirm,
                "rename": self._rename,
                "delete": self._delete,
            }
        if site.recovery is not None:
            self._changes["codes"] = self._codes

    def show(self, request: Request) -> Response:
        """GET -> the page; POST -> a change, if the login is fresh; nobody signed in -> sign in"""
        site = self._site
        ticket: Ticket | None = request.environ.get("factored.ticket")
        with site.turn:
            user = site.account.holder(ticket) if ticket else None
            if ticket is None or user is None:
                return LocalRedirect(site.link(request, "", "", ACCOUNT), status=303)
            if request.method == "POST":
                return self._changed(request, user, ticket)
            return self._page(request, user, ticket, self._was_done(request))

    def _changed(self, request: Request, user: User, ticket: Ticket) -> Response:
        change = self._changes.get(request.form["submit"])
        if change is None:
            raise Refused(400, _("This page has no such button."))
        site = self._site
        if not site.account.may_change(ticket):
            return LocalRedirect(self._step_up(request, ticket))
        words = site.words(request)
        refused = site.account.count_change(user)
        if refused is not None:
            error = words(TOO_MANY % {"wait": durations.wait(refused.retry_after_s, words)})
            response = self._page(request, user, ticket, error=error, status=429)
            response.headers["Retry-After"] = str(refused.retry_after_s)
            return response
        return change(request, Actor(user, self._site.browser(request), words), ticket)

    def _step_up(self, request: Request, ticket: Ticket) -> str:
        """-> URL path of the page that asks for a fresh code: of the way that was used before"""
        schemes = {scheme.path for scheme in self._site.schemes}
        path = f"/{ticket.scheme}" if ticket.scheme in schemes else ""
        return self._site.link(request, path, "", ACCOUNT)

    # -- the changes ------------------------------------------------------------------------------

    def _add(self, request: Request, actor: Actor, ticket: Ticket) -> Response:
        credential = self._site.account.begin(actor.user)
        if credential is None:
            return self._page(request, actor.user, ticket, error=ENOUGH)
        return self._to_scan(request, actor.user, credential)

    def _confirm(self, request: Request, actor: Actor, ticket: Ticket) -> Response:
        site, form = self._site, request.form
        shown, typed = _id(request), form.get("code", "")
        verdict = site.account.confirm(actor, shown, typed, form.get("label", ""))
        if verdict is Verdict.ACCEPTED:
            return self._done(request, "added")
        credential = site.account.shown(actor.user, shown)
        error = site.text(ERRORS.get(verdict, WRONG)) if credential else GONE
        return self._to_scan(request, actor.user, credential, error=error)

    def _rename(self, request: Request, actor: Actor, ticket: Ticket) -> Response:
        label = request.form.get("label", "")
        if not self._site.account.rename(actor, _id(request), label):
            return self._page(request, actor.user, ticket, error=NOT_THERE)
        return self._done(request, "renamed")

    def _delete(self, request: Request, actor: Actor, ticket: Ticket) -> Response:
        """Every other browser is signed out: the device that is gone may be in other hands."""
        site = self._site
        series = site.account.delete(actor, _id(request))
        if series is None:
            return self._page(request, actor.user, ticket, error=NOT_THERE)
        site.set_ticket(request, site.login.stay(ticket, actor.user, series, actor.browser))
        return self._done(request, "deleted")

    def _codes(self, request: Request, actor: Actor, ticket: Ticket) -> Response:
        site = self._site
        codes = site.account.new_codes(actor)
        text = "\n".join([f"{site.settings.appname}: {actor.user.username}", "", *codes, ""])
        return site.page(
            request,
            "recovery-codes",
            title=_("Your recovery codes"),
            codes=codes,
            download="data:text/plain;charset=utf-8," + quote(text),
            download_name="recovery-codes.txt",
            onward=self._url(request),
        )

    def _sign_out(self, request: Request, actor: Actor, ticket: Ticket) -> Response:
        if not self._site.account.sign_out(actor, _id(request)):
            return self._page(request, actor.user, ticket, error=NOT_THERE)
        if _id(request) == ticket.ticket_id:
            return self._signed_out(request)
        return self._done(request, "signed-out")

    def _forget(self, request: Request, actor: Actor, ticket: Ticket) -> Response:
        if not self._site.account.forget(actor, _id(request)):
            return self._page(request, actor.user, ticket, error=NOT_THERE)
        return self._done(request, "forgotten")

    def _everywhere(self, request: Request, actor: Actor, ticket: Ticket) -> Response:
        site = self._site
        site.login.logout(actor.browser, everywhere=True)
        site.notices.tell(actor.user, notices.SIGNED_OUT_EVERYWHERE, actor.words)
        return self._signed_out(request)

    def _signed_out(self, request: Request) -> Response:
        self._site.sign_out(request)
        return LocalRedirect(f"{self._site.auth_path(request)}/logout")

    def _done(self, request: Request, done: str) -> Response:
        """A change was made -> the page by GET, so that nothing is done twice by reloading.

        Signed for this browser: no link of a stranger's makes the page say what did not happen.
        """
        site = self._site
        signed = site.keys.mac(DONE_WORD, f"{site.browser(request).browser_id} {done}")
        return LocalRedirect(f"{self._url(request)}?done={done}.{signed}")

    def _was_done(self, request: Request) -> str:
        """request -> what the page says of the change that it was redirected after, or nothing"""
        site = self._site
        done, _dot, signed = request.query.get("done", "").partition(".")
        said = any(
            site.keys.verify(DONE_WORD, f"{one} {done}", signed)
            for one in site.browser_ids(request)
        )
        return DONE.get(done, "") if said else ""

    # -- the pages --------------------------------------------------------------------------------

    def _page(
        self,
        request: Request,
        user: User,
        ticket: Ticket,
        notice: str = "",
        error: str | None = None,
        status: int = 200,
    ) -> Response:
        site, words = self._site, self._site.words(request)
        found = site.account.overview(user)
        held = found.authenticators if self._has_totp else ()
        may_change = site.account.may_change(ticket)
        # Its own cookies; whether they are good does not matter here.
        cookies = site.browser(request).device_cookies
        here = {cookie.partition(".")[2].partition(".")[0] for cookie in cookies}
        return site.page(
            request,
            "account",
            status,
            title=_("Your account"),
            error=error,
            notice=notice,
            action=self._url(request),
            csrf_token=site.csrf_token(request),
            may_change=may_change,
            change_period=durations.period(FRESH_S, words),
            confirm_url=self._step_up(request, ticket),
            authenticators=[
                {
                    "id": one.id,
                    "label": label_shown(one.label),
                    "added": moment(one.confirmed_at or one.created_at),
                    "last_used": moment(one.last_used_at),
                    "needs_renewal": one.needs_renewal,
                }
                for one in held
            ],
            has_authenticators=self._has_totp,
            may_add=may_change and len(held) < MOST,
            may_delete=may_change and len(held) > 1,
            recovery=(
                {
                    "left": found.recovery.left if found.recovery else 0,
                    "made": moment(found.recovery.made_at) if found.recovery else None,
                }
                if site.recovery
                else None
            ),
            tickets=[
                {
                    "id": one.id,
                    "browser": words(browsers.named(one.user_agent)),
                    "address": one.address,
                    "signed_in": moment(one.login_at),
                    "last_seen": moment(one.last_seen_at),
                    "here": one.id == ticket.ticket_id,
                }
                for one in found.tickets
            ],
            devices=[
                {
                    "id": one.id,
                    "browser": words(browsers.named(one.user_agent)),
                    "address": one.address,
                    "added": moment(one.created_at),
                    "last_seen": moment(one.last_used_at),
                    "here": one.id in here,
                }
                for one in found.devices
            ],
        )

    def _to_scan(
        self, request: Request, user: User, credential: TotpCredential | None, **shown: Any
    ) -> Response:
        site = self._site
        return site.page(
            request,
            "enrol",
            title=_("Add an authenticator"),
            account=user.username,
            action=self._url(request),
            csrf_token=site.csrf_token(request),
            back=self._url(request),
            label=request.form.get("label", ""),
            **to_scan(credential),
            **shown,
        )

    def _url(self, request: Request) -> str:
        return f"{self._site.auth_path(request)}/{ACCOUNT}"


def _id(request: Request) -> str:
    """request -> which of the things on the page it is about"""
    return str(request.form.get("id", ""))


def moment(at: int | None) -> dict[str, str] | None:
    """Unix time -> the same for the element ``time``: ``iso`` and, for people, ``text``"""
    if at is None:
        return None
    when = datetime.fromtimestamp(at, timezone.utc)
    return {"iso": f"{when:%Y-%m-%dT%H:%M:%SZ}", "text": f"{when:%Y-%m-%d %H:%M} UTC"}
