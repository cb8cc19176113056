"""``factored user import`` and ``factored user export``: many users at a time."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import shutil
import stat
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, cast

from factored.clock import SystemClock
from factored.interfaces import FactoredError, Stores
from factored.keys import KeyRing
from factored.passphrase import MIN_LENGTH
from factored.scripts import output
from factored.scripts.inifile import Ini
from factored.services import users_csv, users_file
from factored.services.importing import Counts, Import, Item, Refused
from factored.services.lines import Lines
from factored.services.parts import make_key_ring, make_stores, read_settings
from factored.services.users_file import Export

DONE, FAILED, USAGE = range(3)

STANDARD = "-"
"""For a file: stdin or stdout."""

SHOWN = 60
"""Characters of a refused name that are shown."""

STAYS_BEHIND = (
    "recovery codes, known browsers, open tickets and throttle counts stay behind: they hang on "
    "the key file and the store they were made in"
)


class NoPassphrase(FactoredError):
    """There is none, or none to use."""


# -- import ----------------------------------------------------------------------------------------


def import_users(args: argparse.Namespace, ini: Ini) -> int:
    stores, ring = _open(ini)
    with _input(args.file) as file:
        if not users_file.is_export(file.peek(1)):
            lines = Lines(file)
            return _import(args, stores, ring, users_csv.read(lines), lines, _size(file))
        with _readable_twice(file, args.file) as export:
            lines = Lines(export)
            items = users_file.read(export, lambda: _passphrase(args), lines)
            return _import(args, stores, ring, items, lines, _size(export))


def _import(
    args: argparse.Namespace,
    stores: Stores,
    ring: KeyRing,
    items: Iterator[Item],
    lines: Lines,
    size: int,
) -> int:
    bar = output.Progress()
    report = _Report(args.json, bar)

    def progress(counts: Counts) -> None:
        text = f"{counts.lines:,} users, {counts.refused:,} refused"
        bar.show(text, lines.bytes_read / size if size else None)

    importing = Import(
        stores.users, ring, SystemClock(), refuse=report.refuse, progress=progress
    )  # fmt: skip
    complete = False
    try:
        if args.atomic:
            complete = importing.run_atomic(items)
        else:
            importing.run(items)
            complete = True
    finally:
        bar.clear()
        if complete or importing.counts.lines:
            report.end(importing.counts, complete=complete, atomic=args.atomic)
    return DONE if complete and not importing.counts.refused else FAILED


class _Report:
    """Refused lines as they come, and the sum at the end; as JSON it is one document too."""

    def __init__(self, as_json: bool, bar: output.Progress) -> None:
        self._json = as_json
        self._bar = bar
        self._begun = False

    def refuse(self, refused: Refused) -> None:
        name = (
            refused.username if len(refused.username) <= SHOWN else refused.username[:SHOWN] + "…"
        )
        if self._json:
            facts = {"line": refused.line, "username": name, "reason": refused.reason}
            sys.stdout.write((", " if self._begun else '{"refused_lines": [') + json.dumps(facts))
            self._begun = True
            return
        self._bar.clear()
        # As Python shows it: a control character in a name does nothing to the terminal.
        shown = f" {name!r}" if name else ""
        output.say(f"line {refused.line}:{shown} {refused.reason}")

    def end(self, counts: Counts, *, complete: bool, atomic: bool) -> None:
        if self._json:
            sums = {
                "new": counts.new, "already": counts.already, "refused": counts.refused,
                "complete": complete,
            }  # fmt: skip
            start = "" if self._begun else '{"refused_lines": ['
            output.result(f"{start}], {json.dumps(sums)[1:]}")
            return
        output.say(
            f"new: {counts.new:,}, there already: {counts.already:,}, refused: {counts.refused:,}"
        )
        if atomic and not complete:
            output.say("nobody was imported")
        elif not complete:
            output.say("the rest was not read: run the same import again")
        if counts.without_authenticator:
            output.say(
                f"without an authenticator: {counts.without_authenticator:,}; "
                "`factored user invite` gives them one"
            )


@contextmanager
def _input(name: str) -> Iterator[BufferedReader]:
    if name == STANDARD:
        yield cast(BufferedReader, sys.stdin.buffer)
        return
    with Path(name).open("rb") as file:
        yield file


@contextmanager
def _readable_twice(file: BinaryIO, name: str) -> Iterator[BinaryIO]:
    """an export -> the same, or what is read of a pipe in a file that nobody else sees

    Its secrets are encrypted, so it may lie on a disk.
    """
    if name != STANDARD and file.seekable():
        yield file
        return
    with tempfile.TemporaryFile() as kept:
        shutil.copyfileobj(file, kept)
        kept.flush()  # so that its size is known
        yield cast(BinaryIO, kept)


def _size(file: BinaryIO) -> int:
    """file -> bytes, or 0: it is not known"""
    try:
        status = os.fstat(file.fileno())
    except OSError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


# -- export ----------------------------------------------------------------------------------------


def export_users(args: argparse.Namespace, ini: Ini) -> int:
    """A file is whole once its last line is there; one that is not is deleted, or refused later."""
    to_stdout = args.file == STANDARD
    if args.json and to_stdout:
        output.say("factored: --json tells of the export, which then needs a FILE to go into")
        return USAGE
    stores, ring = _open(ini)
    behind = 0

    def left(username: str, what: str) -> None:
        nonlocal behind
        behind += 1
        bar.clear()
        output.say(f"{username}: {what} stays behind")

    bar = output.Progress()
    number = -2  # the first and the last line are no users
    with nullcontext(output.result) if to_stdout else _new_file(Path(args.file)) as write:
        passphrase = None if args.without_secrets else _new_passphrase(args)
        for line in Export(stores.users, ring, SystemClock(), behind=left).lines(passphrase):
            write(line)
            number += 1
            if number > 0 and number % 1000 == 0 and not to_stdout:
                bar.show(f"{number:,} users", None)
    bar.clear()
    if args.json:
        output.document({"users": number, "secrets": passphrase is not None, "behind": behind})
    else:
        output.say(f"users: {number:,}; {STAYS_BEHIND}")
    return FAILED if behind else DONE


@contextmanager
def _new_file(path: Path) -> Iterator[Callable[[str], None]]:
    """path -> function that writes a line to the new file, which is for its owner alone"""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii", newline="\n") as file:
            yield lambda line: print(line, file=file)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink()
        raise


# -- both ------------------------------------------------------------------------------------------


def _open(ini: Ini) -> tuple[Stores, KeyRing]:
    settings = read_settings(ini.given, here=ini.here)
    clock = SystemClock()
    stores = make_stores(settings, clock)
    stores.check()
    return stores, make_key_ring(settings, clock)


def _new_passphrase(args: argparse.Namespace) -> str:
    passphrase = _passphrase(args)
    if len(passphrase) < MIN_LENGTH:
        raise NoPassphrase(f"a passphrase needs at least {MIN_LENGTH} characters")
    given = args.passphrase_file or args.passphrase_env
    if not given and _asked("The same passphrase again: ") != passphrase:
        raise NoPassphrase("the two passphrases differ")
    return passphrase


def _passphrase(args: argparse.Namespace) -> str:
    """-> from where the options say, else as typed at the terminal; never from the command line

    :raises NoPassphrase: it is missing or empty, or there is no terminal to ask at
    """
    if args.passphrase_file:
        where = f"file {args.passphrase_file}"
        with Path(args.passphrase_file).open(encoding="utf-8", errors="surrogateescape") as file:
            passphrase = file.readline().rstrip("\r\n")
    elif args.passphrase_env:
        where = f"variable {args.passphrase_env}"
        passphrase = os.environ.get(args.passphrase_env, "")
    else:
        where = "nothing was typed"
        passphrase = _asked("Passphrase: ")
    if not passphrase:
        raise NoPassphrase(f"the passphrase is missing or empty ({where})")
    return passphrase


def _asked(prompt: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)  # it would be shown as it is typed
        try:
            return getpass.getpass(prompt)
        except (getpass.GetPassWarning, EOFError):
            raise NoPassphrase(
                "no terminal to ask for the passphrase: say --passphrase-file or --passphrase-env"
            ) from None
