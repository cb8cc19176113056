"""``factored init``, ``factored check`` and ``factored keys ...``: what a site stands on."""

from __future__ import annotations

import argparse
import smtplib
import ssl
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from factored import codes, keys
from factored.clock import SystemClock
from factored.converters import as_bool
from factored.environ import is_loopback
from factored.interfaces import ConfigurationError, FactoredError, Stores
from factored.scripts import output
from factored.scripts.inifile import Ini
from factored.services.adoption import Adopted, Adoption
from factored.services.parts import (
    make_finder,
    make_key_ring,
    make_stores,
    make_ticket_secrets,
    missing_parts,
    notices,
    read_settings,
    scheme_factories,
    sends_mail,
)
from factored.settings import Settings
from factored.store.bundle import SqlStores

RELEASED_AT = 1795305600
"""2026-11-22: a clock that says less is wrong for certain."""

MAIL_TIMEOUT_S = 5

WAITRESS_STRIPS = (
    "X-Forwarded-* of these is believed; waitress hands it over only if [server:main] sets its own "
    "trusted_proxy, or clear_untrusted_proxy_headers = false"
)


def init(args: argparse.Namespace, ini: Ini) -> int:
    """Makes what is missing and upgrades what is old; changes nothing that is as it should be."""
    settings = read_settings(ini.given, here=ini.here, require_files=False)
    clock = SystemClock()
    stores = make_stores(settings, clock, must_exist=False)
    _refuse_lost_key_file(settings, stores)
    # The table of 1.x to 4.x is in a database, so another store has nobody to take over.
    adoption = Adoption(stores.legacy, clock) if isinstance(stores, SqlStores) else None
    if adoption is not None:
        adoption.check()
    for path in (settings.key_file, settings.ticket_secret_file):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            if keys.create_file(path, codes.new_key()):
                output.say(f"made {path}: back it up, apart from the database")
    stores.upgrade()
    ring = make_key_ring(settings, clock)
    adopted = adoption.run(ring) if adoption is not None else Adopted(0, ())
    _tell(adopted)
    revision = stores.revision()
    if args.json:
        output.document(
            {"database": stores.location, "revision": revision, "adopted": adopted.count}
        )
    else:
        output.say(f"{stores.location} is at revision {revision}")
    return 0


def _tell(adopted: Adopted) -> None:
    for name, reason in adopted.without_authenticator:
        output.say(f"{name} is taken over without an authenticator: {reason}")
    if adopted.without_authenticator:
        output.say("to give one: factored user remove, then factored user add")
    if adopted.count:
        output.say(
            f"users taken over: {adopted.count}; the old table is left as it is, with their "
            "secrets in clear text: drop it when nobody will go back"
        )


def _refuse_lost_key_file(settings: Settings, stores: Stores) -> None:
    """A new key file would hide that the old one is needed to read what is in the database."""
    if settings.key_file.exists() or stores.revision() is None:
        return
    if next(stores.users.each(), None) is not None:
        raise ConfigurationError(
            [
                f"key_file: {settings.key_file} is not there, and the database holds users whose "
                "secrets only it can read; put it back from a backup"
            ]
        )


# -- keys -----------------------------------------------------------------------------------------


def keys_add(args: argparse.Namespace, ini: Ini) -> int:
    return _rotate(
        args, ini, lambda path: keys.add_key(path, codes.new_key()),
        "has a new key in second place; when every node has it: factored keys promote",
    )  # fmt: skip


def keys_promote(args: argparse.Namespace, ini: Ini) -> int:
    return _rotate(args, ini, keys.promote_key, "signs with the newest key now")


def _rotate(args: argparse.Namespace, ini: Ini, change: Callable[[Path], None], done: str) -> int:
    """One step of a rotation, on one file; running processes follow within 5 s."""
    settings = read_settings(ini.given, here=ini.here)
    files = {"key_file": settings.key_file, "auth_tkt.secret_file": settings.ticket_secret_file}
    path = files[args.of]
    if path is None:
        raise ConfigurationError(
            ["auth_tkt.secret_file: is not set; auth_tkt.secret is rotated by hand in the ini"]
        )
    try:
        change(path)
    except ValueError as error:
        raise ConfigurationError([f"{args.of}: {path}: {error}"]) from error
    if args.json:
        output.document({"file": str(path), "of": args.of})
    else:
        output.say(f"{path} {done}")
    return 0


# -- check ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Check:
    """What was looked at, whether it is well, and what to do if not."""

    name: str
    ok: bool
    detail: str


