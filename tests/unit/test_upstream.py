"""The client of HTTP/1.1 behind simpleproxy, against a scripted upstream on real sockets.

What a visitor sees of it stands in test_proxy.py; here is what happens to connections.
"""

from __future__ import annotations

import contextlib
import errno
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme

from factored.upstream import connection as connection_module
from factored.upstream.answer import MAX_HEAD, Answer
from factored.upstream.connection import BLOCK, Connection, UpstreamError, UpstreamTimeout
from factored.upstream.pool import Upstream as Pool

from .proxy_upstream import OK, WAIT_S, Upstream, read_head

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def make_pool(upstream: Upstream) -> Iterator[Callable[..., Pool]]:
    made: list[Pool] = []

    def make(server: str = "127.0.0.1", port: int | None = None, **options: Any) -> Pool:
        options = {
            "connect_timeout_s": WAIT_S, "read_timeout_s": WAIT_S, "pool_size": 4, **options
        }  # fmt: skip
        made.append(Pool(server, port or upstream.port, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def pool(make_pool: Callable[..., Pool]) -> Pool:
    return make_pool()


def ask(pool: Pool, method: str = "GET", **headers: str) -> Answer:
    return pool.ask(method, "/", headers, None)


def read(answer: Answer) -> bytes:
    """answer -> its body, closed as a server does"""
    try:
        return b"".join(answer)
    finally:
        answer.close()


def connections(upstream: Upstream) -> list[int]:
    return [request.connection for request in upstream.requests]


class Dribble:
    """A socket from which every byte comes alone."""

    def __init__(self, data: bytes) -> None:
        self._data = list(data)

    def recv(self, most: int) -> bytes:
        return bytes([self._data.pop(0)] if self._data else [])

    def close(self) -> None:
        assert not self._data


# -- connections -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "first",
    [
        OK + OK,
        OK + b"x",
        OK + b"\n",
        CHUNKED + b"2\r\nok\r\n0\r\n\r\n" + OK,
        b"HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        b"HTTP/1.1 304 Same\r\nContent-Length: 4\r\n\r\nevil",
    ],
)
def test_what_follows_an_answer_is_nobodys_answer(pool, upstream, first):
    upstream.answer = [first, OK]
    assert read(ask(pool)) in (b"ok", b"")
    assert read(ask(pool)) == b"ok"
    assert connections(upstream) == [1, 2]


def test_what_is_said_while_nobody_asks_is_nobodys_answer(pool, upstream):
    def script(connection):
        with connection.makefile("rb") as reader:
            read_head(reader)
            connection.sendall(OK)
            assert told.wait(WAIT_S)
            connection.sendall(OK.replace(b"ok", b"no"))
            said.set()
            reader.read()

    told, said = threading.Event(), threading.Event()
    upstream.script = script
    assert read(ask(pool)) == b"ok"
    upstream.script = None
    told.set()
    assert said.wait(WAIT_S)
    assert read(ask(pool)) == b"ok"


def test_so_many_idle_connections_are_kept_and_no_more(make_pool, upstream):
    pool = make_pool(pool_size=2)
    for _ in range(2):
        # Three at once: the body of each is read when all have their connection.
        for answer in [ask(pool) for _ in range(3)]:
            assert read(answer) == b"ok"
    assert len(set(connections(upstream)[:3])) == 3
    assert len(set(connections(upstream))) == 4


def test_the_connection_used_last_is_used_next(pool, upstream):
    first, second = ask(pool), ask(pool)
    read(second)
    read(first)
    assert read(ask(pool)) == b"ok"
    assert connections(upstream) == [1, 2, 1]


def test_an_answer_closed_twice_closes_nobody_elses_connection(pool, upstream):
    answer = ask(pool)
    assert read(answer) == b"ok"
    other = ask(pool)
    answer.close()
    assert read(other) == b"ok"
    assert connections(upstream) == [1, 1]


class Unreachable:
    """A socket to a network that is gone."""

    def send(self, data: Any) -> int:
        raise OSError(errno.ENETUNREACH, "gone")


def test_a_network_that_goes_while_sending_is_the_upstreams_error(monkeypatch):
    monkeypatch.setattr(connection_module, "writable", lambda sock, within_s: True)
    with pytest.raises(UpstreamError, match="gone"):
        Connection(Unreachable(), WAIT_S).request(b"GET", None, chunked=False)


# -- requests ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "said"),
    [("GET", []), ("HEAD", []), ("DELETE", []), ("OPTIONS", []), ("POST", [b"0"]), ("PUT", [b"0"])],
)
def test_a_request_without_body_says_so_where_one_is_expected(pool, upstream, method, said):
    ask(pool, method).close()
    assert upstream.requests[0].values(b"Content-Length") == said


@pytest.mark.parametrize(
    ("server", "port", "tls", "host"),
    [
        ("site.test", 80, False, "site.test"),
        ("site.test", 443, False, "site.test:443"),
        ("site.test", 443, True, "site.test"),
        ("site.test", 80, True, "site.test:80"),
        ("[::1]", 81, False, "[::1]:81"),
        ("::1", 80, False, "[::1]"),
    ],
)
def test_the_host_of_the_upstream_as_a_request_names_it(make_pool, server, port, tls, host):
    context = ssl.create_default_context() if tls else None
    assert make_pool(server, port, tls=context)._host == host


def test_an_address_in_brackets_is_connected_to(upstream, make_pool):
    # Nobody listens there; what matters is that it was an address to the system.
    with pytest.raises(UpstreamError, match=r"Errno|refused|unreachable"):
        ask(make_pool("[::1]"))
    assert make_pool("[::1]")._address[0] == "::1"


