"""Many users in and out: seconds and memory of the commands, on SQLite and PostgreSQL.

Each command is a process of its own; ``MiB`` is the most that it had in memory at once. A tenth of
the users stands beside them all, because memory is to be the same for both.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import sqlalchemy as sa

from benchmarks.databases import postgresql_url
from benchmarks.report import Effort, Row, Table
from tests.support import write_ini

NEEDS: dict[str, str] = {}

PASSPHRASE = "a passphrase for benchmarks"
FACTORED = str(Path(sys.executable).with_name("factored"))

# A child counts as its own what its parent had in memory when it began: so a small one in between.
MEASURED = """
import json, os, subprocess, sys, time
began = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stderr=subprocess.DEVNULL)
_, ended, usage = os.wait4(process.pid, 0)
took = time.perf_counter() - began
status = os.waitstatus_to_exitcode(ended)
json.dump([status, took, usage.ru_maxrss / 1024], sys.stderr)
"""


def ini_of(folder: Path, url: str, name: str) -> Path:
    """folder, database, name -> an ini file with keys of its own"""
    given = {
        "auth_tkt.secret": "a-ticket-secret-for-benchmarks-0123456789",
        "key_file": str(folder / f"{name}.key"), "sqlalchemy.url": url,
    }  # fmt: skip
    return write_ini(folder, given, f"{name}.ini")


def write_table(path: Path, users: int) -> None:
    with path.open("w") as file:
        file.write("username,label\r\n")
        for number in range(users):
            file.write(f"user{number}@example.com,Phone of user {number}\r\n")


def drop_tables(url: str) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    found = sa.MetaData()
    found.reflect(engine, only=lambda name, _: name.startswith("factored_"))
    found.drop_all(engine)


def run(*words: str, out: Path | None = None) -> tuple[float, float]:
    """command -> seconds, and MiB at the most"""
    with (out or Path(os.devnull)).open("w") as stdout:
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, FACTORED, *words],
            stdout=stdout, stderr=subprocess.PIPE, env={**os.environ, "PASSPHRASE": PASSPHRASE},
        )  # fmt: skip
    status, took_s, mib = json.loads(done.stderr)
    assert status == 0, (words, status)
    return took_s, mib


def commands(folder: Path, url: str, users: int) -> dict[str, tuple[float, float]]:
    """folder of its own, empty database -> command: seconds and MiB; the database is empty again"""
    folder.mkdir()
    table, listed, exported = folder / "users.csv", folder / "list.json", folder / "users.jsonl"
    write_table(table, users)
    made = {}
    here = ini_of(folder, url, "here")
    there = ini_of(folder, f"sqlite:///{folder}/there.sqlite", "there")
    for ini in (here, there):
        run("init", str(ini))
    made["import"] = run("user", "import", str(here), str(table))
    made["import again"] = run("user", "import", str(here), str(table))
    made["list --json"] = run("user", "list", str(here), "--json", out=listed)
    assert len(json.loads(listed.read_text())) == users
    words = ("--passphrase-env=PASSPHRASE",)
    made["export"] = run("user", "export", str(here), str(exported), *words)
    made["import export"] = run("user", "import", str(there), str(exported), *words)
    made["the same again"] = run("user", "import", str(there), str(exported), *words)
    drop_tables(url)
    run("init", str(here))
    made["import --atomic"] = run("user", "import", str(here), str(table), "--atomic")
    drop_tables(url)
    return made


def compared(folder: Path, database: str, url: str, users: int, fewer: int = 0) -> Table:
    """folder of its own, name and url of a database, numbers of users -> a row for each command"""
    folder.mkdir()
    small = commands(folder / "fewer", url, fewer) if fewer else {}
    rows = []
    for name, (took_s, mib) in commands(folder / "all", url, users).items():
        of_fewer = (f"s for {fewer:,}", f"MiB for {fewer:,}")
        more = dict(zip(of_fewer, small[name], strict=True)) if small else {}
        rows.append(Row(name, [took_s], {"MiB": mib, **more}))
    return Table(f"factored user ..., {users:,} users, {database}", "s", rows)


def measure(effort: Effort) -> list[Table]:
    """-> one table for each database"""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lite = f"sqlite:///{folder / 'users.sqlite'}"
        if effort == "quick":
            return [compared(folder / "sqlite", "SQLite", lite, 500)]
        users = {"normal": 10_000, "full": 100_000}[effort]
        tables = [compared(folder / "sqlite", "SQLite", lite, users, users // 10)]
        with postgresql_url() as url:
            if url:
                made = compared(folder / "postgresql", "PostgreSQL", url, users, users // 10)
                tables.append(made)
    return tables
