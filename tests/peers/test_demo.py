"""``make demo`` on a fresh copy: installs, shows a user once and again, and serves until Ctrl-C."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from .client import visitor
from .servers import FULL, Server, User, eventually, free_port, program

ROOT = Path(__file__).resolve().parents[2]
NOT_SOURCE = (
    ".git",
    ".venv",
    "build",
    "dist",
    "*.egg-info",
    "__pycache__",
    "factored.*",
    ".*cache",
)
INSTALL_S = 300


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Server]:
    folder, port = tmp_path / "copy", free_port()
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*NOT_SOURCE))
    ini = folder / "develop.ini"
    ini.write_text(ini.read_text().replace("127.0.0.1:8000", f"127.0.0.1:{port}"))
    server = Server([program("make"), "demo"], port, folder)
    yield server
    server.stop()


def serve_once(server: Server) -> str:
    """-> what one run printed, ended as Ctrl-C in a terminal does: the whole group hears it"""
    server.log.unlink(missing_ok=True)
    process = server.launch()
    try:
        eventually(server.answers, within_s=INSTALL_S)
        os.killpg(process.pid, signal.SIGINT)
        process.wait(10)
    finally:
        server.stop()
    return server.output


@pytest.mark.skipif(not FULL, reason="installs everything anew: set FACTORED_FULL=1")
def test_the_demo_shows_the_same_user_each_time_and_ends_on_ctrl_c(demo: Server) -> None:
    printed = [serve_once(demo), serve_once(demo)]
    secrets = {re.search(r"^secret: ([A-Z2-7]{32})$", one, re.MULTILINE)[1] for one in printed}
    assert len(secrets) == 1
    for one in printed:
        assert "otpauth://totp/" in one
        assert "\N{LOWER HALF BLOCK}" in one
        assert "http://127.0.0.1:8000" in one
        assert "Traceback" not in one
    demo.start()
    browser = visitor(demo)
    browser.sign_in(User("demo@example.com", secrets.pop()))
    assert "Hello, demo@example.com" in browser.get("/").text
