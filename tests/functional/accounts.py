"""What a signed-in user does on the account page."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import pyotp
from webtest import TestResponse

from factored.interfaces import Mail
from tests.functional.mailing import Post
from tests.support import Browser, Site, token_of


@dataclass
class AccountUser:
    """A user at a site with authenticator apps, and his browser."""

    site: Site
    post: Post
    web: Browser = field(init=False)

    def __post_init__(self) -> None:
        self.web = self.site.web
        self.site.login()

    def page(self, web: Browser | None = None) -> TestResponse:
        return (web or self.web).get("/auth/account")

    def press(self, submit: str, web: Browser | None = None, **fields: str) -> TestResponse:
        web = web or self.web
        form = {"csrf_token": token_of(web.get("/auth/logout")), "submit": submit}
        if submit == "confirm":
            form["id"] = web.shown_id
        return web.post("/auth/account", form | fields)

    def done(self, submit: str, web: Browser | None = None, **fields: str) -> str:
        """-> what the page says after a change that was made"""
        answer = self.press(submit, web, **fields)
        assert answer.status_int == 303, answer
        page = (web or self.web).get(answer.headers["Location"])
        match = re.search(r'role="status">([^<]+)<', page.text)
        assert match, page
        return match[1]

    def ids(self, submit: str, web: Browser | None = None) -> list[str]:
        """button -> the id of every form that has it, in the order of the page"""
        forms = re.findall(r"<form.*?</form>", self.page(web).text, re.DOTALL)
        return [
            match[1]
            for form in forms
            if f'value="{submit}"' in form
            and (match := re.search(r'name="id" value="([^"]+)"', form))
        ]

    def labels(self) -> list[str]:
        return re.findall(r'name="label" type="text" value="([^"]*)"', self.page().text)

    def begin(self) -> str:
        """-> the secret of an authenticator that is being added"""
        return secret_on(self.press("add"))

    def add(self, label: str = "Tablet") -> str:
        """-> the secret of an authenticator that was added"""
        secret = self.begin()
        assert "added" in self.done("confirm", code=self.code(secret), label=label)
        return secret

    def code(self, secret: str, offset_steps: int = 0) -> str:
        return pyotp.TOTP(secret).at(int(self.site.clock.now_s()) + 30 * offset_steps)

    def another_browser(self, address: str = "198.51.100.7", agent: str = "") -> Browser:
        """-> one that is signed in as well"""
        self.site.clock.advance(30)
        web = self.site.browser(address, HTTP_USER_AGENT=agent)
        self.site.login(web)
        return web

    def mail(self) -> Mail:
        return self.post.next()


def secret_on(page: TestResponse) -> str:
    """page -> the key that it shows"""
    match = re.search(r'<code[^>]*id="key"[^>]*>([A-Z2-7 ]+)<', page.text)
    assert match, page
    return match[1].replace(" ", "")


def codes_on(page: TestResponse) -> list[str]:
    """page -> the recovery codes that it shows"""
    return re.findall(r"<code>([0-9A-Z]{4}(?:-[0-9A-Z]{4}){3})</code>", page.text)
