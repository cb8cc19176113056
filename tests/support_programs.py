"""Other people's programs that tests compare with: found, or skipped over with a plain reason."""

from __future__ import annotations

import os
import shutil

import pytest

FULL = os.environ.get("FACTORED_FULL") == "1"
"""Larger files and more fuzzing, which takes long."""


def require_program(name: str) -> str:
    """program -> its path; without it the test is skipped, or fails where peers are required"""
    path = shutil.which(name)
    if path is not None:
        return path
    reason = f"the program {name} is not installed"
    if os.environ.get("FACTORED_REQUIRE_PEERS") == "1":
        pytest.fail(f"{reason}, and FACTORED_REQUIRE_PEERS=1 asks for it")
    pytest.skip(reason)
