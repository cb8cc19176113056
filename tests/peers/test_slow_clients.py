"""200 slow clients: they keep nobody else waiting, get no 5xx and not in, and leave nothing behind.

``FACTORED_FULL=1`` makes it longer, and under gunicorn's other kind of worker too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .client import FORM, Browser, visitor, wrong_code
from .servers import (
    FULL,
    GATE,
    Front,
    Server,
    User,
    eventually,
    free_port,
    start_file_server,
)
from .slow_clients import SlowClient, slow_clients
from .web_servers.harness import filled, nginx_argv

STEPS = 400 if FULL else 10
"""Bytes that each slow client has sent or read before they may end."""
SOON_S = 3
"""Whoever had to wait for a slow client would wait longer."""
MOST_MIB = 64
POOLED = 20
"""Threads, and connections of theirs, that a server takes when it is busy, and keeps."""
PAGE_BYTES = 4 << 20
"""More than the system keeps for a socket: a server that has no other place for it has to wait."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    files = tmp_path_factory.mktemp("site")
    (files / "large").write_bytes(bytes(PAGE_BYTES))
    made = start_file_server(tmp_path_factory.mktemp("site-server"), files)
    yield made
    made.stop()


def head(method: str, target: str, *lines: str) -> bytes:
    return "\r\n".join(
        [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *lines, ""]
    ).encode()


def slow_ones(member: Browser) -> dict[int, list[SlowClient]]:
    """somebody who is signed in -> status that they shall get in the end, and 200 slow clients"""
    form = b"csrf_token=x&username=al%40example.com&code=123456&submit=authenticate&referrer="
    form += b"%2F" + b"x" * 2000
    posted = head("POST", "/auth/ga", f"Content-Type: {FORM}", f"Content-Length: {len(form)}", "")
    page = head("GET", "/large", f"Cookie: {member.cookie_header('/large')}", "")
    asked = head("GET", "/page", "X-Slow: " + "x" * 3000, "")
    return {
        302: [SlowClient(asked[:20], asked[20:]) for _ in range(80)],
        403: [SlowClient(posted, form) for _ in range(80)],
        200: [SlowClient(page) for _ in range(40)],
    }


@pytest.fixture(params=["waitress", "gunicorn", "gthread"] if FULL else ["waitress", "gunicorn"])
def site_open_to_all(
    request: pytest.FixtureRequest, make_front: Callable[..., Front], site: Server, tmp_path: Path
) -> Iterator[tuple[Front, Server]]:
    """factored, and what visitors reach: waitress itself; gunicorn behind nginx, as it needs."""
    front = make_front(request.param, site.port, GATE + "trusted_proxies = 127.0.0.1\n")
    if request.param == "waitress":
        yield front, front.server
        return
    port = free_port()
    text = filled(
        "nginx/nodes.conf",
        {
            "listen 443 ssl": f"listen 127.0.0.1:{port}",
            "    ssl_certificate     /etc/ssl/www.example.com.pem;\n": "",
            "    ssl_certificate_key /etc/ssl/www.example.com.key;\n": "",
            "127.0.0.1:8001": f"127.0.0.1:{front.port}",
            "    server 127.0.0.1:8002 max_fails=1 fail_timeout=5s;\n": "",
            "    server 127.0.0.1:8003 max_fails=1 fail_timeout=5s;\n": "",
        },
    )
    argv = nginx_argv(tmp_path / "nginx", text)
    nginx = Server(argv, port, tmp_path / "nginx-server", None).start()
    yield front, nginx
    nginx.stop()


def others_go_on(entrance: Server, member: Browser, user: User, steps: int) -> None:
    """A page for one who is signed in, a login and a wrong code, none of which takes long."""
    began = time.monotonic()
    assert member.signed_in()
    guest = visitor(entrance)
    guest.sign_in(user, steps=steps)
    assert guest.signed_in()
    assert visitor(entrance).attempt(user.name, wrong_code(user.secret)).status == 200
    assert time.monotonic() - began < SOON_S


def test_slow_clients_keep_nobody_waiting_and_are_served_in_the_end(
    site_open_to_all: tuple[Front, Server],
) -> None:
    front, entrance = site_open_to_all
    user, inside = front.installation.add_users(2)
    member = visitor(entrance)
    member.sign_in(inside)
    others_go_on(entrance, member, user, -1)
    before = front.server.held()
    for steps in (0, 1):
        slow = slow_ones(member)
        everybody = [client for clients in slow.values() for client in clients]
        assert len(everybody) == 200
        with front.server.memory() as grown, slow_clients(entrance.port, everybody) as hurry:
            others_go_on(entrance, member, user, steps)
            while everybody[-1].steps < STEPS:
                assert member.signed_in()
            assert grown() < MOST_MIB
            assert not any(client.gone for client in everybody)
            if steps == 0:  # the others leave as they are
                for status, clients in slow.items():
                    assert hurry(clients) == [status] * len(clients)
                assert {client.body_length for client in slow[200]} == {PAGE_BYTES}
        assert not any(b"\nSet-Cookie: auth_tkt=" in client.received for client in everybody)
    assert front.server.output.count('result="success"') == 4
    eventually(
        lambda: all(
            now <= was + POOLED for now, was in zip(front.server.held(), before, strict=True)
        )
    )
    others_go_on(entrance, member, inside, 1)
    assert "Traceback" not in front.server.output
