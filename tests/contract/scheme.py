"""The suite of :class:`factored.interfaces.Scheme`; asks for ``case``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from factored.interfaces import Asker, Challenge, Scheme, User, UserStore, Verdict
from tests.support import at_once

BROWSER = "the browser of every case"


@dataclass
class Case:
    """A scheme with what the suite needs to try it.

    :param user: can log in by it, and is in ``users``
    :param stranger: another user who can
    :param unenrolled: a user who has nothing for this scheme
    :param right: -> what this user would type now, as typed; a scheme that sends is asked by the
        browser BROWSER first
    :param wrong: has the form of a response, and is nobody's
    :param challenge: what the last asking left to wait for
    """

    scheme: Scheme
    users: UserStore
    user: User
    stranger: User
    unenrolled: User
    right: Callable[[User], str]
    wrong: str
    challenge: Challenge | None = None

    def ask(self, user: User) -> str:
        """user -> what this user would type now; it is waited for, if the scheme sends"""
        typed = self.right(user)
        self.challenge = self.awaited(user.username)
        return typed

    def awaited(self, name: str, browser: str = BROWSER) -> Challenge | None:
        return self.scheme.awaited(Asker(name, browser)) if self.scheme.sends else None

    def verify(self, user: User | None, typed: str) -> Verdict:
        response = self.scheme.normalise(typed)
        assert response is not None
        fresh = None if user is None else self.users.get(user.id)
        return self.scheme.verify(fresh, response, self.challenge)


class SchemeContract:
    def test_the_path_fits_into_a_url_and_a_ticket(self, case: Case) -> None:
        assert re.fullmatch(r"[a-z]+", case.scheme.path)
        assert re.fullmatch(r"[a-z]+", case.scheme.budget)

    def test_every_text_of_its_pages_is_there(self, case: Case) -> None:
        scheme = case.scheme
        for text in (scheme.name, scheme.title, scheme.code_label, scheme.code_desc):
            assert text
            assert text.isprintable()

    @pytest.mark.parametrize(
        "junk", ["", " ", "\0", "\n", "é" * 1000, "\ud800", "<script>", "%", "-", "\u202e", "🔑"]
    )
    def test_junk_is_turned_down_or_wrong_and_never_an_error(self, case: Case, junk: str) -> None:
        case.ask(case.user)
        response = case.scheme.normalise(junk)
        if response is not None:
            verdict = case.scheme.verify(case.user, response, case.challenge)
            assert verdict is not Verdict.ACCEPTED

    def test_normalising_twice_changes_nothing(self, case: Case) -> None:
        once = case.scheme.normalise(case.ask(case.user))
        assert once is not None
        assert case.scheme.normalise(once) == once

    def test_a_right_response_is_accepted_once(self, case: Case) -> None:
        typed = case.ask(case.user)
        assert case.verify(case.user, typed) is Verdict.ACCEPTED
        assert case.verify(case.user, typed) is not Verdict.ACCEPTED

    def test_of_many_right_responses_at_once_one_is_accepted(self, case: Case) -> None:
        typed = case.ask(case.user)
        verdicts = at_once(10, lambda number: case.verify(case.user, typed))
        assert verdicts.count(Verdict.ACCEPTED) == 1

    def test_a_wrong_response_is_wrong(self, case: Case) -> None:
        case.ask(case.user)
        assert case.verify(case.user, case.wrong) is Verdict.WRONG

    def test_a_wrong_response_does_not_spoil_the_right_one(self, case: Case) -> None:
        typed = case.ask(case.user)
        assert case.verify(case.user, case.wrong) is Verdict.WRONG
        assert case.verify(case.user, typed) is Verdict.ACCEPTED

    def test_nobody_is_an_unknown_user_whatever_is_typed(self, case: Case) -> None:
        for typed in (case.ask(case.user), case.wrong):
            assert case.verify(None, typed) is Verdict.UNKNOWN_USER

    def test_one_users_response_is_wrong_for_another(self, case: Case) -> None:
        assert case.verify(case.stranger, case.ask(case.user)) is Verdict.WRONG

    def test_who_has_nothing_for_it_is_not_let_in(self, case: Case) -> None:
        assert case.verify(case.unenrolled, case.ask(case.user)) is Verdict.WRONG

    def test_a_disabled_user_is_not_let_in(self, case: Case) -> None:
        response = case.scheme.normalise(case.ask(case.user))
        assert response is not None
        disabled = replace(case.user, disabled_at=1)
        assert case.scheme.verify(disabled, response, case.challenge) is Verdict.WRONG

    def test_what_was_sent_is_waited_for_in_that_browser_and_for_that_name_alone(
        self, case: Case
    ) -> None:
        if not case.scheme.sends:
            return
        assert case.awaited(case.user.username) is None
        case.ask(case.user)
        assert case.challenge is not None
        assert case.challenge.user_id == case.user.id
        assert case.awaited(case.user.username, "another browser") is None
        assert case.awaited(case.stranger.username) is None

    def test_without_a_challenge_nothing_is_evaluated(self, case: Case) -> None:
        if not case.scheme.sends:
            return
        response = case.scheme.normalise(case.ask(case.user))
        assert response is not None
        for user in (case.user, None):
            assert case.scheme.verify(user, response, None) is Verdict.EXPIRED
        assert case.scheme.verify(case.user, response, case.challenge) is Verdict.ACCEPTED

    def test_who_cannot_be_sent_anything_is_waited_for_like_anybody(self, case: Case) -> None:
        if not case.scheme.sends:
            return
        for user, name in ((None, "nobody@example.com"), (case.unenrolled, "")):
            asker = Asker(user.username if user else name, BROWSER)
            case.scheme.challenge(user, asker)
            assert case.scheme.awaited(asker) is not None
