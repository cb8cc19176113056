"""Signing in by a mailed code, and by the link in that mail."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Arrives
from tests.browser.sites import ServedSite


@pytest.mark.parametrize("window", ["no script", "dark phone"])
def test_the_code_in_the_mail_signs_in(site: ServedSite, arrives: Arrives, window: str) -> None:
    al = arrives(site, window).opens("/auth/em?referrer=/deep").gives_name()
    assert al.focus == "code"
    al.types("code", site.mails.code()).presses("authenticate")
    assert al.is_in
    assert al.path == "/deep"


def test_a_new_code_can_be_asked_for_and_the_newest_counts(
    site: ServedSite, arrives: Arrives
) -> None:
    al = arrives(site, "no script").opens("/auth/em").gives_name()
    first = site.mails.code()
    second = al.presses("username") and site.mails.code(2)
    al.types("code", first).presses("authenticate")
    assert al.error
    al.types("code", second).presses("authenticate")
    assert al.is_in


def test_the_link_in_the_mail_signs_in_the_browser_that_opens_it(
    site: ServedSite, arrives: Arrives
) -> None:
    al = arrives(site).opens("/auth/em?referrer=/deep").gives_name()
    link = site.mails.link(site.origin)
    phone = arrives(site, "phone", same_as=al).opens(link)
    assert phone.name in phone.text
    phone.presses("authenticate")
    assert phone.is_in
    assert phone.path == "/deep"
    assert al.opens("/deep").path == "/auth"


def test_the_link_works_by_keyboard_alone(site: ServedSite, arrives: Arrives) -> None:
    al = arrives(site, hands="keyboard").opens("/auth/em").gives_name()
    al.opens(site.mails.link(site.origin)).presses("authenticate")
    assert al.is_in
