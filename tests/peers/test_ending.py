"""What ends a ticket, what does not, and how soon every process knows."""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Callable

import pytest
from pyramid.authentication import BadTicket, parse_ticket

from factored.keys import BROWSER, KeyRing, parse_keys

from .client import Browser, code, form_of, visitor
from .servers import Front, Nginx, each_worker, eventually

SOON_S = 5
"""Within which an end is known to every process (PROMISES 12)."""


def on_every_worker(front: Front, browser: Browser) -> list[bool]:
    """-> whether each process lets this browser in"""
    found = []
    for alone in each_worker(front):
        with alone:
            found.append(browser.signed_in())
    return found


def ends_soon(front: Front, browser: Browser) -> None:
    """Fails unless every process refuses the browser, from some moment in the next 5 s on."""
    end = time.monotonic() + SOON_S
    eventually(lambda: not any(on_every_worker(front, browser)), within_s=SOON_S)
    assert time.monotonic() <= end


def copy_of(browser: Browser) -> Browser:
    """-> the same cookies in other hands, which nobody tells to forget them"""
    return Browser(browser.port, browser.address, dict(browser.cookies))


@pytest.mark.parametrize("verb", ["remove", "disable", "reset"])
def test_what_an_operator_ends_is_over_in_every_process(front: Front, verb: str) -> None:
    user, other, browser, bystander = (
        front.add_user(), front.add_user(), visitor(front), visitor(front)
    )  # fmt: skip
    browser.sign_in(user)
    bystander.sign_in(other)
    assert all(on_every_worker(front, browser))
    front.installation.done("user", verb, f"--username={user.name}", "--json")
    ends_soon(front, browser)
    assert all(on_every_worker(front, bystander))


def test_a_disabled_user_gets_in_again_once_enabled(front: Front) -> None:
    user, browser = front.add_user(), visitor(front)
    front.installation.done("user", "disable", f"--username={user.name}")
    assert browser.attempt(user.name, code(user.secret)).status == 200
    front.installation.done("user", "enable", f"--username={user.name}")
    browser.sign_in(user)


def test_a_reset_ends_what_was_and_a_new_authenticator_gets_in(front: Front) -> None:
    user, browser = front.add_user(), visitor(front)
    told = front.installation.done("user", "reset", f"--username={user.name}", "--json")
    path = json.loads(told)["url"]
    browser.sign_in(user)  # the old one works until then
    other = copy_of(browser)
    shown = browser.send(form_of(browser.get(path)), submit="show")
    key = re.search(r'class="key">([A-Z2-7 ]+)<', shown.text)
    assert key
    secret = key[1].replace(" ", "")
    done = browser.send(form_of(shown), code=code(secret), submit="confirm")
    assert "is set up" in done.text
    ends_soon(front, other)
    assert all(on_every_worker(front, browser)), "who set it up is signed in"
    assert visitor(front).attempt(user.name, code(user.secret, 1)).status == 200
    visitor(front).sign_in(dataclasses.replace(user, secret=secret), steps=1)
    assert browser.get(path).status == 404


def test_signing_out_everywhere_ends_the_tickets_of_all_browsers(front: Front) -> None:
    user, here, there = front.add_user(), visitor(front), visitor(front)
    here.sign_in(user)
    there.sign_in(user, steps=1)
    assert all(on_every_worker(front, there))
    done = here.send(form_of(here.get("/auth/logout")), submit="everywhere")
    assert "in every browser" in done.text
    ends_soon(front, there)


def test_logging_out_ends_the_ticket_for_whoever_holds_it(front: Front) -> None:
    user, browser = front.add_user(), visitor(front)
    browser.sign_in(user)
    thief = copy_of(browser)
    assert all(on_every_worker(front, thief))
    asked = form_of(browser.get("/auth/logout?referrer=/goodbye"))
    done = browser.send(asked, submit="logout")
    assert done.status == 303
    assert done.header("Location") == "/goodbye"
    assert "auth_tkt" not in browser.cookies
    ends_soon(front, thief)


def test_a_login_ends_the_ticket_that_the_browser_had(front: Front) -> None:
    user, browser = front.add_user(), visitor(front)
    browser.sign_in(user)
    thief = copy_of(browser)
    browser.sign_in(user, target="/auth/ga", steps=1)
    assert all(on_every_worker(front, browser))
    ends_soon(front, thief)


def test_asking_to_log_out_ends_nothing_yet(front: Front) -> None:
    user, browser = front.add_user(), visitor(front)
    browser.sign_in(user)
    assert "Sign out" in browser.get("/auth/logout").text
    assert all(on_every_worker(front, browser))


@pytest.mark.parametrize("kind", ["waitress", "gunicorn"])
def test_a_restart_loses_nobody(make_front: Callable[..., Front], nginx: Nginx, kind: str) -> None:
    front = make_front(kind, nginx.port)
    user, gone, browser = front.add_user(), front.add_user(), visitor(front)
    browser.sign_in(user)
    ended = visitor(front)
    ended.sign_in(gone)
    left = copy_of(ended)
    ended.send(form_of(ended.get("/auth/logout")), submit="logout")
    front.server.restart()
    assert all(on_every_worker(front, browser))
    # And whoever was logged out before stays out.
    assert not any(on_every_worker(front, left))


@pytest.mark.parametrize("kind", ["waitress", "gunicorn"])
def test_keys_rotate_under_a_user_who_stays_logged_in(
    make_front: Callable[..., Front], nginx: Nginx, kind: str
) -> None:
    front = make_front(kind, nginx.port)
    folder = front.installation.folder
    user, other = front.add_user(), front.add_user()
    browser, later = visitor(front), visitor(front)
    browser.sign_in(user)
    form = later.name_given(other.name)
    assert all(on_every_worker(front, browser))
    old = (folder / "factored.secret").read_text().split()[0]
    for file in ("key_file", "auth_tkt.secret_file"):
        front.installation.done("keys", "add", f"--of={file}")
    assert all(on_every_worker(front, browser))
    for file in ("key_file", "auth_tkt.secret_file"):
        front.installation.done("keys", "promote", f"--of={file}")
    promoted = parse_keys((folder / "factored.key").read_text())[:1]
    newest = KeyRing(lambda: promoted)

    secret = (folder / "factored.secret").read_text().split()[0]
    assert secret != old

    def browser_cookie_is_new() -> bool:
        fresh = visitor(front)
        fresh.get("/auth/ga")
        return newest.unsign(BROWSER, fresh.cookies["factored_browser"][0]) is not None

    def ticket_is_new() -> bool:
        fresh = visitor(front)
        fresh.sign_in(front.add_user())
        try:
            parse_ticket(secret, fresh.cookies["auth_tkt"][0], "0.0.0.0", "sha512")
        except BadTicket:
            return False
        return True

    for alone in each_worker(front):
        with alone:
            assert browser.signed_in()
            eventually(browser_cookie_is_new, within_s=SOON_S)
            eventually(ticket_is_new, within_s=SOON_S)
            assert browser.signed_in()
    # The form that was open all the time still works, and the stored TOTP secret can be read.
    done = later.send(form, code=code(other.secret), submit="authenticate")
    assert done.status == 303, done
    again = visitor(front)
    again.sign_in(user, steps=1)
    assert all(on_every_worker(front, again))
    assert all(on_every_worker(front, browser))
