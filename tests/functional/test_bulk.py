"""Many users at a time: imported from a table, moved to another site, listed."""

from __future__ import annotations

import errno
import getpass
import io
import json
import os
import pty
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyotp
import pytest

from factored.scripts import bulk
from factored.services import users_file
from factored.services.users_file import Export
from factored.store.sql import SqlUserStore
from tests.support import Browser, FixedClock, Site, build_gate, factored, settings_for, write_ini
from tests.support_programs import FULL

DONE, FAILED, USAGE, NO_SUCH_USER, EXISTS = range(5)
SECRET = "JBSWY3DP" * 4
WORD = "correct horse battery"
MANY = 100_000 if FULL else 5_000

Run = Callable[..., tuple[int, str, str]]
Table = Callable[..., str]


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a passphrase costs is meant for those who try many."""
    cost = users_file.Cost
    monkeypatch.setattr(users_file, "Cost", lambda n=2, r=8, p=1: cost(n, r, p))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """-> function: command line -> exit status, stdout, stderr"""

    def call(*argv: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = factored(*argv)
        return status, *capsys.readouterr()

    return call


@pytest.fixture
def ini(tmp_path: Path, run: Run) -> str:
    """The ini of a site that is made, without users."""
    made = str(write_ini(tmp_path, settings_for(tmp_path)))
    assert run("init", made)[0] == DONE
    return made


@pytest.fixture
def other(tmp_path: Path, run: Run) -> str:
    """The ini of another site, with a store and a key file of its own."""
    folder = tmp_path / "other"
    folder.mkdir()
    made = str(write_ini(folder, settings_for(folder)))
    assert run("init", made)[0] == DONE
    return made


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """-> function: lines -> the name of a file with them"""

    def write(*lines: str, header: str = "username,secret,label,disabled") -> str:
        path = tmp_path / "users.csv"
        path.write_text("\n".join([header, *lines]) + "\n")
        return str(path)

    return write


@pytest.fixture
def word(tmp_path: Path) -> str:
    """An option that says where the passphrase is."""
    path = tmp_path / "word"
    path.write_text(f"{WORD}\nnot a part of it\n")
    return f"--passphrase-file={path}"


def document(answer: tuple[int, str, str], status: int = DONE) -> Any:
    """-> the one JSON document on stdout of a command"""
    found, out, err = answer
    assert found == status, err
    assert out.count("\n") == 1
    return json.loads(out)


def names(run: Run, ini: str) -> list[str]:
    status, out, _ = run("user", "list", ini)
    assert status == DONE
    return out.splitlines()


# -- import ----------------------------------------------------------------------------------------


def test_a_table_of_users_is_imported(ini: str, run: Run, table: Table) -> None:
    path = table(f"al@example.com,{SECRET},Phone,", "zoë,,,", "Off,,,yes")
    assert run("user", "import", ini, path) == (
        DONE, "", "new: 3, there already: 0, refused: 0\n",
    )  # fmt: skip
    assert names(run, ini) == ["al@example.com", "Off", "zoë"]
    told = document(
        run("user", "show", ini, "--username=AL@example.com", "--show-secret", "--json")
    )
    assert (told["secret"], told["authenticators"][0]["label"]) == (SECRET, "Phone")
    made = document(run("user", "show", ini, "--username=zoë", "--show-secret", "--json"))
    assert len(made["secret"]) == 32
    assert document(run("user", "show", ini, "--username=off", "--json"))["disabled"] is not None


def test_an_imported_user_logs_in_with_the_secret_of_the_table(site: Site, table: Table) -> None:
    factored("user", "import", str(site.ini), table(f"bo,{SECRET},,"))
    code = pyotp.TOTP(SECRET).at(int(site.clock.now_s()))
    answer = site.attempt(code, name="BO")
    assert answer.status_int == 303
    assert site.attempt(code, site.browser(), name="bo").status_int == 200


def test_refused_lines_are_told_each_with_one_reason_and_the_others_are_made(
    ini: str, run: Run, table: Table
) -> None:
    run("user", "add", ini, "--username=there")
    path = table(
        "al,,,", "a!b,,,", "AL,,,", "bo,JBSWY3DP,,", "THERE,,,", f"there,{SECRET},,", "x,y",
        "cy,,,", "x" * 300 + ",,,", "esc\x1b[2J,,,",
    )  # fmt: skip
    status, out, err = run("user", "import", ini, path)
    assert (status, out) == (FAILED, "")
    told = err.splitlines()
    assert told == [
        "line 3: 'a!b' The user name must not have an exclamation mark.",
        "line 4: 'AL' is the same user as in line 2",
        "line 5: 'bo' the secret has less than 80 bits",
        "line 6: 'THERE' exists already, spelt 'there'",
        "line 7: 'there' is the same user as in line 6",
        "line 8: columns: 2, and 4 in the header line",
        f"line 10: '{'x' * 60}…' The user name must not be longer than 254 characters.",
        "line 11: 'esc\\x1b[2J' The user name must not have control or invisible characters.",
        "new: 2, there already: 0, refused: 8",
    ]
    assert names(run, ini) == ["al", "cy", "there"]


def test_as_json_the_report_is_one_document(ini: str, run: Run, table: Table) -> None:
    path = table("al,,,", "a!b,,,", "al,,,")
    told = document(run("user", "import", ini, path, "--json"), FAILED)
    assert told == {
        "refused_lines": [
            {"line": 3, "username": "a!b",
             "reason": "The user name must not have an exclamation mark."},
            {"line": 4, "username": "al", "reason": "is the same user as in line 2"},
        ],
        "new": 1, "already": 0, "refused": 2, "complete": True,
    }  # fmt: skip
    assert document(run("user", "import", ini, table("al,,,"), "--json")) == {
        "refused_lines": [], "new": 0, "already": 1, "refused": 0, "complete": True,
    }  # fmt: skip


def test_all_or_nothing_imports_nobody_if_a_line_is_refused(
    ini: str, run: Run, table: Table
) -> None:
    path = table("al,,,", "a!b,,,", "bo,,,")
    status, _, err = run("user", "import", ini, path, "--atomic")
    assert status == FAILED
    assert "line 3: 'a!b'" in err
    assert err.endswith("new: 0, there already: 0, refused: 1\nnobody was imported\n")
    assert names(run, ini) == []
    told = document(run("user", "import", ini, path, "--atomic", "--json"), FAILED)
    assert (told["new"], told["complete"]) == (0, False)
    assert run("user", "import", ini, table("al,,,", "bo,,,"), "--atomic")[0] == DONE
    assert names(run, ini) == ["al", "bo"]


@pytest.mark.parametrize("atomic", [[], ["--atomic"]])
def test_an_import_may_run_again(ini: str, run: Run, table: Table, atomic: list[str]) -> None:
    path = table(f"al,{SECRET},,", "bo,,,")
    assert run("user", "import", ini, path)[0] == DONE
    before = run("user", "list", ini, "--json")[1]
    path = table(f"al,{SECRET},,", "bo,,,", "cy,,,")
    told = document(run("user", "import", ini, path, *atomic, "--json"))
    assert (told["new"], told["already"]) == (1, 2)
    assert run("user", "list", ini, "--json")[1].startswith(before[:-2])


@pytest.mark.parametrize("kind", ["table", "export"])
def test_the_file_may_come_from_a_pipe(
    ini: str, other: str, run: Run, table: Table, word: str, tmp_path: Path, kind: str
) -> None:
    content = Path(table("al,,,")).read_bytes()
    if kind == "export":
        run("user", "import", ini, table("al,,,"))
        content = run("user", "export", ini, word)[1].encode()
    pipes = {"input": content, "capture_output": True}
    code = "import sys; from factored.scripts.main import main; sys.exit(main())"
    argv = [sys.executable, "-c", code, "user", "import", other, "-", word]
    done = subprocess.run(argv, **pipes)
    assert (done.returncode, done.stdout) == (DONE, b""), done.stderr
    assert done.stderr == b"new: 1, there already: 0, refused: 0\n"
    assert names(run, other) == ["al"]


def test_a_pipe_is_read_as_a_file_is(
    ini: str, other: str, run: Run, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def piped(content: str) -> None:
        raw = io.BufferedReader(io.BytesIO(content.encode()))  # type: ignore[arg-type]
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(raw))

    piped("\ufeffusername,label\r\nal,\r\n")
    assert run("user", "import", ini, "-")[0] == DONE
    piped(run("user", "export", ini, word)[1])
    assert run("user", "import", other, "-", word)[0] == DONE
    assert names(run, other) == ["al"]
    piped("")
    assert run("user", "import", other, "-")[:2] == (FAILED, "")


def test_two_imports_of_one_file_at_once_make_each_user_once(
    ini: str, run: Run, table: Table
) -> None:
    path = table(*(f"user{number},,," for number in range(1500)))
    code = "import sys; from factored.scripts.main import main; sys.exit(main())"
    argv = [sys.executable, "-c", code, "user", "import", ini, path, "--json"]
    both = [subprocess.Popen(argv, stdout=subprocess.PIPE) for _ in range(2)]
    told = [json.loads(one.communicate()[0]) for one in both]
    assert [one.returncode for one in both] == [DONE, DONE]
    assert sum(one["new"] for one in told) == 1500
    assert sum(one["already"] for one in told) == 1500
    assert len(names(run, ini)) == 1500


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "users.csv: No such file"),
        (b"", "must name the columns"),
        (b"al,secret\n", "must name the columns"),
        (b"username,email\n", "unknown columns: 'email'"),
        ("username\nal\n".encode("utf-16"), "is not UTF-8"),
        (b"PK\x03\x04\0\0\0", "must name the columns"),
        (b'{"username": "al"}\n', "no export of this release"),
    ],
)
@pytest.mark.parametrize("options", [[], ["--json"], ["--atomic"]])
def test_a_file_that_is_none_is_told_in_one_line(
    ini: str, run: Run, tmp_path: Path, content: bytes | None, told: str, options: list[str]
) -> None:
    path = tmp_path / "users.csv"
    if content is not None:
        path.write_bytes(content)
    status, out, err = run("user", "import", ini, str(path), *options)
    assert (status, out, err.count("\n")) == (FAILED, "", 1)
    assert err.startswith("factored: ")
    assert told in err


def test_a_folder_is_no_file(ini: str, run: Run, tmp_path: Path) -> None:
    status, _, err = run("user", "import", ini, str(tmp_path))
    assert (status, err.count("\n")) == (FAILED, 1)


def test_a_store_that_fails_half_way_is_told_with_what_is_done(
    ini: str, run: Run, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("factored.services.importing.BATCH", 2)
    add_many = SqlUserStore.add_many

    def fail(self: SqlUserStore, newcomers: Any) -> int:
        waiting = list(newcomers)
        if any(one.username == "cy" for one in waiting):
            raise OSError(errno.ENOSPC, "No space left on device")
        return add_many(self, waiting)

    path = table("al,,,", "bo,,,", "cy,,,", "di,,,")
    with monkeypatch.context() as patch:
        patch.setattr(SqlUserStore, "add_many", fail)
        status, _, err = run("user", "import", ini, path)
        told = document(run("user", "import", ini, path, "--json"), FAILED)
    assert status == FAILED
    assert "new: 2, there already: 0, refused: 0\nthe rest was not read: run the same" in err
    assert "factored: No space left on device" in err
    assert (told["already"], told["complete"]) == (2, False)
    assert run("user", "import", ini, path)[0] == DONE
    assert names(run, ini) == ["al", "bo", "cy", "di"]


KILLED = """
import os, signal, sys
from factored.scripts.main import main
from factored.services import importing
from factored.store import sql

