"""What a form may send: ours, from our own pages, small; all else is refused and never an error."""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from webtest import TestResponse

from tests.functional.test_gate import raw
from tests.support import NAME, Browser, Site, token_of

FORM = "application/x-www-form-urlencoded"
BODY_BYTES = 16384

fuzz = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def post(
    site: Site, web: Browser | None = None, path: str = "/auth/ga", **fields: str
) -> TestResponse:
    """the first form with these fields changed -> the answer; an underscore ends a header's name"""
    web = web or site.web
    sent = {"csrf_token": site.csrf(web), "username": NAME, "submit": "username"}
    headers = {key[1:].replace("_", "-"): fields.pop(key) for key in list(fields) if key[:1] == "_"}
    return web.post(path, {**sent, **fields}, headers=headers)


# -- whose form it is ------------------------------------------------------------------------------


def test_a_form_of_ours_is_taken(site: Site) -> None:
    assert post(site).status_int == 200


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "\u00e9", "A" * 64, " "])
def test_a_wrong_token_is_refused(site: Site, token: str) -> None:
    answer = post(site, csrf_token=token)
    assert answer.status_int == 403
    assert "too old, or not ours" in answer.text


def test_a_missing_token_is_refused(site: Site) -> None:
    site.csrf()
    assert site.web.post("/auth/ga", {"username": NAME, "submit": "username"}).status_int == 403


def test_the_token_of_another_browser_is_refused(site: Site) -> None:
    assert post(site, csrf_token=site.csrf(site.browser())).status_int == 403


def test_without_a_cookie_the_page_names_the_likely_cause(site: Site) -> None:
    token = site.csrf()
    fields = {"csrf_token": token, "username": NAME, "submit": "username"}
    for web in (site.browser(), site.browser().cookie("made-up.cookie", "factored_browser")):
        answer = web.post("/auth/ga", fields)
        assert answer.status_int == 403
        assert "no cookie back" in answer.text
        assert "auth_tkt.secure = false" in answer.text


def test_a_planted_copy_of_the_browser_cookie_does_not_shut_one_out(site: Site) -> None:
    token = site.csrf()
    own = site.web.cookies["factored_browser"]
    for planted in ("junk", "a.b", own[:-1]):
        for pair in ((planted, own), (own, planted)):
            web = site.browser()
            web.extra_environ["HTTP_COOKIE"] = "; ".join(f"factored_browser={one}" for one in pair)
            fields = {"csrf_token": token, "username": NAME, "submit": "username"}
            assert web.post("/auth/ga", fields).status_int == 200


@pytest.mark.parametrize(
    ("site_header", "status"),
    [("same-origin", 200), ("none", 200), ("cross-site", 403), ("same-site", 403), ("x", 403)],
)
def test_what_the_browser_says_of_the_forms_site_counts(
    site: Site, site_header: str, status: int
) -> None:
    answer = post(site, _Sec_Fetch_Site=site_header)
    assert answer.status_int == status
    assert ("sent by another site" in answer.text) is (status == 403)


@pytest.mark.parametrize(
    ("origin", "host", "scheme", "status"),
    [
        ("http://www.example.com", "www.example.com", "http", 200),
        ("http://www.example.com:80", "www.example.com", "http", 200),
        ("http://WWW.Example.com", "www.example.com:80", "http", 200),
        ("https://www.example.com", "www.example.com:443", "https", 200),
        ("https://www.example.com", "www.example.com", "http", 200),
        ("http://www.example.com:8000", "www.example.com:8000", "http", 200),
        ("http://www.example.com:8000", "www.example.com", "http", 403),
        ("http://www.example.com", "www.example.com:8000", "http", 403),
        ("http://example.com", "www.example.com", "http", 403),
        ("http://www.example.com.evil.example", "www.example.com", "http", 403),
        ("http://evil.example", "www.example.com", "http", 403),
        ("null", "www.example.com", "http", 403),
        ("", "www.example.com", "http", 403),
        ("null", "", "http", 403),
        ("http://", "", "http", 403),
    ],
)
def test_a_form_comes_from_the_host_that_it_goes_to(
    site: Site, origin: str, host: str, scheme: str, status: int
) -> None:
    web = site.browser()
    token = site.csrf(web)
    body = urlencode({"csrf_token": token, "username": NAME, "submit": "username"})
    cookie = "factored_browser=" + web.cookies["factored_browser"]
    environ = {"HTTP_ORIGIN": origin, "HTTP_HOST": host, "wsgi.url_scheme": scheme}
    assert send(site, body, HTTP_COOKIE=cookie, **environ)["status"] == status


