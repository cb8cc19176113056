"""What watches the windows does notice; else the stories would prove little."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import pytest

from factored.interfaces import Environ, StartResponse
from tests.browser.browsers import Guard, barriers, open_window, scrolls_sideways
from tests.browser.people import Person
from tests.browser.sites import ServedSite, serving
from tests.peers.servers import free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser

LOOKS = 15
"""Times that a test looks whether something was noticed; each takes 20 ms."""

CSP = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:"
ELSEWHERE = "http://elsewhere.example/x.png"

PAGES = {
    "good": "<p><img src='data:image/gif;base64,R0lGODlhAQABAAAAACw=' alt=''>",
    "inline-script": "<script>document.title = 'ran'</script>",
    "inline-style": "<p style='color: red'>red",
    "elsewhere": f"<img src='{ELSEWHERE}' alt=''>",
    "absent": "<img src='/missing.png' alt=''>",
    "cut": "<script src='/cut.js'></script>",
    "warns": "<script src='/warns.js'></script>",
    "breaks": "<script src='/breaks.js'></script>",
    "open/elsewhere": f"<img src='{ELSEWHERE}' alt=''>",
    "open/leaves": "<meta http-equiv='refresh' content='0;url=http://elsewhere.example/'>",
    "wide": "<pre>" + "long " * 80,
    "nameless": "<input name='code'>",
    "low": "<p><font color='#bbbbbb'>Who can read this?</font></p>",
}
FILES = {
    "warns.js": "console.warn('careful')",
    "cut.js": "1;",
    "breaks.js": "nothing.is.here()",
    "favicon.ico": "asked for by the browser itself",
}


def pages(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    name = environ["PATH_INFO"].lstrip("/")
    status, kind, text = "200 OK", "text/html", FILES.get(name, "")
    if name.endswith(".js"):
        kind = "text/javascript"
    elif name in PAGES:
        text = (
            "<!doctype html><html lang=en><meta name=viewport content='width=device-width'>"
            f"<title>Page</title><main><h1>Page</h1>{PAGES[name]}</main>"
        )
    else:
        status = "200 OK" if name in FILES else "404 Not Found"
        text = text or "Nothing is here."
    length = len(text) + (100 if name == "cut.js" else 0)
    headers = [("Content-Type", kind), ("Content-Length", str(length))]
    if not name.startswith("open/"):
        headers.append(("Content-Security-Policy", CSP))
    start_response(status, headers)
    return [text.encode()]


@pytest.fixture
def origin() -> Iterator[str]:
    with serving(pages, free_port()) as started:
        yield started


Look = Callable[..., list[str]]


@pytest.fixture
def look(browser: Browser, origin: str) -> Look:
    """-> function: name of a page, window -> what the guard of that window found"""

    def found(name: str, window: str = "desktop") -> list[str]:
        guard = Guard(open_window(browser, window), origin)
        page = guard.context.new_page()
        page.goto(f"{origin}/{name}")
        for _ in range(LOOKS):
            page.wait_for_timeout(20)  # while it listens
            if guard.found:
                break
        page.wait_for_timeout(20)  # the same thing may be said in two ways
        guard.close()
        return guard.found

    return found


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("inline-script", "CSP: script-src-elem inline"),
        ("inline-style", "CSP: style-src-attr inline"),
        ("elsewhere", f"CSP: img-src {ELSEWHERE}"),
        ("absent", "/missing.png"),
        ("cut", "/cut.js net::"),
        ("warns", "console: careful"),
        ("breaks", "error: "),
        ("open/elsewhere", f"elsewhere: {ELSEWHERE}"),
        ("open/leaves", "elsewhere: http://elsewhere.example/"),
    ],
)
def test_a_guard_notices(look: Look, name: str, said: str) -> None:
    found = look(name)
    assert [line for line in found if said in line], found


@pytest.mark.parametrize("name", ["inline-style", "elsewhere", "open/elsewhere"])
def test_a_guard_notices_without_javascript_too(look: Look, name: str) -> None:
    assert look(name, "no script")


@pytest.mark.parametrize("window", ["desktop", "no script", "phone"])
def test_a_guard_leaves_a_good_page_alone(look: Look, window: str) -> None:
    assert look("good", window) == []


def test_a_page_that_answers_404_is_its_tests_business(look: Look) -> None:
    assert look("nowhere") == []


@pytest.mark.parametrize(
    ("name", "objection"),
    [("good", ""), ("nameless", "label"), ("low", "contrast")],
)
def test_axe_objects_to_barriers(browser: Browser, origin: str, name: str, objection: str) -> None:
    window = open_window(browser)
    page = window.new_page()
    page.goto(f"{origin}/{name}")
    said = barriers(page)
    window.close()
    assert objection in said
    assert bool(objection) == bool(said)


@pytest.mark.parametrize("window", ["desktop", "phone", "no script"])
def test_a_wide_page_is_noticed(browser: Browser, origin: str, window: str) -> None:
    opened = open_window(browser, window)
    page = opened.new_page()
    own = page.viewport_size
    page.goto(f"{origin}/good")
    assert scrolls_sideways(page) == []
    page.goto(f"{origin}/wide")
    assert scrolls_sideways(page)[:2] == [320, 390]
    assert page.viewport_size == own
    opened.close()


def test_a_hidden_focus_is_noticed(site: ServedSite, browser: Browser) -> None:
    window = open_window(browser)
    al = Person(window.new_page(), site, *site.add_user(), hands="keyboard").opens("/auth/ga")
    al.page.evaluate(
        """() => { const sheet = new CSSStyleSheet();
        sheet.replaceSync(":focus-visible { outline: none !important }");
        document.adoptedStyleSheets = [sheet]; }"""
    )
    with pytest.raises(AssertionError, match="cannot be seen"):
        al.presses("username")
    window.close()
