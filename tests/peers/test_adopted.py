"""A database of factored 1.x to 4.x with a thousand users, taken over: their codes let them in."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from .client import Browser, code, new_address, wrong_code
from .servers import Front, Nginx, User, gate_on

OLD_USERS = sa.Table(
    "users", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("username", sa.Text, unique=True), sa.Column("secret", sa.Text, unique=True),
    sa.Column("generated_code", sa.Text), sa.Column("generated_code_time_stamp", sa.DateTime),
)  # fmt: skip
"""As the old releases had it, in each database's own words."""

NUMBER = 1000
WHO_LOG_IN = range(7, NUMBER, 50)
WHO_MISTYPE = range(8, NUMBER, 80)


def old_user(number: int) -> User:
    """number -> name, and a secret of the old kind: ten letters or digits, which are 80 bits"""
    name = f"{'Old' if number % 2 else 'old'}{number}@example.com"
    return User(name, base64.b32encode(f"aB3d{number:06}".encode()).decode())


def old_row(number: int) -> dict[str, str]:
    user = old_user(number)
    saved = user.secret if number % 3 else f"b'{user.secret}'"
    return {"username": user.name, "secret": saved}


def count(engine: sa.Engine, table: str) -> int:
    with engine.connect() as connection:
        found = connection.scalar(sa.select(sa.func.count()).select_from(sa.table(table)))
    assert isinstance(found, int)
    return found


@pytest.mark.parametrize(
    ("database", "kind"),
    [("sqlite", "paste"), ("postgresql", "gunicorn"), ("mariadb", "waitress")],
)
def test_twenty_of_a_thousand_old_users_log_in_with_the_apps_they_have(
    make_front: Callable[..., Front],
    new_database: Callable[[str], str],
    nginx: Nginx,
    database: str,
    kind: str,
) -> None:
    url = new_database(database)
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    OLD_USERS.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(OLD_USERS.insert(), [old_row(number) for number in range(NUMBER)])

    front = make_front(kind, nginx.port, gate_on(url))
    assert front.told["adopted"] == NUMBER
    assert front.installation.initialise()["adopted"] == 0
    for table in ("users", "factored_users", "factored_authenticators"):
        assert count(engine, table) == NUMBER

    # All behind one address, which may fail 30 times: more attempts than that, if success counted.
    office = new_address()
    for number in WHO_MISTYPE:
        user = old_user(number)
        answer = Browser(front.port, office).attempt(user.name, wrong_code(user.secret))
        assert (answer.status, 'role="alert"' in answer.text) == (200, True)
    for number in WHO_LOG_IN:
        user, browser = old_user(number), Browser(front.port, office)
        target = f"/old-{front.port}-{number}"
        answer = browser.attempt(user.name.lower(), code(user.secret), target)
        assert (answer.status, answer.header("Location")) == (303, target)
        assert browser.get(target).status == 200
        assert nginx.saw(target)["user"] == user.name