def send(site: Site, body: str | bytes, path: str = "/auth/ga", **environ: Any) -> dict[str, Any]:
    """body, environ -> the answer to this POST, past WebTest's own ideas"""
    data = body if isinstance(body, bytes) else body.encode("latin-1")
    sent = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": FORM,
        "CONTENT_LENGTH": str(len(data)),
        "wsgi.input": io.BytesIO(data),
        "wsgi.errors": io.StringIO(),
        **environ,
    }
    return raw(site, path, **{key: value for key, value in sent.items() if value is not None})


# -- a form that is none of ours -------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/auth", "/auth/ga", "/auth/logout", "/auth/unlock/token"])
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM, b""),
        (FORM, b"comment=hello&name=al"),
        ("multipart/form-data; boundary=x", b"--x\r\nsubmit"),
        ("application/json", b'{"submit": "authenticate"}'),
        ("text/plain", b"submit=authenticate"),
        ("", b"submit=authenticate"),
        ("application/octet-stream", b"\0\xff"),
    ],
)
def test_a_post_that_is_not_our_form_is_sent_to_the_same_page_by_get(
    site: Site, path: str, content_type: str, body: bytes
) -> None:
    answer = send(site, body, path, CONTENT_TYPE=content_type, QUERY_STRING="referrer=/page")
    assert answer["status"] == 303
    assert answer["headers"]["Location"] == f"{path}?referrer=/page"


@pytest.mark.parametrize("query", ["a=1\r\nX: y", "\u00e9", "\0"])
def test_a_query_that_is_not_one_is_left_out_of_that_redirect(site: Site, query: str) -> None:
    answer = send(site, b"", QUERY_STRING=query)
    assert answer["headers"]["Location"] == "/auth/ga"


@pytest.mark.parametrize(
    "changed",
    [
        {"comment": "x"}, {"Username": "x"}, {"": "x"}, {"submit ": "x"}, {"username\0": "x"},
        {"code": "1" * 65}, {"username": "x" * 255}, {"csrf_token": "x" * 65},
        {"remember": "x" * 17}, {"referrer": "/" + "x" * 2048},
    ],
)  # fmt: skip
def test_an_unknown_or_oversized_field_is_refused(site: Site, changed: dict[str, str]) -> None:
    assert post(site, **changed).status_int == 400


@pytest.mark.parametrize(("field", "length"), [("code", 64), ("username", 254), ("remember", 16)])
def test_a_field_may_be_as_long_as_it_may(site: Site, field: str, length: int) -> None:
    assert post(site, **{field: "1" * length}).status_int == 200


def test_a_repeated_field_is_refused(site: Site) -> None:
    token = site.csrf()
    body = f"csrf_token={token}&username=al&username=bo&submit=username"
    assert site.web.post("/auth/ga", body, content_type=FORM).status_int == 400
    assert site.web.get("/auth/ga?referrer=/a&referrer=/b").status_int == 400


@pytest.mark.parametrize("button", ["codereminder", "logout", "unlock"])
def test_a_button_that_the_page_does_not_have_is_refused(site: Site, button: str) -> None:
    assert post(site, submit=button).status_int == 400
    assert post(site, path="/auth", submit=button).status_int == 400


@pytest.mark.parametrize("button", ["", "Username", "Save", "x" * 33])
def test_a_form_without_a_button_of_ours_is_asked_to_come_by_get(site: Site, button: str) -> None:
    """mod_auth_tkt passes a visitor's form on; what its fields are called is not our business."""
    for path in ("/auth", "/auth/ga"):
        answer = post(site, path=path, submit=button)
        assert (answer.status_int, answer.headers["Location"]) == (303, path)


