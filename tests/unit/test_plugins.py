"""Entry points: found by group and name, or refused with what there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from factored import plugins
from factored.interfaces import ConfigurationError
from factored.schemes.totp import TotpScheme

GROUP = "factored.tests"


def install(folder: Path, name: str, *points: str) -> None:
    """folder, name, entry points -> a package that importlib.metadata finds there"""
    info = folder / f"{name}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *points]) + "\n")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_our_own_scheme_is_found_by_the_name_in_the_ini() -> None:
    assert "Google Auth" in plugins.names("factored.schemes")
    assert plugins.load("factored.schemes", "Google Auth") is TotpScheme


def test_names_are_sorted_and_come_once(folder: Path) -> None:
    install(folder, "one", "B b = json:dumps", "A = json:loads")
    install(folder, "two", "A = json:loads")
    assert plugins.names(GROUP) == ["A", "B b"]


def test_a_name_that_is_not_installed_is_refused_with_what_is(folder: Path) -> None:
    install(folder, "one", "B = json:dumps", "A = json:loads")
    with pytest.raises(ConfigurationError, match=r"'C' is not installed; .* offers: A, B"):
        plugins.load(GROUP, "C")


def test_an_empty_group_says_so() -> None:
    with pytest.raises(ConfigurationError, match="offers: nothing"):
        plugins.load("factored.nothing.here", "A")


def test_one_object_offered_twice_is_one(folder: Path) -> None:
    install(folder, "one", "A = json:loads")
    install(folder, "two", "A = json:loads")
    assert plugins.load(GROUP, "A").__name__ == "loads"


def test_two_objects_of_one_name_are_refused_naming_both(folder: Path) -> None:
    install(folder, "one", "A = json:loads")
    install(folder, "two", "A = json:dumps")
    with pytest.raises(ConfigurationError, match="twice: json:dumps and json:loads"):
        plugins.load(GROUP, "A")


@pytest.mark.parametrize("target", ["json:no_such_thing", "no_such_module_at_all:x"])
def test_what_cannot_be_imported_is_the_operators_problem(folder: Path, target: str) -> None:
    install(folder, "one", f"A = {target}")
    with pytest.raises(ConfigurationError, match=r"'A' cannot be loaded: .*no_such"):
        plugins.load(GROUP, "A")


@pytest.mark.parametrize(
    ("name", "is_it"),
    [("json", True), ("email.mime", True), ("no_such_module_at_all", False),
     ("json:no_such", True), ("no_such.one", False), ("no_such:includeme", False),
     ("", False), (".x", False), ("a b", False)],
)  # fmt: skip
def test_a_module_can_be_looked_for_without_importing_it(name: str, is_it: bool) -> None:
    assert plugins.importable(name) is is_it


def test_looking_for_a_module_does_not_run_it(folder: Path) -> None:
    (folder / "runs_never.py").write_text("raise SystemExit('it ran')")
    assert plugins.importable("runs_never")


def test_nothing_is_remembered_between_look_ups(folder: Path) -> None:
    assert plugins.names(GROUP) == []
    install(folder, "one", "A = json:loads")
    assert plugins.names(GROUP) == ["A"]
