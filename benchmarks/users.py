"""Many users in and out: seconds and memory of the commands, on SQLite and PostgreSQL.

Run by ``make bench``. Each command is a process of its own; ``MiB`` is the most that it had in
memory at once. The smaller number of users stands beside the larger one, because memory is to be
the same for both. ``--url`` names an empty database in the place of the SQLite file; what is in its
tables of factored is lost.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa

PASSPHRASE = "a passphrase for benchmarks"
FACTORED = str(Path(sys.executable).with_name("factored"))


def write_ini(folder: Path, url: str, name: str) -> Path:
    given = {
        "auth_tkt.secret": "a-ticket-secret-for-benchmarks-0123456789",
        "key_file": str(folder / f"{name}.key"), "sqlalchemy.url": url.replace("%", "%%"),
    }  # fmt: skip
    lines = ["[app:main]", "use = egg:factored#main", *(f"{k} = {v}" for k, v in given.items())]
    ini = folder / f"{name}.ini"
    ini.write_text("\n".join(lines) + "\n")
    return ini


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


def run(*words: str, out: Path | None = None, status: int = 0) -> tuple[float, float]:
    """command -> seconds, and MiB at the most"""
    began = time.perf_counter()
    with (out or Path(os.devnull)).open("w") as stdout:
        process = subprocess.Popen(
            [FACTORED, *words], stdout=stdout, stderr=subprocess.DEVNULL,
            env={**os.environ, "PASSPHRASE": PASSPHRASE},
        )  # fmt: skip
        _, ended, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(ended)
    assert process.returncode == status, (words, process.returncode)
    return time.perf_counter() - began, usage.ru_maxrss / 1024


def measure(folder: Path, url: str, users: int) -> dict[str, tuple[float, float]]:
    """-> command: seconds and MiB; the database is empty before"""
    folder.mkdir()
    table, listed, exported = folder / "users.csv", folder / "list.json", folder / "users.jsonl"
    write_table(table, users)
    made = {}
    here = write_ini(folder, url, "here")
    there = write_ini(folder, f"sqlite:///{folder}/there.sqlite", "there")
    for ini in (here, there):
        run("init", str(ini))
    made["import"] = run("user", "import", str(here), str(table))
    made["import again"] = run("user", "import", str(here), str(table))
    made["list --json"] = run("user", "list", str(here), "--json", out=listed)
    # Not here: a child counts as its own what this process had in memory when it began.
    count = "import json, sys; print(len(json.load(open(sys.argv[1]))))"
    assert int(subprocess.check_output([sys.executable, "-c", count, str(listed)])) == users
    words = ("--passphrase-env=PASSPHRASE",)
    made["export"] = run("user", "export", str(here), str(exported), *words)
    made["import export"] = run("user", "import", str(there), str(exported), *words)
    made["the same again"] = run("user", "import", str(there), str(exported), *words)
    if url.startswith("sqlite"):
        here = write_ini(folder, f"sqlite:///{folder}/atomic.sqlite", "here")
    else:
        drop_tables(url)
    run("init", str(here))
    made["import --atomic"] = run("user", "import", str(here), str(table), "--atomic")
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--url", help="of a database that may be emptied; else SQLite")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    sizes = (args.users // 10, args.users)
    found: dict[int, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        for users in sizes:
            folder = Path(name, str(users))
            if args.url:
                drop_tables(args.url)
            found[users] = measure(folder, args.url or f"sqlite:///{folder}/here.sqlite", users)
        if args.url:
            drop_tables(args.url)
    small, large = (found[users] for users in sizes)
    rows = [
        {"command": command, "s_tenth": small[command][0], "s": large[command][0],
         "mib_tenth": small[command][1], "mib": large[command][1]}
        for command in large
    ]  # fmt: skip
    if args.json:
        print(json.dumps({"users": args.users, "rows": rows}))
        return
    print(f"{'users':<16} {sizes[0]:>17,} {sizes[1]:>17,}")
    print(f"{'command':<16} {'s':>9} {'MiB':>7} {'s':>9} {'MiB':>7}")
    for row in rows:
        print("{command:<16} {s_tenth:>9.2f} {mib_tenth:>7.0f} {s:>9.2f} {mib:>7.0f}".format(**row))


if __name__ == "__main__":
    main()
