"""Real PostgreSQL and MariaDB servers: each in a folder of its own, on a free loopback port.

They are set up as badly as an operator may find them: another time zone and isolation level, and
on MariaDB a character set, a table engine and an SQL mode that lose data.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from factored.interfaces import StoreError
from factored.store.database import Database

from .servers import Server, free_port, program

SETUP_S = 60

_numbers = itertools.count(1)


@dataclass
class DatabaseServer(Server):
    """A database server of ours, with a database that tests may empty.

    :param url: of that database
    :param stop_signal: ends the server without waiting for its clients
    """

    ready_path: str | None = None
    url: str = ""
    stop_signal: signal.Signals = signal.SIGTERM

    def answers(self) -> bool:
        if not super().answers():
            return False
        database = Database({"sqlalchemy.url": self.url})
        try:
            with database.reading() as session:
                return bool(session.scalar(sa.text("SELECT 1")))
        except StoreError:  # still reading its files
            return False
        finally:
            database.engine.dispose()

    def stop(self) -> int | None:
        if self.process is not None:
            self.process.send_signal(self.stop_signal)
        return super().stop()

    def new_database(self, options: str = "") -> str:
        """what CREATE DATABASE is told -> url of an empty one beside that, the caller's alone"""
        name = f"new{next(_numbers)}"
        engine = sa.create_engine(self.url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name} {options}"))
        return engine.url.set(database=name).render_as_string(hide_password=False)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)


def start_postgresql() -> DatabaseServer:
    _require_driver("psycopg")
    initdb, postgres = _postgresql_program("initdb"), _postgresql_program("postgres")
    folder, port = _folder_of("postgres"), free_port()
    data = str(folder / "data")
    words = ["-D", data, "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8"]
    _set_up(folder, [*_as_user("postgres"), initdb, *words, "--locale=C.UTF-8"])
    settings = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": str(folder),
        "fsync": "off",
        "full_page_writes": "off",
        "timezone": "Asia/Tokyo",
        "default_transaction_isolation": "serializable",
    }
    argv = [*_as_user("postgres"), postgres, "-D", data, "-p", str(port)]
    argv += [f"--{name}={value}" for name, value in settings.items()]
    url = f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
    server = DatabaseServer(argv, port, folder, url=url, stop_signal=signal.SIGINT)
    server.start()
    return server


def start_mariadb(*options: str, wait: bool = True) -> DatabaseServer:
    """more options -> the server, waited for unless it is one that factored does not talk to"""
    _require_driver("pymysql")
    mariadbd, install = program("mariadbd"), program("mariadb-install-db")
    folder, port = _folder_of("mysql"), free_port()
    words = ["--auth-root-authentication-method=normal", "--skip-test-db"]
    user = ["--user=mysql"] if os.getuid() == 0 else []
    data = f"--datadir={folder / 'data'}"
    _set_up(folder, [install, "--no-defaults", *user, data, *words])
    first = folder / "first.sql"
    first.write_text("CREATE DATABASE IF NOT EXISTS factored;\n")
    argv = [mariadbd, "--no-defaults", *user, data, f"--port={port}", "--bind-address=127.0.0.1"]
    argv += [f"--socket={folder / 'socket'}", f"--init-file={first}"]
    argv += ["--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0"]
    argv += ["--character-set-server=latin1", "--default-storage-engine=MyISAM", "--sql-mode="]
    argv += ["--default-time-zone=+05:00", "--transaction-isolation=SERIALIZABLE", *options]
    url = f"mariadb+pymysql://root@127.0.0.1:{port}/factored"
    server = DatabaseServer(argv, port, folder, url=url)
    return server.start() if wait else server


def _require_driver(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        reason = f"the Python package {module} is not installed"
        if os.environ.get("FACTORED_REQUIRE_PEERS") == "1":
            pytest.fail(f"{reason}, and FACTORED_REQUIRE_PEERS=1 asks for it")
        pytest.skip(reason)


def _postgresql_program(name: str) -> str:
    """name -> its path; Debian keeps the server's programs apart, a folder for each version"""
    found = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    newest = max(found, key=lambda path: int(path.parts[-3]), default=None)
    return str(newest) if newest else program(name)


def _folder_of(user: str) -> Path:
    """system user -> an empty folder; not pytest's, which only root may enter"""
    folder = Path(tempfile.mkdtemp(prefix="factored-"))
    if os.getuid() == 0:
        shutil.chown(folder, user)
    return folder


def _as_user(user: str) -> list[str]:
    """system user -> what to put before a command that refuses to run as root"""
    if os.getuid() != 0:
        return []
    # Not runuser: that one stays as the parent, and signals would end it alone.
    return [program("setpriv"), f"--reuid={user}", f"--regid={user}", "--clear-groups"]


def _set_up(folder: Path, argv: list[str]) -> None:
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=SETUP_S)
    assert done.returncode == 0, done
