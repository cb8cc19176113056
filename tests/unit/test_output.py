"""What commands print: a bar for people at a terminal, and lists that are JSON."""

from __future__ import annotations

import io
import json
import os
import shutil
from types import SimpleNamespace

import pytest

from factored.scripts import output
from factored.scripts.output import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    made = Terminal()
    monkeypatch.setattr(output, "sys", SimpleNamespace(stderr=made))
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((60, 20)))
    return made


@pytest.mark.parametrize(
    ("part", "bar"),
    [
        (0, "[..............................]   0%  "),
        (0.5, "[###############...............]  50%  "),
        (1, "[##############################] 100%  "),
        (1.2, "[##############################] 100%  "),
        (None, ""),
    ],
)
def test_a_bar_shows_how_much_is_done_in_the_place_of_the_one_before(
    terminal: Terminal, part: float | None, bar: str
) -> None:
    bars = Progress()
    bars.show("7 users", part)
    assert terminal.getvalue() == f"\r\033[K{bar}7 users"


def test_a_bar_is_no_longer_than_the_line(terminal: Terminal) -> None:
    Progress().show("x" * 90, 0.5)
    assert len(terminal.getvalue()) == len("\r\033[K") + 59


def test_a_bar_is_gone_before_other_words_come(terminal: Terminal) -> None:
    bar = Progress()
    bar.clear()
    assert terminal.getvalue() == ""
    bar.show("7 users", None)
    bar.clear()
    bar.clear()
    assert terminal.getvalue() == "\r\033[K7 users\r\033[K"


def test_where_no_terminal_is_nothing_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    bar = Progress()
    bar.show("7 users", 0.5)
    bar.clear()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("values", [[], [1], [{"a": "é"}, None, [2]]])
def test_a_long_list_is_one_line_of_json(
    capsys: pytest.CaptureFixture[str], values: list[object]
) -> None:
    output.long_list(iter(values))
    out = capsys.readouterr().out
    assert json.loads(out) == values
    assert out.count("\n") == 1
