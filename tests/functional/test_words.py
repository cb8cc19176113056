"""Every word that an operator can set shows on the page, or in the mail, that it belongs to."""

from __future__ import annotations

import email
import email.policy
import html
import json
import re
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import pytest
from webtest import TestResponse

from factored.ini_keys import FORMTEXTS
from factored.mail import Postman
from tests.support import NAME, Browser, Site, token_of

FORMS = {"name form", "bad name", "code form", "wrong code", "code used twice", "code too early",
         "mailed code gone", "mail form", "mail code form"}  # fmt: skip
SECOND = {
    "code form",
    "wrong code",
    "code used twice",
    "code too early",
    "mail code form",
    "mailed code gone",
}
WORDS_ON = {
    "title": FORMS | {"chooser"},
    "legend": {"chooser", "name form", "bad name", "mail form"},
    "username.label": FORMS - SECOND,
    "username.desc": FORMS - SECOND,
    "button.username": FORMS - SECOND,
    "code.label": SECOND,
    "code.desc": SECOND,
    "button.authenticate": SECOND,
    "button.codereminder": {"code form", "wrong code", "code used twice", "code too early"},
    "error.wrong": {"wrong code"},
    "error.replayed": {"code used twice"},
    "error.skewed": {"code too early"},
    "error.expired": {"mailed code gone"},
    "error.invalid_username": {"bad name"},
    "error.code_reminder": {"reminded"},
}
"""Name after ``formtext.`` -> the pages that say it."""

BOTH = "Google Auth\nEmail"
MakeSite = Callable[..., Site]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> SimpleQueue[tuple[str, Any]]:
    """What the mail server would get: the sender that it is told, and the mail."""
    got: SimpleQueue[tuple[str, Any]] = SimpleQueue()

    class Connection:
        def sendmail(self, sender: str, to: list[str], message: bytes) -> None:
            got.put((sender, email.message_from_bytes(message, policy=email.policy.default)))

    @contextmanager
    def connected(self: Postman) -> Iterator[Connection]:
        yield Connection()

    monkeypatch.setattr(Postman, "_connected", connected)
    return got


def post(web: Browser, path: str, submit: str, username: str = NAME, **fields: str) -> TestResponse:
    form = {"csrf_token": token_of(web.get(path)), "username": username, "submit": submit}
    return web.post(path, form | fields)


def pages_of(site: Site) -> dict[str, str]:
    """site -> every page that has words, by what it is"""
    web = site.web
    right, wrong = site.code(), site.wrong_code()
    pages = {
        "chooser": web.get("/auth"),
        "name form": web.get("/auth/ga"),
        "bad name": post(web, "/auth/ga", "username", "al!"),
        "code form": post(web, "/auth/ga", "username"),
        "wrong code": post(web, "/auth/ga", "authenticate", code=wrong),
        "reminded": post(web, "/auth/ga", "codereminder"),
        "mail form": web.get("/auth/em"),
        "mail code form": post(web, "/auth/em", "username"),
        "mailed code gone": post(
            site.browser("192.0.2.9"), "/auth/em", "authenticate", code="2345-6789"
        ),
    }
    assert post(web, "/auth/ga", "authenticate", code=right).status_int == 303
    pages["code used twice"] = post(web, "/auth/ga", "authenticate", code=right)
    pages["code too early"] = post(web, "/auth/ga", "authenticate", code=site.code(4))
    return {name: page.text for name, page in pages.items()}


def visible(text: str) -> str:
    """page -> what stands between its tags, and nothing of their attributes"""
    return html.unescape(" | ".join(re.findall(r">([^<]+)<", text)))


@pytest.fixture
def make_worded(make_site: MakeSite, sent: SimpleQueue[Any]) -> MakeSite:
    def make(**changed: str) -> Site:
        return make_site(
            supported_auth_schemes=BOTH,
            public_url="http://localhost:80",
            allowgooglecodereminder="true",
            email_auth__sender="site@example.org",
            **changed,
        )

    return make


