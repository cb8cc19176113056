"""Every template, in every state, with example names: what holds for all pages of the auth app."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import segno
from bs4 import BeautifulSoup
from bs4.element import NavigableString

import factored.web
from factored.web.renderer import Pages

WEB = Path(factored.web.__file__).parent
TEMPLATES = WEB / "templates"
LONG = "a.very.long.name.of.somebody." * 8 + "@example.com"
URI = "otpauth://totp/Example:al%40example.com?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
QR = segno.make(URI, error="m", micro=False).svg_inline(omitsize=True)
MORNING = {"iso": "2026-11-22T08:40:00Z", "text": "2026-11-22 08:40 UTC"}
EVENING = {"iso": "2026-11-22T18:40:00Z", "text": "2026-11-22 18:40 UTC"}
LANGUAGES = [
    ("en", "English", "?_LOCALE_=en", True),
    ("de", "Deutsch", "?_LOCALE_=de", False),
    ("nl", "Nederlands", "?_LOCALE_=nl", False),
    ("fr", "Français", "?_LOCALE_=fr", False),
    ("es", "Español", "?_LOCALE_=es", False),
    ("ar", "العربية", "?_LOCALE_=ar", False),
]

EVERY = {
    "appname": "Example",
    "title": "Sign in",
    "error": None,
    "language": "en",
    "direction": "ltr",
    "auth_path": "/auth",
    "static": "/auth/authstatic",
    "hide_banner": False,
    "signed_in_as": None,
    "home": "/",
    "brand": SimpleNamespace(logo="", stylesheet="", footer="", help=""),
    "languages": LANGUAGES,
}
AUTH = {
    "legend": "One more step to get in.",
    "action": "/auth/ga",
    "csrf_token": "token",
    "referrer": "/reports?year=2026",
    "then": "",
    "username": "",
    "username_label": "User name",
    "username_desc": "The name or e-mail address that you are known by here.",
    "button": "Continue",
    "others": [("Email", "/auth/em")],
    "lost_device": "",
}
CODE = {
    **AUTH,
    "username": "al@example.com",
    "code_label": "Code from your authenticator app",
    "code_desc": "Six digits, and new ones every 30 seconds.",
    "remember": False,
    "remember_period": "30 days",
    "button": "Sign in",
    "codereminder": "",
    "start_again": "/auth/ga",
    "lost_device": "/auth/rc",
    "digits": True,
    "step_up": False,
    "step_s": (21, 30),
}
MAILED = {
    **CODE,
    "action": "/auth/em",
    "code_label": "Code from the mail",
    "code_desc": "If there is an account of that name, a code is on its way to its mailbox.",
    "others": [("Google Auth", "/auth/ga")],
    "digits": False,
    "step_s": None,
    "masked": "a***@example.com",
    "code_period": "2 minutes",
    "code_s": 120,
    "resend_s": 30,
}
WRONG = {"error": "That code is not right. Look at the newest one and try again."}
LOCKED = {
    "error": "Too many attempts. Try again in 12 minutes, use a browser that you have signed in "
    "with before, or ask the operator of this site for an unlock link."
}
SIGNED_IN = {"signed_in_as": "al@example.com"}
FORM = {"action": "/auth/account", "csrf_token": "token", **SIGNED_IN}
ENROL = {
    **FORM,
    "title": "Set up your authenticator app",
    "qr": QR,
    "pending": "4VfK0n1Z-o8Yc3mW1b2aEg",
    "key": "JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP",
    "uri": URI,
    "account": "al@example.com",
    "back": "",
    "label": None,
}
ACCOUNT = {
    **FORM,
    "title": "Your account",
    "may_change": True,
    "change_period": "5 minutes",
    "confirm_url": "/auth/ga?then=account",
    "authenticators": [
        {"id": "1", "label": "My phone", "added": MORNING, "last_used": EVENING},
        {"id": "2", "label": "", "added": MORNING, "last_used": None, "needs_renewal": True},
    ],
    "has_authenticators": True,
    "may_add": True,
    "may_delete": True,
    "recovery": {"left": 8, "made": MORNING},
    "tickets": [
        {
            "id": "3",
            "browser": "Firefox, Linux",
            "address": "192.0.2.1",
            "signed_in": MORNING,
            "last_seen": EVENING,
            "here": True,
        },
        {
            "id": "4",
            "browser": "Safari on an iPhone",
            "address": "2001:db8:85a3::8a2e:370:7334",
            "signed_in": MORNING,
            "last_seen": EVENING,
            "here": False,
        },
    ],
    "devices": [
        {
            "id": "5",
            "browser": "Firefox, Linux",
            "address": "192.0.2.7",
            "added": MORNING,
            "last_seen": EVENING,
            "here": True,
        },
        {
            "id": "6",
            "browser": "Chrome on Android",
            "address": "192.0.2.7",
            "added": MORNING,
            "last_seen": None,
            "here": False,
        },
    ],
    "notice": "",
}
for one in ACCOUNT["authenticators"]:  # type: ignore[attr-defined]
    one.setdefault("needs_renewal", False)
EMPTY = {
    "authenticators": [],
    "recovery": {"left": 0, "made": None},
    "tickets": [],
    "devices": [],
}
MAIL_ALONE = {"has_authenticators": False, "authenticators": [], "recovery": None}
LONG_ACCOUNT = {
    "signed_in_as": LONG,
    "authenticators": [{**ACCOUNT["authenticators"][0], "label": LONG}],  # type: ignore[index]
    "tickets": [{**ACCOUNT["tickets"][1], "browser": LONG}],  # type: ignore[index]
    "devices": [{**ACCOUNT["devices"][1], "browser": LONG}],  # type: ignore[index]
    "recovery": {"left": 2, "made": MORNING},
    "may_add": False,
    "may_delete": False,
    "notice": "The authenticator has a new name.",
}
CODES = [f"7KQ2-M9XW-4TRB-{number}HPD" for number in range(10)]
MESSAGE = {
    "title": "Signed out",
    "text": "You are signed out of this site in this browser.",
    "onward": ("/auth", "Sign in again"),
    "also_onward": None,
}
PRESS = {"action": "/auth/x", "csrf_token": "token", "account": "al@example.com"}
BRANDED = {
    "brand": SimpleNamespace(
        logo="/auth/authstatic/icon.svg",
        stylesheet="/auth/brand.css",
        footer="Questions? Call the help desk at extension 4711.",
        help="/help",
    ),
    "hide_banner": True,
}

STATES: dict[str, tuple[str, Mapping[str, Any]]] = {
    "name": ("auth", AUTH),
    "name, refused": ("auth", {**AUTH, "error": "That cannot be a name.", "username": " x"}),
    "name, branded": ("auth", {**AUTH, **BRANDED, "others": []}),
    "name, then the account": ("auth", {**AUTH, **SIGNED_IN, "then": "account"}),
    "code": ("auth-code", CODE),
    "code, wrong": ("auth-code", {**CODE, **WRONG, "remember": True}),
    "code, locked": ("auth-code", {**CODE, **LOCKED, "codereminder": "Send code reminder"}),
    "code, long name": ("auth-code", {**CODE, "username": LONG, "others": [(LONG, "/auth/x")]}),
    "code, step-up": ("auth-code", {**CODE, **SIGNED_IN, "step_up": True, "then": "account"}),
    "code, recovery": (
        "auth-code",
        {
            **CODE,
            "title": "Use a recovery code",
            "code_label": "Recovery code",
            "code_desc": "Each works once. Dashes and capitals do not matter.",
            "digits": False,
            "step_s": None,
            "lost_device": "",
        },
    ),
    "mailed code": ("auth-email", MAILED),
    "mailed code, wrong": ("auth-email", {**MAILED, **WRONG}),
    "mailed code, nowhere": ("auth-email", {**MAILED, "masked": "", "code_s": 0, "resend_s": 0}),
    "chooser": ("auth-chooser", {"legend": "How?", "schemes": [("App", "/a"), ("Email", "/b")]}),
    "chooser, empty": ("auth-chooser", {"legend": "", "schemes": []}),
    "message": ("message", MESSAGE),
    "message, two ways": ("message", {**MESSAGE, "also_onward": ("/", "Back to the site")}),
    "logout": ("logout", {**FORM, "title": "Sign out", "referrer": "/x", "has_ticket": True}),
    "logout, signed out": ("logout", {**FORM, "signed_in_as": None, "has_ticket": False}),
    "unlock": ("unlock", {**PRESS, "title": "Unlock this browser"}),
    "mailed link": ("mailed-link", {**PRESS, "remember_period": "30 days", "button": "Sign in"}),
    "enrol, asks": ("enrol", {**ENROL, "qr": ""}),
    "enrol": ("enrol", ENROL),
    "enrol, wrong": ("enrol", {**ENROL, **WRONG, "label": "My phone", "back": "/auth/account"}),
    "account": ("account", ACCOUNT),
    "account, read only": ("account", {**ACCOUNT, "may_change": False}),
    "account, empty": ("account", {**ACCOUNT, **EMPTY}),
    "account, mail alone": ("account", {**ACCOUNT, **MAIL_ALONE}),
    "account, long names": ("account", {**ACCOUNT, **LONG_ACCOUNT}),
    "recovery codes": (
        "recovery-codes",
        {
            **SIGNED_IN,
            "title": "Your recovery codes",
            "codes": CODES,
            "download": "data:text/plain;charset=utf-8,7KQ2",
            "download_name": "recovery-codes.txt",
            "onward": "/auth/account",
        },
    ),
}
"""What a page shows -> its template and the names that it gets besides those of every page."""

PARTS = {"layout", "meta", "includes", "headbottom", "top", "title", "abovecontent"} | {
    "auth-controls", "belowcontent", "footer", "bottom",
    "account-authenticators", "account-recovery", "account-tickets", "account-devices",
}  # fmt: skip
"""Templates that are parts of others."""

ARABIC = "نص تجريبي طويل"

every_state = pytest.mark.parametrize("state", STATES)
both_directions = pytest.mark.parametrize("direction", ["ltr", "rtl"])
every_template = pytest.mark.parametrize(
    "path", sorted(TEMPLATES.glob("*.pt")), ids=lambda path: path.stem
)


def arabic(msgid: Any, domain: Any = None, mapping: Any = None, **others: Any) -> str:
    """a message as Chameleon hands it over -> the same length in another script, with the values"""
    if domain != "factored":
        return msgid if msgid is None else str(msgid)
    names = re.findall(r"\$\{(\w+)\}", str(msgid))
    filled = [str((mapping or {})[name]) for name in names]
    number = zlib.crc32(str(msgid).encode()) % 1000  # other words, other text
    return " ".join([(ARABIC + " ") * (1 + len(str(msgid)) // 20), *filled, str(number)])


@cache
def pages() -> Pages:
    return Pages()


@cache
def render(state: str, direction: str = "ltr") -> str:
    """state, direction -> the page; from right to left in another language"""
    template, names = STATES[state]
    given = {**EVERY, **names, "direction": direction}
    if direction == "rtl":
        given |= {"language": "ar", "translate": arabic}
    return pages().render(template, **given)


def soup(state: str, direction: str = "ltr") -> BeautifulSoup:
    return BeautifulSoup(render(state, direction), "html.parser")


def test_every_template_is_here_and_is_a_page_or_a_part_of_one() -> None:
    assert {template for template, _ in STATES.values()} | PARTS == {
        path.stem for path in TEMPLATES.glob("*.pt")
    }


@every_template
def test_a_template_is_short_enough_to_be_compiled_in_little_memory(path: Path) -> None:
    """Chameleon takes a thousand times its size for a moment, and a process keeps the most of it.

    In parts, a page takes no more than the longest of them.
    """
    assert path.stat().st_size < 4096


@every_state
@both_directions
def test_a_page_says_its_language_its_direction_and_what_it_is(state: str, direction: str) -> None:
    page = soup(state, direction)
    language = "en" if direction == "ltr" else "ar"
    assert page.html and page.title
    assert (page.html["lang"], page.html["dir"]) == (language, direction)
    heading = page.find_all("h1")
    assert len(heading) == 1
    assert len(page.find_all("main")) == 1
    title = heading[0].get_text()
    if direction == "ltr":
        shown = f"Error - {title}" if STATES[state][1].get("error") else title
        assert page.title.get_text() == f"{shown} - Example"
    levels = [int(tag.name[1]) for tag in page.find_all(re.compile("^h[1-6]$"))]
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))


@every_state
def test_ids_are_unique_and_what_refers_to_them_finds_them(state: str) -> None:
    page = soup(state)
    ids = [tag["id"] for tag in page.find_all(id=True)]
    assert len(ids) == len(set(ids))
    for name in ("for", "aria-describedby", "aria-labelledby", "data-copy"):
        for tag in page.find_all(attrs={name: True}):
            assert set(str(tag[name]).split()) <= set(ids), (name, tag)


@every_state
def test_every_field_has_a_label_and_every_button_a_name(state: str) -> None:
    page = soup(state)
    labelled = {label["for"] for label in page.find_all("label", attrs={"for": True})}
    for field in page.select('input:not([type="hidden"])'):
        wrapped = field.find_parent("label")
        assert field.get("id") in labelled or wrapped or field.get("aria-label"), field
    for press in page.select("button, a, summary"):
        assert press.get_text(strip=True), press
    for form in page.find_all("form"):
        assert (form["method"], len(form.select('[name="csrf_token"]'))) == ("post", 1)
        assert form.select('button[type="submit"][name="submit"][value]')
    for image in page.find_all("img"):
        assert image.has_attr("alt"), image


@every_state
def test_a_page_holds_no_style_no_script_and_nothing_of_another_host(state: str) -> None:
    page = soup(state)
    assert not page.find_all("style")
    assert not page.find_all(style=True)
    for script in page.find_all("script"):
        assert script["src"] == "/auth/authstatic/script.js"
        assert not script.get_text()
    for tag in page.find_all(True):
        assert not [name for name in tag.attrs if name.startswith("on")], tag
        for name in ("href", "src", "action", "srcset", "poster"):
            assert not re.match(r"(https?:)?//", str(tag.get(name, "")), re.IGNORECASE), tag


@every_state
def test_an_error_is_announced_and_the_focus_is_on_the_field_that_is_wrong(state: str) -> None:
    page = soup(state)
    error = STATES[state][1].get("error")
    alerts = page.select('[role="alert"]')
    invalid = page.select('[aria-invalid="true"]')
    assert [alert.get_text() for alert in alerts] == ([error] if error else [])
    assert len(invalid) == bool(error)
    for field in invalid:
        assert "error" in str(field["aria-describedby"]).split()
        assert field.has_attr("autofocus")
    assert len(page.select("[autofocus]")) <= 1


@pytest.mark.parametrize("state", [state for state in STATES if "code" in STATES[state][0]])
def test_a_code_has_one_field_that_password_managers_can_fill(state: str) -> None:
    fields = soup(state).select('input[name="code"]')
    if STATES[state][0] == "recovery-codes":
        assert not fields
        return
    (field,) = fields
    digits = STATES[state][1]["digits"]
    assert field["type"] == "text"
    assert field["inputmode"] == ("numeric" if digits else "text")
    assert field["autocomplete"] == "one-time-code"
    assert (field["autocapitalize"], field["spellcheck"]) == ("off", "false")
    assert field.has_attr("required")
    assert field.has_attr("autofocus")
    assert not field.has_attr("maxlength")
    assert not field.has_attr("value")


def test_staying_signed_in_is_not_ticked_unless_it_was() -> None:
    assert not soup("code").select_one('[name="remember"]').has_attr("checked")  # type: ignore[union-attr]
    assert soup("code, wrong").select_one('[name="remember"]').has_attr("checked")  # type: ignore[union-attr]
    assert "Stay signed in on this browser for 30 days" in render("code")


def test_a_step_up_asks_nothing_but_the_code() -> None:
    page = soup("code, step-up")
    assert not page.select('[name="remember"]')
    assert "Not you?" not in page.get_text()
    assert page.select_one('input[name="then"]')["value"] == "account"  # type: ignore[index]


def test_without_a_fresh_code_the_account_page_has_no_button() -> None:
    page = soup("account, read only")
    assert not page.select("main button, main form, main details")
    assert page.select_one('main a[href="/auth/ga?then=account"]')


def test_what_cannot_be_undone_is_asked_about_without_script() -> None:
    for state in ("account", "account, long names"):
        for button in soup(state).select('[value="delete"], [value="everywhere"], .danger'):
            folded = button.find_parent("details")
            assert folded is not None, button
            assert folded.select("form p"), "the consequence in a sentence"


def test_what_only_script_can_do_is_hidden_until_script_shows_it() -> None:
    for state in STATES:
        for control in soup(state).select("[data-copy], [data-print], .clock"):
            assert control.has_attr("hidden"), control


def test_the_ring_goes_on_from_the_seconds_that_are_left() -> None:
    first, then = soup("code").select("svg animate")
    assert (first["from"], first["dur"]) == ("30.0", "21s")
    assert (then["begin"], then["dur"], then["repeatcount"]) == ("21s", "30s", "indefinite")
    assert not soup("mailed code").select("svg")


def test_a_brand_brings_its_own_logo_stylesheet_and_footer() -> None:
    page = soup("name, branded")
    sheets = [link["href"] for link in page.select('link[rel="stylesheet"]')]
    assert sheets == ["/auth/authstatic/style.css", "/auth/brand.css"]
    text = page.get_text()
    assert "extension 4711" in text
    assert "Protected by" not in text
    assert "Protected by factored" in render("name")


def test_no_language_is_offered_where_there_is_no_choice() -> None:
    template, names = STATES["name"]
    assert 'lang="de"' in render("name")
    for languages in ([], LANGUAGES[:1]):
        html = pages().render(template, **{**EVERY, **names, "languages": languages})
        assert "<nav" not in html.partition("<footer")[2]


@every_state
def test_every_word_of_a_template_is_translated(state: str) -> None:
    """In another script, what is left in ours came in as a name."""
    given = {**EVERY, **STATES[state][1]}
    brought = str(list(given.values())) + "factored Deutsch Nederlands Français Español English"
    page = soup(state, "rtl")
    for hidden in page.select("svg"):
        hidden.decompose()
    texts = [str(text) for text in page.find_all(string=True) if type(text) is NavigableString]
    texts += [str(tag.get(name, "")) for tag in page.find_all(True) for name in TRANSLATED]
    for text in texts:
        for word in re.findall("[A-Za-z]{2,}", text):
            assert word in brought, text


TRANSLATED = ("aria-label", "alt", "title", "placeholder", "data-done")


@every_template
def test_a_template_names_the_domain_of_its_words(path: Path) -> None:
    text = path.read_text("utf-8")
    if "i18n:translate" in text or "i18n:attributes" in text:
        assert 'i18n:domain="factored"' in text


def test_the_static_files_are_small_and_mind_both_directions() -> None:
    style = (WEB / "static" / "style.css").read_text("utf-8")
    assert len(style) < 12 * 1024
    assert (WEB / "static" / "script.js").stat().st_size < 5 * 1024
    assert style.count("{") == style.count("}")
    sided = re.findall(
        r"(?:margin|padding|border|inset)-(?:left|right)|(?<![-\w])(?:left|right):", style
    )
    assert not sided
    assert "@import" not in style
    assert "url(" not in style
