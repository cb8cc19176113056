"""The only place that knows the time."""

from __future__ import annotations

import time


class SystemClock:
    """The machine's clock, as :class:`factored.interfaces.Clock`."""

    now_s = staticmethod(time.time)
    monotonic_s = staticmethod(time.monotonic)
