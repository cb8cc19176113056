"""The parts that the gate and the commands share, each made from settings in one function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from factored import keys, plugins
from factored.converters import as_lines, as_secrets
from factored.interfaces import Clock, ConfigurationError
from factored.settings import Settings
from factored.store.attempts import SqlAttemptStore
from factored.store.database import Database
from factored.store.revocations import SqlRevocationStore
from factored.store.sql import SqlDeviceStore, SqlLinkStore, SqlUserStore

SCHEMES = "factored.schemes"
FINDERS = "factored.finders"

FINDERS_TO_COME = ("SQL", "Email Domain")


@dataclass(frozen=True)
class Stores:
    """The stores of one gate, all in one database."""

    database: Database
    users: SqlUserStore
    devices: SqlDeviceStore
    links: SqlLinkStore
    attempts: SqlAttemptStore
    revocations: SqlRevocationStore


def make_stores(settings: Settings, *, require_files: bool = True) -> Stores:
    """settings -> the stores

    :raises ConfigurationError: no such driver, or a database file that is not there
    """
    database = Database(settings.sqlalchemy, require_file=require_files)
    return Stores(
        database,
        SqlUserStore(database),
        SqlDeviceStore(database),
        SqlLinkStore(database),
        SqlAttemptStore(database),
        SqlRevocationStore(database),
    )


def make_key_ring(settings: Settings, clock: Clock) -> keys.KeyRing:
    """settings -> factored's own keys, followed while running

    :raises ConfigurationError: the key file is not there, or not one
    """
    watched = keys.WatchedFile("key_file", settings.key_file, keys.parse_keys, clock)
    return keys.KeyRing(watched.content)


def make_ticket_secrets(settings: Settings, clock: Clock) -> Callable[[], tuple[str, ...]]:
    """settings -> function that gives the ticket secrets of now, newest first

    :raises ConfigurationError: the secret file is not there, or holds a weak secret
    """
    path = settings.ticket_secret_file
    if path is None:
        return lambda: settings.ticket_secrets
    return keys.WatchedFile("auth_tkt.secret_file", path, as_secrets, clock).content


def revoke_for_s(settings: Settings) -> int:
    """settings -> seconds that a revocation must hold: the longest ticket, and a day for clocks"""
    return settings.auth_absolute_timeout + 86400


def notices(settings: Settings) -> list[str]:
    """settings -> what works, but not as an operator may think; for the log and `factored check`"""
    found = []
    if settings.autouserfinder:
        found.append("autouserfinder: finders come with a later release; none is asked yet")
    if settings.reminder:
        found.append("allowgooglecodereminder: mails come with a later release; no button yet")
    if settings.cookie_path != "/":
        found.append(
            f"auth_tkt.path = {settings.cookie_path}: must cover the place of base_auth_url too, "
            "or nobody can sign out"
        )
    if not settings.cookie_secure:
        found.append("auth_tkt.secure = false: fit for a trial, not for a site on the net")
    return found


def scheme_factories(given: Mapping[str, str]) -> tuple[list[Any], list[str]]:
    """ini strings -> the factories of the supported schemes, and what is wrong with their names"""
    listed = as_lines(given.get("supported_auth_schemes", "")) or Settings.supported_auth_schemes
    factories, problems = [], []
    for name in listed:
        try:
            factories.append(plugins.load(SCHEMES, name))
        except ConfigurationError as error:
            problems += [f"supported_auth_schemes: {text}" for text in error.problems]
    return factories, problems


def missing_parts(given: Mapping[str, str]) -> list[str]:
    """ini strings -> problems: a finder that nobody offers, add-ons that are not installed"""
    problems = []
    finder = given.get("autouserfinder", "").strip()
    known = sorted({*FINDERS_TO_COME, *plugins.names(FINDERS)})
    if finder and finder not in (*known, "LDAP Users"):  # settings has a sentence for that one
        problems.append(f"autouserfinder: {finder!r} must be {' or '.join(known)}")
    for package in given.get("pyramid.includes", "").split():
        if not plugins.importable(package):
            problems.append(f"pyramid.includes: {package!r} is not installed")
    return problems
