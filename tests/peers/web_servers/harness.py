"""What a test of a web server needs: the site behind it, factored beside it, and its own files."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from factored.auth_tkt import TicketFormat
from factored.codes import new_id
from factored.interfaces import Ticket
from tests.peers.client import Browser, new_address
from tests.peers.servers import (
    KINDS,
    LOGGING,
    Installation,
    Server,
    User,
    free_port,
    program,
    simpleproxy_ini,
)

from .site import Arrived as Arrived
from .site import Site as Site
from .site import accept_of, frame, frames

SHIPPED = Path(__file__).parents[3] / "web-servers"
WWW = "www.example.test"
MEMBER = "member@example.com"
"""Whom :meth:`WebServer.member` is signed in as; such tickets need no row of a user."""

RAW_WAIT_S = 15

GATE = """
use = egg:factored#main
appname = peers
auth_tkt.secret_file = %(here)s/factored.secret
key_file = %(here)s/factored.key
sqlalchemy.url = sqlite:///%(here)s/factored.sqlite
trusted_proxies = 127.0.0.1
auth_tkt.reissue_time = 60
excepted_paths =
    /open
    /open/caf\N{LATIN SMALL LETTER E WITH ACUTE}
"""
"""Lines of ``gate`` with the same key take the place of these."""


def filled(path: str, replacements: Mapping[str, str]) -> str:
    """file below web-servers/, text -> text -> the file with every replacement made

    All at once, the longest first, so that nothing is replaced twice; what does not occur in the
    file fails the test.
    """
    text = (SHIPPED / path).read_text("utf-8")
    absent = [old for old in replacements if old not in text]
    assert not absent, f"web-servers/{path} does not hold {absent}"
    longest_first = sorted(replacements, key=len, reverse=True)
    pattern = "|".join(map(re.escape, longest_first))
    return re.sub(pattern, lambda match: replacements[match[0]], text)


def gate_told(shipped: str) -> str:
    """text of a shipped file -> the lines of factored's own section that its first comment names

    They stand there as ``#     key = value``, before what belongs into ``[server:main]``.
    """
    head = shipped.partition("[server:main]")[0]
    lines = re.findall(r"^#     (\S+ = .*\n)", head, re.MULTILINE)
    assert lines, "the file does not say which ini keys it needs"
    return "".join(lines)


# -- TLS ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Certificate:
    """Files for a web server, and a context for clients that trust it."""

    chain: Path
    key: Path
    client: ssl.SSLContext


def make_certificate(folder: Path, *hosts: str) -> Certificate:
    """folder, host names (WWW without any) -> a certificate of an authority of its own"""
    trustme = pytest.importorskip("trustme", reason="trustme is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    made = authority.issue_cert(*(hosts or (WWW,)))
    chain, key = folder / "certificate.pem", folder / "key.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    made.private_key_pem.write_to_path(str(key))
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return Certificate(chain, key, client)


# -- factored -------------------------------------------------------------------------------------


@dataclass
class Factored:
    """factored alone on a port, or a stub that stands in for it when it is out of order."""

    installation: Installation
    server: Server
    kind: str
    _stub: _Stub | None = field(default=None, repr=False)

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def ticket_secret(self) -> str:
        return (self.installation.folder / "factored.secret").read_text().split()[0]

    def add_user(self, name: str | None = None) -> User:
        return self.installation.add_user(name)

    def stop(self) -> None:
        """-> None; nobody listens on the port any more"""
        if self._stub is not None:
            self._stub.close()
            self._stub = None
        self.server.stop()

    def start(self) -> None:
        """-> None; the real one again, whatever was there"""
        self.stop()
        self.server.start()

    def hangs(self) -> None:
        """-> None; takes connections and never answers"""
        self.answers_with(None)

    def fails_with(self, status: int) -> None:
        """-> None; every answer has this status, and names a user all the same"""
        body = b"no\n"
        head = (
            f"HTTP/1.1 {status} Odd\r\nRemote-User: admin\r\nFactored-User: admin\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self.answers_with(head.encode() + body)

    def answers_with(self, raw: bytes | None) -> None:
        """bytes -> None; every connection gets these after its request's head, and is closed"""
        self.stop()
        self._stub = _Stub(self.port, raw)

    def ticket(self, user: str = MEMBER, *, age_s: int = 0, **changed: Any) -> str:
        """user, seconds since its issue -> a cookie value as factored would have issued it

        :param changed: fields of Ticket; ``secret`` and ``address``, that of an include_ip ticket
        """
        now_s = int(time.time())
        secret = changed.pop("secret", self.ticket_secret)
        address = changed.pop("address", None)
        facts: dict[str, Any] = {
            "issued_at": now_s - age_s, "login_at": now_s - age_s, "lifetime_s": 7200,
            "remember": False, "scheme": "ga", "ticket_id": new_id(), "series": new_id(),
        }  # fmt: skip
        facts |= changed
        made = TicketFormat(lambda: (secret,), hashalg="sha512", schemes=(facts["scheme"],))
        ticket = Ticket(user=user, **facts)
        return made.issue(ticket, address) if address else made.issue(ticket)


