"""Seconds in words."""

from __future__ import annotations

import pytest

from factored import durations

MINUTE, HOUR, DAY = 60, 3600, 86400


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "1 second"),
        (59, "59 seconds"),
        (MINUTE, "1 minute"),
        (61, "61 seconds"),
        (90 * MINUTE, "90 minutes"),
        (HOUR - 1, "3599 seconds"),
        (HOUR, "1 hour"),
        (HOUR + 1, "3601 seconds"),
        (2 * HOUR, "2 hours"),
        (DAY - HOUR, "23 hours"),
        (DAY, "1 day"),
        (DAY + HOUR, "25 hours"),
        (30 * DAY, "30 days"),
    ],
)
def test_a_period_is_told_exactly(seconds: int, words: str) -> None:
    assert durations.period(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (59, "59 seconds"),
        (MINUTE, "1 minute"),
        (61, "2 minutes"),
        (HOUR - 1, "60 minutes"),
        (HOUR, "1 hour"),
        (HOUR + 1, "2 hours"),
        (5 * HOUR, "5 hours"),
        (DAY - 1, "24 hours"),
        (DAY, "1 day"),
        (DAY + 1, "2 days"),
        (30 * DAY, "30 days"),
    ],
)
def test_a_wait_is_told_in_one_unit_and_never_too_short(seconds: int, words: str) -> None:
    assert durations.wait(seconds) == words
