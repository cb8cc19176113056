"""Where a request ends, and who asks: nothing gets to the site without a decision of its own.

Raw bytes go to factored under real servers, with a site behind that reads strictly and keeps what
arrived. A request may be refused or passed on, but never become two, and nobody else's name or
answer may come out of it.
"""

from __future__ import annotations

import contextlib
import random
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pytest

from factored.gate import IDENTITY_KEYS
from tests.support import at_once

from .client import visitor
from .recorder import Recorder
from .servers import FULL, Front, start_front
from .test_junk import raw

ANSWERS = 100_000 if FULL else 3_000
"""How many answers are looked at whether they are somebody else's (PROMISES, numbers)."""
VISITORS = 8
WAIT_S = 30
ADMIN = b"admin@evil.example"
IDENTITY = {key.removeprefix("HTTP_").upper().encode() for key in IDENTITY_KEYS}
"""What names a user, as CGI writes it: so do PHP and others read ``Remote.User``."""
SAFE = {200, 204, 302, 400, 401, 405, 411, 413, 414, 417, 431, 501, 505}
"""What a server may answer to bytes that make little sense; nothing at all is fine too."""


@pytest.fixture(scope="module")
def recorder() -> Iterator[Recorder]:
    made = Recorder()
    yield made
    made.close()


@dataclass
class Guarded:
    """factored before the recorder, with two users who are signed in."""

    front: Front
    site: Recorder
    names: list[bytes]
    cookies: list[bytes]

    def statuses(self, request: bytes) -> list[int]:
        """bytes on one connection -> the status of each answer that came back"""
        received = raw(self.front, request)
        found = [int(one) for one in re.findall(rb"HTTP/1\.[01] (\d{3}) ", received)]
        return [status for status in found if status != 100]


@pytest.fixture(scope="module", params=["waitress", "gunicorn", "gthread"])
def guarded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, recorder: Recorder
) -> Iterator[Guarded]:
    folder: Path = tmp_path_factory.mktemp(f"framing-{request.param}") / "site"
    front = start_front(folder, request.param, recorder.port)
    users, cookies = [front.add_user() for _ in range(2)], []
    for user in users:
        browser = visitor(front)
        browser.sign_in(user)
        cookies.append(b"Cookie: auth_tkt=" + browser.cookies["auth_tkt"][0].encode() + b"\r\n")
    yield Guarded(front, recorder, [user.name.encode() for user in users], cookies)
    front.server.stop()


_marks = iter(range(1 << 30))


def new_mark() -> bytes:
    return b"mark-%d." % next(_marks)


def inner(mark: bytes) -> bytes:
    """-> the request that somebody without a ticket would like to get past the gate"""
    return b"GET /inner?%s HTTP/1.1\r\nHost: h\r\nFactored-User: %s\r\n\r\n" % (mark, ADMIN)


def nothing_got_past(guarded: Guarded, mark: bytes, request: bytes, user: bytes) -> list[int]:
    """bytes whose first request is this user's (none: empty) -> statuses

    Fails if the site got anything but that first request, once, with that name alone.
    """
    before = len(guarded.site.arrived)
    statuses = guarded.statuses(request)
    assert set(statuses) <= SAFE
    assert guarded.site.junk == []
    for one in guarded.site.arrived[before:]:
        assert re.fullmatch(rb"(//?evil\.example)?/(page|open)\?mark-\d+\.", one.target), one
        named = [pair for pair in one.fields if re.sub(rb"\W", b"_", pair[0]).upper() in IDENTITY]
        assert named == ([(b"Factored-User", user)] if user else []), one
        assert not any(b"auth_tkt" in value for _, value in one.fields), one
    arrived = guarded.site.with_mark(mark)
    assert len(arrived) <= 1
    assert len(arrived) <= statuses.count(200)
    return statuses


def both_ways(guarded: Guarded, template: bytes, **parts: bytes) -> list[list[int]]:
    """a request with %(target)s, %(cookie)s and %(inner)s -> statuses: signed in, and exempt"""
    found = []
    for path, cookie, user in (
        (b"/page?", guarded.cookies[0], guarded.names[0]),
        (b"/open?", b"", b""),
    ):
        mark = new_mark()
        known = {b"target": path + mark, b"cookie": cookie, b"inner": inner(mark)}
        request = template % (known | {name.encode(): part for name, part in parts.items()})
        found.append(nothing_got_past(guarded, mark, request, user))
    return found


