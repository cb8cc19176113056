"""What holds for every view: methods, small bodies, CSRF, and headers; safe unless told otherwise.

A view takes GET and HEAD. One registered with ``methods=("GET", "HEAD", "POST")`` takes POST too,
and is called for it only after all the checks here, with the fields in ``request.form``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from pyramid.events import NewResponse
from pyramid.request import Request
from pyramid.response import Response

from factored.answers import security_headers
from factored.environ import canonical_host, quoted
from factored.interfaces import Environ
from factored.web.site import LocalRedirect, Site
from factored.words import ENGLISH, _

MAX_BODY_BYTES = 16384
MAX_FIELDS = 50

FIELDS = {
    "csrf_token": 64,
    "username": 254,
    "code": 64,
    "remember": 16,
    "referrer": 2048,
    "then": 16,
    "id": 64,
    "label": 128,
    "submit": 32,
}
"""Every field that a form of ours has, with the characters it may hold."""

BUTTONS = (
    "username",
    "authenticate",
    "codereminder",
    "logout",
    "everywhere",
    "unlock",
    "show",
    "confirm",
    "add",
    "rename",
    "delete",
    "codes",
    "signout",
    "forget",
)
"""Every value of ``submit`` in a form of ours."""

LOADS = "style-src 'self'; script-src 'self'; img-src 'self' data:; "
"""What a page may load, as directives of its Content-Security-Policy."""


class Refused(Exception):
    """A request that is answered with a short page instead of what it asked for.

    :param text: what the visitor reads
    """

    def __init__(self, status: int, text: str, **headers: str) -> None:
        super().__init__(ENGLISH(text))
        self.status = status
        self.text = text
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


View = Callable[[Any, Request], Response]


def guard(site: Site) -> Callable[[View, Any], View]:
    """site -> view deriver that lets a request reach a view only if the view can take it"""

    def deriver(view: View, info: Any) -> View:
        if info.exception_only:
            return view
        methods: tuple[str, ...] = info.options.get("methods") or ("GET", "HEAD")

        def guarded(context: Any, request: Request) -> Response:
            if request.method not in methods:
                allow = ", ".join(methods)
                text = _("This page takes ${methods} only.", mapping={"methods": allow})
                raise Refused(405, text, Allow=allow)
            request.query = _fields(request.environ.get("QUERY_STRING", ""))
            request.form = {}
            if request.method == "POST":
                form = _form(request.environ)
                if not form:
                    return LocalRedirect(_same_page(request.environ))
                _refuse_foreign_fields(form)
                _refuse_other_sites(request.environ)
                _check_csrf_token(site, request, form)
                request.form = form
            return view(context, request)

        return guarded

    deriver.options = ("methods",)  # type: ignore[attr-defined]  # Pyramid's way to declare them
    return deriver


def _form(environ: Environ) -> dict[str, str]:
    """environ -> the fields of a form of ours; none if the body is something else

    mod_auth_tkt passes a visitor's POST on to the login page with its own 307, so a body that is
    no form of ours is no error.
    """
    content_type = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    length = environ.get("CONTENT_LENGTH") or ""
    if length and not re.fullmatch(r"[0-9]{1,18}", length, re.ASCII):
        raise Refused(400, _("The length of the request makes no sense."))
    if length and int(length) > MAX_BODY_BYTES:
        raise Refused(413, _("That was more than this page can take."))
    if length or environ.get("wsgi.input_terminated"):
        try:
            body = environ["wsgi.input"].read(int(length) if length else MAX_BODY_BYTES + 1)
        except Exception:  # noqa: BLE001 each server has its own for chunks that make no sense
            raise Refused(400, _("The form did not arrive whole.")) from None
    else:
        body = b""
    if len(body) > MAX_BODY_BYTES:
        raise Refused(413, _("That was more than this page can take."))
    if content_type != "application/x-www-form-urlencoded" or not _has_our_button(body):
        return {}
    try:
        return _fields(body.decode("ascii"))
    except UnicodeDecodeError:
        raise Refused(400, _("The form holds bytes that are not text.")) from None


def _has_our_button(body: bytes) -> bool:
    """body of a form, whatever it holds -> whether it was sent by a button of ours"""
    return any(
        name == "submit" and value in BUTTONS for name, value in parse_qsl(body.decode("latin-1"))
    )


def _fields(text: str) -> dict[str, str]:
    """urlencoded text -> its fields; one of ours may come once"""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise Refused(
            400, _("The request holds more than a form has, or bytes not text.")
        ) from None
    names = [name for name, _ in pairs]
    if any(names.count(name) > 1 for name in FIELDS):
        raise Refused(400, _("A field came twice."))
    return dict(pairs)


def _refuse_foreign_fields(form: dict[str, str]) -> None:
    for name, value in form.items():
        if name not in FIELDS:
            raise Refused(400, _("The form has a field that is not ours."))
        if len(value) > FIELDS[name]:
            text = _(
                "The field ${name} is longer than ${number} characters.",
                mapping={"name": name, "number": FIELDS[name]},
            )
            raise Refused(400, text)


def _same_page(environ: Environ) -> str:
    """environ -> path and query of this page, to be asked for by GET"""
    path = quoted(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""))
    query = environ.get("QUERY_STRING", "")
    return f"{path}?{query}" if query and query.isascii() and query.isprintable() else path


def _refuse_other_sites(environ: Environ) -> None:
    """A form sent by another site is refused, by what the browser itself says of it.

    Source: Fetch Metadata section 2.4; OWASP CSRF Prevention Cheat Sheet, "Verifying Origin".
    """
    site = environ.get("HTTP_SEC_FETCH_SITE", "none")
    origin = environ.get("HTTP_ORIGIN")
    if site in ("same-origin", "none") and (origin is None or _is_own(origin, environ)):
        return
    raise Refused(
        403,
        _(
            "This form was sent by another site, or the server in front of this one changes the "
            "Host header. Open the page again from here; operators: let the proxy keep Host."
        ),
    )


def _is_own(origin: str, environ: Environ) -> bool:
    """Origin header -> whether its host is the one asked; the scheme may differ behind a proxy"""
    scheme, _, host = origin.partition("://")
    own = environ.get("HTTP_HOST", "")
    return bool(host) and canonical_host(host, scheme) in (
        canonical_host(own, scheme),
        canonical_host(own, environ.get("wsgi.url_scheme", "http")),
    )


def _check_csrf_token(site: Site, request: Request, form: dict[str, str]) -> None:
    if not site.browser_ids(request):
        raise Refused(
            403,
            _(
                "Your browser sent no cookie back, so this form cannot be trusted. Allow cookies "
                "for this site and open the page again. Operators: over plain http, cookies come "
                "back only with auth_tkt.secure = false."
            ),
        )
    if not site.csrf_token_is_good(request, form.get("csrf_token", "")):
        raise Refused(
            403, _("This form is too old, or not ours. Open the page again and repeat it.")
        )


def header_adder(*, hsts: bool) -> Callable[[NewResponse], None]:
    """setting -> subscriber that adds what every answer of the auth app says to the browser"""
    said = security_headers(hsts=hsts, loads=LOADS)

    def add_headers(event: NewResponse) -> None:
        headers = event.response.headers
        headers.update(said)
        headers.setdefault("Cache-Control", "no-store")

    return add_headers
