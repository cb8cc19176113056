"""Logging in by a code from a real mail server: STARTTLS, a real certificate, real sockets."""

from __future__ import annotations

import gc
import json
import socket
import socketserver
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from statistics import median
from threading import Thread

import pytest

from .client import Answer, Browser, form_of, visitor
from .letterbox import IGNORED, Letterbox, mail_ini
from .servers import GATE, Front, Nginx, each_worker, eventually, free_port, start_front

pytestmark = IGNORED

SERVERS = ["waitress", "gunicorn", "paste"]
EVERYBODY = "autouserfinder = Email Domain\nautouserfinder.valid_domains = example.com\n"
"""Who has an address there may sign in, so that mails go to as many names as a test likes."""

SOON_S = 2
"""A page that waited for a mail server would take longer."""


def ask(front: Front, name: str) -> tuple[Answer, float]:
    """front, name -> the answer to a new visitor who asks for a code, and its seconds"""
    browser = visitor(front)
    form = form_of(browser.get("/auth/em"))
    began = time.monotonic()
    answer = browser.send(form, username=name, submit="username")
    return answer, time.monotonic() - began


def is_ready(front: Front) -> bool:
    answer = Browser(front.port, "127.0.0.1").get("/auth/readyz")
    assert json.loads(answer.body)["checks"]["mail"] is (answer.status == 200), answer
    return answer.status == 200


def everybody_reads_that_no_mail_can_be_sent(front: Front) -> None:
    """Once a mail has failed; each process finds out by itself."""
    for number, alone in enumerate(each_worker(front)):
        with alone:
            assert ask(front, f"first{number}@example.com")[1] < SOON_S
            eventually(lambda: not is_ready(front))
            assert visitor(front).get("/auth/healthz").status == 200
            pages = set()
            for name in ("al@example.com", "new@example.com", "nobody@example.org", "nobody"):
                answer, took_s = ask(front, name)
                assert (answer.status, answer.header("Retry-After")) == (503, "60")
                assert took_s < SOON_S
                pages.add(answer.text)
            assert len(pages) == 1
            assert "No mail can be sent at the moment." in pages.pop()
    assert "mails cannot be sent" in front.server.output


# -- a mail server that works ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", SERVERS)
def test_a_code_from_the_mailbox_leads_to_the_page_that_was_asked_for(
    make_front: Callable[..., Front], letterbox: Letterbox, nginx: Nginx, kind: str
) -> None:
    front = make_front(kind, nginx.port, GATE + letterbox.ini)
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


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("mail_context", ["localhost.example"], indirect=True)
def test_a_wrong_certificate_means_no_mail_and_a_plain_word_to_everybody(
    make_front: Callable[..., Front], letterbox: Letterbox, nginx: Nginx, kind: str
) -> None:
    front = make_front(kind, nginx.port, GATE + letterbox.ini + EVERYBODY)
    everybody_reads_that_no_mail_can_be_sent(front)
    assert letterbox.taken == []
    assert "CERTIFICATE_VERIFY_FAILED" in front.server.output


# -- mail servers in trouble -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def well(tmp_path_factory: pytest.TempPathFactory, nginx: Nginx) -> Iterator[Front]:
    """A front whose mails are taken."""
    box = Letterbox()
    folder = tmp_path_factory.mktemp("well") / "site"
    made = start_front(folder, "waitress", nginx.port, GATE + box.ini + EVERYBODY)
    yield made
    made.server.stop()
    assert box.taken
    box.stop()


def pages_are_as_fast(ill: Front, well: Front) -> None:
    """Asked in turns, so that whatever else this machine does slows both down."""
    took_s: tuple[list[float], list[float]] = ([], [])
    for number in range(9):
        for front, times_s in zip((ill, well), took_s, strict=True):
            answer, answer_s = ask(front, f"user{number}-{ill.port}@example.com")
            assert answer.status == 200 or (front is ill and number and answer.status == 503)
            times_s.append(answer_s)
    assert median(took_s[0]) < 5 * median(took_s[1]) + 0.5
    assert max(took_s[0]) < max(took_s[1]) + SOON_S


def test_a_mail_server_that_hangs_keeps_no_page_waiting(
    make_front: Callable[..., Front], nginx: Nginx, well: Front
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        ini = mail_ini(silent.getsockname()[1])
        ill = make_front("waitress", nginx.port, GATE + ini + EVERYBODY)
        pages_are_as_fast(ill, well)
        silent.settimeout(SOON_S)
        silent.accept()[0].close()  # somebody does wait for it


@contextmanager
def refusing(greeting: bytes | None) -> Iterator[int]:
    """what it says first -> port of a mail server that answers 550 to all else; None: of nobody"""

    class Refusing(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(greeting or b"")
            for _ in self.rfile:
                self.wfile.write(b"550 No\r\n")

    if greeting is None:
        yield free_port()
        return
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Refusing) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, args=(0.05,)).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


@pytest.mark.parametrize(
    ("greeting", "kind"),
    [(None, "paste"), (b"554 No mail here\r\n", "gunicorn"), (b"220 Hello\r\n", "waitress")],
    ids=["nobody there", "554 at once", "550 to everything"],
)
def test_a_mail_server_that_refuses_keeps_no_page_waiting_and_everybody_reads_of_it(
    make_front: Callable[..., Front],
    nginx: Nginx,
    well: Front,
    greeting: bytes | None,
    kind: str,
) -> None:
    with refusing(greeting) as port:
        ill = make_front(kind, nginx.port, GATE + mail_ini(port) + EVERYBODY)
        assert is_ready(ill)
        pages_are_as_fast(ill, well)
        everybody_reads_that_no_mail_can_be_sent(ill)
    assert is_ready(well)


def test_a_mail_that_nobody_took_is_sent_when_the_mail_server_is_there(
    make_front: Callable[..., Front], nginx: Nginx, mail_context: ssl.SSLContext
) -> None:
    port = free_port()
    front = make_front("waitress", nginx.port, GATE + mail_ini(port, tls=True) + EVERYBODY)
    browser = visitor(front)
    form = browser.name_given("al@example.com")
    eventually(lambda: not is_ready(front))
    box = Letterbox(mail_context, port)
    try:
        done = browser.send(form, code=box.code(), submit="authenticate")
        assert done.status == 303
        eventually(lambda: is_ready(front))
    finally:
        box.stop()
        gc.collect()
