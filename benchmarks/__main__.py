"""Runs benchmarks by name, all of them without: ``python -m benchmarks [--quick] [NAME ...]``."""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import report

if TYPE_CHECKING:
    from types import ModuleType

NAMES = (
    "gate", "servers", "proxy", "web_servers", "logins", "nodes", "scaling", "start", "users",
    "names",
)  # fmt: skip
NOT_QUICK = ("scaling",)
"""What `nodes` asks for too, and takes long to set up: with --quick only if it is named."""
RESULTS = Path(__file__).parents[1] / "build" / "bench"


def described() -> str:
    """-> what each benchmark measures, for ``--help``"""
    lines = []
    for name in NAMES:
        # Read, not imported: who asks for help may have none of what benchmarks need.
        source = (Path(__file__).parent / f"{name}.py").read_text()
        said = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
        lines.append(f"  {name:<12} {said}")
    return "\n".join(lines)


def load(name: str) -> ModuleType:
    """name -> module with ``measure(effort) -> tables``, and NEEDS: program -> Debian's package"""
    return importlib.import_module(f"benchmarks.{name}")


def is_there(program: str) -> bool:
    """name of a program, or of a file of its package -> whether it is installed"""
    places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
    return shutil.which(program, path=places) is not None or Path(program).is_file()


def run(name: str, effort: report.Effort) -> bool:
    """name, effort -> whether it ran; prints its tables and writes build/bench/NAME.json"""
    module = load(name)
    missing = {
        program: package for program, package in module.NEEDS.items() if not is_there(program)
    }
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        print(f"{name}: left out, {', '.join(missing)} not found (Debian: apt install {packages})")
        return False
    began = time.monotonic()
    tables = module.measure(effort)
    report.write(RESULTS / f"{name}.json", name, effort, tables)
    for table in tables:
        print(f"\n{table.text()}")
    print(f"({name}: {time.monotonic() - began:.0f} s)", flush=True)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Times factored beside its peers, one benchmark after another. "
        "Tables go to the terminal, and as JSON to build/bench.",
        epilog=f"benchmarks:\n{described()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="see below")
    effort = parser.add_mutually_exclusive_group()
    for const, said in (
        ("quick", "fewer rounds: all but scaling in less than a minute"),
        ("full", "as many samples and users as the promises name"),
    ):
        effort.add_argument(
            f"--{const}", action="store_const", dest="effort", const=const, help=said
        )
    parser.set_defaults(effort="normal")
    args = parser.parse_args()
    unknown = sorted({*args.names} - {*NAMES})
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
    left_out = NOT_QUICK if args.effort == "quick" else ()
    names = args.names or [name for name in NAMES if name not in left_out]
    ran = [run(name, args.effort) for name in names]
    return 0 if all(ran) else 1


if __name__ == "__main__":
    sys.exit(main())
