"""Seconds in words."""

from __future__ import annotations

import math

from factored.words import ENGLISH, Words

UNITS = (86400, 3600, 60, 1)
"""Day, hour, minute, second."""


def period(seconds: int, words: Words = ENGLISH) -> str:
    """seconds -> the same in words, exactly: ``1 day``, ``90 minutes``"""
    unit = next(unit for unit in UNITS if seconds % unit == 0)
    return _counted(seconds // unit, unit, words)


def wait(seconds: int, words: Words = ENGLISH) -> str:
    """seconds -> about how long that is, rounded up: ``5 hours``"""
    unit = next((unit for unit in UNITS if seconds >= unit), 1)
    return _counted(math.ceil(seconds / unit), unit, words)


def _counted(number: int, unit: int, words: Words) -> str:
    if unit == 86400:
        return words.count("${number} day", "${number} days", number)
    if unit == 3600:
        return words.count("${number} hour", "${number} hours", number)
    if unit == 60:
        return words.count("${number} minute", "${number} minutes", number)
    return words.count("${number} second", "${number} seconds", number)
