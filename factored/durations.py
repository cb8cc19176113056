"""Seconds in words."""

from __future__ import annotations

import math

UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def period(seconds: int) -> str:
    """seconds -> the same in words, exactly: ``1 day``, ``90 minutes``"""
    length, unit = next(one for one in UNITS if seconds % one[0] == 0)
    return _counted(seconds // length, unit)


def wait(seconds: int) -> str:
    """seconds -> about how long that is, rounded up: ``5 hours``"""
    length, unit = next((one for one in UNITS if seconds >= one[0]), UNITS[-1])
    return _counted(math.ceil(seconds / length), unit)


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"
