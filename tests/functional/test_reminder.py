"""A user who lost the authenticator sets up a new one by a link in a mail."""

from __future__ import annotations

import html
import json
import logging
import re
import urllib.parse
from collections.abc import Callable

import pyotp
import pytest
from webtest import TestResponse

from factored.interfaces import Mail, SendingFails
from factored.mail import Postman
from factored.services.outbox import BackgroundOutbox
from tests.support import NAME, Browser, Site, token_of

PUBLIC = {"public_url": "http://localhost:80", "mail__host": "debug"}


@pytest.fixture
def mails(monkeypatch: pytest.MonkeyPatch) -> list[Mail]:
    """What is posted; nothing is sent, and nobody waits."""
    posted: list[Mail] = []
    monkeypatch.setattr(BackgroundOutbox, "post", lambda self, mail: posted.append(mail))
    return posted


@pytest.fixture
def reminding(make_site: Callable[..., Site]) -> Site:
    return make_site(allowgooglecodereminder="true", **PUBLIC)


def remind(web: Browser, name: str = NAME) -> TestResponse:
    token = token_of(web.get("/auth/ga"))
    form = {"csrf_token": token, "username": name, "submit": "codereminder"}
    return web.post("/auth/ga", form, expect_errors=True)


def link_in(mail: Mail) -> str:
    match = re.search(r"http://localhost(?::80)?(/auth/enrol/\S+)", mail.text)
    assert match, mail.text
    return match[1]


def press(web: Browser, link: str, submit: str, **fields: str) -> TestResponse:
    token = token_of(web.get(link))
    form = {"csrf_token": token, "submit": submit, "id": web.shown_id, **fields}
    return web.post(link, form, expect_errors=True)


def secret_on(page: TestResponse) -> str:
    match = re.search(r"secret=([A-Z2-7]+)", html.unescape(page.text))
    assert match, page.text
    return match[1]


def test_a_new_secret_counts_once_a_code_of_it_was_shown(
    reminding: Site, mails: list[Mail]
) -> None:
    site = reminding
    site.login()
    old_ticket = site.web.cookies["auth_tkt"]
    phone = site.browser("192.0.2.77")
    assert "a link is on its way" in remind(phone).text
    (mail,) = mails
    assert (mail.to, mail.sender) == (NAME, "")
    assert site.secret not in mail.text
    link = link_in(mail)

    page = phone.get(link)
    assert NAME in page.text
    assert "<svg" not in page.text
    shown = press(phone, link, "show")
    assert "<svg" in shown.text
    secret = secret_on(shown)
    assert len(secret) == 32
    assert secret != site.secret

    site.clock.advance(60)
    assert site.attempt(site.code()).status_int == 303, "the old one works until then"
    wrong = press(phone, link, "confirm", code="000000")
    assert 'role="alert"' in wrong.text
    assert secret_on(wrong) == secret, "the same QR code is shown again"

    done = press(phone, link, "confirm", code=pyotp.TOTP(secret).at(int(site.clock.now_s())))
    assert "Your authenticator is set up" in done.text
    assert phone.get("/").status_int == 200, "who enrolled is signed in"
    assert any(line.startswith("factored_device=") for line in done.headers.getall("Set-Cookie"))
    assert site.browser().cookie(old_ticket).get("/").status_int == 302, "open tickets end"
    assert "New authenticator" in mails[-1].subject
    assert phone.get(link, expect_errors=True).status_int == 404, "the link is spent"

    site.clock.advance(60)
    assert site.attempt(site.code(), site.browser("192.0.2.78")).status_int == 200
    site.secret = secret
    site.login(site.browser("192.0.2.79"))


def test_leaving_half_way_changes_nothing(reminding: Site, mails: list[Mail]) -> None:
    remind(reminding.web)
    press(reminding.web, link_in(mails[0]), "show")
    reminding.login()


@pytest.mark.parametrize(("offset_s", "status"), [(-1, 200), (0, 404), (1, 404)])
def test_the_link_lives_half_an_hour(
    reminding: Site, mails: list[Mail], offset_s: int, status: int
) -> None:
    remind(reminding.web)
    reminding.clock.advance(1800 + offset_s)
    assert reminding.web.get(link_in(mails[0]), expect_errors=True).status_int == status


def test_every_name_is_answered_alike_and_only_a_stored_address_gets_mail(
    reminding: Site, mails: list[Mail]
) -> None:
    reminding.command("user", "add", "--username=no-address")
    pages = {remind(reminding.web, name).text for name in (NAME, "no-address", "nobody@x.test")}
    assert len(pages) == 1
    assert [mail.to for mail in mails] == [NAME]


def test_asking_has_a_cooldown_for_known_and_unknown_names(
    reminding: Site, mails: list[Mail]
) -> None:
    for name in (NAME, "nobody@example.com"):
        answers = [remind(reminding.web, name).status_int for _ in range(4)]
        assert answers == [200, 200, 200, 429]
    assert len(mails) == 3


def test_a_second_link_takes_the_first_ones_secret_away(reminding: Site, mails: list[Mail]) -> None:
    remind(reminding.web)
    remind(reminding.web)
    first, second = map(link_in, mails)
    old = secret_on(press(reminding.web, first, "show"))
    press(reminding.web, second, "show")
    code = pyotp.TOTP(old).at(int(reminding.clock.now_s()))
    assert 'role="alert"' in press(reminding.web, first, "confirm", code=code).text


