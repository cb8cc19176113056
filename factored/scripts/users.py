"""``factored user ...``, and ``factored keys reencrypt``, which goes through the users too."""

from __future__ import annotations

import argparse
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import segno

from factored import durations
from factored.clock import SystemClock
from factored.interfaces import FactoredError, Stores, User
from factored.schemes.email_code import EmailScheme
from factored.schemes.totp import TotpScheme
from factored.scripts import output
from factored.scripts.inifile import Ini
from factored.services.enrolment import Enrolment
from factored.services.parts import (
    make_finder,
    make_key_ring,
    make_stores,
    read_settings,
    revoke_for_s,
)
from factored.services.throttle import MAIL, Standing, Throttle
from factored.services.users import Users
from factored.settings import Settings

SCHEME_NAMES = {TotpScheme.path: TotpScheme.name}
BUDGETS = (TotpScheme.budget, EmailScheme.budget, MAIL)


def add(args: argparse.Namespace, ini: Ini) -> int:
    """Creates; with ``--qr`` the picture's file is opened first, so that nothing is half done."""
    users, _, _ = _open(ini)
    picture = _new_picture(args.qr) if args.qr else None
    try:
        made = users.add(args.username)
    except BaseException:
        if picture is not None:
            picture.unlink()
        raise
    if picture is not None:
        segno.make(made.credential.uri, error="m", micro=False).save(str(picture), scale=6)
    if args.json:
        output.document(
            {
                "username": made.user.username,
                "secret": made.credential.secret,
                "uri": made.credential.uri,
            }
        )
        return 0
    output.say(f"{made.user.username} can log in once an authenticator app has this code:")
    _show_credential(made.credential.secret, made.credential.uri)
    return 0


def remove(args: argparse.Namespace, ini: Ini) -> int:
    users, settings, _ = _open(ini)
    user = users.remove(args.username)
    if _may_come_back(user, settings):
        output.say(
            f"{settings.autouserfinder} may let {user.username} come back: remove the name there, "
            "or keep the user and do `factored user disable`."
        )
    return _done(args, user, "is removed; open tickets end within 5 seconds")


def _may_come_back(user: User, settings: Settings) -> bool:
    """user, settings -> whether the finder knows the name, or cannot be asked"""
    try:
        finder = make_finder(settings)
        return finder is not None and finder.find(user.username) is not None
    except FactoredError:
        return True


def list_all(args: argparse.Namespace, ini: Ini) -> int:
    _, _, stores = _open(ini)
    if args.json:
        output.document([_known(user) for user in stores.users.each()])
    else:
        for user in stores.users.each():
            output.result(user.username)
    return 0


def show(args: argparse.Namespace, ini: Ini) -> int:
    users, settings, stores = _open(ini)
    user = users.find(args.username)
    clock = SystemClock()
    throttle = Throttle(stores.attempts, make_key_ring(settings, clock), clock)
    standings = [throttle.standing(user, budget) for budget in BUDGETS]
    now_s = int(clock.now_s())
    facts = _known(user) | {"budgets": [_budget(one, now_s) for one in standings]}
    credential = None
    if args.show_secret and user.authenticators:
        credential = users.credential(user, user.authenticators[0])
        facts |= {"secret": credential.secret, "uri": credential.uri}
    if args.json:
        output.document(facts)
        return 0
    output.result(f"user name:  {user.username}")
    output.result(f"created:    {_moment(user.created_at)}")
    output.result(f"last login: {_moment(user.last_login_at) or 'never'}")
    output.result(f"disabled:   {_moment(user.disabled_at) or 'no'}")
    for held in facts["authenticators"]:
        renewal = ", secret is short: enrol again" if held["needs_renewal"] else ""
        used = held["last_used"] or "never"
        output.result(
            f"holds:      {held['label']} ({held['scheme']}, {held['state']}), "
            f"added {held['created']}, last used {used}{renewal}"
        )
    for standing, budget in zip(standings, facts["budgets"], strict=True):
        output.result(_spent(standing, budget["locked_until"]))
    if credential is not None:
        _show_credential(credential.secret, credential.uri)
    return 0


def _spent(standing: Standing, locked_until: str | None) -> str:
    """-> one line of ``show``: what strangers used up of a budget, and until when it is full"""
    used = ", ".join(
        f"{number} of {limit.count} in {durations.period(limit.window_s)}"
        for limit, number in standing.used
    )
    until = f"; locked for new devices until {locked_until}" if locked_until else ""
    return f"{standing.budget + ':':<11} {used}{until}"


