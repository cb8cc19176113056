"""Messages out: pyramid_mailer, with the mail server's certificate checked."""

from __future__ import annotations

import re
import smtplib
import ssl
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from email.utils import formatdate, make_msgid, parseaddr
from html import escape
from typing import Any

from pyramid_mailer.mailer import Mailer

from factored.converters import as_bool
from factored.interfaces import ConfigurationError, Mail

DEBUG = "debug"

TIMEOUT_S = 10
"""The longest silence of the mail server."""


class _CheckedSmtp(smtplib.SMTP):
    """STARTTLS with the certificate and the name checked, which repoze.sendmail leaves out."""

    def starttls(self, *args: Any, **kw: Any) -> tuple[int, bytes]:
        return super().starttls(context=ssl.create_default_context())


class _CheckedSmtpSsl(smtplib.SMTP_SSL):
    """The same for TLS from the first byte."""

    def __init__(
        self, host: str, port: str, *, keyfile: str | None = None, certfile: str | None = None
    ) -> None:
        context = ssl.create_default_context()
        if certfile:
            context.load_cert_chain(certfile, keyfile)
        super().__init__(host, int(port), timeout=TIMEOUT_S, context=context)


class Postman:
    """Sends one mail at a time, or prints it (``mail.host = debug``).

    :param settings: the ini's ``mail.*`` keys
    :param sender: address that mails come from, with or without a name before it
    :raises ConfigurationError: a key that pyramid_mailer cannot use
    """

    def __init__(self, settings: Mapping[str, str], *, sender: str) -> None:
        self._sender = " ".join(sender.split())
        domain = parseaddr(self._sender)[1].rpartition("@")[2]
        self._domain = settings.get("mail.domain") or domain or "localhost"
        self._prints = settings.get("mail.host") == DEBUG
        if self._prints:
            return
        given: dict[str, Any] = {key: text for key, text in settings.items() if text}
        problems = []
        for key in ("mail.tls", "mail.ssl"):
            try:
                given[key] = as_bool(given.get(key, "false"))
            except ValueError as error:
                problems.append(f"{key}: {given[key]!r} {error}")
        if given["mail.tls"] is given["mail.ssl"] is True:
            problems.append("mail.ssl: set it or mail.tls, not both: TLS at once, or by STARTTLS")
        if problems:
            raise ConfigurationError(problems)
        try:
            self._smtp = Mailer.from_settings(given).smtp_mailer
        except (TypeError, ValueError) as error:
            raise ConfigurationError([f"mail.*: {error}"]) from error
        self._smtp.smtp = _CheckedSmtpSsl if given["mail.ssl"] else _CheckedSmtp

    def probe(self) -> None:
        """-> None if the mail server takes us; raises what :meth:`send` raises"""
        if not self._prints:
            with self._connected() as connection:
                connection.ehlo_or_helo_if_needed()
                code, answer = connection.mail(self._sender)
                if code != 250:
                    raise smtplib.SMTPSenderRefused(code, answer, self._sender)

    def send(self, mail: Mail) -> None:
        """mail -> None

        :raises OSError: the mail server cannot be reached, or its certificate is not good
        :raises smtplib.SMTPException: it refused, or has no TLS where ``mail.tls`` asks for it
        """
        if self._prints:
            sys.stderr.write(f"Mail to {mail.to}: {mail.subject}\n{mail.text}\n")
            return
        # Not before there is a mail: what they bring of email is a megabyte of every process.
        from pyramid_mailer.message import Message
        from repoze.sendmail.encoding import encode_message  # type: ignore[import-untyped]

        paragraphs = "".join(f"<p>{_html(line)}</p>" for line in mail.text.splitlines() if line)
        sender = " ".join(mail.sender.split()) or self._sender
        message = Message(
            subject=mail.subject,
            sender=sender,
            recipients=[mail.to],
            body=mail.text,
            html=f"<!DOCTYPE html><html><body>{paragraphs}</body></html>",
            extra_headers={
                "Date": formatdate(),
                "Message-ID": make_msgid(domain=self._domain),
                "Auto-Submitted": "auto-generated",
            },
        ).to_message()
        with self._connected() as connection:
            # smtplib leaves bytes alone, and SMTP has one line end (RFC 5321 section 2.3.8).
            content = re.sub(rb"\r?\n", b"\r\n", encode_message(message))
            connection.sendmail(sender, [mail.to], content)

    @contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        """-> a connection that may send: over TLS and logged in where the settings ask for it

        pyramid_mailer's own way leaves the socket open after an error.
        """
        connection: smtplib.SMTP = self._smtp.smtp_factory()
        try:
            if self._smtp.force_tls:
                connection.starttls()
            if self._smtp.username:
                connection.login(self._smtp.username, self._smtp.password)
            yield connection
            # The mail is sent already: how the server says goodbye does not matter.
            with suppress(smtplib.SMTPException, OSError):
                connection.quit()
        finally:
            connection.close()


def _html(line: str) -> str:
    """line of a mail -> the same as HTML, with links to press; a full stop after one is not its"""
    return re.sub(r'https?://[^\s<>&"]*[\w/=-]', r'<a href="\g<0>">\g<0></a>', escape(line))
