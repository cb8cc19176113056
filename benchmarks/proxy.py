"""What simpleproxy costs before a site that is not WSGI, beside WSGIProxy2 and nginx.

The site is nginx with files of 1 KB and 100 KB. Each proxy but nginx is a WSGI app under waitress
with the same settings; the first tables leave waitress out, as it costs the same for all.
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import io
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from wsgiref.util import is_hop_by_hop

from wsgiproxy.proxies import HostProxy

from benchmarks import gate
from benchmarks.report import Effort, Row, Table
from benchmarks.servers import BIN, ROOT
from benchmarks.wrk import ask
from factored.proxy import SimpleProxy
from tests.peers.servers import Server, free_port, program

NEEDS = {"wrk": "wrk", "nginx": "nginx"}

MIB = 1 << 20
PAGES = {"1 KB": 1000, "100 KB": 100_000}
PER_ROUND = 25
PAUSE_S = 0.3
"""How long the slow stream waits after its first bytes."""


def wsgi_proxy_2(port: int, **options: Any) -> Any:
    """port of the site -> WSGIProxy2, without the headers for which waitress refuses its answers"""
    proxy = HostProxy(f"http://127.0.0.1:{port}", **options)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        def start(status: str, headers: list[tuple[str, str]]) -> None:
            start_response(status, [one for one in headers if not is_hop_by_hop(one[0])])

        return proxy(environ, start)

    return app


PROXIES: dict[str, Callable[[int], Any]] = {
    "WSGIProxy2, urllib3": lambda port: wsgi_proxy_2(port, client="urllib3"),
    "WSGIProxy2, http.client": wsgi_proxy_2,
    "simpleproxy": lambda port: SimpleProxy("127.0.0.1", port),
}

NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
{user}
worker_processes 1;
events {{ worker_connections 256; }}
http {{
  access_log off;
  keepalive_requests 10000000;
  client_max_body_size 0;
  client_body_temp_path {folder}/bodies;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_buffering off;
  proxy_request_buffering off;
  upstream behind {{ server 127.0.0.1:{behind}; keepalive 16; keepalive_requests 10000000; }}
  server {{
    listen 127.0.0.1:{port};
    {locations}
  }}
}}
"""
# The stream and the uploads are a matter for Python, behind the same port.
SITE = "root {files}; location /slow {{ proxy_pass http://behind; }}\n" + (
    "location /taken {{ proxy_pass http://behind; }}"
)
CEILING = "location / { proxy_pass http://behind; }"

INI = """
[app:main]
paste.app_factory = benchmarks.proxy:make_proxy
name = {name}
site = {site}

[server:main]
use = egg:waitress#main
listen = 127.0.0.1:{port}
threads = 4
max_request_body_size = 4294967296
"""


def make_proxy(global_conf: Mapping[str, str], *, name: str, site: str) -> Any:
    """``paste.app_factory``: key of PROXIES, port of the site -> that proxy"""
    return PROXIES[name](int(site))


