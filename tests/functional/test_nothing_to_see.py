"""Whatever button is pressed: no page tells a name with an account from one without."""

from __future__ import annotations

import json

import pytest

from tests.functional.mailing import Mailed, MakeMailed
from tests.support import NAME, Browser, token_of, unnamed

WRONG = {"ga": "000000", "em": "0000-0000"}
UNKNOWN = "xx@example.com"
OTHERS = {
    "unknown, no address": "xx.example.com",
    "no address": "al.example.com",
    "never enrolled": "no@example.com",
    "enrolment begun": "pe@example.com",
    "disabled": "of@example.com",
    "known": NAME,
}
"""All as long as the one that nobody has."""

HISTORY = {
    "ga": [("username", 1), ("authenticate", 6), ("codereminder", 4), ("authenticate", 1),
           ("username", 1)],
    "em": [("authenticate", 1), ("username", 1), ("authenticate", 7), ("username", 4),
           ("authenticate", 1)],
}  # fmt: skip
"""All buttons, each until it is refused and once more."""

REFUSED = {("ga", False): 3, ("ga", True): 8, ("em", False): 3, ("em", True): 10}
"""How often a history is refused, from the start and where strangers have locked the account."""


@pytest.fixture
def mailed(make_mailed: MakeMailed) -> Mailed:
    """A site with both schemes and the code reminder, and users of every kind."""
    made = make_mailed(
        supported_auth_schemes="Google Auth\nEmail",
        allowgooglecodereminder="true",
        public_url="http://localhost:80",
    )
    for kind in ("no address", "never enrolled", "enrolment begun"):
        made.site.command("user", "add", f"--username={OTHERS[kind]}")
    of_user = "WHERE user_id = (SELECT id FROM factored_users WHERE username = ?)"
    made.execute(f"DELETE FROM factored_authenticators {of_user}", OTHERS["never enrolled"])
    made.execute(
        f"UPDATE factored_authenticators SET state = 'pending' {of_user}", OTHERS["enrolment begun"]
    )
    return made


@pytest.fixture
def disabled_secret(mailed: Mailed) -> str:
    added = mailed.site.command("user", "add", f"--username={OTHERS['disabled']}", "--json")
    mailed.disable(OTHERS["disabled"])
    return str(json.loads(added)["secret"])


def press(web: Browser, path: str, name: str, submit: str, code: str) -> list[object]:
    """-> all there is to see of the answer, but name and tokens"""
    token = token_of(web.get(f"/auth/{path}"))
    form = {"csrf_token": token, "username": name, "code": code, "submit": submit}
    answer = web.post(f"/auth/{path}", form)
    body = unnamed(answer.text, name)
    if 'name="csrf_token"' in body:
        body = body.replace(token_of(answer), "TOKEN")
    headers = [(key, value) for key, value in answer.headerlist if key != "Content-Length"]
    return [answer.status_int, headers, body]


def history(mailed: Mailed, path: str, name: str, address: str) -> list[list[object]]:
    web = mailed.site.browser(address)
    buttons = [one for one, times in HISTORY[path] for _ in range(times)]
    return [press(web, path, name, submit, WRONG[path]) for submit in buttons]


@pytest.mark.usefixtures("disabled_secret")
@pytest.mark.parametrize("path", HISTORY)
@pytest.mark.parametrize("locked", [False, True])
def test_every_kind_of_name_looks_like_one_that_nobody_has(
    mailed: Mailed, path: str, locked: bool
) -> None:
    seen: dict[str, list[list[object]]] = {}
    for number, name in enumerate([UNKNOWN, *OTHERS.values()]):
        for stranger in range(3 if locked else 0):
            web = mailed.site.browser(f"10.0.{number}.{stranger}")
            press(web, path, name, "username", "")
            for _ in range(4):
                press(web, path, name, "authenticate", WRONG[path])
        mailed.site.clock.advance(600)  # mails for strangers may be asked for again
        seen[name] = history(mailed, path, name, f"2001:db8:0:{number}::1")
    statuses = [one[0] for one in seen[UNKNOWN]]
    assert statuses.count(429) == REFUSED[path, locked]
    for kind, name in OTHERS.items():
        assert seen[name] == seen[UNKNOWN], kind


def test_a_right_code_of_a_disabled_user_looks_like_a_wrong_one(
    mailed: Mailed, disabled_secret: str
) -> None:
    mailed.site.secret = disabled_secret
    pages = []
    for number, name in enumerate((OTHERS["disabled"], UNKNOWN)):
        web = mailed.site.browser(f"192.0.2.{number + 10}")
        pages.append(press(web, "ga", name, "authenticate", mailed.site.code()))
    assert pages[0] == pages[1]
    assert pages[0][0] == 200
