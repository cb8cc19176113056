"""Where Chromium goes when it is sent to what the redirect check lets through."""

from __future__ import annotations

import itertools
import json
import queue
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import unquote
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest

from factored.interfaces import Environ, StartResponse
from factored.web.redirects import local_path
from factored.web.site import LocalRedirect

from .conftest import Open

WAIT_S = 90
BASES = ("/auth", "/caf%C3%A9/auth")
FOLLOWED = 60
"""How many are followed through real answers; that takes a request each."""
RANDOM = 20_000

STARTS = [
    "", "/", "//", "///", "////", "\\", "/\\", "\\/", "\\\\", "/\\/", "//\\", "/./", "/.//",
    "/..//",
    "/x/..//", "/%2e//", "/%2E%2e//", "/%2f", "/%2F/", "/%5c", "/%5C/", "/%09/", "/%0a/", "/%00/",
    "/\t/", "/\n/", "/\r/", "/\r\n/", "\t//", "\n//", " //", "\x00//", "\x0b//", "\x0c//", "\x1f//",
    "/\x00/", "/\x0b/", "/ /", "/\x7f/", "/\x85/", "/\xa0/", "/\u2028/", "/\ufeff/", "\ufeff//",
    "/\u200b/", "/\u00ad/", "\uff0f\uff0f", "/\uff0f", "\uff0f/", "/\u2044", "/\u2215", "/\u29f8",
    "/\uff3c", "/\u2216", "/;/", "/;//", "/:/", "/::", "/?/", "/#/", "/@", "/*", "/~", "/|",
    "/\ud800/",
    "http:", "http:/", "http://", "http:///", "https:", "https://", "HTTP://", "hTtP:\\\\",
    "ftp://",
    "ws://", "//http://", "/http://", "javascript:", "javascript://", "java\tscript:", "data:",
    "data:text/html,", "vbscript:", "blob:", "blob:http://", "file:///", "about:", "mailto:",
    "view-source:", "filesystem:http://", "/javascript:", "x:", ":", "?", "#", ".", "..",
    "./", "../",
]  # fmt: skip
MIDDLES = [
    "", "evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", "al@evil.example",
    "127.0.0.1@evil.example", "127.0.0.1:pw@evil.example", "[::1]", "[::ffff:7f00:1]", "0x7f.1",
    "2130706433", "evil\u3002example", "evil\uff0eexample", "evil\uff61example", "evil%2eexample",
    "\u24d4vil.example", "\u0435vil.example", "xn--evl-8za.example", "evil.example\\@127.0.0.1",
    "evil.example#@127.0.0.1", "evil.example?@127.0.0.1", "127.0.0.1%2eevil.example", "alert(1)",
    "<script>", "auth", "auth/ga", "Auth", "%61uth", "au%74h/ga", "auth%2fga", "caf\u00e9/auth",
    "caf%C3%A9/auth/ga", "x%2fy/../auth", "caf%c3%a9/%61uth", "x", "localhost",
]  # fmt: skip
ENDS = [
    "", "/", "/x", "/..", "/../..", "/../auth", "/%2e%2e/auth/ga", "/./", "//", "/\\", "?",
    "?a=//b", "//../x", "/x//../../ga",
    "#", "#/auth", "\t", "\n", " ", "\x00", "%00", "%0d%0aLocation:%20//evil.example",
    "\r\nX: y", ";",
    ";@x", "\\..\\auth",
]  # fmt: skip
ODD = "/\\.%25feau:@?#;\t\n\r \x00\u3002\uff0f\uff0e\u00e9[]0129"


def hostile() -> list[str]:
    """-> what somebody may put into ``referrer``: every combination, and some at random"""
    chance = random.Random(1)
    made = {"".join(parts) for parts in itertools.product(STARTS, MIDDLES, ENDS)}
    made |= {"/" + "".join(chance.choices(ODD, k=chance.randint(1, 12))) for _ in range(RANDOM)}
    made |= {"".join(chance.choices(ODD, k=chance.randint(1, 12))) for _ in range(RANDOM)}
    return sorted(made)


