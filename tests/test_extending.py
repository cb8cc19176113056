"""The plug-ins of docs/extending.rst: installed as they stand there, tried, and logged in with."""

from __future__ import annotations

import configparser
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pyotp
import pytest
from paste.deploy import loadapp

from factored import plugins
from factored.app import build
from factored.codes import new_key
from factored.interfaces import ConfigurationError
from factored.keys import create_file
from factored.services import parts
from tests.functional.test_finding import Mails, answer, ask, mailed_code, mails
from tests.support import NAME, Browser, factored, settings_for, token_of, write_ini
from tests.test_docs import ROOT, blocks, sections, text_of

__all__ = ["mails"]

PAGE = sections(text_of("docs/extending.rst"), "-")
PLUG_INS = {
    "factored_scratchcard": PAGE["A scheme: scratch cards"],
    "factored_addressbook": PAGE["A finder: an address book"],
    "factored_sqlfile": PAGE["A store: SQL, with its URL in a file"],
}
SUITES = dict(zip(PLUG_INS, blocks(PAGE["Our tests on your code"], "python"), strict=True))


def write_packages(folder: Path) -> None:
    """folder -> None; the modules of the page are there, and installed for whoever looks there"""
    for module, section in PLUG_INS.items():
        (source,), (project,) = blocks(section, "python"), blocks(section, "toml")
        (folder / f"{module}.py").write_text(source + "\n", "utf-8")
        group = re.search(r'^\[project\.entry-points\."(.+)"\]\n"(.+)" = "(.+)"$', project, re.M)
        assert group
        info = folder / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group[1]}]\n{group[2]} = {group[3]}\n")


