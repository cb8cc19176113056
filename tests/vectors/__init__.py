"""Tickets, good and bad, with what each reader must make of them: ``auth_tkt.json``.

``python -m tests.vectors`` makes the file anew from :mod:`tests.vectors.tickets`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "auth_tkt.json"


def checked_in() -> dict[str, Any]:
    """-> the file's content"""
    content: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
    return content
