"""News by mail of what changed in an account, to users whose name is an address."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from factored import names
from factored.interfaces import Clock, Mail, Outbox, SendingFails, User
from factored.words import Words, _

GOOD_FOR_S = 86400
"""News are still news a day later; then a mail server that was down is not bothered with them."""


@dataclass(frozen=True)
class News:
    """One kind of change; ``text`` may have ``${what}``, the label or browser that it is about."""

    subject: str
    text: str


ENROLLED = News(
    _("New authenticator at ${site}"),
    _(
        "A new authenticator was set up for ${user} at ${site}. The old one and old recovery codes "
        "work no more."
    ),
)
ADDED = News(
    _("New authenticator at ${site}"),
    _("An authenticator was added to the account of ${user} at ${site}: ${what}."),
)
RENAMED = News(
    _("Authenticator renamed at ${site}"),
    _("An authenticator of ${user} at ${site} has a new name: ${what}."),
)
DELETED = News(
    _("Authenticator deleted at ${site}"),
    _(
        "An authenticator of ${user} at ${site} was deleted: ${what}. Every other browser was "
        "signed out."
    ),
)
CODES_MADE = News(
    _("New recovery codes at ${site}"),
    _("New recovery codes were made for ${user} at ${site}. The old ones work no more."),
)
CODE_USED = News(
    _("A recovery code was used at ${site}"),
    _("Somebody signed in as ${user} at ${site} with a recovery code. Codes left: ${what}."),
)
SIGNED_OUT = News(
    _("A browser was signed out at ${site}"),
    _("A browser of ${user} was signed out at ${site}: ${what}."),
)
SIGNED_OUT_EVERYWHERE = News(
    _("Signed out everywhere at ${site}"),
    _("Every browser of ${user} was signed out at ${site}."),
)
FORGOTTEN = News(
    _("A browser is no longer known at ${site}"),
    _("A known browser of ${user} at ${site} was forgotten: ${what}."),
)

IF_NOT_YOU = _("If that was not you, tell the operator of the site at once.")


class Notices:
    """Tells users; a change holds whether its mail can be sent or not.

    :param sender: address that the mails come from; empty for the usual one
    :param site: its name
    """

    def __init__(self, outbox: Outbox, clock: Clock, *, sender: str, site: str) -> None:
        self._outbox = outbox
        self._clock = clock
        self._sender = sender
        self._site = site

    def tell(self, user: User, news: News, words: Words, what: str = "") -> None:
        """user, what happened, in which language, to what -> None; the audit log has it anyway"""
        if not has_mailbox(user):
            return
        facts = {"user": user.username, "site": self._site, "what": what}
        subject, text = (words(part % facts) for part in (news.subject, news.text))
        good_until = int(self._clock.now_s()) + GOOD_FOR_S
        body = f"{text}\n\n{words(IF_NOT_YOU)}\n"
        with contextlib.suppress(SendingFails):
            self._outbox.post(Mail(user.username, subject, body, good_until, self._sender))


def has_mailbox(user: User) -> bool:
    """user -> whether mails can reach him: the name is an address, and he is not disabled"""
    return user.disabled_at is None and bool(names.ADDRESS.fullmatch(user.username))
