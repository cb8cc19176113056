"""A day of traffic, and the days after it: tables, memory, files and connections stay bounded."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.functional.days import MONTH_S, PER_DAY, Held, make_days
from tests.support import Site
from tests.support_programs import FULL

RATE, PEOPLE = (3, 8) if FULL else (1, 3)
DAYS = 4
"""On the third day strangers have used up the guesses of a month, at every name."""
LIVE = 50
"""Objects that there may be more of at one moment of a day than at another: tickets, and users."""


def test_nothing_grows_from_one_day_to_the_next(
    make_site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    days = make_days(make_site, monkeypatch, rate=RATE, people=PEOPLE)
    held: list[Held] = []
    for _ in range(DAYS):
        days.a_day()  # and at each step of it, all is bounded by what is live
        held.append(days.held())
    first, *later = held
    assert max(one.threads for one in later) <= first.threads  # of other tests some may yet end
    assert max(one.files for one in later) <= first.files
    assert {one.connections for one in held} == {first.connections}
    assert max(one.objects for one in held) < first.objects + LIVE
    assert days.done.keys() == PER_DAY.keys()
    assert days.guesses() == days.most_guesses

    days.silence(MONTH_S + 1)
    rows = days.rows()
    for name in ("challenges", "links", "tickets", "revocations"):
        assert rows[name] == 0, name
    # The last mistakes in a row of each known device are remembered for as long as itself is.
    assert rows["attempts"] <= 10 * PEOPLE
    assert rows["devices"] == PEOPLE
    days.is_bounded()