# -- where a body ends -----------------------------------------------------------------------------

CODINGS = [
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: Chunked", b"Transfer-Encoding:chunked",
    b"Transfer-Encoding:\tchunked", b"Transfer-Encoding: chunked ", b"Transfer-Encoding : chunked",
    b"Transfer-Encoding\t: chunked", b" Transfer-Encoding: chunked", b"Transfer_Encoding: chunked",
    b"Transfer.Encoding: chunked", b"Transfer Encoding: chunked", b"transfer-encoding: CHUNKED",
    b"Transfer-Encoding: xchunked", b"Transfer-Encoding: chunkedx", b"Transfer-Encoding: chunk",
    b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding: identity, chunked",
    b"Transfer-Encoding: identity", b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: chunked, gzip", b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: ,chunked",
    b"Transfer-Encoding: chunked,", b"Transfer-Encoding: chunked;q=1",
    b'Transfer-Encoding: "chunked"', b"Transfer-Encoding: 'chunked'", b"Transfer-Encoding:",
    b"Transfer-Encoding: \x0bchunked", b"Transfer-Encoding: chunked\x0c",
    b"Transfer-Encoding: \x00chunked", b"Transfer-Encoding: chunked\x00",
    b"Transfer-Encoding: \xa0chunked", b"Transfer-Encoding: \x85chunked",
    b"Transfer-Encoding:\r\n chunked", b"Transfer-Encoding: x\r\n chunked",
    b"Transfer-Encoding:\n chunked", b"X: y\nTransfer-Encoding: chunked",
    b"X: y\rTransfer-Encoding: chunked", b"X: y\r\n\tTransfer-Encoding: chunked",
    b"TE: chunked", b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked",
    b"Connection: Content-Length", b"Connection: close, Host, Cookie, Transfer-Encoding",
]  # fmt: skip
LENGTHS = [
    b"Content-Length: +%d", b"Content-Length: -%d", b"Content-Length: 0x%d",
    b"Content-Length: %d.0",
    b"Content-Length: %de0", b"Content-Length: 0%d", b"Content-Length: %d,", b"Content-Length: ,%d",
    b"Content-Length: %d ", b"Content-Length:%d", b"Content-Length:\t%d", b"Content-Length : %d",
    b"Content-Length\t: %d", b" Content-Length: %d", b"Content_Length: %d", b"Content.Length: %d",
    b"Content Length: %d", b"Content-Length: %d\x00", b"Content-Length: \x0b%d",
    b"Content-Length: \xa0%d", b"Content-Length: %d\x85", b"Content-Length:\r\n %d",
    b"Content-Length:\n %d", b"X: y\nContent-Length: %d", b"X: y\rContent-Length: %d",
    b"Content-Length: 0\r\nContent-Length: %d", b"Content-Length: %d\r\nContent-Length: 0",
    b"Content-Length: %d, 0", b"Content-Length: 0, %d", b"Content-Length: 0\r\n %d",
    b"Content-Length: 0\r\nContent_Length: %d", b'Content-Length: "%d"', b"Content-Length: %d_0",
    b"Content-Length: \xd9\xa5%d", b"Content-Length: 99999999999999999999%d",
    b"Connection: Content-Length\r\nContent-Length: %d", b"Content-Length:\r\nContent-Length: %d",
]  # fmt: skip
BODIES = {
    "the end at once": b"0\r\n\r\n%(inner)s",
    "nothing else": b"%(inner)s",
    "in a chunk": b"%(size)x\r\n%(inner)s\r\n0\r\n\r\n",
    "behind a chunk": b"1\r\nZ\r\n0\r\n\r\n%(inner)s",
    "in the trailers": b"0\r\nX: y\r\n%(inner)s",
}
SOME = b"%(cookie)sHost: h\r\n"


