"""The code reminder: a mail with an enrolment link, to the stored address alone."""

from __future__ import annotations

from factored import names
from factored.interfaces import Clock, Mail, Outbox, Refusal
from factored.services.devices import Browser, Devices
from factored.services.enrol_links import REMINDER_FOR_S, EnrolLinks
from factored.services.notices import has_mailbox
from factored.services.throttle import Throttle
from factored.words import ENGLISH, Words


class Reminder:
    """Sends links to users who lost their authenticator.

    :param sender: address that the mails come from; empty for the usual one
    :param subject: of the mail; ``body`` has ``{code}``, which the link replaces: the secret itself
        never travels by mail
    """

    def __init__(
        self,
        devices: Devices,
        throttle: Throttle,
        links: EnrolLinks,
        outbox: Outbox,
        clock: Clock,
        *,
        sender: str,
        subject: str,
        body: str,
    ) -> None:
        self._devices = devices
        self._throttle = throttle
        self._links = links
        self._outbox = outbox
        self._clock = clock
        self._sender = sender
        self._subject = subject
        self._body = body

    def send(
        self, name: str, browser: Browser, enrol_url: str, words: Words = ENGLISH
    ) -> Refusal | None:
        """checked name, browser, URL that a token is put behind -> Refusal: asked too often

        A name without an account, or without an address, is counted and sent nothing.

        :raises SendingFails: nothing can be sent at the moment, to nobody
        """
        self._outbox.check()
        username_key = names.key(name)
        user, device = self._devices.visitor(username_key, browser.device_cookies)
        refused = self._throttle.count_sending(username_key, user, browser.source, device)
        if refused is None and user is not None and has_mailbox(user):
            token = self._links.make(user, REMINDER_FOR_S)
            subject = " ".join(words(self._subject).split())
            text = words(self._body).replace("{code}", f"{enrol_url}{token}")
            good_until = int(self._clock.now_s()) + REMINDER_FOR_S
            self._outbox.post(Mail(user.username, subject, text, good_until, self._sender))
        return refused
