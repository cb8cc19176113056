"""What holds the whole together: who may import whom, and that importing does nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import factored

ROOT = Path(factored.__file__).parent

ROWS = [
    {"app", "scripts"},
    {"schemes"},
    {"gate", "web"},
    {"services", "ticket_check"},
    {"store", "finders", "auth_tkt", "proxy", "hello", "mail", "original"},
    {"settings"},
    {"ini_keys"},
    {
        "converters", "plugins", "keys", "clock", "codes", "names", "cookies", "browsers",
        "durations", "environ", "answers", "upstream", "engines", "old_keys", "colors", "templates",
        "passphrase",
    },
    {"interfaces"},
    {"words"},
]  # fmt: skip
"""DESIGN.md, "Import rule": a part imports only from rows below its own."""

LEVEL = {part: level for level, row in enumerate(ROWS) for part in row}

MAX_LINES = 400
LONGER = {"interfaces.py": "the vocabulary of the whole, short roles one after another"}
"""Modules that may be longer, each with the reason."""

MODULES = sorted(
    path for path in ROOT.rglob("*.py") if not {"__pycache__", "versions"} & set(path.parts)
)
RUN_BY_ALEMBIC = "store/migrations/env.py"
IDS = [str(path.relative_to(ROOT)) for path in MODULES]

every_module = pytest.mark.parametrize("path", MODULES, ids=IDS)


def part_of(path: Path) -> str:
    """file -> the part of the design it belongs to: its package, or its own name"""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def imports_of(path: Path) -> Iterator[str]:
    """file -> every module it imports, at whatever depth, with its full name"""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def calls_of(path: Path) -> frozenset[str]:
    """file -> what it calls, as written: ``time.time``"""
    return frozenset(
        ast.unparse(node.func) for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)
    )


def run_python(code: str) -> str:
    """code -> what it printed, in a process of its own"""
    done = subprocess.run(
        [sys.executable, "-B", "-c", code], capture_output=True, text=True, cwd=ROOT.parent
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@every_module
def test_every_module_has_its_row(path: Path) -> None:
    assert path == ROOT / "__init__.py" or part_of(path) in LEVEL


@every_module
def test_a_module_imports_only_from_rows_below_its_own(path: Path) -> None:
    own = part_of(path)
    for name in imports_of(path):
        package, _, rest = name.partition(".")
        imported = rest.partition(".")[0]
        if package != "factored" or imported in ("__version__", own):
            continue
        assert imported in LEVEL, f"factored.{imported} has no row"
        assert LEVEL.get(own, len(ROWS)) < LEVEL[imported], f"{own} must not import {imported}"


@pytest.mark.parametrize(
    ("owner", "outsiders"),
    [("web", "schemes"), ("schemes", "web"), ("gate", "web"), ("services", "web")],
)
def test_those_who_are_handed_what_they_need_do_not_import_it(owner: str, outsiders: str) -> None:
    for path in MODULES:
        if part_of(path) == owner:
            assert not any(name.startswith(f"factored.{outsiders}") for name in imports_of(path))


@every_module
def test_old_packaging_is_not_imported(path: Path) -> None:
    assert not {"pkg_resources", "cgi"} & {name.partition(".")[0] for name in imports_of(path)}


@every_module
def test_pages_services_and_commands_know_no_database(path: Path) -> None:
    if part_of(path) not in ("store", "finders", "engines"):
        tops = {name.partition(".")[0] for name in imports_of(path)}
        assert not {"sqlalchemy", "alembic", "sqlite3"} & tops
    if part_of(path) in ("gate", "auth_tkt", "environ", "cookies", "answers"):
        assert not {"pyramid", "webob"} & {name.partition(".")[0] for name in imports_of(path)}


@every_module
def test_the_gate_and_the_commands_know_the_store_by_its_role(path: Path) -> None:
    """Adopting old tables is the one thing that only SQL can do."""
    if part_of(path) in ("app", "scripts", "web"):
        known = {name for name in imports_of(path) if name.startswith("factored.store")}
        assert known <= {"factored.store.bundle.SqlStores"}


@every_module
def test_a_module_opens_with_one_sentence(path: Path) -> None:
    docstring = ast.get_docstring(tree_of(path))
    assert docstring, "no docstring"
    first, *rest = docstring.splitlines()
    assert first.endswith((".", "?"))
    assert not rest or rest[0] == ""


@every_module
def test_a_module_can_be_read_in_one_sitting(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    lines = len(path.read_text("utf-8").splitlines())
    assert lines <= MAX_LINES or name in LONGER
    assert lines > MAX_LINES * 3 // 4 or name not in LONGER, "short again: leave it out of the list"


@every_module
def test_only_the_clock_knows_the_time(path: Path) -> None:
    if path.name != "clock.py":
        assert "time.time" not in calls_of(path)
        assert "time.monotonic" not in calls_of(path)
        assert not any(call.endswith((".now", ".utcnow", ".today")) for call in calls_of(path))


@every_module
def test_a_module_keeps_no_registry_and_scans_nothing(path: Path) -> None:
    tree = tree_of(path)
    assert not any(call.endswith((".scan", "threading.local")) for call in calls_of(path))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Global)]
    empty = [
        ast.unparse(node)
        for node in tree.body
        if isinstance(node, (ast.Assign, ast.AnnAssign))
        and isinstance(node.value, (ast.Dict, ast.List))
        and not ast.unparse(node.value).strip("{}[]")
    ]
    assert not empty, "an empty container of a module is there to be filled later"


def test_importing_the_package_imports_none_of_its_modules() -> None:
    code = "import sys, factored; print([one for one in sys.modules if 'factored.' in one])"
    assert run_python(code) == "[]"


def test_importing_everything_starts_connects_and_writes_nothing() -> None:
    names = [
        "factored." + name.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        for name in IDS
        if name not in ("__init__.py", RUN_BY_ALEMBIC)
    ]
    code = f"""
import importlib, os, sys, threading
seen = []
def watch(event, args):
    writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
    if writes or event in ("sqlite3.connect", "socket.connect", "subprocess.Popen", "os.fork"):
        seen.append((event, str(args[0])))
sys.addaudithook(watch)
for name in {names}:
    importlib.import_module(name)
print(seen, threading.active_count())
"""
    assert run_python(code) == "[] 1"


def test_the_rule_notices_who_breaks_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "keys.py").write_text("def f():\n    from factored.web import site\n")
    with pytest.raises(AssertionError, match="keys must not import web"):
        test_a_module_imports_only_from_rows_below_its_own(tmp_path / "keys.py")
    (tmp_path / "codes.py").write_text("import factored.keys\n")
    with pytest.raises(AssertionError, match="codes must not import keys"):
        test_a_module_imports_only_from_rows_below_its_own(tmp_path / "codes.py")
