"""web-servers/caddy/Caddyfile: Caddy asks factored for each request."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.peers.servers import free_port, program

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

MAIN = """
{{
	admin off
	auto_https disable_redirects
	default_bind 127.0.0.1
	https_port {port}
	servers {{
		protocols h1 h2
	}}
}}
import {folder}/site.caddy
"""


@pytest.fixture(scope="class")
def web_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    path = program("caddy")
    folder = tmp_path_factory.mktemp("caddy")
    certificate, site, port = make_certificate(folder), Site(), free_port()
    factored = start_factored(
        folder / "factored", f"public_url = https://{WWW}\nauth_tkt.secure = true"
    )
    shipped = filled(
        "caddy/Caddyfile",
        {
            "www.example.com": WWW,
            "/etc/ssl/www.example.com.pem": str(certificate.chain),
            "/etc/ssl/www.example.com.key": str(certificate.key),
            "127.0.0.1:8000": f"127.0.0.1:{factored.port}",
            "127.0.0.1:8080": f"127.0.0.1:{site.port}",
        },
    )
    home = folder / "caddy"
    home.mkdir()
    (home / "site.caddy").write_text(shipped, "utf-8")
    (home / "Caddyfile").write_text(MAIN.format(port=port, folder=home), "utf-8")
    # HOME is the folder of a server in tests: what Caddy keeps goes there.
    argv = [path, "run", "--config", str(home / "Caddyfile"), "--adapter", "caddyfile"]
    made = start_web_server(home, argv, port, site, factored, certificate.client)
    yield made
    made.stop()


class TestForwardAuth(Attacked):
    pass
