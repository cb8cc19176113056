"""What a web server keeps of its requests when tickets are checked, each way that we ship.

A page of 1 KiB comes from one cheap site behind all of them, which answers 403 unless it is told
the user's name: so each 200 is the page, and with the name that the ticket has. The shipped files
are as they are but for names, addresses and TLS, which would hide what is looked for.

What asks, what answers and the site share the machine: requests/s are what a visitor sees, and
processor time is what a request costs web server and factored together, the site's left out.
"""

from __future__ import annotations

import contextlib
import http.client
import secrets
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.processes import used_s
from benchmarks.report import Effort, Row, Table
from benchmarks.servers import BODY, a_ticket
from benchmarks.wrk import ask
from tests.peers.servers import Server, free_port
from tests.peers.web_servers.apache import MODULES as APACHE_MODULES
from tests.peers.web_servers.apache import apache_argv
from tests.peers.web_servers.harness import SHIPPED, Factored, filled, nginx_argv, start_factored
from tests.peers.web_servers.test_apache_auth_tkt import LOADED
from tests.peers.web_servers.test_nginx_lua import MODULES

NEEDS = {
    "wrk": "wrk",
    "nginx": "nginx",
    "/usr/lib/nginx/modules/ngx_http_lua_module.so": "libnginx-mod-http-lua",
    "apache2": "apache2",
    str(APACHE_MODULES / "mod_auth_tkt.so"): "libapache2-mod-auth-tkt",
}

USER = "al@example.com"
"""Whom the ticket names."""

SITE = """
server {{
    listen 127.0.0.1:{port};
    location / {{
        if ($http_factored_user != "{user}") {{ return 403; }}
        return 200 "{page}";
    }}
}}
"""

NGINX_ALONE = """
{upstream}
server {{
    listen 127.0.0.1:{port};
    location / {{
        proxy_pass http://{site};
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $http_host;
        proxy_set_header Factored-User "{user}";
    }}
}}
"""

KEPT = """
upstream site {{
    server 127.0.0.1:{port};
    keepalive 16;
}}
"""
"""docs/web-servers/nginx-lua.rst, "Connections to the site"."""

APACHE_ALONE = """
<VirtualHost 127.0.0.1:{port}>
    ProxyPreserveHost On
    RequestHeader set Factored-User "{user}"
    ProxyPass "/" "http://127.0.0.1:{site}/"
</VirtualHost>
"""


KEEPS = ", connections kept"


class Way(NamedTuple):
    """One way to the page: where it is asked for, and whose processor time counts."""

    port: int
    servers: Sequence[Server]


class Round(NamedTuple):
    """What one round found."""

    per_s: float
    cost_us: float
    median_ms: float
    slow_ms: float


class Place:
    """Sites, factored, and the web servers before them; all end with ``ends``.

    Each way has a site of its own: nginx makes a connection to it for each request, and there are
    only so many ports for those to one address.

    :param folder: of them all; holds the one ticket secret
    """

    def __init__(self, folder: Path, ends: contextlib.ExitStack) -> None:
        self._folder = folder
        self._ends = ends
        self.secret_file = folder / "factored.secret"
        self.secret_file.write_text(secrets.token_hex())

    def nginx_alone(self, *, kept: bool = False) -> Way:
        """whether connections to the site are kept -> nginx that checks nothing"""
        port, site = free_port(), self._site()
        text = NGINX_ALONE.format(
            port=port, site="site" if kept else f"127.0.0.1:{site}", user=USER,
            upstream=KEPT.format(port=site) if kept else "",
        )  # fmt: skip
        return Way(port, [self._nginx(f"nginx-alone-{kept}", port, text)])

    def nginx_lua(self, *, kept: bool = False) -> Way:
        """whether connections to the site are kept -> nginx that reads tickets"""
        port, site = free_port(), self._site()
        text = self._shipped(
            "nginx/lua.conf",
            port,
            {
                "www.example.com yes;": f'"127.0.0.1:{port}" yes;',
                "/usr/local/share/factored/lua": str(SHIPPED / "lua"),
                "/etc/factored/factored.secret": str(self.secret_file),
                "127.0.0.1:8080": "site" if kept else f"127.0.0.1:{site}",
            },
        )
        upstream = KEPT.format(port=site) if kept else ""
        return Way(port, [self._nginx(f"nginx-lua-{kept}", port, upstream + text, MODULES)])

    def auth_request(self, kind: str) -> Way:
        """kind of server -> nginx that asks factored under it"""
        port, factored = free_port(), self._factored(kind)
        text = self._shipped(
            "nginx/auth_request.conf",
            port,
            {
                "www.example.com 127.0.0.1:8080;": f'"127.0.0.1:{port}" 127.0.0.1:{self._site()};',
                "127.0.0.1:8000": f"127.0.0.1:{factored.port}",
            },
        )
        return Way(port, [self._nginx(f"nginx-{kind}", port, text), factored.server])

    def simpleproxy(self, kind: str) -> Way:
        """kind of server -> nginx that passes everything to factored under it"""
        port, factored = free_port(), self._factored(kind, self._site())
        nodes = {f"127.0.0.1:800{number}": f"127.0.0.1:{factored.port}" for number in (1, 2, 3)}
        text = self._shipped("nginx/nodes.conf", port, nodes)
        return Way(port, [self._nginx(f"nginx-nodes-{kind}", port, text), factored.server])

    def apache_alone(self) -> Way:
        port = free_port()
        text = APACHE_ALONE.format(port=port, site=self._site(), user=USER)
        return Way(port, [self._apache("apache-alone", port, text)])

    def mod_auth_tkt(self) -> Way:
        port = free_port()
        secret = self._folder / "secret.conf"
        secret.write_text(f'TKTAuthSecret "{self.secret_file.read_text().split()[0]}"\n')
        text = filled(
            "apache/auth_tkt.conf",
            {
                "*:443": f"127.0.0.1:{port}",
                "SSLEngine on": "SSLEngine off",
                "    SSLCertificateFile    /etc/ssl/www.example.com.pem\n": "",
                "    SSLCertificateKeyFile /etc/ssl/www.example.com.key\n": "",
                "/etc/factored/apache-secret.conf": str(secret),
                "127.0.0.1:8080/": f"127.0.0.1:{self._site()}/",
            },
        )
        return Way(port, [self._apache("mod-auth-tkt", port, text)])

    def _site(self) -> int:
        """-> port of a new site"""
        port = free_port()
        text = SITE.format(port=port, user=USER, page=BODY.decode())
        self._nginx(f"site-{port}", port, text)
        return port

    def _factored(self, kind: str, site: int | None = None) -> Factored:
        secret = f"auth_tkt.secret_file = {self.secret_file}"
        folder = self._folder / f"factored-{kind}-{site}"
        factored = start_factored(folder, secret, site, kind=kind)
        self._ends.callback(factored.stop)
        return factored

    def _shipped(self, path: str, port: int, changed: Mapping[str, str]) -> str:
        """file for nginx, port, text -> text -> the file with these, and without TLS"""
        without_tls = {
            "listen 443 ssl": f"listen 127.0.0.1:{port}",
            "    ssl_certificate     /etc/ssl/www.example.com.pem;\n": "",
            "    ssl_certificate_key /etc/ssl/www.example.com.key;\n": "",
        }
        return filled(path, {**without_tls, **changed})

    def _nginx(self, name: str, port: int, text: str, modules: Sequence[str] = ()) -> Server:
        return self._started(name, nginx_argv(self._folder / name, text, modules=modules), port)

    def _apache(self, name: str, port: int, text: str) -> Server:
        return self._started(name, apache_argv(self._folder / name, text, port, LOADED), port)

    def _started(self, name: str, argv: Sequence[str], port: int) -> Server:
        server = Server(argv, port, self._folder / name, ready_path=None).start()
        self._ends.callback(server.stop)
        return server


