"""Short answers made by hand, without a request or a template, and what all answers of ours say."""

from __future__ import annotations

from collections.abc import Iterable

from factored.interfaces import Environ, StartResponse, WsgiApp

HSTS = "max-age=31536000"
HTML = ("Content-Type", "text/html; charset=utf-8")
NO_STORE = ("Cache-Control", "no-store")


def security_headers(*, hsts: bool, loads: str = "") -> tuple[tuple[str, str], ...]:
    """setting, CSP directives of what the page may load -> headers of every answer that is ours

    Source: PROMISES 16; OWASP HTTP Headers Cheat Sheet.
    """
    # No form-action: Chromium applies it to the redirect after the form too, and so stops logins.
    policy = f"default-src 'none'; {loads}base-uri 'none'; frame-ancestors 'none'"
    headers = (
        ("Content-Security-Policy", policy),
        ("X-Frame-Options", "DENY"),
        ("X-Content-Type-Options", "nosniff"),
        # Not no-referrer: Chromium would send "Origin: null" with our own forms.
        ("Referrer-Policy", "same-origin"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
    )
    return (*headers, ("Strict-Transport-Security", HSTS)) if hsts else headers


class Answers:
    """Makes apps that each give one short answer: the gate's own, and simpleproxy's."""

    def __init__(self, *, hsts: bool = False) -> None:
        self._headers = security_headers(hsts=hsts)

    def page(self, status: str, text: str, *headers: tuple[str, str]) -> WsgiApp:
        """status, HTML text -> app that answers with a short page"""
        title = status.partition(" ")[2]
        body = (
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            f"</head><body><h1>{title}</h1><p>{text}</p></body></html>\n"
        )
        return self.answer(status, body.encode(), HTML, *headers)

    def answer(self, status: str, body: bytes, *headers: tuple[str, str]) -> WsgiApp:
        """status, body, headers -> app that gives this answer, and no body to HEAD"""
        said = [*headers, ("Content-Length", str(len(body))), NO_STORE, *self._headers]

        def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            start_response(status, [*said])
            return [b""] if environ.get("REQUEST_METHOD") == "HEAD" else [body]

        return app
