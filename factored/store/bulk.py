"""Many users written at once: few statements for each page of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from factored.interfaces import Authenticator, NewUser
from factored.store.tables import AuthenticatorRow, UserRow


def pages(newcomers: Iterable[NewUser], size: int) -> Iterator[list[NewUser]]:
    """newcomers -> the same in lists of up to ``size``, none of them empty"""
    rest = iter(newcomers)
    while page := list(islice(rest, size)):
        yield page


def columns_of(held: Authenticator) -> dict[str, Any]:
    """authenticator -> column: value"""
    return {
        "id": held.id,
        "user_id": held.user_id,
        "scheme": held.scheme,
        "label": held.label,
        "secret": held.secret,
        "state": held.state.value,
        "created_at": held.created_at,
        "confirmed_at": held.confirmed_at,
        "last_used_at": held.last_used_at,
        "last_step": held.last_step,
        "needs_renewal": held.needs_renewal,
    }


def plan_anew(session: Session) -> None:
    """session -> None; from here to the end of its transaction no plan is one of before

    PostgreSQL keeps the plan of a statement that comes again: to read all of a table that was empty
    at first, and has 100,000 rows by now (PostgreSQL documentation, "PREPARE", notes).
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SET LOCAL plan_cache_mode = force_custom_plan"))


def insert_users(session: Session, newcomers: Sequence[NewUser]) -> None:
    """session that writes, newcomers -> None; they are users, and hold what theirs is

    :raises sqlalchemy.exc.IntegrityError: a key is taken
    """
    plan_anew(session)
    session.execute(
        insert(UserRow),
        [
            {
                "username": one.username,
                "username_key": one.username_key,
                "ticket_series": one.ticket_series,
                "created_at": one.created_at,
                "disabled_at": one.disabled_at,
                "last_login_at": one.last_login_at,
            }
            for one in newcomers
        ],
    )
    # Not every database tells the ids of many rows inserted at once.
    found = session.execute(
        select(UserRow.username_key, UserRow.id).where(
            UserRow.username_key.in_([one.username_key for one in newcomers])
        )
    )
    ids = {row.username_key: row.id for row in found}
    held = [
        columns_of(authenticator)
        for one in newcomers
        if one.authenticators is not None
        for authenticator in one.authenticators(ids[one.username_key])
    ]
    if held:
        session.execute(insert(AuthenticatorRow), held)
