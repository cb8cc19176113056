"""Pictures of the main pages, for README and docs: ``make screenshots``.

Each page of PAGES in four windows, all of them on ``docs/images/contact-sheet.png``, and those of
KEPT as ``docs/images/PAGE-WINDOW-THEME.png``. ``python -m tests.browser.screenshots FOLDER`` puts
every page there instead, whole, to look at closely.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from factored.services import outbox
from tests.browser.browsers import WINDOWS, chromium, open_window
from tests.browser.people import Person
from tests.browser.sites import ServedSite, served_site

if TYPE_CHECKING:
    from playwright.sync_api import Browser

IMAGES = Path(__file__).parents[2] / "docs" / "images"
PEOPLE = ["robin@example.com", "kim@example.com", "alex@example.com", "sam@example.com"]
"""One for each window; who was locked out in one would be so in the next."""

THEMES = {
    "phone-light": "phone",
    "phone-dark": "dark phone",
    "desktop-light": "desktop",
    "desktop-dark": "dark",
}
"""End of a file's name -> window."""

WRONG = "000000"
STEP_UP_S = 300
HOUR_S = 3600


# -- how one gets to each page --------------------------------------------------------------------


def account(al: Person) -> None:
    al.site.next_step()
    al.signs_in()
    al.site.next_step()
    al.opens("/auth/account")


def asks_first(al: Person) -> None:
    al.opens("/auth/account")
    al.page.locator("details").first.evaluate("one => { one.open = true }")


def added(al: Person) -> None:
    """Two authenticators and two browsers, as many have."""
    first = al.secret
    al.opens("/auth/account").presses("add")
    with tempfile.TemporaryDirectory() as folder:
        al.scans(Path(folder))
    al.types("label", "Tablet at home").gives_code("confirm")
    al.secret = first


def account_later(al: Person) -> None:
    al.site.clock.advance(STEP_UP_S + 1)
    al.opens("/auth/account?_LOCALE_=en")


def in_arabic(al: Person, path: str) -> Person:
    return al.opens(f"{path}?_LOCALE_=ar")


def mail_link(al: Person, scheme: str, button: str) -> Person:
    """scheme, button that sends a mail -> the same person, where its link leads"""
    al.opens(f"/auth/{scheme}")
    al.site.mails.taken.clear()
    al.gives_name()
    if button != "username":
        al.presses(button)
    return al.opens(al.site.mails.link(al.site.origin))


def reminder_sent(al: Person) -> None:
    al.opens("/auth/ga").gives_name()
    al.site.mails.taken.clear()
    al.presses("codereminder")


def enrolled(al: Person) -> None:
    with tempfile.TemporaryDirectory() as folder:
        al.scans(Path(folder))
    al.gives_code("confirm")
    al.site.next_step()


def locked(al: Person) -> None:
    al.page.context.clear_cookies()
    al.opens("/auth/ga").gives_name()
    while al.types("code", WRONG).presses("authenticate").status == 200:
        pass


def unlock(al: Person) -> None:
    al.opens(al.site.command("user", "unlock", f"--username={al.name}")["url"])


PAGES: list[tuple[str, str, Callable[[Person], object]]] = [
    ("chooser", "Choosing a way to sign in", lambda al: al.opens("/auth")),
    ("name", "Name", lambda al: al.opens("/auth/ga")),
    ("code", "Code of the app", lambda al: al.gives_name()),
    ("wrong", "A wrong code", lambda al: al.types("code", WRONG).presses("authenticate")),
    ("mailed-code", "Code by mail", lambda al: al.opens("/auth/em").gives_name()),
    ("mailed-link", "Link by mail", lambda al: mail_link(al, "em", "username")),
    ("reminder", "Reminder sent", reminder_sent),
    ("enrol", "Enrolment link", lambda al: al.opens(al.site.mails.link(al.site.origin))),
    ("qr", "QR code", lambda al: al.presses("show")),
    ("enrolled", "Enrolled", enrolled),
    ("account", "Account", account),
    ("add", "Another authenticator", lambda al: al.presses("add")),
    ("added", "It is added", added),
    ("recovery-codes", "Recovery codes", lambda al: al.presses("codes")),
    ("asks-first", "What cannot be undone asks first", asks_first),
    ("account-arabic", "Account, from right to left", lambda al: in_arabic(al, "/auth/account")),
    ("account-later", "Account, five minutes later", account_later),
    ("step-up", "Confirming that it is you", lambda al: al.follows("then=account")),
    ("recovery", "Recovery code", lambda al: al.opens("/auth/rc").gives_name()),
    ("code-arabic", "Code, from right to left", lambda al: in_arabic(al, "/auth/ga").gives_name()),
    ("sign-out", "Signing out", lambda al: al.signs_in().opens("/auth/logout?_LOCALE_=en")),
    ("signed-out", "Signed out", lambda al: al.presses("logout").opens("/auth/logout")),
    ("locked", "Too many attempts", locked),
    ("unlock", "Unlock link", unlock),
]
"""File name, caption, and the way there from the page before."""


