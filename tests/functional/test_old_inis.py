"""The sample ini files of factored 1.x to 4.x start with nothing changed but the secret."""

from __future__ import annotations

import contextlib
import logging
import re
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from paste.deploy import loadapp, loadserver

from factored import app as composition
from factored import plugins, settings
from factored.interfaces import ConfigurationError
from factored.old_keys import WITHOUT_MEANING
from factored.scripts import inifile
from factored.scripts.main import initializedb
from tests.support import TICKET_SECRET, Browser, factored

SAMPLES = Path(__file__).parent.parent / "samples"

WITHOUT_URL = "allowgooglecodereminder: no button without public_url, which the link needs"
INSECURE = "auth_tkt.secure = false: fit for a trial, not for a site on the net"


def without_meaning(*keys: str) -> list[str]:
    return [f"{key} has no meaning any more: {WITHOUT_MEANING[key]}" for key in keys]


STARTING = {
    "1.0-proxy.ini": ("", "/auth", [INSECURE]),
    "1.2-sql.ini": ("", "/auth", [WITHOUT_URL, INSECURE]),
    "4.x-sql.ini": ("", "/auth", [WITHOUT_URL, INSECURE]),
    "4.x-develop.ini": ("", "/auth", [WITHOUT_URL, INSECURE]),
    "4.x-noproxy.ini": ("", "/auth", [WITHOUT_URL, INSECURE]),
    "4.x-composite.ini": ("/admin", "/admin/auth", [INSECURE]),
    "4.x-pipeline.ini": (
        "",
        "/admin/auth",
        [
            *without_meaning("urlscheme", "auth_tkt.timeout", "auth_tkt.max_age", "auth_tkt.debug",
                             "em.salt", "em.url_remember"),
            "formtext.error.invalid_username_code is shown nowhere: no page has that error",
            *without_meaning("db_factory_name", "configure_db", "db_session_id"),
            INSECURE,
        ],
    ),
}  # fmt: skip
"""Sample -> where it is protected, where its login pages are, and what its start warns of."""

REFUSED = {
    "3.x-develop.ini": ["auth_tkt.hashalg: 'md5' must be sha512 or sha256"],
    "4.x-ldap-sms.ini": [
        *(
            f"sms.{rest}: SMS is not in this release; remove the sms.* keys"
            for rest in ("auth_window", "userlist", "msg_tmpl", "plivo_auth_id",
                         "plivo_auth_token", "plivo_phone_number")
        ),
        "autouserfinder: 'LDAP Users' is not in this release",
    ],
}  # fmt: skip
"""Sample -> why it does not start."""