def insert_and_kill(session, newcomers):
    insert(session, newcomers)
    if any(one.username == "user5" for one in newcomers):
        os.kill(os.getpid(), signal.SIGKILL)

importing.BATCH = 4
insert, sql.insert_users, sql.PAGE = sql.insert_users, insert_and_kill, int(sys.argv[1])
main(sys.argv[2:])
"""


@pytest.mark.parametrize(
    ("options", "page", "left"), [([], "4", 4), ([], "1", 4), (["--atomic"], "2", 0)]
)
def test_an_import_that_was_killed_has_done_whole_batches_and_runs_again(
    ini: str, run: Run, table: Table, options: list[str], page: str, left: int
) -> None:
    path = table(*(f"user{number},,," for number in range(10)))
    argv = [sys.executable, "-c", KILLED, page, "user", "import", ini, path, *options]
    killed = subprocess.run(argv, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    listed = document(run("user", "list", ini, "--json"))
    assert [one["username"] for one in listed] == [f"user{number}" for number in range(left)]
    assert all(len(one["authenticators"]) == 1 for one in listed)
    told = document(run("user", "import", ini, path, *options, "--json"))
    assert (told["new"], told["already"]) == (10 - left, left)
    assert names(run, ini) == [f"user{number}" for number in range(10)]


def test_an_import_that_is_interrupted_says_what_is_done(
    ini: str, run: Run, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: SqlUserStore, keys: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(SqlUserStore, "find_many", interrupt)
    status, out, err = run("user", "import", ini, table("a!b,,,", "al,,,"), "--atomic")
    assert (status, out) == (FAILED, "")
    assert err.endswith("nobody was imported\nfactored: interrupted\n")


def on_a_terminal(*argv: str) -> str:
    """command line -> what the terminal got that stderr is"""
    ours, theirs = pty.openpty()
    code = "import sys; from factored.scripts.main import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *argv], stderr=theirs, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError as error:  # Linux says so when the other side is closed
        assert error.errno == errno.EIO
    os.close(ours)
    process.wait()
    return shown.decode()


def test_a_terminal_shows_how_far_it_is(ini: str, table: Table, word: str, tmp_path: Path) -> None:
    users = [f"user{number},,," for number in range(1200)]
    shown = on_a_terminal("user", "import", ini, table(*users, "a!b,,,"))
    assert "[############..................]  4" in shown
    assert "] 100%  1,201 users, 1 refused" in shown
    *_, refused, total = shown.replace("\r\033[K", "\n").split("\n")[:-1]
    assert refused.startswith("[") or refused == ""
    assert total.strip() == "new: 1,200, there already: 0, refused: 1"
    assert "\nline 1202: 'a!b'" in shown.replace("\r\033[K", "\n")
    shown = on_a_terminal("user", "export", ini, str(tmp_path / "out"), word)
    assert "1,000 users\r\033[K" in shown


# -- export ----------------------------------------------------------------------------------------


def test_users_move_to_another_site_and_a_used_code_stays_used(
    site: Site, run: Run, word: str, tmp_path: Path, clock: FixedClock
) -> None:
    site.login()
    factored("user", "add", str(site.ini), "--username=off")
    factored("user", "disable", str(site.ini), "--username=off")
    path = tmp_path / "users.jsonl"
    status, out, err = run("user", "export", str(site.ini), str(path), word)
    assert (status, out) == (DONE, "")
    assert err.startswith("users: 2; recovery codes, known browsers, open tickets")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert site.secret not in path.read_text()
    folder = tmp_path / "other"
    folder.mkdir()
    given = settings_for(folder)
    other = str(write_ini(folder, given))
    run("init", other)
    told = document(run("user", "import", other, str(path), word, "--json"))
    assert (told["new"], told["refused"]) == (2, 0)
    listed = [run("user", "list", one, "--json")[1] for one in (str(site.ini), other)]
    assert listed[0] == listed[1]
    gate = build_gate(given, clock)
    there = Site(
        Browser(gate, extra_environ={"REMOTE_ADDR": "192.0.2.1"}), clock, Path(other), given,
        site.secret,
    )  # fmt: skip
    assert "just used" in there.attempt(there.code()).text
    clock.advance(30)
    assert there.attempt(there.code(), there.browser()).status_int == 303
    gate.close()


def test_an_export_goes_to_stdout_unless_told_otherwise(ini: str, run: Run, word: str) -> None:
    run("user", "add", ini, "--username=zoë")
    for argv in ([], ["-"]):
        status, out, err = run("user", "export", ini, *argv, word)
        assert (status, len(out.splitlines())) == (DONE, 3)
        assert out.isascii()
        assert "users: 1;" in err


def test_without_secrets_no_passphrase_is_asked_for(
    ini: str, other: str, run: Run, tmp_path: Path
) -> None:
    run("user", "add", ini, "--username=al")
    path = str(tmp_path / "out")
    told = document(run("user", "export", ini, path, "--without-secrets", "--json"))
    assert told == {"users": 1, "secrets": False, "behind": 0}
    status, _, err = run("user", "import", other, path)
    assert status == DONE
    assert "without an authenticator: 1; `factored user invite` gives them one" in err


def test_a_secret_that_no_key_can_read_stays_behind_and_is_told(
    ini: str, run: Run, word: str, tmp_path: Path
) -> None:
    run("user", "add", ini, "--username=al")
    (tmp_path / "factored.key").unlink()
    (tmp_path / "factored.key").write_text("A" * 43)
    status, out, err = run("user", "export", ini, str(tmp_path / "out"), word, "--json")
    assert (status, json.loads(out)) == (FAILED, {"users": 1, "secrets": True, "behind": 1})
    assert "al: a secret that cannot be read with today's keys stays behind" in err


def test_a_file_that_is_there_is_not_written_over(
    ini: str, run: Run, word: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine"
    path.write_text("mine")
    status, out, err = run("user", "export", ini, str(path), word)
    assert (status, out, err.count("\n")) == (FAILED, "", 1)
    assert path.read_text() == "mine"


@pytest.mark.parametrize("json_too", [[], ["--json"]])
def test_an_export_that_fails_leaves_no_file(
    ini: str, run: Run, word: str, tmp_path: Path, json_too: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def fail(self: Export, *args: Any) -> Any:
        raise KeyboardInterrupt

    run("user", "add", ini, "--username=al")
    monkeypatch.setattr(Export, "_facts", fail)
    path = tmp_path / "out"
    assert run("user", "export", ini, str(path), word, *json_too)[:2] == (FAILED, "")
    assert not path.exists()


def test_json_about_an_export_on_stdout_is_a_wrong_command_line(
    ini: str, run: Run, word: str
) -> None:
    assert run("user", "export", ini, word, "--json")[:2] == (USAGE, "")


# -- the passphrase --------------------------------------------------------------------------------


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is typed at the terminal, one after the other."""
    words: list[str] = []
    monkeypatch.setattr(getpass, "getpass", lambda prompt: words.pop(0))
    return words


