"""Two sites of one nginx that share one factored: signed in at one, known at the other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from tests.peers.client import form_of
from tests.peers.servers import free_port

from .harness import (
    Site,
    WebServer,
    filled,
    make_certificate,
    nginx_argv,
    start_factored,
    start_web_server,
)

ONE, TWO = "one.example.test", "two.example.test"
PARENT, CHILD = "example.test", "shop.example.test"


@dataclass
class Two:
    web_server: WebServer
    sites: dict[str, Site]


@contextlib.contextmanager
def started(folder: Path, one: str, two: str, shared_by: str) -> Iterator[Two]:
    """folder, hosts, the ini line by which they share a ticket -> both on one nginx"""
    with contextlib.ExitStack() as ends:
        sites = {one: Site(), two: Site()}
        for site in sites.values():
            ends.callback(site.close)
        gate = f"{shared_by}\nallowed_hosts =\n    {one}\n    {two}\n"
        factored = start_factored(folder / "factored", gate)
        ends.callback(factored.stop)
        # No wildcard: this one must do for both, and for a third that nobody serves.
        port = free_port()
        certificate = make_certificate(folder / "tls", one, two, "three.example.test")
        lines = "\n".join(f"{host} 127.0.0.1:{site.port};" for host, site in sites.items())
        shipped = filled(
            "nginx/auth_request.conf",
            {
                "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
                "www.example.com 127.0.0.1:8080;": lines,
                "server_name www.example.com;": f"server_name {one} {two};",
                "/etc/ssl/www.example.com.pem": str(certificate.chain),
                "/etc/ssl/www.example.com.key": str(certificate.key),
                "127.0.0.1:8000": f"127.0.0.1:{factored.port}",
            },
        )
        argv = nginx_argv(folder / "nginx", shipped)
        made = start_web_server(
            folder / "nginx", argv, port, sites[one], factored, certificate.client
        )
        made.host = one
        ends.callback(made.server.stop)
        yield Two(made, sites)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    folder = tmp_path_factory.mktemp("two-sites")
    with started(folder, ONE, TWO, "auth_tkt.cookie_domain = example.test") as both:
        yield both


def test_who_signs_in_at_one_is_known_at_the_other_and_signs_out_of_both(two: Two) -> None:
    at_one = two.web_server.visitor()
    at_two = at_one.at(TWO)
    user = two.web_server.factored.add_user()
    assert not at_one.signed_in("/page") and not at_two.signed_in("/page")

    done = at_one.sign_in(user, "/page?from=one&a=b")
    assert done.header("Location") == "/page?from=one&a=b"
    # Of one ticket there is one cookie.
    assert "auth_tkt" not in at_one.cookies
    assert at_one.get("/page?mark=at-one").status == 200
    assert at_two.get("/page?mark=at-two").status == 200
    for host, mark, other in ((ONE, "at-one", TWO), (TWO, "at-two", ONE)):
        arrived = two.sites[host].saw(mark)
        assert (arrived.values("Host"), arrived.values("Remote-User")) == ([host], [user.name])
        assert arrived.values("Cookie") == []
        assert two.sites[other].never_saw(mark)

    copy = at_two.cookie_header("/page")
    page = at_two.get("/auth/logout")
    assert at_two.send(form_of(page), submit="logout").status in (200, 303)
    assert not at_two.wide_cookies
    assert not at_one.signed_in("/page") and not at_two.signed_in("/page")
    for browser in (at_one, at_two):
        assert browser.get("/page?mark=copy", ("Cookie", copy)).status == 302


def test_with_wild_domain_the_sites_below_share_the_login_of_the_one_above(tmp_path: Path) -> None:
    with started(tmp_path / "two", PARENT, CHILD, "auth_tkt.wild_domain = true") as both:
        above = both.web_server.visitor()
        below = above.at(CHILD)
        above.sign_in(both.web_server.factored.add_user(), "/page")
        assert above.signed_in("/page") and below.signed_in("/page")
        copy = below.cookie_header("/page")
        # Where it was set for the host above, it must be removed for that one.
        assert above.send(form_of(above.get("/auth/logout")), submit="logout").status in (200, 303)
        assert not above.signed_in("/page") and not below.signed_in("/page")
        assert below.get("/page?mark=copy", ("Cookie", copy)).status == 302
        # Below, it is for the hosts below alone.
        below.sign_in(both.web_server.factored.add_user(), "/page")
        assert below.signed_in("/page") and not above.signed_in("/page")


@pytest.mark.parametrize("host", [ONE, TWO])
def test_the_way_back_is_to_the_site_that_was_asked(two: Two, host: str) -> None:
    browser = two.web_server.visitor().at(host)
    target = "/page?back=1&b=%26"
    there = urlsplit(browser.get(target).header("Location"))
    assert (there.netloc, there.path) == ("", "/auth")
    assert parse_qs(there.query)["referrer"] == [target]
    done = browser.sign_in(two.web_server.factored.add_user(), target)
    assert done.header("Location") == target


def test_a_login_at_one_may_lead_to_the_other_and_nowhere_else(two: Two) -> None:
    users = [two.web_server.factored.add_user() for _ in range(2)]
    for number, (asked, leads_to) in enumerate(
        (
            (f"https://{TWO}/page?x=1&y=2", f"https://{TWO}/page?x=1&y=2"),
            ("https://three.example.test/page", "/"),
            (f"https://{TWO}.evil.example/page", "/"),
            (f"https://{TWO}@evil.example/page", "/"),
            ("//evil.example/page", "/"),
        )
    ):
        browser = two.web_server.visitor()
        # Three codes of a user are good at any moment, each once, the older ones first.
        user, steps = users[number // 3], number % 3 - 1
        done = browser.sign_in(user, f"/auth?referrer={quote(asked, safe='')}", steps)
        assert done.header("Location") == leads_to, asked


@pytest.mark.parametrize(
    "host", ["three.example.test", "example.test", "evil.example", f"{ONE}:8443", f"{ONE}."]
)
def test_no_other_host_is_served(two: Two, host: str) -> None:
    for target in (b"/page?other", b"/open?other", b"/auth/ga", b"/auth/healthz"):
        assert two.web_server.asks(target, host=host.encode()).status == 421
        absolute = b"https://" + host.encode() + target
        assert two.web_server.asks(absolute, host=host.encode()).status == 421
    for site in two.sites.values():
        assert site.never_saw("other")


def test_a_request_of_one_is_never_asked_about_as_one_of_the_other(two: Two) -> None:
    """The host that decides is the one that the site gets, whatever else names one."""
    for lines in (
        [b"X-Forwarded-Host: evil.example"],
        [b"X-Original-URL: https://two.example.test/open"],
        [b"Forwarded: host=two.example.test"],
    ):
        assert two.web_server.asks(b"/page?mixed", *lines).status == 302
    assert two.web_server.asks(b"https://two.example.test/page?mixed").status == 302
    two.web_server.asks(b"https://evil.example/open?absolute")
    for site in two.sites.values():
        came = [one for one in site.requests() if "absolute" in one.target]
        assert all(one.values("Host") == [ONE] for one in came)
        assert site.never_saw("mixed")
