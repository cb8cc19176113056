"""A real mail server on loopback: what it takes is kept."""

from __future__ import annotations

import email
import re
import ssl
from typing import Any

import pytest

from .servers import eventually, free_port

# aiosmtpd, stopped while a TLS connection says goodbye, leaves the transport to the collector.
IGNORED = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def mail_ini(port: int, *, tls: bool = False) -> str:
    """port of a mail server -> the settings of a gate that signs in by e-mail through it"""
    return (
        "supported_auth_schemes = Email\nemail_auth.sender = site@example.com\n"
        f"mail.host = 127.0.0.1\nmail.port = {port}\nmail.tls = {str(tls).lower()}\n"
    )


class Letterbox:
    """A mail server, and what it took; with a certificate it speaks over STARTTLS alone."""

    def __init__(self, context: ssl.SSLContext | None = None, port: int | None = None) -> None:
        reason = "aiosmtpd is not installed"
        controller = pytest.importorskip("aiosmtpd.controller", reason=reason)
        self.taken: list[Any] = []
        self.port = port or free_port()
        self._tls = context is not None
        self._controller = controller.Controller(
            self, hostname="127.0.0.1", port=self.port, tls_context=context,
            require_starttls=self._tls,
        )  # fmt: skip
        self._controller.start()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.taken.append((list(envelope.rcpt_tos), email.message_from_bytes(envelope.content)))
        return "250 OK"

    @property
    def ini(self) -> str:
        return mail_ini(self.port, tls=self._tls)

    def code(self, number: int = 1) -> str:
        """-> the code in the newest mail, once there are so many"""
        eventually(lambda: len(self.taken) >= number, within_s=20)
        text = self.taken[-1][1].get_payload(0).get_payload(decode=True).decode()
        match = re.search(r"[0-9A-Z]{4}-[0-9A-Z]{4}", text)
        assert match, text
        return match[0]

    def stop(self) -> None:
        self._controller.stop()
