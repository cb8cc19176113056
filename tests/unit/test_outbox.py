"""Mails leave in the background; while none gets out, whoever asks is told so."""

from __future__ import annotations

import os
import smtplib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from queue import SimpleQueue

import pytest

from factored.interfaces import Mail, SendingFails
from factored.services import outbox as outboxes
from factored.services.outbox import LATER_MS, WAITING, BackgroundOutbox
from tests.support import NOW_S, FixedClock, eventually

DEADLINE_S = 10


def mail(number: int = 0) -> Mail:
    return Mail(f"al{number}@example.com", "Your code", f"secret text {number}", NOW_S + 120)


@dataclass
class Server:
    """A mail server: keeps what it gets, raises what it is told, and holds on while it is shut."""

    error: Exception | None = None
    probe_error: Exception | None = None
    sent: SimpleQueue[Mail] = field(default_factory=SimpleQueue)
    tries: list[Mail] = field(default_factory=list)
    probes: int = 0
    open: threading.Event = field(default_factory=threading.Event)

    def send(self, one: Mail) -> None:
        self.tries.append(one)
        assert self.open.wait(DEADLINE_S)
        if self.error is not None:
            raise self.error
        self.sent.put(one)

    def probe(self) -> None:
        self.probes += 1
        if self.probe_error is not None:
            raise self.probe_error

    def next(self) -> Mail:
        return self.sent.get(timeout=DEADLINE_S)


@pytest.fixture
def server() -> Server:
    made = Server()
    made.open.set()
    return made