@pytest.mark.parametrize(
    "body",
    [b"tag=a&tag=b", b"name=M%FCller", b"name=\xfc", b"submit=%FF", b"&".join([b"a=1"] * 60)],
)
def test_a_foreign_form_may_hold_what_it_likes(site: Site, body: bytes) -> None:
    answer = send(site, body, "/auth/ga", QUERY_STRING="referrer=/x")
    assert answer["status"] == 303
    assert answer["headers"]["Location"] == "/auth/ga?referrer=/x"


@pytest.mark.parametrize(
    ("size", "status"), [(BODY_BYTES - 1, 303), (BODY_BYTES, 303), (BODY_BYTES + 1, 413)]
)
@pytest.mark.parametrize("content_type", [FORM, "application/octet-stream"])
def test_a_body_may_have_16_kib(site: Site, content_type: str, size: int, status: int) -> None:
    body = b"x=" + b"y" * (size - 2)
    told = send(site, body, CONTENT_TYPE=content_type)
    assert told["status"] == status
    streamed = {"CONTENT_LENGTH": None, "wsgi.input_terminated": True}
    assert send(site, body, CONTENT_TYPE=content_type, **streamed)["status"] == status


def test_a_body_of_which_nobody_says_the_length_is_not_read(site: Site) -> None:
    class Endless:
        def read(self, size: int = -1) -> bytes:
            raise AssertionError("this would block for ever")

    for length in (None, ""):
        changed = {"CONTENT_LENGTH": length, "wsgi.input": Endless()}
        assert send(site, b"", **changed)["status"] == 303
    assert send(site, b"", CONTENT_LENGTH="16385", **{"wsgi.input": Endless()})["status"] == 413


def test_a_body_that_breaks_off_is_the_clients_mistake(site: Site) -> None:
    class Broken:
        def read(self, size: int = -1) -> bytes:
            raise OSError("the chunks make no sense")

    assert send(site, b"x=1", **{"wsgi.input": Broken()})["status"] == 400


@pytest.mark.parametrize("length", ["-1", "1_0", "0x10", "+5", " 5", "five", "٣", "9" * 5000])
def test_a_length_that_makes_no_sense_is_the_clients_mistake(site: Site, length: str) -> None:
    assert send(site, b"x=1", CONTENT_LENGTH=length)["status"] in (400, 413)


@pytest.mark.parametrize(("fields", "status"), [(49, 200), (50, 200), (51, 400)])
def test_a_query_may_have_50_fields(site: Site, fields: int, status: int) -> None:
    query = "&".join(f"f{n}={n}" for n in range(fields))
    assert raw(site, "/auth/ga", QUERY_STRING=query)["status"] == status


def test_a_form_of_ours_with_more_than_50_fields_is_refused_before_its_token_is_looked_at(
    site: Site,
) -> None:
    body = "submit=username&" + "&".join(f"f{n}={n}" for n in range(50))
    answer = send(site, body)
    assert answer["status"] == 400
    assert b"more than a form has" in answer["body"]


# -- methods ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "method", "allow"),
    [
        ("/auth/ga", "PUT", "GET, HEAD, POST"),
        ("/auth/ga", "DELETE", "GET, HEAD, POST"),
        ("/auth/ga", "OPTIONS", "GET, HEAD, POST"),
        ("/auth/ga", "post", "GET, HEAD, POST"),
        ("/auth/logout", "PATCH", "GET, HEAD, POST"),
        ("/auth/unlock/x", "PUT", "GET, HEAD, POST"),
        ("/auth", "PROPFIND", "GET, HEAD, POST"),
        ("/auth/healthz", "POST", "GET, HEAD"),
        ("/auth/readyz", "DELETE", "GET, HEAD"),
        ("/auth/authstatic/style.css", "POST", "GET, HEAD"),
    ],
)
def test_each_page_takes_only_its_methods(site: Site, path: str, method: str, allow: str) -> None:
    answer = send(site, b"", path, REQUEST_METHOD=method)
    assert answer["status"] == 405
    assert answer["headers"]["Allow"] == allow


