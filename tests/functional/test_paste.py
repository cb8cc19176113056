"""One ini, every way that PasteDeploy has to put a gate into a site."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from paste.deploy import loadapp

from factored import app as composition
from factored.interfaces import ConfigurationError
from factored.proxy import SimpleProxy
from tests.support import Browser, Site, settings_for

HELLO = "[app:hello]\nuse = egg:factored#hello\n"


@pytest.fixture
def load(make_site: Callable[..., Site], tmp_path: Path) -> Iterator[Callable[..., Browser]]:
    """-> function: ini text, {settings} in it filled in -> the main app of that ini"""
    make_site()
    gates: list[Any] = []
    plain = composition.build

    def build(*args: Any, **kw: Any) -> Any:
        gates.append(plain(*args, **kw))
        return gates[-1]

    def loaded(text: str, **changed: str | None) -> Browser:
        given = settings_for(tmp_path, **changed)
        lines = "\n".join(f"{key} = {value}" for key, value in given.items())
        path = tmp_path / "paste.ini"
        path.write_text(textwrap.dedent(text).replace("{settings}", lines))
        return Browser(loadapp(f"config:{path}"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(composition, "build", build)
        yield loaded
    for gate in gates:
        gate.close()


WAYS = {
    "filter-app": "[filter-app:main]\nuse = egg:factored#main\nnext = hello\n{settings}\n",
    "filter with short use": "[filter-app:main]\nuse = egg:factored\nnext = hello\n{settings}\n",
    "pipeline": (
        "[filter:gate]\nuse = egg:factored#main\n{settings}\n"
        "[pipeline:main]\npipeline = gate hello\n"
    ),
    "filter-with": (
        "[filter:gate]\nuse = egg:factored#main\n{settings}\n"
        "[app:main]\nuse = egg:factored#hello\nfilter-with = gate\n"
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_gate_stands_before_the_site(load: Callable[..., Browser], way: str) -> None:
    web = load(HELLO + WAYS[way], excepted_paths="/open")
    assert web.get("/").headers["Location"] == "/auth?referrer=/"
    assert web.get("/auth/ga").status_int == 200
    assert "Hello, stranger" in web.get("/open").text


def test_an_app_without_downstream_has_login_pages_only(load: Callable[..., Browser]) -> None:
    web = load("[app:main]\nuse = egg:factored#main\n{settings}\n", excepted_paths="/open")
    assert web.get("/").status_int == 302
    assert web.get("/auth/ga").status_int == 200
    answer = web.get("/open")
    assert answer.status_int == 404
    assert "no site behind these pages" in answer.text


def test_under_urlmap_the_prefix_is_carried_along(load: Callable[..., Browser]) -> None:
    pytest.importorskip("paste.urlmap", reason="Paste is not installed")
    web = load(
        HELLO
        + "[filter-app:gate]\nuse = egg:factored#main\nnext = hello\n{settings}\n"
        + "[composite:main]\nuse = egg:Paste#urlmap\n/ = hello\n/in = gate\n"
    )
    assert "Hello, stranger" in web.get("/other").text
    assert web.get("/in/page").headers["Location"] == "/in/auth?referrer=/in/page"
    assert web.get("/in/auth").headers["Location"] == "/in/auth/ga"
    assert "; Path=/in/auth;" in web.get("/in/auth/ga").headers["Set-Cookie"]


def test_files_are_named_relative_to_the_ini(
    load: Callable[..., Browser], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    web = load(WAYS["filter-app"] + HELLO, key_file=None)
    assert web.get("/auth/readyz").status_int == 200
    here = load(
        WAYS["filter-app"] + HELLO,
        key_file="%(here)s/factored.key",
        sqlalchemy__url="sqlite:///%(here)s/factored.sqlite",
    )
    assert here.get("/auth/readyz").status_int == 200


def test_the_demo_shows_the_request_without_its_cookies(load: Callable[..., Browser]) -> None:
    web = load(HELLO + "[pipeline:main]\npipeline = hello\n")
    page = web.get("/p?x=<b>", headers={"X-Odd": "<i>", "Cookie": "auth_tkt=secretcookie"})
    assert "Hello, stranger" in page.text
    assert "&lt;b&gt;" in page.text
    assert "&lt;i&gt;" in page.text
    assert "secretcookie" not in page.text
    assert web.head("/").body == b""


def test_the_demo_links_to_the_logout_of_its_gate(site: Site) -> None:
    web = site.browser(SCRIPT_NAME="/in").cookie(site.ticket("<al>"))
    page = web.get("/")
    assert "Hello, &lt;al&gt;" in page.text
    assert '<a href="/in/auth/logout">' in page.text


# -- settings that cannot work ---------------------------------------------------------------------


@pytest.mark.parametrize("way", [*WAYS, "app"])
def test_bad_settings_stop_the_start_with_one_message_that_has_them_all(
    load: Callable[..., Browser], way: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = WAYS.get(way, "[app:main]\nuse = egg:factored#main\n{settings}\n")
    secret = "REPLACEME with something long and secret"
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        load(
            HELLO + text, auth_tkt__secret=secret, auth_timout="7", auth_tkt__secure="no ; really",
            supported_auth_schemes="Gogle Auth", key_file="/no/such/key",
        )  # fmt: skip
    assert stop.value.code == 3
    out, err = capsys.readouterr()
    first, *problems = err.splitlines()
    assert out == ""
    assert first == f"factored cannot start with {tmp_path}/paste.ini:"
    assert [problem.split(":")[0].strip() for problem in sorted(problems)] == [
        "auth_timout", "auth_tkt.secret", "auth_tkt.secure", "key_file", "supported_auth_schemes",
    ]  # fmt: skip
    assert "did you mean auth_timeout?" in err
    assert "Google Auth" in err
    assert secret not in err


def test_what_only_shows_when_the_parts_are_made_is_told_the_same_way(
    load: Callable[..., Browser], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "spoilt").write_text("no key\n")
    (tmp_path / "weak").write_text("short\n")
    capsys.readouterr()
    with pytest.raises(SystemExit):
        load(
            HELLO + WAYS["filter-app"], key_file=f"{tmp_path}/spoilt", auth_tkt__secret=None,
            auth_tkt__secret_file=f"{tmp_path}/weak", sqlalchemy__url=f"sqlite:///{tmp_path}/no",
        )  # fmt: skip
    err = capsys.readouterr().err
    for told in ("key_file: ", "auth_tkt.secret_file: ", "sqlalchemy.url: "):
        assert told in err
    assert "short" not in err.replace("shorter", "")


def test_a_key_file_that_may_not_be_read_is_told(
    load: Callable[..., Browser],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may read everything
    with pytest.raises(SystemExit):
        load(HELLO + WAYS["filter-app"])
    assert "cannot be read by this user" in capsys.readouterr().err


def test_from_python_the_same_is_an_exception(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        composition.build(
            {"auth_timout": "1", "supported_auth_schemes": "Nothing", "autouserfinder": "Magic"},
            here=tmp_path,
        )
    told = "\n".join(raised.value.problems)
    for key in (
        "auth_timout",
        "autouserfinder: 'Magic'",
        "auth_tkt.secret",
        "key_file",
        "sqlalchemy.url",
        "Nothing",
    ):
        assert key in told


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, ""),
        ({"auth_tkt__secure": "false"}, "auth_tkt.secure = false"),
        ({"auth_tkt__path": "/site"}, "auth_tkt.path = /site"),
        ({"allowgooglecodereminder": "true"}, "allowgooglecodereminder: "),
        (
            {"autouserfinder": "Email Domain", "autouserfinder__valid_domains": "example.com"},
            "autouserfinder: ",
        ),
    ],
)
def test_what_works_but_not_as_one_may_think_starts_with_a_warning(
    make_site: Callable[..., Site],
    caplog: pytest.LogCaptureFixture,
    changed: dict[str, str],
    told: str,
) -> None:
    make_site(**{"auth_tkt__secure": "true", **changed})
    assert told in caplog.text
    assert bool(caplog.text) is bool(told)


def test_old_keys_without_meaning_get_a_sentence_each(
    make_site: Callable[..., Site], caplog: pytest.LogCaptureFixture
) -> None:
    old = ("em.salt", "em.url_remember", "db_factory_name", "configure_db", "db_session_id")
    make_site(**dict.fromkeys(old, "x"))
    for key in old:
        assert f"{key} has no meaning any more: " in caplog.text


# -- simpleproxy -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        "server = 127.0.0.1",
        "server = app.internal\nport = 8080",
        "server = [::1]\nport = 65535\nurlscheme = HTTPS",
        "server = x\nconnect_timeout = 1\nread_timeout = 86400\npool_size = 1000",
    ],
)
def test_simpleproxy_takes_what_the_ini_says(tmp_path: Path, options: str) -> None:
    path = tmp_path / "proxy.ini"
    path.write_text(f"[app:main]\nuse = egg:factored#simpleproxy\n{options}\n")
    assert isinstance(loadapp(f"config:{path}"), SimpleProxy)


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        ("", ["server"]),
        ("server = x\nport = abc", ["port"]),
        ("server = x\nport = 0", ["port"]),
        ("server = x\nport = 65536", ["port"]),
        ("server = http://x", ["server"]),
        ("server = x:80", ["server"]),
        (
            "server = x\nurlscheme = ftp\nread_timeout = -1\npool_size = many",
            ["urlscheme", "read_timeout", "pool_size"],
        ),
        ("server = x\nconect_timeout = 5", ["conect_timeout"]),
        ("server = x\nurlscheme = https\nca_file = missing.pem", ["ca_file"]),
        ("server =", ["server"]),
    ],
)
def test_simpleproxy_refuses_what_it_cannot_use_all_at_once(
    tmp_path: Path, options: str, keys: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "proxy.ini"
    path.write_text(f"[app:main]\nuse = egg:factored#simpleproxy\n{options}\n")
    with pytest.raises(SystemExit) as stop:
        loadapp(f"config:{path}")
    assert stop.value.code == 3
    first, *problems = capsys.readouterr().err.splitlines()
    assert str(path) in first
    assert len(problems) == len(keys)
    for key in keys:
        assert any(problem.startswith(f"  simpleproxy {key}: ") for problem in problems)
