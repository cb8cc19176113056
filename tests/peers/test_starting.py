"""Every way to start factored that is promised, each with a login; and starts that must fail."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .client import Browser, visitor
from .servers import (
    GATE,
    GUNICORN,
    LOGGING,
    PASTE,
    WAITRESS,
    Installation,
    Server,
    eventually,
    free_port,
    program,
)

HELLO = "[app:demo]\nuse = egg:factored#hello\n"
FILTER_APP = f"{HELLO}[filter-app:main]{GATE}next = demo\n\n"
FILTER = f"{HELLO}[filter:gate]{GATE}\n[pipeline:main]\npipeline = gate demo\n\n"
MOUNTED = (
    f"{HELLO}[filter-app:gated]{GATE}next = demo\n\n"
    "[composite:main]\nuse = egg:Paste#urlmap\n/site = gated\n/free = demo\n\n"
)
PAGES_ONLY = f"[app:main]{GATE}\n"

WAYS = {
    "pserve, waitress": (WAITRESS, ["pserve", "{ini}"]),
    "pserve, gunicorn": (GUNICORN, ["pserve", "{ini}"]),
    "pserve, Paste": (PASTE, ["pserve", "{ini}"]),
    "paster serve, waitress": (WAITRESS, ["paster", "serve", "{ini}"]),
    "paster serve, Paste": (PASTE, ["paster", "serve", "{ini}"]),
    "gunicorn --paste": (WAITRESS, ["gunicorn", "--paste", "{ini}", "-b", "127.0.0.1:{port}"]),
    "gunicorn_paste, gunicorn": (GUNICORN, ["gunicorn_paste", "{ini}"]),
    "gunicorn_paste, waitress": (WAITRESS, ["gunicorn_paste", "--workers=2", "{ini}"]),
    "gunicorn_paster, Paste": (PASTE, ["gunicorn_paster", "--workers=2", "{ini}"]),
    "gunicorn_paster -b": ("", ["gunicorn_paster", "-b", "127.0.0.1:{port}", "{ini}"]),
}


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """One database and its keys, for the ini files of all these tests."""
    made = Installation(tmp_path_factory.mktemp("starting"))
    made.ini("first.ini", FILTER_APP)
    made.done("init")
    return made


@pytest.fixture
def launch(installation: Installation, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """-> function: way, text of the apps -> the server, not yet waited for"""
    servers: list[Server] = []

    def make(way: str, apps: str, ready_path: str = "/auth/readyz") -> Server:
        section, argv = WAYS[way]
        if "gunicorn" in way:
            program("gunicorn")
        port = free_port()
        ini = installation.ini(f"{tmp_path.name}.ini", apps + section.format(port=port) + LOGGING)
        words = [word.format(ini=ini, port=port) for word in argv]
        words[0] = program(words[0])
        servers.append(Server(words, port, tmp_path / "server", ready_path))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


def logs_in(installation: Installation, server: Server, site: str = "/") -> Browser:
    """A visitor of that path is sent to the login, and lands there again."""
    user, browser = installation.add_user(), visitor(server)
    target = f"{site}page?x=1&y=%2F"
    asked = browser.get(target)
    assert asked.status == 302
    assert asked.header("Location").startswith(f"{site}auth?referrer=")
    assert browser.sign_in(user, target).header("Location") == target
    page = browser.get(target)
    assert page.status == 200
    assert f"Hello, {user.name}" in page.text
    return browser


@pytest.mark.parametrize("way", WAYS)
def test_each_way_to_start_serves_the_login_and_ends_when_asked(
    launch: Callable[..., Server], installation: Installation, way: str
) -> None:
    server = launch(way, FILTER_APP).start()
    logs_in(installation, server)
    began = time.monotonic()
    status = server.stop()
    assert time.monotonic() - began < 8
    assert status in (0, -15), server.tail()
    assert "Traceback" not in server.output, server.tail()


@pytest.mark.parametrize("way", ["gunicorn_paste, waitress", "gunicorn_paster, Paste"])
def test_the_command_line_of_gunicorn_paste_wins_and_the_section_gives_the_address(
    launch: Callable[..., Server], way: str
) -> None:
    server = launch(way, FILTER_APP).start()
    eventually(lambda: len(server.workers()) == 2)


@pytest.mark.parametrize("way", ["pserve, waitress", "gunicorn_paste, gunicorn"])
def test_as_a_filter_of_a_pipeline(
    launch: Callable[..., Server], installation: Installation, way: str
) -> None:
    logs_in(installation, launch(way, FILTER).start())


@pytest.mark.parametrize("way", ["pserve, waitress", "pserve, Paste", "gunicorn_paste, gunicorn"])
def test_mounted_below_a_path_everything_stays_below_it(
    launch: Callable[..., Server], installation: Installation, way: str
) -> None:
    server = launch(way, MOUNTED, ready_path="/site/auth/readyz").start()
    browser = logs_in(installation, server, site="/site/")
    assert browser.cookies["factored_browser"][1] == "/site/auth"
    # An exempt path is relative to the mount, and the neighbour is not factored's business.
    assert visitor(server).get("/site/open").status == 200
    assert "Hello, stranger" in visitor(server).get("/free/x").text


@pytest.mark.parametrize("way", ["pserve, waitress", "gunicorn_paste, gunicorn"])
def test_login_pages_alone(
    launch: Callable[..., Server], installation: Installation, way: str
) -> None:
    server = launch(way, PAGES_ONLY).start()
    user, browser = installation.add_user(), visitor(server)
    browser.sign_in(user)
    assert browser.get("/").status == 404
    assert visitor(server).get("/").status == 302


# -- starts that must fail ------------------------------------------------------------------------

BAD = (
    GATE.replace("auth_tkt.secret_file = %(here)s/factored.secret", "auth_tkt.secret = REPLACEME")
    .replace("auth_tkt.secure = false", "auth_tkt.secure = flase")
    .replace("appname", "apname")
)
COMPLAINTS = ("apname", "appname", "auth_tkt.secret", "placeholder", "auth_tkt.secure", "flase")


def fails_to_start(server: Server) -> str:
    """A server that is bound to fail -> what it printed: in bounded time, without a traceback"""
    process = server.launch()
    try:
        assert process.wait(timeout=20) != 0, server.tail()
    except subprocess.TimeoutExpired:
        pytest.fail(f"still trying:\n{server.tail()}")
    printed = server.output
    # Two workers that fail at once: gunicorn itself stumbles over the second, with a traceback.
    ours = re.findall(r'File "[^"]*/factored/(\w+(?:/\w+)*)\.py"', printed)
    assert set(ours) <= {"scripts/gunicorn_paste"}, printed
    return printed


@pytest.mark.parametrize("way", WAYS)
def test_bad_settings_stop_every_server_with_all_problems_said(
    launch: Callable[..., Server], way: str
) -> None:
    apps = f"{HELLO}[filter-app:main]{BAD}next = demo\n\n"
    printed = fails_to_start(launch(way, apps))
    assert [word for word in COMPLAINTS if word not in printed] == []
    assert "REPLACEME" not in printed


@pytest.mark.parametrize("way", ["pserve, waitress", "gunicorn_paste, gunicorn"])
def test_no_database_yet_stops_the_start_and_names_the_remedy(
    launch: Callable[..., Server], way: str
) -> None:
    gate = GATE.replace("factored.sqlite", "none.sqlite")
    printed = fails_to_start(launch(way, f"{HELLO}[filter-app:main]{gate}next = demo\n\n"))
    assert "factored init" in printed


@pytest.mark.parametrize("way", ["pserve, waitress", "gunicorn_paste, gunicorn"])
def test_bad_settings_of_simpleproxy_stop_the_start(
    launch: Callable[..., Server], way: str
) -> None:
    site = "[app:site]\nuse = egg:factored#simpleproxy\nport = 80000\nurlshceme = http\n"
    printed = fails_to_start(launch(way, f"{site}[filter-app:main]{GATE}next = site\n\n"))
    for word in ("server", "port", "urlscheme"):
        assert word in printed


@pytest.mark.parametrize("argv", [[], ["none.ini"], ["a.ini", "b.ini"]])
def test_gunicorn_paste_says_how_it_is_called(tmp_path: Path, argv: list[str]) -> None:
    program("gunicorn")
    ended = subprocess.run(
        [program("gunicorn_paste"), *argv], cwd=tmp_path, timeout=30, capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert "ini file" in ended.stderr or "is not there" in ended.stderr
    assert "Traceback" not in ended.stderr
