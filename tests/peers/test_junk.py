"""Junk on a raw socket: refused or passed on, never a 5xx, and the server goes on working."""

from __future__ import annotations

import contextlib
import random
import re
import socket
from collections.abc import Callable

import pytest

from .client import visitor
from .servers import FULL, GATE, Front, Nginx

WAIT_S = 10
MAX_COOKIE = 8192
FUZZED = 20000 if FULL else 1000

JUNK = [
    b"\xff\xfe\xfd", b"\x80", b"%ff", b"%00", b"%0d%0aX-Evil:%201", b"%", b"%zz", b"%2", b"%u0041",
    b"..%2f..%2fetc/passwd", b"%c0%ae%c0%ae/", b"\xc3\xa9", b"\xf0\x9f\x94\x91", b"a\\b", b"a%5cb",
    b"<script>", b'"', b"'", b"`", b"{}", b"|", b"^", b"[", b"]", b";", b";jsessionid=1", b"a;b=c",
    b"%E6%97", b"\xed\xa0\x80", b"%ed%a0%80", b"//", b"///", b"./", b"../", b"a/./b", b"*",
    b"a" * 4000, b"%41" * 2000, b"\x01", b"\x1f", b"\x7f", b"a#b", b"?", b"??", b"&", b"=",
    b"a=b=c",
]  # fmt: skip
PREFIXES = [
    b"/", b"/open", b"/auth", b"/auth/", b"/auth/ga", b"/auth/logout", b"/auth/unlock/",
    b"/auth/authstatic/", b"/auth?referrer=", b"/auth/ga?referrer=/", b"/?", b"/open?",
]  # fmt: skip


def raw(front: Front, request: bytes) -> bytes:
    """bytes -> whatever came back, the connection read to its end"""
    received = b""
    with socket.create_connection(("127.0.0.1", front.port), timeout=WAIT_S) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            while block := connection.recv(65536):
                received += block
    return received


def status(front: Front, request: bytes) -> int:
    """bytes -> the answer's status; 0 where the server answered nothing"""
    match = re.match(rb"HTTP/1\.[01] (\d{3}) ", raw(front, request))
    return int(match[1]) if match else 0


def asks(target: bytes, *headers: bytes, method: bytes = b"GET", body: bytes = b"") -> bytes:
    lines = [method + b" " + target + b" HTTP/1.1", b"Host: 127.0.0.1", b"Connection: close"]
    return b"\r\n".join([*lines, *headers, b"", body])


def is_well(front: Front, workers: list[int]) -> None:
    """Fails unless the server answers, in the same processes as before."""
    assert visitor(front).get("/auth/healthz").status == 200
    assert front.server.workers() == workers
    assert "Traceback" not in front.server.output


@pytest.fixture(scope="module")
def ticket(front: Front) -> bytes:
    """A good ticket, so that junk goes through to the site as well."""
    browser = visitor(front)
    browser.sign_in(front.add_user())
    return b"Cookie: auth_tkt=" + browser.cookies["auth_tkt"][0].encode()


@pytest.mark.parametrize("signed_in", [False, True], ids=["anonymous", "signed in"])
def test_junk_in_path_and_query(front: Front, ticket: bytes, signed_in: bool) -> None:
    headers = [ticket] if signed_in else []
    workers = front.server.workers()
    bad = {}
    for prefix in PREFIXES:
        for junk in JUNK:
            for target in (prefix + junk, prefix + b"x=" + junk if b"?" in prefix else b""):
                if target and not status(front, asks(target, *headers)) < 500:
                    bad[target] = status(front, asks(target, *headers))
    assert bad == {}
    is_well(front, workers)


@pytest.mark.parametrize(
    "name", [b"auth_tkt", b"factored_browser", b"factored_device", b"", b"auth_tkt =", b"\xff"]
)
def test_junk_in_cookies(front: Front, name: bytes) -> None:
    workers = front.server.workers()
    bad = {}
    for junk in [
        *JUNK,
        b"",
        b"a" * 128 + b"00000000user!ga!x",
        b"!!!",
        b'"quoted"',
        b"a,b",
        b"; ;",
    ]:
        for target in (b"/", b"/open", b"/auth/ga", b"/auth/logout"):
            request = asks(target, b"Cookie: " + name + b"=" + junk)
            found = status(front, request)
            if found >= 500 or (found == 200 and target == b"/"):
                bad[target, junk] = found
    assert bad == {}
    is_well(front, workers)


