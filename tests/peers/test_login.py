"""From an anonymous request through the login to nginx, and what nginx sees of it."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from .client import code, form_of, visitor, wrong_code
from .servers import Front, Nginx, User, program

ODD = (
    "/a%2Fb/c%2fd//e/caf%C3%A9/%E6%97%A5~%7E/x;y=1/@:!$'()*,"
    "?mark={mark}&plus=a+b%20c&slash=%2F%2f&amp=%26&u=%C3%A9&equals=%3D==&=&&q=?/#frag"
).partition("#")[0]

IDENTITY = (
    "Factored-User",
    "Remote-User",
    "X-Remote-User",
    "X-Forwarded-User",
    "X-Authenticated-User",
    "X-Auth-Request-User",
)
SPELLINGS = [
    spell(name)
    for name in IDENTITY
    for spell in (str, str.lower, str.upper, lambda name: name.replace("-", "_"))
]
OTHERS = ("remote_user", "x_remote_user", "x_forwarded_user", "x_authenticated_user",
          "x_auth_request_user")  # fmt: skip


def test_a_code_from_oathtool_leads_to_the_page_asked_for_byte_for_byte(
    front: Front, nginx: Nginx
) -> None:
    target = ODD.format(mark=f"odd-{front.kind}")
    user, browser = front.add_user(), visitor(front)
    browser.cookies["theme"] = ('dark"; x y=1', "/")
    asked = browser.get(target)
    assert asked.status == 302
    assert urlsplit(asked.header("Location")).path == "/auth"
    assert parse_qs(urlsplit(asked.header("Location")).query)["referrer"] == [target]
    done = browser.sign_in(user, target)
    assert done.header("Location") == target
    page = browser.get(done.header("Location"))
    assert page.status == 200
    seen = nginx.saw(f"mark=odd-{front.kind}")
    assert seen["uri"] == target
    assert seen["user"] == user.name
    assert seen["cookie"] == 'theme=dark"; x y=1'
    assert seen["host"] == browser.host
    assert seen["x_forwarded_for"] == browser.address


def test_a_code_from_the_qr_picture_lets_in(front: Front, tmp_path: Path) -> None:
    picture = tmp_path / "qr.png"
    name = "from-picture@example.com"
    front.installation.done("user", "add", f"--username={name}", f"--qr={picture}", "--json")
    uri = subprocess.run(
        [program("zbarimg"), "-q", "--raw", str(picture)],
        capture_output=True, text=True, check=True, timeout=30,
    ).stdout.strip()  # fmt: skip
    assert urlsplit(uri).scheme == "otpauth"
    (secret,) = parse_qs(urlsplit(uri).query)["secret"]
    browser = visitor(front)
    browser.sign_in(User(name, secret))
    assert browser.signed_in()
    assert picture.stat().st_mode & 0o077 == 0


def test_the_ticket_stays_here_and_other_cookies_arrive_untouched(
    front: Front, nginx: Nginx
) -> None:
    user, browser = front.add_user(), visitor(front)
    browser.sign_in(user)
    ticket = browser.cookies["auth_tkt"][0]
    headers = [
        f"a=1; auth_tkt={ticket}; b=2",
        f"auth_tkt={ticket}; a=1;b=2",
        f"a=1;b=2;auth_tkt={ticket}",
        f"a=1; auth_tkt=junk; auth_tkt={ticket}; xauth_tkt=stays; auth_tktx=stays",
        f"auth_tkt={ticket}",
    ]
    for number, header in enumerate(headers):
        mark = f"/cookies-{front.kind}-{number}"
        assert browser.get(mark, ("Cookie", header)).status == 200
        seen = nginx.saw(mark)
        assert seen["user"] == user.name
        assert ticket not in seen["cookie"]
        kept = [pair.strip() for pair in header.split(";") if "auth_tkt=" not in pair]
        kept += ["xauth_tkt=stays"] if "xauth_tkt" in header else []
        assert sorted(pair.strip() for pair in seen["cookie"].split(";") if pair) == sorted(kept)


def test_identity_headers_of_a_client_never_arrive(front: Front, nginx: Nginx) -> None:
    user, signed_in, stranger = front.add_user(), visitor(front), visitor(front)
    signed_in.sign_in(user)
    for number, spelling in enumerate(SPELLINGS):
        # http.server and browsers send a name once, attackers send it as often as they like.
        forged = [(spelling, "admin"), (spelling, "admin")]
        for who, browser, path in (
            ("", stranger, "/open"),
            (user.name, signed_in, "/open"),
            (user.name, signed_in, "/protected"),
        ):
            mark = f"{path}?forged-{front.kind}-{number}-{bool(who)}"
            answer = browser.get(mark, *forged)
            assert answer.status == 200, answer
            seen = nginx.saw(mark)
            assert seen["user"] == who, spelling
            assert [seen[name] for name in OTHERS] == [""] * len(OTHERS), spelling


@pytest.mark.parametrize("path", ["/open", "/%6Fpen", "/open/caf%C3%A9", "/open/caf%c3%a9"])
def test_an_exempt_path_needs_no_ticket_however_it_is_spelt(
    front: Front, nginx: Nginx, path: str
) -> None:
    target = f"{path}?exempt-{front.kind}"
    assert visitor(front).get(target).status == 200
    assert [one["user"] for one in nginx.requests() if one["uri"] == target] == [""]


@pytest.mark.parametrize(
    "path",
    ["/open/", "/open/x", "/opener", "/Open", "/open%2F", "/open;x=1", "/x/../open", "/open/.",
     "/open//", "/open/caf%E9", "/a?/open", "/open%00", "/open%0a"],
)  # fmt: skip
def test_what_only_looks_like_an_exempt_path_is_not(front: Front, nginx: Nginx, path: str) -> None:
    mark = f"near{path.encode().hex()}-{front.kind}"
    target = f"{path}{'&' if '?' in path else '?'}{mark}"
    assert visitor(front).get(target).status == 302
    assert nginx.never_saw(mark)


def test_two_leading_slashes_are_decided_on_as_they_are_forwarded(
    front: Front, nginx: Nginx
) -> None:
    mark = f"slashes-{front.kind}"
    answer = visitor(front).get(f"//open?{mark}")
    # waitress cuts one slash before anybody sees it; gunicorn hands over both.
    if answer.status == 200:
        assert nginx.saw(mark)["uri"] == f"/open?{mark}"
    else:
        assert answer.status == 302
        assert nginx.never_saw(mark)


def test_wrong_old_and_reused_codes_are_refused(front: Front) -> None:
    user, browser = front.add_user(), visitor(front)
    for refused in (wrong_code(user.secret), code(user.secret, -2)):
        answer = browser.attempt(user.name, refused)
        assert answer.status == 200
        assert 'role="alert"' in answer.text
        assert "auth_tkt" not in browser.cookies
    used = code(user.secret)
    assert browser.attempt(user.name, used).status == 303
    other = visitor(front)
    again = other.attempt(user.name, used)
    assert again.status == 200
    assert "auth_tkt" not in other.cookies
    assert not other.signed_in()


def test_remember_me_keeps_the_ticket_beyond_the_browser(front: Front) -> None:
    user, browser = front.add_user(), visitor(front)
    done = browser.sign_in(user, remember="on")
    (line,) = [line for line in done.values("Set-Cookie") if line.startswith("auth_tkt=")]
    assert "Max-Age=86400" in line
    assert browser.signed_in()


def test_an_xhr_is_told_in_json_where_to_log_in(front: Front) -> None:
    answer = visitor(front).get("/data.json", ("Accept", "application/json"))
    assert answer.status == 401
    assert json.loads(answer.body)["error"] == "authentication_required"


def test_known_and_unknown_names_get_the_same_page(front: Front) -> None:
    user = front.add_user()
    pages = []
    for name in (user.name, "nobody@example.com"):
        browser = visitor(front)
        form = browser.name_given(name)
        answer = browser.send(form, code=wrong_code(user.secret), submit="authenticate")
        token = form_of(answer).fields["csrf_token"]
        body = answer.text.replace(token, "").replace(name, "")
        pages.append((answer.status, [name for name, _ in answer.headers], body))
    assert pages[0] == pages[1]


def test_health_is_told_to_everybody_at_once(front: Front) -> None:
    began = time.monotonic()
    assert visitor(front).get("/auth/healthz").status == 200
    assert visitor(front).get("/auth/readyz").status == 200
    assert time.monotonic() - began < 5
