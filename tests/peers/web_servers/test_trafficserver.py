"""Traffic Server that checks tickets itself: web-servers/trafficserver with web-servers/lua."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.peers.servers import free_port, program

from .edges import LuaEdge
from .harness import (
    SHIPPED,
    WWW,
    Certificate,
    Factored,
    Site,
    WebServer,
    filled,
    make_certificate,
    start_factored,
    start_web_server,
)
from .lua import BROKEN, broken_lua, refuses_everybody

ETC = Path("/etc/trafficserver")

RUNROOT = """
prefix: /usr
exec_prefix: /usr
bindir: /usr/bin
sbindir: /usr/bin
libdir: /usr/lib/trafficserver
libexecdir: /usr/lib/trafficserver/modules
sysconfdir: {folder}/etc
datadir: {folder}/cache
localstatedir: {folder}
runtimedir: {folder}/run
logdir: {folder}/log
cachedir: {folder}/cache
"""

RECORDS = """
# Of this test: few threads, files of its own, no other user.
CONFIG proxy.config.admin.user_id STRING #-1
CONFIG proxy.config.exec_thread.autoconfig INT 0
CONFIG proxy.config.exec_thread.limit INT 2
CONFIG proxy.config.diags.output.error STRING E
CONFIG proxy.config.log.logging_enabled INT 0
"""


def argv_of(
    folder: Path, port: int, site: Site, factored: Factored, certificate: Certificate,
    *, lua: Path = SHIPPED / "lua", script: Mapping[str, str] | None = None,
) -> list[str]:  # fmt: skip
    """folder, port and what is behind it, where auth_tkt.lua is, replacements -> command line"""
    path, etc = program("traffic_server"), folder / "etc"
    secret_file = factored.installation.folder / "factored.secret"
    for name in ("etc", "run", "log", "cache"):
        (folder / name).mkdir(parents=True)
    (folder / "runroot.yaml").write_text(RUNROOT.format(folder=folder))
    shutil.copy(SHIPPED / "trafficserver" / "ip_allow.yaml", etc)
    shutil.copytree(ETC / "body_factory", etc / "body_factory")
    (etc / "storage.config").write_text(f"{folder}/cache 16M\n")
    shipped = {
        "records.config": {"443:ssl": f"{port}:ssl:ip-in=127.0.0.1"},
        "remap.config": {
            "www.example.com": WWW,
            "/etc/trafficserver/factored.lua": str(etc / "factored.lua"),
        },
        "ssl_multicert.config": {
            "/etc/ssl/www.example.com.pem": str(certificate.chain),
            "/etc/ssl/www.example.com.key": str(certificate.key),
        },
        "factored.lua": {
            "/usr/local/share/factored/lua": str(lua),
            '"/etc/trafficserver/factored.secret"': f'"{secret_file}"',
            '"127.0.0.1:8000"': f'"127.0.0.1:{factored.port}"',
            '"127.0.0.1:8080"': f'"127.0.0.1:{site.port}"',
            **(script or {}),
        },
    }
    for name, replacements in shipped.items():
        (etc / name).write_text(filled(f"trafficserver/{name}", replacements))
    with (etc / "records.config").open("a") as records:
        records.write(RECORDS)
    return [path, f"--run-root={folder}/runroot.yaml"]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def web_server(
    tmp_path_factory: pytest.TempPathFactory, certificate: Certificate
) -> Iterator[WebServer]:
    """Traffic Server with the shipped files, factored and a site"""
    program("traffic_server")
    folder = tmp_path_factory.mktemp("trafficserver")
    site, port = Site(), free_port()
    factored = start_factored(folder / "factored", f"public_url = https://{WWW}")
    argv = argv_of(folder / "trafficserver", port, site, factored, certificate)
    made = start_web_server(folder / "server", argv, port, site, factored, certificate.client)
    yield made
    made.stop()


class TestTrafficServer(LuaEdge):
    def test_two_cookie_headers_get_nobody_in_and_no_ticket_out(
        self, web_server: WebServer
    ) -> None:
        """Traffic Server joins them with a comma."""
        ticket = web_server.factored.ticket()
        headers = [("Cookie", "a=b"), ("Cookie", f"auth_tkt={ticket}")]
        assert self.denied(web_server.visitor().get(f"{self.page}?joined=1", *headers))
        headers = [("Cookie", f"auth_tkt={ticket}; c=d"), *headers]
        assert web_server.visitor().get(f"{self.page}?joined=2", *headers).status == 200
        assert ticket not in str(web_server.site.saw("joined=2").headers)


def test_an_error_in_the_lua_lets_nobody_in(
    tmp_path: Path, web_server: WebServer, certificate: Certificate
) -> None:
    """All at once, as Traffic Server takes its time to start and to end."""

    def run(how: str) -> None:
        folder, port = tmp_path / how.replace(" ", "-"), free_port()
        lua = broken_lua(folder / "lua", how, "trafficserver.lua")
        argv = argv_of(folder, port, web_server.site, web_server.factored, certificate, lua=lua)
        refuses_everybody(folder / "server", argv, port, web_server, how)

    with ThreadPoolExecutor(len(BROKEN)) as threads:
        list(threads.map(run, BROKEN))


def test_wrong_options_let_nobody_in(
    tmp_path: Path, web_server: WebServer, certificate: Certificate
) -> None:
    port = free_port()
    argv = argv_of(
        tmp_path, port, web_server.site, web_server.factored, certificate,
        script={"max_age = 7200": "max_agee = 7200"},
    )  # fmt: skip
    refuses_everybody(tmp_path / "server", argv, port, web_server, "does not parse")
    said = (tmp_path / "server" / "output.txt").read_text() + "".join(
        log.read_text("utf-8", "replace") for log in (tmp_path / "log").glob("*")
    )
    assert "no option max_agee" in said
