"""``factored user ...``, and ``factored keys reencrypt``, which goes through the users too."""

from __future__ import annotations

import argparse
import os
import smtplib
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from factored import durations, names
from factored.clock import SystemClock
from factored.interfaces import (
    ConfigurationError,
    FactoredError,
    Mail,
    SendingFails,
    Stores,
    User,
    UserExists,
)
from factored.schemes.email_code import EmailScheme
from factored.schemes.recovery import RecoveryScheme
from factored.schemes.totp import TotpScheme, first_code
from factored.scripts import output
from factored.scripts.inifile import Ini
from factored.services.enrolment import Enrolment, qr_code
from factored.services.parts import (
    make_finder,
    make_key_ring,
    make_languages,
    make_postman,
    make_stores,
    read_settings,
    revoke_for_s,
)
from factored.services.throttle import MAIL, Standing, Throttle
from factored.services.users import INVITED_FOR_S, Users
from factored.settings import Settings
from factored.words import _

SCHEME_NAMES = {TotpScheme.path: TotpScheme.name}
BUDGETS = (TotpScheme.budget, EmailScheme.budget, RecoveryScheme.budget, MAIL)


def add(args: argparse.Namespace, ini: Ini) -> int:
    """Creates; with ``--qr`` the picture's file is opened first, so that nothing is half done.

    With ``--invite`` there is no secret to show: the new user gets a link to enrol with.
    """
    users, settings, stores = _open(ini)
    if args.invite:
        if stores.users.find(names.key(names.check(args.username))) is not None:
            raise UserExists(args.username)
        return _invite(args, users, settings)
    picture = _new_picture(args.qr) if args.qr else None
    try:
        made = users.add(args.username)
    except BaseException:
        if picture is not None:
            picture.unlink()
        raise
    if picture is not None:
        qr_code(made.credential.uri).save(str(picture), scale=6)
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
    stores = _open(ini)[2]
    if args.json:
        output.long_list(_known(user) for user in stores.users.each())
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
    return _print_link(args, settings, user, f"/unlock/{token}", "24 hours")


def reset(args: argparse.Namespace, ini: Ini) -> int:
    users, settings, _ = _open(ini)
    user, token = users.reset(args.username)
    output.say(
        f"Open tickets of {user.username} end within 5 seconds. The old authenticator works until "
        "the new one is set up; if somebody else has it, do `factored user disable` first."
    )
    return _print_link(args, settings, user, f"/enrol/{token}", "24 hours")


def _print_link(
    args: argparse.Namespace, settings: Settings, user: User, path: str, lives: str
) -> int:
    url = f"{settings.public_url or ''}{settings.base_auth_url}{path}"
    if args.json:
        output.document({"username": user.username, "url": url})
        return 0
    if settings.public_url is None:
        output.say("public_url is not set: put your site's scheme and host before this path.")
    output.say(f"For {user.username} alone, to open once within {lives} in a browser of theirs:")
    output.result(url)
    return 0


def invite(args: argparse.Namespace, ini: Ini) -> int:
    users, settings, _ = _open(ini)
    return _invite(args, users, settings)


def _invite(args: argparse.Namespace, users: Users, settings: Settings) -> int:
    """With ``--mail`` what a mail needs is looked at first, so that nothing is half done."""
    if args.mail:
        _refuse_mail(args.username, settings)
    user, token = users.invite(args.username)
    path = f"/enrol/{token}"
    if args.mail:
        _mail_invitation(user, settings, path)
        return _done(args, user, "has an invitation by mail, good for 7 days")
    return _print_link(args, settings, user, path, "7 days")


def _refuse_mail(name: str, settings: Settings) -> None:
    problems = []
    if settings.public_url is None:
        problems.append("public_url: is missing; a mailed link needs it, like https://example.com")
    if not names.ADDRESS.fullmatch(names.check(name)):
        problems.append(f"--username: {name!r} is no e-mail address, so no mail can go there")
    if problems:
        raise ConfigurationError(problems)


def _mail_invitation(user: User, settings: Settings, path: str) -> None:
    """Sent at once, not in the background: who runs the command reads whether it went out."""
    site, url = settings.appname, f"{settings.public_url}{settings.base_auth_url}{path}"
    words = make_languages(settings).default
    subject = words(_("Your account at ${site}", mapping={"site": site}))
    text = words(
        _(
            "You are invited to ${site}. Open this link on the phone or computer that has, or will "
            "have, your authenticator app; it works for 7 days, once:",
            mapping={"site": site},
        )
    )
    good_until = int(SystemClock().now_s()) + INVITED_FOR_S
    try:
        make_postman(settings).send(Mail(user.username, subject, f"{text}\n\n{url}\n", good_until))
    except (OSError, smtplib.SMTPException) as error:
        raise SendingFails(
            f"{user.username} is there, but the mail could not be sent: {error}; the same command "
            "without --mail prints a link"
        ) from error


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
        Enrolment(ring, clock, first_code, issuer=settings.appname),
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