def test_it_is_asked_for_twice_for_an_export_and_once_for_an_import(
    ini: str, run: Run, typed: list[str], tmp_path: Path
) -> None:
    path = str(tmp_path / "out")
    typed += [WORD, WORD]
    assert run("user", "export", ini, path)[0] == DONE
    typed += [WORD]
    assert run("user", "import", ini, path)[0] == DONE
    typed += ["another one"]
    status, out, err = run("user", "import", ini, path)
    assert (status, out, err.count("\n")) == (FAILED, "", 1)
    assert "not the passphrase" in err
    assert typed == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([WORD, WORD + "x"], "the two passphrases differ"),
        (["elevensigns"], "at least 12 characters"),
        ([""], "missing or empty"),
    ],
)
def test_one_that_is_none_makes_no_export(
    ini: str, run: Run, typed: list[str], tmp_path: Path, words: list[str], told: str
) -> None:
    typed += words
    status, out, err = run("user", "export", ini, str(tmp_path / "out"))
    assert (status, out, err.count("\n")) == (FAILED, "", 1)
    assert told in err
    assert not (tmp_path / "out").exists()


def test_it_may_stand_in_the_environment(
    ini: str, run: Run, tmp_path: Path, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "out")
    monkeypatch.setenv("WORD", WORD)
    assert run("user", "export", ini, path, "--passphrase-env=WORD")[0] == DONE
    assert run("user", "import", ini, path, word)[0] == DONE
    status, _, err = run("user", "import", ini, path, "--passphrase-env=NOWORD")
    assert (status, err.count("\n")) == (FAILED, 1)
    assert "missing or empty" in err


