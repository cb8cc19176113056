"""Mails go out whole, over a connection that was checked, or not at all: a real SMTP server."""

from __future__ import annotations

import email
import re
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from email.message import Message
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

controller = pytest.importorskip("aiosmtpd.controller", reason="aiosmtpd is not installed")
trustme = pytest.importorskip("trustme", reason="trustme is not installed")
from aiosmtpd.smtp import AuthResult  # noqa: E402
from pyramid_mailer.exceptions import BadHeaders  # noqa: E402

from factored.interfaces import ConfigurationError, Mail  # noqa: E402
from factored.mail import Postman  # noqa: E402
from factored.services import outbox as outboxes  # noqa: E402
from tests.support import NOW_S, FixedClock, eventually  # noqa: E402

CODE = Mail("al@example.com", "Your code", "Your code is: ABCD-EFGH\n", NOW_S + 120)
SENDER = "site@example.org"


@dataclass
class Letterbox:
    """What the server took, and what it was told on the way."""

    port: int = 0
    taken: list[tuple[str, list[str], Message]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    logins: list[bytes] = field(default_factory=list)
    refuses: dict[str, str] = field(default_factory=dict)

    async def handle_HELO(self, server: Any, session: Any, envelope: Any, hostname: str) -> str:
        session.host_name = hostname
        return self.refuses.get("hello", "250 Hello")

    async def handle_EHLO(
        self, server: Any, session: Any, envelope: Any, hostname: str, answers: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return [self.refuses["hello"]] if "hello" in self.refuses else answers

    async def handle_MAIL(
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if "mail" in self.refuses:
            return self.refuses["mail"]
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if "rcpt" in self.refuses:
            return self.refuses["rcpt"]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if "data" in self.refuses:
            return self.refuses["data"]
        self.raw.append(envelope.original_content)
        message = email.message_from_bytes(envelope.content)
        self.taken.append((envelope.mail_from, list(envelope.rcpt_tos), message))
        return "250 OK"

    async def handle_QUIT(self, server: Any, session: Any, envelope: Any) -> str:
        return self.refuses.get("quit", "221 Bye")

    def authenticate(self, server: Any, session: Any, *rest: Any) -> AuthResult:
        self.logins.append(rest[-1].password)
        return AuthResult(success=rest[-1].password == b"right", handled=False)


Start = Callable[..., Letterbox]


@pytest.fixture
def serve() -> Iterator[Start]:
    """-> function: aiosmtpd's options -> the letterbox of a server on loopback"""
    running = []

    def start(**options: Any) -> Letterbox:
        box = Letterbox()
        with closing(socket.create_server(("127.0.0.1", 0))) as probe:
            box.port = probe.getsockname()[1]
        server = controller.Controller(
            box, hostname="127.0.0.1", port=box.port, authenticator=box.authenticate, **options
        )
        server.start()
        running.append(server)
        return box

    yield start
    for server in running:
        server.stop()


@dataclass
class Certificates:
    """An authority that this process trusts or not, and the context of a server it vouches for."""

    authority: Any
    folder: Path
    patch: pytest.MonkeyPatch

    def of(self, *names: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(*names).configure_cert(context)
        return context

    def trust(self) -> None:
        path = self.folder / "authority.pem"
        self.authority.cert_pem.write_to_path(path)
        self.patch.setenv("SSL_CERT_FILE", str(path))


@pytest.fixture
def certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Certificates:
    return Certificates(trustme.CA(), tmp_path, monkeypatch)


def postman(box: Letterbox, sender: str = SENDER, **given: str) -> Postman:
    settings = {"host": "127.0.0.1", "port": str(box.port), **given}
    return Postman({f"mail.{name}": text for name, text in settings.items()}, sender=sender)


# -- what is sent ----------------------------------------------------------------------------------


def test_a_mail_arrives_whole(serve: Start) -> None:
    box = serve()
    postman(box).send(CODE)
    ((mail_from, recipients, message),) = box.taken
    assert (mail_from, recipients) == (SENDER, [CODE.to])
    assert (message["From"], message["To"], message["Subject"]) == (SENDER, CODE.to, CODE.subject)
    assert message["Auto-Submitted"] == "auto-generated"
    assert parsedate_to_datetime(message["Date"]).year >= 2026
    assert message.get_content_type() == "multipart/alternative"
    plain, html = message.get_payload()
    assert (plain.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    assert plain.get_payload(decode=True).decode().strip() == CODE.text.strip()
    assert "<p>Your code is: ABCD-EFGH</p>" in html.get_payload(decode=True).decode()


@pytest.mark.parametrize(
    ("sender", "given", "domain"),
    [
        (SENDER, {}, "example.org"),
        ("The Site <site@example.org>", {}, "example.org"),
        (SENDER, {"domain": "mails.example.net"}, "mails.example.net"),
    ],
)
def test_every_mail_has_an_id_of_its_own_in_a_domain_of_ours(
    serve: Start, sender: str, given: dict[str, str], domain: str
) -> None:
    box = serve()
    for _ in range(2):
        postman(box, sender, **given).send(CODE)
    ids = [message["Message-ID"] for _, _, message in box.taken]
    assert len(set(ids)) == 2
    for one in ids:
        assert one.startswith("<")
        assert one.endswith(f"@{domain}>")


def test_a_sender_with_a_name_over_two_lines_is_one_sender(serve: Start) -> None:
    box = serve()
    postman(box, "The Site\n <site@example.org>").send(CODE)
    ((mail_from, _, message),) = box.taken
    assert mail_from == "site@example.org"
    assert message["From"] == "The Site <site@example.org>"


@pytest.mark.parametrize("text", ["short", "a line\n" * 200, "a" * 3000, ".\n..\n.\r\n"])
def test_every_line_ends_as_smtp_wants_it_and_no_text_is_too_long(serve: Start, text: str) -> None:
    """Servers refuse bare line feeds, or count what stands between two of theirs as one line."""
    box = serve()
    postman(box).send(replace(CODE, text=text))
    (raw,) = box.raw
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", raw)
    ((_, _, message),) = box.taken
    arrived = message.get_payload(0).get_payload(decode=True).decode()
    assert arrived.splitlines() == text.splitlines()


def test_any_script_arrives_and_html_in_a_text_is_text(serve: Start) -> None:
    box = serve()
    words = "Код: ABCD-EFGH & <b>日本</b>"
    postman(box).send(replace(CODE, subject="Ваш код", text=f"{words}\n\nBye\n"))
    ((_, _, message),) = box.taken
    ((subject, charset),) = email.header.decode_header(message["Subject"])
    assert subject.decode(charset) == "Ваш код"
    plain, html = (part.get_payload(decode=True).decode() for part in message.get_payload())
    assert words in plain
    assert "<p>Код: ABCD-EFGH &amp; &lt;b&gt;日本&lt;/b&gt;</p><p>Bye</p>" in html


@pytest.mark.parametrize(
    ("text", "html"),
    [
        (
            "Press at https://a.test/x_-.",
            'Press at <a href="https://a.test/x_-">https://a.test/x_-</a>.',
        ),
        ("http://a.test/", '<a href="http://a.test/">http://a.test/</a>'),
        ('"https://a.test/x"', '&quot;<a href="https://a.test/x">https://a.test/x</a>&quot;'),
        ("(https://a.test/<b>)", '(<a href="https://a.test/">https://a.test/</a>&lt;b&gt;)'),
        ("javascript:alert(1) ftp://a.test", "javascript:alert(1) ftp://a.test"),
    ],
)
def test_an_address_in_the_text_can_be_pressed(serve: Start, text: str, html: str) -> None:
    box = serve()
    postman(box).send(replace(CODE, text=f"{text}\n"))
    ((_, _, message),) = box.taken
    assert f"<p>{html}</p>" in message.get_payload(1).get_payload(decode=True).decode()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("where", ["subject", "to"])
def test_no_header_can_be_added_by_a_line_end(serve: Start, where: str, end: str) -> None:
    box = serve()
    value = f"al@example.com{end}Bcc: eve@evil.example"
    with pytest.raises(BadHeaders):
        postman(box).send(replace(CODE, **{where: value}))
    assert box.taken == []


# -- whom it is sent to ----------------------------------------------------------------------------


def test_over_starttls(serve: Start, certificates: Certificates) -> None:
    box = serve(tls_context=certificates.of("127.0.0.1"), require_starttls=True)
    certificates.trust()
    safe = postman(box, tls="true")
    safe.probe()
    safe.send(CODE)
    assert len(box.taken) == 1


def test_over_tls_from_the_first_byte(serve: Start, certificates: Certificates) -> None:
    box = serve(ssl_context=certificates.of("127.0.0.1"))
    certificates.trust()
    safe = postman(box, ssl="true")
    safe.probe()
    safe.send(CODE)
    assert len(box.taken) == 1


@pytest.mark.parametrize("how", ["tls", "ssl"])
@pytest.mark.parametrize(("name", "trusted"), [("127.0.0.1", False), ("mail.example.org", True)])
def test_nothing_is_sent_to_a_server_with_a_bad_certificate(
    serve: Start, certificates: Certificates, how: str, name: str, trusted: bool
) -> None:
    context = certificates.of(name)
    box = serve(**{"tls_context" if how == "tls" else "ssl_context": context})
    if trusted:
        certificates.trust()
    careful = postman(box, username="site", password="right", **{how: "on"})
    for step in (careful.probe, lambda: careful.send(CODE)):
        with pytest.raises(ssl.SSLCertVerificationError):
            step()
    assert (box.taken, box.logins) == ([], [])


def test_nothing_is_sent_in_clear_where_tls_was_asked_for(serve: Start) -> None:
    box = serve()
    careful = postman(box, tls="true")
    for step in (careful.probe, lambda: careful.send(CODE)):
        with pytest.raises(smtplib.SMTPException, match="STARTTLS"):
            step()
    assert box.taken == []


def test_without_tls_a_certificate_does_not_matter(
    serve: Start, certificates: Certificates
) -> None:
    """A mail server on this machine often offers one that nobody vouches for."""
    box = serve(tls_context=certificates.of("127.0.0.1"))
    postman(box, tls="false").send(CODE)
    assert len(box.taken) == 1


def test_a_client_certificate_is_shown(
    serve: Start, certificates: Certificates, tmp_path: Path
) -> None:
    certificates.trust()
    context = certificates.of("127.0.0.1")
    context.verify_mode = ssl.CERT_REQUIRED
    certificates.authority.configure_trust(context)
    box = serve(ssl_context=context)
    ours = certificates.authority.issue_cert("site.example.org")
    ours.private_key_and_cert_chain_pem.write_to_path(tmp_path / "ours.pem")
    path = str(tmp_path / "ours.pem")
    postman(box, ssl="true", certfile=path, keyfile=path).send(CODE)
    assert len(box.taken) == 1


@pytest.mark.parametrize("password", ["right", "wrong"])
def test_who_may_not_log_in_sends_nothing(
    serve: Start, certificates: Certificates, password: str
) -> None:
    box = serve(tls_context=certificates.of("127.0.0.1"), auth_required=True)
    certificates.trust()
    with_name = postman(box, tls="true", username="site", password=password)
    for step in (with_name.probe, lambda: with_name.send(CODE)):
        if password == "right":
            step()
        else:
            with pytest.raises(smtplib.SMTPAuthenticationError):
                step()
    assert len(box.taken) == (password == "right")
    assert set(box.logins) == {password.encode()}


# -- what goes wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "error"),
    [("rcpt", smtplib.SMTPRecipientsRefused), ("data", smtplib.SMTPDataError)],
)
def test_a_refused_mail_is_an_error(serve: Start, step: str, error: type[Exception]) -> None:
    box = serve()
    box.refuses[step] = "550 Nobody here"
    with pytest.raises(error):
        postman(box).send(CODE)
    postman(box).probe()
    assert box.taken == []


@pytest.mark.parametrize(
    ("step", "error"),
    [("hello", smtplib.SMTPHeloError), ("mail", smtplib.SMTPSenderRefused)],
)
def test_a_server_that_takes_no_mail_of_ours_is_not_taken_for_one_that_works(
    serve: Start, step: str, error: type[Exception]
) -> None:
    box = serve()
    box.refuses[step] = "550 Not you"
    refused = postman(box, "The Site <site@example.org>")
    for one in (refused.probe, lambda: refused.send(CODE)):
        with pytest.raises(error):
            one()
    del box.refuses[step]
    refused.probe()
    assert box.taken == []


@pytest.mark.parametrize("step", ["rcpt", "data"])
def test_a_mail_is_sent_to_a_greylisting_server_when_it_takes_it(
    serve: Start,
    clock: FixedClock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    monkeypatch.setattr(outboxes, "RETRY_S", 0.01)
    box = serve()
    box.refuses[step] = "451 Greylisted, come back later"
    outbox = outboxes.BackgroundOutbox(postman(box).send, postman(box).probe, clock)
    outbox.post(CODE)
    eventually(lambda: "puts a mail off" in caplog.text)
    assert box.taken == []
    del box.refuses[step]
    clock.advance(outboxes.PUT_OFF_S)
    eventually(lambda: box.taken)
    outbox.stop()
    eventually(lambda: "factored-mail" not in {one.name for one in threading.enumerate()})
    assert [recipients for _, recipients, _ in box.taken] == [[CODE.to]]


def test_a_rude_goodbye_does_not_send_a_mail_twice(serve: Start) -> None:
    box = serve()
    box.refuses["quit"] = "451 What now"
    postman(box).send(CODE)
    assert len(box.taken) == 1


def test_a_server_that_is_not_there_is_an_error() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        nobody = Letterbox(probe.getsockname()[1])
    for how in ({}, {"ssl": "true"}):
        lonely = postman(nobody, **how)
        for step in (lonely.probe, lambda lonely=lonely: lonely.send(CODE)):
            with pytest.raises(OSError):
                step()


def test_two_kinds_of_tls_at_once_stop_the_start() -> None:
    given = {"mail.host": "127.0.0.1", "mail.tls": "true", "mail.ssl": "yes"}
    with pytest.raises(ConfigurationError) as caught:
        Postman(given, sender=SENDER)
    assert caught.value.problems[0].startswith("mail.ssl: set it or mail.tls, not both")


@pytest.mark.parametrize(
    ("key", "text"), [("tls", "treu"), ("ssl", "maybe"), ("port", "smtp"), ("debug", "much")]
)
def test_a_key_that_cannot_be_used_stops_the_start(key: str, text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Postman({"mail.host": "127.0.0.1", f"mail.{key}": text}, sender=SENDER)
    (problem,) = caught.value.problems
    assert problem.startswith("mail.")
    assert text in problem


def test_an_empty_value_means_the_default(serve: Start) -> None:
    box = serve()
    postman(box, tls="", ssl="", username="", password="", debug="").send(CODE)
    assert len(box.taken) == 1


def test_debug_prints_mails_to_the_console(capsys: pytest.CaptureFixture[str]) -> None:
    printing = Postman({"mail.host": "debug", "mail.port": "anything"}, sender=SENDER)
    printing.probe()
    printing.send(CODE)
    assert capsys.readouterr() == ("", f"Mail to {CODE.to}: Your code\n{CODE.text}\n")