def check(args: argparse.Namespace, ini: Ini) -> int:
    """Looks at everything and changes nothing; exit status 1 if something is not well."""
    checks = list(_checks(ini))
    ok = all(one.ok for one in checks)
    if args.json:
        output.document({"ok": ok, "checks": [asdict(one) for one in checks]})
    else:
        for one in checks:
            output.result(f"{'ok  ' if one.ok else 'FAIL'}  {one.name}: {one.detail}")
    return 0 if ok else 1


def _checks(ini: Ini) -> list[Check]:
    # Brings Pyramid: a tenth of a second that the other commands need not wait.
    from factored.web.brand import file_problems

    missing = [*scheme_factories(ini.given)[1], *missing_parts(ini.given)]
    looks = file_problems(ini.given, ini.here)
    try:
        settings = read_settings(ini.given, here=ini.here, require_files=False)
    except ConfigurationError as error:
        return [Check("settings", False, text) for text in (*error.problems, *missing, *looks)]
    found = [Check("settings", True, f"[{ini.section}] of {ini.path.name} is understood")]
    found += [Check("settings", False, text) for text in (*missing, *looks)]
    found += [Check("notice", True, text) for text in notices(settings)]
    if settings.trusted_proxies:
        found.append(Check("trusted_proxies", True, WAITRESS_STRIPS))
    clock = SystemClock()
    found += [
        _try("database", lambda: _database(settings)),
        _try("schema", lambda: _schema(settings)),
        _try("key_file", lambda: _key_file(settings, make_key_ring, settings.key_file)),
    ]
    if settings.ticket_secret_file is not None:
        path = settings.ticket_secret_file
        found.append(
            _try("auth_tkt.secret_file", lambda: _key_file(settings, make_ticket_secrets, path))
        )
    if settings.autouserfinder and not missing:
        found.append(_try("autouserfinder", lambda: _finder(settings)))
    found.append(_try("mail", lambda: _mail(settings)))
    found.append(_try("clock", lambda: _clock(clock.now_s())))
    return found


def _try(name: str, look: Callable[[], str]) -> Check:
    """A check is well if it does not raise; what it raises says what to do."""
    try:
        return Check(name, True, look())
    except FactoredError as error:
        text = "; ".join(getattr(error, "problems", ()) or [str(error)])
        return Check(name, False, text.removeprefix(f"{name}: "))


def _database(settings: Settings) -> str:
    stores = make_stores(settings, SystemClock())
    stores.revision()
    return f"{stores.location} answers"


def _schema(settings: Settings) -> str:
    stores = make_stores(settings, SystemClock())
    stores.check()
    return f"is {stores.revision()}, which this release can use"


def _key_file(
    settings: Settings, read: Callable[[Settings, SystemClock], object], path: Path
) -> str:
    read(settings, SystemClock())
    mode = path.stat().st_mode & 0o077
    if mode:
        raise FactoredError(f"{path} can be read by others: chmod 600 {path}")
    return f"{path} is there, for its owner alone"


def _finder(settings: Settings) -> str:
    make_finder(settings)
    return f"{settings.autouserfinder} can be asked"


def _mail(settings: Settings) -> str:
    """Says hello to the mail server, with its certificate checked, and sends nothing."""
    mail = settings.mail
    host = mail.get("mail.host", "")
    if not host:
        if not sends_mail(settings):
            return "mail.host is not set, and nothing here sends mail"
        host = "localhost"
    if host == "debug":
        return "mails go to the console"
    try:
        port = int(mail.get("mail.port", "25"))
        if as_bool(mail.get("mail.ssl", "false")):
            context = ssl.create_default_context()
            with smtplib.SMTP_SSL(host, port, timeout=MAIL_TIMEOUT_S, context=context) as server:
                server.noop()
            return f"{host}:{port} answers over TLS"
        with smtplib.SMTP(host, port, timeout=MAIL_TIMEOUT_S) as server:
            server.ehlo()
            if as_bool(mail.get("mail.tls", "false")):
                server.starttls(context=ssl.create_default_context())
                return f"{host}:{port} answers over TLS"
        if is_loopback(host):
            return f"{host}:{port} answers"
        return f"warning: mails to {host}:{port} travel in clear text: set mail.tls = true"
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise FactoredError(f"{host} cannot be used: {error}") from error


def _clock(now_s: float) -> str:
    """TOTP codes are right for about a minute, so a wrong clock shuts everybody out."""
    if now_s < RELEASED_AT:
        raise FactoredError("is in the past: set up time synchronisation (NTP)")
    shown = datetime.fromtimestamp(now_s, timezone.utc).isoformat(timespec="seconds")
    return f"says {shown}; keep it right by NTP, codes depend on it"
