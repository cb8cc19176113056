"""How every SQLAlchemy engine is set up here: with time limits, and no secret in an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

ANSWER_S = 5
"""How long any other database may take to answer, so that one that hangs holds no thread long."""

POOL_WAIT_S = 3

CONNECT_ARGS: dict[str, dict[str, object]] = {
    "psycopg": {
        "connect_timeout": ANSWER_S,
        "tcp_user_timeout": ANSWER_S * 1000,
        "keepalives_idle": ANSWER_S,  # or a host that vanished is waited for for two hours
        "keepalives_interval": 1,
        "options": f"-c statement_timeout={ANSWER_S * 1000}",
    },
    "pymysql": {
        "connect_timeout": ANSWER_S,
        "read_timeout": ANSWER_S,
        "write_timeout": ANSWER_S,
    },
}
"""Driver -> its time-outs; what the URL says itself comes first."""


def read_url(text: str) -> sa.URL:
    """what the ini says -> URL

    :raises ValueError: it is none; the message holds no part of a password
    """
    try:
        url = sa.make_url(text)
    except ValueError:  # SQLAlchemy's text quotes what it took for the port
        raise ValueError("the port is no number; / : @ in a password are %2F %3A %40") from None
    if "@" in (url.host or ""):
        raise ValueError("it has two @; one in the password must be %40")
    return url


def enforced(url: sa.URL, options: Mapping[str, object] | None = None) -> dict[str, Any]:
    """URL, what the ini says -> engine arguments that are not the operator's to choose"""
    # An error's text must not hold a secret.
    fixed: dict[str, Any] = {"hide_parameters": True}
    if url.get_backend_name() == "sqlite":
        return fixed
    # Counting attempts locks first and looks then: it must see what was committed meanwhile.
    fixed["isolation_level"] = "READ COMMITTED"
    if "sqlalchemy.pool_timeout" not in (options or {}):
        fixed["pool_timeout"] = POOL_WAIT_S
    arguments = CONNECT_ARGS.get(url.get_driver_name(), {})
    fixed["connect_args"] = {
        name: value for name, value in arguments.items() if name not in url.query
    }
    if "options" in arguments and "options" in url.query:  # PostgreSQL takes the last of each
        said = url.normalized_query["options"]
        fixed["connect_args"]["options"] = " ".join((str(arguments["options"]), *said))
    return fixed


def one_line(error: BaseException) -> str:
    """error -> what it says, in one line, without the statement and SQLAlchemy's help link"""
    cause = getattr(error, "orig", None) or error
    return " ".join(str(cause).split()) or type(cause).__name__
