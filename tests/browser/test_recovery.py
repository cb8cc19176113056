"""Recovery codes: made and kept, and one used when the phone is gone."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Arrives
from tests.browser.sites import ServedSite
from tests.browser.test_account import WAYS, signed_in

CODES = 10
LEAST_CHARACTERS = 16
"""80 bits at 5 bits a character."""


@pytest.mark.parametrize(("window", "hands"), WAYS)
def test_a_recovery_code_opens_once(
    site: ServedSite, arrives: Arrives, window: str, hands: str
) -> None:
    al = signed_in(site, arrives, window, hands=hands).presses("codes")
    codes = al.recovery_codes()
    assert len(set(codes)) == CODES
    assert all(len(code.replace("-", "")) >= LEAST_CHARACTERS for code in codes)
    # Shown once.
    assert codes[0] not in al.opens("/auth/account").everything

    lost = arrives(site, window, hands, same_as=al).opens("/auth/ga").gives_name()
    lost.follows("/auth/rc").gives_name()
    assert lost.attribute("code", "inputmode") in (None, "text")
    lost.types("code", codes[0].lower()).presses("authenticate")
    assert lost.is_in

    again = arrives(site, same_as=al).opens("/auth/rc").gives_name()
    again.types("code", codes[0]).presses("authenticate")
    assert again.error
    again.types("code", codes[1]).presses("authenticate")
    assert again.is_in


def test_new_codes_void_the_old(site: ServedSite, arrives: Arrives) -> None:
    al = signed_in(site, arrives).presses("codes")
    (old, *_) = al.recovery_codes()
    al.opens("/auth/account").presses("codes")
    (new, *_) = al.recovery_codes()
    lost = arrives(site, same_as=al).opens("/auth/rc").gives_name()
    lost.types("code", old).presses("authenticate")
    assert lost.error
    lost.types("code", new).presses("authenticate")
    assert lost.is_in


def test_the_codes_can_be_downloaded(site: ServedSite, arrives: Arrives) -> None:
    al = signed_in(site, arrives).presses("codes")
    shown = al.recovery_codes()
    with al.page.expect_download() as loading:
        al.page.locator("a[download]").click()
    kept = loading.value.path().read_text("utf-8")
    assert loading.value.suggested_filename.endswith(".txt")
    assert all(code in kept for code in shown)
