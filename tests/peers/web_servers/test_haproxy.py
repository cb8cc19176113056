"""web-servers/haproxy: HAProxy asks factored for each request, by a Lua action."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from tests.peers.servers import Server, free_port, program

from .attacks import Attacked
from .harness import (
    SHIPPED,
    WWW,
    Site,
    WebServer,
    filled,
    make_certificate,
    start_factored,
    start_web_server,
)


@pytest.fixture(scope="class")
def web_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    path = program("haproxy")
    folder = tmp_path_factory.mktemp("haproxy")
    certificate, site, port = make_certificate(folder), Site(), free_port()
    both = folder / "both.pem"
    both.write_bytes(certificate.chain.read_bytes() + certificate.key.read_bytes())
    factored = start_factored(
        folder / "factored", f"public_url = https://{WWW}\nauth_tkt.secure = true"
    )
    shipped = filled(
        "haproxy/haproxy.cfg",
        {
            ":443 ": f"127.0.0.1:{port} ",
            "/etc/ssl/www.example.com.pem": str(both),
            "/etc/haproxy/factored.lua": str(SHIPPED / "haproxy" / "factored.lua"),
            "127.0.0.1:8000": f"127.0.0.1:{factored.port}",
            "127.0.0.1:8080": f"127.0.0.1:{site.port}",
        },
    )
    home = folder / "haproxy"
    home.mkdir()
    (home / "haproxy.cfg").write_text(shipped, "utf-8")
    argv = [path, "-db", "-f", str(home / "haproxy.cfg")]
    made = start_web_server(home, argv, port, site, factored, certificate.client)
    yield made
    made.stop()


class TestLuaAction(Attacked):
    ODD_ANSWERS: ClassVar[dict[str, bytes]] = {
        **Attacked.ODD_ANSWERS,
        "cut short": b"HTTP/1.1 200 OK\r\nRemote-User: admin\r\nContent-Length: 9\r\n\r\nx",
        "two users": (
            b"HTTP/1.1 200 OK\r\nRemote-User: admin\r\nRemote-User: al\r\nContent-Length: 0\r\n\r\n"
        ),
    }

    def test_a_body_in_chunks_passes_for_members(self, web_server: WebServer) -> None:
        """In place of the shared one: what does not say how long it is, is refused."""
        # At once, because HAProxy hangs up on what follows the head.
        chunked = web_server.asks(
            f"{self.page}?body=chunked".encode(),
            b"Cookie: auth_tkt=" + web_server.factored.ticket().encode(),
            b"Transfer-Encoding: chunked",
            method=b"POST",
            body=b"3\r\nabc\r\n0\r\n\r\n",
        )
        assert chunked.status == 411
        assert web_server.site.never_saw("body=chunked")

    def test_http_2_does_not_come_in_by_the_back_door(self, web_server: WebServer) -> None:
        """HAProxy changes to it at its first bytes, without ALPN, unless told not to."""
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
        assert web_server.raw(preface).received.startswith(b"HTTP/1.1 400")

    @pytest.mark.parametrize(
        ("whole", "broken"),
        [
            ("local answer = asked(txn, endpoint)", 'error("broken")'),
            ("  txn:set_priv(", '  error("broken")\n  txn:set_priv('),
            ("    return\n  elseif answer.status == 200 then", "  end\n  if nil + 1 then"),
        ],
    )
    def test_an_action_that_breaks_lets_nobody_in(
        self, web_server: WebServer, tmp_path: Path, whole: str, broken: str
    ) -> None:
        """HAProxy then goes on with the next rule, as if the action had not been there."""
        script = tmp_path / "factored.lua"
        script.write_text(filled("haproxy/factored.lua", {whole: broken}), "utf-8")
        running = Path(web_server.server.folder / "haproxy.cfg").read_text("utf-8")
        port = free_port()
        text = running.replace(str(SHIPPED / "haproxy" / "factored.lua"), str(script))
        text = text.replace(f"127.0.0.1:{web_server.port}", f"127.0.0.1:{port}")
        (tmp_path / "haproxy.cfg").write_text(text, "utf-8")
        argv = [program("haproxy"), "-db", "-f", str(tmp_path / "haproxy.cfg")]
        server = Server(argv, port, tmp_path, ready_path=None).start()
        try:
            other = replace(web_server, server=server)
            for path in (self.page, str(self.exempt)):
                assert other.visitor().get(f"{path}?broken").status != 200
                assert other.member().get(f"{path}?broken").status == 503
            assert other.site.never_saw("broken")
            assert "runtime error" in server.output
        finally:
            server.stop()