def template(fields: bytes, body: bytes, method: bytes = b"POST") -> bytes:
    """lines of a head, body -> the template of a request; its marks are of one length"""
    size = len(inner(b"mark-1234567."))
    return (
        method + b" %(target)s HTTP/1.1\r\n" + SOME + fields.replace(b"%", b"%%") + b"\r\n\r\n"
        + body.replace(b"%(size)x", b"%x" % size)
    )  # fmt: skip


@pytest.mark.parametrize("coding", CODINGS)
def test_a_coding_in_any_spelling_lets_no_second_request_through(
    guarded: Guarded, coding: bytes
) -> None:
    for length in (b"", b"\r\nContent-Length: 5", b"\r\nContent-Length: 1000"):
        for body in BODIES.values():
            for fields in (coding + length, length[2:] + b"\r\n" + coding if length else coding):
                both_ways(guarded, template(fields, body))


@pytest.mark.parametrize("length", LENGTHS)
def test_a_length_in_any_spelling_lets_no_second_request_through(
    guarded: Guarded, length: bytes
) -> None:
    for size in (5, 80):
        for body in BODIES.values():
            for method in (b"POST", b"GET"):
                both_ways(guarded, template(length % size, body, method))


CHUNKS = [
    b"0x0\r\n\r\n", b"+0\r\n\r\n", b"-1\r\n\r\n", b" 0\r\n\r\n", b"0 \r\n\r\n", b"00000\r\n\r\n",
    b"0;x=y\r\n\r\n", b"0;\r\n\r\n", b"0;x=\ny\r\n\r\n", b'0;x="\r\n\r\n"\r\n\r\n', b"0\n\n",
    b"0\r\n\n", b"0\n\r\n", b"0\r\r\n", b"1\r\nZZ\r\n0\r\n\r\n", b"1\r\nZ0\r\n\r\n",
    b"1\r\nZ\n0\r\n\r\n", b"1\nZ\n0\n\n", b"2\r\nZ\r\n0\r\n\r\n", b"1_0\r\n" + b"Z" * 16,
    b"10000000000000000\r\n\r\n", b"fffffffffffffffff\r\n", b"-0\r\n\r\n", b"0,0\r\n\r\n",
    b"\xd9\xa0\r\n\r\n", b"0\x00\r\n\r\n", b"\r\n0\r\n\r\n", b"x\r\n", b"1;\nZ\r\n0\r\n\r\n",
    b"0\r\nContent-Length: 9\r\n\r\n", b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"0\r\nFactored-User: %(admin)s\r\nCookie: x\r\nHost: evil\r\n\r\n",
    b"0\r\nFactored-User: %(admin)s\n\r\n", b"0\r\n Factored-User: %(admin)s\r\n\r\n",
]  # fmt: skip


@pytest.mark.parametrize("chunk", CHUNKS)
def test_chunks_and_trailers_that_make_no_sense_let_nothing_through(
    guarded: Guarded, chunk: bytes
) -> None:
    both_ways(guarded, template(b"Transfer-Encoding: chunked", chunk + b"%(inner)s"), admin=ADMIN)


# -- where a head ends, and what it may say --------------------------------------------------------