@pytest.mark.parametrize("error", [EOFError, getpass.GetPassWarning])
def test_without_a_terminal_it_is_not_read_from_what_would_show_it(
    ini: str, run: Run, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def ask(prompt: str) -> str:
        raise error

    monkeypatch.setattr(getpass, "getpass", ask)
    status, out, err = run("user", "export", ini)
    assert (status, out, err.count("\n")) == (FAILED, "", 1)
    assert "--passphrase-file or --passphrase-env" in err


def test_two_places_for_it_are_a_wrong_command_line(ini: str, run: Run, word: str) -> None:
    assert run("user", "export", ini, word, "--passphrase-env=WORD")[0] == USAGE


def test_a_file_with_it_that_is_missing_is_told(ini: str, run: Run, tmp_path: Path) -> None:
    status, _, err = run("user", "export", ini, f"--passphrase-file={tmp_path}/none")
    assert (status, err.count("\n")) == (FAILED, 1)
    assert "none: No such file" in err


# -- very many -------------------------------------------------------------------------------------


def test_very_many_users_come_and_go(
    ini: str, other: str, run: Run, word: str, tmp_path: Path
) -> None:
    path = tmp_path / "many.csv"
    path.write_text("username\n" + "".join(f"user{n}@example.com\n" for n in range(MANY)))
    for new in (MANY, 0):
        told = document(run("user", "import", ini, str(path), "--json"))
        assert (told["new"], told["already"]) == (new, MANY - new)
    listed = document(run("user", "list", ini, "--json"))
    assert {one["username"] for one in listed} == {f"user{n}@example.com" for n in range(MANY)}
    export = str(tmp_path / "many.jsonl")
    assert document(run("user", "export", ini, export, word, "--json"))["users"] == MANY
    told = document(run("user", "import", other, export, word, "--atomic", "--json"))
    assert (told["new"], told["refused"]) == (MANY, 0)
    assert document(run("user", "list", other, "--json")) == listed


def test_a_list_of_nobody_is_json_too(ini: str, run: Run) -> None:
    assert document(run("user", "list", ini, "--json")) == []


def test_a_bar_is_drawn_only_of_a_known_size(tmp_path: Path) -> None:
    assert bulk._size(io.BytesIO(b"x")) == 0
    with Path(os.devnull).open("rb") as file:
        assert bulk._size(file) == 0
