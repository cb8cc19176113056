"""What every answer tells the browser, whatever kind of answer it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from factored.services.login import Login
from tests.functional.test_forms import send
from tests.functional.test_gate import raw
from tests.support import NAME, Recorder, Site, token_of

ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
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


def test_pages_load_nothing_from_elsewhere_and_run_no_script(site: Site) -> None:
    first = site.web.get("/auth/ga")
    fields = {"csrf_token": token_of(first), "username": NAME, "submit": "username"}
    for page in (first, site.web.post("/auth/ga", fields), site.web.get("/auth/logout")):
        assert "<script" not in page.text
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
