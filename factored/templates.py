"""Templates of others in the place of ours: which files of a folder they are, and who brings them.

An add-on calls :func:`registerTemplateCustomizations`; a site names a folder by ``templates_dir``.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from types import ModuleType
from typing import Any

from factored.interfaces import ConfigurationError

CUSTOMIZATIONS = "factored.customizations"
"""Key of the Pyramid registry: the folders of add-ons, as (who brings it, folder), in order."""


def registerTemplateCustomizations(config: Any, directory: str, package: ModuleType | str) -> None:
    """Pyramid's config, folder, package -> None; its templates take the place of ours

    To be called in the ``includeme`` of an add-on that ``pyramid.includes`` names. A later add-on
    comes before an earlier one, and the site's own ``templates_dir`` before all.

    :param config: what ``includeme`` was given
    :param directory: folder beside the package's files, with templates at any depth
    :param package: module, or its dotted name
    :raises ConfigurationError: this is no app of factored, or the package is no place on disk
    """
    name = package if isinstance(package, str) else package.__name__
    source = f"pyramid.includes: {name}:{directory}"
    folders = config.registry.get(CUSTOMIZATIONS)
    if folders is None:
        raise ConfigurationError([f"{source}: only an add-on of factored can bring templates"])
    try:
        module = importlib.import_module(package) if isinstance(package, str) else package
    except ImportError as error:
        raise ConfigurationError([f"{source}: {error}"]) from error
    places = [Path(module.__file__).parent] if module.__file__ else [*map(Path, module.__path__)]
    if not places:
        raise ConfigurationError([f"{source}: the package has no folder"])
    folders.append((source, places[0] / directory))


def find(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """folder -> its ``.pt`` files by name, however deep they are, and what is wrong

    Files whose name starts with a dot belong to editors and file systems.
    """
    found: dict[str, Path] = {}
    problems: list[str] = []
    if not folder.is_dir():
        return found, [f"{str(folder)!r} must be a folder that is there"]

    def unreadable(error: OSError) -> None:
        problems.append(f"{error.filename!r} must be a folder that can be read: {error.strerror}")

    for here, below, files in os.walk(folder, onerror=unreadable):
        below.sort()
        for name in sorted(files):
            path = Path(here, name)
            if path.suffix != ".pt" or name.startswith("."):
                continue
            if found.setdefault(name, path) != path:
                problems.append(f"{name} is there twice, as {found[name]} and {path}")
    return found, problems
