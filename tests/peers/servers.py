"""Real servers for tests: started on free loopback ports, waited for by connecting, ended by id."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import starmap
from pathlib import Path
from typing import Any

import pytest

from tests.support import add_users, eventually
from tests.support_programs import FULL as FULL
from tests.support_programs import require_program

BIN = Path(sys.executable).parent
START_S = 20
"""The longest that a server may take until it answers."""
STOP_S = 10
SHOWN = 6000
"""Characters of a server's output that a failure shows."""


def program(name: str) -> str:
    """name -> its path: beside this Python, or where the system keeps programs

    Where it is absent the test is skipped, or fails with FACTORED_REQUIRE_PEERS=1.
    """
    places = [str(BIN), os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]
    return shutil.which(name, path=os.pathsep.join(places)) or require_program(name)


_ports_given: set[int] = set()


def free_port() -> int:
    """-> a loopback port that nobody uses, below those that the system gives to clients"""
    while True:
        port = random.randrange(20000, 32000)
        if port in _ports_given:
            continue
        _ports_given.add(port)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@dataclass
class Server:
    """A process of ours that listens on a port, with everything it printed in a file.

    :param ready_path: asked for until it answers 200; None: a connection is enough
    :param environment: variables beside those of this process
    """

    argv: Sequence[str]
    port: int
    folder: Path
    ready_path: str | None = "/auth/readyz"
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> Server:
        self.launch()
        return self.wait()

    def wait(self) -> Server:
        """-> itself, launched before, as soon as it answers"""
        try:
            eventually(self.answers, within_s=START_S)
        except BaseException:
            self.stop()
            raise
        return self

    def launch(self) -> subprocess.Popen[bytes]:
        """-> the process, not waited for; a session of its own, so that its group is its alone"""
        self.folder.mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}",
            "PYTHONUNBUFFERED": "1",
            # gunicorn keeps a control socket there.
            "HOME": str(self.folder),
            **self.environment,
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                list(self.argv), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.folder, env=environment, start_new_session=True,
            )  # fmt: skip
        return self.process

    def stop(self) -> int | None:
        """-> exit status; asks first, and ends by force what has not ended in time"""
        process, self.process = self.process, None
        if process is None:
            return None
        process.terminate()
        try:
            status = process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait(STOP_S)
        # What a killed or failed parent left: the group holds only what this process started.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return status

    def restart(self) -> None:
        self.stop()
        self.start()

    @property
    def log(self) -> Path:
        return self.folder / "output.txt"

    @property
    def output(self) -> str:
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    def answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            pytest.fail(f"{self.argv} ended with {self.process.returncode}:\n{self.tail()}")
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5):
                pass
            return self.ready_path is None or self._asked(self.ready_path) == 200
        except (OSError, http.client.HTTPException):
            return False

    def _asked(self, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", path)
            return connection.getresponse().status

    def tail(self) -> str:
        return self.output[-SHOWN:]

    # -- its processes ----------------------------------------------------------------------------

    def workers(self) -> list[int]:
        """-> ids of the child processes, gunicorn's workers"""
        assert self.process is not None
        pid = self.process.pid
        return sorted(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))

    @contextlib.contextmanager
    def only(self, worker: int) -> Iterator[None]:
        """worker id -> for a while all other workers stand still, so that this one answers"""
        others = [pid for pid in self.workers() if pid != worker]
        for pid in others:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in others:
                os.kill(pid, signal.SIGCONT)

    def _pids(self) -> list[int]:
        assert self.process is not None
        return [self.process.pid, *self.workers()]

    def held(self) -> tuple[int, int]:
        """-> (threads, open files) of all its processes together"""
        threads, files = (
            sum(len(list(Path(f"/proc/{pid}/{what}").iterdir())) for pid in self._pids())
            for what in ("task", "fd")
        )
        return threads, files

    @contextlib.contextmanager
    def memory(self) -> Iterator[Callable[[], int]]:
        """-> function: MiB by which the peak of any of its processes grew meanwhile"""
        pids = self._pids()
        before = {}
        for pid in pids:
            # Sets the peak back to what is used now: proc(5), clear_refs.
            Path(f"/proc/{pid}/clear_refs").write_text("5")
            before[pid] = _peak_kib(pid)
        yield lambda: max(_peak_kib(pid) - before[pid] for pid in pids) // 1024


def _peak_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise AssertionError(f"process {pid} has ended")


# -- sites that are not WSGI ----------------------------------------------------------------------