def keys_of(module: str, here: Path) -> dict[str, str]:
    """plug-in, folder -> the ini keys that its section shows"""
    (ini,) = blocks(PLUG_INS[module], "ini")
    parser = configparser.ConfigParser({"here": str(here)})
    parser.read_string(f"[site]\n{ini}\n")
    return {key: text for key, text in parser["site"].items() if key != "here"}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    write_packages(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(plugins, "entry_points", entry_points)
    importlib.invalidate_caches()
    yield
    for module in PLUG_INS:
        sys.modules.pop(module, None)


@pytest.fixture
def site_with(tmp_path: Path, installed: None) -> Iterator[Callable[[dict[str, str]], Any]]:
    """-> function: changed ini keys -> the gate that PasteDeploy makes of it, with a user"""
    gates = []

    def make(keys: dict[str, str]) -> Any:
        path = write_ini(tmp_path, {**settings_for(tmp_path), **keys})
        assert factored("init", str(path)) == 0
        assert factored("user", "add", str(path), f"--username={NAME}") == 0
        gates.append(loadapp(f"config:{path}"))
        return gates[-1]

    yield make
    for gate in gates:
        gate.close()


def test_the_suites_of_the_page_pass_run_as_it_says(tmp_path: Path) -> None:
    write_packages(tmp_path)
    for module, suite in SUITES.items():
        name = module.removeprefix("factored_")
        assert f"``test_{name}.py``" in PAGE["Our tests on your code"]
        (tmp_path / f"test_{name}.py").write_text(suite + "\n", "utf-8")
    (command,) = blocks(PAGE["Our tests on your code"], "text")
    before, _, words = command.partition(" python ")
    assert before == "PYTHONPATH=factored"
    done = subprocess.run(
        [sys.executable, *words.split(), "-q", "-p", "no:cacheprovider", f"--rootdir={tmp_path}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed and int(passed[1]) > 200
    assert "skipped" not in done.stdout


def test_the_scheme_of_the_page_lets_in_once(
    site_with: Callable[[dict[str, str]], Any], tmp_path: Path
) -> None:
    keys = keys_of("factored_scratchcard", tmp_path)
    cards = Path(keys["scratchcard.folder"])
    cards.mkdir()
    gate = site_with(keys)
    number = importlib.import_module("factored_scratchcard").new_number(cards, NAME.upper())

    def attempt(web: Browser, code: str, name: str = NAME) -> Any:
        form = {"csrf_token": token_of(web.get("/auth/sc")), "username": name, "code": code}
        return web.post("/auth/sc", {**form, "submit": "authenticate"})

    web, late = (Browser(gate, extra_environ={"REMOTE_ADDR": "192.0.2.1"}) for _ in range(2))
    assert "Scratch Card" in web.get("/auth").text
    assert "Sign in with your card" in web.get("/auth/sc").text
    assert attempt(web, "0" * 20).status_int == 200
    assert attempt(web, number, "nobody@example.com").status_int == 200
    assert attempt(web, f"{number[:10]} {number[10:]}").status_int == 303
    assert NAME in web.get("/").text
    assert attempt(late, number).status_int == 200


def test_the_finder_of_the_page_lets_its_people_have_accounts(
    site_with: Callable[[dict[str, str]], Any],
    tmp_path: Path,
    mails: Mails,
    capsys: pytest.CaptureFixture[str],
) -> None:
    keys = keys_of("factored_addressbook", tmp_path)
    book = Path(keys["addressbook.file"])
    book.write_text("Bo@Example.com\n")
    gate = site_with(keys)
    web = Browser(gate, extra_environ={"REMOTE_ADDR": "192.0.2.1"})
    ask(web, "bo@example.com")
    code = mailed_code(mails, "Bo@Example.com")
    assert answer(web, "bo@example.com", code).status_int == 303
    assert "Bo@Example.com" in web.get("/").text
    assert ask(web, "cy@example.com").status_int == 200
    assert mails.empty()
    book.unlink()
    assert ask(web, "cy@example.com").status_int == 503


def test_the_store_of_the_page_keeps_all_that_a_site_has(
    site_with: Callable[[dict[str, str]], Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    keys = keys_of("factored_sqlfile", tmp_path)
    Path(keys["sqlfile.path"]).write_text(f"sqlite:///{tmp_path / 'elsewhere.sqlite'}\n")
    gate = site_with(keys)
    secret = re.search(r"^secret: (\w+)$", capsys.readouterr().out, re.M)
    assert secret
    web = Browser(gate, extra_environ={"REMOTE_ADDR": "192.0.2.1"})
    form = {"csrf_token": token_of(web.get("/auth/ga")), "username": NAME}
    form |= {"code": pyotp.TOTP(secret[1]).now(), "submit": "authenticate"}
    assert web.post("/auth/ga", form).status_int == 303
    assert NAME in web.get("/").text
    assert (tmp_path / "elsewhere.sqlite").stat().st_size > 0
    assert not (tmp_path / "factored.sqlite").exists()


@pytest.mark.usefixtures("installed")
def test_the_store_of_the_page_says_what_it_cannot_use(tmp_path: Path) -> None:
    create_file(tmp_path / "factored.key", new_key())
    path = tmp_path / "database.url"
    given = settings_for(tmp_path, store="SQL from File", sqlalchemy__url=None)
    for text, problem in (
        (None, f"sqlfile.path: {path} cannot be read"),
        ("postgresql+psycopg://al:x@host:hunter2/db", "sqlalchemy.url: the port is no number"),
        ("", "sqlalchemy.url: "),
        (f"sqlite:///{tmp_path / 'none.sqlite'}", "is not there; `factored init` makes it"),
    ):
        if text is not None:
            path.write_text(text)
        with pytest.raises(ConfigurationError) as caught:
            build({**given, "sqlfile.path": str(path)})
        assert any(problem in one for one in caught.value.problems)
        assert not any("hunter2" in one for one in caught.value.problems)


@pytest.mark.parametrize(
    ("module", "missing", "problem"),
    [
        ("factored_scratchcard", "scratchcard.folder", "must be a folder that is there"),
        ("factored_addressbook", "addressbook.file", "is missing"),
        ("factored_sqlfile", "sqlfile.path", "is missing"),
    ],
)
@pytest.mark.usefixtures("installed")
def test_a_key_that_the_plug_in_needs_is_named(
    module: str, missing: str, problem: str, tmp_path: Path
) -> None:
    plain = settings_for(tmp_path)
    assert factored("init", str(write_ini(tmp_path, plain))) == 0
    given = {**plain, **keys_of(module, tmp_path)}
    del given[missing]
    with pytest.raises(ConfigurationError) as caught:
        build(given)
    assert caught.value.problems == (f"{missing}: {problem}",)


@pytest.mark.usefixtures("installed")
def test_a_key_of_the_plug_in_is_checked_like_any_other(tmp_path: Path) -> None:
    given = {**settings_for(tmp_path), **keys_of("factored_scratchcard", tmp_path)}
    given["scratchcard.fodler"] = given.pop("scratchcard.folder")
    with pytest.raises(ConfigurationError, match=r"did you mean scratchcard\.folder\?"):
        parts.read_settings(given, require_files=False)


def test_the_plug_ins_are_as_short_as_the_page_wants_them() -> None:
    lengths = {
        module: len([line for line in blocks(section, "python")[0].splitlines() if line.strip()])
        for module, section in PLUG_INS.items()
    }
    assert lengths["factored_scratchcard"] <= 55
    assert lengths["factored_addressbook"] <= 25
    assert lengths["factored_sqlfile"] <= 25