class Kept(logging.Handler):
    """Keeps what is said; not on the root logger, whose handlers an ini may change."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler, logger = Kept(), logging.getLogger("factored")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@dataclass
class OldInis:
    """A folder like that of an old site, to start its ini in."""

    folder: Path
    kept: Kept
    gates: list[Any] = field(default_factory=list)

    def copy(self, name: str, secret: str | None = TICKET_SECRET) -> Path:
        """sample, secret -> a copy with nothing changed but that"""
        text = (SAMPLES / name).read_text("utf-8")
        if secret is not None:
            text, count = re.subn("(?m)^auth_tkt.secret = .*", f"auth_tkt.secret = {secret}", text)
            assert count == 1
        with contextlib.closing(sqlite3.connect(self.folder / "users.db")) as people:
            people.execute("CREATE TABLE users (email TEXT)")
        path = self.folder / name
        path.write_text(text, "utf-8")
        return path

    def load(self, path: Path) -> Browser:
        self.kept.said.clear()
        return Browser(loadapp(f"config:{path}"))


@pytest.fixture
def old(tmp_path: Path, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> Iterator[OldInis]:
    made = OldInis(tmp_path, kept)
    build: Callable[..., Any] = composition.build

    def keeping(*args: Any, **kw: Any) -> Any:
        made.gates.append(build(*args, **kw))
        return made.gates[-1]

    monkeypatch.setattr(composition, "build", keeping)
    # An ini that sets up logging would do so for all tests that follow.
    monkeypatch.setattr(inifile, "set_up_logging", lambda path: None)
    yield made
    for gate in made.gates:
        gate.close()


def test_every_sample_is_tried() -> None:
    assert {path.name for path in SAMPLES.glob("*.ini")} == {*STARTING, *REFUSED}


@pytest.mark.parametrize("name", STARTING)
def test_an_old_ini_starts_and_shows_the_login_form(old: OldInis, name: str) -> None:
    protected, base, warned = STARTING[name]
    ini = old.copy(name)
    assert factored("init", str(ini)) == 0
    web = old.load(ini)
    assert old.kept.said == warned
    answer = web.get(f"{protected}/page?a=1")
    login = f"{base}?referrer={protected}/page%3Fa%3D1"
    assert (answer.status_int, answer.headers["Location"]) == (302, login)
    assert web.get(login).status_int in (200, 302)
    first = web.get(login.replace("?", "/ga?", 1))
    first.form["username"] = "foo@bar.com"
    second = first.form.submit("submit", value="username")
    assert "code" in second.form.fields
    assert second.form["referrer"].value == f"{protected}/page?a=1"
    assert callable(loadserver(f"config:{ini}"))


def test_the_name_of_1_x_for_init_does_the_same(
    old: OldInis, monkeypatch: pytest.MonkeyPatch
) -> None:
    ini = old.copy("1.0-proxy.ini")
    monkeypatch.setattr(sys, "argv", ["initializedb", str(ini)])
    assert initializedb() == 0
    assert old.load(ini).get("/auth/ga").form["username"].value == ""


@pytest.mark.parametrize("name", [*STARTING, *REFUSED])
def test_with_the_secret_of_the_sample_nothing_starts(
    old: OldInis, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    ini = old.copy(name, secret=None)
    assert factored("init", str(ini)) == 1
    told = capsys.readouterr().err.removeprefix("factored: ").splitlines()
    about_the_secret = [one for one in told if one.startswith("auth_tkt.secret: it ")]
    assert len(about_the_secret) == 1
    assert set(told) - set(about_the_secret) == set(REFUSED.get(name, ()))
    assert not (old.folder / "test.db").exists()


@pytest.mark.parametrize("name", REFUSED)
def test_an_old_ini_that_cannot_be_taken_says_why(
    old: OldInis, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    ini = old.copy(name)
    assert factored("init", str(ini)) == 1
    assert capsys.readouterr().err.removeprefix("factored: ").splitlines() == REFUSED[name]
    refused = r"(?m)^(auth_tkt\.hashalg|sms\.|autouserfinder = LDAP|autouserfinder\.[^v]).*\n"
    ini.write_text(re.sub(refused, "", ini.read_text("utf-8")), "utf-8")
    assert factored("init", str(ini)) == 0
    assert old.load(ini).get("/auth/ga").form["username"].value == ""


# -- what the keys mean now ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({"auth_tkt.timeout": "600"}, 600),
        ({"auth_tkt.timeout": "600", "auth_timeout": "1200"}, 1200),
        ({"auth_tkt.timeout": "1200", "auth_timeout": ""}, 7200),
        ({"auth_tkt.timeout": ""}, 7200),
    ],
)
def test_the_time_of_1_0_counts_until_auth_timeout_is_set(
    old: OldInis, given: dict[str, str], seconds: int
) -> None:
    smallest = {"auth_tkt.secret": TICKET_SECRET, "sqlalchemy.url": "sqlite:///x"}
    found = settings.parse({**smallest, **given}, here=old.folder, require_files=False)
    assert found.auth_timeout == seconds
    assert len(old.kept.said) == len(given) - 1


def test_a_time_of_1_0_that_is_none_is_refused(old: OldInis) -> None:
    smallest = {"auth_tkt.secret": TICKET_SECRET, "sqlalchemy.url": "sqlite:///x"}
    with pytest.raises(ConfigurationError, match="auth_timeout: 'ever' must be a whole number"):
        settings.parse(
            {**smallest, "auth_tkt.timeout": "ever"}, here=old.folder, require_files=False
        )


@pytest.mark.parametrize("missing", [["pyramid_tm"], ["pyramid_mailer", "pyramid_tm"]])
def test_what_only_the_old_release_needed_may_be_missing(
    old: OldInis, monkeypatch: pytest.MonkeyPatch, missing: list[str]
) -> None:
    ini = old.copy("4.x-develop.ini")
    assert factored("init", str(ini)) == 0
    importable = plugins.importable
    monkeypatch.setattr(plugins, "importable", lambda one: one not in missing and importable(one))
    monkeypatch.setitem(sys.modules, "pyramid_tm", None)  # including it would be an error
    web = old.load(ini)
    warned = [f"pyramid.includes: {one} is not installed; factored does not need it"
              for one in missing]  # fmt: skip
    assert [one for one in old.kept.said if one.startswith("pyramid")] == warned
    assert web.get("/auth/ga").status_int == 200


def test_another_package_that_is_missing_stops_the_start(
    old: OldInis, capsys: pytest.CaptureFixture[str]
) -> None:
    ini = old.copy("4.x-develop.ini")
    ini.write_text(ini.read_text().replace("    pyramid_tm\n", "    pyramid_no_such\n"))
    assert factored("init", str(ini)) == 0
    capsys.readouterr()
    with pytest.raises(SystemExit):
        old.load(ini)
    assert "pyramid.includes: 'pyramid_no_such' is not installed" in capsys.readouterr().err
    assert factored("check", str(ini)) == 1
