"""The suite of finders on every finder that factored has."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from factored.finders.email_domain import EmailDomainFinder
from factored.finders.sql import SqlFinder
from factored.interfaces import FinderContext
from tests.contract.finder import Case, FinderContract
from tests.support import make_people, run_sql


class TestSql(FinderContract):
    @pytest.fixture
    def case(self, tmp_path: Path) -> Case:
        path = tmp_path / "people.sqlite"
        make_people(f"sqlite:///{path}", "Al@Example.com", "bo@example.com", None, "")
        settings = SimpleNamespace(
            finder_connection_string=f"sqlite:///{path}",
            finder_table_name="people",
            finder_email_field="email",
        )
        return Case(
            SqlFinder(FinderContext(settings)),
            "al@example.com",
            (
                "cy@example.com",
                "al@sub.example.com",
                "al@example.com.evil.example",
                "l@example.com",
            ),
            lambda: run_sql(path, "DROP TABLE people"),
        )


class TestEmailDomain(FinderContract):
    @pytest.fixture
    def case(self) -> Case:
        settings = SimpleNamespace(finder_valid_domains=("example.com", "example.org"))
        return Case(
            EmailDomainFinder(FinderContext(settings)),
            "al@example.com",
            (
                "al@sub.example.com", "al@example.com.evil.example", "al@evilexample.com",
                "al@example.co", "al@com", "example.com@evil.example",
            ),
        )  # fmt: skip
