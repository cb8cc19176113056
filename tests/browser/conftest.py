"""Debian's Chromium, headless: opens a page of ours, whose script sends back what it found."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support_programs import require_program

Open = Callable[[str], None]


@pytest.fixture
def chromium(tmp_path: Path) -> Iterator[Open]:
    """-> function: URL -> None; the page is open until the test ends"""
    path = require_program("chromium")
    browsers: list[subprocess.Popen[bytes]] = []
    options = [
        "--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        "--disable-background-networking", f"--user-data-dir={tmp_path / 'chromium'}",
        # Whatever a URL names, nothing but this machine is asked.
        "--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ]  # fmt: skip
    if os.getuid() == 0:
        options.append("--no-sandbox")

    def open_page(url: str) -> None:
        with (tmp_path / "chromium.txt").open("wb") as log:
            browsers.append(
                subprocess.Popen(
                    [path, *options, url], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    start_new_session=True,
                )
            )  # fmt: skip

    yield open_page
    for browser in browsers:
        # A group of its own, so that only what this test started ends.
        os.killpg(browser.pid, signal.SIGKILL)
        browser.wait(10)
