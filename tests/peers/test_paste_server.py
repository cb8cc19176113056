"""Paste's own server, under pserve and paster serve: what it gets wrong is repaired or refused."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from .client import visitor
from .servers import Front, Nginx, start_front

# The same tests again, on the `front` below.
from .test_junk import (  # noqa: F401
    JUNK,
    asks,
    is_well,
    status,
    test_a_cookie_header_over_the_limit_is_431,
    test_a_smuggled_second_request_gets_no_identity,
    test_fuzzed_tickets_let_nobody_in,
    test_junk_in_cookies,
    test_junk_in_other_headers,
    test_junk_in_path_and_query,
    test_lengths_that_are_none,
    test_what_is_no_http_at_all,
    test_wrong_methods,
    ticket,
)
from .test_login import (  # noqa: F401
    test_an_xhr_is_told_in_json_where_to_log_in,
    test_health_is_told_to_everybody_at_once,
    test_identity_headers_of_a_client_never_arrive,
    test_known_and_unknown_names_get_the_same_page,
    test_the_ticket_stays_here_and_other_cookies_arrive_untouched,
    test_wrong_old_and_reused_codes_are_refused,
)

ACUTE_AND_SUN = "/d%C3%A9/%E6%97%A5"


@pytest.fixture(scope="module", params=["paste", "paster"])
def front(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, nginx: Nginx
) -> Iterator[Front]:
    """factored under Paste's server, before nginx."""
    folder = tmp_path_factory.mktemp("paste") / "site"
    made = start_front(folder, request.param, nginx.port)
    yield made
    made.server.stop()


def test_a_login_leads_to_the_page_asked_for(front: Front, nginx: Nginx) -> None:
    target = f"{ACUTE_AND_SUN}/a%20b;x=1?mark=login-{front.kind}&u=%C3%A9&slash=%2F&&q=?/"
    user, browser = front.add_user(), visitor(front)
    done = browser.sign_in(user, target)
    assert done.header("Location") == target
    assert browser.get(target).status == 200
    seen = nginx.saw(f"login-{front.kind}")
    assert (seen["uri"], seen["user"]) == (target, user.name)
    assert seen["x_forwarded_for"] == browser.address


@pytest.mark.parametrize(
    ("path", "arrives"),
    [
        ("/d%C3%A9", "/d%C3%A9"),
        ("/%E6%97%A5", "/%E6%97%A5"),
        ("/%F0%9F%94%91", "/%F0%9F%94%91"),
        # What is not UTF-8 is lost before factored sees it.
        ("/caf%E9", "/caf%EF%BF%BD"),
        ("/%C3%A9%FF", "/%C3%A9%EF%BF%BD"),
    ],
)
def test_a_path_is_more_than_ascii(front: Front, nginx: Nginx, path: str, arrives: str) -> None:
    browser, mark = visitor(front), f"{path}?bytes-{front.kind}"
    assert browser.get(mark).status == 302
    browser.sign_in(front.add_user())
    assert browser.get(mark).status == 200
    assert nginx.saw(f"{arrives}?bytes-{front.kind}")["status"] == "200"


def test_an_exempt_path_needs_no_ticket(front: Front, nginx: Nginx) -> None:
    for path in ("/open", "/%6Fpen", "/open/caf%C3%A9"):
        assert visitor(front).get(f"{path}?exempt-{front.kind}").status == 200
    # Cleaned by the server, and forwarded as cleaned.
    assert visitor(front).get(f"/secret/../open?cleaned-{front.kind}").status == 200
    assert nginx.saw(f"cleaned-{front.kind}")["uri"] == f"/open?cleaned-{front.kind}"


@pytest.mark.parametrize(
    "path", ["/open/", "/open/x", "/Open", "/open%2F..%2Fsecret", "/open/../secret", "/open%00",
             "//open/caf%E9", "/open/caf%C3%A9%20", "/open;x=1"],
)  # fmt: skip
def test_what_only_looks_like_an_exempt_path_is_not(front: Front, nginx: Nginx, path: str) -> None:
    mark = f"near{path.encode().hex()}-{front.kind}"
    assert visitor(front).get(f"{path}?{mark}").status in (302, 400)
    assert nginx.never_saw(mark)


def answered(front: Front, request: bytes) -> int:
    """bytes -> the answer's status; 0 where the server hung up on what it had not read"""
    try:
        return status(front, request)
    except OSError as error:
        assert error.errno == errno.ENOTCONN
        return 0


def test_a_chunked_upload_is_refused_for_its_body_is_lost(front: Front, nginx: Nginx) -> None:
    browser = visitor(front)
    browser.sign_in(front.add_user())
    mark = f"/upload/chunked-{front.kind}"
    headers = [b"Transfer-Encoding: chunked", f"Cookie: {browser.cookie_header('/')}".encode()]
    body = b"3\r\none\r\n0\r\n\r\n"
    request = asks(mark.encode(), *headers, method=b"POST", body=body)
    assert answered(front, request) in (411, 0)
    assert nginx.never_saw(mark)
    assert browser.request("POST", f"/upload/whole-{front.kind}", b"onetwo").status == 200
    assert nginx.saw(f"/upload/whole-{front.kind}")["length"] == "6"


def test_junk_in_bodies(front: Front) -> None:
    bad = {}
    for body in (*JUNK, b"submit=\xff", b"submit=%ff", b"x" * 20000, b"f=1&" * 60):
        for kind in (b"application/x-www-form-urlencoded", b"multipart/form-data", b"\xff"):
            headers = [b"Content-Type: " + kind, b"Content-Length: %d" % len(body)]
            found = answered(front, asks(b"/auth/ga", *headers, method=b"POST", body=body))
            if found >= 500:
                bad[body[:80], kind] = found
    assert bad == {}
    is_well(front, [])


def test_a_server_for_this_machine_alone_is_not_warned_of(front: Front) -> None:
    assert "serving on http://127.0.0.1:" in front.server.output
    assert "Paste's own server" not in front.server.output
