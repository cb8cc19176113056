"""Somebody without an account proves a mailbox, and has one: on every database, by real mail."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from tests.support import make_people

from .client import form_of, visitor
from .letterbox import IGNORED, Letterbox
from .servers import Front, Nginx, gate_on

pytestmark = IGNORED

FINDERS = {
    "Email Domain": "autouserfinder.valid_domains = example.com\n",
    "SQL": (
        "autouserfinder.connection_string = {url}\n"
        "autouserfinder.table_name = people\nautouserfinder.email_field = email\n"
    ),
}
FOUND = {"Email Domain": "new@example.com", "SQL": "New@Example.com"}
"""The name as it is stored: in small letters, or as it stands in the table."""


def stored_users(url: str) -> list[str]:
    """database -> the names in its table of users, whatever the commands show"""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        return list(connection.scalars(sa.text("SELECT username FROM factored_users")))


@pytest.mark.parametrize("finder", FINDERS)
@pytest.mark.parametrize(
    ("database", "kind"),
    [("sqlite", "gunicorn"), ("postgresql", "waitress"), ("mariadb", "paste")],
)
def test_a_found_user_has_an_account_once_the_mailbox_is_proven_and_comes_back(
    make_front: Callable[..., Front],
    new_database: Callable[[str], str],
    letterbox: Letterbox,
    nginx: Nginx,
    database: str,
    kind: str,
    finder: str,
) -> None:
    url = new_database(database)
    make_people(url, "al@example.com", FOUND["SQL"])
    ini = f"autouserfinder = {finder}\n{FINDERS[finder].format(url=url)}"
    front = make_front(kind, nginx.port, gate_on(url) + letterbox.ini + ini)
    target = f"/found-{front.port}"

    first = visitor(front)
    form = first.name_given("NEW@example.com", target)
    code = letterbox.code()
    assert letterbox.taken[0][0] == [FOUND[finder]]
    wrong = first.send(form, code="0000-0000", submit="authenticate")
    assert wrong.status == 200
    assert 'role="alert"' in wrong.text
    stranger = visitor(front).attempt("eve@example.org", code)
    assert stranger.status == 200
    assert stored_users(url) == []

    done = first.send(form_of(wrong), code=code, submit="authenticate")
    assert (done.status, done.header("Location")) == (303, target)
    assert stored_users(url) == [FOUND[finder]]
    assert first.get(target).status == 200
    assert nginx.saw(target)["user"] == FOUND[finder]

    again = visitor(front)
    form = again.name_given("new@EXAMPLE.com", target)
    assert again.send(form, code=letterbox.code(2), submit="authenticate").status == 303
    assert again.signed_in()
    assert stored_users(url) == [FOUND[finder]]
    assert [to for to, _ in letterbox.taken] == [[FOUND[finder]]] * 2
