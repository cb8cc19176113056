"""Fixtures for every folder of tests."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import logging
import re
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from chameleon.loader import MemoryLoader
from chameleon.template import BaseTemplate

from factored import plugins
from factored.scripts import bulk, installation, users
from tests.support import (
    NAME,
    Browser,
    FixedClock,
    Site,
    build_gate,
    factored,
    settings_for,
    write_ini,
)


@pytest.fixture(autouse=True, scope="session")
def templates_are_compiled_once() -> Iterator[None]:
    """Compiling takes longer than all the rest of most tests; the digest says which it is."""
    made: dict[str, Any] = {}

    class Keeper(MemoryLoader):
        def build(self, source: str, filename: str) -> Any:
            return made.setdefault(filename, super().build(source, filename))

        def get(self, filename: str) -> Any:
            return made.get(filename)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseTemplate, "loader", Keeper())
        yield


SHORT_CODES = re.compile(
    r"(?<![\w.:-])(?:\d{6}|[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4})(?![\w.:-])"
)
"""Six digits of an app, or a mailed code as it is shown."""


@pytest.fixture(autouse=True)
def nothing_secret_is_logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test of this process: no random value and no code is in a line of factored's log.

    Random values are ids of tickets, browsers and devices, tokens of links, and TOTP secrets.
    """
    made: set[str] = set()
    lines: list[str] = []

    def kept(make: Callable[[int], Any], shown: Callable[[Any], str]) -> Callable[[int], Any]:
        def call(length: int) -> Any:
            value = make(length)
            made.add(shown(value))
            return value

        return call

    monkeypatch.setattr(secrets, "token_urlsafe", kept(secrets.token_urlsafe, str))
    base32 = kept(secrets.token_bytes, lambda value: base64.b32encode(value).decode())
    monkeypatch.setattr(secrets, "token_bytes", base32)
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(  # type: ignore[method-assign]
        logging.Formatter("%(message)s").format(record)
    )
    logger = logging.getLogger("factored")
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)
    logger.setLevel(level)
    for line in lines:
        found = {value for value in made if value in line}
        # The id of a row says nothing, and an operator needs it.
        assert found <= set(re.findall(r"authenticator ([\w-]{22})(?![\w-])", line)), line
        assert not SHORT_CODES.search(line), line


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


installed = cache(entry_points)
"""What is installed does not change while sites are made, and looking takes longest of all."""


@pytest.fixture(scope="session")
def enrolled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """-> folder with the key file and the database of a site with one user, and his secret"""
    folder = tmp_path_factory.mktemp("enrolled")
    ini = str(write_ini(folder, settings_for(folder)))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        assert factored("init", ini) == 0
        assert factored("user", "add", ini, f"--username={NAME}", "--json") == 0
    return folder, json.loads(printed.getvalue())["secret"]


@pytest.fixture
def make_site(
    tmp_path: Path,
    clock: FixedClock,
    enrolled: tuple[Path, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., Site]]:
    """-> function: changed settings (``__`` for a dot), downstream -> Site with one user

    A second site of one test shares the database. The commands go by the site's clock too.
    """
    for commands in (bulk, installation, users):
        monkeypatch.setattr(commands, "SystemClock", lambda: clock)
    monkeypatch.setattr(plugins, "entry_points", installed)
    gates = []
    folder, secret = enrolled
    shutil.copy2(folder / "factored.key", tmp_path)
    with (
        contextlib.closing(sqlite3.connect(folder / "factored.sqlite")) as source,
        contextlib.closing(sqlite3.connect(tmp_path / "factored.sqlite")) as target,
    ):
        source.backup(target)

    def make(downstream: Any = None, **changed: str | None) -> Site:
        given = settings_for(tmp_path, **changed)
        gate = build_gate(given, clock, downstream)
        gates.append(gate)
        web = Browser(gate, extra_environ={"REMOTE_ADDR": "192.0.2.1"})
        return Site(web, clock, write_ini(tmp_path, given), given, secret, capsys.readouterr)

    yield make
    for gate in gates:
        gate.close()


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    """A site with default settings and one user."""
    return make_site()