KEPT = [
    "code-phone-light", "account-phone-light", "qr-phone-light", "recovery-codes-phone-light",
    "code-phone-dark", "account-phone-dark", "code-desktop-light", "added-desktop-dark",
]  # fmt: skip
"""Those that README and docs show by themselves."""

DESKTOP = {"width": 960, "height": 800}
"""Smaller than a real one, as pages are narrow and pictures are shown small."""


def walk(browser: Browser, site: ServedSite, name: str, theme: str, folder: Path) -> None:
    """who goes, key of THEMES -> None; a picture of each page is in the folder"""
    window = THEMES[theme]
    context = open_window(browser, window)
    hands = "finger" if WINDOWS[window].get("has_touch") else "pointer"
    al = Person(context.new_page(), site, *site.add_user(name), hands=hands, looks_closely=False)
    if "desktop" in theme:
        al.page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]
    for page, _, go in PAGES:
        go(al)
        # Hiding the caret would take a style element, which the page does not allow.
        path = folder / f"{page}-{theme}.png"
        al.page.screenshot(path=path, caret="initial", full_page=len(sys.argv) > 1)
    context.close()


SHEET = """<!doctype html><meta charset="utf-8"><style>
body { margin: 24px; font: 14px system-ui, sans-serif; background: #d9dde3; color: #1b2430;
       display: grid; grid-template-columns: 1fr 1fr; gap: 20px 32px; width: max-content }
figure { margin: 0 } div { display: flex; gap: 6px } img { height: 300px; display: block }
figcaption { margin-bottom: 4px; font-weight: 600 }
</style>"""


def contact_sheet(browser: Browser, folder: Path) -> None:
    """folder with all pictures -> None; they are on one"""
    figures = ""
    for page, caption, _ in PAGES:
        pictures = "".join(f"<img src='{page}-{theme}.png'>" for theme in THEMES)
        figures += f"<figure><figcaption>{escape(caption)}</figcaption><div>{pictures}</div>"
        figures += "</figure>"
    sheet = folder / "contact-sheet.html"
    sheet.write_text(SHEET + figures, "utf-8")
    page = browser.new_page(viewport={"width": 2100, "height": 800})
    page.goto(sheet.as_uri())
    page.screenshot(path=IMAGES / "contact-sheet.png", full_page=True)


def main() -> None:
    start_s = time.monotonic()
    outbox.LATER_MS = [0]  # type: ignore[assignment]  # nobody measures, and somebody waits
    IMAGES.mkdir(parents=True, exist_ok=True)
    for old in IMAGES.glob("*.png"):
        old.unlink()
    with tempfile.TemporaryDirectory() as scratch, chromium() as browser:
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(scratch)
        site_folder = Path(scratch) / "site"
        site_folder.mkdir()
        with served_site(site_folder) as site:
            for name, theme in zip(PEOPLE, THEMES, strict=True):
                walk(browser, site, name, theme, folder)
                site.clock.advance(HOUR_S)
        if len(sys.argv) > 1:
            return
        contact_sheet(browser, folder)
        for kept in KEPT:
            shutil.copy(folder / f"{kept}.png", IMAGES)
    made = sorted(IMAGES.glob("*.png"))
    kib = sum(path.stat().st_size for path in made) // 1024
    took_s = time.monotonic() - start_s
    sys.stdout.write(f"{len(made)} pictures in {IMAGES}: {kib} KiB, {took_s:.0f} s\n")


if __name__ == "__main__":
    main()
