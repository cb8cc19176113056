"""nginx that asks factored about each request: web-servers/nginx/auth_request.conf."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
from .scenarios import FORWARDED, AsksFactored, PassesOnNoMore

SHIPPED_FILE = "nginx/auth_request.conf"
PASSES_ALL = "underscores_in_headers on; ignore_invalid_headers off;"


@pytest.fixture(
    scope="class",
    params=[("", "gthread"), (PASSES_ALL, "waitress")],
    ids=["plain", "passes all headers"],
)
def web_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WebServer]:
    """nginx as it is, and nginx that was told to pass on what it drops by itself."""
    http, kind = request.param
    folder = tmp_path_factory.mktemp("auth-request")
    with contextlib.ExitStack() as ends:
        site = Site()
        ends.callback(site.close)
        gate = gate_told(filled(SHIPPED_FILE, {"www.example.com": WWW}))
        factored = start_factored(folder / "factored", gate, kind=kind)
        ends.callback(factored.stop)
        made = start_nginx(folder, site, factored, http)
        ends.callback(made.server.stop)
        yield made


def start_nginx(folder: Path, site: Site, factored: Any, http: str = "") -> WebServer:
    """folder, site, factored or what stands in for it -> nginx before them"""
    certificate, port = make_certificate(folder / "tls"), free_port()
    shipped = filled(
        SHIPPED_FILE,
        {
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
            "www.example.com": WWW,
            "/etc/ssl/www.example.com.pem": str(certificate.chain),
            "/etc/ssl/www.example.com.key": str(certificate.key),
            "127.0.0.1:8000": f"127.0.0.1:{factored.port}",
            "127.0.0.1:8080": f"127.0.0.1:{site.port}",
        },
    )
    argv = nginx_argv(folder / "nginx", shipped, http=http)
    return start_web_server(folder / "nginx", argv, port, site, factored, certificate.client)


class TestAuthRequest(AsksFactored, PassesOnNoMore):
    """Everything that the suite asks for, and what nginx could do wrong by itself."""

    @pytest.mark.parametrize(("tickets", "arrives"), [(1, ["k=v"]), (3, ["k=v"]), (4, []), (9, [])])
    def test_no_number_of_tickets_brings_one_to_the_site(
        self, web_server: WebServer, tickets: int, arrives: list[str]
    ) -> None:
        value, mark = web_server.factored.ticket(), f"tickets={tickets}-"
        cookies = "; ".join([*[f"auth_tkt={value}"] * tickets, "k=v"])
        assert web_server.visitor().get(f"/page?{mark}", ("Cookie", cookies)).status == 200
        assert web_server.site.saw(mark).values("Cookie") == arrives

    def test_cookies_in_two_lines_bring_no_ticket_to_the_site(self, web_server: WebServer) -> None:
        value = web_server.factored.ticket()
        lines = [("Cookie", "a=1"), ("Cookie", f"auth_tkt={value}"), ("Cookie", "b=2")]
        assert web_server.visitor().get("/open?lines=1", *lines).status == 200
        assert web_server.site.saw("lines=1").values("Cookie") == ["a=1; b=2"]

    @pytest.mark.parametrize("path", ["/auth/verify", "/auth/forward"])
    def test_nobody_else_may_ask_factored(self, web_server: WebServer, path: str) -> None:
        for browser in (web_server.visitor(), web_server.member()):
            answer = browser.get(path, ("X-Forwarded-Uri", "/open"))
            assert (answer.status, answer.values("Remote-User")) == (404, [])

    def test_a_host_in_capitals_is_the_same_and_with_a_port_another(
        self, web_server: WebServer
    ) -> None:
        assert web_server.asks(b"/page", host=WWW.upper().encode()).status == 302
        assert web_server.asks(b"/page", host=f"{WWW}:443".encode()).status == 421

    def test_the_site_learns_what_was_proven_from_factored_alone(
        self, web_server: WebServer
    ) -> None:
        sent = [("Factored-Schemes", "em"), ("Factored_Schemes", "em")]
        assert web_server.member().get("/page?proven=1", *sent).status == 200
        assert web_server.visitor().get("/open?proven=2", *sent).status == 200
        for mark, proven in (("proven=1", ["ga"]), ("proven=2", [])):
            arrived = web_server.site.saw(mark)
            spelt = [value for name, value in arrived.headers if "schemes" in name.lower()]
            assert spelt == proven


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_what_factored_is_told_is_what_nginx_got_and_nothing_that_a_visitor_adds(
    tmp_path: Path, method: str
) -> None:
    """A site stands in for factored, and says no to all."""
    site, asked = Site(), Site(status=401)
    nginx = start_nginx(tmp_path, site, asked)
    sent = [(name, value.format(path="/open", host=WWW)) for name, value in FORWARDED]
    try:
        visitor = nginx.visitor()
        body = None if method == "GET" else b"field=value"
        target = "/a%2Fb//c/../d?e=f&g=%26"
        assert visitor.request(method, target, body, [*sent, ("X-Mine", "1")]).status == 401
        question, way_to_login = asked.requests()
        assert (question.method, question.target) == ("GET", "/auth/verify")
        assert (way_to_login.method, way_to_login.target) == ("GET", "/auth/forward")
        # The question is nginx's own, over a connection that other visitors' questions share.
        assert {name for name, _ in question.headers} <= {
            "Host", "Accept", "Cookie", "Sec-Fetch-Mode", "X-Requested-With", "X-Forwarded-Host",
            "X-Forwarded-Proto", "X-Forwarded-For", "X-Forwarded-Uri", "X-Forwarded-Method",
        }  # fmt: skip
        assert question.version == "HTTP/1.1"
        assert way_to_login.values("X-Mine") == ["1"]
        for one in (question, way_to_login):
            assert one.values("X-Forwarded-Uri") == [target]
            assert one.values("X-Forwarded-Method") == [method]
            assert one.values("Content-Length") == one.values("Transfer-Encoding") == []
            assert one.body == b""

        assert visitor.request(method, "/auth/ga?x=1", body, sent).status == 401
        page = asked.requests()[2]
        assert (page.method, page.target, page.body) == (method, "/auth/ga?x=1", body or b"")
        for name in ("X-Forwarded-Uri", "X-Forwarded-Method"):
            assert page.values(name) == []

        for one in (question, way_to_login, page):
            assert one.values("Host") == one.values("X-Forwarded-Host") == [WWW]
            assert one.values("X-Forwarded-Proto") == ["https"]
            assert one.values("X-Forwarded-For") == [visitor.address]
            assert one.values("X-Original-URL") == one.values("X-Original-Method") == []
        assert len(asked.requests()) == 3 and site.requests() == []
        # No body without a length, which would be read as a request of its own.
        assert asked.junk == []
    finally:
        nginx.server.stop()
        asked.close()
        site.close()
