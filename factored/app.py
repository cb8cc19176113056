"""The composition root: Paste factories, and build(), the one place that joins the parts."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from factored import converters
from factored import settings as ini
from factored.answers import Answers
from factored.auth_tkt import TicketFormat
from factored.clock import SystemClock
from factored.gate import Gate
from factored.hello import hello as hello_app
from factored.interfaces import (
    Clock,
    ConfigurationError,
    FactoredError,
    Scheme,
    SchemeContext,
    WsgiApp,
)
from factored.proxy import SimpleProxy
from factored.schemes import totp
from factored.schemes.recovery import RecoveryScheme
from factored.services.account import Account
from factored.services.devices import KNOWN_FOR_S, Devices
from factored.services.enrol_links import EnrolLinks
from factored.services.enrolment import Enrolment
from factored.services.links import Links
from factored.services.login import Login
from factored.services.notices import Notices
from factored.services.open_tickets import OpenTickets
from factored.services.parts import (
    make_finder,
    make_key_ring,
    make_languages,
    make_outbox,
    make_stores,
    make_ticket_secrets,
    missing_parts,
    notices,
    read_settings,
    revoke_for_s,
    scheme_factories,
)
from factored.services.paste_server import exposed
from factored.services.recovery import RecoveryCodes
from factored.services.reminder import Reminder
from factored.services.revocation import RevocationList
from factored.services.throttle import Throttle
from factored.web import brand, make_auth_app
from factored.web.renderer import Pages
from factored.web.site import Site, Turns
from factored.words import Languages, _, load

log = logging.getLogger(__name__)

NOT_STARTED = 3
"""Exit status after bad settings: gunicorn stops at 3, at others it starts workers for ever."""


def build(
    given: Mapping[str, str],
    downstream: WsgiApp | None = None,
    *,
    here: str | Path | None = None,
    clock: Clock | None = None,
) -> WsgiApp:
    """ini strings, downstream -> the gate in front of it

    For Python sites (Django, Flask) as for the Paste factories. Several gates may live in one
    process; they share nothing.

    :param given: the keys of docs/configuration.rst, as strings
    :param downstream: the protected WSGI app; without one there are only the login pages
    :param here: folder that relative file names start from; the current one if not given
    :raises ConfigurationError: with all problems at once; nothing was started
    """
    clock = clock or SystemClock()
    factories, problems = scheme_factories(given)
    problems += missing_parts(given) + brand.file_problems(given, here)
    try:
        settings = read_settings(given, here=here)
    except ConfigurationError as error:
        raise ConfigurationError([*error.problems, *problems]) from None
    parts = _collect(
        problems,
        lambda: make_stores(settings, clock),
        lambda: make_key_ring(settings, clock),
        lambda: make_ticket_secrets(settings, clock),
        lambda: make_outbox(settings, clock),
        lambda: make_finder(settings),
        lambda: Pages(settings.templates_dir),
        lambda: brand.make_brand(settings),
    )
    stores, ring, secrets, outbox, finder, pages, looks = parts
    context = SchemeContext(
        users=stores.users,
        cipher=ring,
        clock=clock,
        hasher=ring,
        challenges=stores.challenges,
        recovery_codes=stores.recovery_codes,
        outbox=outbox,
        finder=finder,
        settings=settings,
    )
    schemes: tuple[Scheme, ...] = tuple(factory(context) for factory in factories)
    recovery = RecoveryScheme(context) if settings.recovery_codes else None
    proving = (*schemes, recovery) if recovery else schemes
    tickets = TicketFormat(
        secrets, hashalg=settings.hashalg, schemes=[scheme.path for scheme in proving]
    )
    open_tickets = OpenTickets(
        stores.tickets,
        clock,
        absolute_timeout_s=settings.auth_absolute_timeout,
        renewed=settings.reissue_time is not None,
    )
    revocations = RevocationList(
        stores.revocations,
        clock,
        keep_s=revoke_for_s(settings),
        housekeeping=[
            lambda: stores.attempts.prune(now_s=int(clock.now_s())),
            lambda: stores.links.prune(now_s=int(clock.now_s())),
            lambda: stores.challenges.prune(now_s=int(clock.now_s())),
            open_tickets.write,
            lambda: stores.tickets.prune(now_s=int(clock.now_s())),
            lambda: stores.devices.prune(unused_since=int(clock.now_s()) - KNOWN_FOR_S),
        ],
    )
    languages = make_languages(settings)
    devices = Devices(stores.users, stores.devices, ring, clock)
    throttle = Throttle(stores.attempts, ring, clock)
    enrolment = Enrolment(ring, clock, totp.first_code, issuer=settings.appname)
    enrol_links = EnrolLinks(
        stores.users,
        stores.links,
        enrolment,
        ring,
        clock,
        revoke_for_s=revoke_for_s(settings),
    )
    news = Notices(outbox, clock, sender=settings.reminder_sender or "", site=settings.appname)
    site = Site(
        settings=settings,
        schemes=schemes,
        recovery=recovery,
        login=Login(
            stores.users,
            throttle,
            devices,
            open_tickets,
            revocations,
            clock,
            lifetime_s=settings.auth_timeout,
            remember_s=settings.auth_remember_timeout,
            revoke_for_s=revoke_for_s(settings),
        ),
        account=Account(
            stores.users,
            stores.devices,
            open_tickets,
            RecoveryCodes(stores.recovery_codes, ring, clock),
            revocations,
            enrolment,
            news,
            throttle,
            clock,
            revoke_for_s=revoke_for_s(settings),
        ),
        notices=news,
        links=Links(stores.links, devices, ring, clock),
        enrol_links=enrol_links,
        reminder=Reminder(
            devices,
            throttle,
            enrol_links,
            outbox,
            clock,
            sender=settings.reminder_sender or "",
            subject=settings.reminder_subject,
            body=settings.reminder_body,
        ),
        keys=ring,
        tickets=tickets,
        revocations=revocations,
        pages=pages,
        brand=looks,
        check_store=stores.check,
        sending_fails=lambda: any(one.sends for one in schemes) and outbox.failing,
        turn=Turns(clock),
        languages=languages,
        clock=clock,
    )
    for notice in notices(settings):
        log.warning(notice)
    return Gate(
        settings,
        downstream=downstream or nothing_here(languages),
        auth_app=make_auth_app(site),
        tickets=tickets,
        revocations=revocations,
        clock=clock,
        seen=open_tickets.seen,
        closing=[revocations.stop, outbox.stop, stores.close],
        languages=languages,
    )


def _collect(problems: list[str], *makers: Callable[[], Any]) -> list[Any]:
    """problems so far, makers -> what they made; or one error with all that is wrong"""
    made = []
    for make in makers:
        try:
            made.append(make())
        except ConfigurationError as error:
            problems = [*problems, *error.problems]
    if problems:
        raise ConfigurationError(list(dict.fromkeys(problems)))
    return made


def nothing_here(languages: Languages | None = None) -> WsgiApp:
    """languages -> the downstream of an ``app`` without one: there are only login pages"""
    text = _("You are signed in. There is no site behind these pages.")
    return Answers(languages=languages).page("404 Not Found", text)


# -- Paste factories ------------------------------------------------------------------------------


def app_factory(global_conf: Mapping[str, str], **local_conf: str) -> WsgiApp:
    """``paste.app_factory``: login pages only, nothing behind them"""
    return _from_paste(global_conf, local_conf, None)


def filter_app_factory(app: WsgiApp, global_conf: Mapping[str, str], **local_conf: str) -> WsgiApp:
    """``paste.filter_app_factory``: the gate in front of ``next``"""
    return _from_paste(global_conf, local_conf, app)


def filter_factory(
    global_conf: Mapping[str, str], **local_conf: str
) -> Callable[[WsgiApp], WsgiApp]:
    """``paste.filter_factory``: the gate as part of a pipeline"""
    return lambda app: _from_paste(global_conf, local_conf, app)


def _from_paste(
    global_conf: Mapping[str, str], local_conf: Mapping[str, str], app: WsgiApp | None
) -> WsgiApp:
    try:
        gate = build(local_conf, app, here=global_conf.get("here"))
    except ConfigurationError as error:
        raise _not_started(global_conf, error) from None
    warning = exposed(global_conf)
    if warning:
        log.warning(warning)
    return gate


def _not_started(global_conf: Mapping[str, str], error: ConfigurationError) -> SystemExit:
    """Says it without a traceback, under every server."""
    sys.stderr.write(complaint(global_conf.get("__file__"), error) + "\n")
    return SystemExit(NOT_STARTED)


def complaint(source: str | None, error: FactoredError) -> str:
    """ini file, error -> what an operator reads instead of a traceback"""
    problems = getattr(error, "problems", None) or (str(error),)
    return "\n".join(
        [f"factored cannot start with {source or 'these settings'}:"]
        + [f"  {problem}" for problem in problems]
    )


def simpleproxy(global_conf: Mapping[str, str], **local_conf: str) -> SimpleProxy:
    """``paste.app_factory``: SimpleProxy in front of a site that is not WSGI"""

    def readable(text: str) -> str:
        path = Path(global_conf.get("here", ".")) / text
        if not os.access(path, os.R_OK):
            raise ValueError("must be a file that can be read")
        return str(path)

    known: dict[str, Callable[[str], Any]] = {
        "server": converters.as_host_name,
        "port": converters.whole_number(1, 65535),
        "urlscheme": converters.one_of("http", "https"),
        "connect_timeout": converters.whole_number(1, 3600),
        "read_timeout": converters.whole_number(1, 86400),
        "pool_size": converters.whole_number(1, 1000),
        "ca_file": readable,
    }
    values, problems = ini.convert_all(local_conf, known)
    if not local_conf.get("server", "").strip():
        problems.append("server: is missing")
    if problems:
        error = ConfigurationError([f"simpleproxy {problem}" for problem in problems])
        raise _not_started(global_conf, error)
    scheme = values.pop("urlscheme", "http")
    for name in ("connect_timeout", "read_timeout"):
        if name in values:
            values[f"{name}_s"] = values.pop(name)
    port = values.pop("port", 443 if scheme == "https" else 80)
    return SimpleProxy(values.pop("server"), port, scheme, languages=load(), **values)


def hello(global_conf: Mapping[str, str], **local_conf: str) -> WsgiApp:
    """``paste.app_factory``: the demo downstream"""
    return hello_app
