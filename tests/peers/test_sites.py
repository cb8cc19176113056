"""simpleproxy before sites that are not WSGI: a folder of files, and nginx that takes uploads."""

from __future__ import annotations

import hashlib
import http.client
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .client import Browser, visitor
from .servers import FULL, Front, Nginx, Server, free_port, start_file_server

MIB = 1 << 20
LARGE = 1024 * MIB if FULL else 200 * MIB
UPLOAD = 1024 * MIB if FULL else 32 * MIB
MAX_GROWTH = 64
"""MiB that a process may take for a file of any size (PROMISES, numbers)."""
KINDS = ("waitress", "gunicorn")


def blocks(size: int) -> Iterator[bytes]:
    """bytes -> that much of a text which nowhere repeats, in blocks of a MiB"""
    seed = hashlib.sha256(b"factored").digest() * (MIB // 32 - 1)
    for number in range(size // MIB):
        yield seed + hashlib.sha256(str(number).encode()).digest()


def digest_of(size: int) -> str:
    made = hashlib.sha256()
    for block in blocks(size):
        made.update(block)
    return made.hexdigest()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("files")
    shown = folder / "shown"
    (shown / "a b").mkdir(parents=True)
    (shown / "a b" / "caf\N{LATIN SMALL LETTER E WITH ACUTE}.txt").write_text("espresso")
    (shown / "empty.txt").write_text("")
    with (shown / "large.bin").open("wb") as large:
        for block in blocks(LARGE):
            large.write(block)
    server = start_file_server(folder / "server", shown)
    yield server
    server.stop()
    (shown / "large.bin").unlink()


@pytest.fixture(params=KINDS)
def before_files(
    request: pytest.FixtureRequest, make_front: Callable[..., Front], files: Server
) -> Front:
    return make_front(request.param, files.port)


def signed_in(front: Front) -> Browser:
    browser = visitor(front)
    browser.sign_in(front.add_user())
    return browser


def test_a_folder_of_files_is_there_after_the_login_whole(before_files: Front) -> None:
    front = before_files
    assert visitor(front).get("/large.bin").status == 302
    browser = signed_in(front)
    assert "large.bin" in browser.get("/").text
    assert browser.get("/a%20b/caf%C3%A9.txt").body == b"espresso"
    empty = browser.get("/empty.txt")
    assert (empty.status, empty.header("Content-Length"), empty.body) == (200, "0", b"")
    assert browser.get("/none.txt").status == 404
    head = browser.request("HEAD", "/large.bin")
    assert (head.status, head.header("Content-Length"), head.body) == (200, str(LARGE), b"")
    moved = browser.get("/a%20b")
    assert moved.status == 301
    assert moved.header("Location") == "/a%20b/"

    received = hashlib.sha256()
    with front.server.memory() as growth, browser.opened("GET", "/large.bin") as response:
        assert response.status == 200
        assert int(response.headers["Content-Length"]) == LARGE
        while block := response.read(MIB):
            received.update(block)
        assert growth() <= MAX_GROWTH
    assert received.hexdigest() == digest_of(LARGE)


def test_a_visitor_who_leaves_early_or_reads_slowly_costs_no_memory(before_files: Front) -> None:
    front = before_files
    browser = signed_in(front)
    with front.server.memory() as growth:
        for _ in range(5):
            with browser.opened("GET", "/large.bin") as response:
                assert len(response.read(MIB)) == MIB
        assert browser.get("/empty.txt").status == 200
        assert growth() <= MAX_GROWTH


@pytest.mark.parametrize("kind", KINDS)
def test_a_site_that_ends_half_way_is_never_passed_on_as_whole(
    make_front: Callable[..., Front], tmp_path: Path, kind: str
) -> None:
    shown = tmp_path / "shown"
    shown.mkdir()
    with (shown / "large.bin").open("wb") as large:
        large.truncate(LARGE)
    site = start_file_server(tmp_path / "site", shown)
    try:
        browser = signed_in(make_front(kind, site.port))
        with browser.opened("GET", "/large.bin") as response:
            assert len(response.read(MIB)) == MIB
            site.stop()
            with pytest.raises((http.client.IncompleteRead, ConnectionError)):
                response.read()
    finally:
        site.stop()


def test_a_site_that_is_down_is_a_502_and_the_login_goes_on(
    make_front: Callable[..., Front],
) -> None:
    front = make_front("waitress", free_port())
    browser = signed_in(front)
    assert browser.get("/").status == 502
    assert browser.get("/auth/readyz").status == 200


# -- uploads --------------------------------------------------------------------------------------


def stored(nginx: Nginx, mark: str) -> tuple[int, str]:
    """mark of an upload -> size and digest of what nginx got"""
    body = Path(nginx.saw(mark)["body"])
    size, made = 0, hashlib.sha256()
    with body.open("rb") as stream:
        while block := stream.read(MIB):
            size += len(block)
            made.update(block)
    body.unlink()
    return size, made.hexdigest()


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "with length"])
def test_an_upload_reaches_the_site_whole(front: Front, nginx: Nginx, chunked: bool) -> None:
    browser = signed_in(front)
    mark = f"/upload/{front.kind}?{'chunked' if chunked else 'length'}"
    headers = [] if chunked else [("Content-Length", str(UPLOAD))]
    with front.server.memory() as growth:
        answer = browser.request("POST", mark, blocks(UPLOAD), headers)
        assert growth() <= MAX_GROWTH
    assert (answer.status, answer.body) == (200, b"stored\n")
    assert stored(nginx, mark) == (UPLOAD, digest_of(UPLOAD))
    seen = nginx.saw(mark)
    # gunicorn streams; waitress waits for the whole and says how long it is.
    streamed = chunked and front.kind == "gunicorn"
    assert seen["coding"] == ("chunked" if streamed else "")
    assert seen["length"] == ("" if streamed else str(UPLOAD))


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "PROPFIND"])
def test_other_methods_pass_with_their_bodies(front: Front, nginx: Nginx, method: str) -> None:
    browser = signed_in(front)
    mark = f"/upload/{front.kind}?{method}"
    body = os.urandom(1000)
    assert browser.request(method, mark, body).status == 200
    assert nginx.saw(mark)["method"] == method
    assert stored(nginx, mark) == (1000, hashlib.sha256(body).hexdigest())


def test_an_anonymous_upload_does_not_reach_the_site(front: Front, nginx: Nginx) -> None:
    mark = f"/upload/anonymous-{front.kind}"
    answer = visitor(front).request("POST", mark, b"x" * MIB)
    assert answer.status == 401
    assert nginx.never_saw(mark)


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "with length"])
def test_an_upload_that_the_visitor_breaks_off_never_arrives_as_whole(
    front: Front, nginx: Nginx, chunked: bool
) -> None:
    browser = signed_in(front)
    mark = f"/upload/broken-{front.kind}-{chunked}"

    def half() -> Iterator[bytes]:
        yield b"x" * MIB
        raise InterruptedError

    headers = [] if chunked else [("Content-Length", str(4 * MIB))]
    with pytest.raises(InterruptedError):
        browser.request("POST", mark, half(), headers)
    # gunicorn has begun to forward by then; nginx must notice that it is not whole.
    if front.kind == "gunicorn":
        assert nginx.saw(mark)["status"] in ("400", "499")
    assert browser.get("/").status == 200
    assert [one for one in nginx.requests() if mark in one["uri"] and one["status"] == "200"] == []
