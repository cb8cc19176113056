"""What the pages say; ``formtext.*`` replaces it, key by key."""

from __future__ import annotations

from collections.abc import Mapping

from factored.words import _

TEXTS: Mapping[str, str] = {
    "title": _("Sign in"),
    "legend": _("One more step to get in."),
    "username.label": _("User name"),
    "username.desc": _("The name or e-mail address that you are known by here."),
    "code.label": _("Code"),
    "code.desc": "",
    "button.username": _("Continue"),
    "button.authenticate": _("Sign in"),
    "button.codereminder": _("Send code reminder"),
    "error.wrong": _("That code is not right. Look at the newest one and try again."),
    "error.expired": _("No code is waited for any more. Ask for a new one."),
    "error.replayed": _("That code was just used. Wait for the next one and try again."),
    "error.skewed": _(
        "That code fits another moment: the clock of the device with your app seems off. Let it "
        "set its time by itself, wait five minutes and try again."
    ),
    "error.invalid_username": "",
    "error.code_reminder": _(
        "If there is an account of that name with an address, a link is on its way to it."
    ),
}
