"""Email at /em: a mail to the stored address, with a code for the browser that asked for it.

The mail may hold a link too, which works in any browser.
"""

from __future__ import annotations

from factored import codes, names
from factored.interfaces import Asker, Challenge, Mail, SchemeContext, User, Verdict
from factored.keys import CHALLENGE, CODE, LOGIN_LINK
from factored.words import _


class EmailScheme:
    """:class:`factored.interfaces.LinkScheme` for codes and links by mail.

    A name without an account, or without an address, has challenges that no mail tells of, so
    that it looks like any other. Of a browser's challenges the newest counts.
    Source: PROMISES 8 and 9; NIST SP 800-63B section 3.1.3 on what a mailbox proves.
    """

    name = _("Email")
    path = "em"
    budget = "email"
    title = _("Sign in by e-mail")
    code_label = _("Code from the mail")
    code_desc = _("Nothing there? Look into the spam folder, and check the name above.")
    sends = True

    def __init__(self, context: SchemeContext) -> None:
        settings = context.settings
        self._challenges = context.challenges
        self._hasher = context.hasher
        self._outbox = context.outbox
        self._finder = context.finder
        self._clock = context.clock
        self._window_s: int = settings.email_auth_window
        self._subject: str = settings.email_auth_subject
        self._body: str = settings.email_auth_body

    def check_sending(self) -> None:
        self._outbox.check()

    def challenge(self, user: User | None, asker: Asker) -> None:
        now_s = int(self._clock.now_s())
        address = self._address(user, asker.username)
        code = codes.new_mail_code()
        token = codes.new_link_token() if "{url}" in self._body else ""
        challenge_id = codes.new_id()
        self._challenges.add(
            Challenge(
                challenge_id,
                self.path,
                user.id if user else None,
                names.key(asker.username),
                address,
                self._browser_hashes(asker)[0],
                self._code_hashes(challenge_id, code)[0],
                now_s,
                now_s + self._window_s,
                self._link_hashes(token)[0] if token else None,
                asker.return_to if token else "",
            )
        )
        if address:
            text = asker.words(self._body).replace("{code}", f"{code[:4]}-{code[4:]}")
            text = text.replace("{url}", f"{asker.link_url}{token}")
            subject = " ".join(asker.words(self._subject).split())
            self._outbox.post(Mail(address, subject, text, now_s + self._window_s))

    def awaited(self, asker: Asker) -> Challenge | None:
        now_s = int(self._clock.now_s())
        found = self._challenges.newest(self._browser_hashes(asker), self.path, now_s=now_s)
        return found if found and found.username_key == names.key(asker.username) else None

    def linked(self, token: str) -> Challenge | None:
        now_s = int(self._clock.now_s())
        return self._challenges.linked(self._link_hashes(token), self.path, now_s=now_s)

    def normalise(self, text: str) -> str | None:
        return codes.mail_code(text)

    def verify(
        self,
        user: User | None,
        response: str,
        challenge: Challenge | None = None,
        *,
        known_device: bool = False,
    ) -> Verdict:
        if challenge is None:
            return Verdict.EXPIRED
        now_s = int(self._clock.now_s())
        hashes = [*self._code_hashes(challenge.id, response), *self._link_hashes(response)]
        right = self._challenges.answer(challenge.id, hashes, now_s=now_s)
        # The account may have been made, removed or disabled since the mail was sent.
        same_user = challenge.user_id == (user.id if user else None)
        if right and same_user and challenge.address and not (user and user.disabled_at):
            return Verdict.ACCEPTED
        return Verdict.WRONG if user else Verdict.UNKNOWN_USER

    def _address(self, user: User | None, name: str) -> str:
        """user or None, name -> where a mail may go: never to what was typed; empty for nowhere"""
        # Asked for known names as well: it takes its time, and it may be down.
        found = self._finder.find(name) if self._finder else None
        address = user.username if user else found
        if user and user.disabled_at is not None:
            return ""
        is_that_name = address is not None and names.key(address) == names.key(name)
        return address if address and is_that_name and names.ADDRESS.fullmatch(address) else ""

    def _browser_hashes(self, asker: Asker) -> list[str]:
        return self._hasher.macs(CHALLENGE, asker.browser_id)

    def _code_hashes(self, challenge_id: str, code: str) -> list[str]:
        return self._hasher.macs(CODE, f"{challenge_id} {code}")

    def _link_hashes(self, token: str) -> list[str]:
        return self._hasher.macs(LOGIN_LINK, token)
