"""Nodes of one installation: a folder, a port and a gunicorn for each, one database for all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import factored
from factored.store import schema
from tests.support import add_users

from .client import Browser
from .servers import LOGGING, Front, Installation, Server, User, free_port, gate_on, program

KEY_FILES = ("factored.key", "factored.secret")

SECTION = (
    "[server:main]\nuse = egg:gunicorn#main\nbind = 127.0.0.1:{port}\n"
    "workers = 1\nworker_class = gthread\nthreads = 6\n"
)
_INI = "[app:site]\nuse = egg:factored#hello\n\n[filter-app:main]{gate}next = site\n\n"


@dataclass
class Nodes:
    """All nodes of one installation. Keys are made on the first one, and copied to the others."""

    folder: Path
    url: str
    each: list[Front] = field(default_factory=list)
    _users: int = 0

    def add(self, ahead_s: int = 0) -> Front:
        """seconds by which its clock is ahead -> one more, not yet running"""
        folder, port = self.folder / f"node{len(self.each)}", free_port()
        folder.mkdir(parents=True)
        installation = Installation(folder)
        gate = gate_on(self.url) + "trusted_proxies = 127.0.0.1\n"
        text = _INI.format(gate=gate) + SECTION.format(port=port) + LOGGING
        ini = installation.ini("site.ini", text)
        if self.each:
            self.copy_keys(folder)
        told = {} if self.each else installation.initialise()
        program("gunicorn")
        server = Server(
            [program("gunicorn_paste"), str(ini)], port, folder / "server",
            environment=clock_ahead(folder / "clock", ahead_s),
        )  # fmt: skip
        self.each.append(Front(installation, ini, server, "gunicorn", told))
        return self.each[-1]

    def start(self) -> None:
        for node in self.each:
            node.server.launch()
        for node in self.each:
            node.server.wait()

    def stop(self) -> None:
        running = [node.server for node in self.each if node.server.process is not None]
        with ThreadPoolExecutor() as threads:  # each waits for what it is asked at the moment
            list(threads.map(Server.stop, running))

    def copy_keys(self, folder: Path) -> None:
        """folder of a node -> None; it has the keys of the first one"""
        source = self.each[0].installation.folder
        for name in KEY_FILES if folder != source else ():
            shutil.copy2(source / name, folder / name)

    def add_user(self) -> User:
        """-> a user whom no other test has"""
        self._users += 1
        key_file = self.each[0].installation.folder / KEY_FILES[0]
        (made,) = add_users(key_file, self.url, f"user{self._users}@example.com").items()
        return User(*made)


def replaced(node: Front, release: Path) -> Front:
    """node that has ended -> the same one with another release, not yet running"""
    environment = {"PYTHONPATH": _before_others(release)}
    return replace(
        node,
        installation=Installation(node.installation.folder, environment),
        server=replace(node.server, environment=environment, process=None),
    )


def at(node: Front, browser: Browser) -> Browser:
    """-> the same visitor, whom a balancer sends to that node"""
    return Browser(node.port, browser.address, browser.cookies)


def readiness(node: Front) -> tuple[int, dict[str, bool]]:
    """-> status of /readyz, and what it says of each thing"""
    answer = Browser(node.port).get("/auth/readyz")
    return answer.status, json.loads(answer.text)["checks"]


# Python sleeps until a moment of the stop-watch, for which libfaketime 0.9.10 takes another clock.
_SLEEP = "import select, time\n\ntime.sleep = lambda seconds: select.select([], [], [], seconds)\n"


def clock_ahead(folder: Path, seconds: int) -> dict[str, str]:
    """empty folder -> variables that put a process's clock forward

    Not its stop-watch, nor the times of files.
    """
    if not seconds:
        return {}
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_SLEEP)
    # The command itself stays as a parent, whom signals would end alone.
    found = subprocess.run(
        [program("faketime"), "-m", "-f", "+0s", program("printenv"), "LD_PRELOAD"],
        capture_output=True, text=True, check=True, timeout=10,
    ).stdout.strip()  # fmt: skip
    return {
        "LD_PRELOAD": found,
        "FAKETIME": f"+{seconds}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
        "PYTHONPATH": _before_others(folder),
    }


def _before_others(folder: Path) -> str:
    """folder of Python modules -> PYTHONPATH with it in the first place"""
    return os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))


# -- releases to come ------------------------------------------------------------------------------

_MIGRATION = """
from alembic import op

revision, down_revision = {name!r}, {after!r}
branch_labels = depends_on = None


def upgrade():
    for statement in {statements!r}:
        op.execute(statement)
"""


def make_release(
    folder: Path,
    revisions: Sequence[tuple[str, str]],
    changes: Mapping[tuple[str, str], str],
) -> Path:
    """folder -> factored as a later release may be: a copy with more migrations and other code

    :param revisions: (name, SQL statement), the newest last
    :param changes: (file, what stands there) -> what the release has instead
    """
    package = folder / "factored"
    shutil.copytree(Path(factored.__file__).parent, package)
    after = schema.HEAD
    for name, statement in revisions:
        text = _MIGRATION.format(name=name, after=after, statements=[statement])
        (package / "store/migrations/versions" / f"v{name}.py").write_text(text)
        after = name
    changes = {**changes, ("store/schema.py", f'HEAD = "{schema.HEAD}"'): f'HEAD = "{after}"'}
    for (path, old), new in changes.items():
        file = package / path
        assert file.read_text().count(old) == 1, (path, old)
        file.write_text(file.read_text().replace(old, new))
    return folder
