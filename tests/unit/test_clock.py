"""The machine's clock."""

from __future__ import annotations

import time

from factored.clock import SystemClock


def test_it_tells_unix_time_and_a_time_that_only_goes_forward() -> None:
    clock = SystemClock()
    assert abs(clock.now_s() - time.time()) < 5
    assert clock.monotonic_s() <= clock.monotonic_s()
