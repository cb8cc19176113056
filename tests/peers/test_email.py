"""Logging in by a code from a real mail server: STARTTLS, a real certificate, real sockets."""

from __future__ import annotations

import email
import gc
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from .client import form_of, visitor
from .servers import GATE, Front, Nginx, eventually

trustme = pytest.importorskip("trustme", reason="trustme is not installed")
controller = pytest.importorskip("aiosmtpd.controller", reason="aiosmtpd is not installed")

# aiosmtpd, stopped while a TLS connection says goodbye, leaves the transport to the collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SERVERS = ["waitress", "gunicorn"]


class Letterbox:
    """A mail server on loopback, and what it took."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.taken: list[Any] = []
        with closing(socket.create_server(("127.0.0.1", 0))) as probe:
            self.port = probe.getsockname()[1]
        self._controller = controller.Controller(
            self, hostname="127.0.0.1", port=self.port, tls_context=context, require_starttls=True
        )
        self._controller.start()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.taken.append((list(envelope.rcpt_tos), email.message_from_bytes(envelope.content)))
        return "250 OK"

    def code(self, number: int = 1) -> str:
        """-> the code in the newest mail, once there are so many"""
        eventually(lambda: len(self.taken) >= number)
        text = self.taken[-1][1].get_payload(0).get_payload(decode=True).decode()
        match = re.search(r"[0-9A-Z]{4}-[0-9A-Z]{4}", text)
        assert match, text
        return match[0]

    def stop(self) -> None:
        self._controller.stop()


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Whom the servers of this test trust."""
    made = trustme.CA()
    made.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    return made


@pytest.fixture
def letterbox(authority: Any, request: pytest.FixtureRequest) -> Iterator[Letterbox]:
    """A mail server whose certificate is good, or names another host if a test says so."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(getattr(request, "param", "127.0.0.1")).configure_cert(context)
    box = Letterbox(context)
    yield box
    box.stop()
    gc.collect()  # here, and not in the midst of another test


@pytest.fixture
def mailing(
    make_front: Callable[..., Front], nginx: Nginx, letterbox: Letterbox
) -> Callable[[str], Front]:
    """-> function: kind of server -> factored with Email and this mail server"""

    def start(kind: str) -> Front:
        gate = (
            f"{GATE}supported_auth_schemes = Email\nemail_auth.sender = site@example.com\n"
            f"mail.host = 127.0.0.1\nmail.port = {letterbox.port}\nmail.tls = true\n"
        )
        return make_front(kind, nginx.port, gate)

    return start


@pytest.mark.parametrize("kind", SERVERS)
def test_a_code_from_the_mailbox_leads_to_the_page_that_was_asked_for(
    mailing: Callable[[str], Front], letterbox: Letterbox, nginx: Nginx, kind: str
) -> None:
    front = mailing(kind)
    user, browser = front.add_user(), visitor(front)
    name = user.name
    mark = f"/mailed-{kind}?a=%2F&b=1"
    form = browser.name_given(name, mark)
    code = letterbox.code()
    ((recipient,), message) = letterbox.taken[0]
    assert recipient == name
    assert message["Date"]
    assert message["Message-ID"].endswith("@example.com>")
    assert {part.get_content_type() for part in message.walk()} >= {"text/plain", "text/html"}
    done = browser.send(form, code=code.lower().replace("-", " "), submit="authenticate")
    assert (done.status, done.header("Location")) == (303, mark)
    assert browser.get(mark).status in (200, 404)
    assert nginx.saw(mark)["user"] == name
    assert code not in front.server.output

    again = visitor(front).attempt(name, code)
    assert again.status == 200, "a code is good in the browser that asked alone"


@pytest.mark.parametrize("letterbox", ["localhost.example"], indirect=True)
def test_a_wrong_certificate_means_no_mail_and_a_plain_word_to_everybody(
    mailing: Callable[[str], Front], letterbox: Letterbox
) -> None:
    front = mailing("waitress")
    name = "al@example.com"
    front.installation.done("user", "add", f"--username={name}", "--json")
    browser = visitor(front)
    form = form_of(browser.follow(browser.get("/")))
    before = time.monotonic()
    assert browser.send(form, username=name, submit="username").status == 200
    assert time.monotonic() - before < 2, "no page waits for a mail server"
    eventually(lambda: browser.get("/auth/readyz").status == 503, within_s=15)
    for asked in (name, "nobody@example.com"):
        answer = browser.send(form, username=asked, submit="username")
        assert answer.status == 503
        assert "No mail can be sent" in answer.text
    assert letterbox.taken == []
    assert "mails cannot be sent" in front.server.output


def test_a_mail_server_that_hangs_keeps_no_page_waiting(
    make_front: Callable[..., Front], nginx: Nginx
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        gate = (
            f"{GATE}supported_auth_schemes = Email\nemail_auth.sender = site@example.com\n"
            f"mail.host = 127.0.0.1\nmail.port = {silent.getsockname()[1]}\n"
        )
        front = make_front("waitress", nginx.port, gate)
        front.installation.done("user", "add", "--username=al@example.com", "--json")
        browser = visitor(front)
        form = form_of(browser.follow(browser.get("/")))
        for _ in range(3):
            before = time.monotonic()
            assert browser.send(form, username="al@example.com", submit="username").status == 200
            assert time.monotonic() - before < 2
