"""What commands print: results on stdout, messages on stderr, one JSON document on request."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable
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


def long_list(values: Iterable[Any]) -> None:
    """the same for a list of any length, none of which is kept -> stdout

    The bracket at its end comes last: what was cut off by an error is no JSON.
    """
    mark = "["
    for value in values:
        sys.stdout.write(mark + json.dumps(value))
        mark = ", "
    print("[]" if mark == "[" else "]")


def qr_in_terminal(uri: str) -> None:
    """otpauth URI -> a QR code of block characters on stdout"""
    qr_code(uri).terminal(out=sys.stdout, compact=True)


class Progress:
    """A bar on stderr while something takes long; nothing at all where that is no terminal."""

    WIDTH = 30

    def __init__(self) -> None:
        self._shown = False

    def show(self, text: str, part: float | None) -> None:
        """text, how much of the whole is done or None -> None; in the place of what was shown"""
        if not sys.stderr.isatty():
            return
        bar = ""
        if part is not None:
            done = int(min(max(part, 0), 1) * self.WIDTH)
            bar = f"[{'#' * done}{'.' * (self.WIDTH - done)}] {min(part, 1):4.0%}  "
        room = shutil.get_terminal_size().columns - 1
        sys.stderr.write("\r\033[K" + (bar + text)[:room])
        sys.stderr.flush()
        self._shown = True

    def clear(self) -> None:
        """-> None; nothing of it is left, and what comes next begins at the left"""
        if self._shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
            self._shown = False
