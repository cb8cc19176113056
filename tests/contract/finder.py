"""The suite of :class:`factored.interfaces.Finder`; asks for ``case``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from factored import names
from factored.interfaces import Finder, FinderError
from tests.support import at_once


@dataclass
class Case:
    """A finder with what the suite needs to try it.

    :param address: may have an account
    :param strangers: plain addresses that may not; some like ``address``, as in a longer domain
    :param take_down: makes its source not answer; None if it asks nobody
    """

    finder: Finder
    address: str
    strangers: Sequence[str]
    take_down: Callable[[], None] | None = None


READ_DIFFERENTLY = (
    "{local}", "@{domain}", "{local}@", "{local}@{domain}.", "{local}@.{domain}",
    ".{local}@{domain}", "{local}.@{domain}", "a..b@{domain}", "{local}@{domain}@{domain}",
    "{local}@evil.example@{domain}", "{local}@{domain},b@evil.example",
    "b@evil.example,{local}@{domain}", "b@evil.example {local}@{domain}",
    "{local}@{domain};b@evil.example", '"{local}"@{domain}', '"b@evil.example"@{domain}',
    "{local}(b)@{domain}", "{local}@(b){domain}", "(b){local}@{domain}", "<{local}@{domain}>",
    "Al <{local}@{domain}>", "b@evil.example <{local}@{domain}>", "@evil.example:{local}@{domain}",
    "{local} @{domain}", "{local}@ {domain}", " {local}@{domain}",
    "{local}@{domain} ", "{local}@{domain}\n", "{local}@{domain}\0", "{local}\0@{domain}",
    "{local}\r\nBcc: b@evil.example@{domain}", "{local}\\@{domain}", "{local}@[{domain}]",
    "{local}\uff20{domain}", "{local}@{domain}\u3002", "b!{local}@{domain}",
    "b%evil.example@{domain}", "é@{domain}", "\ud800@x.y",
)  # fmt: skip
"""What a mail program takes for another mailbox than we do, or for none; or what is no address."""


class FinderContract:
    def test_who_may_have_an_account_is_found(self, case: Case) -> None:
        found = case.finder.find(case.address)
        assert found is not None
        assert names.key(found) == names.key(case.address)

    def test_what_is_found_is_one_plain_address(self, case: Case) -> None:
        found = case.finder.find(case.address)
        assert found is not None
        assert names.ADDRESS.fullmatch(found)
        assert names.check(found) == found

    def test_every_spelling_of_case_finds_the_same_address(self, case: Case) -> None:
        local, _, domain = case.address.partition("@")
        spellings = [
            case.address.upper(), case.address.lower(), case.address.swapcase(),
            f"{local.title()}@{domain}", f"{local}@{domain.title()}",
        ]  # fmt: skip
        assert {case.finder.find(one) for one in spellings} == {case.finder.find(case.address)}

    def test_strangers_are_not_found(self, case: Case) -> None:
        assert case.strangers
        assert [case.finder.find(one) for one in case.strangers] == [None] * len(case.strangers)

    @pytest.mark.parametrize("form", READ_DIFFERENTLY)
    def test_what_is_not_one_plain_address_finds_nobody(self, case: Case, form: str) -> None:
        local, _, domain = case.address.partition("@")
        assert case.finder.find(form.replace("{local}", local).replace("{domain}", domain)) is None

    @pytest.mark.parametrize(
        "local", ["%", "_", "*", "?", "'", "'--", "a'or'1'='1", "{x}", "$x", "%s", "x" * 300]
    )
    def test_no_sign_has_a_meaning_of_its_own(self, case: Case, local: str) -> None:
        asked = local + "@" + case.address.partition("@")[2]
        found = case.finder.find(asked)
        assert found is None or names.key(found) == names.key(asked)

    def test_nothing_finds_nobody(self, case: Case) -> None:
        assert case.finder.find("") is None

    def test_asking_again_changes_nothing(self, case: Case) -> None:
        assert len({case.finder.find(case.address) for _ in range(3)}) == 1

    def test_it_may_be_asked_by_many_threads_at_once(self, case: Case) -> None:
        asked = [case.address, case.strangers[0]] * 5
        found = at_once(len(asked), lambda number: case.finder.find(asked[number]))
        assert found == [case.finder.find(one) for one in asked]

    def test_a_source_that_does_not_answer_is_an_error_for_every_name(self, case: Case) -> None:
        if case.take_down is None:
            return  # it asks nobody
        case.take_down()
        for name in (case.address, case.strangers[0]):
            with pytest.raises(FinderError) as caught:
                case.finder.find(name)
            assert name not in str(caught.value)
