"""Of very many keys each is known with its first line, and no other is."""

from __future__ import annotations

from factored.services.seen_keys import SeenKeys


def test_the_lines_of_many_keys_are_remembered_and_only_those() -> None:
    seen = SeenKeys()
    for line in range(1, 5001):
        assert seen.line(f"user {line}", line) == line
    for line in range(1, 5001):
        assert seen.line(f"user {line}", 9999) == line
    assert seen.line("user 0", 9999) == 9999


def test_each_table_has_hashes_of_its_own() -> None:
    one, two = SeenKeys(), SeenKeys()
    for seen in (one, two):
        seen.line("al", 1)
    assert list(one._hashes) != list(two._hashes)