class _Stub:
    """Listens on the port of a server that was stopped."""

    def __init__(self, port: int, answer: bytes | None) -> None:
        self._answer = answer
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", port), backlog=256)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                if self._answer is not None:
                    threading.Thread(target=self._say, args=(connection,), daemon=True).start()

    def _say(self, connection: socket.socket) -> None:
        connection.settimeout(RAW_WAIT_S)
        with connection, contextlib.suppress(OSError):
            received = b""
            while b"\r\n\r\n" not in received:
                block = connection.recv(65536)
                if not block:
                    return
                received += block
            connection.sendall(self._answer or b"")
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass

    def close(self) -> None:
        for one in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


def start_factored(
    folder: Path, gate: str = "", downstream_port: int | None = None, kind: str = "gthread"
) -> Factored:
    """folder, extra ini lines of the gate -> factored, running

    :param downstream_port: of the site that simpleproxy stands before; None: no downstream
    :param kind: of :data:`tests.peers.servers.KINDS`

    Ready means that it has read the revocations.
    """
    folder.mkdir(parents=True)
    port = free_port()
    section, (command, *words) = KINDS[kind]
    # One process: what it has read, every later answer knows.
    server = section.format(port=port).replace("workers = 2", "workers = 1")
    if kind == "waitress":
        server += "clear_untrusted_proxy_headers = false\n"
    if downstream_port is None:
        text = f"[app:main]{_gate_with(gate)}\n{server}{LOGGING}"
    else:
        text = simpleproxy_ini(downstream_port, server, _gate_with(gate))
    installation = Installation(folder)
    ini = installation.ini("site.ini", text)
    argv = [program(command), *words, str(ini)]
    if kind in ("gunicorn", "gthread"):
        program("gunicorn")
    installation.initialise()
    said = {match[1]: match[2] for match in KEY.finditer(f"{gate}\n")}
    host = said.get("public_url", "").partition("://")[2].strip() or "127.0.0.1"
    ready_path = said.get("base_auth_url", "/auth").strip() + "/readyz"
    running = _NamedServer(argv, port, folder / "server", ready_path, host=host)
    return Factored(installation, running.start(), kind)


KEY = re.compile(r"^([\w.]+)\s*=(.*)\n(?:[ \t]+.*\n)*", re.MULTILINE)


def _gate_with(extra: str) -> str:
    said = {match[1] for match in KEY.finditer(f"{extra}\n")}
    base = KEY.sub(lambda match: "" if match[1] in said else match[0], GATE)
    return f"{base}{extra}\n"