class Behind(http.server.BaseHTTPRequestHandler):
    """A stream that pauses after its first bytes, and a place for uploads."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"5\r\nfirst\r\n")
        time.sleep(PAUSE_S)
        self.wfile.write(b"4\r\nlast\r\n0\r\n\r\n")

    def do_PUT(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            taken = 0
            while size := int(self.rfile.readline(), 16):
                taken += self._take(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            taken = self._take(int(self.headers["Content-Length"]))
        said = str(taken).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def _take(self, size: int) -> int:
        left = size
        while left:
            left -= len(self.rfile.read1(min(left, MIB)))
        return size

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@contextlib.contextmanager
def behind_nginx() -> Iterator[int]:
    """-> port of what nginx does not do by itself"""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Behind)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def nginx(folder: Path, behind: int, locations: str) -> Server:
    """folder, port behind it, its locations -> nginx, not started"""
    folder.mkdir()
    port = free_port()
    # Without this, workers become somebody who may not enter the folder.
    user = "user root;" if os.getuid() == 0 else ""
    conf = folder / "nginx.conf"
    conf.write_text(
        NGINX.format(folder=folder, port=port, behind=behind, user=user, locations=locations)
    )
    argv = [program("nginx"), "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(conf)]
    return Server(argv, port, folder, ready_path=None)


def under_waitress(folder: Path, name: str, site: int) -> Server:
    """folder, key of PROXIES, port of the site -> that proxy under waitress, not started"""
    folder.mkdir()
    port = free_port()
    ini = folder / "proxy.ini"
    ini.write_text(INI.format(name=name, site=site, port=port))
    argv = [str(BIN / "pserve"), str(ini)]
    return Server(argv, port, folder, ready_path=None, environment={"PYTHONPATH": str(ROOT)})


def make_files(files: Path, large: int) -> None:
    """folder, bytes -> None; the pages, and a file of that size that takes no room"""
    files.mkdir()
    for name, size in PAGES.items():
        (files / name.replace(" ", "-")).write_bytes(b"x" * size)
    with (files / "large").open("wb") as stream:
        stream.truncate(large)


# -- in this process ------------------------------------------------------------------------------


def through(app: Any, path: str, size: int) -> Callable[[], None]:
    """WSGI app, path, bytes to come -> function that asks once, as a server does"""

    def call() -> None:
        environ = gate.environ_of(path) | {
            "HTTP_CONNECTION": "keep-alive",
            "HTTP_ACCEPT_ENCODING": "gzip, deflate, br",
            "HTTP_COOKIE": "theme=dark; lang=en",
            "wsgi.input": io.BytesIO(),
        }
        body = app(environ, gate.start_response)
        got = sum(map(len, body))
        if hasattr(body, "close"):
            body.close()
        assert got == size

    return call


def bare(port: int, path: str, size: int) -> Callable[[], None]:
    """port, path, bytes to come -> function that asks once on a socket and looks at nothing"""
    connection = socket.create_connection(("127.0.0.1", port))
    request = f"GET {path} HTTP/1.1\r\nHost: www.example.com\r\n\r\n".encode()

    def call() -> None:
        connection.sendall(request)
        data = connection.recv(65536)
        left = size - (len(data) - data.index(b"\r\n\r\n") - 4)
        while left:
            left -= len(connection.recv(65536))

    return call


def in_process(site: int, rounds: int) -> list[Table]:
    """port of the site -> a table for each page: microseconds for one request"""
    tables = []
    for name, size in PAGES.items():
        path = f"/{name.replace(' ', '-')}"
        calls = {label: through(make(site), path, size) for label, make in PROXIES.items()}
        calls["a socket, nothing looked at"] = bare(site, path, size)
        spent: dict[str, list[float]] = {label: [] for label in calls}
        for _ in range(rounds):
            for label, call in calls.items():
                began = time.perf_counter_ns()
                for _ in range(PER_ROUND):
                    call()
                spent[label].append((time.perf_counter_ns() - began) / 1000 / PER_ROUND)
        rows = [Row(label, times) for label, times in spent.items()]
        tables.append(Table(f"{name} page, in this process", "us", rows))
    return tables


# -- under servers --------------------------------------------------------------------------------


def asked(server: Server, method: str, path: str, body: Any = None) -> tuple[bytes, float]:
    """server, request -> (body, ms until its first bytes); the body of a GET is not kept"""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    with contextlib.closing(connection):
        began = time.perf_counter()
        headers = {"Content-Length": str(body.left)} if body else {}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        kept = answer.read1(100)
        first_ms = (time.perf_counter() - began) * 1000
        if answer.status != 200:
            raise SystemExit(f"{method} {path}: {answer.status} {answer.read()!r}")
        length = answer.headers["Content-Length"]
        got = len(kept)
        while block := answer.read(MIB):
            got += len(block)
        assert length is None or got == int(length)
        return kept, first_ms


class Zeros:
    """An upload of so many bytes."""

    def __init__(self, size: int) -> None:
        self.left = size

    def read(self, size: int) -> bytes:
        block = bytes(min(MIB, self.left))
        self.left -= len(block)
        return block


def rates(servers: Mapping[str, Server], name: str, rounds: int, seconds: int) -> Table:
    """servers, key of PAGES -> requests a second"""
    path = f"/{name.replace(' ', '-')}"
    found: dict[str, list[float]] = {label: [] for label in servers}
    for server in servers.values():
        assert asked(server, "GET", path)[0] == b"x" * 100
    for _ in range(rounds):
        for label, server in servers.items():
            found[label].append(ask(server.port, path, "theme=dark", seconds).per_s)
    rows = [Row(label, figures) for label, figures in found.items()]
    return Table(f"{name} page, under waitress", "requests/s", rows)


def first_bytes(servers: Mapping[str, Server], rounds: int) -> Table:
    """servers -> ms until the first bytes of a stream that pauses behind them"""
    found: dict[str, list[float]] = {label: [] for label in servers}
    for _ in range(rounds):
        for label, server in servers.items():
            kept, first_ms = asked(server, "GET", "/slow")
            assert kept.startswith(b"first")
            found[label].append(first_ms)
    rows = [Row(label, figures) for label, figures in found.items()]
    return Table(f"First byte of a stream that takes {PAUSE_S * 1000:.0f} ms", "ms", rows)


def growth(servers: Mapping[str, Server], size: int) -> list[Table]:
    """servers, bytes -> MiB by which memory grew while so much came and went"""
    down, up = [], []
    for label, server in servers.items():
        with server.memory() as grown:
            asked(server, "GET", "/large")
            down.append(Row(label, [grown()]))
        server.restart()
        with server.memory() as grown:
            kept, _ = asked(server, "PUT", "/taken", Zeros(size))
            assert kept == str(size).encode()
            up.append(Row(label, [grown()]))
    said = f"{size // MIB:,} MiB"
    return [
        Table(f"Memory for a download of {said}", "MiB", down),
        Table(f"Memory for an upload of {said}", "MiB", up),
    ]


def measure(effort: Effort) -> list[Table]:
    """-> tables in this process, of requests a second, of first bytes and of memory"""
    rounds, turns, size = {
        "quick": (10, 1, 64 * MIB),
        "normal": (60, 3, 256 * MIB),
        "full": (300, 15, 1024 * MIB),
    }[effort]
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as ends:
        folder = Path(name)
        files = folder / "files"
        make_files(files, size)
        behind = ends.enter_context(behind_nginx())
        site = nginx(folder / "site", behind, SITE.format(files=files))
        ends.callback(site.start().stop)
        servers = {
            label: under_waitress(folder / f"proxy{number}", label, site.port)
            for number, label in enumerate(PROXIES)
        }
        servers["nginx, the ceiling"] = nginx(folder / "ceiling", site.port, CEILING)
        for server in servers.values():
            ends.callback(server.stop)
            server.launch()
        for server in servers.values():
            server.wait()
        tables = in_process(site.port, rounds)
        pages = list(PAGES)[: 1 if effort == "quick" else None]
        tables += [rates(servers, page, turns, 2 if effort == "full" else 1) for page in pages]
        tables.append(first_bytes(servers, turns))
        return tables if effort == "quick" else tables + growth(servers, size)
