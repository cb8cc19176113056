"""Apache's mod_auth_tkt reads the test vectors as they say, its clock standing still."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.support_programs import require_program
from tests.vectors import checked_in

from .servers import Server, free_port, program

CONTENT = checked_in()
MODULES = Path("/usr/lib/apache2/modules")
AT_ONCE = 8

MAIN = """
ServerName localhost
ServerRoot {folder}
DocumentRoot /
PidFile {folder}/apache.pid
Mutex file:{folder} default
DefaultRuntimeDir {folder}
ErrorLog {folder}/error.log
LogLevel warn
{user}
StartServers 1
ThreadsPerChild 25
{modules}
{listen}
# A vector says where its request comes from.
RemoteIPHeader X-Vector-Address
RemoteIPInternalProxy 127.0.0.1
{hosts}
"""

HOST = """
<VirtualHost 127.0.0.1:{port}>
  TKTAuthDigestType {hashalg}
  TKTAuthSecret "{secret}"
  {old}
  <Location />
    Require valid-user
    TKTAuthLoginURL /auth
    TKTAuthCookieName auth_tkt
    TKTAuthTimeout {timeout_s}s
    TKTAuthTimeoutRefresh 0
    TKTAuthIgnoreIP {ignore_ip}
    {tokens}
    # An answer that needs no file.
    SetHandler server-status
    Header always set X-Vector-User expr=%{{REMOTE_USER}}
  </Location>
</VirtualHost>
"""


def host(reader: dict[str, Any], port: int) -> str:
    secret, *older = reader["secrets"]
    return HOST.format(
        port=port, hashalg=reader["hashalg"].upper(), secret=secret,
        old="".join(f'TKTAuthSecretOld "{one}"\n' for one in older),
        timeout_s=reader["mod_auth_tkt_timeout_s"],
        ignore_ip="off" if reader["include_ip"] else "on",
        tokens="\n".join(f"TKTAuthToken {one}" for one in reader["schemes"]),
    )  # fmt: skip


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """-> name of a reader -> port of an Apache that is set up like it"""
    folder = tmp_path_factory.mktemp("apache")
    if not (MODULES / "mod_auth_tkt.so").exists():
        require_program(str(MODULES / "mod_auth_tkt.so"))
    names = ["mpm_event", "authn_core", "authz_core", "authz_user", "headers", "remoteip",
             "status", "auth_tkt"]  # fmt: skip
    readers = CONTENT["readers"]
    ports = {name: free_port() for name in readers}
    text = MAIN.format(
        folder=folder,
        user="User www-data\nGroup www-data" if os.getuid() == 0 else "",
        modules="\n".join(f"LoadModule {one}_module {MODULES}/mod_{one}.so" for one in names),
        listen="\n".join(f"Listen 127.0.0.1:{port}" for port in ports.values()),
        hosts="".join(host(readers[name], port) for name, port in ports.items()),
    )
    conf = folder / "apache.conf"
    conf.write_text(text)
    # Without @ the clock stands still.
    moment = datetime.fromtimestamp(CONTENT["now_s"], timezone.utc)
    argv = [
        program("env"), "TZ=UTC", "FAKETIME_DONT_FAKE_MONOTONIC=1", program("faketime"), "-m",
        "-f", moment.strftime("%Y-%m-%d %H:%M:%S"), program("apache2"), "-D", "FOREGROUND",
        "-f", str(conf),
    ]  # fmt: skip
    server = Server(argv, next(iter(ports.values())), folder / "server", ready_path=None).start()
    yield ports
    server.stop()


def user_of(port: int, address: str, header: str) -> str | None:
    """port, address, Cookie header -> the user that Apache found, or None: refused"""
    lines = ["GET /page?auto HTTP/1.0", "Host: localhost", f"X-Vector-Address: {address}"]
    request = "\r\n".join([*lines, f"Cookie: {header}", "", ""]).encode("latin-1")
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        # Of a header too long it does not read the end.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(request)
        with contextlib.suppress(ConnectionResetError):
            while block := connection.recv(65536):
                received += block
    head = received.decode("latin-1").partition("\r\n\r\n")[0].split("\r\n")
    status = head[0].split(" ")[1]
    if status != "200":
        assert status in ("307", "400"), head
        return None
    users = [line.partition(": ")[2] for line in head if line.startswith("X-Vector-User:")]
    return users[0].encode("latin-1").decode()


def test_mod_auth_tkt_reads_every_vector_as_it_says(ports: dict[str, int]) -> None:
    each = [(vector, header) for vector in CONTENT["vectors"] for header in vector["headers"]]

    def ask(one: tuple[dict[str, Any], str]) -> str | None:
        vector, header = one
        return user_of(ports[vector["reader"]], vector["address"], header)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        found = list(threads.map(ask, each))
    wrong = [
        (vector["name"], header[:400], user, vector["mod_auth_tkt"])
        for (vector, header), user in zip(each, found, strict=True)
        if user != (vector["mod_auth_tkt"] and vector["mod_auth_tkt"][0])
    ]
    assert wrong == []