def unlock(args: argparse.Namespace, ini: Ini) -> int:
    users, settings, _ = _open(ini)
    user, token = users.unlock(args.username)
    return _print_link(args, settings, user, f"/unlock/{token}")


def reset(args: argparse.Namespace, ini: Ini) -> int:
    users, settings, _ = _open(ini)
    user, token = users.reset(args.username)
    output.say(
        f"Open tickets of {user.username} end within 5 seconds. The old authenticator works until "
        "the new one is set up; if somebody else has it, do `factored user disable` first."
    )
    return _print_link(args, settings, user, f"/enrol/{token}")


def _print_link(args: argparse.Namespace, settings: Settings, user: User, path: str) -> int:
    url = f"{settings.public_url or ''}{settings.base_auth_url}{path}"
    if args.json:
        output.document({"username": user.username, "url": url})
        return 0
    if settings.public_url is None:
        output.say("public_url is not set: put your site's scheme and host before this path.")
    output.say(f"For {user.username} alone, to open once within 24 hours in a browser of theirs:")
    output.result(url)
    return 0


def disable(args: argparse.Namespace, ini: Ini) -> int:
    user = _open(ini)[0].disable(args.username)
    return _done(args, user, "cannot log in any more; open tickets end within 5 seconds")


def enable(args: argparse.Namespace, ini: Ini) -> int:
    user = _open(ini)[0].enable(args.username)
    return _done(args, user, "can log in again")


def _done(args: argparse.Namespace, user: User, what: str) -> int:
    if args.json:
        output.document({"username": user.username})
    else:
        output.say(f"{user.username} {what}.")
    return 0


def reencrypt(args: argparse.Namespace, ini: Ini) -> int:
    """Exit status 1 if there are secrets that no key in the file can read; the others are done."""
    done = _open(ini)[0].reencrypt()
    for username in done.unreadable:
        output.say(f"{username}: the secret cannot be read with today's keys, and stays as it is")
    if args.json:
        output.document({"reencrypted": done.count, "unreadable": list(done.unreadable)})
    else:
        output.say(f"secrets under the newest key: {done.count}")
    return 1 if done.unreadable else 0


def _open(ini: Ini) -> tuple[Users, Settings, Stores]:
    settings = read_settings(ini.given, here=ini.here)
    clock = SystemClock()
    stores = make_stores(settings, clock)
    stores.check()
    ring = make_key_ring(settings, clock)
    users = Users(
        stores.users,
        stores.links,
        ring,
        clock,
        Enrolment(ring, clock, issuer=settings.appname),
        revoke_for_s=revoke_for_s(settings),
    )
    return users, settings, stores


def _new_picture(name: str) -> Path:
    """The file for a QR code: readable by its owner alone, as it holds the secret."""
    path = Path(name)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    return path


def _show_credential(secret: str, uri: str) -> None:
    output.qr_in_terminal(uri)
    output.result(f"secret: {secret}")
    output.result(f"uri: {uri}")


def _known(user: User) -> dict[str, Any]:
    """user -> what may be shown of him without being asked for secrets"""
    held = [
        {
            "scheme": SCHEME_NAMES.get(one.scheme, one.scheme),
            "label": one.label,
            "state": one.state.value,
            "created": _moment(one.created_at),
            "last_used": _moment(one.last_used_at),
            "needs_renewal": one.needs_renewal,
        }
        for one in user.authenticators
    ]
    return {
        "username": user.username,
        "schemes": list(dict.fromkeys(one["scheme"] for one in held)),
        "created": _moment(user.created_at),
        "last_login": _moment(user.last_login_at),
        "disabled": _moment(user.disabled_at),
        "authenticators": held,
    }


def _budget(standing: Standing, now_s: int) -> dict[str, Any]:
    """standing -> the same for JSON; what a known device has of its own is not in it"""
    return {
        "budget": standing.budget,
        "limits": [
            {"count": limit.count, "window_s": limit.window_s, "used": used}
            for limit, used in standing.used
        ],
        "locked_until": _moment(now_s + standing.locked_s) if standing.locked_s else None,
    }


def _moment(at: int | None) -> str | None:
    """Unix time -> ISO 8601 in UTC"""
    return None if at is None else datetime.fromtimestamp(at, timezone.utc).isoformat()
