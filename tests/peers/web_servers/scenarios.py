"""What every web server with a shipped configuration must do, as suites.

Derive a class whose name begins with ``Test`` from :class:`AsksFactored` or :class:`ReadsTickets`,
give it a class-scoped fixture ``web_server``, and say by class attributes where it differs.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from tests.peers.client import Answer, Browser, form_of
from tests.support import eventually

from .harness import MEMBER, WebServer
from .site import IDENTITY, MOVING, Arrived

REDIRECTS = (302, 303, 307)
REVOKED_WITHIN_S = 5
"""PROMISES 12."""
HANGING_S = 15
"""More than a shipped configuration waits for factored."""


def spellings(name: str) -> set[str]:
    """header -> each way to write it that a site may take for the same: case, ``-`` and ``_``"""
    made = {name}
    for place in (place for place, sign in enumerate(name) if sign == "-"):
        made |= {f"{one[:place]}_{one[place + 1 :]}" for one in made}
    return {change(one) for one in made for change in (str, str.upper)} | {name.lower()}


SPELLINGS = sorted(spelling for name in IDENTITY for spelling in spellings(name))

SCRIPTS: list[tuple[str, dict[str, str]]] = [
    ("GET", {"X-Requested-With": "XMLHttpRequest"}),
    ("GET", {"Accept": "application/json"}),
    ("GET", {"Accept": "*/*", "Sec-Fetch-Mode": "cors"}),
    ("POST", {"Accept": "text/html"}),
    ("PUT", {}),
    ("DELETE", {}),
    ("OPTIONS", {}),
]
"""Requests that no browser shows as a page: method, headers."""

FORWARDED: list[tuple[str, str]] = [
    ("X-Original-URL", "https://{host}{path}"),
    ("X-Original-URL", "{path}"),
    ("X-Original-URI", "{path}"),
    ("X-Rewrite-URL", "{path}"),
    ("X-Forwarded-Uri", "{path}"),
    ("X-Forwarded-Url", "{path}"),
    ("X-Forwarded-Path", "{path}"),
    ("X-Forwarded-Prefix", "{path}"),
    ("X-Original-Method", "OPTIONS"),
    ("X-Forwarded-Method", "OPTIONS"),
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Proto", "http"),
    ("X-Forwarded-For", "127.0.0.1"),
    ("Forwarded", 'for=127.0.0.1;host=evil.example;path="{path}"'),
]
"""Headers with which a client may try to name another request: name, value."""


class Everyone:
    """What holds for all; see the subclasses."""

    base: ClassVar[str] = "/auth"
    """base_auth_url."""
    page: ClassVar[str] = "/page"
    """A protected path; below it everything is protected."""
    exempt: ClassVar[str | None] = "/open"
    """A path that needs no ticket, compared exactly; None: this configuration has none."""
    socket: ClassVar[str | None] = "/socket"
    """A protected WebSocket of the site; None: they do not pass."""
    identity: ClassVar[tuple[str, ...]] = ("Remote-User", "Factored-User")
    """Headers with the user's name at the site; the others never come."""
    hides_ticket: ClassVar[bool] = True
    """Whether the site gets all cookies but the ticket."""
    knows_scripts: ClassVar[bool] = True
    """Whether scripts are answered 401; False: everybody is sent to the login."""
    takes_future: ClassVar[bool] = False
    """Whether tickets from the next hour are taken (mod_auth_tkt: up to a day)."""
    odd_queries: ClassVar[tuple[str, ...]] = (
        "a=1&b=2",
        "plus=a+b%20c&slash=%2F%2f&amp=%26&u=%C3%A9&equals=%3D==&=&&q=?/",
        "next=https://evil.example/&%0d%0aX-Evil:%201",
    )
    odd_paths: ClassVar[tuple[str, ...]] = ("/caf%C3%A9/%E6%97%A5~;y=1/@:!$'()*,", "/a%20b%3Fc")
    """Targets that must be the way back, byte for byte."""

    # -- helpers ----------------------------------------------------------------------------------

    def denied(self, answer: Answer) -> bool:
        """-> whether this is the way to the login, or a plain refusal"""
        if answer.status in REDIRECTS:
            return urlsplit(answer.header("Location")).path == self.base
        return answer.status in (400, 401, 403)

    def user_of(self, arrived: Arrived) -> str:
        """what arrived -> the one name in it; fails on anything else that looks like a name"""
        names = {value for _, value in arrived.named()}
        assert sorted(arrived.named()) == sorted((name, *names) for name in self.identity)
        return names.pop().encode("latin-1").decode()

    def is_well(self, web_server: WebServer) -> None:
        """Fails unless members get in and nobody else does."""
        assert web_server.member().get(self.page).status == 200
        assert self.denied(web_server.visitor().get(self.page))

    # -- nobody without a ticket ------------------------------------------------------------------

    def test_an_anonymous_page_load_is_sent_to_the_login_with_its_way_back(
        self, web_server: WebServer
    ) -> None:
        for path in ("", *self.odd_paths):
            for query in self.odd_queries:
                target = f"{self.page}{path}?anonymous&{query}"
                visitor = web_server.visitor()
                answer = visitor.get(target, ("Accept", "text/html"))
                assert answer.status in REDIRECTS, target
                assert not answer.values("Remote-User")
                there = urlsplit(visitor.target_of(answer))
                assert there.path == self.base
                (way_back,) = parse_qs(there.query)["referrer"]
                assert way_back.removeprefix(visitor.origin) == target
        assert web_server.site.never_saw("anonymous")

    @pytest.mark.parametrize(("method", "headers"), SCRIPTS)
    def test_what_is_no_page_load_is_refused(
        self, web_server: WebServer, method: str, headers: dict[str, str]
    ) -> None:
        target = f"{self.page}?script=1&b=2"
        body = b"field=value" if method in ("POST", "PUT") else None
        answer = web_server.visitor().request(method, target, body, headers.items())
        if self.knows_scripts:
            assert answer.status == 401
        else:
            assert self.denied(answer)
        assert web_server.site.never_saw("script=1")

    def test_odd_methods_get_nobody_in(self, web_server: WebServer) -> None:
        for method in (b"TRACE", b"CONNECT", b"PROPFIND", b"HEAD", b"BREW", b"get"):
            answer = web_server.asks(f"{self.page}?odd=method".encode(), method=method)
            assert answer.status != 200, (method, answer)
            assert answer.status not in range(500, 501), (method, answer)
        assert web_server.site.never_saw("odd=method")

    # -- the login --------------------------------------------------------------------------------

    def test_a_login_leads_back_and_the_site_learns_who_it_is(self, web_server: WebServer) -> None:
        user, visitor = web_server.factored.add_user(), web_server.visitor()
        target = f"{self.page}/a%20b?login=1&mark=a%26b"
        done = visitor.sign_in(user, target)
        assert visitor.target_of(done) == target
        cookie = next(one for one in done.values("Set-Cookie") if one.startswith("auth_tkt="))
        assert ("; Secure" in cookie) is (web_server.tls is not None)
        assert visitor.get(target).status == 200
        arrived = web_server.site.saw("login=1")
        assert arrived.target == target
        assert self.user_of(arrived) == user.name
        # Attempts are counted by the visitor's own address.
        audited = [line for line in web_server.factored.server.output.splitlines()
                   if user.name in line and visitor.address in line]  # fmt: skip
        assert audited, web_server.factored.server.tail()

    def test_the_site_gets_the_ticket_of_nobody_and_the_other_cookies(
        self, web_server: WebServer
    ) -> None:
        ticket = web_server.factored.ticket()
        browser = web_server.visitor()
        for number, cookie in enumerate(
            (
                f"auth_tkt={ticket}",
                f"theme=dark; auth_tkt={ticket}",
                f"auth_tkt={ticket}; theme=dark",
                f"a=1; auth_tkt={ticket}; theme=dark; b=x=y",
                f"auth_tkt=old; theme=dark; auth_tkt={ticket}; my_auth_tkt=mine; auth_tkt2=two",
                f"my_auth_tkt=mine; auth_tkt={ticket};theme=dark",
            )
        ):
            mark = f"cookies={number}-"
            assert browser.get(f"{self.page}?{mark}", ("Cookie", cookie)).status == 200, cookie
            arrived = web_server.site.saw(mark)
            came = [one.strip() for header in arrived.values("Cookie") for one in header.split(";")]
            sent = [one.strip() for one in cookie.split(";")]
            if self.hides_ticket:
                assert ticket not in str(arrived.headers)
                sent = [one for one in sent if not one.startswith("auth_tkt=")]
            assert [one for one in came if one] == sent

    def test_names_of_all_kinds_reach_the_site(self, web_server: WebServer) -> None:
        for number, name in enumerate(self.names):
            mark = f"name={number}-"
            assert web_server.member(name).get(f"{self.page}?{mark}").status == 200, name
            assert self.user_of(web_server.site.saw(mark)) == name

    names: ClassVar[tuple[str, ...]] = (
        "al",
        "al@example.com",
        "al+tag@example.com",
        "a l; b, c=d",
        "d\N{LATIN SMALL LETTER E WITH ACUTE} \N{KEY}",
    )
    """User names that this configuration passes on as they are."""

    def test_methods_and_bodies_pass_for_members(self, web_server: WebServer) -> None:
        member = web_server.member()
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            for size in (0, 5, 100_000):
                mark = f"body={method}-{size}-"
                answer = member.request(method, f"{self.page}?{mark}", b"x" * size)
                assert answer.status == 200, (method, size, answer)
                arrived = web_server.site.saw(mark)
                assert (arrived.method, len(arrived.body)) == (method, size)

    def test_a_body_in_chunks_passes_for_members(self, web_server: WebServer) -> None:
        chunked = web_server.member().request("POST", f"{self.page}?body=chunked", [b"abc", b"def"])
        assert chunked.status == 200
        assert web_server.site.saw("body=chunked").body == b"abcdef"

    def test_what_only_begins_like_the_login_is_the_sites(self, web_server: WebServer) -> None:
        for path in (f"{self.base}ors", f"{self.base}-x/y", f"{self.page}{self.base}"):
            assert self.denied(web_server.visitor().get(f"{path}?begins=1"))
            assert web_server.member().get(f"{path}?begins=2").status == 200, path
            assert web_server.site.saw(f"{path}?begins=2").target == f"{path}?begins=2"
        assert web_server.site.never_saw("begins=1")

    # -- identity headers of a client -------------------------------------------------------------

    @pytest.mark.parametrize("spelling", SPELLINGS)
    def test_a_clients_word_for_who_it_is_never_reaches_the_site(
        self, web_server: WebServer, spelling: str
    ) -> None:
        sent = [(spelling, "admin"), (spelling, "root")]
        mark = f"spelt={spelling}-"
        assert self.denied(web_server.visitor().get(f"{self.page}?{mark}none", *sent))
        assert web_server.site.never_saw(f"{mark}none")
        self._comes_clean(web_server, mark, sent)

    def _comes_clean(
        self, web_server: WebServer, mark: str, sent: Iterable[tuple[str, str]]
    ) -> None:
        """Headers -> None; sent by members and by nobody, on protected and exempt paths."""
        assert web_server.member().get(f"{self.page}?{mark}member", *sent).status == 200
        assert self.user_of(web_server.site.saw(f"{mark}member")) == MEMBER
        if self.exempt is not None:
            assert web_server.visitor().get(f"{self.exempt}?{mark}open", *sent).status == 200
            assert web_server.site.saw(f"{mark}open").named() == []
            assert web_server.member().get(f"{self.exempt}?{mark}both", *sent).status == 200
            assert {value for _, value in web_server.site.saw(f"{mark}both").named()} <= {MEMBER}

    def test_no_connection_header_takes_the_users_name_away(self, web_server: WebServer) -> None:
        listed = ", ".join(["close", *IDENTITY])
        answer = web_server.member().get(f"{self.page}?listed=1", ("Connection", listed))
        assert answer.status in (200, 400)
        for arrived in web_server.site.requests():
            if "listed=1" in arrived.target:
                assert self.user_of(arrived) == MEMBER

    def test_odd_lines_name_nobody(self, web_server: WebServer) -> None:
        cookie = b"Cookie: auth_tkt=" + web_server.factored.ticket().encode()
        for path in (self.page, *([self.exempt] if self.exempt else [])):
            for number, lines in enumerate(
                (
                    [b"Remote-User : admin"],
                    [b"Remote-User\t: admin"],
                    [b" Remote-User: admin"],
                    [b"X-Odd: 1\r\n Remote-User: admin"],
                    [b"X-Odd: 1\rRemote-User: admin"],
                    [b"X-Odd: 1\nRemote-User: admin"],
                    [b"Remote-User:\r\n admin"],
                    [b"Remote.User: admin"],
                    [b"Remote-User\x00: admin"],
                    [b"\xefRemote-User: admin"],
                )
            ):
                mark = f"line={path.strip('/').replace('/', '-')}-{number}-"
                web_server.asks(f"{path}?{mark}".encode(), cookie, *lines)
                for arrived in web_server.site.requests():
                    if mark in arrived.target:
                        assert {value for _, value in arrived.named()} <= {MEMBER}, lines
        self.is_well(web_server)

    def test_a_trailer_names_nobody(self, web_server: WebServer) -> None:
        cookie = b"Cookie: auth_tkt=" + web_server.factored.ticket().encode()
        web_server.asks(
            f"{self.page}?trailer=1".encode(), cookie, b"Transfer-Encoding: chunked",
            b"Trailer: Remote-User", method=b"POST",
            body=b"3\r\nabc\r\n0\r\nRemote-User: admin\r\nFactored_User: admin\r\n\r\n",
        )  # fmt: skip
        for arrived in web_server.site.requests():
            if "trailer=1" in arrived.target:
                assert self.user_of(arrived) == MEMBER

    # -- requests that claim to be others ---------------------------------------------------------

    def test_no_header_makes_a_protected_path_an_open_one(self, web_server: WebServer) -> None:
        for path in (self.exempt or "/open", self.base, f"{self.base}/authstatic/style.css", "/"):
            made = [
                (name, value.format(path=path, host=web_server.host)) for name, value in FORWARDED
            ]
            spelt = [(name.replace("-", "_"), value) for name, value in made]
            for sent in ([one] for one in made + spelt):
                answer = web_server.visitor().get(f"{self.page}?claimed=1", *sent)
                assert self.denied(answer), (sent, answer)
                where = urlsplit("".join(answer.values("Location")))
                assert where.netloc in ("", web_server.host), sent
            for several in (made, made * 2, spelt):
                assert self.denied(web_server.visitor().get(f"{self.page}?claimed=1", *several))
        assert web_server.site.never_saw("claimed=1")

    def odd_targets(self) -> list[bytes]:
        """-> request targets that one part of the chain may read otherwise than another"""
        page, open_ = self.page.encode(), (self.exempt or "/open").encode()
        base, host = self.base.encode(), b"www.example.test"
        return [
            open_ + b"/", open_ + b"//", b"/" + open_, b"//" + open_, open_.upper(),
            open_ + b"/..%2f.." + page, open_ + b"/../" + page[1:], open_ + b"/.." + page,
            open_ + b"%2f.." + page, open_ + b"%2F..%2F" + page[1:], open_ + b"/%2e%2e" + page,
            open_ + b"/." + page, open_ + b"%00" + page, open_ + b"%00", open_ + b"%0a" + page,
            open_ + b"%3f" + page, open_ + b"%23" + page, open_ + b"#" + page, open_ + b";" + page,
            open_ + b";x=1", open_ + b"%3b", open_ + b"\\.." + page, open_ + b"%5c.." + page,
            open_ + b"?" + page, page + b"#" + open_, page + b"?" + open_, page + b"/.." + open_,
            page + b"/..;" + open_, page + b"/..%2f" + open_[1:], page + b"%2f.." + open_,
            b"/." + open_, b"/%2e" + open_, b"/x/.." + open_, b"/x/%2e%2e" + open_,
            b"/x//.." + open_, b"/" + page, b"/%2f" + page[1:], b"/." + page,
            b"http://" + host + page, b"https://" + host + page, b"http://" + host + open_,
            b"https://evil.example" + open_, b"http://evil.example" + page,
            b"https://" + host + open_ + b"/.." + page, b"https://" + host + b"?" + open_,
            b"https://x@" + host + page, b"https:" + page, b"*", page[1:], b"?" + open_,
            base + b"/.." + page, base + b"/../x", base + b"%2f.." + page, base + b"x" + page,
            base + b"/..%2f" + page[1:], b"/" + base + page, base + b"/./.." + page,
            base + b";x/.." + page, base + b"\\.." + page, base.upper() + page,
            b"/%" + b"%02x" % base[1] + base[2:] + b"/.." + page,
        ]  # fmt: skip

    def test_only_the_exempt_path_itself_is_open(self, web_server: WebServer) -> None:
        before = len(web_server.site.requests())
        for target in self.odd_targets():
            answer = web_server.asks(target, b"Accept: text/html")
            assert answer.status not in (500, 502), (target, answer)
            for arrived in web_server.site.requests()[before:]:
                assert self.is_open(arrived), (target, arrived)
        self.is_well(web_server)

    def is_open(self, arrived: Arrived) -> bool:
        """what arrived -> whether anybody may have it"""
        return unquote(arrived.path) == self.exempt

    def test_no_host_header_makes_another_request_of_it(self, web_server: WebServer) -> None:
        host, open_ = web_server.host.encode(), (self.exempt or "/open").encode()
        before = len(web_server.site.requests())
        for odd in (
            host + open_ + b"?", host + open_ + b"#", open_ + b"?", b"x" + open_ + b"?",
            host + b":443" + open_ + b"?", host + b"@evil.example", b"evil.example",
            host + b" ", host + b"\t" + open_, b"", b"evil.example, " + host, host + b"%2f", b"?",
            host + b"\\" + open_ + b"?", b"[::1]", b"127.0.0.1", b"localhost",
        ):  # fmt: skip
            for target in (self.page.encode() + b"?host=1", b"https://" + host + b"/page?host=1"):
                web_server.asks(target, b"Accept: text/html", host=odd)
            web_server.asks(self.page.encode() + b"?host=1", b"Host: " + host, host=odd or host)
        for arrived in web_server.site.requests()[before:]:
            assert self.is_open(arrived), arrived
        self.is_well(web_server)

    # -- tickets ----------------------------------------------------------------------------------

    def bad_tickets(self, web_server: WebServer) -> dict[str, str]:
        """-> cookie values that let nobody in"""
        made = web_server.factored.ticket
        good = made()
        digest, rest = good[:128], good[128:]
        bad = {
            "72 zeros": "0" * 72,
            "136 zeros": "0" * 136,
            "72 hex digits and a name": "0" * 72 + "admin!",
            "empty": "",
            "of another secret": made(secret="x" * 43),
            "of another user": digest + rest.replace("member", "admin1"),
            "of another time": digest + f"{int(rest[:8], 16) + 1:08x}" + rest[8:],
            "expired": made(age_s=7200 + 60),
            "longer ago than a lifetime says": made(age_s=100, lifetime_s=60),
            "of the epoch": made(issued_at=0, login_at=0),
            "without digest": rest,
            "upper case": digest.upper() + rest,
            "doubled": good + good,
            "with a nul": good + "%00",
            "of an unknown scheme": made(scheme="admin"),
            "quoted": f'"{good}"',
        }
        bad |= {f"cut to {size}": good[:size] for size in (8, 40, 72, 127, 128, 136, len(good) - 1)}
        if not self.takes_future:
            bad["of the future"] = made(age_s=-3600)
        return bad

    takes_bad: ClassVar[frozenset[str]] = frozenset()
    """Names of :meth:`bad_tickets` that this reader takes, as its documentation says."""

    def test_a_bad_ticket_lets_nobody_in(self, web_server: WebServer) -> None:
        for name, value in self.bad_tickets(web_server).items():
            answer = web_server.holder(value).get(f"{self.page}?ticket=bad")
            if name in self.takes_bad:
                assert answer.status == 200, name
            else:
                assert self.denied(answer), (name, answer)
                assert web_server.site.never_saw("ticket=bad"), name

    # -- logout -----------------------------------------------------------------------------------

    def signed_out(self, web_server: WebServer) -> tuple[Browser, Browser]:
        """-> who has just signed out, and somebody with a copy of his ticket"""
        browser = web_server.visitor()
        browser.sign_in(web_server.factored.add_user(), self.page)
        thief = web_server.holder(browser.cookies["auth_tkt"][0])
        assert browser.get(self.page).status == thief.get(self.page).status == 200
        page = browser.get(f"{self.base}/logout")
        done = browser.send(form_of(page), submit="logout")
        assert done.status in (200, 303), done
        return browser, thief

    # -- WebSocket --------------------------------------------------------------------------------

    def test_a_websocket_passes_for_members_alone(self, web_server: WebServer) -> None:
        if self.socket is None:
            return
        with web_server.websocket(f"{self.socket}?nobody") as refused:
            assert refused == 401 or (not self.knows_scripts and refused in REDIRECTS)
        assert web_server.site.never_saw(f"{self.socket}?nobody")
        cookie = ("Cookie", f"auth_tkt={web_server.factored.ticket()}")
        with web_server.websocket(f"{self.socket}?member", cookie) as opened:
            assert not isinstance(opened, int), opened
            for message in (b"hello", b"", b"x" * 70_000, b"bye"):
                assert opened.echo(message) == message
        assert self.user_of(web_server.site.saw(f"{self.socket}?member")) == MEMBER

    def test_an_upgrade_of_something_else_changes_nothing(self, web_server: WebServer) -> None:
        for lines in (
            [b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"],
            [b"Connection: Upgrade", b"Upgrade: websocket"],
            [b"Connection: upgrade", b"Upgrade: TLS/1.0, HTTP/1.1"],
        ):
            answer = web_server.asks(f"{self.page}?upgrade=1".encode(), *lines)
            assert answer.status != 101 and answer.status != 200, (lines, answer)
        assert web_server.site.never_saw("upgrade=1")


class AsksFactored(Everyone):
    """A web server that asks factored about every request, and knows nothing by itself."""

    def test_who_signed_out_is_out_and_so_is_a_copy_of_the_ticket(
        self, web_server: WebServer
    ) -> None:
        browser, thief = self.signed_out(web_server)
        assert "auth_tkt" not in browser.cookies
        assert self.denied(browser.get(self.page))
        eventually(lambda: self.denied(thief.get(self.page)), within_s=REVOKED_WITHIN_S)

    def test_who_was_removed_is_out_within_seconds(self, web_server: WebServer) -> None:
        user, browser = web_server.factored.add_user(), web_server.visitor()
        browser.sign_in(user, self.page)
        assert browser.get(self.page).status == 200
        web_server.factored.installation.done("user", "remove", f"--username={user.name}")
        eventually(lambda: self.denied(browser.get(self.page)), within_s=REVOKED_WITHIN_S)

    def test_a_renewed_ticket_reaches_the_browser_and_no_cache(self, web_server: WebServer) -> None:
        browser = web_server.member(age_s=3600)
        old = browser.cookies["auth_tkt"][0]
        answer = browser.get(f"{self.page}?renewed=1&cached", ("Accept", "text/html"))
        assert answer.status == 200
        assert self.user_of(web_server.site.saw("renewed=1")) == MEMBER
        (line,) = answer.values("Set-Cookie")
        assert "HttpOnly" in line and "SameSite=Lax" in line
        assert browser.cookies["auth_tkt"][0] != old
        said = ", ".join(answer.values("Cache-Control"))
        # no-store is louder than what the site said: RFC 9111 section 5.2.2.5.
        assert "no-store" in said or ("private" in said and "public" not in said), said
        again = browser.get(f"{self.page}?renewed=2")
        assert (again.status, again.values("Set-Cookie")) == (200, [])
        assert old not in str(web_server.site.saw("renewed=1").headers) or not self.hides_ticket

    def test_what_the_site_says_of_caching_stays_where_no_ticket_is_set(
        self, web_server: WebServer
    ) -> None:
        answer = web_server.member().get(f"{self.page}?kept&cached")
        assert answer.values("Cache-Control") == ["public, max-age=60"]

    in_path: ClassVar[bool] = False
    """Whether factored stands between web server and site: its answers are then the page itself,
    and nobody limits how long a page may take."""

    ODD_ANSWERS: ClassVar[dict[str, bytes]] = {
        "nothing": b"",
        "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "half a head": b"HTTP/1.1 200 OK\r\nRemote-User: admin\r\n",
        "no status": b"HTTP/1.1 \r\nRemote-User: admin\r\n\r\n",
        "status 2": b"HTTP/1.1 2 OK\r\nRemote-User: admin\r\n\r\n",
    }

    def test_nobody_gets_in_while_factored_is_out_of_order(self, web_server: WebServer) -> None:
        factored = web_server.factored
        try:
            factored.stop()
            self.refuses_all(web_server, "stopped")
            for status in (500, 503, 404, 400, 302, 307):
                factored.fails_with(status)
                self.refuses_all(web_server, f"status={status}")
            for name, raw in self.ODD_ANSWERS.items():
                factored.answers_with(raw)
                self.refuses_all(web_server, f"odd={name.replace(' ', '-')}")
            if not self.in_path:
                factored.hangs()
                self.refuses_all(web_server, "hangs")
        finally:
            factored.start()
        self.is_well(web_server)

    def refuses_all(self, web_server: WebServer, mark: str) -> None:
        """Members and strangers, at once: the site hears of none, and nobody waits for long."""
        target = f"{self.page}?{mark}&out-of-order"
        xhr = ("X-Requested-With", "XMLHttpRequest")

        def ask(browser: Browser, *headers: tuple[str, str]) -> int:
            try:
                with browser.opened("GET", target, headers=headers) as response:
                    return int(response.status)
            except http.client.HTTPException:  # what is no HTTP at all, passed on
                return 599

        def upgrade() -> int:
            with web_server.websocket(f"{self.socket}?{mark}&out-of-order") as answer:
                return answer if isinstance(answer, int) else 101

        with ThreadPoolExecutor(5) as threads:
            asked = [
                threads.submit(ask, web_server.visitor()),
                threads.submit(ask, web_server.visitor(), xhr),
                threads.submit(ask, web_server.member()),
                threads.submit(ask, web_server.member(), xhr),
                *([threads.submit(upgrade)] if self.socket else []),
            ]
            found = [one.result(timeout=HANGING_S) for one in asked]
        assert self.in_path or all(status >= 300 for status in found), (mark, found)
        assert web_server.site.never_saw("out-of-order"), mark


class ReadsTickets(Everyone):
    """A web server that checks the ticket by itself: it sees expiry, not revocation."""

    def test_without_factored_members_go_on_and_nobody_else_gets_in(
        self, web_server: WebServer
    ) -> None:
        member = web_server.member()
        web_server.factored.stop()
        try:
            assert member.get(f"{self.page}?alone=member").status == 200
            assert self.user_of(web_server.site.saw("alone=member")) == MEMBER
            for browser in (web_server.visitor(), web_server.member(age_s=7260)):
                assert browser.get(f"{self.page}?alone=nobody").status != 200
            assert web_server.visitor().get(f"{self.base}?alone=nobody").status >= 500
            assert web_server.site.never_saw("alone=nobody")
        finally:
            web_server.factored.start()

    def test_who_signed_out_is_out_but_a_stolen_copy_lives_until_it_expires(
        self, web_server: WebServer
    ) -> None:
        """The documentation says so: nobody tells the web server of a revocation."""
        browser, thief = self.signed_out(web_server)
        assert "auth_tkt" not in browser.cookies
        assert self.denied(browser.get(self.page))
        assert thief.get(self.page).status == 200


class PassesOnNoMore(Everyone):
    """A web server that keeps back also what moves a request once it has passed."""

    open_to_all: ClassVar[str] = "/open"
    """A path that anybody may have."""

    def test_no_header_of_a_client_moves_the_path_at_the_site(self, web_server: WebServer) -> None:
        """Old frameworks take the path from X-Original-URL, gunicorn from PATH_INFO."""
        sent = [(name, "/moved") for name in MOVING]
        assert web_server.visitor().get(f"{self.open_to_all}?moved=1", *sent).status == 200
        arrived = web_server.site.saw("moved=1")
        assert [pair for pair in arrived.headers if pair[1] == "/moved"] == []

    def test_nothing_but_websocket_is_upgraded_to(self, web_server: WebServer) -> None:
        """In a tunnel of HTTP/2 anybody could ask for any path, and nobody would look."""
        for number, (connection, upgrade) in enumerate(
            (
                ("Upgrade, HTTP2-Settings", "h2c"),
                ("upgrade", "websocket, h2c"),
                ("upgrade", "h2c, websocket"),
                ("upgrade", "TLS/1.0"),
                ("upgrade", "websocket2"),
                ("close", ""),
            )
        ):
            mark = f"tunnel={number}-"
            sent = [("Connection", connection), ("HTTP2-Settings", "AAMAAABk")]
            sent += [("Upgrade", upgrade)] if upgrade else []
            web_server.visitor().get(f"{self.open_to_all}?{mark}", *sent)
            arrived = web_server.site.saw(mark)
            assert arrived.values("Upgrade") == []
            assert "upgrade" not in ", ".join(arrived.values("Connection")).lower()

    def test_the_site_learns_of_the_visitor_from_the_web_server_alone(
        self, web_server: WebServer
    ) -> None:
        visitor = web_server.visitor()
        sent = [("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Host", "evil.example"),
                ("X-Forwarded-Proto", "http")]  # fmt: skip
        assert visitor.get(f"{self.open_to_all}?told=1", *sent).status == 200
        arrived = web_server.site.saw("told=1")
        assert arrived.values("Host") == arrived.values("X-Forwarded-Host") == [web_server.host]
        assert arrived.values("X-Forwarded-For") == [visitor.address]
        assert arrived.values("X-Forwarded-Proto") == ["https"]
        # Over 1.0 an answer that broke off can look whole.
        assert arrived.version == "HTTP/1.1"

    def test_other_hosts_are_not_served(self, web_server: WebServer) -> None:
        for host in (b"evil.example", b"127.0.0.1", web_server.host.encode() + b"."):
            for path in (self.open_to_all, self.page, f"{self.base}/healthz"):
                assert web_server.asks(f"{path}?foreign=1".encode(), host=host).status == 421
        assert web_server.site.never_saw("foreign=1")
