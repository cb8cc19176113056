"""What the pages say; ``formtext.*`` replaces it, key by key."""

from __future__ import annotations

from collections.abc import Mapping

TEXTS: Mapping[str, str] = {
    "title": "Sign in",
    "legend": "One more step to get in.",
    "username.label": "User name",
    "username.desc": "The name or e-mail address that you are known by here.",
    "code.label": "Code",
    "code.desc": "",
    "button.username": "Continue",
    "button.authenticate": "Sign in",
    "button.codereminder": "Send code reminder",
    "error.wrong": "That code is not right. Look at the newest one and try again.",
    "error.expired": "No code is waited for any more. Ask for a new one.",
    "error.replayed": "That code was just used. Wait for the next one and try again.",
    "error.invalid_username": "",
    "error.code_reminder": (
        "If there is an account of that name with an address, a link is on its way to it."
    ),
}
