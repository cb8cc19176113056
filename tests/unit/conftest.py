"""What several unit tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .proxy_upstream import Upstream


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """A scripted site on a port of its own, for simpleproxy and its client."""
    running = Upstream()
    yield running
    running.close()
