"""Invitations: a user is made, and sets up an app by a link, without a secret in between."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pyotp
import pytest

from factored.scripts import users as user_commands
from factored.scripts.main import EXISTS, FAILED
from tests.functional.accounts import secret_on
from tests.functional.mailing import Post
from tests.support import NAME, Site, factored, token_of

PUBLIC = "http://localhost:80"
BO = "bo@example.com"


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site(public_url=PUBLIC)


def path_of(url: str) -> str:
    match = re.fullmatch(re.escape(PUBLIC) + r"(/auth/enrol/[\w-]{32})", url)
    assert match, url
    return match[1]


def invite(site: Site, name: str = BO, *more: str) -> str:
    told = json.loads(site.command("user", "invite", f"--username={name}", "--json", *more))
    assert set(told) == {"username", "url"}
    return path_of(told["url"])


def test_an_invited_user_sets_up_an_app_and_is_in(site: Site) -> None:
    path = invite(site)
    web = site.browser("203.0.113.1")
    assert BO in web.get(path).text
    page = web.post(path, {"csrf_token": token_of(web.get(path)), "submit": "show"})
    secret = secret_on(page)
    form = {"csrf_token": token_of(page), "submit": "confirm", "id": web.shown_id}
    assert 'role="alert"' in web.post(path, {**form, "code": "000000"}).text
    code = pyotp.TOTP(secret).at(int(site.clock.now_s()))
    done = web.post(path, {**form, "code": code})
    assert "You are signed in as bo@example.com" in done.text
    assert 'href="/auth/account"' in done.text
    assert web.get("/").status_int == 200
    assert web.get(path).status_int == 404
    assert site.attempt(code, site.browser("203.0.113.2"), BO).status_int == 200, "it was used"


def test_an_invited_user_cannot_sign_in_before(site: Site) -> None:
    invite(site)
    assert site.attempt("123456", site.browser(), BO).status_int == 200
    shown = json.loads(site.command("user", "show", f"--username={BO}", "--json"))
    assert shown["authenticators"] == []


@pytest.mark.parametrize(("later_s", "status"), [(-1, 200), (0, 404), (1, 404)])
def test_an_invitation_lives_seven_days(site: Site, later_s: int, status: int) -> None:
    path = invite(site)
    site.clock.advance(7 * 86400 + later_s)
    assert site.web.get(path).status_int == status


def test_who_has_an_account_keeps_what_he_holds_until_the_new_one_is_confirmed(site: Site) -> None:
    first = invite(site, NAME)
    second = invite(site, NAME.upper())
    assert site.web.get(first).status_int == 404, "one invitation at a time"
    web = site.browser("203.0.113.1")
    web.post(second, {"csrf_token": token_of(web.get(second)), "submit": "show"})
    site.login()


def test_a_new_user_may_be_added_by_invitation(site: Site) -> None:
    told = json.loads(site.command("user", "add", f"--username={BO}", "--invite", "--json"))
    assert site.web.get(path_of(told["url"])).status_int == 200


def test_adding_by_invitation_refuses_who_is_there(site: Site) -> None:
    assert factored("user", "add", str(site.ini), f"--username={NAME}", "--invite") == EXISTS
    assert "exists" not in site.printed()[0]


def test_an_invitation_is_mailed_and_not_printed(
    site: Site, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_commands, "make_postman", lambda settings: post)
    out = site.command("user", "invite", f"--username={BO}", "--mail")
    assert out == ""
    mail = post.next()
    assert (mail.to, mail.subject) == (BO, "Your account at factored")
    assert site.web.get(path_of(mail.text.split()[-1])).status_int == 200


def test_a_mail_that_cannot_be_sent_is_told(
    site: Site, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    post.error = OSError("nobody answers")
    monkeypatch.setattr(user_commands, "make_postman", lambda settings: post)
    status = factored("user", "invite", str(site.ini), f"--username={BO}", "--mail")
    assert status == FAILED
    assert "could not be sent: nobody answers" in site.printed()[1]


@pytest.mark.parametrize(
    ("changed", "name", "word"),
    [({"public_url": None}, BO, "public_url"), ({"public_url": PUBLIC}, "bo", "no e-mail address")],
)
def test_nothing_is_made_for_a_mail_that_cannot_be_written(
    make_site: Callable[..., Site], changed: dict[str, str | None], name: str, word: str
) -> None:
    site = make_site(**changed)
    site.printed()
    status = factored("user", "invite", str(site.ini), f"--username={name}", "--mail")
    assert status == FAILED
    assert word in site.printed()[1]
    assert name not in site.command("user", "list").split()


def test_a_disabled_user_is_not_invited(site: Site) -> None:
    site.command("user", "disable", f"--username={NAME}")
    assert factored("user", "invite", str(site.ini), f"--username={NAME}") == FAILED
    assert "`factored user enable` comes first" in site.printed()[1]


def test_an_impossible_name_is_refused(site: Site) -> None:
    assert factored("user", "invite", str(site.ini), "--username=a@b@c") == FAILED
    assert "must be one plain e-mail address" in site.printed()[1]
