"""Three nodes of one installation on one PostgreSQL, the second with a clock that is 30 s ahead."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from pyramid.authentication import BadTicket, parse_ticket

from factored.auth_tkt import TicketFormat
from factored.codes import new_id
from factored.interfaces import Ticket
from factored.store import schema
from tests.support import at_once

from .client import STEP_S, Answer, Browser, code, form_of, new_address, visitor, wrong_code
from .databases import DatabaseServer
from .nodes import Nodes, at, make_release, readiness, replaced
from .servers import Front, Installation, Server, User, eventually, free_port, gate_on
from .web_servers.harness import filled, nginx_argv

AHEAD_S = (0, STEP_S, 0)
"""By how much the clock of each node is ahead."""
ON_ALL = 1
"""Step from now whose code is right on every node, for half a minute from now on."""
SOON_S = 5
"""Within which an end, or a key, is known everywhere (PROMISES 12 and 13)."""

every_node = pytest.mark.parametrize("number", range(len(AHEAD_S)))


@pytest.fixture(scope="module")
def nodes(postgresql: DatabaseServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    made = Nodes(tmp_path_factory.mktemp("nodes"), postgresql.new_database())
    for ahead_s in AHEAD_S:
        made.add(ahead_s)
    try:
        made.start()
        yield made
    finally:
        made.stop()
    nothing_broke(made)


def nothing_broke(nodes: Nodes) -> None:
    """Fails if one of them met an error that it did not expect."""
    for node in nodes.each:
        assert "Traceback" not in node.server.output, node.server.tail()


def let_in(nodes: Nodes, browser: Browser) -> list[bool]:
    return [at(node, browser).signed_in() for node in nodes.each]


def copy_of(browser: Browser) -> Browser:
    """-> the same cookies in other hands"""
    return Browser(browser.port, browser.address, dict(browser.cookies))


def try_code(node: Front, name: str, digits: str, address: str | None = None) -> Answer:
    """-> what a browser without any cookies is answered"""
    browser = visitor(node, address)
    form = form_of(browser.get("/auth/ga"))
    return browser.send(form, username=name, code=digits, submit="authenticate")


# -- one site --------------------------------------------------------------------------------------


def test_the_clocks_are_half_a_minute_apart(nodes: Nodes) -> None:
    dates = [visitor(node).get("/").header("Date") for node in nodes.each]
    ahead = [parsedate_to_datetime(date).timestamp() - time.time() for date in dates]
    for found, wanted in zip(ahead, AHEAD_S, strict=True):
        assert abs(found - wanted) < 5


@every_node
def test_a_ticket_of_one_node_is_good_on_all(nodes: Nodes, number: int) -> None:
    user, browser = nodes.add_user(), visitor(nodes.each[number])
    browser.sign_in(user, steps=ON_ALL)
    for node in nodes.each:
        page = at(node, browser).get("/")
        assert (page.status, f"Hello, {user.name}" in page.text) == (200, True)


def test_each_step_of_a_login_may_come_to_another_node(nodes: Nodes) -> None:
    first, second, third = nodes.each
    user, browser = nodes.add_user(), visitor(first)
    named = form_of(browser.get("/auth/ga"))
    form = form_of(at(second, browser).send(named, username=user.name, submit="username"))
    digits = code(user.secret, ON_ALL)
    assert at(third, browser).send(form, code=digits, submit="authenticate").status == 303
    assert all(let_in(nodes, browser))


@every_node
def test_a_code_that_one_node_took_is_refused_on_all(nodes: Nodes, number: int) -> None:
    user = nodes.add_user()
    digits = code(user.secret, ON_ALL)
    assert try_code(nodes.each[number], user.name, digits).status == 303
    assert [try_code(node, user.name, digits).status for node in nodes.each] == [200] * 3


def test_of_all_nodes_at_once_one_takes_a_code(nodes: Nodes) -> None:
    user = nodes.add_user()
    browsers = [visitor(node) for node in nodes.each]
    forms = [form_of(browser.get("/auth/ga")) for browser in browsers]
    digits = code(user.secret, ON_ALL)

    def send(number: int) -> int:
        fields = {"username": user.name, "code": digits, "submit": "authenticate"}
        return browsers[number].send(forms[number], **fields).status

    assert sorted(at_once(3, send)) == [200, 200, 303]


@pytest.mark.parametrize("wrong", [4, 5, 6])
def test_wrong_codes_are_counted_once_for_all_nodes(nodes: Nodes, wrong: int) -> None:
    user, address = nodes.add_user(), new_address()
    digits = wrong_code(user.secret)
    guessed = [
        try_code(nodes.each[number % 3], user.name, digits, address).status
        for number in range(wrong)
    ]
    assert guessed == [200] * min(wrong, 5) + [429] * (wrong - 5)
    right = code(user.secret, ON_ALL)
    then = [try_code(node, user.name, right, address).status for node in nodes.each]
    # Taken, then used up, and that was the fifth mistake; or refused, as five were made.
    assert then == ([303, 200, 429] if wrong < 5 else [429] * 3)
    assert try_code(nodes.each[1], user.name, code(user.secret, ON_ALL)).status == (
        200 if wrong < 5 else 303
    ), "somebody elsewhere is not kept out"


@pytest.mark.parametrize("verb", ["logout", "remove"])
def test_what_ends_on_one_node_is_over_on_all_within_5_s(nodes: Nodes, verb: str) -> None:
    users = [nodes.add_user() for _ in range(4)]
    browsers = [visitor(nodes.each[number % 3]) for number in range(4)]
    for browser, user in zip(browsers, users, strict=True):
        browser.sign_in(user, steps=ON_ALL)
        assert all(let_in(nodes, browser))
    *thieves, bystander = map(copy_of, browsers)

    def end(number: int) -> None:
        node = nodes.each[(number + 1) % 3]
        if verb == "logout":
            here = at(node, browsers[number])
            done = here.send(form_of(here.get("/auth/logout")), submit="logout")
            assert "auth_tkt" not in here.cookies, done
        else:
            node.installation.done("user", verb, f"--username={users[number].name}")

    at_once(3, end)
    eventually(
        lambda: not any(any(let_in(nodes, one)) for one in thieves),
        within_s=SOON_S,
    )
    assert all(let_in(nodes, bystander))


@pytest.fixture
def balancer(nodes: Nodes, tmp_path: Path) -> Iterator[Server]:
    """nginx with the shipped file before the nodes, over plain http."""
    port = free_port()
    text = filled(
        "nginx/nodes.conf",
        {
            "listen 443 ssl": f"listen 127.0.0.1:{port}",
            "    ssl_certificate     /etc/ssl/www.example.com.pem;\n": "",
            "    ssl_certificate_key /etc/ssl/www.example.com.key;\n": "",
            **{f"127.0.0.1:800{n}": f"127.0.0.1:{one.port}" for n, one in enumerate(nodes.each, 1)},
        },
    )
    server = Server(nginx_argv(tmp_path / "nginx", text), port, tmp_path / "server", None)
    server.start()
    yield server
    server.stop()


def test_nginx_spreads_visitors_over_the_nodes_and_passes_over_one_that_is_gone(
    nodes: Nodes, balancer: Server
) -> None:
    user, guess, away = nodes.add_user(), nodes.add_user(), nodes.each[2]
    browser, other = visitor(balancer), visitor(balancer)
    browser.sign_in(user, steps=ON_ALL)
    other.attempt(guess.name, wrong_code(guess.secret))
    said = [node.server.output for node in nodes.each]
    assert f'user="{user.name}" scheme="ga" source="{browser.address}" result="success"' in "".join(
        said
    )
    away.server.stop()
    try:
        assert all(browser.signed_in() for _ in range(9))
        other.sign_in(guess, steps=ON_ALL)
    finally:
        away.server.start()
    assert f'upstream: "http://127.0.0.1:{away.port}/' in balancer.output, "it was its turn"
    assert all(browser.signed_in() for _ in range(3))


# -- keys ------------------------------------------------------------------------------------------


def ticket_of(secret: str, user: str) -> str:
    """-> a cookie value as a node would issue it that signs with this secret"""
    now_s = int(time.time())
    made = TicketFormat(lambda: (secret,), hashalg="sha512", schemes=("ga",))
    return made.issue(
        Ticket(
            user=user, issued_at=now_s, login_at=now_s, lifetime_s=600, remember=False,
            scheme="ga", ticket_id=new_id(), series=new_id(),
        )
    )  # fmt: skip


def signs_with(node: Front, secret: str, user: User) -> bool:
    """node, ticket secret, somebody who may log in once -> whether its tickets are signed by it"""
    browser = visitor(node)
    browser.sign_in(user, steps=ON_ALL)
    try:
        parse_ticket(secret, browser.cookies["auth_tkt"][0], "0.0.0.0", "sha512")
    except BadTicket:
        return False
    return True


def test_keys_rotate_node_by_node_and_nobody_is_logged_out(nodes: Nodes) -> None:
    first, *others = nodes.each
    secrets = first.installation.folder / "factored.secret"
    old = secrets.read_text().split()
    insiders = [visitor(node) for node in nodes.each]
    for browser in insiders:
        browser.sign_in(nodes.add_user(), steps=ON_ALL)
    forms = [(visitor(node), nodes.add_user()) for node in nodes.each]
    opened = [(who, user, who.name_given(user.name)) for who, user in forms]

    def change(verb: str) -> None:
        files = ("key_file", "auth_tkt.secret_file")
        at_once(2, lambda number: first.installation.done("keys", verb, f"--of={files[number]}"))

    def nobody_noticed() -> None:
        for browser in insiders:
            assert all(let_in(nodes, browser))

    change("add")
    lines = secrets.read_text().splitlines()
    (new,) = [line for line in lines if line not in old and not line.startswith("#")]
    for node in others:
        nobody_noticed()
        nodes.copy_keys(node.installation.folder)
    early = Browser(first.port, cookies={"auth_tkt": (ticket_of(new, "al@example.com"), "/")})
    eventually(lambda: all(let_in(nodes, early)), within_s=SOON_S)
    for node in nodes.each:
        assert signs_with(node, old[0], nodes.add_user())
    change("promote")
    for node in nodes.each:
        nodes.copy_keys(node.installation.folder)
        eventually(lambda: signs_with(node, new, nodes.add_user()), within_s=SOON_S)  # noqa: B023
        newcomer = visitor(node)
        newcomer.sign_in(nodes.add_user(), steps=ON_ALL)
        assert all(let_in(nodes, newcomer))
        nobody_noticed()
    # Forms that were open all the time still work, on another node too.
    for (who, user, form), node in zip(opened, [*others, first], strict=True):
        digits = code(user.secret, ON_ALL)
        assert at(node, who).send(form, code=digits, submit="authenticate").status == 303


# -- a database that goes away ---------------------------------------------------------------------


@contextmanager
def busy(**calls: Callable[[], int]) -> Iterator[dict[str, Counter[int]]]:
    """names, functions -> statuses that each gave so far; called again and again meanwhile"""
    seen: dict[str, Counter[int]] = {name: Counter() for name in calls}
    over = threading.Event()

    def work(name: str, call: Callable[[], int]) -> None:
        while not over.is_set():
            seen[name][call()] += 1

    threads = [threading.Thread(target=work, args=one) for one in calls.items()]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        over.set()
        for thread in threads:
            thread.join(30)
    assert not any(thread.is_alive() for thread in threads)


def load_on(each: list[Front], insiders: list[Browser]) -> dict[str, Callable[[], int]]:
    """nodes, who is signed in -> for every node a guest that works, and strangers that try"""

    def working(node: Front, insider: Browser) -> Callable[[], int]:
        return lambda: at(node, insider).get("/").status

    def trying(node: Front) -> Callable[[], int]:
        return lambda: try_code(node, f"{new_id()}@example.com", "000000").status

    calls: dict[str, Callable[[], int]] = {}
    for number, (node, insider) in enumerate(zip(each, insiders, strict=True)):
        calls[f"inside{number}"] = working(node, insider)
        calls[f"outside{number}"] = trying(node)
    return calls


def test_a_database_that_is_restarted_under_load_throws_nobody_out(
    nodes: Nodes, postgresql: DatabaseServer
) -> None:
    insiders = [visitor(node) for node in nodes.each]
    for browser in insiders:
        browser.sign_in(nodes.add_user(), steps=ON_ALL)
    newcomers = [nodes.add_user() for _ in nodes.each]
    names = [f"{where}{number}" for where in ("inside", "outside") for number in range(3)]
    with busy(**load_on(nodes.each, insiders)) as seen:
        eventually(lambda: all(seen[name][200] for name in names))
        postgresql.stop()
        for node in nodes.each:
            status, checks = readiness(node)
            assert (status, checks["database"], checks["revocations"]) == (503, False, True)
            assert Browser(node.port).get("/auth/healthz").status == 200
        eventually(lambda: all(seen[f"outside{number}"][503] for number in range(3)))
        inside = {name: seen[name][200] for name in names[:3]}
        eventually(lambda: all(seen[name][200] > inside[name] + 5 for name in inside))
        postgresql.start()
        for node, user in zip(nodes.each, newcomers, strict=True):
            eventually(lambda: readiness(node)[0] == 200, within_s=SOON_S)  # noqa: B023
            digits = code(user.secret, ON_ALL)
            eventually(
                lambda: try_code(node, user.name, digits).status == 303,  # noqa: B023
                within_s=SOON_S,
            )
    for name in names:
        assert set(seen[name]) <= ({200} if name.startswith("inside") else {200, 503}), seen
    # Connections that broke unnoticed are noticed before they are used.
    users = [nodes.add_user() for _ in nodes.each]
    postgresql.restart()
    for node, user in zip(nodes.each, users, strict=True):
        assert try_code(node, user.name, code(user.secret, ON_ALL)).status == 303
    # What each process reads every two seconds is read again.
    thief, first = copy_of(insiders[0]), at(nodes.each[0], insiders[0])
    first.send(form_of(first.get("/auth/logout")), submit="logout")
    eventually(lambda: not any(let_in(nodes, thief)), within_s=SOON_S)
    assert all(let_in(nodes, insiders[1]))


# -- releases --------------------------------------------------------------------------------------

NUMBER = int(schema.HEAD[:4])
EXPANDED = f"{NUMBER + 1:04}_from_{NUMBER:04}"
CONTRACTED = f"{NUMBER + 2:04}_from_{NUMBER + 1:04}"
EXPANDS = (EXPANDED, "ALTER TABLE factored_devices ADD COLUMN place VARCHAR(64)")
CONTRACTS = (CONTRACTED, "ALTER TABLE factored_devices DROP COLUMN address")
USES_IT = {
    (
        "store/tables.py",
        "    address: Mapped[str | None] = mapped_column(String(64))\n",
    ): '    address: Mapped[str | None] = mapped_column("place", String(64))\n'
}
"""A column gets another name: the next release adds and uses it, the one after drops the old."""


@pytest.fixture
def upgraded(postgresql: DatabaseServer, tmp_path: Path) -> Iterator[Nodes]:
    """Two nodes of this release, of an installation that will be upgraded."""
    made = Nodes(tmp_path / "upgraded", postgresql.new_database())
    try:
        for _ in range(2):
            made.add()
        made.start()
        yield made
    finally:
        made.stop()
    nothing_broke(made)


def devices(nodes: Nodes, *columns: str) -> list[tuple[bool, ...]]:
    """SQL expressions -> what they are for each known device, oldest first"""
    engine = sa.create_engine(nodes.url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        found = connection.execute(
            sa.text(f"SELECT {', '.join(columns)} FROM factored_devices ORDER BY created_at, id")
        )
        return [tuple(row) for row in found]


def test_nodes_may_be_initialised_at_once(postgresql: DatabaseServer, tmp_path: Path) -> None:
    url = postgresql.new_database()
    installations = [Installation(tmp_path / f"new{number}") for number in range(3)]
    for one in installations:
        one.folder.mkdir()
        one.ini("site.ini", f"[app:main]{gate_on(url)}")
    told = at_once(3, lambda number: installations[number].done("init", "--json"))
    assert all(f'"revision": "{schema.HEAD}"' in one for one in told), told


def test_nodes_of_two_releases_serve_side_by_side(upgraded: Nodes, tmp_path: Path) -> None:
    next_one = make_release(tmp_path / "next", [EXPANDS], USES_IT)
    one_after = make_release(tmp_path / "after", [EXPANDS, CONTRACTS], USES_IT)
    old, other = upgraded.each
    insiders = [visitor(node) for node in upgraded.each]
    for browser in insiders:
        browser.sign_in(upgraded.add_user())

    # A node of the new release that starts too early says so.
    other.server.stop()
    new = upgraded.each[1] = replaced(other, next_one)
    new.server.ready_path = "/auth/healthz"
    new.server.start()
    assert readiness(new)[0] == 503
    assert "run `factored init`" in new.server.output

    # The tables are brought up to date while the old node serves.
    with busy(**load_on([old], insiders[:1])) as seen:
        eventually(lambda: all(statuses[200] for statuses in seen.values()))
        assert EXPANDED in new.installation.done("init", "--json")
        before = {name: statuses[200] for name, statuses in seen.items()}
        eventually(lambda: all(seen[name][200] > before[name] + 2 for name in seen))
    assert {status for statuses in seen.values() for status in statuses} == {200}
    assert [readiness(node)[0] for node in upgraded.each] == [200, 200]

    # Both are one site: tickets, codes, ends; and the old commands work.
    for browser in insiders:
        assert all(let_in(upgraded, browser))
    user = old.installation.add_user("late@example.com")
    digits = code(user.secret)
    browser = visitor(new)
    browser.sign_in(user)
    assert all(let_in(upgraded, browser))
    assert [try_code(node, user.name, digits).status for node in upgraded.each] == [200, 200]
    visitor(old).sign_in(user, steps=1)
    assert sorted(devices(upgraded, "address IS NULL", "place IS NULL")[-2:]) == [
        (False, True),
        (True, False),
    ], "each wrote what it knows"
    thief = copy_of(browser)
    there = at(old, browser)
    there.send(form_of(there.get("/auth/logout")), submit="logout")
    eventually(lambda: not any(let_in(upgraded, thief)), within_s=SOON_S)

    # An old node may be started anew, and its start may run init first.
    assert EXPANDED in old.installation.done("init", "--json")
    old.server.restart()
    assert all(let_in(upgraded, insiders[0]))

    # Only the release after that takes away what the old one needs, and that one can tell.
    newcomer = upgraded.add_user()
    last = replaced(new, one_after)
    assert CONTRACTED in last.installation.done("init", "--json")
    assert [readiness(node)[0] for node in upgraded.each] == [503, 200]
    assert "may not serve there any more: upgrade it" in old.server.output
    assert old.installation.command("init").returncode != 0
    stranger = visitor(new)
    stranger.sign_in(newcomer)
    for browser in (*insiders, stranger):
        assert all(let_in(upgraded, browser))