def ways(place: Place, effort: Effort) -> dict[str, Way]:
    """-> name of the way -> it, running; pairs that are compared stand side by side"""
    made: dict[str, Callable[[], Way]] = {
        "nginx alone": place.nginx_alone,
        "nginx + lua": place.nginx_lua,
        f"nginx alone{KEEPS}": lambda: place.nginx_alone(kept=True),
        f"nginx + lua{KEEPS}": lambda: place.nginx_lua(kept=True),
        "nginx + auth_request, gunicorn": lambda: place.auth_request("gthread"),
        "nginx + simpleproxy, gunicorn": lambda: place.simpleproxy("gthread"),
    }
    if effort != "quick":
        made |= {
            "nginx + auth_request, waitress": lambda: place.auth_request("waitress"),
            "nginx + simpleproxy, waitress": lambda: place.simpleproxy("waitress"),
            "Apache alone": place.apache_alone,
            "Apache + mod_auth_tkt": place.mod_auth_tkt,
        }
    return {name: make() for name, make in made.items()}


def answer(port: int, cookie: str) -> tuple[int, bytes]:
    """port, Cookie header -> status and body"""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", "/page", headers={"Cookie": cookie} if cookie else {})
        answered = connection.getresponse()
        return answered.status, answered.read()


def try_out(name: str, way: Way, cookie: str) -> None:
    """Fails unless the page comes with the ticket, and with none only where nothing is checked."""
    forged = cookie[:-1] + ("A" if cookie[-1] != "A" else "B")
    assert answer(way.port, cookie) == (200, BODY), name
    for bad in ("", forged):
        assert (answer(way.port, bad)[0] == 200) is (" alone" in name), name


def a_round(way: Way, cookie: str, seconds: int) -> Round:
    before = used_s(*way.servers)
    asked = ask(way.port, "/page", cookie, seconds)
    cost_us = (used_s(*way.servers) - before) / asked.requests * 1e6
    return Round(asked.per_s, cost_us, asked.median_ms, asked.slow_ms)


def measure(effort: Effort) -> list[Table]:
    """-> requests a second, processor time of one, latencies"""
    rounds, seconds = {"quick": (1, 1), "normal": (3, 1), "full": (15, 2)}[effort]
    found: dict[str, list[Round]] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as ends:
        place = Place(Path(folder), ends)
        there = ways(place, effort)
        cookie = a_ticket(Path(folder))
        for name, way in there.items():
            try_out(name, way, cookie)
        for _ in range(rounds):
            for name, way in there.items():
                found.setdefault(name, []).append(a_round(way, cookie, seconds))
    pairs = {name: each for name, each in found.items() if name.endswith(KEEPS)}
    rest = {name: each for name, each in found.items() if name not in pairs}
    return [
        table(f"{title}{where}", unit, field, each)
        for each, where in ((rest, ""), (pairs, ", connections to the site kept"))
        for title, unit, field in (
            ("1 KiB page through a web server", "requests/s", "per_s"),
            ("Processor time of one, web server and factored", "us", "cost_us"),
            ("Latency, median", "ms", "median_ms"),
            ("Latency, slowest hundredth", "ms", "slow_ms"),
        )
    ]


def table(title: str, unit: str, field: str, found: Mapping[str, Sequence[Round]]) -> Table:
    """what is shown of the rounds of each way -> its table"""
    rows = [Row(name, [getattr(one, field) for one in each]) for name, each in found.items()]
    return Table(title, unit, rows)
