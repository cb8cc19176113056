"""Keys in ini files of factored 1.x to 4.x that do nothing today, and why."""

from __future__ import annotations

import logging

log = logging.getLogger(__name__)

WITHOUT_MEANING = {
    "auth_tkt.timeout": "auth_timeout says how long a ticket is good",
    "auth_tkt.max_age": "auth_remember_timeout says how long a browser keeps the cookie",
    "auth_tkt.debug": "the log always says who was let in and who was not",
    "urlscheme": "it belongs to the section that uses egg:factored#simpleproxy",
    "em.salt": "mailed links are random now and need no salt",
    "em.url_remember": "the page behind a mailed link asks whether to remember",
    "db_factory_name": "the store is chosen by sqlalchemy.url",
    "configure_db": "`factored init` makes and upgrades the database",
    "db_session_id": "the store keeps its own sessions",
}

LDAP = "LDAP Users"
"""A finder of 4.x that is not in this release."""


def passed_over(name: str, finder: str | None) -> bool:
    """key, the finder of the ini -> whether the key may stay where it is, without effect

    The log gets one sentence on each; of the finder ``LDAP Users`` there is one for all its keys.
    """
    if name in WITHOUT_MEANING:
        log.warning("%s has no meaning any more: %s", name, WITHOUT_MEANING[name])
    elif name.startswith("formtext.error."):
        log.warning("%s is shown nowhere: no page has that error", name)
    else:
        return finder == LDAP and name.startswith("autouserfinder.")
    return True
