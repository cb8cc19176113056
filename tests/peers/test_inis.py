"""develop.ini and production.ini as shipped, but for ports and folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .client import Browser, code, visitor
from .servers import Installation, Nginx, Server, free_port, program

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def shipped(tmp_path: Path) -> Iterator[Callable[..., tuple[Installation, Server]]]:
    """-> function: file, command, port of the site, edit -> the installation and its server"""
    servers: list[Server] = []

    def make(
        name: str, command: str, site_port: int = 0, edit: Callable[[str], str] = str
    ) -> tuple[Installation, Server]:
        text, port = edit((ROOT / name).read_text("utf-8")), free_port()
        assert text.count("127.0.0.1:8000") >= 1
        text = text.replace("127.0.0.1:8000", f"127.0.0.1:{port}")
        text = text.replace("port = 8080", f"port = {site_port}")
        installation = Installation(tmp_path)
        ini = installation.ini(name, text)
        installation.done("init")
        servers.append(Server([program(command), str(ini)], port, tmp_path / "server").start())
        return installation, servers[-1]

    yield make
    for server in servers:
        server.stop()


def test_develop_ini_as_shipped(
    shipped: Callable[..., tuple[Installation, Server]], tmp_path: Path
) -> None:
    installation, server = shipped("develop.ini", "pserve")
    user, browser = installation.add_user("demo@example.com"), visitor(server)
    browser.sign_in(user)
    assert "Hello, demo@example.com" in browser.get("/").text
    assert 'user="demo@example.com"' in server.output
    made = {path.name for path in tmp_path.iterdir()}
    assert made >= {"factored.key", "factored.secret", "factored.sqlite"}
    assert (tmp_path / "factored.key").stat().st_mode & 0o077 == 0
    assert (tmp_path / "factored.secret").stat().st_mode & 0o077 == 0


class BehindTls(Browser):
    """A visitor whose requests come through a TLS server on this machine."""

    visitor_address = "192.0.2.77"

    def request(self, method, target, body=None, headers=()):
        told = [
            ("X-Forwarded-For", self.visitor_address),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", self.host),
        ]
        return super().request(method, target, body, [*headers, *told])


def with_gunicorn(text: str) -> str:
    """production.ini -> the same with its two server sections changed about"""
    own, other = re.findall(r"^#?\[server:main\]\n(?:.+\n)+", text, re.MULTILINE)
    swapped = text.replace(own, "").replace(other, re.sub("^#", "", other, flags=re.MULTILINE))
    assert "\nuse = egg:gunicorn#main" in swapped
    return swapped


PRODUCTION = [("pserve", str), ("gunicorn_paste", str), ("pserve", with_gunicorn),
              ("gunicorn_paste", with_gunicorn)]  # fmt: skip


@pytest.mark.parametrize(("command", "edit"), PRODUCTION)
def test_production_ini_as_shipped(
    shipped: Callable[..., tuple[Installation, Server]],
    nginx: Nginx,
    command: str,
    edit: Callable[[str], str],
) -> None:
    if command != "pserve" or edit is not str:
        program("gunicorn")
    installation, server = shipped("production.ini", command, nginx.port, edit)
    user, browser = installation.add_user(), BehindTls(server.port, "127.0.0.1")
    mark = f"/production-{server.port}"
    digits = code(user.secret)
    done = browser.attempt(user.name, digits, mark)
    assert done.status == 303, done
    cookies = done.values("Set-Cookie")
    assert len(cookies) == 3
    assert all("; Secure" in line and "; HttpOnly" in line for line in cookies)
    assert browser.get(mark).status == 200
    seen = nginx.saw(mark)
    assert seen["user"] == user.name
    assert seen["x_forwarded_for"] == BehindTls.visitor_address
    assert seen["x_forwarded_proto"] == "https"
    assert "[factored.audit]" in server.output
    assert f'source="{BehindTls.visitor_address}"' in server.output
    assert server.output.count("event=login") == 1
    for secret in (user.secret, browser.cookies["auth_tkt"][0], digits):
        assert secret not in server.output


def test_production_ini_believes_only_the_listed_proxy(
    shipped: Callable[..., tuple[Installation, Server]], nginx: Nginx
) -> None:
    installation, server = shipped("production.ini", "pserve", nginx.port)
    user, elsewhere = installation.add_user(), BehindTls(server.port, "127.9.9.9")
    elsewhere.sign_in(user)
    assert 'source="127.9.9.9"' in server.output
    assert BehindTls.visitor_address not in server.output


def test_check_finds_production_ini_well_after_init(
    shipped: Callable[..., tuple[Installation, Server]],
) -> None:
    installation, _ = shipped("production.ini", "pserve", free_port())
    assert "FAIL" not in installation.done("check")
