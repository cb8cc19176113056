"""Lines of any file, one at a time, however long it is made."""

from __future__ import annotations

import io

import pytest

from factored.services.lines import MAX_LINE, Lines


def read(content: bytes) -> list[tuple[int, bytes | None]]:
    lines = Lines(io.BytesIO(content))
    found = [(lines.number, line) for line in lines]
    assert lines.bytes_read == len(content)
    return found


def test_each_line_comes_as_it_is_with_its_number() -> None:
    assert read(b"a\r\n\nb\0\xff\nlast") == [
        (1, b"a\r\n"),
        (2, b"\n"),
        (3, b"b\0\xff\n"),
        (4, b"last"),
    ]
    assert read(b"") == []


@pytest.mark.parametrize("end", [b"", b"\n", b"\nnext\n"])
@pytest.mark.parametrize("extra", [-1, 0, 1, 2, MAX_LINE, 3 * MAX_LINE])
def test_a_line_that_is_too_long_is_one_line_without_content(extra: int, end: bytes) -> None:
    found = read(b"x" * (MAX_LINE + extra) + end)
    taken = extra + bool(end) <= 0
    assert (found[0][1] is not None) is taken
    assert found[1:] == ([(2, b"next\n")] if end.endswith(b"next\n") else [])
