"""Short answers made by hand, without a request or a template: those of the gate."""

from __future__ import annotations

from collections.abc import Iterable

from factored.interfaces import Environ, StartResponse, WsgiApp

PLAIN = [("Content-Type", "text/html; charset=utf-8"), ("Cache-Control", "no-store")]


def page(status: str, text: str, *headers: tuple[str, str]) -> WsgiApp:
    """status, HTML text -> app that answers with a short page"""
    title = status.partition(" ")[2]
    body = (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"</head><body><h1>{title}</h1><p>{text}</p></body></html>\n"
    )
    return answer(status, body.encode(), [*PLAIN, *headers])


def answer(status: str, body: bytes, headers: list[tuple[str, str]]) -> WsgiApp:
    """status, body, headers -> app that gives this answer, and no body to HEAD"""

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response(
            status,
            [
                *headers,
                ("Content-Length", str(len(body))),
                ("X-Content-Type-Options", "nosniff"),
                ("X-Frame-Options", "DENY"),
                ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
                ("Referrer-Policy", "same-origin"),
            ],
        )
        return [b""] if environ.get("REQUEST_METHOD") == "HEAD" else [body]

    return app
