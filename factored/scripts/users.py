"""``factored user ...``: add, remove, list, show, unlock."""

from __future__ import annotations

import argparse
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import segno

from factored.clock import SystemClock
from factored.interfaces import FactoredError, Stores, User
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
from factored.services.users import Users
from factored.settings import Settings

SCHEME_NAMES = {TotpScheme.path: TotpScheme.name}


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
            f"{settings.autouserfinder} may let {user.username} come back: remove the name there."
        )
    if args.json:
        output.document({"username": user.username})
    else:
        output.say(f"{user.username} is removed; open tickets end within 5 seconds.")
    return 0


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
    users, _, _ = _open(ini)
    user = users.find(args.username)
    facts = _known(user)
    credential = None
    if args.show_secret and user.authenticators:
        credential = users.credential(user, user.authenticators[0])
        facts |= {"secret": credential.secret, "uri": credential.uri}
    if args.json:
        output.document(facts)
        return 0
    output.result(f"user name:  {user.username}")
    output.result(f"created:    {_moment(user.created_at)}")
    output.result(f"disabled:   {_moment(user.disabled_at) or 'no'}")
    for held in facts["authenticators"]:
        renewal = ", secret is short: enrol again" if held["needs_renewal"] else ""
        used = held["last_used"] or "never"
        output.result(
            f"holds:      {held['label']} ({held['scheme']}, {held['state']}), "
            f"added {held['created']}, last used {used}{renewal}"
        )
    if credential is not None:
        _show_credential(credential.secret, credential.uri)
    return 0


def unlock(args: argparse.Namespace, ini: Ini) -> int:
    users, settings, _ = _open(ini)
    user, token = users.unlock(args.username)
    url = f"{settings.public_url or ''}{settings.base_auth_url}/unlock/{token}"
    if args.json:
        output.document({"username": user.username, "url": url})
        return 0
    if settings.public_url is None:
        output.say("public_url is not set: put your site's scheme and host before this path.")
    output.say(f"For {user.username} alone, to open once within 24 hours in a browser of theirs:")
    output.result(url)
    return 0


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
        "disabled": _moment(user.disabled_at),
        "authenticators": held,
    }


def _moment(at: int | None) -> str | None:
    """Unix time -> ISO 8601 in UTC"""
    return None if at is None else datetime.fromtimestamp(at, timezone.utc).isoformat()
