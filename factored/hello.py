"""The demo downstream: says who you are and shows the request it got."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from factored.interfaces import Environ, StartResponse

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>The protected site</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto;
        padding: 0 1rem; overflow-wrap: anywhere }}
table {{ border-collapse: collapse; width: 100%; table-layout: fixed }}
th {{ width: 36% }}
th, td {{ text-align: start; vertical-align: top; padding: .25rem .75rem .25rem 0;
          border-block-end: 1px solid #8886; overflow-wrap: anywhere }}
</style></head>
<body><h1>Hello, {user}</h1>
<p>This is the protected site. It never saw a code: factored let your request through.
<a href="{logout}">Sign out</a></p>
<table>{rows}</table></body></html>
"""

HIDDEN = ("HTTP_COOKIE",)


def hello(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """WSGI app; cookies are not shown, they open doors"""
    rows = "".join(
        f"<tr><th>{escape(key)}</th><td>{escape(str(value))}</td></tr>"
        for key, value in sorted(environ.items())
        if key.isupper() and key not in HIDDEN
    )
    body = PAGE.format(
        user=escape(environ.get("factored.identity", "stranger")),
        logout=escape(
            environ.get("SCRIPT_NAME", "") + environ.get("factored.base_auth_url", "") + "/logout"
        ),
        rows=rows,
    ).encode()
    start_response(
        "200 OK",
        [
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
        ],
    )
    return [b""] if environ.get("REQUEST_METHOD") == "HEAD" else [body]
