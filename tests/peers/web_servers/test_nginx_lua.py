"""nginx that checks tickets itself: web-servers/nginx/lua.conf with web-servers/lua."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.peers.servers import free_port
from tests.support import eventually
from tests.support_programs import require_program

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
    nginx_argv,
    start_factored,
    start_web_server,
)
from .lua import BROKEN, broken_lua, refuses_everybody

MODULES = ["ndk_http_module.so", "ngx_http_lua_module.so"]


def need_modules() -> None:
    for name in MODULES:
        path = Path("/usr/lib/nginx/modules") / name
        if not path.exists():
            require_program(str(path))


def argv_of(
    folder: Path, port: int, site: Site, factored: Factored, certificate: Certificate,
    *, lua: Path = SHIPPED / "lua", options: Mapping[str, str] | None = None,
) -> list[str]:  # fmt: skip
    """folder, port and what is behind it, where auth_tkt.lua is, replacements -> command line"""
    need_modules()
    given = {
        "www.example.com": WWW,
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "/etc/ssl/www.example.com.pem": str(certificate.chain),
        "/etc/ssl/www.example.com.key": str(certificate.key),
        "/usr/local/share/factored/lua": str(lua),
        '"/etc/factored/factored.secret"': f'"{factored.installation.folder}/factored.secret"',
        "127.0.0.1:8000": f"127.0.0.1:{factored.port}",
        "127.0.0.1:8080": f"127.0.0.1:{site.port}",
        **(options or {}),
    }
    return nginx_argv(
        folder, filled("nginx/lua.conf", given), modules=MODULES,
        # The worst that somebody may have said elsewhere.
        http="underscores_in_headers on; ignore_invalid_headers off;",
    )  # fmt: skip


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def web_server(
    tmp_path_factory: pytest.TempPathFactory, certificate: Certificate
) -> Iterator[WebServer]:
    """nginx with the shipped file, factored and a site"""
    need_modules()
    folder = tmp_path_factory.mktemp("nginx-lua")
    site, port = Site(), free_port()
    factored = start_factored(folder / "factored", f"public_url = https://{WWW}")
    argv = argv_of(folder / "nginx", port, site, factored, certificate)
    made = start_web_server(folder / "server", argv, port, site, factored, certificate.client)
    yield made
    made.stop()


class TestNginxLua(LuaEdge):
    def test_a_recovery_code_lets_in_and_a_scheme_that_is_not_listed_does_not(
        self, web_server: WebServer
    ) -> None:
        assert web_server.member(scheme="rc").get(self.page).status == 200
        assert self.denied(web_server.member(scheme="em").get(self.page))


@pytest.mark.parametrize("broken", BROKEN)
def test_an_error_in_the_lua_lets_nobody_in(
    tmp_path: Path, web_server: WebServer, certificate: Certificate, broken: str
) -> None:
    lua, port = broken_lua(tmp_path / "lua", broken, "nginx.lua"), free_port()
    site, factored = web_server.site, web_server.factored
    argv = argv_of(tmp_path / "nginx", port, site, factored, certificate, lua=lua)
    refuses_everybody(tmp_path / "server", argv, port, web_server, broken)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_age = 7200": "max_agee = 7200"}, "no option max_agee"),
        ({'hashalg = "sha512"': 'hashalg = "md5"'}, "hashalg must be"),
        ({'"/etc/factored/factored.secret"': '"/nowhere"'}, "No such file"),
        ({'base_auth_url = "/auth"': 'base_auth_url = "auth"'}, "base_auth_url must be"),
        ({"/usr/local/share/factored/lua": "/nowhere"}, "module 'nginx' not found"),
    ],
)
def test_nginx_does_not_start_with_wrong_options(
    tmp_path: Path, web_server: WebServer, certificate: Certificate,
    options: dict[str, str], said: str,
) -> None:  # fmt: skip
    argv = argv_of(
        tmp_path, free_port(), web_server.site, web_server.factored, certificate, options=options
    )
    # nginx -t does not run Lua.
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode != 0
    assert said in ended.stderr


def test_a_new_secret_counts_after_a_reload(
    tmp_path: Path, web_server: WebServer, certificate: Certificate
) -> None:
    new = "a-new-ticket-secret-of-this-test-0123456789"
    secret_file, port = tmp_path / "a.secret", free_port()
    secret_file.write_text(f"{web_server.factored.ticket_secret}\n")
    argv = argv_of(
        tmp_path / "nginx", port, web_server.site, web_server.factored, certificate,
        options={'"/etc/factored/factored.secret"': f'"{secret_file}"'},
    )  # fmt: skip
    other = start_web_server(
        tmp_path / "server", argv, port, web_server.site, web_server.factored, certificate.client
    )
    try:
        old_one, new_one = other.member(), other.member(secret=new)
        assert (old_one.get("/page").status, new_one.get("/page").status) == (200, 302)
        secret_file.write_text(f"# two of them\n{web_server.factored.ticket_secret}\n{new}\n")
        assert other.server.process is not None
        os.kill(other.server.process.pid, signal.SIGHUP)
        eventually(lambda: new_one.get("/page").status == 200)
        assert old_one.get("/page").status == 200
        # And one that was remembered is nobody's with the secret gone.
        secret_file.write_text(f"{new}\n")
        os.kill(other.server.process.pid, signal.SIGHUP)
        eventually(lambda: old_one.get("/page").status == 302)
        assert new_one.get("/page").status == 200
    finally:
        other.server.stop()
