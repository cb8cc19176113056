"""Mails on their way out: a bounded queue and one thread, so that no page waits for SMTP."""

from __future__ import annotations

import logging
import os
import queue
import secrets
import smtplib
import threading
from collections import deque
from collections.abc import Callable

from factored.interfaces import Clock, Mail, SendingFails

log = logging.getLogger(__name__)

WAITING = 100
"""Mails that may wait; more means that nothing gets out."""

RETRY_S = 5.0

LATER_MS = range(200, 1200)
"""When a mail is taken up after it was posted. Making it would slow down the very answer, and the
next one: who measures them would learn that there was somebody to send a mail to (PROMISES 10)."""

PUT_OFF_S = 15.0
"""Greylisting servers take a second try, and want a pause before it."""

REFUSED = (smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError)
"""The mail server answers well and does not want this one mail: nobody else is concerned."""


def is_for_now(error: smtplib.SMTPRecipientsRefused | smtplib.SMTPDataError) -> bool:
    """refusal -> whether the server may take the same mail later

    Source: RFC 5321 section 4.2.1, 4yz; RFC 6647.
    """
    if isinstance(error, smtplib.SMTPDataError):
        return 400 <= error.smtp_code < 500
    return all(400 <= code < 500 for code, _ in error.recipients.values())


class _Sender:
    """What one process has: its queue, its thread, and whether sending fails."""

    def __init__(self) -> None:
        self.waiting: queue.Queue[tuple[float, Mail]] = queue.Queue(WAITING)
        self.put_off: deque[tuple[float, Mail]] = deque()
        self.lock = threading.Lock()
        self.thread: threading.Thread | None = None
        self.fails = False
        self.stop = threading.Event()


class BackgroundOutbox:
    """:class:`factored.interfaces.Outbox`: sends by itself, tries again, and says when it cannot.

    :param send: Mail -> None; raises what smtplib raises
    :param probe: -> None; raises if the mail server cannot be reached; asked while sending fails
    """

    def __init__(
        self, send: Callable[[Mail], None], probe: Callable[[], None], clock: Clock
    ) -> None:
        self._send = send
        self._probe = probe
        self._clock = clock
        self._by_pid: dict[int, _Sender] = {}

    @property
    def failing(self) -> bool:
        """-> whether the last mail could not be sent, and none since"""
        sender = self._sender()
        return sender.fails or sender.waiting.full()

    def check(self) -> None:
        if self.failing:
            raise SendingFails("mails cannot be sent at the moment; the log says why")

    def post(self, mail: Mail) -> None:
        sender = self._sender()
        due_s = self._clock.monotonic_s() + secrets.choice(LATER_MS) / 1000
        try:
            sender.waiting.put_nowait((due_s, mail))
        except queue.Full:
            raise SendingFails("too many mails wait to be sent") from None
        if sender.thread is None or not sender.thread.is_alive():
            self._start(sender)

    def stop(self) -> None:
        """-> None; ends this process's thread, after the mail that it is at"""
        self._sender().stop.set()

    def _sender(self) -> _Sender:
        pid = os.getpid()
        return self._by_pid.get(pid) or self._by_pid.setdefault(pid, _Sender())

    def _start(self, sender: _Sender) -> None:
        with sender.lock:
            if sender.thread is None or not sender.thread.is_alive():
                sender.thread = threading.Thread(
                    target=self._keep_sending, args=(sender,), name="factored-mail", daemon=True
                )
                sender.thread.start()

    def _keep_sending(self, sender: _Sender) -> None:
        while not sender.stop.is_set():
            mail = self._next(sender)
            if mail is None:
                if sender.fails:
                    self._try(sender, self._probe)
            elif not self._deliver(sender, mail):
                log.error("a mail was dropped: it could not be sent in time")

    def _next(self, sender: _Sender) -> Mail | None:
        """sender -> the mail that is to be sent now; None if there was none for a while"""
        if sender.put_off and sender.put_off[0][0] <= self._clock.monotonic_s():
            return sender.put_off.popleft()[1]
        try:
            due_s, mail = sender.waiting.get(timeout=RETRY_S)
        except queue.Empty:
            return None
        sender.stop.wait(due_s - self._clock.monotonic_s())
        return mail

    def _deliver(self, sender: _Sender, mail: Mail) -> bool:
        """sender, mail -> whether it is sent, refused or put off; False when it is good no more"""
        while self._clock.now_s() < mail.good_until:
            if self._try(sender, lambda: self._offer(sender, mail)):
                return True
            if sender.stop.wait(RETRY_S):
                break
        return False

    def _offer(self, sender: _Sender, mail: Mail) -> None:
        try:
            self._send(mail)
        except REFUSED as error:
            if is_for_now(error) and len(sender.put_off) < WAITING:
                sender.put_off.append((self._clock.monotonic_s() + PUT_OFF_S, mail))
                log.warning("the mail server puts a mail off: %s", type(error).__name__)
            else:
                log.error("the mail server refused a mail: %s", type(error).__name__)

    def _try(self, sender: _Sender, step: Callable[[], None]) -> bool:
        """sender, step -> whether the mail server did its part; sets whether sending fails"""
        try:
            step()
        except Exception as error:  # noqa: BLE001 whatever it is, the thread must go on
            if not sender.fails:
                log.error("mails cannot be sent: %s: %s", type(error).__name__, error)
            sender.fails = True
            return False
        if sender.fails:
            log.warning("mails are sent again")
        sender.fails = False
        return True