NGINX_CONF = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
{user}
worker_processes 1;
events {{ worker_connections 256; }}
http {{
  log_format seen escape=json '{{"uri":"$request_uri","user":"$http_factored_user",'
    '"cookie":"$http_cookie","method":"$request_method","host":"$http_host",'
    '"remote_user":"$http_remote_user","x_remote_user":"$http_x_remote_user",'
    '"x_forwarded_user":"$http_x_forwarded_user",'
    '"x_authenticated_user":"$http_x_authenticated_user",'
    '"x_auth_request_user":"$http_x_auth_request_user",'
    '"x_forwarded_for":"$http_x_forwarded_for","x_forwarded_proto":"$http_x_forwarded_proto",'
    '"status":"$status","length":"$http_content_length","coding":"$http_transfer_encoding",'
    '"body":"$request_body_file"}}';
  underscores_in_headers on;
  client_max_body_size 0;
  large_client_header_buffers 8 32k;
  client_body_temp_path {folder}/bodies;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  default_type text/plain;
  server {{
    listen 127.0.0.1:{port};
    access_log {folder}/seen.log seen;
    location / {{ return 200 "nginx has $request_uri\\n"; }}
    location /upload {{
      client_body_in_file_only on;
      proxy_pass http://127.0.0.1:{port}/stored;
      proxy_set_header Content-Length "";
      proxy_pass_request_body off;
    }}
    location /stored {{ access_log off; return 200 "stored\\n"; }}
  }}
}}
"""


@dataclass
class Nginx:
    """nginx as the site behind simpleproxy; its log says what arrived, one JSON object a line."""

    server: Server

    @property
    def port(self) -> int:
        return self.server.port

    def requests(self) -> list[dict[str, str]]:
        lines = (self.server.folder / "seen.log").read_bytes().decode("latin-1").splitlines()
        return [json.loads(line) for line in lines]

    def saw(self, mark: str) -> dict[str, str]:
        """a text that only one request's target holds -> what arrived of that request"""
        (one,) = eventually(lambda: [one for one in self.requests() if mark in one["uri"]])
        return one

    def never_saw(self, mark: str) -> bool:
        return not [one for one in self.requests() if mark in one["uri"]]


def start_nginx(folder: Path) -> Nginx:
    path = program("nginx")
    folder.mkdir()
    port = free_port()
    # Without this, workers become somebody who may not enter the test's folder.
    user = "user root;" if os.getuid() == 0 else ""
    conf = folder / "nginx.conf"
    conf.write_text(NGINX_CONF.format(folder=folder, port=port, user=user))
    argv = [path, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(conf)]
    return Nginx(Server(argv, port, folder, ready_path=None).start())


def start_file_server(folder: Path, files: Path) -> Server:
    """folder for its output, folder to serve -> ``python -m http.server``"""
    port = free_port()
    argv = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    return Server([*argv, "--directory", str(files)], port, folder, ready_path=None).start()


# -- factored before them -------------------------------------------------------------------------

WAITRESS = (
    "[server:main]\nuse = egg:waitress#main\nlisten = 127.0.0.1:{port}\n"
    "max_request_body_size = 4294967296\nconnection_limit = 500\n"
)
GUNICORN = "[server:main]\nuse = egg:gunicorn#main\nbind = 127.0.0.1:{port}\nworkers = 2\n"
# The sync worker of gunicorn keeps no connection open; this one does.
GTHREAD = GUNICORN + "worker_class = gthread\nthreads = 4\n"
PASTE = "[server:main]\nuse = egg:Paste#http\nhost = 127.0.0.1\nport = {port}\n"

KINDS = {
    "waitress": (WAITRESS, ["pserve"]),
    "gunicorn": (GUNICORN, ["gunicorn_paste"]),
    "gthread": (GTHREAD, ["gunicorn_paste"]),
    "paste": (PASTE, ["pserve"]),
    "paster": (PASTE, ["paster", "serve"]),
}
"""Kind of server: its section of the ini, and the command that the ini is given to."""

LOGGING = """
[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = generic
[logger_root]
level = INFO
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = generic
[formatter_generic]
format = %(asctime)s %(levelname)s [%(name)s] %(message)s
"""

_GATE = """
use = egg:factored#main
appname = peers
auth_tkt.secret_file = %(here)s/factored.secret
key_file = %(here)s/factored.key
auth_tkt.secure = false
sqlalchemy.url = {url}
excepted_paths =
    /open
    /open/caf\N{LATIN SMALL LETTER E WITH ACUTE}
"""


