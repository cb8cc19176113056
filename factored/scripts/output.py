"""What commands print: results on stdout, messages on stderr, one JSON document on request."""

from __future__ import annotations

import json
import sys
from typing import Any

from factored.services.enrolment import qr_code


def say(text: str) -> None:
    """a message for the person at the terminal -> stderr"""
    print(text, file=sys.stderr)


def result(text: str) -> None:
    """what was asked for -> stdout"""
    print(text)


def document(value: Any) -> None:
    """the one JSON document of ``--json`` -> stdout"""
    print(json.dumps(value))


def qr_in_terminal(uri: str) -> None:
    """otpauth URI -> a QR code of block characters on stdout"""
    qr_code(uri).terminal(out=sys.stdout, compact=True)
