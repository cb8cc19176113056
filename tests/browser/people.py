"""What people do at a window: type into fields, press buttons, look. All selectors are here."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qs, unquote, urlsplit

from tests.browser.browsers import WINDOWS, barriers, scrolls_sideways
from tests.browser.sites import ServedSite
from tests.peers.servers import program

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

Hands = Literal["keyboard", "pointer", "finger"]

MOST_STOPS = 80
"""Tabs after which a person gives up; more than any page has places to stop."""

UNLIKE = re.compile(r'(?:value|href|action|src|d)="[^"]*"|[0-9]+|[A-Z2-7 ]{20,}')

_LOOKED_AT: set[tuple[str, str]] = set()
"""Widths or colours, and pages found good in them: another look would find the same."""

FOCUS = """() => {
  const one = document.activeElement;
  if (!one || one === document.body) return null;
  const style = getComputedStyle(one);
  const link = one.tagName === "A" ? one.pathname : "";
  const what = one.tagName === "BUTTON" ? one.value || one.textContent.trim() : one.name;
  return {name: link || what || one.tagName.toLowerCase(),
          seen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0};
}"""


@dataclass
class Person:
    """Somebody with a name, an authenticator app, and one window.

    :param hands: how the window is used; with the keyboard, each stop must be seen
    :param window: its key in WINDOWS
    :param looks_closely: every page must fit, and pass axe-core where scripts run
    """

    page: Page
    site: ServedSite
    name: str
    secret: str
    hands: Hands = "pointer"
    window: str = "desktop"
    looks_closely: bool = True
    presses_made: int = 0
    """Buttons and links pressed so far."""
    stops: list[str] = field(default_factory=list)
    """Where the focus was on this page, in order: field names, button values, paths of links."""
    status: int = 0

    # -- going about ------------------------------------------------------------------------------

    def opens(self, where: str) -> Person:
        """path or URL -> self, there"""
        url = where if where.startswith("http") else self.site.origin + where
        answer = self.page.goto(url)
        self._arrived(answer.status if answer else 0)
        return self

    def types(self, name: str, text: str) -> Person:
        """field, text -> self; what was in the field is replaced"""
        self._put(self._field(name), text)
        return self

    def types_in_row(self, value: str, row: str, name: str, text: str) -> Person:
        """button, id that its form carries, field, text -> self"""
        form = f"form:has(input[name=id][value='{row}']):has(button[value='{value}'])"
        target = self.page.locator(f"{form} input[name='{name}']").first
        self._unfold(target)
        self._put(target, text)
        return self

    def types_code(self) -> Person:
        """-> self, after the code that the app shows now"""
        return self.types("code", self.site.code(self.secret))

    def gives_code(self, value: str, code: str = "") -> Person:
        """button, code or the one that the app shows now -> self, on the page that answers

        Where nothing else is asked for, the script sends a code as soon as it is whole.
        """
        code = code or self.site.code(self.secret)
        if not self._sends_itself:
            return self.types("code", code).presses(value)
        with self.page.expect_navigation() as going:
            self.types("code", code)
        answer = going.value
        self._arrived(answer.status if answer else 0)
        return self

    def pastes(self, name: str, text: str) -> Person:
        """field, text -> self; by the clipboard, in a window with scripts"""
        self.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.page.evaluate("text => navigator.clipboard.writeText(text)", text)
        self._reach(self._field(name))
        self.page.keyboard.press("Control+V")
        return self

    def ticks(self, name: str) -> Person:
        box = self._field(name)
        if self.hands == "keyboard":
            self._reach(box)
            self.page.keyboard.press("Space")
        elif self.hands == "finger":
            box.tap()
        else:
            box.click()
        return self

    def tabs(self) -> Person:
        """-> self, one stop further"""
        self.page.keyboard.press("Tab")
        self._note_stop()
        return self

    def tabs_to(self, value: str) -> Person:
        """value of ``submit`` -> self, with the focus on that button"""
        self._tab_to(self._button(value))
        return self

    def presses(self, value: str, row: str = "") -> Person:
        """value of ``submit`` -> self, on the page that answers

        :param row: the ``id`` that the form carries, where one page has many such buttons
        """
        return self._goes_by(self._button(value, row))

    def follows(self, part: str) -> Person:
        """part of a link's href -> self, on the page it leads to"""
        return self._goes_by(self.page.locator(f"a[href*='{part}']").first)

    def goes_on(self) -> Person:
        """-> self, by the one link that a message offers"""
        return self._goes_by(self.page.locator("main a.button").first)

    def presses_enter(self) -> Person:
        """-> self; in a field, as people do who do not look for the button"""
        with self.page.expect_navigation() as going:
            self.page.keyboard.press("Enter")
        answer = going.value
        self._arrived(answer.status if answer else 0)
        return self

    def _goes_by(self, target: Locator) -> Person:
        self._unfold(target)
        self.presses_made += 1
        if self.hands == "keyboard":
            self._reach(target)
            return self.presses_enter()
        with self.page.expect_navigation() as going:
            if self.hands == "finger":
                target.tap()
            else:
                target.click()
        answer = going.value
        self._arrived(answer.status if answer else 0)
        return self

    def _unfold(self, target: Locator) -> None:
        """Opens the ``<details>`` that the button is in: it says first what will happen."""
        if target.is_visible():
            return
        summary = self.page.locator("details", has=target).locator("summary").first
        self.presses_made += 1
        if self.hands == "keyboard":
            self._reach(summary)
            self.page.keyboard.press("Enter")
        else:
            summary.click()

    def _reach(self, target: Locator) -> None:
        if self.hands == "finger":
            target.tap()
        elif self.hands == "pointer":
            target.click()
        else:
            self._tab_to(target)

    @property
    def _sends_itself(self) -> bool:
        scripts = WINDOWS[self.window].get("java_script_enabled", True)
        digits = self.page.locator("input.digits").count() > 0
        return scripts and digits and not self.sees_field("remember")

    def _put(self, target: Locator, text: str) -> None:
        if self.hands == "keyboard":
            self._tab_to(target)
            self.page.keyboard.press("Control+A")
            self.page.keyboard.type(text)
        else:
            self._reach(target)
            target.fill(text)  # a round trip, not one for each character

    def _tab_to(self, target: Locator) -> None:
        wanted = target.element_handle()
        for _ in range(MOST_STOPS):
            if self.page.evaluate("one => one === document.activeElement", wanted):
                return
            self.tabs()
        raise AssertionError(f"Tab does not get to {target}: {self.stops}")

    def _note_stop(self) -> None:
        focus = self.page.evaluate(FOCUS)
        if focus is None:
            return
        self.stops.append(focus["name"])
        assert focus["seen"], f"the focus on {focus['name']} cannot be seen, at {self.page.url}"

    def _arrived(self, status: int) -> None:
        self.status = status
        self.stops = []
        if not self.path.startswith("/auth"):
            return  # the protected site, which answers for itself
        if self.hands == "keyboard":
            self._note_stop()
        if not self.looks_closely:
            return
        window, shape = WINDOWS[self.window], self._shape()
        width = str((self.page.viewport_size or {}).get("width"))
        if (width, shape) not in _LOOKED_AT:
            wide = scrolls_sideways(self.page)
            assert not wide, f"{self.page.url} scrolls sideways at {wide} px"
            _LOOKED_AT.add((width, shape))
        # axe-core is a script itself; what it sees differs by colours.
        colours = window.get("color_scheme", "light")
        if window.get("java_script_enabled", True) and (colours, shape) not in _LOOKED_AT:
            objections = barriers(self.page)
            assert not objections, f"{self.page.url}:\n{objections}"
            _LOOKED_AT.add((colours, shape))

    def _shape(self) -> str:
        """-> this page's HTML without what is another each time: tokens, keys, names"""
        return UNLIKE.sub("", self.page.content().replace(self.name, ""))

    # -- whole steps ------------------------------------------------------------------------------

    def gives_name(self) -> Person:
        return self.types("username", self.name).presses("username")

    def signs_in(self) -> Person:
        """-> self, whose window has a ticket; no page is looked at: test_login.py does that"""
        url, browser = f"{self.site.origin}/auth/ga", self.page.context.request
        found = re.search(r'name="csrf_token" value="([^"]*)"', browser.get(url).text())
        assert found
        form = {"csrf_token": found[1], "username": self.name, "submit": "authenticate"}
        answer = browser.post(
            url,
            form=form | {"code": self.site.code(self.secret)},
            headers={"Origin": self.site.origin},
        )
        assert urlsplit(answer.url).path == "/", answer.url
        return self

    # -- looking ----------------------------------------------------------------------------------

    @property
    def path(self) -> str:
        return urlsplit(self.page.url).path

    @property
    def is_in(self) -> bool:
        """-> whether this is the protected site, which knows the name"""
        heading = self.page.locator("h1").inner_text()
        return "/auth" not in self.path and heading == f"Hello, {self.name}"

    @property
    def error(self) -> str:
        """-> what is announced (role=alert), or nothing"""
        alert = self.page.get_by_role("alert")
        return alert.inner_text().strip() if alert.count() else ""

    @property
    def text(self) -> str:
        return self.page.locator("main").inner_text()

    @property
    def everything(self) -> str:
        """-> the HTML, with what stands in fields and in what is folded"""
        return self.page.content()

    @property
    def focus(self) -> str:
        """-> name of the field or value of the button that has the focus"""
        focus = self.page.evaluate(FOCUS)
        return focus["name"] if focus else ""

    def sees_field(self, name: str) -> bool:
        return self._field(name).count() > 0

    def sees_button(self, value: str) -> bool:
        return self._button(value).count() > 0

    def attribute(self, field_name: str, attribute: str) -> str | None:
        return self._field(field_name).get_attribute(attribute)

    def value(self, field_name: str) -> str:
        return self._field(field_name).input_value()

    def rows(self, value: str) -> list[str]:
        """value of ``submit`` -> the ids of the forms that have such a button, top down"""
        forms = self.page.locator(f"form:has(button[value='{value}']) input[name=id]")
        return [one.get_attribute("value") or "" for one in forms.all()]

    def scans(self, folder: Path) -> str:
        """folder for a picture -> the secret in the QR code on this page, as zbarimg reads it"""
        picture = folder / "page.png"
        # Hiding the caret would take a style element, which the page does not allow.
        self.page.screenshot(path=picture, full_page=True, caret="initial")
        argv = [program("zbarimg"), "-q", "--raw", str(picture)]
        ended = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, f"zbarimg sees no code on {self.page.url}"
        return self._keeps(ended.stdout.strip())

    def takes_the_link(self) -> str:
        """-> the secret in the ``otpauth:`` link, which opens the app on the same device"""
        link = self.page.locator("a[href^='otpauth:']:visible")
        self.presses_made += 1
        return self._keeps(link.get_attribute("href") or "")

    def _keeps(self, text: str) -> str:
        uri = urlsplit(text)
        assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
        assert self.name in unquote(uri.path)
        (self.secret,) = parse_qs(uri.query)["secret"]
        return self.secret

    def recovery_codes(self) -> list[str]:
        """-> those that this page shows, as the file that it offers has them"""
        link = self.page.locator("a[download]").get_attribute("href") or ""
        assert link.startswith("data:text/plain"), link[:40]
        found = re.findall(r"\b[0-9A-Za-z]{4,}(?:-[0-9A-Za-z]{4,})+\b", unquote(link))
        shown = self.text
        return [code for code in found if code in shown]

    # -- where things are -------------------------------------------------------------------------

    def _field(self, name: str) -> Locator:
        return self.page.locator(f"input[name='{name}']:not([type=hidden], .clip)").first

    def _button(self, value: str, row: str = "") -> Locator:
        form = f"form:has(input[name=id][value='{row}']) " if row else ""
        return self.page.locator(f"{form}button[name=submit][value='{value}']").first
