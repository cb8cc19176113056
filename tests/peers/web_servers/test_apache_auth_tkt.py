"""Apache that checks tickets itself: web-servers/apache/auth_tkt.conf, with mod_auth_tkt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from tests.peers.servers import free_port
from tests.support_programs import require_program

from .apache import MODULES, apache_argv
from .edges import Edge
from .harness import (
    WWW,
    Site,
    WebServer,
    filled,
    make_certificate,
    start_factored,
    start_web_server,
)

LOADED = (
    "mpm_event", "authn_core", "authz_core", "authz_user", "headers", "rewrite", "ssl", "proxy",
    "proxy_http", "auth_tkt",
)  # fmt: skip


def start(folder: Path) -> WebServer:
    """folder -> Apache with the shipped file, factored and a site"""
    if not (MODULES / "mod_auth_tkt.so").exists():
        require_program(str(MODULES / "mod_auth_tkt.so"))
    certificate, site, port = make_certificate(folder / "tls"), Site(), free_port()
    factored = start_factored(folder / "factored", f"public_url = https://{WWW}")
    secret = folder / "secret.conf"
    secret.write_text(f'TKTAuthSecret "{factored.ticket_secret}"\n')
    shipped = filled(
        "apache/auth_tkt.conf",
        {
            "*:443": f"127.0.0.1:{port}",
            "www.example.com": WWW,
            "/etc/ssl/www.example.com.pem": str(certificate.chain),
            "/etc/ssl/www.example.com.key": str(certificate.key),
            "/etc/factored/apache-secret.conf": str(secret),
            "127.0.0.1:8000/": f"127.0.0.1:{factored.port}/",
            "127.0.0.1:8080/": f"127.0.0.1:{site.port}/",
        },
    )
    argv = apache_argv(folder / "apache2", shipped, port, LOADED)
    return start_web_server(folder / "server", argv, port, site, factored, certificate.client)


LAXER = ("longer ago than a lifetime says", "quoted")
"""Of the bad tickets those that mod_auth_tkt takes: docs/web-servers/apache-auth-tkt.rst."""


class TestModAuthTkt(Edge):
    takes_future: ClassVar[bool] = True
    names: ClassVar[tuple[str, ...]] = ("al", "al@example.com", "al+tag@example.com")

    @pytest.fixture(scope="class")
    @classmethod
    def web_server(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
        web_server = start(tmp_path_factory.mktemp("apache"))
        yield web_server
        web_server.stop()

    def bad_tickets(self, web_server: WebServer) -> dict[str, str]:
        bad = super().bad_tickets(web_server)
        return {name: value for name, value in bad.items() if name not in LAXER}

    def test_it_is_laxer_where_its_documentation_says_so(self, web_server: WebServer) -> None:
        bad = super().bad_tickets(web_server)
        bad["of the future"] = web_server.factored.ticket(age_s=-3600)
        for name in (*LAXER, "of the future"):
            assert web_server.holder(bad[name]).get(f"{self.page}?laxer=1").status == 200, name

    def test_names_that_are_quoted_cannot_get_in(self, web_server: WebServer) -> None:
        for name in ("a l", "100%", "a!b", "a,b", "a;b", 'a"b', "a\\b", "a[b]", "\u00e9"):
            assert self.denied(web_server.member(name).get(f"{self.page}?quoted=1")), name
        assert web_server.site.never_saw("quoted=1")

    def test_the_site_gets_the_ticket_of_nobody_and_the_other_cookies(
        self, web_server: WebServer
    ) -> None:
        """mod_auth_tkt reads the first ticket cookie alone, but none of them gets to the site."""
        ticket = web_server.factored.ticket()
        for number, (sent, comes) in enumerate(
            (
                (f"auth_tkt={ticket}", []),
                (f"theme=dark; auth_tkt={ticket}", ["theme=dark"]),
                (f"auth_tkt={ticket}; theme=dark", ["theme=dark"]),
                (f"a=1; auth_tkt={ticket}; theme=dark; b=x=y", ["a=1", "theme=dark", "b=x=y"]),
                (f"my_auth_tkt=mine; auth_tkt={ticket};theme=dark",
                 ["my_auth_tkt=mine", "theme=dark"]),
                (f"auth_tkt={ticket}; auth_tkt={ticket}; auth_tkt=old; auth_tkt2=two",
                 ["auth_tkt2=two"]),
            )
        ):  # fmt: skip
            mark = f"cookies={number}-"
            answer = web_server.visitor().get(f"{self.page}?{mark}", ("Cookie", sent))
            assert answer.status == 200, sent
            arrived = web_server.site.saw(mark)
            assert ticket not in str(arrived.headers)
            came = [one.strip() for header in arrived.values("Cookie") for one in header.split(";")]
            assert [one for one in came if one] == comes
        answer = web_server.visitor().get(self.page, ("Cookie", f"auth_tkt=x; auth_tkt={ticket}"))
        assert self.denied(answer)

    def test_a_ticket_is_good_for_two_hours_here_however_long_it_says(
        self, web_server: WebServer
    ) -> None:
        remembered = {"remember": True, "lifetime_s": 86400}
        assert web_server.member(age_s=7190, **remembered).get(self.page).status == 200
        assert self.denied(web_server.member(age_s=7210, **remembered).get(self.page))
        old = web_server.member(age_s=7190, **remembered).get(self.page)
        assert old.values("Set-Cookie") == []