def test_fuzzed_tickets_let_nobody_in(front: Front, ticket: bytes) -> None:
    chance = random.Random(f"{front.kind} 1")
    workers = front.server.workers()
    good = ticket.partition(b"=")[2]
    found = set()
    for _ in range(FUZZED):
        altered = bytearray(good)
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(altered))
            match chance.randrange(3):
                case 0:
                    altered[place] = chance.choice(range(33, 256))
                case 1:
                    del altered[place]
                case _:
                    altered.insert(place, chance.choice(range(33, 256)))
        if bytes(altered) != good and b";" not in altered:
            found.add(status(front, asks(b"/", b"Cookie: auth_tkt=" + bytes(altered))))
    assert found <= {302, 400}
    is_well(front, workers)


@pytest.mark.parametrize("target", [b"/", b"/open", b"/auth/ga", b"/auth/healthz"])
@pytest.mark.parametrize(("length", "expected"), [(-1, None), (0, None), (1, 431), (1024, 431)])
def test_a_cookie_header_over_the_limit_is_431(
    front: Front, target: bytes, length: int, expected: int | None
) -> None:
    header = b"Cookie: " + b"c=" + b"x" * (MAX_COOKIE - 2 + length)
    # gunicorn stops at 8190 by itself, with its own 431.
    own_limit = front.kind == "gunicorn"
    found = status(front, asks(target, header))
    if expected or own_limit:
        assert found in ((431, 400) if own_limit else (431,))
    else:
        assert found in (200, 302)


@pytest.mark.parametrize("target", [b"/auth", b"/auth/ga", b"/auth/logout", b"/auth/unlock/x"])
def test_junk_in_bodies(front: Front, target: bytes) -> None:
    workers, browser = front.server.workers(), visitor(front)
    browser.get("/auth/ga")
    cookie = f"Cookie: {browser.cookie_header('/auth/ga')}".encode()
    bodies = [
        *JUNK, b"", b"submit=authenticate", b"submit=\xff", b"submit=%ff", b"submit=1&" * 20,
        b"submit=username&username=%00", b"submit=username&username=" + b"x" * 300,
        b"submit=authenticate&code[]=1", b"&".join(b"f%d=1" % number for number in range(60)),
        b"submit=authenticate&csrf_token=%E9", b'{"submit": 1}', b"x" * 20000,
    ]  # fmt: skip
    types = [
        b"application/x-www-form-urlencoded", b"application/x-www-form-urlencoded; charset=\xff",
        b"multipart/form-data", b"multipart/form-data; boundary=\xff", b"application/json", b"\xff",
    ]  # fmt: skip
    bad = {}
    for body in bodies:
        for kind in types:
            headers = [b"Content-Type: " + kind, b"Content-Length: %d" % len(body), cookie]
            found = status(front, asks(target, *headers, method=b"POST", body=body))
            if found >= 500:
                bad[body[:80], kind] = found
    assert bad == {}
    is_well(front, workers)


@pytest.mark.parametrize(
    "headers",
    [
        [b"Content-Length: -1"], [b"Content-Length: 1e3"], [b"Content-Length: 5, 5"],
        [b"Content-Length: 99999999999999999999"], [b"Content-Length: \xff"],
        [b"Content-Length: 3", b"Content-Length: 4"], [b"Content-Length: 100"],
    ],
)  # fmt: skip
def test_lengths_that_are_none(front: Front, ticket: bytes, headers: list[bytes]) -> None:
    workers = front.server.workers()
    for target in (b"/auth/ga", b"/", b"/open"):
        for extra in ([], [ticket]):
            request = asks(target, *headers, *extra, method=b"POST", body=b"submit=1")
            assert status(front, request) < 500
    is_well(front, workers)


@pytest.mark.parametrize(
    "method",
    [b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"CONNECT", b"PROPFIND", b"BREW", b"get",
     b"G\xffT", b"X" * 200, b"M-SEARCH", b"*", b"PRI"],
)  # fmt: skip
def test_wrong_methods(front: Front, ticket: bytes, method: bytes) -> None:
    workers = front.server.workers()
    for target in (b"/", b"/open", b"/auth", b"/auth/ga", b"/auth/logout", b"/auth/healthz", b"*"):
        for headers in ([], [ticket]):
            found = status(front, asks(target, *headers, method=method))
            assert found < 500, (target, headers)
            if not headers and target == b"/":
                assert found in (0, 400, 401, 405), found
    is_well(front, workers)


