"""One Chromium for the folder, a window and a site for each test, and nothing unseen happens."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from functools import cache
from importlib import util
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from factored import plugins
from factored.services import outbox
from tests.browser.browsers import Guard, chromium, open_window
from tests.browser.people import Hands, Person
from tests.browser.sites import ServedSite, served_site
from tests.support import factored, settings_for, write_ini

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Open = Callable[[str], None]
Arrives = Callable[..., Person]
MakeSite = Callable[..., ServedSite]

MODULES = {"playwright": "playwright", "axe_playwright_python": "axe-playwright-python"}


def require_modules() -> None:
    """-> None; skips where Playwright is absent, or fails where peers are required"""
    absent = [name for module, name in MODULES.items() if util.find_spec(module) is None]
    if not absent:
        return
    reason = f"{' and '.join(absent)} not installed: pip install factored[browser]"
    if os.environ.get("FACTORED_REQUIRE_PEERS") == "1":
        pytest.fail(f"{reason}, and FACTORED_REQUIRE_PEERS=1 asks for it")
    pytest.skip(reason)


# Not for the session: while Playwright lives, its event loop does, and Django wants none.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    require_modules()
    with chromium() as started:
        yield started


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """-> function: URL -> None; the page is open until the test ends, and nobody watches it"""
    window = open_window(browser)
    yield lambda url: window.new_page().goto(url) and None
    window.close()


@pytest.fixture(scope="session")
def initialised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """-> folder with the database and keys that ``factored init`` makes"""
    folder = tmp_path_factory.mktemp("initialised")
    ini = write_ini(folder, settings_for(folder))
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        assert factored("init", str(ini)) == 0
    return folder


installed = cache(entry_points)
"""What is installed does not change meanwhile, and looking takes longest of all."""


@pytest.fixture
def make_site(
    browser: Browser, initialised: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeSite]:
    """-> function: changed settings (``__`` for a dot) -> a site of this test's own, running"""
    monkeypatch.setattr(plugins, "entry_points", installed)
    monkeypatch.setattr(outbox, "LATER_MS", [0])
    with contextlib.ExitStack() as ending:

        def make(**changed: str) -> ServedSite:
            return ending.enter_context(served_site(tmp_path, initialised, **changed))

        yield make


@pytest.fixture
def site(make_site: MakeSite) -> ServedSite:
    return make_site()


@pytest.fixture
def arrives(browser: Browser, make_site: MakeSite) -> Iterator[Arrives]:
    """-> function: site, window, hands, somebody who was here before -> Person at a new window

    At the end no window may have reported anything.
    """
    guards = []

    def arrive(
        site: ServedSite,
        window: str = "desktop",
        hands: Hands | None = None,
        same_as: Person | None = None,
    ) -> Person:
        name, secret = (same_as.name, same_as.secret) if same_as else site.add_user()
        context = open_window(browser, window)
        guards.append(Guard(context, site.origin))
        return Person(
            context.new_page(),
            site,
            name,
            secret,
            hands=hands or ("finger" if "phone" in window else "pointer"),
            window=window,
        )

    yield arrive
    for guard in guards:
        guard.close()
    assert [found for guard in guards for found in guard.found] == []