@pytest.mark.parametrize("path", ["/auth/ga", "/auth/logout", "/auth/healthz", "/auth/nothing"])
def test_head_is_get_without_a_body(site: Site, path: str) -> None:
    web = site.browser()
    got, head = web.get(path), web.head(path)
    assert head.status == got.status
    assert head.content_type == got.content_type
    assert head.body == b""


@pytest.mark.parametrize(
    "path", ["/auth/nothing", "/auth/ga/", "/auth/ga/x", "/auth/GA", "/auth//"]
)
def test_what_is_not_there_is_404_without_repeating_what_was_asked(site: Site, path: str) -> None:
    answer = site.web.get(path + "?<marquee>")
    assert answer.status_int == 404
    assert "marquee" not in answer.text
    assert "Back to sign-in" in answer.text


# -- junk ------------------------------------------------------------------------------------------

JUNK = st.text(st.characters(max_codepoint=255), max_size=40)
PATHS = st.sampled_from(
    ["/auth", "/auth/", "/auth/ga", "/auth/logout", "/auth/unlock/", "/auth/x", "/"]
)


@fuzz
@given(start=PATHS, junk=JUNK, query=JUNK, cookie=JUNK)
def test_junk_in_path_query_and_cookie_is_never_our_error(
    site: Site, start: str, junk: str, query: str, cookie: str
) -> None:
    names = ("auth_tkt", "factored_browser", "factored_device")
    header = "; ".join(f"{name}={cookie}" for name in names)
    for path in (start, start + junk):
        answer = raw(site, path, QUERY_STRING=query, HTTP_COOKIE=header)
        assert answer["status"] < 500
        assert "\n" not in answer["headers"].get("Location", "")
        if answer["status"] == 200:
            assert path.startswith("/auth")


@fuzz
@given(
    body=st.binary(max_size=200),
    named=st.dictionaries(
        st.sampled_from(["submit", "username", "code", "csrf_token", "referrer", "x"]),
        st.text(max_size=20),
    ),
)
def test_junk_in_a_body_is_never_our_error(site: Site, body: bytes, named: dict[str, str]) -> None:
    for sent in (body, urlencode(named, errors="surrogatepass").encode()):
        answer = send(site, sent, HTTP_REFERER="\xff", HTTP_USER_AGENT="\xff\0")
        assert answer["status"] in (303, 400, 403)


@fuzz
@given(name=st.text(max_size=30), code=st.text(max_size=30), back=st.text(max_size=30))
def test_junk_in_a_form_of_ours_is_never_our_error_and_lets_nobody_in(
    site: Site, name: str, code: str, back: str
) -> None:
    try:
        fields = urlencode(
            {"username": name, "code": code, "referrer": back, "submit": "authenticate"}
        )
    except UnicodeEncodeError:
        return
    web = site.browser()
    body = fields + "&csrf_token=" + token_of(web.get("/auth/ga"))
    answer = web.post("/auth/ga", body, content_type=FORM)
    assert answer.status_int in (200, 400, 429)
    assert "auth_tkt" not in answer.headers.get("Set-Cookie", "")


def test_a_form_of_another_site_with_a_button_called_submit_is_asked_to_come_by_get(
    site: Site,
) -> None:
    answer = site.web.post("/auth/ga?referrer=/x", {"submit": "Save", "title": "x"})
    assert (answer.status_int, answer.headers["Location"]) == (303, "/auth/ga?referrer=/x")


def test_planted_copies_of_the_browser_cookie_stop_no_form(site: Site) -> None:
    token = site.csrf()
    own = f"factored_browser={site.web.cookies['factored_browser']}"
    web = site.browser(HTTP_COOKIE="; ".join(["factored_browser=junk"] * 50 + [own]))
    form = {"csrf_token": token, "username": NAME, "submit": "username"}
    assert web.post("/auth/ga", form).status_int == 200
