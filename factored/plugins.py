"""Entry-point look-up; keeps no state."""

from __future__ import annotations

import re
import sys
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any

from factored.interfaces import ConfigurationError

NEEDED_ONCE = frozenset(("pyramid_tm", "pyramid_mailer"))
"""What factored 1.x to 4.x could not do without, so that their sample ini files include it."""


def names(group: str) -> list[str]:
    """entry-point group -> the names installed in it, sorted"""
    return sorted({point.name for point in entry_points(group=group)})


def load(group: str, name: str) -> Any:
    """group, name -> the object that the entry point names

    :raises ConfigurationError: not installed, installed twice, or it cannot be imported
    """
    found = {point.value: point for point in entry_points(group=group, name=name)}
    if not found:
        installed = ", ".join(names(group)) or "nothing"
        raise ConfigurationError([f"{name!r} is not installed; {group} offers: {installed}"])
    if len(found) > 1:
        raise ConfigurationError([f"{name!r} is offered twice: {' and '.join(sorted(found))}"])
    try:
        return next(iter(found.values())).load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError([f"{name!r} cannot be loaded: {error}"]) from error


def importable(name: str) -> bool:
    """``package.module`` or ``package:name`` -> whether its package is there; imports nothing"""
    package = re.split("[.:]", name, maxsplit=1)[0]
    try:
        return package in sys.modules or find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def add_ons(includes: str) -> list[str]:
    """pyramid.includes -> what to include: all of it, but old needs only where they are there"""
    return [one for one in includes.split() if one not in NEEDED_ONCE or importable(one)]