# -- answers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX-A: b c\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\no\r\n01\r\nk\r\n"
        b"0\r\nX-T: 1\r\nX-U: 2\r\n\r\n",
    ],
)
def test_an_answer_in_single_bytes_is_the_same_answer(answer):
    got = Answer(Connection(Dribble(answer), WAIT_S), None, to_head=False)
    assert ("X-A", "b c") in got.headers
    assert not [name for name, _ in got.headers if name in ("X-T", "X-U")]
    assert read(got) == b"ok"


def test_an_answer_that_ends_with_its_connection_leaves_none(pool, upstream):
    upstream.answer, upstream.closes = b"HTTP/1.1 200 OK\r\n\r\nok", True
    assert read(ask(pool)) == b"ok"
    assert pool._idle == []


@pytest.mark.parametrize(
    "body",
    [
        b"2\r\nokk\r\n0\r\n\r\n",
        b"2\r\nok0\r\n\r\n",
        b"2\r\nok\n0\r\n\r\n",
        b"2\r\nok\r\n0\r\n",
        b"2\r\nok\r\n0\r\nX-T: 1\r\n",
        b"2\r\nok\r\n0\r\n" + b"X: y\r\n" * (MAX_HEAD // 6 + 1) + b"\r\n",
        b"2\r\nok\r\n0\r\nX: " + b"y" * BLOCK + b"\r\n\r\n",
        b"2\r\nok\r\n" + b"0" * BLOCK + b"\r\n\r\n",
        b"2\r\nok\r\n" + b"f" * 16 + b"\r\n",
    ],
)
def test_chunks_that_do_not_end_where_they_say_are_no_whole_body(pool, upstream, body):
    upstream.answer, upstream.closes = CHUNKED + body, True
    answer = ask(pool)
    with pytest.raises(UpstreamError):
        list(answer)
    answer.close()


def test_trailers_may_be_so_long(pool, upstream):
    trailers = b"X: y\r\n" * (MAX_HEAD // 6)
    upstream.answer = [CHUNKED + b"2\r\nok\r\n0\r\n" + trailers + b"\r\n", OK]
    assert read(ask(pool)) == b"ok"
    assert read(ask(pool)) == b"ok"
    assert connections(upstream) == [1, 1]


@pytest.mark.parametrize(
    "head",
    [b"X: a\r\r\n", b"X: a\r\nY\r\n", b"X: a\r\n\x0b: b\r\n", b"X: a\r\n\r Y: b\r\n", b" X: a\r\n"],
)
def test_a_line_that_is_no_header_spoils_the_answer(pool, upstream, head):
    upstream.answer = b"HTTP/1.1 200 OK\r\n" + head + b"Content-Length: 2\r\n\r\nok"
    with pytest.raises(UpstreamError):
        ask(pool)


@pytest.mark.parametrize("line", [b"a:\n", b"a:\n b\n", b"a :\n", b"a\n", b"a: b c\n\t\n"])
def test_a_head_as_long_as_may_be_is_read_at_once(pool, upstream, line):
    upstream.answer = b"HTTP/1.1 200 OK\n" + line * (MAX_HEAD // len(line) - 40) + b"\n"
    upstream.closes = True
    began_s = time.monotonic()
    with contextlib.suppress(UpstreamError):
        ask(pool).close()
    assert time.monotonic() - began_s < 2


# -- TLS ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_upstream(authority: trustme.CA) -> Iterator[Upstream]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    running = Upstream(tls=context)
    yield running
    running.close()


@pytest.fixture
def tls_pool(authority: trustme.CA, tls_upstream: Upstream, make_pool: Callable[..., Pool]) -> Pool:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return make_pool("localhost", tls_upstream.port, tls=context)


@pytest.mark.parametrize("announced", [True, False])
def test_over_tls_only_an_announced_end_completes_a_body(tls_pool, tls_upstream, announced):
    def script(connection):
        connection.recv(BLOCK)
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf")
        if announced:
            connection.unwrap()

    tls_upstream.script = script
    answer = ask(tls_pool)
    if announced:
        assert read(answer) == b"half"
        return
    with pytest.raises(UpstreamError):
        list(answer)
    answer.close()


def test_what_tls_has_read_and_nobody_asked_for_is_nobodys_answer(tls_pool, tls_upstream):
    def script(connection):
        with connection.makefile("rb") as reader:
            read_head(reader)
            # The second record holds the end of the body, and more: it waits in the TLS library.
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok")
            connection.sendall(b"ok" + OK.replace(b"ok", b"no"))
            reader.read()

    tls_upstream.script = script
    assert read(ask(tls_pool)) == b"okok"
    tls_upstream.script = None
    assert read(ask(tls_pool)) == b"ok"


@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Same\r\nContent-Length: 2\r\n\r\n"),
    ],
)
def test_a_connection_on_which_a_body_may_come_for_none_is_not_used_again(
    pool, upstream, method, head
):
    upstream.answer = [head, OK]
    assert read(ask(pool, method)) == b""
    assert read(ask(pool)) == b"ok"
    assert connections(upstream) == [1, 2]


def test_a_tls_connection_is_used_again(tls_pool, tls_upstream):
    for _ in range(3):
        assert read(ask(tls_pool)) == b"ok"
    assert connections(tls_upstream) == [1, 1, 1]


def test_silence_is_an_error_of_its_own(make_pool, upstream):
    upstream.answer = OK[:-1]
    answer = ask(make_pool(read_timeout_s=0.2))
    with pytest.raises(UpstreamTimeout):
        list(answer)
    answer.close()
