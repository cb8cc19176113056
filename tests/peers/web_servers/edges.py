"""What holds for the three web servers that read tickets, beside the scenarios for all."""

from __future__ import annotations

from .harness import MEMBER, WebServer
from .scenarios import ReadsTickets
from .site import IDENTITY


class Edge(ReadsTickets):
    """Derive a class whose name begins with ``Test``."""

    def test_where_a_request_comes_from_is_said_anew(self, web_server: WebServer) -> None:
        member = web_server.member()
        sent = [("X-Forwarded-For", "192.0.2.9"), ("X-Forwarded-Host", "evil.example"),
                ("X-Forwarded-Proto", "http"), ("Forwarded", "for=192.0.2.9")]  # fmt: skip
        assert member.get(f"{self.page}?forwarded=1", *sent).status == 200
        arrived = web_server.site.saw("forwarded=1")
        assert arrived.values("X-Forwarded-For") == [member.address]
        assert arrived.values("X-Forwarded-Host") == [web_server.host]
        assert arrived.values("X-Forwarded-Proto") == ["https"]
        assert arrived.values("Forwarded") == []

    def test_a_connection_that_stays_open_keeps_the_users_name(self, web_server: WebServer) -> None:
        for number, first in enumerate(("keep-alive", "Upgrade", "Te")):
            listed = ("Connection", ", ".join([first, *IDENTITY]))
            mark = f"kept={number}-"
            answer = web_server.member().get(f"{self.page}?{mark}", listed)
            assert answer.status in (200, 400)
            for arrived in web_server.site.requests():
                if mark in arrived.target:
                    assert self.user_of(arrived) == MEMBER


class LuaEdge(Edge):
    """The same, for those that have auth_tkt.lua."""

    def test_a_ticket_is_good_for_max_age_here_however_long_it_says(
        self, web_server: WebServer
    ) -> None:
        remembered = {"remember": True, "lifetime_s": 86400}
        assert web_server.member(age_s=7190, **remembered).get(self.page).status == 200
        assert self.denied(web_server.member(age_s=7210, **remembered).get(self.page))

    def test_a_name_that_would_be_a_header_of_its_own_gets_nobody_in(
        self, web_server: WebServer
    ) -> None:
        """factored issues no such ticket; the header would end in the middle of the name."""
        for name in ("al\r\nX-Evil: 1", "al\nX-Evil: 1", "al\x7f", "\tal"):
            assert self.denied(web_server.member(name).get(f"{self.page}?control=1")), name
        assert web_server.site.never_saw("control=1")
