"""Visitors read pages and mails in their language; what the operator wrote stays as it is."""

from __future__ import annotations

import gettext
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyotp
import pytest
import webob
from webtest import TestResponse

from factored import app as composition
from factored import proxy
from factored.answers import Answers
from factored.interfaces import SendingFails
from factored.services import notices, parts
from factored.services.account import FRESH_S
from factored.services.login import Login
from factored.services.revocation import RevocationList
from factored.web.renderer import Pages
from factored.words import ENGLISH, LANGUAGES, Languages, Words
from tests.functional.mailing import Mailed, MakeMailed, error_of
from tests.functional.test_failure import database_down
from tests.functional.test_gate import raw
from tests.support import NAME, Browser, Site, token_of

MakeSite = Callable[..., Site]

BOTH = {
    "supported_auth_schemes": "Google Auth\nEmail",
    "public_url": "http://localhost:80",
    "allowgooglecodereminder": "true",
}
JUNK = [
    "",
    "tlh",
    "../../../etc/passwd",
    "de/../fr",
    "<script>alert(1)</script>",
    "%00",
    "d" * 2000,
    "de Path=/",
    "%0d%0aX-Injected: 1",
    "\xff\xfe",
]


def secret_on(page: TestResponse) -> str:
    found = re.search(r"secret=([A-Z2-7]+)", page.text)
    assert found, page
    return found[1]


def language_of(page: TestResponse) -> str:
    return str(page.headers["Content-Language"])


def post(web: Browser, path: str, submit: str, username: str = NAME, **fields: str) -> TestResponse:
    form = {"csrf_token": token_of(web.get(path)), "username": username, "submit": submit}
    return web.post(path, form | fields)


# -- no text passes gettext by ---------------------------------------------------------------------

OPEN, CLOSE = "\u27e6", "\u27e7"


class Brackets(gettext.NullTranslations):
    """A language that says everything in brackets."""

    def gettext(self, message: str) -> str:
        return f"{OPEN}{message}{CLOSE}"

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self.gettext(msgid1 if n == 1 else msgid2)


class Text(HTMLParser):
    """What a page says to people: its text, and the attributes that are read or read out."""

    SPOKEN = ("title", "aria-label", "alt", "placeholder", "data-done")
    SILENT = ("style", "script")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.bare: set[str] = set()
        self._depth = 0
        self._inside = ""
        self.feed(page)
        assert self._depth == 0, "a bracket was lost"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        for name, value in attrs:
            button = tag == "input" and ("type", "submit") in attrs and name == "value"
            if name in self.SPOKEN or button:
                self._listen(value or "")

    def handle_data(self, data: str) -> None:
        if self._inside not in self.SILENT:
            self._listen(data)

    def _listen(self, text: str) -> None:
        for part in re.split(f"([{OPEN}{CLOSE}])", text):
            self._depth += (part == OPEN) - (part == CLOSE)
            words = " ".join(part.split()).strip(" -")
            if self._depth == 0 and re.search(r"[^\W\d_]", words):
                self.bare.add(words)


NO_WORDS = {"The Site", NAME, f"{NAME[0]}***@example.com", "Tablet", *LANGUAGES.values()}
"""Names that are the same in every language."""

NO_WORD = re.compile(
    r"([A-Z2-7]{4} )+[A-Z2-7]{4}|[0-9A-Z]{4}(-[0-9A-Z]{4}){3}|\d{4}-\d\d-\d\d \d\d:\d\d UTC"
)
"""Keys, recovery codes, moments."""