def test_junk_in_other_headers(front: Front, ticket: bytes) -> None:
    workers = front.server.workers()
    names = [
        b"Host", b"Accept", b"Sec-Fetch-Mode", b"X-Requested-With", b"Origin", b"Referer",
        b"X-Forwarded-For", b"X-Forwarded-Host", b"X-Forwarded-Proto", b"Forwarded",
        b"User-Agent", b"Range", b"Expect", b"Connection", b"Upgrade", b"If-None-Match", b"X-Odd",
    ]  # fmt: skip
    bad = {}
    for name in names:
        for junk in [*JUNK, b"", b",", b",,,"]:
            for target in (b"/", b"/open", b"/auth/ga"):
                for headers in ([], [ticket]):
                    line = name + b": " + junk
                    found = status(front, asks(target, line, *headers))
                    if found >= 500:
                        bad[target, line, bool(headers)] = found
    assert bad == {}
    is_well(front, workers)


def test_what_is_no_http_at_all(front: Front) -> None:
    workers = front.server.workers()
    chance = random.Random(2)
    for junk in [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\r\n\r\n", b"GET\r\n\r\n",
                 b"GET / HTTP/9.9\r\n\r\n", b"SSH-2.0-x\r\n", b"\x00" * 100,
                 *(chance.randbytes(200) for _ in range(50))]:  # fmt: skip
        assert status(front, junk + b"\r\n\r\n") < 500, junk
    is_well(front, workers)


def test_a_request_cut_into_bytes_is_one_request(front: Front, nginx: Nginx) -> None:
    request = asks(f"/open?bytewise-{front.kind}".encode())
    with socket.create_connection(("127.0.0.1", front.port), timeout=WAIT_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for place in range(len(request)):
            connection.sendall(request[place : place + 1])
        received = b""
        while block := connection.recv(65536):
            received += block
    assert received.startswith(b"HTTP/1.1 200")
    assert nginx.saw(f"bytewise-{front.kind}")["user"] == ""


def test_a_smuggled_second_request_gets_no_identity(front: Front, nginx: Nginx) -> None:
    mark = f"smuggled-{front.kind}"
    inner = f"GET /x?{mark} HTTP/1.1\r\nHost: h\r\nFactored-User: admin\r\n\r\n".encode()
    for headers in (
        [b"Transfer-Encoding: chunked", b"Content-Length: 4"],
        [b"Transfer-Encoding: xchunked"],
        [b"Transfer-Encoding : chunked", b"Content-Length: 4"],
        [b"Content-Length: 0", b"Content-Length: %d" % len(inner)],
    ):
        raw(front, asks(b"/open", *headers, method=b"POST", body=b"0\r\n\r\n" + inner))
        raw(front, asks(b"/open", *headers, method=b"POST", body=inner))
    assert nginx.never_saw(mark)


@pytest.mark.parametrize("size", [b"zz", b"-1", b"+3", b"0x3", b"3_0", b"", b"3\r\nxxxyyyy"])
def test_a_form_in_chunks_that_make_no_sense_is_the_clients_mistake(
    front: Front, size: bytes
) -> None:
    request = asks(
        b"/auth/ga",
        b"Content-Type: application/x-www-form-urlencoded",
        b"Transfer-Encoding: chunked",
        method=b"POST",
        body=size + b"\r\n",
    )
    assert status(front, request) < 500


def test_junk_in_what_a_web_server_asks(make_front: Callable[..., Front], nginx: Nginx) -> None:
    """Of a trusted proxy, that hands a visitor's bytes on as they came."""
    for kind in ("waitress", "gunicorn"):
        gate = f"{GATE}trusted_proxies = 127.0.0.1\n"
        front = make_front(kind, nginx.port, gate)
        workers = front.server.workers()
        for name in (b"X-Original-URL: http://127.0.0.1/open", b"X-Forwarded-Uri: /open",
                     b"X-Original-URL: http://127.0.0.1", b"X-Forwarded-Uri: ", b"X-Original-URL: ",
                     b"X-Original-URL: http://127.0.0.1/\r\nX-Original-Method: "):  # fmt: skip
            got = {junk: status(front, asks(b"/auth/verify", name + junk)) for junk in JUNK}
            # What a query holds makes no difference to an exempt path.
            odd = {junk: one for junk, one in got.items() if one not in (400, 401, 431)}
            if name.endswith(b"/open"):
                assert odd.pop(b"?") == odd.pop(b"??") == 200
            assert odd == {}
        is_well(front, workers)
