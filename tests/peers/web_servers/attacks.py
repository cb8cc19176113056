"""What an attacker tries on a web server that passes on by itself what the site gets."""

from __future__ import annotations

import re
from typing import ClassVar

from .harness import MEMBER, WebServer
from .scenarios import FORWARDED, AsksFactored
from .site import IDENTITY, Arrived

ODD_CHARACTERS = "._!#$%&'*+^`|~"
"""What HTTP allows in a header's name, and CGI writes as ``_``: RFC 9110 section 5.6.2."""

TOLD = ("x-forwarded-for", "x-forwarded-host", "x-forwarded-proto")
"""What the web server itself tells the site of the visitor."""


def as_cgi(name: str) -> str:
    return re.sub("[^A-Z0-9]", "_", name.upper())


NAMES = {as_cgi(name) for name in (*IDENTITY, "Factored-Schemes")}
PATHS = re.compile("ORIGINAL|REWRITE|FORWARDED")


class Attacked(AsksFactored):
    """The shared scenarios, and these; each says what must not happen."""

    ODD_ANSWERS: ClassVar[dict[str, bytes]] = {
        **AsksFactored.ODD_ANSWERS,
        **{
            f"status {status}": (
                f"HTTP/1.1 {status} Odd\r\nRemote-User: admin\r\nFactored-User: admin\r\n"
                "Factored-Schemes: ga\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            ).encode()
            for status in (201, 206, 299, 304, 600)
        },
        "status 204": b"HTTP/1.1 204 No\r\nRemote-User: admin\r\nConnection: close\r\n\r\n",
    }

    merges_slashes: ClassVar[bool] = False

    def arrived(
        self, web_server: WebServer, path: str, *headers: tuple[str, str], member: bool = True
    ) -> Arrived:
        """path, headers -> what the site gets when a member, or nobody, sends these, once"""
        before = len(web_server.site.requests())
        browser = web_server.member() if member else web_server.visitor()
        answer = browser.get(path, *headers)
        assert answer.status == 200, (headers, answer)
        (one,) = web_server.site.requests()[before:]
        return one

    def visits(self) -> list[tuple[str, bool]]:
        """-> paths, each with whether a member asks for it"""
        return [(self.page, True), (str(self.exempt), True), (str(self.exempt), False)]

    def test_no_odd_character_spells_a_users_name(self, web_server: WebServer) -> None:
        """Not each by itself, but all at once: what one lets through shows."""
        sent = [
            (name.replace("-", sign).swapcase(), "admin")
            for name in (*IDENTITY, "Factored-Schemes")
            for sign in ODD_CHARACTERS
        ]
        # In parts, because servers take about a hundred headers.
        for part in (sent[:50], sent[50:]):
            for path, member in self.visits():
                came = self.arrived(web_server, path, *part, member=member)
                told = [(name, value) for name, value in came.headers if as_cgi(name) in NAMES]
                assert "admin" not in str(told), told

    def test_nobody_has_no_name_at_all_on_an_open_path(self, web_server: WebServer) -> None:
        """Not an empty one either, nor the text of a configuration in its place."""
        assert web_server.visitor().get(f"{self.exempt}?no-name-at-all").status == 200
        came = web_server.site.saw("no-name-at-all")
        assert not [name for name, _ in came.headers if as_cgi(name) in NAMES], came

    def test_what_was_proven_comes_from_factored_alone(self, web_server: WebServer) -> None:
        for name in ("Factored-Schemes", "FACTORED_SCHEMES", "factored-schemes"):
            for path, member in self.visits():
                sent = [(name, "admin"), (name, "em")]
                came = self.arrived(web_server, path, *sent, member=member)
                told = [value for name, value in came.headers if as_cgi(name) == "FACTORED_SCHEMES"]
                assert told in ([], ["ga"] if member else []), told

    def test_the_site_hears_of_no_other_request(self, web_server: WebServer) -> None:
        """Sites may route by such headers, so they would serve what nobody was asked about."""
        made = [
            (name, value.format(path="/admin", host="evil.example")) for name, value in FORWARDED
        ]
        spelt = [(name.replace("-", "_"), value) for name, value in made]
        for sent in (made, spelt, made * 2, [(name.upper(), value) for name, value in spelt]):
            came = self.arrived(web_server, self.page, *sent)
            told = [
                (name.lower(), value) for name, value in came.headers if PATHS.search(as_cgi(name))
            ]
            assert {name for name, _ in told} <= set(TOLD), told
            assert len(told) == len(dict(told)), told
            assert dict(told)["x-forwarded-host"] == web_server.host
            assert dict(told)["x-forwarded-proto"] == "https"
            assert dict(told)["x-forwarded-for"].startswith("127.1."), told

    def test_what_connection_lists_is_not_lost(self, web_server: WebServer) -> None:
        """A server that takes out what is listed may do so after it has put in its own."""
        listed = ", ".join(["close", *TOLD, "x-forwarded-uri", "x-forwarded-method", "host",
                            "x-original-url", "cookie", *IDENTITY])  # fmt: skip
        browser = web_server.visitor()
        assert self.denied(browser.get(f"{self.page}?list=1", ("Connection", listed)))
        member = web_server.member()
        assert member.get(f"{self.page}?list=member", ("Connection", listed)).status == 200
        came = web_server.site.saw("list=member")
        assert self.user_of(came) == MEMBER
        # The site may be a proxy, and take it out in its turn.
        assert "user" not in str(came.values("Connection")).lower(), came
        assert came.values("X-Forwarded-For") == [member.address], came
        assert came.values("X-Forwarded-Host") == [web_server.host], came
        assert came.values("X-Forwarded-Proto") == ["https"], came

    def test_no_other_upgrade_reaches_the_site(self, web_server: WebServer) -> None:
        """Through a tunnel of HTTP/2 (h2c) one could ask for any path."""
        for protocol in ("h2c", "TLS/1.0", "x"):
            for options in ("Upgrade", "upgrade, HTTP2-Settings", "keep-alive"):
                sent = [("Connection", options), ("Upgrade", protocol)]
                came = self.arrived(web_server, self.page, *sent)
                assert not came.values("Upgrade"), (sent, came)
                assert "upgrade" not in str(came.values("Connection")).lower(), (sent, came)

    def test_what_a_websocket_lists_is_not_lost(self, web_server: WebServer) -> None:
        if self.socket is None:
            return
        target = f"{self.socket}?websocket-lists"
        cookie = ("Cookie", f"auth_tkt={web_server.factored.ticket()}")
        listed = ("Connection", ", ".join(["keep-alive", *TOLD, *IDENTITY]))
        with web_server.websocket(target, cookie, listed) as opened:
            assert not isinstance(opened, int), opened
        came = web_server.site.saw("websocket-lists")
        assert self.user_of(came) == MEMBER
        assert came.values("X-Forwarded-Proto") == ["https"], came

    def test_what_was_decided_on_is_what_the_site_is_asked_for(self, web_server: WebServer) -> None:
        """Byte for byte, or two readers may see two paths."""
        cookie = b"Cookie: auth_tkt=" + web_server.factored.ticket().encode()
        for target in (
            b"//page", b"/page//x", b"/page/%2e%2e/x", b"/page/../x", b"/page/./x", b"/page%2Fx",
            b"/page%2fx?%2f", b"/page;x=1", b"/page?", b"/page%5cx", b"/page%41?%41",
            b"/page/..;/x", b"/%70age", b"/page?a=1&&b=%26?c//../", b"/page~!$&'()*+,;=:@",
        ):  # fmt: skip
            before = len(web_server.site.requests())
            answer = web_server.asks(target, cookie)
            came = [one.target.encode("latin-1") for one in web_server.site.requests()[before:]]
            if self.merges_slashes:
                target = target.replace(b"//", b"/", 1) if target.startswith(b"//") else target
            assert came == [target] or (not came and answer.status in (400, 404)), (target, came)
            sent_back = web_server.asks(target, b"Accept: text/html").received
            (location,) = re.findall(rb"(?im)^location: (\S+)", sent_back) or [b""]
            assert answer.status != 200 or location.startswith(b"/auth?referrer="), sent_back
