"""What every answer tells the browser, whatever kind of answer it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from factored.answers import security_headers
from factored.app import nothing_here
from factored.interfaces import SendingFails
from factored.services.login import Login
from factored.services.revocation import RevocationList
from tests.functional.mailing import MakeMailed
from tests.functional.test_failure import database_down
from tests.functional.test_forms import send
from tests.functional.test_gate import raw
from tests.support import NAME, Recorder, Site, token_of

ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
BIG = {"HTTP_COOKIE": "x" * 8193}

ANSWERS: dict[str, tuple[int, dict[str, Any]]] = {
    "/auth": (302, {}),
    "/auth/ga": (200, {}),
    "/auth/logout": (200, {}),
    "/auth/healthz": (200, {}),
    "/auth/readyz": (200, {}),
    "/auth/authstatic/style.css": (200, {}),
    "/auth/authstatic/icon.svg": (200, {}),
    "/auth/authstatic/nothing": (404, {}),
    "/auth/authstatic/": (404, {}),
    "/auth/authstatic/../site.py": (404, {}),
    "/auth/nothing": (404, {}),
    "/auth/unlock/nothing": (404, {}),
    "/auth/ga?": (405, {"REQUEST_METHOD": "PUT"}),
    "/auth/ga??": (400, {"QUERY_STRING": "referrer=/a&referrer=/b"}),
    "/auth/ga???": (431, BIG),
    "/auth/\xff": (400, {"REQUEST_URI": "/auth/%FF"}),
    "/page": (302, {}),
    "/page?": (401, {"HTTP_ACCEPT": "application/json"}),
    "/page??": (401, {"HTTP_ACCEPT": "text/html", "REQUEST_METHOD": "POST"}),
    "/page???": (431, BIG),
}  # fmt: skip


@pytest.mark.parametrize("path", ANSWERS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_every_answer_is_framed_sniffed_and_referred_to_by_nobody(
    site: Site, path: str, method: str
) -> None:
    status, environ = ANSWERS[path]
    answer = raw(site, path.rstrip("?"), **{"REQUEST_METHOD": method, **environ})
    assert answer["status"] == status
    headers = answer["headers"]
    assert {key: headers.get(key) for key in ALWAYS} == ALWAYS
    assert "Strict-Transport-Security" not in headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "form-action" not in policy
    assert "http" not in policy
    kept = path.startswith("/auth/authstatic/") and status == 200
    assert headers["Cache-Control"] == ("max-age=3600" if kept else "no-store")
    assert not headers.get("Location", "/").startswith(("http", "//"))


def test_answers_to_forms_and_redirects_after_them_say_the_same(site: Site) -> None:
    token = site.csrf()
    fields = {"csrf_token": token, "username": NAME, "code": site.code(), "submit": "authenticate"}
    answers = [
        site.web.post("/auth/ga", {**fields, "csrf_token": "wrong"}),
        site.web.post("/auth/ga", {**fields, "code": site.wrong_code()}),
        site.web.post("/auth/ga", {"x": "y"}),
        site.web.post("/auth/ga", "x" * 16385),
        site.web.post("/auth/ga", fields),
        site.web.post("/auth/logout", {"csrf_token": site.csrf(), "submit": "logout"}),
    ]
    assert [answer.status_int for answer in answers] == [403, 200, 303, 413, 303, 200]
    for answer in answers:
        assert {key: answer.headers.get(key) for key in ALWAYS} == ALWAYS
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Content-Security-Policy" in answer.headers


def test_an_error_of_ours_says_the_same_and_nothing_of_itself(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kw: Any) -> Any:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr(Login, "attempt", fail)
    answer = site.attempt(site.code())
    assert answer.status_int == 500
    assert "a secret detail" not in answer.text
    assert {key: answer.headers.get(key) for key in ALWAYS} == ALWAYS
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(("hsts", "told"), [("true", "max-age=31536000"), ("false", None)])
def test_hsts_is_said_by_the_pages_where_the_operator_wants_it(
    make_site: Callable[..., Site], hsts: str, told: str | None
) -> None:
    downstream = Recorder()
    site = make_site(downstream, hsts=hsts, excepted_paths="/open")
    for path in (
        "/auth",
        "/auth/ga",
        "/auth/nothing",
        "/auth/healthz",
        "/auth/authstatic/style.css",
    ):
        assert site.web.get(path).headers.get("Strict-Transport-Security") == told
    refused = send(site, b"", "/auth/ga", REQUEST_METHOD="PUT")
    assert refused["headers"].get("Strict-Transport-Security") == told
    assert "Strict-Transport-Security" not in site.web.get("/open").headers


def test_what_downstream_answers_is_left_as_it_is(make_site: Callable[..., Site]) -> None:
    site = make_site(Recorder([("X-Frame-Options", "ALLOWALL"), ("Set-Cookie", "a=1")]))
    answer = raw(site, "/", HTTP_COOKIE=f"auth_tkt={site.ticket()}")
    told = {"Content-Type": "text/plain", "X-Frame-Options": "ALLOWALL", "Set-Cookie": "a=1"}
    assert answer["headers"] == told


OUR_SCRIPT = '<script src="/auth/authstatic/script.js" defer></script>'


def test_pages_load_nothing_from_elsewhere_and_run_no_script(site: Site) -> None:
    first = site.web.get("/auth/ga")
    fields = {"csrf_token": token_of(first), "username": NAME, "submit": "username"}
    for page in (first, site.web.post("/auth/ga", fields), site.web.get("/auth/logout")):
        assert "script" not in page.text.replace(OUR_SCRIPT, "", 1)
        assert not re.search(r'\son[a-z]+="', page.text)
        assert not re.search(r'\sstyle="|<style', page.text)
        for url in re.findall(r'(?:src|href|action)="([^"]*)"', page.text):
            assert url.startswith("/auth")
            assert site.web.get(url).status_int in (200, 302)


@pytest.mark.parametrize(
    "path", ["/auth/authstatic/../texts.py", "/auth/authstatic/%2e%2e/texts.py",
             "/auth/authstatic//etc/passwd", "/auth/authstatic/..\\texts.py",
             "/auth/authstatic/\0"],
)  # fmt: skip
def test_static_files_are_served_from_their_folder_only(site: Site, path: str) -> None:
    assert raw(site, path)["status"] == 404


def test_a_static_file_that_the_browser_has_is_not_sent_again(site: Site) -> None:
    first = site.web.get("/auth/authstatic/style.css")
    since = {"If-Modified-Since": first.headers["Last-Modified"]}
    again = site.web.get("/auth/authstatic/style.css", headers=since)
    assert (again.status_int, again.body) == (304, b"")
    assert again.headers["X-Content-Type-Options"] == "nosniff"


# -- every kind of answer --------------------------------------------------------------------------

PATHS = [
    "/auth", "/auth/", "/auth/ga", "/auth/em", "/auth/em/link/x", "/auth/logout", "/auth/healthz",
    "/auth/readyz", "/auth/unlock/x", "/auth/enrol/x", "/auth/authstatic/style.css",
    "/auth/authstatic/", "/auth/authstatic/x", "/auth/x", "/auth/ga/x", "/auth/\0", "/auth/\xff",
    "/auth/../x", "/x", "/", "", "/\xff",
]  # fmt: skip
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", "", "\xff"]
STATIC = "/auth/authstatic/style.css"

Ask = Callable[[Site], dict[str, Any]]


def asked(path: str = "/", **environ: Any) -> Ask:
    return lambda site: raw(site, path, **environ)


def formed(path: str = "/auth/ga", **fields: Any) -> Ask:
    """fields of a form -> its answer; a function makes its value from the site"""

    def ask(site: Site) -> dict[str, Any]:
        form = {"csrf_token": site.csrf(), "username": NAME}
        form |= {name: made(site) if callable(made) else made for name, made in fields.items()}
        answer = site.web.post(path, form)
        return {"status": answer.status_int, "sent": answer.headerlist}

    return ask


def guessed(site: Site) -> dict[str, Any]:
    for _ in range(6):
        answer = site.attempt(site.wrong_code())
    return {"status": answer.status_int, "sent": answer.headerlist}


def while_down(ask: Ask) -> Ask:
    def down(site: Site) -> dict[str, Any]:
        site.csrf()
        with database_down(site):
            return ask(site)

    return down


KINDS: dict[str, tuple[int, Ask]] = {
    # the gate's own
    "to the login": (302, asked()),
    "401 as a page": (401, asked(REQUEST_METHOD="POST", HTTP_ACCEPT="text/html")),
    "401 as JSON": (401, asked(HTTP_ACCEPT="application/json")),
    "a header that moves the path": (400, asked("/auth/ga", HTTP_SCRIPT_NAME="/x")),
    "bytes that are no text": (400, asked("/auth/\xff", REQUEST_URI="/auth/%FF")),
    "too many cookies": (431, asked("/auth/ga", **BIG)),
    "too many cookies elsewhere": (431, asked(**BIG)),
    "an error of the gate": (500, asked(REMOTE_ADDR=None, HTTP_COOKIE=7)),
    # pages
    "the chooser, of one": (302, asked("/auth")),
    "a form": (200, asked("/auth/ga")),
    "the second form": (200, formed(submit="username")),
    "a wrong code": (200, formed(submit="authenticate", code=Site.wrong_code)),
    "signed in": (303, formed(submit="authenticate", code=Site.code)),
    "one guess too many": (429, guessed),
    "a form of somebody else": (303, formed(submit="Save")),
    "a form without its token": (403, formed(submit="username", csrf_token="")),
    "a form from another site": (
        403,
        lambda site: send(site, "submit=username", HTTP_ORIGIN="http://evil.example"),
    ),
    "a field that is not ours": (400, formed(submit="username", more="x")),
    "a body too large": (413, formed(code="x" * 16385)),
    "a query too large": (400, asked("/auth/ga", QUERY_STRING="a&" * 60 + "a=")),
    "a wrong method": (405, asked("/auth/ga", REQUEST_METHOD="PUT")),
    "signing out, asked": (200, asked("/auth/logout")),
    "signed out": (200, formed("/auth/logout", submit="logout")),
    "nothing there": (404, asked("/auth/x")),
    "a spent link": (404, asked("/auth/unlock/x")),
    "a scheme that is not on": (404, asked("/auth/em")),
    "health": (200, asked("/auth/healthz")),
    "ready": (200, asked("/auth/readyz")),
    # files
    "a file": (200, asked(STATIC)),
    "a part of a file": (206, asked(STATIC, HTTP_RANGE="bytes=0-9")),
    "no such part of a file": (416, asked(STATIC, HTTP_RANGE="bytes=999999-")),
    "a file that is known": (
        304,
        asked(STATIC, HTTP_IF_MODIFIED_SINCE="Fri, 01 Jan 2100 00:00:00 GMT"),
    ),
    "a file, posted to": (405, asked(STATIC, REQUEST_METHOD="POST")),
    "no such file": (404, asked("/auth/authstatic/x")),
    # something is down
    "not ready": (503, while_down(asked("/auth/readyz"))),
    "nobody can sign in": (503, while_down(formed(submit="authenticate", code=Site.code))),
}


def is_said(sent: list[tuple[str, str]], hsts: bool, where: object) -> None:
    """headers of an answer of ours -> None; fails unless each is there, once, as it should be"""
    found: dict[str, list[str]] = {}
    for name, text in sent:
        found.setdefault(name.title(), []).append(text)
    told = {**ALWAYS, "Strict-Transport-Security": "max-age=31536000"} if hsts else ALWAYS
    assert {name: found.get(name) for name in map(str.title, told)} == {
        name.title(): [text] for name, text in told.items()
    }, where
    assert ("Strict-Transport-Security" in found) is hsts, where
    assert len(found["Cache-Control"]) == 1, where
    (policy,) = found["Content-Security-Policy"]
    directives = dict(one.strip().partition(" ")[::2] for one in policy.split(";"))
    for name in ("default-src", "base-uri", "frame-ancestors"):
        assert directives.pop(name) == "'none'", where
    assert set(directives.values()) <= {"'self'", "'self' data:"}, where


@pytest.mark.parametrize("hsts", [True, False], ids=["hsts", "no hsts"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_answer_says_all_of_it(
    make_site: Callable[..., Site], kind: str, hsts: bool
) -> None:
    status, ask = KINDS[kind]
    answer = ask(make_site(hsts=str(hsts)))
    assert answer["status"] == status
    is_said(answer["sent"], hsts, kind)


@pytest.mark.parametrize("hsts", [True, False], ids=["hsts", "no hsts"])
def test_every_path_says_all_of_it_to_every_method(make_mailed: MakeMailed, hsts: bool) -> None:
    schemes = "Google Auth\nEmail"
    site = make_mailed(hsts=str(hsts), supported_auth_schemes=schemes).site
    for cookie in ({}, {"HTTP_COOKIE": f"auth_tkt={site.ticket()}"}):
        for path in PATHS:
            for method in METHODS:
                if path.startswith("/auth") or not cookie:
                    answer = raw(site, path, REQUEST_METHOD=method, **cookie)
                    is_said(answer["sent"], hsts, (path, method))


def test_a_host_that_is_not_ours_is_told_all_of_it(make_site: Callable[..., Site]) -> None:
    site = make_site(public_url="https://www.example.com", hsts="true")
    for path in ("/", "/auth/ga"):
        answer = raw(site, path, HTTP_HOST="evil.example")
        assert answer["status"] == 400
        is_said(answer["sent"], True, path)


def test_who_asks_before_the_revocations_were_read_is_told_all_of_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RevocationList, "ready", False)
    answer = raw(site, "/")
    assert (answer["status"], answer["headers"]["Retry-After"]) == (503, "5")
    is_said(answer["sent"], False, "not ready")


@pytest.mark.parametrize(("error", "status"), [(SendingFails, 503), (RuntimeError, 500)])
def test_an_error_of_a_page_says_all_of_it(
    make_mailed: MakeMailed, monkeypatch: pytest.MonkeyPatch, error: type[Exception], status: int
) -> None:
    def fail(*args: Any, **kw: Any) -> Any:
        raise error("for this test")

    mailed = make_mailed(hsts="true")
    monkeypatch.setattr(Login, "challenge", fail)
    answer = mailed.ask()
    assert answer.status_int == status
    is_said(answer.headerlist, True, error)


def test_a_gate_without_a_site_behind_says_it_of_the_page_in_its_place(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(nothing_here())
    for method in ("GET", "HEAD"):
        cookie = f"auth_tkt={site.ticket()}"
        answer = raw(site, "/x", REQUEST_METHOD=method, HTTP_COOKIE=cookie)
        assert (answer["status"], answer["body"] == b"") == (404, method == "HEAD")
        is_said(answer["sent"], False, method)


def test_what_is_said_is_made_once() -> None:
    assert security_headers(hsts=True)[:-1] == security_headers(hsts=False)
    names = [name for name, _ in security_headers(hsts=True)]
    assert len(set(names)) == len(names) == len(ALWAYS) + 2
