"""A worker is killed between the right code and the answer: nothing is accepted twice or lost."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from factored import names
from factored.store.bundle import SqlStores
from tests.contract.test_stores import sql_stores
from tests.support import NOW_S

from . import dying
from .client import Browser, code, form_of, visitor, wrong_code
from .servers import (
    FULL,
    LOGGING,
    Front,
    Installation,
    Server,
    User,
    eventually,
    free_port,
    gate_on,
    program,
)

POINTS = {
    "counting": (0, False),
    "counted": (1, False),
    "using the code": (1, False),
    "code used": (1, True),
    "storing the login": (1, True),
    "login stored": (0, True),
    "ticket made": (0, True),
}
"""Where the worker dies: (attempts that stay counted, whether the code is used up)."""


@pytest.fixture(
    scope="module",
    params=["sqlite", "postgresql", "mariadb"] if FULL else ["sqlite", "postgresql"],
)
def stores(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SqlStores]:
    if request.param == "sqlite":
        made = sql_stores(f"sqlite:///{tmp_path_factory.mktemp('killed') / 'factored.sqlite'}")
    else:
        made = sql_stores(request.getfixturevalue(request.param).new_database())
    yield made
    made.database.engine.dispose()


@pytest.fixture(scope="module")
def mortal(stores: SqlStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """factored under gunicorn, with one worker at a time, which dies where a test says."""
    url = stores.database.engine.url.render_as_string(hide_password=False)
    gate = gate_on(url) + (
        "supported_auth_schemes =\n    Google Auth\n    Email\n"
        "email_auth.sender = site@example.com\nmail.host = debug\n"
    )
    folder, port = tmp_path_factory.mktemp("mortal"), free_port()
    installation = Installation(folder)
    site = "[app:site]\nuse = egg:factored#hello\n\n"
    ini = installation.ini("site.ini", f"{site}[filter-app:main]{gate}next = site\n{LOGGING}")
    told = installation.initialise()
    argv = [program("gunicorn"), "--paste", str(ini), "-b", f"127.0.0.1:{port}"]
    server = Server([*argv, "-c", str(dying.__file__)], port, folder / "server").start()
    yield Front(installation, ini, server, "gunicorn", told)
    server.stop()


def counted(stores: SqlStores, user: User, budget: str) -> int:
    found = stores.users.find(names.key(user.name))
    assert found is not None
    bucket = f"u{found.id}:{budget}"
    return len(stores.attempts.stamps([bucket], now_s=NOW_S // 2).get(bucket, []))


def dies(front: Front, point: str, request: Callable[[], object]) -> None:
    """Fails unless the worker dies at that point of the request, and another one takes over."""
    flag = front.server.folder / "die-at"
    (before,) = front.server.workers()
    flag.write_text(point)
    with pytest.raises(ConnectionError):
        request()
    assert not flag.exists()
    eventually(front.server.answers)
    assert front.server.workers() != [before]


def is_let_in(browser: Browser) -> bool:
    let_in = browser.signed_in()
    assert ("auth_tkt" in browser.cookies) is let_in
    return let_in


@pytest.mark.parametrize("point", POINTS)
def test_a_worker_that_dies_with_a_right_six_digit_code_spoils_nothing(
    mortal: Front, stores: SqlStores, point: str
) -> None:
    user, browser = mortal.add_user(), visitor(mortal)
    stay_counted, used_up = POINTS[point]
    form, right = browser.name_given(user.name, "/auth/ga"), code(user.secret)
    dies(mortal, point, lambda: browser.send(form, code=right, submit="authenticate"))
    assert not is_let_in(browser)
    assert counted(stores, user, "totp") == stay_counted

    again = [visitor(mortal) for _ in range(2)]
    for other in again:
        other.attempt(user.name, right, "/auth/ga")
    assert [is_let_in(other) for other in again] == [not used_up, False]

    stranger = visitor(mortal)
    assert stranger.attempt(user.name, wrong_code(user.secret), "/auth/ga").status == 200
    assert not is_let_in(stranger)
    browser.sign_in(user, "/auth/ga", steps=1)
    assert is_let_in(browser)


@pytest.mark.parametrize("point", POINTS)
def test_a_worker_that_dies_with_a_right_mailed_code_spoils_nothing(
    mortal: Front, stores: SqlStores, point: str
) -> None:
    user, browser = mortal.add_user(), visitor(mortal)
    stay_counted, used_up = POINTS[point]

    def mailed_code() -> str:
        pattern = rf"Mail to {user.name}: Your code\nYour code is: (\S+)"
        before = len(re.findall(pattern, mortal.server.output))
        browser.name_given(user.name, "/auth/em")
        return eventually(lambda: re.findall(pattern, mortal.server.output)[before:])[0]

    def enter(right: str, who: Browser = browser) -> None:
        form = form_of(who.get("/auth/em"))
        who.send(form, username=user.name, code=right, submit="authenticate")

    right = mailed_code()
    dies(mortal, point, lambda: enter(right))
    assert not is_let_in(browser)
    assert counted(stores, user, "email") == stay_counted
    thief = visitor(mortal)
    enter(right, thief)
    assert not is_let_in(thief)

    enter(right)
    assert is_let_in(browser) is not used_up
    enter(mailed_code())
    assert is_let_in(browser)
