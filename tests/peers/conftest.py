"""The servers that tests share: nginx, databases, mail, and factored under its servers."""

from __future__ import annotations

import gc
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .databases import DatabaseServer, start_mariadb, start_postgresql
from .letterbox import Letterbox
from .servers import GATE, Front, Nginx, Server, start_front, start_nginx


@pytest.fixture(scope="session")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    site = start_nginx(tmp_path_factory.mktemp("peers") / "nginx")
    yield site
    site.server.stop()


@pytest.fixture(scope="session", params=["waitress", "gunicorn"])
def front(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, nginx: Nginx
) -> Iterator[Front]:
    """factored before nginx, under a server that all tests of this kind share."""
    folder = tmp_path_factory.mktemp(request.param) / "site"
    made = start_front(folder, request.param, nginx.port)
    yield made
    made.server.stop()


@pytest.fixture
def make_front(tmp_path: Path) -> Iterator[Callable[..., Front]]:
    """-> function: kind of server, port of the site -> a front for one test alone"""
    fronts: list[Front] = []

    def make(kind: str, site_port: int, gate: str = GATE) -> Front:
        fronts.append(start_front(tmp_path / f"front{len(fronts)}", kind, site_port, gate))
        return fronts[-1]

    yield make
    for one in fronts:
        one.server.stop()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[DatabaseServer]:
    made = start_postgresql()
    yield made
    made.remove()


@pytest.fixture(scope="session")
def mariadb() -> Iterator[DatabaseServer]:
    made = start_mariadb()
    yield made
    made.remove()


@pytest.fixture
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """-> function: sqlite, postgresql or mariadb -> url of a database that is empty"""

    def make(name: str) -> str:
        if name == "sqlite":
            return f"sqlite:///{tmp_path / 'new.sqlite'}"
        server: DatabaseServer = request.getfixturevalue(name)
        return server.new_database()

    return make


@pytest.fixture
def mail_context(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> ssl.SSLContext:
    """A certificate that the fronts of this test trust; for another host, if a test says so."""
    trustme = pytest.importorskip("trustme", reason="trustme is not installed")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(getattr(request, "param", "127.0.0.1")).configure_cert(made)
    return made


@pytest.fixture
def letterbox(mail_context: ssl.SSLContext) -> Iterator[Letterbox]:
    """A mail server for one test alone."""
    box = Letterbox(mail_context)
    yield box
    box.stop()
    gc.collect()  # here, and not in the midst of another test


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """A failure shows what the servers of that test printed."""
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    for name, value in getattr(item, "funcargs", {}).items():
        server = getattr(value, "server", value)
        if isinstance(server, Server):
            report.sections.append((f"output of {name}", server.tail()))
