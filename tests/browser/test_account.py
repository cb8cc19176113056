"""The account page: authenticators, recovery codes, browsers, and proving again who one is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.browsers import barriers, scrolls_sideways
from tests.browser.conftest import Arrives
from tests.browser.people import Person
from tests.browser.sites import ServedSite
from tests.peers.servers import eventually

STEP_UP_S = 300
"""For so long after a code, changes can be made."""

WAYS = [("no script", "keyboard"), ("dark phone", "finger")]
"""Windows and hands; the stories that are told once have a desktop and a pointer."""


def signed_in(site: ServedSite, arrives: Arrives, window: str = "desktop", **how: str) -> Person:
    """-> somebody at the account page, whose next code is good"""
    al = arrives(site, window, **how).signs_in()
    site.next_step()
    return al.opens("/auth/account")


def proves_again(person: Person) -> Person:
    """-> the same person at the account page, after a fresh code; not asked for the name"""
    person.site.next_step()
    person.follows("then=account")
    assert not person.sees_field("username")
    assert not person.sees_field("remember")
    person.gives_code("authenticate")
    assert person.path == "/auth/account"
    return person


def adds_another(person: Person, label: str, folder: Path) -> str:
    """-> secret of the authenticator that is added, which has this name"""
    first = person.secret
    second = person.presses("add").scans(folder)
    person.types("label", label).gives_code("confirm")
    assert person.path == "/auth/account"
    person.secret = first
    return second


def is_out_soon(person: Person) -> None:
    """The gate reads again by its own watch what has ended, so this waits; 5 s are promised."""
    eventually(lambda: person.opens("/secret").path == "/auth", within_s=5)


# -- authenticators -------------------------------------------------------------------------------


@pytest.mark.parametrize(("window", "hands"), WAYS)
def test_another_authenticator_is_added_renamed_and_deleted(
    site: ServedSite, arrives: Arrives, tmp_path: Path, window: str, hands: str
) -> None:
    al = signed_in(site, arrives, window, hands=hands)
    (first,) = al.rows("rename")
    second_secret = adds_another(al, "Old phone", tmp_path)
    assert second_secret != al.secret
    assert "Old phone" in al.everything
    (second,) = set(al.rows("rename")) - {first}

    # Both open, each with its own codes.
    other = arrives(site, same_as=al)
    other.secret = second_secret
    site.next_step()
    other.signs_in()

    al.opens("/auth/account").types_in_row("rename", second, "label", "New phone")
    al.presses("rename", second)
    assert "New phone" in al.everything
    assert "Old phone" not in al.everything
    al.presses("delete", second)
    assert "New phone" not in al.everything
    assert al.rows("rename") == [first]

    site.next_step()
    other.opens("/auth/ga").gives_name().types_code().presses("authenticate")
    assert other.error


def test_leaving_half_way_changes_nothing(
    site: ServedSite, arrives: Arrives, tmp_path: Path
) -> None:
    al = signed_in(site, arrives)
    known, secret = al.rows("rename"), al.secret
    unconfirmed = al.presses("add").scans(tmp_path)
    assert al.follows("/auth/account").rows("rename") == known
    site.next_step()
    al.secret = unconfirmed
    al.opens("/auth/ga").gives_name().types_code().presses("authenticate")
    assert al.error
    al.secret = secret
    assert al.types_code().presses("authenticate").is_in


@pytest.mark.parametrize("window", ["zoomed", "right to left", "dark"])
def test_the_account_page_fits_everywhere_and_has_no_barriers(
    site: ServedSite, arrives: Arrives, window: str
) -> None:
    """Each page that a person gets to is looked at; here with all that can be unfolded."""
    al = signed_in(site, arrives, window)
    al.presses("codes").goes_on()
    for folded in al.page.locator("summary").all():
        folded.click()
    assert scrolls_sideways(al.page) == []
    assert barriers(al.page) == ""
    site.clock.advance(STEP_UP_S + 1)
    assert al.opens("/auth/account").follows("then=account").sees_field("code")


# -- proving it again -----------------------------------------------------------------------------


@pytest.mark.parametrize(("window", "hands"), WAYS)
def test_after_five_minutes_changes_ask_for_a_fresh_code(
    site: ServedSite, arrives: Arrives, window: str, hands: str
) -> None:
    al = signed_in(site, arrives, window, hands=hands)
    assert al.sees_button("add")
    site.clock.advance(STEP_UP_S + 1)
    al.opens("/auth/account")
    assert not al.sees_button("add")
    assert not al.sees_button("everywhere")
    assert proves_again(al).sees_button("add")


def test_a_page_that_was_left_open_does_not_change_anything_later(
    site: ServedSite, arrives: Arrives
) -> None:
    al = signed_in(site, arrives)
    site.clock.advance(STEP_UP_S + 1)
    al.presses("codes")
    assert not al.page.locator("a[download]").count()


# -- browsers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("window", "hands"), WAYS)
def test_another_browser_is_signed_out_from_here(
    site: ServedSite, arrives: Arrives, window: str, hands: str
) -> None:
    al = signed_in(site, arrives, window, hands=hands)
    other = arrives(site, same_as=al).signs_in()
    (ticket,) = al.opens("/auth/account").rows("signout")
    al.presses("signout", ticket)
    assert al.path == "/auth/account"
    is_out_soon(other)
    assert al.opens("/secret").is_in


def test_a_known_device_is_forgotten(site: ServedSite, arrives: Arrives) -> None:
    al = signed_in(site, arrives)
    known = al.rows("forget")
    assert known
    al.presses("forget", known[0])
    assert known[0] not in al.rows("forget")


def test_everywhere_is_here_too(site: ServedSite, arrives: Arrives) -> None:
    al = signed_in(site, arrives)
    other = arrives(site, same_as=al).signs_in()
    al.opens("/auth/account").presses("everywhere")
    is_out_soon(other)
    assert al.opens("/secret").path == "/auth"
