"""Debian's Chromium under Playwright: how it starts, the windows it opens, and what they report."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.support_programs import require_program

if TYPE_CHECKING:  # the tests of this folder are skipped where Playwright is absent
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

OPTIONS = [
    # One process less, which is time on a small machine.
    "--disable-gpu", "--disable-software-rasterizer", "--in-process-gpu",
    "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--force-color-profile=srgb", "--hide-scrollbars",
    # Whatever a URL names, nothing but this machine is asked.
    "--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip

PHONE = {
    "viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True,
    "user_agent": "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0.0.0 Mobile Safari/537.36",
}  # fmt: skip

WINDOWS: dict[str, dict[str, Any]] = {
    "desktop": {},
    "dark": {"color_scheme": "dark"},
    "phone": PHONE,
    "dark phone": PHONE | {"color_scheme": "dark"},
    "no script": {"java_script_enabled": False},
    "still": {"reduced_motion": "reduce"},
    # What is left of 1280 x 1024 at 200 %.
    "zoomed": {"viewport": {"width": 640, "height": 512}, "device_scale_factor": 2},
    "right to left": {"locale": "ar"},
}
"""Name -> how this window differs from 1280 x 800 in light colours, in English, with a pointer."""

PATIENCE_MS = 8000
"""What is not there by then does not come."""

NARROW = (320, 390)
"""Widths in CSS px at which no page may scroll sideways; 320: WCAG 2.2, 1.4.10."""

# A violation shows in the console anyway, but only as long as Chromium says it there.
TELL_VIOLATIONS = """document.addEventListener("securitypolicyviolation", event =>
  console.error("CSP: " + event.violatedDirective + " " + event.blockedURI));"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """-> the browser, until the block ends; no download: the one that the system has"""
    from playwright.sync_api import sync_playwright

    arguments = [*OPTIONS, "--no-sandbox"] if os.getuid() == 0 else OPTIONS
    path = require_program("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


def open_window(browser: Browser, kind: str = "desktop") -> BrowserContext:
    """browser, key of WINDOWS -> a window without cookies"""
    given = {"viewport": {"width": 1280, "height": 800}, "locale": "en-GB", **WINDOWS[kind]}
    window = browser.new_context(**given)
    window.set_default_timeout(PATIENCE_MS)
    return window


@dataclass
class Guard:
    """Listens to a window: whatever is in ``found`` should not have happened.

    :param origin: the one that the window may ask, ``http://127.0.0.1:PORT``
    """

    context: BrowserContext
    origin: str
    found: list[str] = field(default_factory=list)
    _pages: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.context.on("console", self._console)
        self.context.on("weberror", lambda error: self.found.append(f"error: {error.error}"))
        self.context.on("request", self._request)
        self.context.on("requestfailed", self._failed)
        self.context.add_init_script(TELL_VIOLATIONS)

    def close(self) -> None:
        """-> None; the window is closed once it has said all"""
        for page in self.context.pages:
            # A round trip: what was said before is here then; unless the page is just leaving.
            with suppress(Exception):
                page.evaluate("0")
        self.context.close()

    def _console(self, message: ConsoleMessage) -> None:
        url = message.location["url"]
        # A page that answers 429 is said to have failed; its test looks at the status.
        answered = "Failed to load resource: the server responded" in message.text
        if message.type in ("error", "warning") and not (answered and url in self._pages):
            self.found.append(f"console: {message.text} ({url})")

    def _request(self, request: Request) -> None:
        if request.is_navigation_request():
            self._pages.add(request.url)
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "about") and f"{parts[0]}://{parts[1]}" != self.origin:
            self.found.append(f"elsewhere: {request.url}")

    def _failed(self, request: Request) -> None:
        self.found.append(f"failed: {request.url} {request.failure}")


# -- what must hold on every page -----------------------------------------------------------------


def scrolls_sideways(page: Page) -> list[int]:
    """page -> the widths, its own and NARROW, at which it is wider than its window"""
    own = page.viewport_size
    assert own is not None
    wide = []
    for width in dict.fromkeys([*NARROW, own["width"]]):
        page.set_viewport_size({"width": width, "height": own["height"]})
        if page.evaluate("document.documentElement.scrollWidth") > width:
            wide.append(width)
    page.set_viewport_size(own)
    return wide


@cache
def _axe() -> Any:
    from axe_playwright_python.sync_playwright import Axe

    return Axe()


def barriers(page: Page) -> str:
    """page in a window with scripts -> what axe-core objects to, best practice too; or nothing"""
    result = _axe().run(page)
    if not result.violations_count:
        return ""
    report: str = result.generate_report()
    return re.sub(r"\n\s*\n", "\n", report)
