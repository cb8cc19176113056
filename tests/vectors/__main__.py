"""Writes ``auth_tkt.json``; run it after a change of :mod:`tests.vectors.tickets`."""

from tests.vectors import FILE
from tests.vectors.tickets import as_text

FILE.write_text(as_text(), "utf-8")
