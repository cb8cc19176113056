"""The servers that tests share: nginx, a file server, and factored under waitress and gunicorn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .databases import START, DatabaseServer
from .servers import GATE, Front, Nginx, Server, start_front, start_nginx


@pytest.fixture(scope="session")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    site = start_nginx(tmp_path_factory.mktemp("peers") / "nginx")
    yield site
    site.server.stop()


@pytest.fixture(scope="session")
def database_servers() -> Iterator[Callable[[str], DatabaseServer]]:
    """-> function: postgresql or mariadb -> the one server of that kind that all tests share"""
    started: dict[str, DatabaseServer] = {}

    def server(kind: str) -> DatabaseServer:
        if kind not in started:
            started[kind] = START[kind]()
        return started[kind]

    yield server
    for one in started.values():
        one.remove()


@pytest.fixture(params=["sqlite", *START])
def database_url(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    database_servers: Callable[[str], DatabaseServer],
) -> str:
    """URL of a database that the test may empty."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'factored.sqlite'}"
    return database_servers(request.param).url


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
    """-> function: waitress or gunicorn, port of the site -> a front for one test alone"""
    fronts: list[Front] = []

    def make(kind: str, site_port: int, gate: str = GATE) -> Front:
        fronts.append(start_front(tmp_path / f"front{len(fronts)}", kind, site_port, gate))
        return fronts[-1]

    yield make
    for one in fronts:
        one.server.stop()


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
