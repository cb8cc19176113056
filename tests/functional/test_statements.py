"""What a login asks of the database: little, however it is begun. On PostgreSQL: tests/peers."""

from __future__ import annotations

import pytest

from tests.support import Site, statements_of_logins


@pytest.fixture
def asked(site: Site) -> dict[str, list[str]]:
    site.login(site.browser())  # what a process asks once is over
    return statements_of_logins(site)


@pytest.mark.parametrize("kind", ["an unknown browser", "a known device"])
def test_a_login_takes_at_most_six_statements(asked: dict[str, list[str]], kind: str) -> None:
    assert 1 < len(asked[kind]) <= 6, "\n\n".join(asked[kind])


def test_a_login_over_a_good_ticket_takes_two_more_to_end_that_one(
    asked: dict[str, list[str]],
) -> None:
    over = asked["over a good ticket"]
    assert len(over) <= 8, "\n\n".join(over)
    assert sum("factored_revocations" in one for one in over) == 1
