"""The operator's commands: what they do, print, and answer when they cannot."""

from __future__ import annotations

import json
import os
import re
import socketserver
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pyotp
import pytest
from paste.deploy.loadwsgi import APP, loadcontext

from factored import __version__
from factored.codes import new_key
from factored.scripts import inifile
from factored.store import schema
from tests.support import (
    TICKET_SECRET,
    FixedClock,
    Site,
    factored,
    settings_for,
    write_ini,
)

AL, BO = "--username=al@example.com", "--username=Bo"
DONE, FAILED, USAGE, NO_SUCH_USER, EXISTS = range(5)


@pytest.fixture
def ini(tmp_path: Path) -> str:
    """An ini whose site is not made yet."""
    return str(write_ini(tmp_path, settings_for(tmp_path)))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """-> function: command line -> exit status, stdout, stderr"""

    def call(*argv: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = factored(*argv)
        return status, *capsys.readouterr()

    return call


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def made(ini: str, run: Run) -> str:
    """The ini of a site that is made, with one user."""
    assert run("init", ini)[0] == DONE
    assert run("user", "add", ini, AL)[0] == DONE
    return ini


def document(answer: tuple[int, str, str]) -> Any:
    """-> the one JSON document on stdout of a command that was done"""
    status, out, err = answer
    assert status == DONE, err
    assert out.count("\n") == 1
    return json.loads(out)


# -- init ------------------------------------------------------------------------------------------


def test_init_makes_the_database_and_the_key_files_for_their_owner_alone(
    tmp_path: Path, run: Run
) -> None:
    secret_file = tmp_path / "sub" / "secret"
    given = settings_for(tmp_path, auth_tkt__secret=None, auth_tkt__secret_file=str(secret_file))
    ini = str(write_ini(tmp_path, given))
    old = os.umask(0)
    try:
        told = document(run("init", ini, "--json"))
    finally:
        os.umask(old)
    assert told == {
        "database": f"sqlite:///{tmp_path}/factored.sqlite", "revision": schema.HEAD, "adopted": 0,
    }  # fmt: skip
    for path in (tmp_path / "factored.key", secret_file, tmp_path / "factored.sqlite"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for path in (tmp_path / "factored.key", secret_file):
        assert len(path.read_text().strip()) == 43


def test_init_twice_changes_nothing(made: str, run: Run, tmp_path: Path) -> None:
    key = (tmp_path / "factored.key").read_text()
    assert document(run("init", made, "--json"))["adopted"] == 0
    assert (tmp_path / "factored.key").read_text() == key
    assert run("user", "list", made)[1] == "al@example.com\n"


def test_init_does_not_replace_a_key_file_that_users_need(
    made: str, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "factored.key").unlink()
    status, out, err = run("init", made, "--json")
    assert (status, out) == (FAILED, "")
    assert "put it back from a backup" in err
    assert not (tmp_path / "factored.key").exists()


def test_init_makes_a_new_key_file_while_there_are_no_users(
    ini: str, run: Run, tmp_path: Path
) -> None:
    for _ in range(2):
        assert run("init", ini)[0] == DONE
        (tmp_path / "factored.key").unlink()


# -- users -----------------------------------------------------------------------------------------


def test_adding_a_user_tells_what_an_authenticator_app_needs(made: str, run: Run) -> None:
    told = document(run("user", "add", made, BO, "--json"))
    assert set(told) == {"username", "secret", "uri"}
    assert told["username"] == "Bo"
    parsed = pyotp.parse_uri(told["uri"])
    assert (parsed.secret, parsed.name, parsed.issuer) == (told["secret"], "Bo", "factored")
    assert len(told["secret"]) == 32


def test_adding_a_user_shows_a_qr_code_the_secret_and_the_uri(made: str, run: Run) -> None:
    status, out, err = run("user", "add", made, BO)
    assert status == DONE
    assert "\u2588" in out
    secret, uri = out.splitlines()[-2:]
    assert secret.startswith("secret: ")
    assert uri.startswith("uri: otpauth://totp/factored:Bo?secret=" + secret[8:])
    assert "Bo can log in" in err


@pytest.mark.parametrize(("name", "magic"), [("q.png", b"\x89PNG"), ("Q.SVG", b"<?xml")])
def test_the_qr_code_may_go_into_a_picture_that_only_its_owner_reads(
    made: str, run: Run, tmp_path: Path, name: str, magic: bytes
) -> None:
    picture = tmp_path / name
    assert document(run("user", "add", made, BO, f"--qr={picture}", "--json"))
    assert picture.read_bytes().startswith(magic)
    assert stat.S_IMODE(picture.stat().st_mode) == 0o600


def test_a_picture_that_is_there_is_not_written_over_and_nobody_is_added(
    made: str, run: Run, tmp_path: Path
) -> None:
    picture = tmp_path / "q.png"
    picture.write_text("mine")
    status, out, err = run("user", "add", made, BO, f"--qr={picture}")
    assert (status, out) == (FAILED, "")
    assert str(picture) in err
    assert picture.read_text() == "mine"
    assert run("user", "show", made, BO)[0] == NO_SUCH_USER


def test_a_user_who_cannot_be_added_leaves_no_picture(made: str, run: Run, tmp_path: Path) -> None:
    picture = tmp_path / "q.png"
    assert run("user", "add", made, AL, f"--qr={picture}")[0] == EXISTS
    assert not picture.exists()


@pytest.mark.parametrize("name", ["al@example.com", "AL@Example.COM", " al@example.com "])
def test_no_spelling_of_a_name_is_added_twice(made: str, run: Run, name: str) -> None:
    status, out, err = run("user", "add", made, f"--username={name}", "--json")
    assert (status, out) == (EXISTS, "")
    assert "is a user already" in err


@pytest.mark.parametrize("name", ["", " ", "a!b", "a@b@c", "a\nb", "x" * 255])
def test_what_cannot_be_a_name_is_not_added(made: str, run: Run, name: str) -> None:
    status, out, err = run("user", "add", made, f"--username={name}", "--json")
    assert (status, out) == (FAILED, "")
    assert err.startswith("factored: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("verb", ["show", "remove", "unlock", "reset", "disable", "enable"])
@pytest.mark.parametrize("name", ["nobody", "a!b", ""])
def test_a_name_that_nobody_has_is_status_3(made: str, run: Run, verb: str, name: str) -> None:
    status, out, err = run("user", verb, made, f"--username={name}", "--json")
    assert (status, out) == (NO_SUCH_USER, "")
    assert "is no user" in err


def test_users_are_listed_by_name_without_secrets(made: str, run: Run) -> None:
    assert run("user", "add", made, BO)[0] == DONE
    assert run("user", "list", made)[1] == "al@example.com\nBo\n"
    told = document(run("user", "list", made, "--json"))
    assert [one["username"] for one in told] == ["al@example.com", "Bo"]
    assert "secret" not in json.dumps(told)


def test_a_user_is_shown_in_any_spelling_and_the_secret_only_if_asked(made: str, run: Run) -> None:
    secret = document(run("user", "add", made, BO, "--json"))["secret"]
    plain = document(run("user", "show", made, "--username=BO", "--json"))
    assert (plain["username"], plain["schemes"]) == ("Bo", ["Google Auth"])
    assert secret not in json.dumps(plain)
    asked = document(run("user", "show", made, BO, "--json", "--show-secret"))
    assert asked["secret"] == secret
    assert asked["uri"].startswith("otpauth://totp/factored:Bo?")
    text = run("user", "show", made, BO)[1]
    assert "user name:  Bo" in text
    assert "last used never" in text
    assert secret not in text
    assert f"secret: {secret}" in run("user", "show", made, BO, "--show-secret")[1]


def test_a_removed_user_is_gone_and_the_message_says_what_happens(made: str, run: Run) -> None:
    assert document(run("user", "remove", made, "--username=AL@example.com", "--json")) == {
        "username": "al@example.com"
    }
    assert run("user", "list", made)[1] == ""
    assert run("user", "add", made, AL)[0] == DONE
    assert "open tickets end within 5 seconds" in run("user", "remove", made, AL)[2]


def test_removing_says_so_if_a_finder_would_let_the_user_come_back(
    tmp_path: Path, run: Run
) -> None:
    changed = {"autouserfinder": "Email Domain", "autouserfinder__valid_domains": "example.com"}
    ini = str(write_ini(tmp_path, settings_for(tmp_path, **changed)))
    for command in (("init", ini), ("user", "add", ini, AL)):
        assert run(*command)[0] == DONE
    assert "may let al@example.com come back" in run("user", "remove", ini, AL)[2]


@pytest.mark.parametrize(
    ("public_url", "start"),
    [(None, "/auth/unlock/"), ("https://x.example", "https://x.example/auth/unlock/")],
)
def test_unlocking_prints_a_link(
    tmp_path: Path, run: Run, public_url: str | None, start: str
) -> None:
    ini = str(write_ini(tmp_path, settings_for(tmp_path, public_url=public_url)))
    for command in (("init", ini), ("user", "add", ini, AL)):
        assert run(*command)[0] == DONE
    told = document(run("user", "unlock", ini, AL, "--json"))
    assert told["username"] == "al@example.com"
    assert told["url"].startswith(start)
    _, out, err = run("user", "unlock", ini, AL)
    assert out.startswith(start)
    assert ("public_url is not set" in err) is (public_url is None)
    assert told["url"] not in out


def test_a_reset_prints_an_enrolment_link_and_leaves_the_secret(made: str, run: Run) -> None:
    before = document(run("user", "show", made, AL, "--json", "--show-secret"))
    told = document(run("user", "reset", made, AL, "--json"))
    assert told["username"] == "al@example.com"
    assert re.fullmatch(r"/auth/enrol/[\w-]{32}", told["url"])
    assert document(run("user", "show", made, AL, "--json", "--show-secret")) == before
    _, out, err = run("user", "reset", made, AL)
    assert re.fullmatch(r"/auth/enrol/[\w-]{32}\n", out)
    assert "Open tickets of al@example.com end within 5 seconds." in err


def test_a_disabled_user_is_shown_as_such_until_enabled(made: str, run: Run) -> None:
    assert document(run("user", "disable", made, AL, "--json")) == {"username": "al@example.com"}
    since = document(run("user", "show", made, AL, "--json"))["disabled"]
    assert since is not None
    for verb in ("reset", "unlock"):
        status, out, err = run("user", verb, made, AL)
        assert (status, out) == (FAILED, "")
        assert "is disabled; `factored user enable` comes first" in err
    assert "cannot log in any more" in run("user", "disable", made, AL)[2]
    assert document(run("user", "show", made, AL, "--json"))["disabled"] == since
    assert "can log in again" in run("user", "enable", made, AL)[2]
    assert document(run("user", "show", made, AL, "--json"))["disabled"] is None
    assert run("user", "reset", made, AL)[0] == DONE


def test_what_strangers_used_up_is_shown(site: Site) -> None:
    assert "last login: never" in site.command("user", "show", AL)
    for number in range(3):
        for _ in range(4):
            site.attempt(site.wrong_code(), site.browser(f"198.51.100.{number}"))
    shown = json.loads(site.command("user", "show", AL, "--json"))
    totp, email, recovery, mail = shown["budgets"]
    assert recovery["budget"] == "recovery"
    day, month = 86400, 30 * 86400
    assert totp["limits"] == [
        {"count": 10, "window_s": day, "used": 10},
        {"count": 25, "window_s": month, "used": 10},
    ]
    until = datetime.fromisoformat(totp["locked_until"]).timestamp()
    assert until == site.clock.now_s() + day
    assert [one["used"] for one in email["limits"]] == [0, 0]
    assert (email["locked_until"], mail["budget"], mail["locked_until"]) == (None, "mail", None)
    text = site.command("user", "show", AL)
    assert "totp:       10 of 10 in 1 day, 10 of 25 in 30 days; locked for new devices" in text
    assert "mail:       0 of 3 in 10 minutes, 0 of 10 in 1 day\n" in text


def test_the_last_login_is_shown(site: Site) -> None:
    site.login()
    shown = json.loads(site.command("user", "show", AL, "--json"))
    assert shown["last_login"] == shown["authenticators"][0]["last_used"]
    assert f"last login: {shown['last_login']}" in site.command("user", "show", AL)


# -- the names of 1.x ------------------------------------------------------------------------------

SHORT = {
    "initializedb": ["--json"],
    "adduser": [AL, "--json"],
    "listusers": ["--json"],
    "listuserinfo": [AL, "--json"],
    "removeuser": [AL, "--json"],
}


@pytest.mark.parametrize("prefix", ["", "factored_"])
def test_the_names_of_1_x_do_what_they_did(
    ini: str, prefix: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {}
    for name, options in SHORT.items():
        (script,) = entry_points(group="console_scripts", name=prefix + name)
        monkeypatch.setattr(sys, "argv", [prefix + name, ini, *options])
        assert script.load()() == DONE
        answers[name] = json.loads(capsys.readouterr().out)
    assert answers["initializedb"]["revision"] == schema.HEAD
    assert answers["adduser"]["username"] == "al@example.com"
    assert [one["username"] for one in answers["listusers"]] == ["al@example.com"]
    assert answers["listuserinfo"]["schemes"] == ["Google Auth"]
    assert answers["removeuser"] == {"username": "al@example.com"}


# -- keys ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", ["key_file", "auth_tkt.secret_file"])
def test_a_key_is_added_and_then_promoted(tmp_path: Path, run: Run, of: str) -> None:
    path = tmp_path / ("factored.key" if of == "key_file" else "secret")
    given = settings_for(
        tmp_path, auth_tkt__secret=None, auth_tkt__secret_file=f"{tmp_path}/secret"
    )
    ini = str(write_ini(tmp_path, given))
    assert run("init", ini)[0] == DONE
    assert run("user", "add", ini, AL)[0] == DONE
    first = path.read_text().strip()

    def keys() -> list[str]:
        return [line for line in path.read_text().splitlines() if not line.startswith("#")]

    assert run("keys", "promote", ini, f"--of={of}")[0] == FAILED
    assert document(run("keys", "add", ini, f"--of={of}", "--json")) == {
        "file": str(path),
        "of": of,
    }
    assert keys()[0] == first
    second = keys()[1]
    status, _, err = run("keys", "add", ini, f"--of={of}")
    assert status == FAILED
    assert "pending already" in err
    assert run("keys", "promote", ini, f"--of={of}")[0] == DONE
    assert keys() == [second, first]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert run("user", "show", ini, AL, "--show-secret")[0] == DONE


def test_after_reencrypting_the_oldest_key_may_go(made: str, run: Run, tmp_path: Path) -> None:
    key_file = tmp_path / "factored.key"
    secret = document(run("user", "add", made, BO, "--json"))["secret"]
    for verb in ("add", "promote"):
        assert run("keys", verb, made)[0] == DONE
    done = document(run("keys", "reencrypt", made, "--json"))
    assert done == {"reencrypted": 2, "unreadable": []}
    key_file.write_text(key_file.read_text().splitlines()[0] + "\n")
    shown = document(run("user", "show", made, BO, "--json", "--show-secret"))
    assert shown["secret"] == secret
    assert "secrets under the newest key: 2" in run("keys", "reencrypt", made)[2]


def test_what_no_key_can_read_is_named_and_left(made: str, run: Run, tmp_path: Path) -> None:
    key_file = tmp_path / "factored.key"
    old = key_file.read_text()
    key_file.write_text(new_key() + "\n")
    assert run("user", "add", made, BO)[0] == DONE
    status, out, err = run("keys", "reencrypt", made, "--json")
    assert status == FAILED
    assert json.loads(out) == {"reencrypted": 1, "unreadable": ["al@example.com"]}
    assert "al@example.com: the secret cannot be read" in err
    key_file.write_text(key_file.read_text() + old)
    assert run("keys", "reencrypt", made)[0] == DONE


def test_a_secret_that_stands_in_the_ini_is_not_rotated_for_one(made: str, run: Run) -> None:
    status, _, err = run("keys", "add", made, "--of=auth_tkt.secret_file")
    assert status == FAILED
    assert "by hand in the ini" in err


# -- check -----------------------------------------------------------------------------------------


def checks(run: Run, ini: str) -> dict[str, tuple[bool, str]]:
    status, out, _ = run("check", ini, "--json")
    told = json.loads(out)
    assert told["ok"] is (status == DONE)
    assert all(set(one) == {"name", "ok", "detail"} for one in told["checks"])
    return {one["name"]: (one["ok"], one["detail"]) for one in told["checks"]}


def test_check_has_one_line_for_everything_that_a_site_stands_on(made: str, run: Run) -> None:
    status, out, err = run("check", made)
    assert (status, err) == (DONE, "")
    assert all(line.startswith("ok    ") for line in out.splitlines())
    assert set(checks(run, made)) >= {
        "settings", "database", "schema", "key_file", "mail", "clock",
    }  # fmt: skip


def test_check_says_what_is_wrong_and_what_to_do(made: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "factored.key").chmod(0o644)
    status, out, _ = run("check", made)
    assert status == FAILED
    assert f"FAIL  key_file: {tmp_path}/factored.key can be read by others: chmod 600" in out
    (tmp_path / "factored.key").unlink()
    (tmp_path / "factored.sqlite").unlink()
    found = checks(run, made)
    for name in ("key_file", "database", "schema"):
        assert found[name][0] is False
        assert "factored init" in found[name][1]
    assert not (tmp_path / "factored.sqlite").exists()


def test_check_lists_every_bad_setting(tmp_path: Path, run: Run) -> None:
    given = settings_for(tmp_path, auth_timout="5", hsts="maybe", auth_tkt__secret="REPLACEME")
    status, out, _ = run("check", str(write_ini(tmp_path, given)))
    assert status == FAILED
    assert out.count("FAIL  settings: ") == 3
    assert "did you mean auth_timeout?" in out
    assert "'maybe'" in out


@pytest.mark.parametrize(
    ("changed", "name", "ok", "detail"),
    [
        ({"mail__host": "debug"}, "mail", True, "console"),
        ({"mail__host": "127.0.0.1", "mail__port": "1"}, "mail", False, "127.0.0.1"),
        ({"mail__host": "127.0.0.1", "mail__port": "x"}, "mail", False, "127.0.0.1"),
        ({"mail__host": "127.0.0.1", "mail__port": "1", "mail__ssl": "true"}, "mail", False, "127"),
        ({"trusted_proxies": "10.0.0.1"}, "trusted_proxies", True, "trusted_proxy"),
        ({"allowgooglecodereminder": "true"}, "notice", True, "public_url"),
        ({"supported_auth_schemes": "No Such"}, "settings", False, "'No Such' is not installed"),
    ],
)
def test_check_knows_more_than_whether_it_starts(
    made: str, tmp_path: Path, run: Run, changed: dict[str, str], name: str, ok: bool, detail: str
) -> None:
    changed = {"auth_tkt__secure": "true", **changed}
    found = checks(run, str(write_ini(tmp_path, settings_for(tmp_path, **changed))))
    assert found[name][0] is ok
    assert detail in found[name][1]


@pytest.fixture
def smtp_port() -> Iterator[int]:
    """The port of a mail server on every address, which knows no TLS."""

    class Session(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 mail.example\r\n")
            for line in self.rfile:
                known = {b"EHLO": b"250 hello", b"NOOP": b"250 ok", b"QUIT": b"221 bye"}
                self.wfile.write(known.get(line[:4].upper(), b"502 what?") + b"\r\n")

    with socketserver.ThreadingTCPServer(("", 0), Session) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.parametrize(
    ("host", "tls", "ok", "detail"),
    [
        ("127.0.0.1", "false", True, "127.0.0.1:{port} answers"),
        ("127.0.0.2", "false", True, "127.0.0.2:{port} answers"),
        ("0.0.0.0", "false", True, "warning: mails to 0.0.0.0:{port} travel in clear text"),
        ("127.0.0.1", "true", False, "127.0.0.1 cannot be used: "),
    ],
)
def test_check_says_hello_to_the_mail_server(
    made: str, tmp_path: Path, run: Run, smtp_port: int, host: str, tls: str, ok: bool, detail: str
) -> None:
    changed = {"mail__host": host, "mail__port": str(smtp_port), "mail__tls": tls}
    found = checks(run, str(write_ini(tmp_path, settings_for(tmp_path, **changed))))
    assert found["mail"][0] is ok
    assert found["mail"][1].startswith(detail.format(port=smtp_port))


def test_check_tells_when_the_clock_is_wrong(
    made: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("factored.scripts.installation.SystemClock", lambda: FixedClock(1000))
    assert checks(run, made)["clock"] == (
        False,
        "is in the past: set up time synchronisation (NTP)",
    )


# -- which ini, which section ----------------------------------------------------------------------

MAIN = "use = egg:factored#main\nsqlalchemy.url = sqlite:////no/such.sqlite\n"
BAD_INIS: dict[str, tuple[str | bytes | None, str]] = {
    "missing": (None, "x.ini is not there"),
    "none of ours": ("[app:main]\nuse = egg:factored#hello\n", "no section that uses egg:factored"),
    "two of ours": (f"[app:a]\n{MAIN}[filter:b]\n{MAIN}", "several sections"),
    "no ini": ("just text\n", "x.ini"),
    "bad interpolation": (f"[app:main]\n{MAIN}appname = 100%\n", "x.ini"),
    "twice": (f"[app:main]\n{MAIN}[app:main]\n{MAIN}", "x.ini"),
    "not text": (b"[app:main]\nuse = \xff\xfe\n", "not a text file"),
    "empty": ("", "no section"),
}


@pytest.mark.parametrize("kind", BAD_INIS)
@pytest.mark.parametrize("command", [("init",), ("check",), ("user", "list")])
def test_an_ini_that_cannot_be_used_is_told_in_one_line(
    tmp_path: Path, run: Run, kind: str, command: tuple[str, ...]
) -> None:
    path = tmp_path / "x.ini"
    content, told = BAD_INIS[kind]
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    status, out, err = run(*command, str(path))
    assert (status, out) == (FAILED, "")
    assert err.startswith("factored: ")
    assert err.count("\n") == 1
    assert told in err


def test_a_folder_is_no_ini(tmp_path: Path, run: Run) -> None:
    status, _, err = run("init", str(tmp_path))
    assert (status, err.count("\n")) == (FAILED, 1)


@pytest.mark.parametrize("missing", ["factored.key", "factored.sqlite"])
@pytest.mark.parametrize("command", [("user", "list"), ("user", "add"), ("user", "show")])
def test_a_missing_file_is_told_in_one_line(
    made: str, tmp_path: Path, run: Run, missing: str, command: tuple[str, ...]
) -> None:
    (tmp_path / missing).unlink()
    options = [AL] if command[1] != "list" else []
    status, out, err = run(*command, made, *options)
    assert (status, out, err.count("\n")) == (FAILED, "", 1)
    assert f"{missing} is not there; `factored init` makes it" in err


def test_a_database_without_our_tables_is_told_in_one_line(
    ini: str, tmp_path: Path, run: Run
) -> None:
    (tmp_path / "factored.sqlite").touch()
    (tmp_path / "factored.key").write_text("A" * 43)
    status, out, err = run("user", "list", ini)
    assert (status, out, err.count("\n")) == (FAILED, "", 1)
    assert "run `factored init`" in err


@pytest.mark.parametrize("section", ["filter-app:one", "filter:one", "app:one", "one"])
def test_the_section_may_be_of_every_kind_and_is_picked_by_name(
    tmp_path: Path, run: Run, section: str
) -> None:
    parts = []
    for name in (section, section.replace("one", "two")):
        given = settings_for(tmp_path, sqlalchemy__url=f"sqlite:///{tmp_path}/{name[-3:]}.sqlite")
        lines = "".join(f"{key} = {text}\n" for key, text in given.items())
        parts.append(f"[{name}]\nuse = egg:factored\n{lines}\n")
    path = tmp_path / "x.ini"
    path.write_text("".join(parts))
    if section == "one":
        assert run("init", f"{path}#one")[0] == DONE
        return
    status, _, err = run("init", str(path))
    assert status == FAILED
    assert "x.ini#one or x.ini#two" in err
    for wanted in ("one", section, "two"):
        assert run("init", f"{path}#{wanted}")[0] == DONE
    assert sorted(one.name for one in tmp_path.glob("*.sqlite")) == ["one.sqlite", "two.sqlite"]
    status, _, err = run("init", f"{path}#three")
    assert (status, err.count("\n")) == (FAILED, 1)
    assert f"it has: {section}" in err


@pytest.mark.parametrize(
    ("defaults", "options"),
    [
        ("", "appname = One"),
        ("appname = Default", "hsts = true"),
        ("appname = Default\nother = x", "appname = One"),
        ("shared = From default", "get appname = shared"),
        ("", "set shared = Set here\nget appname = shared"),
        ("shared = From default", "set shared = Set here\nget appname = shared"),
        ("", "set debug = true\nappname = %(here)s"),
        ("name = Inter", "appname = %(name)s polated 100%%"),
        ("", "appname = two\n    lines\n\n    and more\n# comment\nhsts = true"),
        ("", "Appname = case kept"),
        ("", "appname: colon"),
    ],
)
def test_the_commands_read_a_section_as_pastedeploy_does(
    tmp_path: Path, defaults: str, options: str
) -> None:
    path = tmp_path / "x.ini"
    path.write_text(f"[DEFAULT]\n{defaults}\n[app:main]\nuse = egg:factored#main\n{options}\n")
    context = loadcontext(APP, f"config:{path}", name="main")
    assert inifile.read(str(path)).given == context.local_conf


# -- the command line itself -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("user",),
        ("nonsense",),
        ("init",),
        ("user", "add", "x.ini"),
        ("user", "add", "x.ini", "--qr=x.gif", AL),
        ("keys", "add", "x.ini", "--of=all"),
        ("init", "x.ini", "--nonsense"),
    ],
)
def test_a_wrong_command_line_is_status_2(run: Run, argv: tuple[str, ...]) -> None:
    status, out, err = run(*argv)
    assert (status, out) == (USAGE, "")
    assert "usage: factored" in err


@pytest.mark.parametrize("argv", [("--help",), ("init", "--help"), ("user", "add", "--help")])
def test_help_shows_an_example(run: Run, argv: tuple[str, ...]) -> None:
    status, out, _ = run(*argv)
    assert status == DONE
    assert "production.ini" in out


def test_the_version_is_told(run: Run) -> None:
    assert run("--version") == (DONE, f"factored {__version__}\n", "")


def test_no_command_prints_the_ticket_secret_or_a_key(made: str, run: Run, tmp_path: Path) -> None:
    key = (tmp_path / "factored.key").read_text().strip()
    for command in (("check",), ("user", "list"), ("user", "show", AL), ("init",), ("keys", "add")):
        verbs = [word for word in command if not word.startswith("-")]
        options = [word for word in command if word.startswith("-")]
        _, out, err = run(*verbs, made, *options)
        assert TICKET_SECRET not in out + err
        assert key not in out + err


def test_a_command_that_is_interrupted_says_so(
    made: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(uri: str) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(inifile, "read", interrupt)
    assert run("check", made) == (FAILED, "", "factored: interrupted\n")


def test_check_names_every_problem_at_once_as_the_start_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ini = write_ini(
        tmp_path,
        settings_for(tmp_path, supported_auth_schemes="Gogle Auth", auth_tkt__secure="maybe"),
    )
    assert factored("check", str(ini), "--json") == 1
    details = " ".join(one["detail"] for one in json.loads(capsys.readouterr().out)["checks"])
    assert "'Gogle Auth' is not installed" in details
    assert "auth_tkt.secure" in details


def test_a_terminal_without_utf8_stops_no_command_half_way(tmp_path: Path) -> None:
    ini = write_ini(tmp_path, settings_for(tmp_path))
    assert factored("init", str(ini)) == 0
    code = "import sys; from factored.scripts.main import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "user", "add", str(ini), "--username=zo\u00eb"],
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"secret: " in done.stdout


def test_what_the_ini_logs_to_stdout_does_not_spoil_the_json(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ini = write_ini(tmp_path, settings_for(tmp_path))
    logging_sections = """
[loggers]
keys = root
[handlers]
keys = out
[formatters]
keys =
[logger_root]
level = INFO
handlers = out
[handler_out]
class = StreamHandler
args = (sys.stdout,)
"""
    ini.write_text(ini.read_text() + logging_sections)
    code = "import sys; from factored.scripts.main import main; sys.exit(main())"
    for words in (["init", str(ini)], ["user", "add", str(ini), "--username=al"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *words, "--json"], capture_output=True, check=True
        )
        assert isinstance(json.loads(done.stdout), dict)
        if words[0] == "user":
            assert b"event=enrolment" in done.stderr