def test_the_table_of_this_test_has_every_name() -> None:
    assert set(WORDS_ON) == set(FORMTEXTS)


def test_the_operators_words_stand_where_they_belong_and_nowhere_else(
    make_worded: MakeSite,
) -> None:
    words = {name: f"<{name} & co.>" for name in FORMTEXTS}
    site = make_worded(**{f"formtext.{name}": text for name, text in words.items()})
    pages = {name: visible(text) for name, text in pages_of(site).items()}
    found = {
        name: {page for page, text in pages.items() if word in text} for name, word in words.items()
    }
    assert found == WORDS_ON


def test_without_them_ours_stand_there(make_worded: MakeSite) -> None:
    pages = {name: visible(text) for name, text in pages_of(make_worded()).items()}
    assert "must not have an exclamation mark" in pages["bad name"]
    for page, text in {
        "wrong code": "That code is not right.",
        "code used twice": "That code was just used.",
        "mailed code gone": "No code is waited for any more.",
        "reminded": "a link is on its way to it",
    }.items():
        assert text in pages[page]


def test_the_name_that_4_x_had_for_a_wrong_code_still_works(make_site: MakeSite) -> None:
    site = make_site(formtext__error__invalid_code="Wrong digits")
    assert "Wrong digits" in visible(site.attempt(site.wrong_code()).text)


@pytest.mark.parametrize("hidden", ["true", "false"])
def test_appname_and_banner_are_on_every_page(make_worded: MakeSite, hidden: str) -> None:
    for text in pages_of(make_worded(appname="My site", hide_banner=hidden)).values():
        assert " - My site</title>" in text
        assert ">My site<" in text
        assert ("Protected by factored" in text) is (hidden == "false")


def test_appname_is_the_issuer_in_the_authenticator_app(make_site: MakeSite) -> None:
    site = make_site(appname="My site")
    told = json.loads(site.command("user", "show", f"--username={NAME}", "--json", "--show-secret"))
    uri = urllib.parse.urlsplit(told["uri"])
    assert urllib.parse.unquote(uri.path) == f"/My site:{NAME}"
    assert urllib.parse.parse_qs(uri.query)["issuer"] == ["My site"]


MAILS = [
    ("email_auth", "/auth/em", "username", r"[0-9A-Z]{4}-[0-9A-Z]{4}"),
    ("em", "/auth/em", "username", r"[0-9A-Z]{4}-[0-9A-Z]{4}"),
    ("allowgooglecodereminder", "/auth/ga", "codereminder", r"http://localhost\S+/auth/enrol/\S+"),
    ("allowcodereminder", "/auth/ga", "codereminder", r"http://localhost\S+/auth/enrol/\S+"),
]


@pytest.mark.parametrize(("key", "path", "button", "code"), MAILS)
def test_the_operators_words_stand_in_the_mail_as_it_is_sent(
    make_site: MakeSite, sent: SimpleQueue[Any], key: str, path: str, button: str, code: str
) -> None:
    reminder = {"allowgooglecodereminder": "true"} if path == "/auth/ga" else {}
    site = make_site(
        supported_auth_schemes=BOTH,
        public_url="http://localhost:80",
        **reminder,
        **{
            f"{key}.subject": "Für dich,\n  today",
            f"{key}.sender": "Our Site\n  <site@example.org>",
            f"{key}.body": "Grüße!\n\nHere: {code} {not} a field",
        },
    )
    assert post(site.web, path, button).status_int == 200
    envelope, mail = sent.get(timeout=10)
    assert (mail["To"], mail["Subject"]) == (NAME, "Für dich, today")
    assert mail["From"] == envelope == "Our Site <site@example.org>"
    text = mail.get_body(("plain",)).get_content().strip()
    assert re.fullmatch(rf"Grüße!\r\n\r\nHere: {code} {{not}} a field", text)
