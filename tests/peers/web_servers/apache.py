"""Apache as Debian has it, for tests of what we ship for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.peers.servers import program

MODULES = Path("/usr/lib/apache2/modules")

MAIN = """
{modules}
ServerName localhost
ServerRoot {folder}
PidFile {folder}/apache2.pid
Mutex file:{folder}
ErrorLog /dev/stderr
User www-data
Group www-data
Listen 127.0.0.1:{port}
Include {folder}/site.conf
"""
"""Only what Debian's own apache2.conf has too, and places for files."""


def apache_argv(folder: Path, shipped: str, port: int, modules: Sequence[str]) -> list[str]:
    """folder, text of a shipped file, port, modules that it needs -> command line of Apache"""
    path = program("apache2")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "site.conf").write_text(shipped, "utf-8")
    loaded = [f"LoadModule {one}_module {MODULES}/mod_{one}.so" for one in modules]
    text = MAIN.format(folder=folder, port=port, modules="\n".join(loaded))
    (folder / "apache2.conf").write_text(text, "utf-8")
    return [path, "-D", "FOREGROUND", "-d", str(folder), "-f", str(folder / "apache2.conf")]
