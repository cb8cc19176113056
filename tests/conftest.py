"""Fixtures for every folder of tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from webtest import TestApp

from tests.support import NAME, FixedClock, Site, build_gate, factored, settings_for, write_ini


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def make_site(
    tmp_path: Path, clock: FixedClock, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Site]]:
    """-> function: changed settings (``__`` for a dot), downstream -> Site with one user"""
    gates = []

    def make(downstream: Any = None, **changed: str) -> Site:
        given = settings_for(tmp_path, **changed)
        ini = write_ini(tmp_path, given)
        assert factored("init", str(ini)) == 0
        capsys.readouterr()
        assert factored("user", "add", str(ini), f"--username={NAME}", "--json") == 0
        secret = json.loads(capsys.readouterr().out)["secret"]
        gate = build_gate(given, clock, downstream)
        gates.append(gate)
        web = TestApp(gate, extra_environ={"REMOTE_ADDR": "192.0.2.1"})
        return Site(web, clock, ini, given, secret)

    yield make
    for gate in gates:
        gate.close()


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    """A site with default settings and one user."""
    return make_site()
