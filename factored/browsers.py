"""User-Agent headers -> names of browsers, as people know them."""

from __future__ import annotations

import re

from factored.words import _

UNKNOWN = _("Unknown browser")

# In this order: each of them also says that it is one of those below.
BROWSERS = (
    ("Edg(?:e|A|iOS)?/", "Edge"),
    ("OPR/|Opera", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Vivaldi/", "Vivaldi"),
    ("Firefox/|FxiOS/", "Firefox"),
    ("Chrome/|CriOS/|Chromium/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
)
SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X|Macintosh", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux|X11", "Linux"),
)


def named(user_agent: str) -> str:
    """User-Agent -> ``Firefox, Linux``, or UNKNOWN if it says nothing that is known

    For recognition by its user alone: anybody can send anything.
    """
    found = (_first(table, user_agent) for table in (BROWSERS, SYSTEMS))
    return ", ".join(name for name in found if name) or UNKNOWN


def _first(table: tuple[tuple[str, str], ...], user_agent: str) -> str:
    return next((name for pattern, name in table if re.search(pattern, user_agent)), "")