def gate_on(url: str) -> str:
    """database -> the gate's settings"""
    return _GATE.replace("{url}", url)


GATE = gate_on("sqlite:///%(here)s/factored.sqlite")


@dataclass(frozen=True)
class User:
    name: str
    secret: str


@dataclass
class Installation:
    """A folder with database and keys; any number of ini files in it share them.

    :param environment: variables for its commands, beside those of this process
    """

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    _users: int = 0

    def ini(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, "utf-8")
        return path

    def command(self, *argv: str, ini: Path | None = None) -> subprocess.CompletedProcess[str]:
        """``user remove --username=x`` -> how ``factored user remove INI --username=x`` ended"""
        words = [word for word in argv if not word.startswith("-")]
        options = [word for word in argv if word.startswith("-")]
        where = ini or next(iter(sorted(self.folder.glob("*.ini"))))
        return self._run(program("factored"), *words, str(where), *options)

    def _run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv, capture_output=True, text=True, timeout=60, check=False, cwd=self.folder,
            stdin=subprocess.DEVNULL, env={**os.environ, **self.environment},
        )  # fmt: skip

    def initialise(self) -> dict[str, Any]:
        """-> what ``initializedb``, as 1.x called it, says of the one ini in the folder"""
        (ini,) = self.folder.glob("*.ini")
        ended = self._run(program("initializedb"), str(ini), "--json")
        assert ended.returncode == 0, ended
        told: dict[str, Any] = json.loads(ended.stdout)
        return told

    def done(self, *argv: str, ini: Path | None = None) -> str:
        """The same, for what must go well -> its stdout"""
        ended = self.command(*argv, ini=ini)
        assert ended.returncode == 0, ended
        return ended.stdout

    def add_user(self, name: str | None = None) -> User:
        """-> a user whom no other test has; of that name: as an operator makes one"""
        if name is None:
            return self.add_users(1)[0]
        made = json.loads(self.done("user", "add", f"--username={name}", "--json"))
        return User(made["username"], made["secret"])

    def add_users(self, number: int) -> list[User]:
        """-> so many whom no other test has, made at once"""
        names = [f"user{self._users + one}@example.com" for one in range(1, number + 1)]
        self._users += number
        text = next(iter(sorted(self.folder.glob("*.ini")))).read_text("utf-8")
        (url,) = set(re.findall(r"^sqlalchemy\.url = (.*)$", text, re.MULTILINE))
        url = url.replace("%(here)s", str(self.folder)).replace("%%", "%")
        return list(starmap(User, add_users(self.folder / "factored.key", url, *names).items()))


@dataclass
class Front:
    """factored before a site, under one server, with its installation."""

    installation: Installation
    ini: Path
    server: Server
    kind: str
    told: dict[str, Any]
    """What ``initializedb`` said."""

    @property
    def port(self) -> int:
        return self.server.port

    def add_user(self) -> User:
        return self.installation.add_user()


def simpleproxy_ini(site_port: int, server: str, gate: str = GATE, proxy: str = "") -> str:
    return (
        f"[app:site]\nuse = egg:factored#simpleproxy\nserver = 127.0.0.1\nport = {site_port}\n"
        f"{proxy}\n[filter-app:main]{gate}next = site\n\n{server}{LOGGING}"
    )


def start_front(folder: Path, kind: str, site_port: int, gate: str = GATE) -> Front:
    """folder, kind of server, port of the site -> factored before it, running

    :param gate: ``{port}`` in it stands for the port that factored listens on
    """
    folder.mkdir()
    port = free_port()
    gate = gate.replace("{port}", str(port))
    installation = Installation(folder)
    section, (command, *words) = KINDS[kind]
    ini = installation.ini("site.ini", simpleproxy_ini(site_port, section.format(port=port), gate))
    argv = [program(command), *words, str(ini)]
    if kind in ("gunicorn", "gthread"):
        program("gunicorn")
    told = installation.initialise()
    return Front(installation, ini, Server(argv, port, folder / "server").start(), kind, told)


def each_worker(front: Front) -> Iterator[contextlib.AbstractContextManager[None]]:
    """-> for every process that answers, a context in which only it does"""
    workers = front.server.workers()
    for worker in workers if len(workers) > 1 else ():
        yield front.server.only(worker)
    if len(workers) < 2:
        yield contextlib.nullcontext()
