"""Fixtures of the stories: a site that mails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from factored import app as composition
from factored.services import outbox as outboxes
from factored.services import parts
from tests.functional.mailing import NEW, Directory, Mailed, MakeMailed, Post
from tests.support import Site


@pytest.fixture
def post(monkeypatch: pytest.MonkeyPatch) -> Iterator[Post]:
    made = Post()
    made.open.set()
    monkeypatch.setattr(parts, "Postman", lambda settings, *, sender: made)
    monkeypatch.setattr(outboxes, "RETRY_S", 0.01)
    monkeypatch.setattr(outboxes, "LATER_MS", [0])
    yield made
    made.open.set()


@pytest.fixture
def make_mailed(make_site: Callable[..., Site], post: Post) -> MakeMailed:
    def make(downstream: Any = None, **changed: str) -> Mailed:
        given = {"supported_auth_schemes": "Email", "email_auth.sender": "site@example.org"}
        return Mailed(make_site(downstream, **given | changed), post)

    return make


@pytest.fixture
def mailed(make_mailed: MakeMailed) -> Mailed:
    return make_mailed()


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> Directory:
    """A finder is set up, which knows NEW."""
    made = Directory(NEW)
    monkeypatch.setattr(composition, "make_finder", lambda settings: made)
    return made


@pytest.fixture
def found(directory: Directory, make_mailed: MakeMailed) -> Mailed:
    return make_mailed()
