"""The parts that the gate and the commands share, each made from settings in one function."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from typing import Any

from factored import keys, plugins
from factored.converters import TRUE, as_lines, as_secrets
from factored.environ import host_name, is_loopback
from factored.ini_keys import KEYS
from factored.interfaces import (
    Clock,
    ConfigurationError,
    Finder,
    FinderContext,
    StoreContext,
    Stores,
)
from factored.mail import DEBUG, Postman
from factored.old_keys import LDAP
from factored.services.outbox import BackgroundOutbox
from factored.settings import Settings, parse
from factored.words import Languages, load

SCHEMES = "factored.schemes"
FINDERS = "factored.finders"
STORES = "factored.stores"


def read_settings(
    given: Mapping[str, str],
    *,
    here: str | os.PathLike[str] | None = None,
    require_files: bool = True,
) -> Settings:
    """ini strings -> Settings, with the keys that plug-ins declare

    A factory may have an attribute ``settings``: ini key -> (converter, default). What it sets is
    found in ``Settings.extra``.

    :raises ConfigurationError: with every problem at once
    """
    extra: dict[str, Any] = {}
    taken: dict[str, str] = {}
    for group, names in (
        (SCHEMES, as_lines(given.get("supported_auth_schemes", ""))),
        (FINDERS, as_lines(given.get("autouserfinder", ""))),
        (STORES, as_lines(given.get("store", ""))),
    ):
        for name in (one for one in names if one in plugins.names(group)):
            with contextlib.suppress(ConfigurationError):  # told by missing_parts
                declared = getattr(plugins.load(group, name), "settings", {})
                taken.update(dict.fromkeys(declared.keys() & (KEYS.keys() | extra.keys()), name))
                extra |= declared
    if taken:
        raise ConfigurationError(
            [f"{key}: {name!r} declares it too; a key has one owner" for key, name in taken.items()]
        )
    return parse(given, here=here, extra=extra, require_files=require_files)


def make_stores(settings: Settings, clock: Clock, *, must_exist: bool = True) -> Stores:
    """settings -> the stores, in what the key ``store`` names

    :raises ConfigurationError: it cannot be used
    """
    stores: Stores = _factory("store", STORES, settings.store)(
        StoreContext(settings, clock, must_exist)
    )
    return stores


def make_key_ring(settings: Settings, clock: Clock) -> keys.KeyRing:
    """settings -> factored's own keys, followed while running

    :raises ConfigurationError: the key file is not there, or not one
    """
    watched = keys.WatchedFile("key_file", settings.key_file, keys.parse_keys, clock)
    return keys.KeyRing(watched.content)


def make_outbox(settings: Settings, clock: Clock) -> BackgroundOutbox:
    """settings -> where mails are left; nothing is sent, and no thread runs, before the first

    :raises ConfigurationError: a ``mail.*`` key that cannot be used
    """
    postman = make_postman(settings)
    return BackgroundOutbox(postman.send, postman.probe, clock)


def make_languages(settings: Settings) -> Languages:
    """settings -> the languages that pages and mails can be in, and which one is the default"""
    return load(settings.pyramid.get("pyramid.default_locale_name", ""))


def make_postman(settings: Settings) -> Postman:
    """settings -> what hands one mail to the mail server

    :raises ConfigurationError: a ``mail.*`` key that cannot be used
    """
    return Postman(settings.mail, sender=_sender(settings))


def _sender(settings: Settings) -> str:
    """settings -> the address that mails come from, made up of the site's name if need be"""
    host = host_name((settings.public_url or "").partition("://")[2]) or "localhost"
    given = settings.email_auth_sender or settings.mail.get("mail.default_sender")
    return given or f"factored@{host}"


