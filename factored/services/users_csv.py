"""Users in a table as office programs and databases write it: CSV with a header line."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence

from factored.converters import as_bool
from factored.interfaces import FactoredError
from factored.services.importing import Entry, Held, Item, Refused, totp_secret
from factored.services.lines import BOM, MAX_LINE, Lines

COLUMNS = ("username", "secret", "label", "disabled")
"""Of which only the first is required."""


class NotAUserTable(FactoredError):
    """The header line is missing or names columns that mean nothing here."""


def read(lines: Lines) -> Iterator[Item]:
    """lines of a file -> an Entry or Refused for each but the first and blank ones

    Each line is read by itself: a quote that is not closed spoils one line, not the rest of the
    file. No value that is taken has a line end in it anyway.

    :raises NotAUserTable: the first line is no header
    """
    rows = iter(lines)
    columns = _columns(next(rows, b""))
    for line in rows:
        if line is None:
            yield Refused(lines.number, "", f"is longer than {MAX_LINE:,} bytes")
            continue
        username = ""
        try:
            cells = _cells(line)
            if not cells:
                continue
            if len(cells) != len(columns):
                raise ValueError(f"columns: {len(cells)}, and {len(columns)} in the header line")
            row = dict(zip(columns, cells, strict=True))
            username = row["username"]
            yield _entry(lines.number, row)
        except ValueError as error:
            yield Refused(lines.number, username, str(error))


def _columns(line: bytes | None) -> list[str]:
    """the first line -> the columns, in their order

    :raises NotAUserTable: what stands there is not shown without need: it may be a secret
    """
    try:
        columns = [cell.strip().lower() for cell in _cells((line or b"").removeprefix(BOM))]
    except ValueError as error:
        raise NotAUserTable(f"the first line {error}") from None
    if "username" not in columns:
        raise NotAUserTable(
            "the first line must name the columns, with commas between them: username, and as you "
            f"like {', '.join(COLUMNS[1:])}; it has no username"
        )
    unknown = [column for column in columns if column not in COLUMNS]
    if unknown:
        raise NotAUserTable(
            f"unknown columns: {', '.join(map(repr, unknown))}; there are {', '.join(COLUMNS)}"
        )
    if len(set(columns)) != len(columns):
        raise NotAUserTable("the first line names a column twice")
    return columns


def _cells(line: bytes) -> Sequence[str]:
    """one line -> what its cells hold; nothing for a blank line

    :raises ValueError: not UTF-8, or no CSV (RFC 4180)
    """
    try:
        text = line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8: save the file as CSV in UTF-8") from None
    if not text.strip():
        return []
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as error:
        if "unexpected end" in str(error):
            raise ValueError("has a quote that is not closed in the same line") from None
        raise ValueError(f"is no CSV: {error}") from None


def _entry(number: int, row: dict[str, str]) -> Entry:
    secret = row.get("secret", "").strip()
    held = Held(totp_secret(secret) if secret else None, row.get("label", ""))
    disabled = row.get("disabled", "").strip()
    try:
        return Entry(number, row["username"], (held,), as_bool(disabled) if disabled else None)
    except ValueError:
        raise ValueError("disabled must be yes or no") from None
