"""What tests of every kind share: a clock that stands still, an ini on disk, a browser's steps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyotp
from webtest import TestApp, TestResponse

from factored import app as composition
from factored.scripts.main import main as factored_command

TICKET_SECRET = "a-ticket-secret-for-tests-0123456789abcdef"
NOW_S = 1_800_000_000
NAME = "al@example.com"


class FixedClock:
    """A clock that moves when a test says so."""

    def __init__(self, now_s: float = NOW_S) -> None:
        self.time_s = now_s

    def now_s(self) -> float:
        return self.time_s

    def monotonic_s(self) -> float:
        return self.time_s

    def advance(self, seconds: float) -> None:
        self.time_s += seconds


def settings_for(folder: Path, **changed: str) -> dict[str, str]:
    """folder -> ini strings of a small site; ``__`` in a keyword stands for a dot"""
    given = {
        "auth_tkt.secret": TICKET_SECRET,
        "auth_tkt.secure": "false",
        "key_file": str(folder / "factored.key"),
        "sqlalchemy.url": f"sqlite:///{folder / 'factored.sqlite'}",
    }
    given.update({name.replace("__", "."): text for name, text in changed.items()})
    return given


def write_ini(folder: Path, given: Mapping[str, str], name: str = "site.ini") -> Path:
    """folder, settings -> an ini file with the demo downstream behind them"""
    lines = ["[app:demo]", "use = egg:factored#hello", "", "[filter-app:main]"]
    lines += ["use = egg:factored#main", "next = demo"]
    for key, text in given.items():
        lines.append(f"{key} = " + text.replace("%", "%%").replace("\n", "\n    "))
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


@dataclass
class Site:
    """A gate built from settings, with a user, as WebTest app; its clock stands still."""

    web: TestApp
    clock: FixedClock
    ini: Path
    given: dict[str, str]
    secret: str

    def code(self, offset_steps: int = 0) -> str:
        """-> what the user's app shows now, or some steps from now"""
        return pyotp.TOTP(self.secret).at(int(self.clock.now_s()) + 30 * offset_steps)

    def wrong_code(self) -> str:
        """-> six digits that are right in no step near now"""
        near = {self.code(offset) for offset in range(-12, 13)}
        return next(code for code in map("{:06d}".format, range(100)) if code not in near)

    def browser(self, address: str = "192.0.2.1", **environ: str) -> TestApp:
        """-> another browser, without cookies, at an address"""
        return TestApp(self.web.app, extra_environ={"REMOTE_ADDR": address, **environ})

    def csrf(self, web: TestApp | None = None) -> str:
        """-> a CSRF token for this browser"""
        return token_of((web or self.web).get("/auth/ga"))

    def attempt(
        self, code: str, web: TestApp | None = None, name: str = NAME, **fields: Any
    ) -> TestResponse:
        """code -> the answer to the second form"""
        web = web or self.web
        form = {"csrf_token": self.csrf(web), "username": name, "code": code, **fields}
        return web.post("/auth/ga", {**form, "submit": "authenticate"}, expect_errors=True)

    def login(self, web: TestApp | None = None, **fields: Any) -> TestResponse:
        """-> the answer to the right code, a 303"""
        response = self.attempt(self.code(), web, **fields)
        assert response.status_int == 303, response
        return response


def token_of(response: TestResponse) -> str:
    """page -> the CSRF token of its form"""
    match = re.search(r'name="csrf_token" value="([^"]+)"', response.text)
    assert match, response.text
    return match[1]


def factored(*argv: str) -> int:
    """command line -> exit status; argparse's own exits too"""
    try:
        return factored_command(list(argv))
    except SystemExit as stop:
        return int(stop.code or 0)


def build_gate(given: Mapping[str, str], clock: FixedClock, downstream: Any = None) -> Any:
    """settings, clock -> the gate, before the demo downstream unless told otherwise"""
    return composition.build(given, downstream or composition.hello_app, clock=clock)