@pytest.fixture
def bracketed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Languages([Words("en", Brackets())])
    for module in (composition, parts):
        monkeypatch.setattr(module, "load", lambda default="": made)


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of the templates that pages were made of."""
    seen: set[str] = set()
    render = Pages.render

    def kept(self: Pages, name: str, **names: Any) -> str:
        seen.add(name)
        return render(self, name, **names)

    monkeypatch.setattr(Pages, "render", kept)
    return seen


@pytest.fixture
def worded(bracketed: None, make_mailed: MakeMailed) -> Mailed:
    body = "{code} {url}"
    return make_mailed(appname="The Site", **BOTH, **{"email_auth.body": body})


def ways(mailed: Mailed) -> dict[str, TestResponse]:
    """site -> every page of the auth app, and every text that stands on one"""
    site, web = mailed.site, mailed.site.web
    pages = {
        "chooser": web.get("/auth"),
        "name": web.get("/auth/ga"),
        "bad name": post(web, "/auth/ga", "username", "al!"),
        "long name": post(web, "/auth/ga", "username", "a" * 254 + "b"),
        "code": post(web, "/auth/ga", "username"),
        "wrong code": post(web, "/auth/ga", "authenticate", code=site.wrong_code()),
        "reminded": post(web, "/auth/ga", "codereminder"),
        "mail": web.get("/auth/em"),
        "no button": post(web, "/auth/ga", "show"),
        "signing out, not in": web.get("/auth/logout"),
        "not found": web.get("/auth/nothing"),
        "method": web.put("/auth/ga"),
        "no cookie": site.browser("192.0.2.8").post("/auth/ga", {"submit": "username"}),
        "old form": web.post("/auth/ga", {"submit": "username", "csrf_token": "x"}),
        "other site": web.post(
            "/auth/ga", {"submit": "username"}, headers={"Origin": "http://evil.example"}
        ),
        "foreign field": web.post("/auth/ga", {"submit": "username", "more": "x"}),
        "long field": web.post("/auth/ga", {"submit": "username", "code": "1" * 65}),
        "twice": web.get("/auth/ga?referrer=/a&referrer=/b"),
        "much": web.post("/auth/ga", "x" * 16385),
        "link gone": web.get("/auth/unlock/x"),
        "mailed link gone": web.get("/auth/em/link/x"),
        "enrolment gone": web.get("/auth/enrol/x"),
    }
    reminder = re.search(r"/auth/enrol/\S+", mailed.post.next().text)
    assert reminder
    pages["enrol"] = web.get(reminder[0])
    pages["enrol, shown"] = pages["enrol"].form.submit("submit", value="show")
    fields = {"csrf_token": token_of(pages["enrol"]), "submit": "confirm", "code": "000000"}
    pages["enrol, wrong"] = web.post(reminder[0], fields)
    pages["mail code"] = mailed.ask()
    mailed_link = re.search(r"/auth/em/link/\S+", mailed.post.next().text)
    assert mailed_link
    pages["mailed link"] = web.get(mailed_link[0])
    pages["mailed code gone"] = post(
        site.browser("192.0.2.9"), "/auth/em", "authenticate", code="2345-6789"
    )
    for _ in range(4):
        mailed.ask()
    pages["asked too often"] = mailed.ask()
    unlock = json.loads(site.command("user", "unlock", f"--username={NAME}", "--json"))["url"]
    pages["unlock"] = web.get(unlock)
    pages["unlocked"] = pages["unlock"].form.submit("submit", value="unlock")
    assert site.login().status_int == 303
    pages["used code"] = site.attempt(site.code())
    pages |= account_ways(mailed)
    site.login()
    pages["signing out"] = web.get("/auth/logout")
    pages["signed out"] = post(web, "/auth/logout", "logout")
    stranger = site.browser("192.0.2.7")
    for _ in range(6):
        pages["locked"] = site.attempt(site.wrong_code(), stranger)
    with database_down(site):
        pages["down"] = post(web, "/auth/ga", "authenticate", code="123456")
    return pages


def account_ways(mailed: Mailed) -> dict[str, TestResponse]:
    """site -> every page around the account, and every text that stands on one"""
    site, web = mailed.site, mailed.site.web

    def press(submit: str, **fields: str) -> TestResponse:
        form = {"csrf_token": token_of(web.get("/auth/logout")), "submit": submit}
        if submit == "confirm":
            form["id"] = web.shown_id
        return web.post("/auth/account", form | fields)

    def done(submit: str, **fields: str) -> TestResponse:
        answer = press(submit, **fields)
        assert answer.status_int == 303, answer
        page = web.get(answer.headers["Location"])
        assert 'role="status"' in page.text
        return page

    def ids(submit: str) -> list[str]:
        forms = web.get("/auth/account").forms.values()
        return [form["id"].value for form in forms if f'value="{submit}"' in form.text]

    def other_browser() -> None:
        site.clock.advance(30)
        site.login(site.browser("192.0.2.77"))

    site.clock.advance(30)
    link = urlsplit(
        json.loads(site.command("user", "reset", f"--username={NAME}", "--json"))["url"]
    )
    shown = web.get(link.path).form.submit("submit", value="show")
    site.secret = secret_on(shown)
    shown.form["code"] = site.code()
    pages = {
        "enrolled": shown.form.submit("submit", value="confirm"),
        "account": web.get("/auth/account"),
    }
    (own,) = ids("rename")
    pages |= {
        "codes, first": press("codes"),
        "codes, again": press("codes"),
        "account with codes": web.get("/auth/account"),
        "recovery, name": web.get("/auth/rc"),
        "recovery, code": post(web, "/auth/rc", "username"),
        "recovery, wrong": post(web, "/auth/rc", "authenticate", code="x"),
        "gone": press("rename", id="x", label="Tablet"),
        "renamed": done("rename", id=own, label="Tablet"),
        "added, asks": press("add"),
        "added, wrong": press("confirm", code="000000", label="Tablet"),
        "added, gone": press("confirm", id="another page's", code="000000", label="Tablet"),
    }
    for _ in range(2):
        code = pyotp.TOTP(secret_on(press("add"))).at(int(site.clock.now_s()))
        pages["added"] = done("confirm", code=code, label="")
    pages["enough"] = press("add")
    pages["deleted"] = done("delete", id=next(one for one in ids("delete") if one != own))
    other_browser()
    pages["signed out there"] = done("signout", id=ids("signout")[0])
    pages["forgotten"] = done("forget", id=ids("forget")[-1])
    site.clock.advance(FRESH_S)
    pages["account, to look at"] = web.get("/auth/account")
    pages["step-up"] = web.get("/auth/ga?then=account")
    form = {"csrf_token": token_of(pages["step-up"]), "username": NAME, "then": "account"}
    pages["step-up, wrong"] = web.post(
        "/auth/ga", {**form, "submit": "authenticate", "code": site.wrong_code()}
    )
    pages["step-up by mail, name"] = web.get("/auth/em?then=account")
    pages["step-up by mail"] = web.post("/auth/em", {**form, "submit": "username"})
    pages["skewed"] = site.attempt(site.code(-5), site.browser("192.0.2.78"))
    assert "Confirm that you are" in pages["step-up by mail"].text
    assert pages["enough"].status_int == pages["gone"].status_int == 200
    right = web.post("/auth/ga", {**form, "submit": "authenticate", "code": site.code()})
    assert error_of(right) == ""
    assert right.headers["Location"].endswith("/auth/account")
    assert "fits another moment" in pages["skewed"].text
    pages["everywhere"] = press("everywhere").follow()
    site.clock.advance(30)
    return pages


def bare(pages: dict[str, TestResponse]) -> set[str]:
    found = {text for page in pages.values() for text in Text(page.text).bare} - NO_WORDS
    return {text for text in found if not NO_WORD.fullmatch(text)}


def test_no_text_of_a_page_is_written_past_the_catalogues(
    worded: Mailed, rendered: set[str]
) -> None:
    pages = ways(worded)
    statuses = {name: page.status_int for name, page in pages.items()}
    assert set(statuses.values()) == {200, 400, 403, 404, 405, 413, 429, 503}
    assert statuses["locked"] == statuses["asked too often"] == 429
    assert statuses["down"] == 503
    assert "just used" in pages["used code"].text
    assert bare(pages) == set(), "texts that nobody can translate"
    folder = Path(composition.__file__).parent / "web" / "templates"
    whole = {one.stem for one in folder.glob("*.pt") if "load: layout.pt" in one.read_text()}
    assert rendered == whole, "a page that this test does not look at"


def test_no_text_of_an_error_is_written_past_the_catalogues(
    worded: Mailed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kw: Any) -> Any:
        raise RuntimeError

    def unsent(*args: Any, **kw: Any) -> Any:
        raise SendingFails("for this test")

    monkeypatch.setattr(Login, "attempt", fail)
    broken = post(worded.site.web, "/auth/ga", "authenticate", code="123456")
    assert broken.status_int == 500
    monkeypatch.setattr(Login, "challenge", unsent)
    answer = worded.ask()
    assert answer.status_int == 503
    assert "No mail can be sent" in answer.text
    assert bare({"broken": broken, "unsent": answer}) == set()


def test_no_text_of_the_gates_own_pages_is_written_past_the_catalogues(
    bracketed: None, make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_site(public_url="http://localhost")
    html = {"HTTP_ACCEPT": "text/html"}
    answers = [
        raw(site, "/"),
        raw(site, "/", REQUEST_METHOD="POST", **html),
        raw(site, "/", HTTP_COOKIE="x" * 8193),
        raw(site, "/", HTTP_SCRIPT_NAME="/x"),
        raw(site, "/", HTTP_HOST="a,b"),
        raw(site, "/", HTTP_HOST="evil.example"),
        raw(site, "/auth/\xff", REQUEST_URI="/auth/%FF"),
        raw(site, "/", REMOTE_ADDR=None, HTTP_COOKIE=7),
    ]
    nothing = make_site(composition.nothing_here(composition.load()))
    answers.append(raw(nothing, "/", HTTP_COOKIE=f"auth_tkt={nothing.ticket()}"))
    monkeypatch.setattr(RevocationList, "ready", False)
    answers.append(raw(site, "/"))
    statuses = [answer["status"] for answer in answers]
    assert statuses == [302, 401, 431, 400, 400, 400, 400, 500, 404, 503]
    for answer in answers:
        assert Text(answer["body"].decode()).bare == set(), answer


@pytest.mark.parametrize("status", proxy.PAGES)
def test_no_text_of_the_proxys_own_pages_is_either(bracketed: None, status: int) -> None:
    said, text = proxy.PAGES[status]
    answer = webob.Request.blank("/").get_response(
        Answers(languages=composition.load()).page(said, text)
    )
    assert answer.status_int == status
    assert Text(answer.text).bare == set()


def test_the_proxys_own_pages_are_in_the_visitors_language() -> None:
    app = composition.simpleproxy({}, server="127.0.0.1", port="1")
    request = webob.Request.blank("/", headers={"Accept-Language": "nl"}, method="TRACE")
    assert "Deze site accepteert geen verzoeken" in request.get_response(app).text


def test_the_look_at_pages_sees_what_slipped_through() -> None:
    page = f'{OPEN}a {OPEN}b{CLOSE}{CLOSE} c <b>d</b><img alt="e"><input type="submit" value="f"> 7'
    assert Text(page).bare == {"c", "d", "e", "f"}
    assert Text("<style>a</style><p>5 - 6</p>").bare == set()


# -- which language --------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "title"), [
    ("en", "Two-factor sign-in"), ("de", "Anmeldung mit zweitem Faktor"),
    ("nl", "Inloggen met tweede factor"), ("fr", "Connexion à deux facteurs"),
    ("es", "Inicio de sesión en dos pasos"), ("ar", "تسجيل الدخول بعاملين"),
])  # fmt: skip
def test_a_page_is_in_the_language_that_the_browser_likes(
    site: Site, code: str, title: str
) -> None:
    page = site.web.get("/auth/ga", headers={"Accept-Language": f"{code}-XX, xx;q=0.9"})
    assert f"<h1>{title}</h1>" in page.text
    assert language_of(page) == code
    assert not [one for one in site.web.cookiejar if one.name == "_LOCALE_"]


def test_a_language_said_in_the_url_goes_before_all_and_is_remembered(site: Site) -> None:
    wish = {"Accept-Language": "fr"}
    assert language_of(site.web.get("/auth/ga", headers=wish)) == "fr"
    assert language_of(site.web.get("/auth/ga?_LOCALE_=de", headers=wish)) == "de"
    assert language_of(site.web.get("/auth/logout", headers=wish)) == "de"
    assert language_of(site.web.get("/auth/ga?_LOCALE_=nl", headers=wish)) == "nl"
    assert language_of(site.web.get("/auth/ga", headers=wish)) == "nl"


def test_the_cookie_of_the_language_is_like_the_others(site: Site, make_site: MakeSite) -> None:
    for secure in ("false", "true"):
        made = make_site(auth_tkt__secure=secure)
        sent = made.web.get("/auth/ga?_LOCALE_=de-AT").headers.getall("Set-Cookie")
        (line,) = (one for one in sent if one.startswith("_LOCALE_"))
        parts = line.split("; ")
        assert parts[0] == "_LOCALE_=de"
        assert {"Path=/auth", "HttpOnly", "SameSite=Lax", f"Max-Age={365 * 86400}"} <= set(parts)
        assert ("Secure" in parts) is (secure == "true")


def test_an_answer_to_a_form_is_in_the_language_of_its_page(site: Site) -> None:
    page = site.web.get("/auth/ga?_LOCALE_=de")
    page.form["username"] = NAME
    answer = page.form.submit("submit", value="username")
    assert language_of(answer) == "de"
    assert ">Anmelden</button>" in answer.text
    refused = site.attempt(site.wrong_code())
    assert error_of(refused).startswith("Dieser Code ist nicht richtig.")


def test_errors_and_refusals_are_in_the_visitors_language(site: Site) -> None:
    wish = {"Accept-Language": "de"}
    assert "Diese Seite gibt es hier nicht." in site.web.get("/auth/x", headers=wish).text
    long = "/auth/ga?" + "a&" * 60
    assert language_of(site.web.get(long, headers=wish)) == "de"
    refused = site.web.put("/auth/ga", headers=wish)
    assert "Diese Seite nimmt nur GET, HEAD, POST an." in refused.text


@pytest.mark.parametrize(("path", "environ", "status", "text"), [
    ("/", {}, 302, "Sie werden zur Anmeldung weitergeleitet."),
    ("/", {"HTTP_COOKIE": "x" * 8193}, 431, "Löschen Sie sie"),
    ("/", {"REQUEST_METHOD": "POST", "HTTP_ACCEPT": "text/html"}, 401, "Bitte melden Sie sich"),
])  # fmt: skip
def test_the_gates_own_pages_are_too(
    site: Site, path: str, environ: dict[str, str], status: int, text: str
) -> None:
    answer = raw(site, path, HTTP_ACCEPT_LANGUAGE="de-CH", **environ)
    assert answer["status"] == status
    assert text in answer["body"].decode()
    assert '<html lang="de" dir="ltr">' in answer["body"].decode()
    assert answer["headers"]["Content-Language"] == "de"
    assert int(answer["headers"]["Content-Length"]) == len(answer["body"])


def test_the_gates_own_pages_know_the_other_direction(site: Site) -> None:
    answer = raw(site, "/", HTTP_ACCEPT_LANGUAGE="ar")
    assert '<html lang="ar" dir="rtl">' in answer["body"].decode()


def test_templates_learn_language_and_direction(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, str]] = []
    render = Pages.render

    def kept(self: Pages, name: str, **names: Any) -> str:
        seen.append((names["language"], names["direction"]))
        return render(self, name, **names)

    monkeypatch.setattr(Pages, "render", kept)
    for code in ("ar", "de"):
        site.web.get(f"/auth/ga?_LOCALE_={code}")
    assert seen == [("ar", "rtl"), ("de", "ltr")]


def test_a_page_in_arabic_goes_from_right_to_left(site: Site) -> None:
    page = site.web.get("/auth/ga", headers={"Accept-Language": "ar"})
    (tag,) = re.findall(r"<html[^>]*>", page.text)
    assert 'lang="ar"' in tag
    assert 'dir="rtl"' in tag


@pytest.mark.parametrize("junk", JUNK)
def test_junk_in_place_of_a_language_is_passed_over_and_never_shown(site: Site, junk: str) -> None:
    wish = {"Accept-Language": "fr"}
    for answer in (
        raw(site, "/auth/ga", QUERY_STRING=f"_LOCALE_={junk}", HTTP_ACCEPT_LANGUAGE="fr"),
        raw(site, "/auth/ga", HTTP_COOKIE=f"_LOCALE_={junk}", HTTP_ACCEPT_LANGUAGE="fr"),
    ):
        # Bytes that are no text are refused as a query of any other field is.
        assert answer["status"] in (200, 400)
        assert answer["headers"]["Content-Language"] == "fr"
        for word in ("alert(1)", "passwd", "tlh", "Injected", "dddd"):
            assert word not in answer["body"].decode()
            assert word not in str(answer["sent"])
        assert "_LOCALE_=" not in str(answer["sent"])
    answer = raw(site, "/auth/ga", HTTP_ACCEPT_LANGUAGE=junk)
    assert (answer["status"], answer["headers"]["Content-Language"]) == (200, "en")
    assert raw(site, "/", HTTP_ACCEPT_LANGUAGE=junk)["status"] == 302
    assert language_of(site.web.get("/auth/ga", headers=wish)) == "fr"


def test_of_planted_cookies_the_first_that_is_a_language_counts(site: Site) -> None:
    cookie = "_LOCALE_=x; _LOCALE_=nl; _LOCALE_=de"
    answer = raw(site, "/auth/ga", HTTP_COOKIE=cookie)
    assert answer["headers"]["Content-Language"] == "nl"


@pytest.mark.parametrize(("default", "code"), [("de", "de"), ("de_AT", "de"), ("tlh", "en")])
def test_who_likes_none_of_ours_gets_the_sites_default(
    make_site: MakeSite, default: str, code: str
) -> None:
    site = make_site(**{"pyramid.default_locale_name": default})
    assert language_of(site.web.get("/auth/ga")) == code
    assert language_of(site.web.get("/auth/ga", headers={"Accept-Language": "tlh"})) == code
    assert language_of(site.web.get("/auth/ga", headers={"Accept-Language": "nl"})) == "nl"
    assert raw(site, "/")["headers"]["Content-Language"] == code


# -- the switcher ----------------------------------------------------------------------------------


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> list[list[tuple[str, str, str, bool]]]:
    """What the templates got as ``languages``."""
    seen = []
    render = Pages.render

    def kept(self: Pages, name: str, **names: Any) -> str:
        seen.append(names["languages"])
        return render(self, name, **names)

    monkeypatch.setattr(Pages, "render", kept)
    return seen


def test_a_page_links_to_itself_in_every_language(site: Site, links: list[Any]) -> None:
    site.web.get("/auth/ga?referrer=/a%3Fb%3Dc%26d&_LOCALE_=de&x=%3Cb%3E")
    (found,) = links
    assert [(code, name) for code, name, _, _ in found] == list(LANGUAGES.items())
    assert [code for code, _, _, current in found if current] == ["de"]
    assert found[0][2] == "/auth/ga?_LOCALE_=en&referrer=/a%3Fb%3Dc%26d"
    for code, _, url, _ in found:
        page = site.web.get(url)
        assert language_of(page) == code
        assert page.form["referrer"].value == "/a?b=c&d"


def test_a_way_back_to_elsewhere_is_not_carried_along(site: Site, links: list[Any]) -> None:
    site.web.get("/auth/ga?referrer=//evil.example/")
    assert all(url == f"/auth/ga?_LOCALE_={code}" for code, _, url, _ in links[0])


def test_answers_to_forms_and_errors_have_no_such_links(site: Site, links: list[Any]) -> None:
    site.web.get("/auth/ga").form.submit("submit", value="username")
    site.web.get("/auth/nothing")
    assert [bool(one) for one in links] == [True, False, False]


# -- the operator's words, and mails ---------------------------------------------------------------


def test_the_operators_words_win_in_every_language(make_site: MakeSite) -> None:
    site = make_site(**{"formtext.title": "Sign in", "formtext.button.username": "Continue"})
    page = site.web.get("/auth/ga?_LOCALE_=de")
    assert "<h1>Sign in</h1>" in page.text
    assert ">Continue</button>" in page.text
    assert "Benutzername" in page.text


def test_a_mail_is_in_the_language_of_the_page_that_asked(mailed: Mailed) -> None:
    mailed.site.web.get("/auth/em?_LOCALE_=de")
    mailed.ask()
    mail = mailed.post.next()
    assert mail.subject == "Ihr Code"
    assert re.fullmatch(r"Ihr Code lautet: [0-9A-Z]{4}-[0-9A-Z]{4}\n", mail.text)
    mailed.ask(mailed.site.browser("192.0.2.9"))
    assert mailed.post.next().subject == "Your code"


def test_mails_around_an_enrolment_are_too(make_mailed: MakeMailed) -> None:
    mailed = make_mailed(**BOTH)
    web = mailed.site.web
    web.get("/auth/ga?_LOCALE_=de")
    assert "ist ein Link dorthin unterwegs" in post(web, "/auth/ga", "codereminder").text
    mail = mailed.post.next()
    assert mail.subject == "Authenticator neu einrichten"
    assert mail.text.startswith("Öffnen Sie diesen Link,")
    link = re.search(r"/auth/enrol/\S+", mail.text)
    assert link
    shown = web.get(link[0]).form.submit("submit", value="show")
    mailed.site.secret = secret_on(shown)
    shown.form["code"] = mailed.site.code()
    done = shown.form.submit("submit", value="confirm")
    assert f"Sie sind als {NAME} angemeldet." in done.text
    told = mailed.post.next()
    assert told.subject == "Neuer Authenticator bei factored"
    assert told.text.startswith(f"Für {NAME} wurde bei factored ein neuer Authenticator")


def test_news_of_an_account_are_in_the_language_of_the_page_that_changed_it(
    make_mailed: MakeMailed,
) -> None:
    mailed = make_mailed(**BOTH)
    site, web = mailed.site, mailed.site.web
    site.login()
    page = web.get("/auth/account?_LOCALE_=de")
    fields = {"csrf_token": token_of(page), "id": page.forms[0]["id"].value}
    assert page.forms[0]["label"].value == "Authenticator-App"
    assert "<h3>Authenticator-App</h3>" in page.text

    def told(submit: str, **more: str) -> list[str]:
        web.post("/auth/account", {**fields, "submit": submit, **more})
        mail = mailed.post.next()
        return [mail.subject, *mail.text.splitlines()]

    not_you = "Wenn Sie das nicht waren, sagen Sie es sofort dem Betreiber der Website."
    renamed = f"Ein Authenticator von {NAME} bei factored hat einen neuen Namen: "
    assert told("rename", label="${site} \u20ac") == [
        "Authenticator bei factored umbenannt", f"{renamed}${{site}} \u20ac.", "", not_you
    ]  # fmt: skip
    assert told("rename", label=" ")[1] == f"{renamed}Authenticator-App."
    subject, text, _, last = told("codes")
    assert subject == "Neue Wiederherstellungscodes bei factored"
    assert text.startswith(f"Für {NAME} wurden bei factored neue Wiederherstellungscodes erstellt.")
    assert last == not_you
    assert told("everywhere")[0] == "Überall bei factored abgemeldet"


@pytest.mark.parametrize("code", LANGUAGES)
def test_no_news_keep_a_hole_or_english_in_them(code: str) -> None:
    words = composition.load().named(code)
    assert words is not None
    all_news = [one for one in vars(notices).values() if isinstance(one, notices.News)]
    assert len(all_news) > 8
    for part in [part for news in all_news for part in (news.subject, news.text)]:
        text = part % {"user": "U+1", "site": "S+1", "what": "W+1"}
        said = words(text)
        assert "$" not in said
        assert "S+1" in said
        assert (said == ENGLISH(text)) is (code == "en")


def test_the_operators_mails_are_sent_as_written(make_mailed: MakeMailed) -> None:
    own = {"email_auth.subject": "Your code", "email_auth.body": "Your code is: {code}"}
    mailed = make_mailed(**own)
    mailed.site.web.get("/auth/em?_LOCALE_=de")
    mailed.ask()
    mail = mailed.post.next()
    assert mail.subject == "Your code"
    assert mail.text.startswith("Your code is: ")


def test_times_are_told_in_the_visitors_language(site: Site) -> None:
    site.web.get("/auth/ga?_LOCALE_=ar")
    page = post(site.web, "/auth/ga", "username")
    assert "يوم واحد" in page.text
    for _ in range(6):
        answer = site.attempt(site.wrong_code())
    assert answer.status_int == 429
    assert re.search(r"مدة الانتظار: (\d+ ساعة|\d+ ساعات|يوم واحد)\.", error_of(answer))


def test_commands_speak_english(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LANGUAGE", "de")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    with pytest.raises(AssertionError, match="must not have an exclamation mark"):
        site.command("user", "add", "--username=al!")