@dataclass
class _NamedServer(Server):
    """With public_url, its readiness page too is there under that name alone."""

    host: str = "127.0.0.1"

    def _asked(self, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Host": self.host})
            return connection.getresponse().status


# -- the web server -------------------------------------------------------------------------------


@dataclass
class RawAnswer:
    """What came back on a raw socket, read to its end."""

    received: bytes

    @property
    def status(self) -> int:
        """-> of the first answer; 0 where nothing was answered"""
        match = re.match(rb"HTTP/1\.[01] (\d{3})", self.received)
        return int(match[1]) if match else 0


@dataclass
class WebServer:
    """A web server that runs with a shipped configuration.

    :param tls: what its visitors trust; None: it speaks plain http
    """

    server: Server
    site: Site
    factored: Factored
    tls: ssl.SSLContext | None
    host: str = WWW

    @property
    def port(self) -> int:
        return self.server.port

    def stop(self) -> None:
        """-> None; it, factored and the site have ended"""
        self.server.stop()
        self.factored.stop()
        self.site.close()

    def visitor(self, address: str | None = None) -> Browser:
        """-> a browser without cookies, from an address of its own"""
        return Browser(self.port, address or new_address(), tls=self.tls, name=self.host)

    def member(self, user: str = MEMBER, **changed: Any) -> Browser:
        """-> a browser with a ticket, see :meth:`Factored.ticket`"""
        return self.holder(self.factored.ticket(user, **changed))

    def holder(self, ticket: str) -> Browser:
        """cookie value -> a browser that has it as its ticket"""
        browser = self.visitor()
        browser.cookies["auth_tkt"] = (ticket, "/")
        return browser

    def asks(
        self, target: bytes, *lines: bytes, method: bytes = b"GET", body: bytes = b"",
        host: bytes | None = None,
    ) -> RawAnswer:  # fmt: skip
        """target and header lines as they shall be sent -> what came back

        :param host: value of the Host header; empty: there is none
        """
        told = self.host.encode() if host is None else host
        first = [method + b" " + target + b" HTTP/1.1", *([b"Host: " + told] if told else [])]
        return self.raw(b"\r\n".join([*first, b"Connection: close", *lines, b"", body]))

    def raw(self, request: bytes) -> RawAnswer:
        """bytes -> whatever came back, until the web server hung up"""
        received = b""
        with self.connected() as connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):
                connection.sendall(request)
            with contextlib.suppress(ConnectionResetError, ssl.SSLError, TimeoutError):
                while block := connection.recv(65536):
                    received += block
        return RawAnswer(received)

    @contextlib.contextmanager
    def connected(self) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=RAW_WAIT_S) as plain:
            if self.tls is None:
                yield plain
            else:
                with self.tls.wrap_socket(plain, server_hostname=self.host) as secured:
                    yield secured

    @contextlib.contextmanager
    def websocket(self, target: str, *headers: tuple[str, str]) -> Iterator[WebSocket | int]:
        """target, headers -> the open WebSocket, or the status that refused it"""
        key = "dGhlIHNhbXBsZSBub25jZQ=="
        lines = [
            f"GET {target} HTTP/1.1", f"Host: {self.host}", "Upgrade: websocket",
            "Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13",
            "Sec-Fetch-Mode: websocket", *(f"{name}: {value}" for name, value in headers),
        ]  # fmt: skip
        with self.connected() as connection, connection.makefile("rb") as stream:
            connection.sendall("\r\n".join([*lines, "", ""]).encode())
            status = int(stream.readline().split()[1])
            told = {}
            while line := stream.readline().strip():
                name, _, value = line.decode("latin-1").partition(":")
                told[name.lower()] = value.strip()
            if status != 101:
                yield status
            else:
                assert told["sec-websocket-accept"] == accept_of(key)
                yield WebSocket(connection, stream)


@dataclass
class WebSocket:
    _connection: socket.socket
    _stream: BinaryIO

    def echo(self, text: bytes) -> bytes:
        """message -> what came back"""
        self._connection.sendall(frame(2, text, mask=b"\x11\x22\x33\x44"))
        _opcode, came = next(frames(self._stream))
        return came


def start_web_server(
    folder: Path, argv: Sequence[str], port: int, site: Site, factored: Factored,
    tls: ssl.SSLContext | None,
) -> WebServer:  # fmt: skip
    """folder for its output, command line -> the web server, once its port takes connections"""
    server = Server(argv, port, folder, ready_path=None)
    return WebServer(server.start(), site, factored, tls)


# -- nginx ----------------------------------------------------------------------------------------

NGINX_MAIN = """
{modules}
{user}
daemon off;
pid {folder}/nginx.pid;
error_log stderr info;
worker_processes 1;
events {{ worker_connections 768; }}
http {{
  access_log off;
  client_body_temp_path {folder}/bodies;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  default_type text/plain;
  {http}
  include {folder}/site.conf;
}}
"""
"""Only what Debian's own nginx.conf has too, and places for files."""


def nginx_argv(
    folder: Path, shipped: str, *, modules: Sequence[str] = (), http: str = ""
) -> list[str]:
    """folder, text of a shipped file -> command line of nginx with it

    :param modules: files of Debian's /usr/lib/nginx/modules, in the order they need
    :param http: lines before the shipped file
    """
    path = program("nginx")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "site.conf").write_text(shipped, "utf-8")
    text = NGINX_MAIN.format(
        folder=folder,
        http=http,
        modules="\n".join(f"load_module /usr/lib/nginx/modules/{one};" for one in modules),
        # Without this, workers become somebody who may not enter the test's folder.
        user="user root;" if os.getuid() == 0 else "",
    )
    (folder / "nginx.conf").write_text(text, "utf-8")
    return [path, "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]