PAGE = b"""<!doctype html><title>Where does it lead?</title><script>
async function judged(asked) {
  const seen = asked.resolve.map(([text, from]) => {
    try { const url = new URL(text, location.origin + from); return [url.origin, url.pathname]; }
    catch (error) { return ["none", String(error)]; }
  });
  const landed = [];
  for (let number = 0; number < asked.follow; number++) {
    try { const url = new URL((await fetch("/go?" + number)).url);
          landed.push([url.origin, url.pathname]); }
    catch (error) { landed.push(["none", String(error)]); }
  }
  return {origin: location.origin, seen, landed};
}
fetch("/asked").then(answer => answer.json()).then(judged).then(
  found => fetch("/found", {method: "POST", body: JSON.stringify(found)}));
</script>"""


class Threads(ThreadingMixIn, WSGIServer):
    """A browser opens connections before it needs them, and one must not wait for another."""

    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@dataclass
class Judge:
    """A loopback site whose one page lets the browser resolve and follow, and tells us."""

    resolve: list[tuple[str, str]] = field(default_factory=list)
    follow: list[str] = field(default_factory=list)
    found: queue.SimpleQueue[dict[str, Any]] = field(default_factory=queue.SimpleQueue)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path, body, kind = environ["PATH_INFO"], b"landed", "text/plain"
        if path == "/go":
            where = self.follow[int(environ["QUERY_STRING"])]
            return LocalRedirect(where)(environ, start_response)
        if path == "/judge":
            body, kind = PAGE, "text/html"
        elif path == "/asked":
            body = json.dumps({"resolve": self.resolve, "follow": len(self.follow)}).encode()
        elif path == "/found":
            self.found.put(json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))))
        start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [body]


@pytest.fixture
def judge(
    open_page: Open,
) -> Iterator[Callable[[list[tuple[str, str]], list[str]], dict[str, Any]]]:
    """-> function: (URL, page's path) to resolve, Locations to follow -> what Chromium found"""
    site = Judge()
    with make_server("127.0.0.1", 0, site, Threads, Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()

        def ask(resolve: list[tuple[str, str]], follow: list[str]) -> dict[str, Any]:
            site.resolve, site.follow = resolve, follow
            open_page(f"http://127.0.0.1:{server.server_port}/judge")
            found = site.found.get(timeout=WAIT_S)
            assert len(found["seen"]) == len(resolve)
            assert len(found["landed"]) == len(follow)
            return found

        yield ask
        server.shutdown()
        thread.join()


def below(path: str, base: str) -> bool:
    """the path that a browser asks for, base_auth_url -> whether the gate takes it for its own"""
    shown, own = unquote(path), unquote(base)
    return shown == own or shown.startswith(own + "/")


def test_nothing_that_the_check_lets_through_leaves_the_site_or_leads_to_the_login(
    judge: Callable[[list[tuple[str, str]], list[str]], dict[str, Any]],
) -> None:
    texts = hostile()
    passed = [
        (text, path, base)
        for base in BASES
        for text in texts
        if (path := local_path(text, base)) is not None
    ]
    refused = [text for text in texts if local_path(text, BASES[0]) is None]
    follow = [path for _, path, base in passed if base == BASES[0]]
    follow = random.Random(2).sample(follow, FOLLOWED)
    asked = [(path, base + "/ga") for _, path, base in passed]
    found = judge([*asked, *((text, "/auth/ga") for text in refused)], follow)

    own = found["origin"]
    seen = found["seen"][: len(asked)]
    bad = [
        (text, path, where)
        for (text, path, base), where in zip(passed, seen, strict=True)
        if where[0] != own or below(where[1], base)
    ]
    assert bad == []
    landed = zip(follow, found["landed"], strict=True)
    assert [pair for pair in landed if pair[1][0] != own or below(pair[1][1], BASES[0])] == []

    # Else the list would prove nothing.
    left = [where for where in found["seen"][len(asked) :] if where[0] != own]
    assert len(passed) > 5_000
    assert len(left) > 5_000


def test_chromium_leaves_for_what_the_check_refuses(
    judge: Callable[[list[tuple[str, str]], list[str]], dict[str, Any]],
) -> None:
    """The same way of asking does notice when somebody is sent away."""
    away = ["//evil.example/", "/\\evil.example/", "https://evil.example/", "javascript:alert(1)"]
    assert [local_path(text, "/auth") for text in away] == [None] * len(away)
    found = judge([(text, "/auth/ga") for text in [*away, "/\t/evil.example/"]], away)
    assert found["origin"] not in {origin for origin, _ in [*found["seen"], *found["landed"]]}