def test_without_the_setting_or_a_public_url_there_is_no_button(
    make_site: Callable[..., Site], mails: list[Mail]
) -> None:
    for changed in ({"public_url": "http://localhost"}, {"allowgooglecodereminder": "true"}):
        site = make_site(**changed)
        token = site.csrf()
        form = {"csrf_token": token, "username": NAME, "submit": "username"}
        assert "codereminder" not in site.web.post("/auth/ga", form).text
        assert remind(site.web).status_int == 400
    assert not mails


def test_while_sending_fails_everybody_reads_that(
    reminding: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: object) -> None:
        raise SendingFails("down")

    monkeypatch.setattr(BackgroundOutbox, "check", fails)
    pages = {remind(reminding.web, name).status_int for name in (NAME, "nobody@example.com")}
    assert pages == {503}


def test_an_enrolment_link_is_no_unlock_link_and_the_other_way_round(
    reminding: Site, mails: list[Mail]
) -> None:
    remind(reminding.web)
    token = link_in(mails[0]).rpartition("/")[2]
    assert reminding.web.get(f"/auth/unlock/{token}", expect_errors=True).status_int == 404
    printed = reminding.command("user", "unlock", f"--username={NAME}", "--json")
    url = json.loads(printed)["url"] if isinstance(printed, str) else None
    if url:
        other = url.rpartition("/")[2]
        assert reminding.web.get(f"/auth/enrol/{other}", expect_errors=True).status_int == 404


def test_the_news_of_an_enrolment_is_not_worth_an_error(
    reminding: Site, mails: list[Mail], monkeypatch: pytest.MonkeyPatch
) -> None:
    remind(reminding.web)
    link = link_in(mails[0])
    secret = secret_on(press(reminding.web, link, "show"))

    def full(self: object, mail: Mail) -> None:
        raise SendingFails("too many")

    monkeypatch.setattr(BackgroundOutbox, "post", full)
    code = pyotp.TOTP(secret).at(int(reminding.clock.now_s()))
    assert "is set up" in press(reminding.web, link, "confirm", code=code).text


def test_a_sent_reminder_comes_from_its_own_sender(
    make_site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Mail] = []
    monkeypatch.setattr(Postman, "send", lambda self, mail: sent.append(mail))
    monkeypatch.setattr(BackgroundOutbox, "post", lambda self, mail: Postman.send(self, mail))
    site = make_site(
        allowgooglecodereminder="true",
        allowgooglecodereminder__sender="help@example.com",
        allowgooglecodereminder__subject="Lost it?",
        allowgooglecodereminder__body="Go to {code} now",
        **PUBLIC,
    )
    remind(site.web)
    (mail,) = sent
    assert (mail.sender, mail.subject) == ("help@example.com", "Lost it?")
    assert re.fullmatch(r"Go to http://localhost\S*/auth/enrol/\S{32} now", mail.text)


# -- links that are good no more ------------------------------------------------------------------


def reset(site: Site) -> str:
    """-> path of the link that the operator makes"""
    told = json.loads(site.command("user", "reset", f"--username={NAME}", "--json"))
    return urllib.parse.urlsplit(told["url"]).path


def enrol(site: Site, link: str) -> TestResponse:
    secret = secret_on(press(site.web, link, "show"))
    code = pyotp.TOTP(secret).at(int(site.clock.now_s()))
    return press(site.web, link, "confirm", code=code)


def test_once_an_authenticator_is_set_up_every_other_enrolment_link_is_over(
    reminding: Site, mails: list[Mail]
) -> None:
    """One of them may have gone astray, or been asked for by whoever reads the mailbox."""
    made = reset(reminding)
    remind(reminding.web)
    mailed = link_in(mails[0])
    assert "is set up" in enrol(reminding, made).text
    assert reminding.web.get(mailed).status_int == 404


def test_a_reset_ends_the_links_from_before(reminding: Site, mails: list[Mail]) -> None:
    remind(reminding.web)
    older = [link_in(mails[0]), reset(reminding)]
    newest = reset(reminding)
    for link in older:
        assert reminding.web.get(link).status_int == 404
    assert "is set up" in enrol(reminding, newest).text


def test_disabling_ends_all_links_for_good(reminding: Site) -> None:
    told = json.loads(reminding.command("user", "unlock", f"--username={NAME}", "--json"))
    links = [reset(reminding), urllib.parse.urlsplit(told["url"]).path]
    for verb in ("disable", "enable"):
        reminding.command("user", verb, f"--username={NAME}")
        for link in links:
            assert reminding.web.get(link).status_int == 404


def test_a_wrong_code_of_a_new_secret_is_an_audit_event(
    reminding: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "factored.audit")
    link = reset(reminding)
    press(reminding.web, link, "show")
    press(reminding.web, link, "confirm", code="000000")
    line = 'event=enrolment user="al@example.com" scheme="ga" source="192.0.2.1" result="failure"'
    assert f'{line} reason="wrong"' in caplog.text
    assert "is set up" in enrol(reminding, link).text
    assert f'{line.replace("failure", "success")} reason="link"' in caplog.text
