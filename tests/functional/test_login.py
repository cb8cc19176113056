"""A visitor signs in with Google Auth and lands where he wanted to go."""

from __future__ import annotations

from tests.support import Site


def test_a_right_code_leads_to_the_page_that_was_asked_for(site: Site) -> None:
    anonymous = site.web.get("/page?a=1&b=2")
    assert anonymous.status_int == 302
    assert anonymous.headers["Location"] == "/auth?referrer=/page%3Fa%3D1%26b%3D2"
    chooser = site.web.get(anonymous.headers["Location"])
    assert chooser.headers["Location"] == "/auth/ga?referrer=/page%3Fa%3D1%26b%3D2"
    first = site.web.get(chooser.headers["Location"]).form
    first["username"] = "AL@example.com"
    second = first.submit("submit", value="username").form
    second["code"] = site.code()
    done = second.submit("submit", value="authenticate")
    assert done.status_int == 303
    assert done.headers["Location"] == "/page?a=1&b=2"
    assert "Hello, al@example.com" in site.web.get("/page?a=1&b=2").text
