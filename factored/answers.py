"""Short answers made by hand, without a request or a template, and what all answers of ours say."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping

from factored.interfaces import Environ, StartResponse, WsgiApp
from factored.words import ENGLISH, Languages, Words, _

HSTS = "max-age=31536000"
HTML = ("Content-Type", "text/html; charset=utf-8")
NO_STORE = ("Cache-Control", "no-store")

TITLES: Mapping[str, str] = {
    "302": _("Sign in"),
    "400": _("Bad Request"),
    "401": _("Sign in"),
    "404": _("Not found"),
    "405": _("Method Not Allowed"),
    "411": _("Length Required"),
    "431": _("Too many cookies"),
    "500": _("Something went wrong"),
    "502": _("Bad Gateway"),
    "503": _("Not possible right now"),
    "504": _("Gateway Timeout"),
}
"""Headings of short pages, by status."""


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

    def __init__(self, *, hsts: bool = False, languages: Languages | None = None) -> None:
        self._headers = security_headers(hsts=hsts)
        self._languages = languages or Languages([ENGLISH])
        self._escaped: dict[tuple[str, str], str] = {}

    def page(
        self, status: str, text: str, *headers: tuple[str, str], link: tuple[str, str] | None = None
    ) -> WsgiApp:
        """status, text, link as (URL, label) -> app that answers with a short page

        The language is looked for when the page is made, so that nobody else waits for it.
        """

        def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            words = self._languages.accepted(environ.get("HTTP_ACCEPT_LANGUAGE", ""))
            title = self._said(words, TITLES[status[:3]])
            onward = ""
            if link is not None:
                url, label = html.escape(link[0]), self._said(words, link[1])
                onward = f'<p><a href="{url}">{label}</a></p>'
            body = (
                f'<!DOCTYPE html>\n<html lang="{words.language}" dir="{words.direction}">'
                f'<head><meta charset="utf-8"><title>{title}</title></head>'
                f"<body><h1>{title}</h1><p>{self._said(words, text)}</p>{onward}</body></html>\n"
            )
            language = ("Content-Language", words.language)
            answer = self.answer(status, body.encode(), HTML, language, *headers)
            return answer(environ, start_response)

        return app

    def _said(self, words: Words, text: str) -> str:
        """one of the few texts that are said here -> it in this language, for HTML"""
        key = words.language, text
        if key not in self._escaped:
            self._escaped[key] = html.escape(words(text))
        return self._escaped[key]

    def answer(self, status: str, body: bytes, *headers: tuple[str, str]) -> WsgiApp:
        """status, body, headers -> app that gives this answer, and no body to HEAD"""
        said = [*headers, ("Content-Length", str(len(body))), NO_STORE, *self._headers]

        def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            start_response(status, [*said])
            return [b""] if environ.get("REQUEST_METHOD") == "HEAD" else [body]

        return app
