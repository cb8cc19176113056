"""nginx before gunicorn for one path: web-servers/nginx/protected_path.conf."""

from __future__ import annotations

import contextlib
import posixpath
from collections.abc import Iterator
from urllib.parse import unquote

import pytest

from tests.peers.servers import free_port

from .harness import (
    WWW,
    Site,
    WebServer,
    filled,
    gate_told,
    make_certificate,
    nginx_argv,
    start_factored,
    start_web_server,
)
from .scenarios import SPELLINGS, AsksFactored, PassesOnNoMore
from .site import Arrived

EXEMPT = "excepted_paths = /admin/open\n"
PASSES_ALL = "underscores_in_headers on; ignore_invalid_headers off;"


@pytest.fixture(scope="class", params=["", PASSES_ALL], ids=["plain", "passes all headers"])
def web_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WebServer]:
    """nginx as it is, and nginx that was told to pass on what it drops by itself."""
    folder = tmp_path_factory.mktemp("protected-path")
    with contextlib.ExitStack() as ends:
        certificate, port, site = make_certificate(folder / "tls"), free_port(), Site()
        ends.callback(site.close)
        gate = gate_told(filled("nginx/protected_path.conf", {"www.example.com": WWW}))
        factored = start_factored(folder / "factored", gate + EXEMPT, downstream_port=site.port)
        ends.callback(factored.stop)
        shipped = filled(
            "nginx/protected_path.conf",
            {
                "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
                "www.example.com": WWW,
                "/etc/ssl/www.example.com.pem": str(certificate.chain),
                "/etc/ssl/www.example.com.key": str(certificate.key),
                "127.0.0.1:8000": f"127.0.0.1:{factored.port}",
                "127.0.0.1:8080": f"127.0.0.1:{site.port}",
            },
        )
        argv = nginx_argv(folder / "nginx", shipped, http=request.param)
        made = start_web_server(folder / "nginx", argv, port, site, factored, certificate.client)
        ends.callback(made.server.stop)
        yield made


class TestProtectedPath(AsksFactored, PassesOnNoMore):
    base = "/admin/auth"
    page = "/admin/page"
    exempt = "/admin/open"
    socket = None  # simpleproxy passes none
    identity = ("Factored-User",)
    in_path = True
    open_to_all = "/page"

    def odd_targets(self) -> list[bytes]:
        return [
            *super().odd_targets(),
            b"/ADMIN/page", b"/Admin", b"/%61dmin/page", b"//admin/page", b"/x/../admin/page",
            b"/x/..;/admin/page", b"/;/admin/page", b"/;x=1/admin", b"/x;y/../admin", b"/admin;x",
            b"/x\\..\\admin\\page", b"/\\admin", b"/%5cadmin", b"/x/%5c..%5c..%5cadmin",
            b"/x/..%3b/admin/page", b"/x%2f..%2fadmin/page", b"/.//admin", b"/admin.",
            b"/administer",
        ]  # fmt: skip

    def is_open(self, arrived: Arrived) -> bool:
        """Read as the strangest of sites may: any case, ``\\``, and ``;`` ends a segment."""
        path = unquote(arrived.path)
        segments = [part.partition(";")[0] for part in path.replace("\\", "/").split("/")]
        read = "/" + posixpath.normpath("/".join(segments)).lower().lstrip("/")
        return path == self.exempt or not read.startswith("/admin")

    def test_without_factored_the_rest_of_the_site_goes_on(self, web_server: WebServer) -> None:
        ask = f"GET /admin/page?alone=1 HTTP/1.1\r\nHost: {WWW}\r\n\r\n".encode()
        try:
            web_server.factored.hangs()
            with web_server.connected() as connection:
                connection.sendall(ask)
                assert web_server.visitor().get("/page?alone=2").status == 200
                connection.settimeout(0.5)
                with pytest.raises(TimeoutError):
                    connection.recv(1)
            web_server.factored.stop()
            assert web_server.visitor().get("/page?alone=3").status == 200
            assert web_server.member().get("/admin/page?alone=1").status == 502
        finally:
            web_server.factored.start()
        assert web_server.site.never_saw("alone=1")

    def test_the_open_part_learns_no_user_and_upgrades(self, web_server: WebServer) -> None:
        assert web_server.member().get("/page?part=open").status == 200
        assert web_server.site.saw("part=open").named() == []
        with web_server.websocket("/socket?part") as opened:
            assert not isinstance(opened, int)
            assert opened.echo(b"hello") == b"hello"

    @pytest.mark.parametrize("spelling", SPELLINGS)
    def test_nobody_says_who_he_is_on_the_open_part(
        self, web_server: WebServer, spelling: str
    ) -> None:
        sent = [(spelling, "admin"), (spelling, "root")]
        mark = f"part={spelling}-"
        for browser in (web_server.visitor(), web_server.member()):
            assert browser.get(f"/page?{mark}", *sent).status == 200
        came = [one for one in web_server.site.requests() if mark in one.target]
        assert [one.named() for one in came] == [[], []]

    def test_the_ticket_is_a_cookie_of_the_path_alone(self, web_server: WebServer) -> None:
        visitor = web_server.visitor()
        visitor.sign_in(web_server.factored.add_user(), "/admin/page")
        assert visitor.cookies["auth_tkt"][1] == "/admin"
        assert visitor.get("/page?cookie=none").status == 200
        assert web_server.site.saw("cookie=none").values("Cookie") == []
