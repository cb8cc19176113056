"""The code reminder: a mail with an enrolment link, to the stored address alone."""

from __future__ import annotations

from factored import names
from factored.environ import client_source
from factored.interfaces import Clock, Mail, Outbox, Refusal, User, UserStore
from factored.services.devices import Devices
from factored.services.enrol_links import REMINDER_FOR_S, EnrolLinks
from factored.services.login import Browser
from factored.services.throttle import Throttle


class Reminder:
    """Sends links to users who lost their authenticator, and news of what was enrolled.

    :param sender: address that the mails come from; empty for the usual one
    :param subject: of the mail; ``body`` has ``{code}``, which the link replaces: the secret itself
        never travels by mail
    """

    def __init__(
        self,
        users: UserStore,
        devices: Devices,
        throttle: Throttle,
        links: EnrolLinks,
        outbox: Outbox,
        clock: Clock,
        *,
        sender: str,
        subject: str,
        body: str,
        appname: str,
    ) -> None:
        self._users = users
        self._devices = devices
        self._throttle = throttle
        self._links = links
        self._outbox = outbox
        self._clock = clock
        self._sender = sender
        self._subject = " ".join(subject.split())
        self._body = body
        self._appname = appname

    def send(self, name: str, browser: Browser, enrol_url: str) -> Refusal | None:
        """checked name, browser, URL that a token is put behind -> Refusal: asked too often

        A name without an account, or without an address, is counted and sent nothing.

        :raises SendingFails: nothing can be sent at the moment, to nobody
        """
        self._outbox.check()
        username_key = names.key(name)
        user = self._users.find(username_key)
        device = self._devices.known(browser.device_cookies, user)
        source = client_source(browser.address)
        refused = self._throttle.count_sending(username_key, user, source, device)
        if refused is None and user is not None and self._has_mailbox(user):
            token = self._links.make(user, REMINDER_FOR_S)
            text = self._body.replace("{code}", f"{enrol_url}{token}")
            self._post(user, self._subject, text, REMINDER_FOR_S)
        return refused

    def tell(self, user: User) -> None:
        """a user who enrolled -> None; he reads it by mail, if his name is an address"""
        if self._has_mailbox(user):
            text = (
                f"A new authenticator was set up for {user.username} at {self._appname}, and the "
                "old one works no more. If that was not you, tell the operator at once.\n"
            )
            self._post(user, f"New authenticator at {self._appname}", text, REMINDER_FOR_S)

    def _post(self, user: User, subject: str, text: str, for_s: int) -> None:
        good_until = int(self._clock.now_s()) + for_s
        self._outbox.post(Mail(user.username, subject, text, good_until, self._sender))

    @staticmethod
    def _has_mailbox(user: User) -> bool:
        return user.disabled_at is None and bool(names.ADDRESS.fullmatch(user.username))
