"""Signing in with an authenticator app, in every kind of window and with any kind of hands."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Arrives
from tests.browser.sites import ServedSite

WRONG = "000000"


@pytest.mark.parametrize("window", ["desktop", "phone", "zoomed"])
def test_a_name_and_a_code_lead_to_the_protected_page(
    site: ServedSite, arrives: Arrives, window: str
) -> None:
    al = arrives(site, window).opens("/secret?x=1")
    assert al.path == "/auth"
    al.follows("/auth/ga").gives_name().types_code().presses("authenticate")
    assert al.is_in
    assert al.page.url == f"{site.origin}/secret?x=1"
    assert al.presses_made == 3


@pytest.mark.parametrize("window", ["no script", "dark"])
def test_the_keyboard_alone_is_enough(site: ServedSite, arrives: Arrives, window: str) -> None:
    al = arrives(site, window, "keyboard").opens("/auth/ga")
    assert al.focus == "username"
    al.types("username", al.name)
    assert al.stops == ["username"]
    al.presses("username")
    assert al.focus == "code"
    al.types_code().ticks("remember").tabs_to("authenticate")
    assert al.stops == ["code", "remember", "authenticate"]
    assert al.presses_enter().is_in


def test_enter_in_the_field_is_enough(site: ServedSite, arrives: Arrives) -> None:
    al = arrives(site, hands="keyboard").opens("/auth/ga").types("username", "nobody@example.com")
    al.types("username", al.name).presses_enter().types_code().presses_enter()
    assert al.is_in


def test_everything_on_the_code_page_can_be_reached_by_tab_in_the_order_it_is_read(
    site: ServedSite, arrives: Arrives
) -> None:
    al = arrives(site, hands="keyboard").opens("/auth/ga").gives_name()
    order = al.page.evaluate(
        """() => [...document.querySelectorAll(
          "a[href], button, summary, input:not([type=hidden])")].filter(
          one => one.checkVisibility()).map(one => one.getBoundingClientRect()).map(
          box => Math.round(box.top))"""
    )
    assert order == sorted(order)
    seen = []
    for _ in order:
        seen.append(al.focus)
        al.tabs()
    last = al.page.locator("a[href], button, input:not([type=hidden])").all()
    assert len(set(seen)) >= len(last) - 2  # the page starts at the code, after "Not you?"
    assert seen[:4] == ["code", "remember", "authenticate", "codereminder"]


def test_nothing_moves_where_less_motion_is_asked_for(site: ServedSite, arrives: Arrives) -> None:
    al = arrives(site, "still").opens("/auth/ga")
    moving = al.page.evaluate(
        """() => [...document.querySelectorAll("*")].map(one => getComputedStyle(one)).filter(
          style => parseFloat(style.transitionDuration) > .01 ||
                   parseFloat(style.animationDuration) > .01).length"""
    )
    assert moving == 0


def test_dark_is_dark(site: ServedSite, arrives: Arrives) -> None:
    def lightness(window: str) -> float:
        page = arrives(site, window).opens("/auth/ga").page
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(float, colour.removeprefix("rgb(").rstrip(")").split(",")[:3])) / 3

    assert lightness("dark") < 60 < 200 < lightness("desktop")


def test_arabic_is_read_from_right_to_left(site: ServedSite, arrives: Arrives) -> None:
    al = arrives(site, "right to left").opens("/auth/ga")
    root = al.page.locator("html")
    assert (root.get_attribute("dir"), root.get_attribute("lang")) == ("rtl", "ar")
    al.gives_name().types_code().presses("authenticate")
    assert al.is_in


# -- what goes wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize("window", ["no script", "phone"])
def test_a_wrong_code_is_announced_and_the_field_waits_for_another(
    site: ServedSite, arrives: Arrives, window: str
) -> None:
    al = arrives(site, window).opens("/auth/ga").gives_name()
    al.types("code", WRONG).presses("authenticate")
    assert al.status == 200
    assert al.error
    assert al.focus == "code"
    assert al.value("code") == ""
    assert al.attribute("code", "aria-invalid") == "true"
    described = (al.attribute("code", "aria-describedby") or "").split()
    assert al.page.get_by_role("alert").get_attribute("id") in described
    # One hears the title first.
    assert al.page.title() != arrives(site, same_as=al).opens("/auth/ga").gives_name().page.title()
    assert al.types_code().presses("authenticate").is_in


def test_a_code_that_was_used_says_so(site: ServedSite, arrives: Arrives) -> None:
    al = arrives(site).signs_in()
    code = site.code(al.secret)
    again = arrives(site, same_as=al).opens("/auth/ga").gives_name()
    again.types("code", WRONG).presses("authenticate")
    wrong = again.error
    again.types("code", code).presses("authenticate")
    assert again.error not in ("", wrong)


def test_a_locked_page_says_how_long_and_an_unlock_link_opens_it(
    site: ServedSite, arrives: Arrives
) -> None:
    al = arrives(site).opens("/auth/ga").gives_name()
    while al.types("code", WRONG).presses("authenticate").status == 200:
        assert al.presses_made < 20
    assert al.status == 429
    assert any(digit in al.error for digit in "0123456789")
    al.types_code().presses("authenticate")
    assert al.status == 429

    url = site.command("user", "unlock", f"--username={al.name}")["url"]
    al.opens(url)
    assert al.name in al.text
    al.presses("unlock").opens("/auth/ga").gives_name().types_code().presses("authenticate")
    assert al.is_in


# -- round about ----------------------------------------------------------------------------------


def test_the_chooser_offers_both_ways(site: ServedSite, arrives: Arrives) -> None:
    al = arrives(site).opens("/auth?referrer=/deep")
    assert al.follows("/auth/em").path == "/auth/em"
    al.follows("/auth/ga").gives_name().types_code().presses("authenticate")
    assert al.is_in
    assert al.path == "/deep"


@pytest.mark.parametrize("hands", ["keyboard", "pointer"])
def test_signing_out_ends_it(site: ServedSite, arrives: Arrives, hands: str) -> None:
    al = arrives(site, "desktop", hands).signs_in().opens("/auth/logout")
    assert al.name in al.page.locator("body").inner_text()
    al.presses("logout")
    assert al.opens("/secret").path == "/auth"


def test_browsers_know_what_the_fields_are_for(site: ServedSite, arrives: Arrives) -> None:
    al = arrives(site, "phone").opens("/auth/ga")
    assert al.attribute("username", "autocomplete") == "username"
    assert al.attribute("username", "autocapitalize") in ("off", "none")
    assert al.attribute("username", "inputmode") in (None, "email")
    al.gives_name()
    assert al.attribute("code", "autocomplete") == "one-time-code"
    assert al.attribute("code", "inputmode") == "numeric"
    assert al.attribute("code", "type") in (None, "text")
    # So that a password manager knows whose code it is.
    carried = al.page.locator("input[name=username]")
    assert carried.get_attribute("value") == al.name
    assert carried.get_attribute("autocomplete") == "username"
    al.opens("/auth/em").gives_name()
    assert al.attribute("code", "autocomplete") == "one-time-code"
    assert al.attribute("code", "inputmode") in (None, "text")


def test_a_code_may_be_pasted_with_its_gap(site: ServedSite, arrives: Arrives) -> None:
    al = arrives(site).opens("/auth/ga").gives_name()
    code = site.code(al.secret)
    al.pastes("code", f"{code[:3]} {code[3:]}")
    assert al.value("code").replace(" ", "") == code
    assert al.presses("authenticate").is_in


def test_a_whole_code_is_sent_by_itself_once_the_box_is_ticked(
    site: ServedSite, arrives: Arrives
) -> None:
    """Before that it waits, as the box comes after the code; enrolling has no box."""
    al = arrives(site, "phone").opens("/auth/ga").gives_name().types_code()
    assert al.path == "/auth/ga"
    al.ticks("remember")
    with al.page.expect_navigation():
        al.types_code()
    assert al.is_in
    assert al.presses_made == 1