@pytest.fixture
def outbox(
    server: Server, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[BackgroundOutbox]:
    monkeypatch.setattr(outboxes, "RETRY_S", 0.01)
    monkeypatch.setattr(outboxes, "LATER_MS", [0])
    made = BackgroundOutbox(server.send, server.probe, clock)
    yield made
    server.open.set()
    made.stop()
    for thread in threading.enumerate():
        if thread.name == "factored-mail":
            thread.join(DEADLINE_S)
            assert not thread.is_alive()


def test_mails_are_sent_in_the_order_they_were_posted(
    outbox: BackgroundOutbox, server: Server
) -> None:
    for number in range(5):
        outbox.check()
        outbox.post(mail(number))
    assert [server.next() for _ in range(5)] == [mail(number) for number in range(5)]
    assert not outbox.failing


def test_no_thread_runs_before_the_first_mail_and_one_for_all_of_them(
    outbox: BackgroundOutbox, server: Server
) -> None:
    def threads() -> int:
        return sum(one.name == "factored-mail" for one in threading.enumerate())

    outbox.check()
    assert threads() == 0
    for number in range(20):
        outbox.post(mail(number))
        assert threads() == 1


def test_many_who_post_at_once_start_one_thread(outbox: BackgroundOutbox) -> None:
    sender = outbox._sender()
    starts = [threading.Thread(target=outbox._start, args=(sender,)) for _ in range(10)]
    for one in starts:
        one.start()
    for one in starts:
        one.join(DEADLINE_S)
    assert sum(one.name == "factored-mail" for one in threading.enumerate()) == 1


def test_posting_does_not_wait_for_the_server(outbox: BackgroundOutbox, server: Server) -> None:
    server.open.clear()
    outbox.post(mail())
    eventually(lambda: server.tries)
    outbox.check()
    outbox.post(mail(1))
    assert server.sent.empty()
    server.open.set()
    assert [server.next(), server.next()] == [mail(), mail(1)]


def test_a_mail_is_made_when_the_answer_is_long_gone(
    outbox: BackgroundOutbox, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or its making would slow down that answer and the next one, and so tell of the account."""
    assert all(200 <= later < 2000 for later in LATER_MS)
    assert len(LATER_MS) > 100
    monkeypatch.setattr(outboxes, "LATER_MS", [60_000])
    outbox.post(mail())
    eventually(lambda: outbox._sender().waiting.empty())
    time.sleep(0.05)
    assert server.tries == []
    outbox.stop()
    assert server.next() == mail()


def test_mails_that_were_held_up_wait_no_longer(
    outbox: BackgroundOutbox, server: Server, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.open.clear()
    outbox.post(mail())
    eventually(lambda: server.tries)
    monkeypatch.setattr(outboxes, "LATER_MS", [60_000])
    outbox.post(mail(1))
    clock.advance(60)
    server.open.set()
    assert [server.next(), server.next()] == [mail(), mail(1)]


def test_while_sending_fails_everybody_is_told_and_the_mail_is_tried_again(
    outbox: BackgroundOutbox, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.error = OSError("no route to host")
    outbox.post(mail())
    eventually(lambda: outbox.failing)
    with pytest.raises(SendingFails, match="cannot be sent"):
        outbox.check()
    eventually(lambda: len(server.tries) > 3)
    server.error = None
    assert server.next() == mail()
    eventually(lambda: not outbox.failing)
    outbox.check()
    texts = [record.getMessage() for record in caplog.records]
    assert texts == ["mails cannot be sent: OSError: no route to host", "mails are sent again"]
    assert not any(word in caplog.text for word in ("al0@", "secret text"))


@pytest.mark.parametrize(("later_s", "sent"), [(119, True), (120, False), (121, False)])
def test_a_mail_is_dropped_when_it_is_good_no_more(
    outbox: BackgroundOutbox,
    server: Server,
    clock: FixedClock,
    caplog: pytest.LogCaptureFixture,
    later_s: int,
    sent: bool,
) -> None:
    server.error = OSError("down")
    server.probe_error = OSError("down")
    outbox.post(mail())
    eventually(lambda: outbox.failing)
    clock.advance(later_s)
    if not sent:
        eventually(lambda: "dropped" in caplog.text)
        assert outbox.failing
    server.error = server.probe_error = None
    eventually(lambda: not outbox.failing)
    assert server.sent.empty() is not sent


def test_a_mail_that_waited_too_long_is_not_even_tried(
    outbox: BackgroundOutbox, server: Server, clock: FixedClock, caplog: pytest.LogCaptureFixture
) -> None:
    server.open.clear()
    outbox.post(mail())
    outbox.post(mail(1))
    eventually(lambda: server.tries)
    clock.advance(120)
    server.open.set()
    eventually(lambda: "dropped" in caplog.text)
    assert server.tries == [mail()]
    assert not outbox.failing


def test_with_nothing_to_send_the_server_is_asked_only_while_sending_fails(
    outbox: BackgroundOutbox, server: Server, clock: FixedClock
) -> None:
    outbox.post(mail())
    assert server.next()
    time.sleep(0.05)
    assert server.probes == 0
    server.error = server.probe_error = ConnectionRefusedError()
    outbox.post(mail(1))
    eventually(lambda: outbox.failing)
    clock.advance(120)
    eventually(lambda: server.probes > 2)
    assert outbox.failing
    server.probe_error = None
    eventually(lambda: not outbox.failing)


@pytest.mark.parametrize(
    "error",
    [
        smtplib.SMTPRecipientsRefused({"al0@example.com": (500, b"nobody here")}),
        smtplib.SMTPRecipientsRefused({"al0@example.com": (550, b"nobody here")}),
        smtplib.SMTPDataError(554, b"al0@example.com looks like spam"),
    ],
)
def test_a_mail_that_is_refused_concerns_nobody_else(
    outbox: BackgroundOutbox,
    server: Server,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    server.error = error
    outbox.post(mail())
    eventually(lambda: "refused a mail" in caplog.text)
    outbox.check()
    assert "al0@" not in caplog.text
    server.error = None
    outbox.post(mail(1))
    assert server.next() == mail(1)
    assert server.tries == [mail(), mail(1)]


def put_off(code: int = 451, *, at_data: bool = False) -> Exception:
    """SMTP code -> what smtplib makes of it, when the recipient or the whole mail is answered so"""
    if at_data:
        return smtplib.SMTPDataError(code, b"al0@example.com: later")
    return smtplib.SMTPRecipientsRefused({"al0@example.com": (code, b"greylisted")})


@pytest.mark.parametrize(
    "error", [put_off(421), put_off(450), put_off(499), put_off(451, at_data=True)]
)
def test_a_mail_that_is_put_off_is_tried_again_later_and_concerns_nobody_else(
    outbox: BackgroundOutbox,
    server: Server,
    clock: FixedClock,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    server.error = error
    outbox.post(mail())
    eventually(lambda: "puts a mail off" in caplog.text)
    outbox.check()
    assert "al0@" not in caplog.text
    server.error = None
    clock.advance(outboxes.PUT_OFF_S - 0.1)
    outbox.post(mail(1))
    assert server.next() == mail(1)
    clock.advance(0.1)
    assert server.next() == mail()
    assert server.tries == [mail(), mail(1), mail()]


@pytest.mark.parametrize(("later_s", "sent"), [(119, True), (120, False), (121, False)])
def test_a_mail_is_put_off_until_it_is_good_no_more(
    outbox: BackgroundOutbox,
    server: Server,
    clock: FixedClock,
    caplog: pytest.LogCaptureFixture,
    later_s: int,
    sent: bool,
) -> None:
    server.error = put_off()
    outbox.post(mail())
    for tries in (1, 2, 3):
        eventually(lambda tries=tries: caplog.text.count("puts a mail off") == tries)
        clock.advance(outboxes.PUT_OFF_S)
    eventually(lambda: caplog.text.count("puts a mail off") == 4)
    server.error = None
    clock.advance(later_s - 3 * outboxes.PUT_OFF_S)
    if sent:
        assert server.next() == mail()
    else:
        eventually(lambda: "dropped" in caplog.text)
        assert len(server.tries) == 4
    outbox.check()


def test_a_limited_number_is_put_off(
    outbox: BackgroundOutbox,
    server: Server,
    clock: FixedClock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outboxes, "WAITING", 2)
    server.error = put_off()
    for number in range(3):
        outbox.post(mail(number))
    eventually(lambda: "refused a mail" in caplog.text)
    assert server.tries == [mail(number) for number in range(3)]
    server.error = None
    clock.advance(outboxes.PUT_OFF_S)
    assert [server.next(), server.next()] == [mail(), mail(1)]


def test_a_server_that_refuses_a_mail_works_again(outbox: BackgroundOutbox, server: Server) -> None:
    server.error = OSError("down")
    server.probe_error = OSError("not asked while a mail is tried again")
    outbox.post(mail())
    eventually(lambda: outbox.failing)
    server.error = put_off(550)
    eventually(lambda: not outbox.failing)


@pytest.mark.parametrize(
    "error",
    [
        smtplib.SMTPAuthenticationError(535, b"no"),
        smtplib.SMTPSenderRefused(550, b"no", "site@example.com"),
        smtplib.SMTPSenderRefused(451, b"no", "site@example.com"),
        smtplib.SMTPConnectError(421, b"too busy"),
        smtplib.SMTPServerDisconnected("gone"),
        TimeoutError(),
        RuntimeError("anything else"),
    ],
)
def test_whatever_else_goes_wrong_concerns_everybody_and_ends_no_thread(
    outbox: BackgroundOutbox, server: Server, error: Exception
) -> None:
    server.error = error
    outbox.post(mail())
    eventually(lambda: outbox.failing)
    server.error = None
    assert server.next() == mail()


def test_a_limited_number_waits_and_a_full_queue_is_told_before_and_after_looking(
    outbox: BackgroundOutbox, server: Server
) -> None:
    server.open.clear()
    outbox.post(mail())
    eventually(lambda: server.tries)
    for number in range(1, WAITING):
        outbox.post(mail(number))
    outbox.check()
    outbox.post(mail(WAITING))
    with pytest.raises(SendingFails):
        outbox.check()
    with pytest.raises(SendingFails, match="too many"):
        outbox.post(mail(WAITING + 1))
    server.open.set()
    assert [server.next() for _ in range(WAITING + 1)][-1] == mail(WAITING)
    outbox.check()


def test_stopping_ends_the_thread_in_the_middle_of_its_tries(
    outbox: BackgroundOutbox, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outboxes, "RETRY_S", 60)
    server.error = OSError("down")
    outbox.post(mail())
    eventually(lambda: outbox.failing)
    thread = outbox._sender().thread
    assert thread is not None
    outbox.stop()
    thread.join(DEADLINE_S)
    assert not thread.is_alive()
    assert thread.daemon


def test_a_forked_process_sends_its_own_mails(
    outbox: BackgroundOutbox, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread does not survive a fork, and a queue must not be sent from twice."""
    server.error = OSError("down")
    outbox.post(mail())
    eventually(lambda: outbox.failing)
    parent = outbox._sender()
    monkeypatch.setattr(outboxes.os, "getpid", lambda: os.getppid())
    assert not outbox.failing
    server.error = None
    outbox.post(mail(1))
    assert {server.next(), server.next()} == {mail(), mail(1)}
    outbox.stop()
    parent.stop.set()


def test_a_mail_does_not_show_its_text_in_a_log() -> None:
    assert "secret text" not in repr(mail())
