"""Which templates a folder has, and who brings folders."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from factored import templates
from factored.interfaces import ConfigurationError
from factored.templates import registerTemplateCustomizations


def test_templates_are_found_at_any_depth_and_other_files_are_left_alone(tmp_path: Path) -> None:
    for name in ("a.pt", "x/b.pt", "x/y/z/c.pt", "style.css", "x/README", ".#a.pt", "d.pt.bak"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    found, problems = templates.find(tmp_path)
    assert found == {
        "a.pt": tmp_path / "a.pt", "b.pt": tmp_path / "x/b.pt", "c.pt": tmp_path / "x/y/z/c.pt"
    }  # fmt: skip
    assert problems == []


def test_a_name_that_is_there_twice_is_refused_with_both_places(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "footer.pt").write_text("")
    _, problems = templates.find(tmp_path)
    assert problems == [
        f"footer.pt is there twice, as {tmp_path}/one/footer.pt and {tmp_path}/two/footer.pt"
    ]


def test_a_folder_that_is_not_there_or_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in ("nowhere", "file"):
        path = tmp_path / name
        assert templates.find(path) == ({}, [f"{str(path)!r} must be a folder that is there"])


def test_a_folder_that_cannot_be_looked_into_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or its templates would not count, and nobody would know."""

    def denied(top: Path, onerror: object) -> list[object]:
        assert callable(onerror)
        onerror(PermissionError(13, "Permission denied", f"{top}/closed"))
        return []

    monkeypatch.setattr(templates.os, "walk", denied)
    _, problems = templates.find(tmp_path)
    text = f"'{tmp_path}/closed' must be a folder that can be read: Permission denied"
    assert problems == [text]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    (tmp_path / "looks_of_a_test").mkdir()
    (tmp_path / "looks_of_a_test/__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "looks_of_a_test", raising=False)
    return __import__("looks_of_a_test")


def test_an_add_on_names_its_package_by_name_or_as_module(
    package: ModuleType, tmp_path: Path
) -> None:
    config = SimpleNamespace(registry={templates.CUSTOMIZATIONS: []})
    registerTemplateCustomizations(config, "here", "looks_of_a_test")
    registerTemplateCustomizations(config, directory="there", package=package)
    folder = tmp_path / "looks_of_a_test"
    assert config.registry[templates.CUSTOMIZATIONS] == [
        ("pyramid.includes: looks_of_a_test:here", folder / "here"),
        ("pyramid.includes: looks_of_a_test:there", folder / "there"),
    ]


def test_a_package_that_is_not_there_is_named() -> None:
    config = SimpleNamespace(registry={templates.CUSTOMIZATIONS: []})
    with pytest.raises(ConfigurationError, match="no_such_looks:here: No module named"):
        registerTemplateCustomizations(config, "here", "no_such_looks")


def test_an_app_that_is_not_ours_is_told_so() -> None:
    with pytest.raises(ConfigurationError, match="only an add-on of factored"):
        registerTemplateCustomizations(SimpleNamespace(registry={}), "here", "factored")
