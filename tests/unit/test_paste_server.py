"""Paste's own server beyond loopback is warned of; every other server, and a trial, is not."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from factored import app
from factored.services.paste_server import exposed
from tests.support import settings_for


def conf(folder: Path, section: str, **more: str) -> dict[str, str]:
    """folder, lines of [server:main] -> what PasteDeploy gives a factory of that ini"""
    ini = folder / "site.ini"
    ini.write_text(section)
    return {"__file__": str(ini), "here": str(folder), **more}


@pytest.mark.parametrize("use", ["egg:Paste#http", "egg:paste#http"])
@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("0.0.0.0", "0.0.0.0"),
        ("0.0.0.0:8000", "0.0.0.0"),
        ("192.0.2.1", "192.0.2.1"),
        ("www.example.com", "www.example.com"),
        ("localhost.example.com", "localhost.example.com"),
        ("::", "::"),
        ("[::]:8000", "::"),
        ("2001:db8::1", "2001:db8::1"),
        ("127.0.0.1", None),
        ("127.1.2.3:8000", None),
        ("localhost", None),
        ("LocalHost:80", None),
        ("::1", None),
        ("[::1]:8000", None),
        ("", None),
    ],
)
def test_pastes_server_is_warned_of_where_others_reach_it(
    tmp_path: Path, use: str, host: str, told: str | None
) -> None:
    warning = exposed(conf(tmp_path, f"[server:main]\nuse = {use}\nhost = {host}\nport = 8000\n"))
    if told is None:
        assert warning is None
    else:
        assert f"listen on {told}:" in str(warning)


def test_a_section_without_a_host_means_this_machine(tmp_path: Path) -> None:
    assert exposed(conf(tmp_path, "[server:main]\nuse = egg:Paste#http\nport = 8000\n")) is None


@pytest.mark.parametrize(
    "section",
    [
        "[server:main]\nuse = egg:waitress#main\nhost = 0.0.0.0\nport = 8000\n",
        "[server:main]\nuse = egg:gunicorn#main\nbind = 0.0.0.0:8000\n",
        "[server:main]\nuse = egg:no-such-package#http\nhost = 0.0.0.0\n",
        "[server:main]\nuse = egg:Paste#no-such-server\nhost = 0.0.0.0\n",
        "[server:other]\nuse = egg:Paste#http\nhost = 0.0.0.0\n",
        "[app:main]\nuse = egg:factored#hello\n",
    ],
)
def test_nothing_else_is_warned_of(tmp_path: Path, section: str) -> None:
    assert exposed(conf(tmp_path, section)) is None


def test_an_app_that_was_made_without_an_ini_is_not_warned_of() -> None:
    assert exposed({}) is None


def test_what_pserve_was_told_on_its_command_line_counts(tmp_path: Path) -> None:
    section = "[server:main]\nuse = egg:Paste#http\nhost = %(address)s\n"
    assert exposed(conf(tmp_path, section)) is None
    assert exposed(conf(tmp_path, section, address="127.0.0.1")) is None
    assert "0.0.0.0" in str(exposed(conf(tmp_path, section, address="0.0.0.0")))


def test_gunicorn_takes_the_address_alone_from_the_section(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = conf(tmp_path, "[server:main]\nuse = egg:Paste#http\nhost = 0.0.0.0\n")
    assert exposed(given)
    monkeypatch.setenv("SERVER_SOFTWARE", "gunicorn/27.0.1")
    assert exposed(given) is None


@pytest.mark.parametrize(("host", "warned"), [("0.0.0.0", True), ("127.0.0.1", False)])
def test_the_warning_is_in_the_log_at_the_start(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    host: str,
    warned: bool,
) -> None:
    monkeypatch.setattr(app, "build", lambda *args, **kw: app.nothing_here)
    given = conf(tmp_path, f"[server:main]\nuse = egg:Paste#http\nhost = {host}\n")
    with caplog.at_level(logging.WARNING, "factored"):
        assert app.app_factory(given, **settings_for(tmp_path)) is app.nothing_here
    assert ("listen on 0.0.0.0" in caplog.text) is warned