NAMED = [
    b"Factored-User", b"factored-user", b"FACTORED-USER", b"Factored_User", b"Factored.User",
    b"Factored~User", b"Factored User", b"Factored-User ", b"Factored-User\t", b"\tFactored-User",
    b" Factored-User", b"Remote-User", b"Remote_User", b"REMOTE.USER", b"X-Remote-User",
    b"X_Remote_User", b"X-Forwarded-User", b"X-Authenticated-User", b"X-Auth-Request-User",
    b"X_Auth-Request_User", b"HTTP_FACTORED_USER", b"X:y\r\nFactored-User",
    b"X: y\nFactored-User", b"X: y\rFactored-User", b"X: y\r\n Factored-User",
    b"X: y\r\n\tFactored-User", b"X: \x00\nFactored-User", b"X\x00: y\r\nFactored-User",
    b"X\r\nFactored-User", b":\r\nFactored-User", b"\xef\xbb\xbfFactored-User",
    b"Connection: Factored-User\r\nFactored-User", b"Connection: factored_user\r\nFactored-User",
    b"Connection: Cookie, Host\r\nFactored-User", b"Factored-User: x\r\nFactored-User",
    b"Keep-Alive: Factored-User\r\nfactored-user", b"Trailer: Factored-User\r\nFactored-user",
    b"Upgrade: h2c\r\nHTTP2-Settings: x\r\nConnection: Upgrade, HTTP2-Settings\r\nRemote-User",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_a_clients_own_identity_never_arrives(guarded: Guarded, name: bytes) -> None:
    told = name + b": " + ADMIN
    for fields in (told, told + b"\r\n" + told, b"X-Last: y\r\n" + told):
        for method in (b"GET", b"POST"):
            both_ways(guarded, template(fields, b"", method))
    raised = b"%(method)s %(target)s HTTP/1.1\r\n" + told + b"\r\n%(cookie)sHost: h\r\n\r\n"
    both_ways(guarded, raised, method=b"GET")


HEADS = [
    b"GET %(target)s HTTP/1.1\r\nHost: h\r\nHost: evil\r\n%(cookie)s\r\n",
    b"GET %(target)s HTTP/1.1\r\nHost: h\r\nHost: h\r\n%(cookie)s\r\n",
    b"GET %(target)s HTTP/1.1\r\nHost: h, evil\r\n%(cookie)s\r\n",
    b"GET %(target)s HTTP/1.1\r\nHost: h\r\n evil\r\n%(cookie)s\r\n",
    b"GET %(target)s HTTP/1.1\r\nHost: h evil\r\n%(cookie)s\r\n",
    b"GET %(target)s HTTP/1.1\r\nHost: h\x00evil\r\n%(cookie)s\r\n",
    b"GET %(target)s HTTP/1.1\r\nHost:\r\n%(cookie)s\r\n",
    b"GET %(target)s HTTP/1.1\r\n%(cookie)s\r\n",
    b"GET %(target)s HTTP/1.1\r\nHost : evil\r\nHost: h\r\n%(cookie)s\r\n",
    b"GET http://evil.example%(target)s HTTP/1.1\r\nHost: h\r\n%(cookie)s\r\n",
    b"GET //evil.example%(target)s HTTP/1.1\r\nHost: h\r\n%(cookie)s\r\n",
    b"GET %(target)s HTTP/1.1\nHost: h\n%(cookie)s\n",
    b"GET %(target)s HTTP/1.1\r\nHost: h\r\n%(cookie)s\n",
    b"GET %(target)s HTTP/1.1\r\nHost: h\n%(cookie)s\r\n",
    b"GET %(target)s HTTP/1.1\rHost: h\r%(cookie)s\r\r",
    b"GET  %(target)s  HTTP/1.1\r\nHost: h\r\n%(cookie)s\r\n",
    b"GET\t%(target)s\tHTTP/1.1\r\nHost: h\r\n%(cookie)s\r\n",
    b"GET %(target)s HTTP/1.1 \r\nHost: h\r\n%(cookie)s\r\n",
    b"GET %(target)s HTTP/1.1\r\n Host: h\r\n%(cookie)s\r\n",
    b"\r\n\r\nGET %(target)s HTTP/1.1\r\nHost: h\r\n%(cookie)s\r\n",
    b"\n\nGET %(target)s HTTP/1.1\r\nHost: h\r\n%(cookie)s\r\n",
    b" GET %(target)s HTTP/1.1\r\nHost: h\r\n%(cookie)s\r\n",
    b"GET %(target)s HTTP/1.0\r\nHost: h\r\n%(cookie)s\r\n",
    b"GET %(target)s HTTP/1.0\r\nTransfer-Encoding: chunked\r\n%(cookie)s\r\n0\r\n\r\n",
    b"GET %(target)s HTTP/1.0\r\nConnection: keep-alive\r\n%(cookie)s\r\n",
    b"GET %(target)s HTTP/2.0\r\nHost: h\r\n%(cookie)s\r\n",
    b"GET %(target)s HTTP/1.01\r\nHost: h\r\n%(cookie)s\r\n",
    b"GET %(target)s\r\n\r\n",
    b"GET %(target)s\r\n%(cookie)s\r\n",
    b"GET %(target)s HTTP/1.1\r\nX: GET /inner HTTP/1.1\r\nHost: h\r\n%(cookie)s\r\n",
    b"GET %(target)s HTTP/1.1\r\nHost: h\r\n%(cookie)sExpect: 100-continue\r\n\r\n",
    b"POST %(target)s HTTP/1.1\r\nHost: h\r\n%(cookie)sExpect: 100-continue\r\n"
    b"Content-Length: 5\r\n\r\n12345",
    b"POST %(target)s HTTP/1.1\r\nHost: h\r\n%(cookie)sExpect: y 100-continue\r\n"
    b"Content-Length: 5\r\n\r\n12345",
    b"POST %(target)s HTTP/1.1\r\nHost: h\r\n%(cookie)sExpect: 100-continue\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n",
    b"GET %(target)s HTTP/1.1\r\nHost: h\r\n%(cookie)sUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 777\r\n\r\n",
    b"HEAD %(target)s HTTP/1.1\r\nHost: h\r\n%(cookie)sContent-Length: 5\r\n\r\n12345",
    b"GET %(target)s HTTP/1.1\r\nHost: h\r\n%(cookie)sContent-Length: 5\r\n\r\n12345",
    b"CONNECT h:80 HTTP/1.1\r\nHost: h\r\n%(cookie)s\r\n",
    b"TRACE %(target)s HTTP/1.1\r\nHost: h\r\n%(cookie)s\r\n",
    b"GET %(target)s HTTP/1.1\r\nHost: h\r\n%(cookie)sX: " + b"y" * 70000 + b"\r\n\r\n",
    b"GET %(target)s HTTP/1.1\r\nHost: h\r\n%(cookie)s" + b"X: y\r\n" * 5000 + b"\r\n",
]


@pytest.mark.parametrize("head", HEADS, ids=range(len(HEADS)))
def test_whatever_the_head_the_request_behind_it_has_its_own_decision(
    guarded: Guarded, head: bytes
) -> None:
    both_ways(guarded, head + b"%(inner)s")
    both_ways(guarded, head + b"%(inner)s%(inner)s")
    both_ways(guarded, head)


def test_what_makes_sense_does_arrive(guarded: Guarded) -> None:
    """Else all of the above would pass with a server that answers nobody."""
    for fields, body in (
        (b"Content-Length: 5", b"12345"),
        (b"Transfer-Encoding: chunked", b"5\r\n12345\r\n0\r\n\r\n"),
        (b"Transfer-Encoding: chunked", b"2\r\n12\r\n3;x=y\r\n345\r\n0\r\n\r\n"),
    ):
        before = len(guarded.site.arrived)
        assert both_ways(guarded, template(fields, body)) == [[200], [200]]
        assert [one.body for one in guarded.site.arrived[before:]] == [b"12345"] * 2


def test_requests_in_one_go_are_decided_one_by_one(guarded: Guarded) -> None:
    mark = new_mark()
    ask = b"GET %s?%s%d HTTP/1.1\r\nHost: h\r\n%s\r\n"
    (one, other), before = guarded.cookies, len(guarded.site.arrived)
    plan = [(b"/page", one), (b"/page", b""), (b"/page", other), (b"/open", b""), (b"/page", one)]
    requests = [ask % (path, mark, n, cookie) for n, (path, cookie) in enumerate(plan)]
    statuses = guarded.statuses(b"".join(requests))
    # gunicorn's sync worker takes one request of a connection.
    expected = [200, 302, 200, 200, 200][: 1 if guarded.front.kind == "gunicorn" else 5]
    assert statuses == expected
    a, b = guarded.names
    whose = [[a], [b], [], [a]][: 1 if guarded.front.kind == "gunicorn" else 4]
    arrived = guarded.site.arrived[before:]
    assert [request.values(b"factored-user") for request in arrived] == whose


# -- whose answer it is ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """One request, and what its answer must say."""

    data: bytes
    method: bytes
    saw: bytes | None

    def answered(self, stream: BinaryIO) -> bool | None:
        """stream -> whether an answer was there, None for the last; fails if it is another one's"""
        line = stream.readline()
        if not line:
            return False
        match = re.fullmatch(rb"HTTP/1\.1 (\d{3}) .*\r\n", line)
        assert match, (self, line, stream.peek()[:500])
        status = int(match[1])
        headers = {}
        while (field := stream.readline()) not in (b"\r\n", b""):
            name, _, value = field.rstrip(b"\r\n").partition(b": ")
            headers[name.lower()] = value
        if field == b"":
            return False
        assert headers.get(b"x-saw") == self.saw, (self, line, headers)
        assert (status in (302, 401)) is (self.saw is None), (self, line)
        body = b""
        if self.method != b"HEAD" and status not in (204, 304):
            body = _body(stream, headers)
        if self.saw is not None and body:
            assert body.startswith(self.saw), (self, body[:200])
            assert body[len(self.saw) : len(self.saw) + 1] in (b"", b"0"), (self, body[:200])
        return None if headers.get(b"connection", b"").lower() == b"close" else True


def _body(stream: BinaryIO, headers: dict[bytes, bytes]) -> bytes:
    if headers.get(b"transfer-encoding") != b"chunked":
        length = headers.get(b"content-length")
        return stream.read() if length is None else stream.read(int(length))
    body = b""
    while size := int(stream.readline(), 16):
        body += stream.read(size + 2)[:-2]
    stream.readline()
    return body


SHAPES = [b"short", b"long", b"chunked", b"close", b"nothing", b"long-chunked"]


class Visitor:
    """Asks in the name of two users and of nobody, on connections that all three share."""

    def __init__(self, guarded: Guarded, number: int) -> None:
        self._guarded = guarded
        self._chance = random.Random(f"{guarded.front.kind} {number}")
        self._number = number
        self._asked = 0

    def asks(self) -> Asked:
        chance = self._chance
        self._asked += 1
        method = chance.choice([b"GET", b"GET", b"HEAD", b"POST", b"PUT"])
        shape = chance.choice(SHAPES)
        target = b"/page?%d-%d-%s" % (self._number, self._asked, shape)
        who = chance.choice([0, 1, None])
        cookie = b"" if who is None else self._guarded.cookies[who]
        head = b"%s %s HTTP/1.1\r\nHost: h\r\n%s" % (method, target, cookie)
        if method in (b"GET", b"HEAD"):
            data = head + b"\r\n"
        elif chance.random() < 0.5:
            data = head + b"Content-Length: 300\r\n\r\n" + b"b" * 300
        else:
            data = head + b"Transfer-Encoding: chunked\r\n\r\n5\r\nbbbbb\r\n0\r\n\r\n"
        saw = None if who is None else target + b" " + self._guarded.names[who]
        return Asked(data, method, saw)

    def answers(self, wanted: int) -> int:
        """how many -> so many answers that were looked at, on as many connections as it takes"""
        found = 0
        most = 1 if self._guarded.front.kind == "gunicorn" else 6
        while found < wanted:
            address = ("127.0.0.1", self._guarded.front.port)
            with (
                socket.create_connection(address, timeout=WAIT_S) as connection,
                contextlib.suppress(ConnectionError),
                connection.makefile("rb") as stream,
            ):
                for _ in range(20):
                    some = [self.asks() for _ in range(self._chance.randint(1, most))]
                    connection.sendall(b"".join(one.data for one in some))
                    if self._chance.random() < 0.03:
                        # Gone in the middle of an answer, which nobody else may get the rest of.
                        connection.recv(self._chance.choice([1, 200, 5000]))
                        break
                    for one in some:
                        more = one.answered(stream)
                        found += more is not False
                        if not more:
                            break
                    if not more:
                        break
        return found


def test_nobody_gets_the_answer_of_somebody_else(guarded: Guarded) -> None:
    each = ANSWERS // VISITORS
    found = at_once(VISITORS, lambda number: Visitor(guarded, number).answers(each))
    assert sum(found) >= ANSWERS
    assert guarded.site.junk == []
    assert "Traceback" not in guarded.front.server.output
