"""Keys are rotated node by node, and nobody notices."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from factored import keys
from factored.codes import new_key
from tests.support import NAME, Browser, Site, token_of

NODES = ("one", "two")
FILES = ("factored.key", "factored.secret")


@pytest.fixture
def nodes(make_site: Callable[..., Site], tmp_path: Path) -> list[Site]:
    """Two nodes on one database, each with key files of its own, equal at first."""
    secret = new_key()
    made = []
    for name in NODES:
        folder = tmp_path / name
        folder.mkdir()
        shutil.copy2(tmp_path / "factored.key", folder)
        keys.create_file(folder / "factored.secret", secret)
        made.append(
            make_site(
                key_file=str(folder / "factored.key"),
                auth_tkt__secret=None,
                auth_tkt__secret_file=str(folder / "factored.secret"),
            )
        )
    return made


def steps(folder: Path, site: Site) -> Iterator[str]:
    """folder of the nodes, a site of theirs -> the name of each step once it is done"""

    def copy_to_two() -> None:
        for file in FILES:
            shutil.copy2(folder / "one" / file, folder / "two" / file)

    yield "nothing done yet"
    for change, verb in (
        (lambda path: keys.add_key(path, new_key()), "added"),
        (keys.promote_key, "promoted"),
    ):
        for file in FILES:
            change(folder / "one" / file)
        yield f"{verb} on one"
        copy_to_two()
        yield f"{verb} on two"
    site.command("keys", "reencrypt")
    yield "stored secrets encrypted anew"
    key_file = folder / "one" / "factored.key"
    key_file.write_text(key_file.read_text().splitlines()[0] + "\n")
    yield "oldest dropped on one"
    copy_to_two()
    yield "oldest dropped on two"


def test_at_every_step_each_node_takes_what_the_other_gave(
    nodes: list[Site], tmp_path: Path
) -> None:
    first, second = nodes
    stays = [first.browser("203.0.113.1"), second.browser("203.0.113.2")]
    for site, web in zip(nodes, stays, strict=True):
        site.login(web)
        site.clock.advance(30)
    for step in steps(tmp_path, first):
        first.clock.advance(3)  # files are read again within 5 s
        for web in stays:
            for site in nodes:
                assert at(site, web).get("/").status_int == 200, step
        for giver, taker in ((first, second), (second, first)):
            web = giver.browser("198.51.100.1")
            form = {
                "csrf_token": token_of(at(giver, web).get("/auth/ga")),
                "username": NAME,
                "code": giver.code(),
                "submit": "authenticate",
            }
            done = at(taker, web).post("/auth/ga", form)
            assert done.status_int == 303, step
            for site in nodes:
                assert at(site, web).get("/").status_int == 200, step
            first.clock.advance(30)


def at(site: Site, web: Browser) -> Browser:
    """-> the same browser, at this node"""
    moved = Browser(site.web.app, extra_environ=web.extra_environ)
    moved.cookiejar = web.cookiejar
    return moved
