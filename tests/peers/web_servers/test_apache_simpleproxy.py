"""web-servers/apache/simpleproxy.conf: Apache, factored behind it, and the site behind that."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import ClassVar

import pytest

from tests.peers.servers import free_port

from .apache import apache_argv
from .attacks import Attacked
from .harness import (
    WWW,
    Site,
    WebServer,
    filled,
    make_certificate,
    start_factored,
    start_web_server,
)
from .scenarios import HANGING_S

MODULES = ("mpm_event", "authn_core", "authz_core", "headers", "ssl", "proxy", "proxy_http")


@pytest.fixture(scope="class")
def web_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    folder = tmp_path_factory.mktemp("apache")
    certificate, site, port = make_certificate(folder), Site(), free_port()
    factored = start_factored(
        folder / "factored", f"public_url = https://{WWW}\nauth_tkt.secure = true", site.port
    )
    shipped = filled(
        "apache/simpleproxy.conf",
        {
            "*:443": f"127.0.0.1:{port}",
            "www.example.com": WWW,
            "/etc/ssl/www.example.com.pem": str(certificate.chain),
            "/etc/ssl/www.example.com.key": str(certificate.key),
            "127.0.0.1:8000/": f"127.0.0.1:{factored.port}/",
            # As long as a test can wait.
            "timeout=65": "timeout=3",
        },
    )
    argv = apache_argv(folder / "apache2", shipped, port, MODULES)
    made = start_web_server(folder / "apache2", argv, port, site, factored, certificate.client)
    yield made
    made.stop()


class TestSimpleproxy(Attacked):
    in_path: ClassVar[bool] = True
    merges_slashes: ClassVar[bool] = True
    socket: ClassVar[str | None] = None
    identity: ClassVar[tuple[str, ...]] = ("Factored-User",)

    def test_nobody_waits_for_ever_while_factored_hangs(self, web_server: WebServer) -> None:
        web_server.factored.hangs()
        try:
            began = time.monotonic()
            assert web_server.member().get(f"{self.page}?hangs").status in (502, 504)
            assert time.monotonic() - began < HANGING_S
            assert web_server.site.never_saw("hangs")
        finally:
            web_server.factored.start()
