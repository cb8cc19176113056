"""Colours of a site's own: read from text, and whether they can be read where they will stand."""

from __future__ import annotations

import re

LIGHT = {"card": "#fffefb", "page": "#f3f1ea"}
"""What the accent colour stands on in light mode: ``--card`` and ``--page`` of our stylesheet."""
DARK = {"card": "#161e1b", "page": "#0e1412"}
"""The same in dark mode."""

WHITE = "#ffffff"
NEAR_BLACK = "#101418"

ENOUGH = 4.5
"""The least contrast of text. Source: WCAG 2.2, success criterion 1.4.3 (level AA)."""


def as_color(text: str) -> str:
    """``#rgb`` or ``#rrggbb`` -> ``#rrggbb`` in small letters"""
    if not re.fullmatch(r"#([0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})", text, re.ASCII):
        raise ValueError("must be a colour like #1f5fbf or #15b")
    digits = text[1:].lower()
    return "#" + (digits if len(digits) == 6 else "".join(2 * digit for digit in digits))


def contrast(one: str, other: str) -> float:
    """two colours as ``#rrggbb`` -> their contrast, from 1 to 21

    Source: WCAG 2.2, "contrast ratio".
    """
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def text_on(color: str) -> str:
    """colour -> white or near-black, whichever is easier to read on it"""
    return max(WHITE, NEAR_BLACK, key=lambda text: contrast(text, color))


def for_dark(color: str) -> str:
    """colour for light mode -> the same, as much lighter as it takes to be read in dark mode"""
    steps = (_lightened(color, percent) for percent in range(0, 101, 5))
    return next(one for one in steps if not too_faint(one, DARK))


def too_faint(color: str, background: dict[str, str]) -> str:
    """colour, what it stands on -> why it cannot be read there, as one sentence; empty if it can"""
    for what, other in (*background.items(), ("text on it", text_on(color))):
        found = contrast(color, other)
        if found < ENOUGH:
            # Cut, not rounded: 4.499 must not be shown as the 4.5 that it is not.
            return (
                f"has a contrast of {int(found * 100) / 100:.2f}:1 with the {what} ({other}); "
                f"at least {ENOUGH}:1 is needed to be read"
            )
    return ""


def _luminance(color: str) -> float:
    """Source: WCAG 2.2, "relative luminance"."""
    parts = [value / 255 for value in _parts(color)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _lightened(color: str, percent: int) -> str:
    parts = [value + (255 - value) * percent // 100 for value in _parts(color)]
    return "#" + "".join(f"{part:02x}" for part in parts)


def _parts(color: str) -> list[int]:
    return [int(color[at : at + 2], 16) for at in (1, 3, 5)]
