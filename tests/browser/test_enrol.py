"""Setting up an authenticator app by a link: a reminder's, an operator's, an invitation's."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.conftest import Arrives
from tests.browser.sites import ServedSite

MOST_PRESSES = 6
"""More than a newcomer may need from the mail to the protected page, the link in the mail too."""

MOST_S = 15
"""For a machine that does not have to look for its glasses; it takes 2 s on an idle one."""


@pytest.mark.parametrize("window", ["dark phone", "no script"])
def test_a_reminder_leads_to_a_new_authenticator(
    site: ServedSite, arrives: Arrives, window: str, tmp_path: Path
) -> None:
    al = arrives(site, window).opens("/auth/ga").gives_name()
    lost = al.secret
    al.presses("codereminder")
    assert al.status == 200
    al.opens(site.mails.link(site.origin)).presses("show")
    assert al.scans(tmp_path) != lost
    # For those who cannot scan: the same key in groups of four.
    groups = [al.secret[at : at + 4] for at in range(0, len(al.secret), 4)]
    assert " ".join(groups) in " ".join(al.text.split())

    al.gives_code("confirm", "000000")
    assert al.error
    assert al.focus == "code"
    assert al.gives_code("confirm").error == ""
    assert al.goes_on().is_in


def test_a_link_of_the_operator_works_by_keyboard_alone(
    site: ServedSite, arrives: Arrives, tmp_path: Path
) -> None:
    al = arrives(site, hands="keyboard")
    url = site.command("user", "reset", f"--username={al.name}")["url"]
    al.opens(url)
    assert al.focus == "show"
    al.presses("show").scans(tmp_path)
    assert al.gives_code("confirm").goes_on().is_in


def test_a_link_that_was_used_says_so(site: ServedSite, arrives: Arrives, tmp_path: Path) -> None:
    al = arrives(site)
    url = site.command("user", "reset", f"--username={al.name}")["url"]
    al.opens(url).presses("show").scans(tmp_path)
    al.gives_code("confirm").opens(url)
    assert al.status == 404
    assert al.page.locator("h1").inner_text()


@pytest.mark.parametrize("window", ["phone", "no script"])
def test_a_newcomer_gets_from_the_invitation_to_the_protected_page(
    site: ServedSite,
    arrives: Arrives,
    window: str,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """For the numbers: ``pytest --junitxml=FILE -o junit_family=legacy``."""
    site.command("user", "invite", "--username=new@example.com", "--mail")
    al = arrives(site, window)
    al.name, al.secret = "new@example.com", ""
    start_s = time.monotonic()
    al.opens(site.mails.link(site.origin)).presses_made = 1
    al.presses("show")
    # On the phone that the app is on there is nothing to scan it with.
    (al.takes_the_link() if window == "phone" else al.scans(tmp_path))
    al.gives_code("confirm").goes_on()
    took_s = time.monotonic() - start_s
    assert al.is_in
    record_property("presses", al.presses_made)
    record_property("seconds", round(took_s, 1))
    assert al.presses_made <= MOST_PRESSES
    assert took_s < MOST_S


def test_an_invitation_is_seldom_the_end_and_recovery_codes_are_one_press_away(
    site: ServedSite, arrives: Arrives, tmp_path: Path
) -> None:
    site.command("user", "invite", "--username=new@example.com", "--mail")
    al = arrives(site, "phone")
    al.name, al.secret = "new@example.com", ""
    al.opens(site.mails.link(site.origin)).presses("show").takes_the_link()
    al.gives_code("confirm").follows("/auth/account").presses("codes")
    assert al.recovery_codes()
    assert al.goes_on().path == "/auth/account"