def make_finder(settings: Settings) -> Finder | None:
    """settings -> the finder that autouserfinder names, or None

    :raises ConfigurationError: it cannot be used
    """
    if not settings.autouserfinder:
        return None
    finder: Finder = _factory("autouserfinder", FINDERS, settings.autouserfinder)(
        FinderContext(settings)
    )
    return finder


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
    if settings.autouserfinder and "Email" not in settings.supported_auth_schemes:
        found.append("autouserfinder: only Email can make accounts, and it is not supported here")
    if settings.reminder and settings.public_url is None:
        found.append("allowgooglecodereminder: no button without public_url, which the link needs")
    elif settings.reminder:
        found.append(
            "allowgooglecodereminder: who reads a user's mail can enrol an authenticator of their "
            "own: the mailbox has become the factor"
        )
    if sends_mail(settings) and _sender(settings).startswith("factored@"):
        found.append(f"email_auth.sender is not set: mails come from {_sender(settings)}")
    host = settings.mail.get("mail.host") or "localhost"
    safe = host == DEBUG or is_loopback(host)
    over_tls = any(settings.mail.get(key, "").lower() in TRUE for key in ("mail.tls", "mail.ssl"))
    if sends_mail(settings) and not safe and not over_tls:
        found.append(f"mail.host = {host}: mails travel in clear text; set mail.tls = true")
    domain = settings.cookie_domain
    for site in sorted(settings.allowed_hosts):
        if domain and not f".{host_name(site)}".endswith(f".{domain}"):
            found.append(
                f"allowed_hosts: no ticket is shared with {site}, which is not in {domain}"
            )
    if settings.allowed_hosts and not domain and not settings.wild_domain:
        found.append("allowed_hosts: no ticket is shared without auth_tkt.cookie_domain")
    if settings.cookie_path != "/":
        found.append(
            f"auth_tkt.path = {settings.cookie_path}: must cover the place of base_auth_url too, "
            "or nobody can sign out"
        )
    includes = settings.pyramid.get("pyramid.includes", "")
    for package in sorted(set(includes.split()) - set(plugins.add_ons(includes))):
        found.append(f"pyramid.includes: {package} is not installed; factored does not need it")
    if not settings.cookie_secure:
        found.append("auth_tkt.secure = false: fit for a trial, not for a site on the net")
    elif (settings.public_url or "").startswith("http:"):
        found.append(
            f"public_url = {settings.public_url}: nobody can log in there, as the cookies are for "
            "https only; set auth_tkt.secure = false for a trial"
        )
    return found


def sends_mail(settings: Settings) -> bool:
    """settings -> whether a mail server is needed"""
    reminds = settings.reminder and settings.public_url is not None
    return reminds or "Email" in settings.supported_auth_schemes


def _factory(key: str, group: str, name: str) -> Any:
    """ini key, entry-point group, what the key says -> the factory of that name

    :raises ConfigurationError: nobody offers it, or it cannot be loaded
    """
    try:
        return plugins.load(group, name)
    except ConfigurationError as error:
        raise ConfigurationError([f"{key}: {text}" for text in error.problems]) from error


def scheme_factories(given: Mapping[str, str]) -> tuple[list[Any], list[str]]:
    """ini strings -> the factories of the supported schemes, and what is wrong with their names"""
    listed = as_lines(given.get("supported_auth_schemes", "")) or Settings.supported_auth_schemes
    factories: list[Any] = []
    problems: list[str] = []
    for name in listed:
        try:
            factories.append(_factory("supported_auth_schemes", SCHEMES, name))
        except ConfigurationError as error:
            problems += error.problems
    return factories, problems


def missing_parts(given: Mapping[str, str]) -> list[str]:
    """ini strings -> problems: a finder or store that nobody offers, add-ons not installed"""
    problems: list[str] = []
    for key, group in (("autouserfinder", FINDERS), ("store", STORES)):
        name = given.get(key, "").strip()
        if name and name != LDAP:  # settings has a sentence for that one
            try:
                _factory(key, group, name)
            except ConfigurationError as error:
                problems += error.problems
    for package in plugins.add_ons(given.get("pyramid.includes", "")):
        if not plugins.importable(package):
            problems.append(f"pyramid.includes: {package!r} is not installed")
    return problems
