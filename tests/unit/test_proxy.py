"""SimpleProxy against a scripted upstream on real sockets."""

from __future__ import annotations

import datetime
import http.client
import io
import ipaddress
import logging
import os
import socket
import ssl
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from factored.answers import security_headers
from factored.proxy import REMEMBERED, SHORT, SimpleProxy, remembered
from factored.upstream import connection as upstream_module
from factored.upstream.answer import MAX_HEAD
from factored.upstream.connection import UpstreamError

from .proxy_upstream import OK, WAIT_S, Upstream, read_head, reset

QUICK_S = 0.2
"""A timeout that a test waits for."""


@dataclass
class Answer:
    status: str
    headers: list[tuple[str, str]]
    body: bytes

    def values(self, name: str) -> list[str]:
        return [value for found, value in self.headers if found.lower() == name.lower()]


def make_environ(**changes: Any) -> dict[str, Any]:
    environ = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "REMOTE_ADDR": "192.0.2.7",
        "HTTP_HOST": "site.example",
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(),
    }
    return environ | {key.replace("__", "."): value for key, value in changes.items()}


def start(app: SimpleProxy, environ: dict[str, Any]) -> tuple[Answer, Any]:
    """app, environ -> (answer without body, the iterable that is the body)"""
    answer = Answer("", [], b"")

    def start_response(status: str, headers: list[tuple[str, str]]) -> None:
        answer.status, answer.headers = status, headers

    return answer, app(environ, start_response)


def call(app: SimpleProxy, environ: dict[str, Any] | None = None, **changes: Any) -> Answer:
    """app, environ -> answer, read to its end and closed as a server does"""
    answer, body = start(app, make_environ(**changes) | (environ or {}))
    try:
        answer.body = b"".join(body)
    finally:
        if hasattr(body, "close"):
            body.close()
    return answer


@pytest.fixture
def make_proxy(upstream: Upstream) -> Iterator[Callable[..., SimpleProxy]]:
    made: list[SimpleProxy] = []

    def make(server: str = "127.0.0.1", port: int | None = None, **options: Any) -> SimpleProxy:
        options = {"connect_timeout_s": WAIT_S, "read_timeout_s": WAIT_S} | options
        made.append(SimpleProxy(server, port or upstream.port, **options))
        return made[-1]

    yield make
    for one in made:
        one._upstream().close()


@pytest.fixture
def app(make_proxy: Callable[..., SimpleProxy]) -> SimpleProxy:
    return make_proxy()


@pytest.fixture
def forwarded(app: SimpleProxy, upstream: Upstream) -> Callable[..., Any]:
    """environ changes -> the request as the upstream read it, once it has answered 200"""

    def send(environ: dict[str, Any] | None = None, **changes: Any) -> Any:
        assert call(app, environ, **changes).status == "200 OK"
        return upstream.requests[-1]

    return send


@pytest.fixture
def answered(app: SimpleProxy, upstream: Upstream) -> Callable[..., Answer]:
    """answer bytes -> what the client gets of them"""

    def send(answer: bytes, **changes: Any) -> Answer:
        upstream.answer, upstream.closes = answer, True
        return call(app, **changes)

    return send


# -- the target --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("/", "/"),
        ("/a%2fb", "/a/b"),
        ("/a%2Fb", "/a/b"),
        ("/%61", "/a"),
        ("/a/../b/./c", "/a/../b/./c"),
        ("//evil.example/x", "//evil.example/x"),
        ("/%zz", "/%zz"),
        ("/d%C3%A9", "/d\xc3\xa9"),
        ("/a%23b", "/a#b"),
        ("/a%0d%0ab", "/a\r\nb"),
        ('/"<>\\^`{|}~', '/"<>\\^`{|}~'),
        ("/a;b=1,2:@!$&'()*+=", "/a;b=1,2:@!$&'()*+="),
        ("/a%3Fb", "/a?b"),
    ],
)
@pytest.mark.parametrize("key", ["REQUEST_URI", "RAW_URI"])
def test_a_raw_target_that_means_the_decided_path_goes_on_byte_for_byte(forwarded, key, raw, path):
    sent = forwarded({key: raw}, PATH_INFO=path)
    assert sent.line == f"GET {raw} HTTP/1.1".encode()


@pytest.mark.parametrize(
    ("raw", "query"),
    [
        ("/?", ""),
        ("/?a=%2f&b=%zz", "a=%2f&b=%zz"),
        ("/?a?b", "a?b"),
        ('/?"<>\\^`{|}', '"<>\\^`{|}'),
    ],
)
def test_a_raw_query_goes_on_byte_for_byte(forwarded, raw, query):
    assert forwarded(RAW_URI=raw, QUERY_STRING=query).line == f"GET {raw} HTTP/1.1".encode()


@pytest.mark.parametrize("scheme", ["http", "https", "HTTP"])
def test_an_absolute_target_loses_its_host_and_keeps_its_bytes(forwarded, scheme):
    raw = f"{scheme}://other.example:81/a%2fb?c=%2f"
    sent = forwarded(RAW_URI=raw, PATH_INFO="/a/b", QUERY_STRING="c=%2f")
    assert sent.line == b"GET /a%2fb?c=%2f HTTP/1.1"
    assert sent.values(b"Host") == [b"site.example"]


@pytest.mark.parametrize(
    ("raw", "path", "query", "line"),
    [
        ("/admin", "/public", "", b"/public"),
        ("//evil/x", "/evil/x", "", b"/evil/x"),
        ("http://other.example/admin", "/public", "", b"/public"),
        ("http://other.example", "", "", b"/"),
        ("ftp://other.example/a", "/a", "", b"/a"),
        ("other.example/a", "/a", "", b"/a"),
        ("/a?x=1", "/a", "x=2", b"/a?x=2"),
        ("/a?x=1", "/a", "", b"/a"),
        ("/a", "/a", "x=1", b"/a?x=1"),
        ("/a#b", "/a", "", b"/a"),
        ("/a#b", "/a#b", "", b"/a%23b"),
        ("/a?b#c", "/a", "b#c", b"/a?b%23c"),
        ("/a b", "/a b", "", b"/a%20b"),
        ("/a\tb", "/a\tb", "", b"/a%09b"),
        ("/a\r\nX: y", "/a\r\nX: y", "", b"/a%0D%0AX:%20y"),
        ("/\xe9", "/\xe9", "", b"/%E9"),
        ("/\u20ac", "/a", "", b"/a"),
        ("/a?b c", "/a", "b c", b"/a?b%20c"),
        ("/a?\xe9", "/a", "\xe9", b"/a?%E9"),
        ("/a\x00", "/a\x00", "", b"/a%00"),
        ("/a\x7f", "/a\x7f", "", b"/a%7F"),
        ("", "/a%b", "", b"/a%25b"),
        ("", "/a?b", "", b"/a%3Fb"),
        ("", "/a", "b=%2f&c=[d]", b"/a?b=%2f&c=[d]"),
    ],
)
def test_another_raw_target_gives_way_to_the_decided_path(forwarded, raw, path, query, line):
    sent = forwarded(REQUEST_URI=raw, PATH_INFO=path, QUERY_STRING=query)
    assert sent.line == b"GET " + line + b" HTTP/1.1"


def test_the_script_name_is_part_of_the_path(forwarded):
    assert forwarded(SCRIPT_NAME="/app", PATH_INFO="/a b").line == b"GET /app/a%20b HTTP/1.1"
    sent = forwarded(SCRIPT_NAME="/app", PATH_INFO="/a/b", REQUEST_URI="/%61pp/a%2fb")
    assert sent.line == b"GET /%61pp/a%2fb HTTP/1.1"


def test_without_any_path_the_root_is_asked_for(forwarded):
    assert forwarded(PATH_INFO="").line == b"GET / HTTP/1.1"


@pytest.mark.parametrize(
    "changes",
    [
        {"PATH_INFO": "*", "REQUEST_METHOD": "OPTIONS"},
        {"PATH_INFO": "."},
        {"PATH_INFO": "evil.example/"},
        {"PATH_INFO": "/\u20ac"},
        {"QUERY_STRING": "\u20ac"},
    ],
)
def test_a_path_that_cannot_be_sent_is_refused(app, upstream, changes):
    assert call(app, **changes).status == "400 Bad Request"
    assert upstream.requests == []


# -- the method --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS", "PROPFIND", "REPORT", "M-SEARCH"])
def test_every_method_passes(forwarded, method):
    assert forwarded(REQUEST_METHOD=method).line == f"{method} / HTTP/1.1".encode()


@pytest.mark.parametrize("method", ["", "G ET", "GET\r\nX: y", "G\xc9T", "GET\n", "G/T"])
def test_what_is_no_method_is_refused(app, upstream, method):
    assert call(app, REQUEST_METHOD=method).status == "400 Bad Request"
    assert upstream.requests == []


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "trace"])
def test_tunnels_and_traces_are_not_forwarded(app, upstream, method):
    answer = call(app, REQUEST_METHOD=method)
    assert answer.status == "405 Method Not Allowed"
    assert "GET" in answer.values("Allow")[0]
    assert upstream.requests == []


# -- request headers ---------------------------------------------------------------------------


def test_nothing_is_sent_that_the_client_did_not_ask_for(forwarded):
    assert sorted(forwarded().names) == [
        b"host",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
    ]


def test_ordinary_headers_pass_with_their_bytes(forwarded):
    sent = forwarded(
        HTTP_USER_AGENT="Mozilla",
        HTTP_ACCEPT_ENCODING="gzip, br",
        HTTP_AUTHORIZATION="Basic  eA==",
        HTTP_X_NAME="d\xc3\xa9\xff",
        CONTENT_TYPE="text/plain; charset=x",
        HTTP_X_EMPTY="",
    )
    assert sent.values(b"User-Agent") == [b"Mozilla"]
    assert sent.values(b"Accept-Encoding") == [b"gzip, br"]
    assert sent.values(b"Authorization") == [b"Basic  eA=="]
    assert sent.values(b"X-Name") == [b"d\xc3\xa9\xff"]
    assert sent.values(b"Content-Type") == [b"text/plain; charset=x"]
    assert sent.values(b"X-Empty") == [b""]


def test_the_host_of_the_client_is_kept_and_never_chooses_the_upstream(forwarded):
    sent = forwarded(HTTP_HOST="other.example:1")
    assert sent.values(b"Host") == [b"other.example:1"]


def test_an_empty_host_stays_empty(forwarded):
    sent = forwarded(HTTP_HOST="")
    assert sent.values(b"Host") == [b""]
    assert b"x-forwarded-host" not in sent.names


def test_a_client_without_host_gets_the_upstreams(app, upstream):
    environ = make_environ()
    del environ["HTTP_HOST"]
    assert b"".join(app(environ, lambda status, headers: None)) == b"ok"
    [sent] = upstream.requests
    assert sent.values(b"Host") == [b"127.0.0.1:%d" % upstream.port]
    assert b"x-forwarded-host" not in sent.names


def test_hop_by_hop_headers_and_what_connection_lists_stay_here(forwarded):
    sent = forwarded(
        HTTP_CONNECTION="close, X-Hop,x.dotted , ,@odd@,\xff",
        HTTP_X_HOP="1",
        HTTP_X_DOTTED="1",
        HTTP_KEEP_ALIVE="1",
        HTTP_PROXY="evil",
        HTTP_PROXY_CONNECTION="keep-alive",
        HTTP_PROXY_AUTHORIZATION="x",
        HTTP_TE="trailers",
        HTTP_TRAILER="X-T",
        HTTP_UPGRADE="websocket",
        HTTP_EXPECT="100-continue",
        HTTP_X_KEPT="1",
    )
    kept = {b"host", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-kept"}
    assert set(sent.names) == kept


def test_a_connection_list_cannot_take_what_the_app_relies_on(forwarded):
    sent = forwarded(
        HTTP_CONNECTION="Factored-User, factored_user, Factored.User, Host, Cookie, "
        "Content-Length, Content-Type, X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host",
        HTTP_FACTORED_USER="ann",
        HTTP_COOKIE="a=1",
        CONTENT_LENGTH="2",
        CONTENT_TYPE="text/plain",
        REQUEST_METHOD="POST",
        wsgi__input=io.BytesIO(b"hi"),
    )
    assert sent.values(b"Factored-User") == [b"ann"]
    assert sent.values(b"Host") == [b"site.example"]
    assert sent.values(b"Cookie") == [b"a=1"]
    assert sent.values(b"Content-Length") == [b"2"]
    assert sent.values(b"Content-Type") == [b"text/plain"]
    assert sent.values(b"X-Forwarded-For") == [b"192.0.2.7"]
    assert sent.values(b"X-Forwarded-Proto") == [b"https"]
    assert sent.values(b"X-Forwarded-Host") == [b"site.example"]
    assert sent.body == b"hi"


def test_the_user_name_goes_on_as_the_bytes_it_was(forwarded):
    sent = forwarded(HTTP_FACTORED_USER="J\xc3\xbcrgen \xe6\x97\xa5")
    assert sent.values(b"Factored-User") == ["Jürgen 日".encode()]


IDENTITY_NAMES = [
    "FACTORED_USER",
    "REMOTE_USER",
    "X_REMOTE_USER",
    "X_FORWARDED_USER",
    "X_AUTHENTICATED_USER",
    "X_AUTH_REQUEST_USER",
]


@pytest.mark.parametrize("name", IDENTITY_NAMES)
@pytest.mark.parametrize("odd", [".", "-", "~", "!", "*", "|"])
def test_no_other_spelling_of_an_identity_header_passes(forwarded, name, odd):
    sent = forwarded(
        {
            "HTTP_" + name.replace("_", odd): "eve",
            "HTTP_" + name.replace("_", odd, 1): "eve",
            "HTTP_" + name.lower(): "eve",
            "HTTP_FACTORED_USER": "ann",
        }
    )
    assert sent.values(b"Factored-User") == [b"ann"]
    assert b"eve" not in sent.head


@pytest.mark.parametrize("name", IDENTITY_NAMES[1:])
def test_of_the_identity_headers_only_our_own_passes(forwarded, name):
    sent = forwarded({"HTTP_" + name: "eve", name: "eve"})
    assert b"eve" not in sent.head


@pytest.mark.parametrize(
    "key",
    ["HTTP_X Y", "HTTP_X\r\nY", "HTTP_X:Y", "HTTP_", "HTTP_\xdcBER", "HTTP_FACTORED\u0131USER"],
)
def test_what_is_no_header_name_is_dropped(forwarded, key):
    assert b"gone" not in forwarded({key: "gone"}).head


def test_a_dotted_name_of_no_meaning_passes(forwarded):
    assert forwarded({"HTTP_X.Y": "1"}).values(b"X.Y") == [b"1"]


@pytest.mark.parametrize("length", [-1, 0, 1, 1000])
def test_a_name_too_long_to_be_remembered_is_read_the_same(forwarded, length):
    name = "X-" + "N" * (SHORT - len("HTTP_X-") + length)
    key = "HTTP_" + name.replace("-", "_")
    for _ in range(2):
        assert forwarded({key: "1"}).values(name.encode()) == [b"1"]
        assert name.lower().encode() not in forwarded({key: "1"}, HTTP_CONNECTION=name).names


def test_what_strangers_make_us_remember_has_an_end():
    asked = []
    short = remembered(lambda text: asked.append(text) or text.upper())
    for number in range(REMEMBERED):
        assert short(f"n{number}") == short(f"n{number}") == f"N{number}"
    assert len(asked) == REMEMBERED
    short("one more")
    short("n0")
    assert asked[REMEMBERED:] == ["one more", "n0"]
    for _ in range(2):
        assert short("x" * (SHORT + 1)) == "X" * (SHORT + 1)
    assert asked[-2:] == ["x" * (SHORT + 1)] * 2


@pytest.mark.parametrize("value", ["a\rb", "a\nb", "a\r\n b", "a\0b", "\u20ac"])
@pytest.mark.parametrize(
    "key", ["HTTP_X_NAME", "CONTENT_TYPE", "REMOTE_ADDR", "HTTP_HOST", "HTTP_COOKIE"]
)
def test_a_value_that_cannot_be_sent_is_refused(app, upstream, key, value):
    assert call(app, {key: value}).status == "400 Bad Request"
    assert upstream.requests == []


def test_forwarding_headers_tell_what_was_checked_here(forwarded):
    sent = forwarded(
        {"HTTP_X.FORWARDED.FOR": "6.6.6.6", "HTTP_X_FORWARDED": "for=6.6.6.6"},
        HTTP_FORWARDED="for=6.6.6.6",
        HTTP_X_FORWARDED_FOR="6.6.6.6, 7.7.7.7",
        HTTP_X_FORWARDED_HOST="6.6.6.6",
        HTTP_X_FORWARDED_PROTO="6.6.6.6",
        HTTP_X_FORWARDED_SERVER="6.6.6.6",
        HTTP_X_FORWARDED_PORT="6.6.6.6",
        HTTP_X_FORWARDED_PREFIX="6.6.6.6",
        HTTP_X_REAL_IP="6.6.6.6",
    )
    assert b"6.6.6.6" not in sent.head
    assert sent.values(b"X-Forwarded-For") == [b"192.0.2.7"]
    assert sent.values(b"X-Forwarded-Host") == [b"site.example"]
    assert sent.values(b"X-Forwarded-Proto") == [b"https"]


def test_a_client_without_address_has_no_forwarded_for(forwarded):
    sent = forwarded(REMOTE_ADDR="", HTTP_X_FORWARDED_FOR="6.6.6.6")
    assert b"x-forwarded-for" not in sent.names


@pytest.mark.parametrize(
    "key",
    [
        "HTTP_X_ORIGINAL_URL", "HTTP_X_ORIGINAL_URI", "HTTP_X_ORIGINAL_METHOD",
        "HTTP_X_REWRITE_URL", "HTTP_X.ORIGINAL-URL", "HTTP_FACTORED_SCHEMES",
    ],
)  # fmt: skip
def test_no_header_tells_the_app_another_path_or_what_was_proven(forwarded, key):
    assert b"/admin" not in forwarded({key: "/admin"}).head


# -- cookies -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("a=1", "a=1"),
        ("a=1; t=x; b=2", "a=1; b=2"),
        ("t=x; b=2", "b=2"),
        ("a=1; t=x", "a=1"),
        ("a=1;t=x;b=2", "a=1;b=2"),
        ("t=x; a=1; t=y; b=2; t=z", "a=1; b=2"),
        ("t=x; t=y; a=1", "a=1"),
        ('a="1 ; 2" ;  b = "q" ;t=x;c', 'a="1 ; 2" ;  b = "q" ;c'),
        ("tt=1; t2=2; xt=3; T=4; t.=5; a=t=6", "tt=1; t2=2; xt=3; T=4; t.=5; a=t=6"),
        (" t = x ; a=1", "a=1"),
        ("a=1;\tt=x", "a=1"),
        ("t; a=1", "a=1"),
        ("a=1; t=", "a=1"),
        ("a=1, t=x", "a=1"),
        ("a=1,t=x; b=2", "a=1; b=2"),
        ("t=x, a=1; b=2", "a=1; b=2"),
        ("t=x,y; a=1", "a=1"),
        ('t="x"; a=1', "a=1"),
        ("a=1,2; b=x, y", "a=1,2; b=x, y"),
        ("a=1,b=2; t=x", "a=1,b=2"),
        (" a=1 ;; b", " a=1 ;; b"),
        ("a=\xc3\xa9; t=x", "a=\xc3\xa9"),
    ],
)
def test_only_the_ticket_is_taken_out_of_the_cookies(forwarded, sent, kept):
    request = forwarded(HTTP_COOKIE=sent, factored__cookie_name="t")
    assert request.values(b"Cookie") == [kept.encode("latin-1")]


@pytest.mark.parametrize("sent", ["t=x", "t=x;", " ; t=x; t=y ;", "t=x, t=y", "t"])
def test_without_another_cookie_the_header_goes(forwarded, sent):
    assert b"cookie" not in forwarded(HTTP_COOKIE=sent, factored__cookie_name="t").names


def test_a_cookie_name_is_no_pattern(forwarded):
    sent = forwarded(HTTP_COOKIE="t.t=x; txt=1", factored__cookie_name="t.t")
    assert sent.values(b"Cookie") == [b"txt=1"]


def test_without_a_gate_every_cookie_passes(forwarded):
    assert forwarded(HTTP_COOKIE="t=x; a=1").values(b"Cookie") == [b"t=x; a=1"]


def test_a_client_without_cookies_has_none_taken(forwarded):
    assert b"cookie" not in forwarded(factored__cookie_name="t").names


# -- uploads -----------------------------------------------------------------------------------


class Stream:
    """wsgi.input that hands out the given blocks, and raises what is an error among them."""

    def __init__(self, *blocks: bytes | Exception) -> None:
        self.blocks = list(blocks)

    def read(self, size: int) -> bytes:
        block = self.blocks.pop(0) if self.blocks else b""
        if isinstance(block, Exception):
            raise block
        assert len(block) <= size
        return block


@pytest.mark.parametrize(
    "size",
    [
        1,
        upstream_module.BLOCK - 1,
        upstream_module.BLOCK,
        upstream_module.BLOCK + 1,
        3 * upstream_module.BLOCK,
    ],
)
def test_an_upload_passes_up_to_its_length_and_no_further(forwarded, size):
    body = os.urandom(size)
    sent = forwarded(
        REQUEST_METHOD="POST", CONTENT_LENGTH=str(size), wsgi__input=io.BytesIO(body + b"next")
    )
    assert sent.body == body
    assert sent.values(b"Content-Length") == [str(size).encode()]
    assert b"transfer-encoding" not in sent.names


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_upload_of_nothing_says_so(forwarded, method):
    sent = forwarded(REQUEST_METHOD=method, CONTENT_LENGTH="0", wsgi__input=io.BytesIO(b"next"))
    assert sent.values(b"Content-Length") == [b"0"]
    assert sent.body == b""


def test_a_body_without_length_is_not_read(forwarded):
    stream = io.BytesIO(b"next")
    assert b"content-length" not in forwarded(CONTENT_LENGTH="", wsgi__input=stream).names
    assert stream.tell() == 0


@pytest.mark.parametrize(
    "length", ["-1", "+1", "1.0", "0x1", "1_0", " 1", "1 ", "1, 1", "x", "\xb2", "9" * 19]
)
def test_a_length_that_is_no_number_is_refused(app, upstream, length):
    assert call(app, CONTENT_LENGTH=length).status == "400 Bad Request"
    assert upstream.requests == []


def test_a_client_cannot_give_a_second_length(forwarded):
    sent = forwarded(
        {"HTTP_CONTENT_LENGTH": "9", "HTTP_CONTENT.LENGTH": "9", "HTTP_CONTENT-TYPE": "x/y"},
        REQUEST_METHOD="POST",
        CONTENT_LENGTH="2",
        wsgi__input=io.BytesIO(b"hi"),
    )
    assert sent.values(b"Content-Length") == [b"2"]
    assert [name for name in sent.names if name.startswith(b"content")] == [b"content-length"]


@pytest.mark.parametrize(
    "changes",
    [
        {"HTTP_TRANSFER_ENCODING": "chunked"},
        {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": "1"},
        {},
    ],
)
def test_an_upload_that_ends_by_itself_goes_on_chunked(forwarded, changes):
    sent = forwarded(
        changes,
        REQUEST_METHOD="PUT",
        wsgi__input_terminated=True,
        wsgi__input=Stream(b"one", b"three"),
    )
    assert sent.body == b"3\r\none\r\n5\r\nthree\r\n0\r\n\r\n"
    assert sent.values(b"Transfer-Encoding") == [b"chunked"]
    assert b"content-length" not in sent.names


def test_a_coded_body_in_http_1_0_is_not_taken_for_none(app, upstream):
    answer = call(
        app, REQUEST_METHOD="POST", SERVER_PROTOCOL="HTTP/1.0", HTTP_TRANSFER_ENCODING="chunked",
        wsgi__input_terminated=True, wsgi__input=Stream(),
    )  # fmt: skip
    assert answer.status == "400 Bad Request"
    assert upstream.requests == []


def test_an_upload_with_both_ends_marked_keeps_its_length(forwarded):
    sent = forwarded(
        REQUEST_METHOD="PUT",
        CONTENT_LENGTH="2",
        wsgi__input_terminated=True,
        wsgi__input=io.BytesIO(b"hi"),
    )
    assert sent.values(b"Content-Length") == [b"2"]


def test_an_empty_upload_that_ends_by_itself_is_no_upload(forwarded):
    sent = forwarded(wsgi__input_terminated=True)
    assert b"transfer-encoding" not in sent.names
    assert b"content-length" not in sent.names


@pytest.mark.parametrize("length", ["", "0"])
def test_a_chunked_upload_that_the_server_lost_is_not_sent_empty(app, upstream, length):
    answer = call(
        app, REQUEST_METHOD="POST", HTTP_TRANSFER_ENCODING="chunked", CONTENT_LENGTH=length
    )
    assert answer.status == "411 Length Required"
    assert upstream.requests == []


@pytest.mark.parametrize("coding", ["gzip, chunked", "chunked, chunked", "identity", ""])
def test_another_transfer_coding_is_refused(app, upstream, coding):
    answer = call(
        app, REQUEST_METHOD="POST", HTTP_TRANSFER_ENCODING=coding, wsgi__input_terminated=True
    )
    assert answer.status == "400 Bad Request"
    assert upstream.requests == []


def test_a_chunked_upload_that_the_server_buffered_passes(forwarded):
    sent = forwarded(
        REQUEST_METHOD="POST",
        HTTP_TRANSFER_ENCODING="chunked",
        CONTENT_LENGTH="2",
        wsgi__input=io.BytesIO(b"hi"),
    )
    assert sent.body == b"hi"
    assert b"transfer-encoding" not in sent.names


@pytest.mark.parametrize(
    ("stream", "changes"),
    [
        (Stream(b"half"), {"CONTENT_LENGTH": "8"}),
        (Stream(), {"CONTENT_LENGTH": "8"}),
        (Stream(b"half", BrokenPipeError()), {"CONTENT_LENGTH": "8"}),
        (Stream(b"half", ConnectionResetError()), {"wsgi.input_terminated": True}),
    ],
    ids=["short", "empty", "broken", "chunked"],
)
def test_a_broken_upload_never_reaches_the_upstream_as_a_whole(app, upstream, stream, changes):
    got = []

    def script(connection):
        with connection.makefile("rb") as reader:
            read_head(reader)
            got.append(reader.read())

    upstream.script = script
    answer = call(app, changes, REQUEST_METHOD="POST", wsgi__input=stream)
    assert answer.status == "400 Bad Request"
    assert upstream.ended.wait(WAIT_S)
    assert got[0] in (b"half", b"", b"4\r\nhalf\r\n")


def test_a_chunked_upload_that_breaks_at_once_is_refused(app, upstream):
    stream = Stream(ConnectionResetError())
    answer = call(app, wsgi__input_terminated=True, wsgi__input=stream)
    assert answer.status == "400 Bad Request"
    assert upstream.requests == []


def test_an_error_of_the_servers_own_while_reading_is_left_to_the_server(app):
    with pytest.raises(LookupError):
        call(app, CONTENT_LENGTH="8", wsgi__input=Stream(b"half", LookupError()))


class Endless:
    """An upload of zeros that counts what was read of it."""

    def __init__(self) -> None:
        self.read_bytes = 0

    def read(self, size: int) -> bytes:
        self.read_bytes += size
        return bytes(size)


EARLY = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig"


def test_an_early_answer_passes_when_the_upstream_closes(app, upstream):
    def script(connection):
        connection.recv(10)
        connection.sendall(EARLY)

    upstream.script = script
    stream = Endless()
    answer = call(app, REQUEST_METHOD="PUT", CONTENT_LENGTH=str(10**9), wsgi__input=stream)
    assert (answer.status, answer.body) == ("413 Too Large", b"big")
    assert stream.read_bytes < 10**8


@pytest.mark.parametrize("coded", [False, True])
def test_an_early_answer_passes_when_the_upstream_only_stops_reading(
    app, upstream, monkeypatch, coded
):
    monkeypatch.setattr(upstream_module, "STALL_S", 0.05)
    rest = []

    def script(connection):
        with connection.makefile("rb") as reader:
            read_head(reader)
            connection.sendall(EARLY)
            # The connection ends although this answer would allow it to be used again.
            assert told.wait(WAIT_S)
            while block := reader.read1(upstream_module.BLOCK):
                rest.append(block[-5:])

    told = threading.Event()
    upstream.script = script
    how = {"wsgi.input_terminated": True} if coded else {"CONTENT_LENGTH": str(10**9)}
    answer = call(app, how, REQUEST_METHOD="PUT", wsgi__input=Endless())
    told.set()
    assert (answer.status, answer.body) == ("413 Too Large", b"big")
    assert upstream.ended.wait(WAIT_S)
    assert rest and rest[-1] != b"0\r\n\r\n"
    upstream.script = None
    assert call(app).status == "200 OK"
    assert upstream.requests[-1].connection == 2


def test_an_early_answer_with_an_end_of_its_own_closes_the_connection(app, upstream, monkeypatch):
    monkeypatch.setattr(upstream_module, "STALL_S", 0.05)

    def script(connection):
        connection.recv(10)
        connection.sendall(b"HTTP/1.1 403 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        assert told.wait(WAIT_S)

    told = threading.Event()
    upstream.script = script
    answer = call(app, REQUEST_METHOD="PUT", CONTENT_LENGTH=str(10**9), wsgi__input=Endless())
    told.set()
    assert answer.status == "403 No"


def test_an_answer_that_agrees_does_not_cut_the_upload_off(app, upstream, monkeypatch):
    monkeypatch.setattr(upstream_module, "STALL_S", 0.01)
    size, stalled = 10**7, threading.Event()
    real = upstream_module.Connection._answered

    def answered(self: Any) -> bytes:
        kind = real(self)
        if kind == b"2":
            stalled.set()
        return kind

    monkeypatch.setattr(upstream_module.Connection, "_answered", answered)

    def script(connection):
        with connection.makefile("rb") as reader:
            read_head(reader)
            connection.sendall(OK)
            assert stalled.wait(WAIT_S)
            arrived.append(len(reader.read(size)))

    arrived: list[int] = []
    upstream.script = script
    answer = call(app, REQUEST_METHOD="PUT", CONTENT_LENGTH=str(size), wsgi__input=Endless())
    assert (answer.status, answer.body) == ("200 OK", b"ok")
    assert upstream.ended.wait(WAIT_S)
    assert arrived == [size]


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"", "504 Gateway Timeout"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n", "504 Gateway Timeout"),
        (OK, "200 OK"),
    ],
)
def test_an_upstream_that_stops_reading_and_does_not_refuse_is_waited_for_until_it_is_too_long(
    make_proxy, upstream, said, status
):
    def script(connection):
        connection.recv(10)
        connection.sendall(said)
        assert told.wait(WAIT_S)

    told = threading.Event()
    upstream.script = script
    app = make_proxy(read_timeout_s=QUICK_S)
    answer = call(app, REQUEST_METHOD="PUT", CONTENT_LENGTH=str(10**9), wsgi__input=Endless())
    told.set()
    assert answer.status == status


def test_an_upstream_that_takes_part_of_a_block_and_stops_is_timed_out(
    make_proxy, upstream, monkeypatch
):
    # As over TLS, where a socket may be writable and yet have no room for a whole record.
    monkeypatch.setattr(upstream_module, "writable", lambda sock, within_s: True)

    def script(connection):
        connection.recv(10)
        assert told.wait(WAIT_S)

    told = threading.Event()
    upstream.script = script
    app = make_proxy(read_timeout_s=QUICK_S)
    answer = call(app, REQUEST_METHOD="PUT", CONTENT_LENGTH=str(10**9), wsgi__input=Endless())
    told.set()
    assert answer.status == "504 Gateway Timeout"


@pytest.mark.parametrize("interim", [b"", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_an_upload_may_stall_for_less_than_the_timeout(app, upstream, monkeypatch, interim):
    monkeypatch.setattr(upstream_module, "STALL_S", 0.01)
    size = 10**7
    stalled = threading.Event()
    monkeypatch.setattr(
        upstream_module.Connection,
        "_answered",
        lambda self, real=upstream_module.Connection._answered: stalled.set() or real(self),
    )

    def script(connection):
        with connection.makefile("rb") as reader:
            read_head(reader)
            connection.sendall(interim)
            assert stalled.wait(WAIT_S)
            assert len(reader.read(size)) == size
            connection.sendall(OK)

    upstream.script = script
    answer = call(app, REQUEST_METHOD="PUT", CONTENT_LENGTH=str(size), wsgi__input=Endless())
    assert answer.status == "200 OK"


def test_the_memory_for_an_upload_is_flat(app, upstream):
    size = 2 * 10**7

    def script(connection):
        with connection.makefile("rb") as reader:
            read_head(reader)
            left = size
            while left:
                left -= len(reader.read1(upstream_module.BLOCK))
            connection.sendall(OK)

    upstream.script = script
    tracemalloc.start()
    try:
        call(app, REQUEST_METHOD="PUT", CONTENT_LENGTH=str(size), wsgi__input=Endless())
        assert tracemalloc.get_traced_memory()[1] < 10**6
    finally:
        tracemalloc.stop()


# -- answers -----------------------------------------------------------------------------------


def test_an_answer_passes_with_its_headers_in_order(answered):
    answer = answered(
        b"HTTP/1.1 207 Multi Status\r\nSet-Cookie: a=1; Path=/\r\nServer: up\r\n"
        b"Set-Cookie: b=2\r\nX-Name:  d\xc3\xa9 \t\r\nx-empty:\r\nContent-Length: 2\r\n"
        b"SET-COOKIE: a=1; Path=/\r\n\r\nok"
    )
    assert answer.status == "207 Multi Status"
    assert answer.headers == [
        ("Set-Cookie", "a=1; Path=/"),
        ("Server", "up"),
        ("Set-Cookie", "b=2"),
        ("X-Name", "d\xc3\xa9"),
        ("x-empty", ""),
        ("Content-Length", "2"),
        ("SET-COOKIE", "a=1; Path=/"),
    ]
    assert answer.body == b"ok"


def test_hop_by_hop_headers_of_an_answer_stay_here(answered):
    answer = answered(
        b"HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nconnection: X-Hop-2\r\nX-Hop: 1\r\n"
        b"x-hop-2: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nTE: x\r\n"
        b"Trailer: X-T\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\nX-Kept: 1\r\n\r\n"
        b"2\r\nok\r\n0\r\nX-T: 1\r\n\r\n"
    )
    assert answer.headers == [("X-Kept", "1")]
    assert answer.body == b"ok"


def test_compressed_bodies_are_left_alone(answered):
    packed = b"\x1f\x8bnot really gzip"
    answer = answered(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s"
        % (len(packed), packed),
        HTTP_ACCEPT_ENCODING="gzip",
    )
    assert answer.body == packed
    assert answer.values("Content-Encoding") == ["gzip"]


def test_redirects_are_the_clients_to_follow(answered, upstream):
    answer = answered(
        b"HTTP/1.1 302 Found\r\nLocation: http://other.example/\r\nContent-Length: 0\r\n\r\n"
    )
    assert answer.status == "302 Found"
    assert answer.values("Location") == ["http://other.example/"]
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("status", [503, 429, 413])
def test_no_status_makes_us_ask_again(answered, upstream, status):
    answered(b"HTTP/1.1 %d X\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n" % status)
    assert len(upstream.requests) == 1


def test_many_headers_pass(answered):
    lines = b"".join(b"X-H-%d: %s\r\n" % (i, b"v" * 400) for i in range(500))
    answer = answered(b"HTTP/1.1 200 OK\r\n" + lines + b"Content-Length: 0\r\n\r\n")
    assert len(answer.headers) == 501


@pytest.mark.parametrize(("beyond", "status"), [(0, "200 OK"), (1, "502 Bad Gateway")])
def test_a_head_may_be_so_long_and_no_longer(answered, beyond, status):
    start_of_head, end = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: ", b"\r\n\r\n"
    padding = MAX_HEAD - len(start_of_head + end) + beyond
    assert answered(start_of_head + b"x" * padding + end).status == status


def test_interim_answers_without_end_are_refused(app, upstream):
    upstream.answer = b"HTTP/1.1 100 Continue\r\n\r\n" * 20000 + OK
    upstream.closes = True
    assert call(app).status == "502 Bad Gateway"


@pytest.mark.parametrize(
    "interim",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nContent-Length: 9\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 199 X\r\nX: y\r\n\r\n",
    ],
)
def test_interim_answers_are_skipped(answered, interim):
    answer = answered(interim + OK)
    assert (answer.status, answer.headers, answer.body) == (
        "200 OK",
        [("Content-Length", "2")],
        b"ok",
    )


def test_a_folded_header_is_unfolded(answered):
    answer = answered(b"HTTP/1.1 200 OK\r\nX-A: b\r\n  c\n\td\r\nContent-Length: 0\r\n\r\n")
    assert answer.values("X-A") == ["b  c\td"]


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_both_kinds_of_line_end_are_read(answered, end):
    answer = answered(OK.replace(b"\r\n", end))
    assert (answer.status, answer.body) == ("200 OK", b"ok")


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"HTTP/1.1 200", "200 OK"),
        (b"HTTP/1.1 200 ", "200 OK"),
        (b"HTTP/1.1 299", "299 Unknown"),
        (b"HTTP/1.0 200 Fine", "200 Fine"),
        (b"HTTP/1.1 404 Pas trouv\xc3\xa9", "404 Pas trouv\xc3\xa9"),
        (b"HTTP/1.1 599 X", "599 X"),
    ],
)
def test_odd_status_lines_pass(answered, line, status):
    assert answered(line + b"\r\nContent-Length: 0\r\n\r\n").status == status


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\r\n",
        b"hello\r\n",
        b"HTTP/2 200 OK\r\n",
        b"ICY 200 OK\r\n",
        b"HTTP/1.1 OK\r\n",
        b"HTTP/1.1 20 OK\r\n",
        b"HTTP/1.1 2000 OK\r\n",
        b"HTTP/1.1 +20 OK\r\n",
        b"HTTP/1.1 2_0 OK\r\n",
        b"HTTP/1.1 099 OK\r\n",
        b"HTTP/1.1 600 OK\r\n",
        b"HTTP/1.1 200 O\rK\r\n",
        b"HTTP/1.1 200 O\x00K\r\n",
        b"HTTP/1.1 200 OK\r\n folded\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + OK[:-4],
        b"HTTP/1.1 200 OK\r\nno colon\r\n",
        b"HTTP/1.1 200 OK\r\n: no name\r\n",
        b"HTTP/1.1 200 OK\r\nBad Name: x\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b=1\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\x00\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\x7f\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: \r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2,\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n",
    ],
)
def test_an_answer_that_cannot_be_trusted_is_a_bad_gateway(answered, head):
    assert answered(head + b"\r\nok").status == "502 Bad Gateway"


@pytest.mark.parametrize("cut", range(len(OK) - 2))
def test_a_head_that_breaks_off_is_a_bad_gateway(answered, cut):
    assert answered(OK[:cut]).status == "502 Bad Gateway"


def test_equal_lengths_become_one(answered):
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\nX: y\r\nContent-Length: 2\r\n\r\n"
    assert answered(head + b"ok").headers == [("Content-Length", "2"), ("X", "y")]


def test_chunks_count_and_not_a_length_beside_them(answered):
    answer = answered(
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: Chunked\r\n\r\n"
        b"2;x=y\r\nok\r\n000\r\n\r\n"
    )
    assert (answer.headers, answer.body) == ([], b"ok")


@pytest.mark.parametrize(
    "head", [b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"]
)
def test_a_body_may_end_with_the_connection(answered, head):
    assert answered(head + b"ok" * 100000).body == b"ok" * 100000


@pytest.mark.parametrize(
    ("method", "head", "length"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", ["5"]),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", []),
        ("HEAD", b"HTTP/1.1 200 OK\r\n\r\n", []),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", []),
        ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", []),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", ["5"]),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", []),
    ],
)
def test_an_answer_without_body_waits_for_none(app, upstream, method, head, length):
    upstream.answer = [head, OK]
    answer = call(app, REQUEST_METHOD=method)
    assert (answer.body, answer.values("Content-Length")) == (b"", length)
    assert call(app).body == b"ok"


WHOLE = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n005\r\n56789\r\n0\r\n",
]


@pytest.mark.parametrize(
    ("whole", "cut"),
    [(whole, cut) for whole in WHOLE for cut in range(whole.index(b"\r\n\r\n") + 4, len(whole))],
)
def test_a_body_that_breaks_off_is_never_passed_as_a_whole(app, upstream, whole, cut):
    upstream.answer, upstream.closes = whole[:cut], True
    answer, body = start(app, make_environ())
    head = whole.index(b"\r\n\r\n") + 4
    if cut <= head + (3 if b"chunked" in whole else 0):  # not one byte of it
        assert answer.status == "502 Bad Gateway"
        return
    assert answer.status == "200 OK"
    with pytest.raises(UpstreamError):
        list(body)
    body.close()


def test_silence_behind_the_head_is_a_gateway_timeout(make_proxy, upstream):
    upstream.answer = WHOLE[0][:-10]
    answer, body = start(make_proxy(read_timeout_s=QUICK_S), make_environ())
    assert answer.status == "504 Gateway Timeout"
    assert b"<!DOCTYPE html>" in b"".join(body)


@pytest.mark.parametrize("chunks", [b"-1\r\nok\r\n", b"+2\r\nok\r\n", b"0x2\r\nok\r\n", b"\r\n"])
@pytest.mark.parametrize("begun", [b"", b"2\r\nok\r\n"])
def test_a_chunk_that_does_not_say_its_length_breaks_the_body_off(app, upstream, chunks, begun):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    upstream.answer, upstream.closes = head + begun + chunks + b"0\r\n\r\n", True
    answer, body = start(app, make_environ())
    if not begun:
        assert answer.status == "502 Bad Gateway"
        return
    with pytest.raises(UpstreamError):
        list(body)
    body.close()


def test_a_reset_in_the_body_breaks_it_off(app, upstream):
    def script(connection):
        connection.recv(upstream_module.BLOCK)
        connection.sendall(WHOLE[0][:-5])
        assert told.wait(WAIT_S)
        reset(connection)

    told = threading.Event()
    upstream.script = script
    _, body = start(app, make_environ())
    assert next(body) == b"01234"
    told.set()
    with pytest.raises(UpstreamError):
        next(body)
    body.close()


def test_silence_in_the_body_breaks_it_off(make_proxy, upstream):
    upstream.answer = WHOLE[0][:-5]
    _, body = start(make_proxy(read_timeout_s=QUICK_S), make_environ())
    assert next(body) == b"01234"
    with pytest.raises(UpstreamError):
        next(body)
    body.close()


@pytest.mark.parametrize(
    ("head", "parts"),
    [
        (b"Content-Length: 10\r\n", [b"first", b"later"]),
        (b"Transfer-Encoding: chunked\r\n", [b"5\r\nfirst\r\n", b"5\r\nlater\r\n0\r\n\r\n"]),
        (b"Connection: close\r\n", [b"first", b"later"]),
    ],
)
def test_the_first_bytes_pass_before_the_last_are_written(app, upstream, head, parts):
    def script(connection):
        connection.recv(upstream_module.BLOCK)
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")
        for part in parts:
            connection.sendall(part)
            assert told.wait(WAIT_S)

    told = threading.Event()
    upstream.script = script
    _, body = start(app, make_environ())
    assert next(body) == b"first"
    told.set()
    assert b"".join(body) == b"later"
    body.close()


def test_the_memory_for_an_answer_is_flat(app, upstream):
    size = 2 * 10**7

    def script(connection):
        connection.recv(upstream_module.BLOCK)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        block = bytes(upstream_module.BLOCK)
        for _ in range(size // len(block)):
            connection.sendall(block)
        connection.sendall(block[: size % len(block)])

    upstream.script = script
    tracemalloc.start()
    try:
        _, body = start(app, make_environ())
        assert sum(map(len, body)) == size
        body.close()
        assert tracemalloc.get_traced_memory()[1] < 10**6
    finally:
        tracemalloc.stop()


def test_a_server_that_refuses_the_headers_leaves_no_connection_open(app, upstream):
    upstream.answer = WHOLE[0][:-5]

    def start_response(status, headers):
        raise AssertionError("refused")

    # Kept, with all its frames, or the garbage collector would close the connection.
    with pytest.raises(AssertionError, match="refused") as kept:
        app(make_environ(), start_response)
    assert upstream.ended.wait(WAIT_S)
    assert kept.traceback


# -- connections -------------------------------------------------------------------------------


def test_a_connection_is_used_again(app, upstream):
    for _ in range(3):
        assert call(app).body == b"ok"
    assert [request.connection for request in upstream.requests] == [1, 1, 1]


def test_a_connection_that_the_upstream_wants_closed_is_not_used_again(app, upstream):
    upstream.answer = OK.replace(b"\r\n\r\n", b"\r\nConnection: x, Close\r\n\r\n")
    for _ in range(2):
        assert call(app).body == b"ok"
    assert [request.connection for request in upstream.requests] == [1, 2]


def test_an_answer_given_up_closes_its_connection(app, upstream):
    upstream.answer = WHOLE[0][:-5]
    _, body = start(app, make_environ())
    next(body)
    body.close()
    assert upstream.ended.wait(WAIT_S)
    upstream.answer = OK
    assert call(app).body == b"ok"
    assert upstream.requests[-1].connection == 2


def test_a_body_closed_unread_closes_its_connection(app, upstream):
    upstream.answer = WHOLE[0][:-5]
    _, body = start(app, make_environ())
    body.close()
    assert upstream.ended.wait(WAIT_S)


def test_a_connection_closed_while_idle_is_replaced(app, upstream):
    upstream.closes = True
    assert call(app).body == b"ok"
    assert upstream.ended.wait(WAIT_S)
    assert call(app).body == b"ok"


def test_a_request_that_was_sent_is_never_sent_again(app, upstream):
    read = []

    def script(connection):
        with connection.makefile("rb") as reader:
            read.append(read_head(reader))
            connection.sendall(OK)
            read.append(read_head(reader))

    upstream.script = script
    assert call(app).body == b"ok"
    assert call(app, REQUEST_METHOD="PUT").status == "502 Bad Gateway"
    assert [head.split()[0] for head in read] == [b"GET", b"PUT"]


def test_parallel_requests_get_their_own_answers(make_proxy, upstream):
    app = make_proxy(pool_size=2)

    def script(connection):
        with connection.makefile("rb") as reader:
            while head := read_head(reader):
                path = head.split()[1]
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(path))
                connection.sendall(path)

    upstream.script = script
    crossed = []

    def many(number):
        for i in range(20):
            path = f"/{number}-{i}"
            if call(app, PATH_INFO=path).body != path.encode():
                crossed.append(path)

    threads = [threading.Thread(target=many, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert crossed == []


def test_after_a_fork_no_connection_of_the_parent_is_used(app, upstream, monkeypatch):
    assert call(app).body == b"ok"
    parent = app._upstream()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert call(app).body == b"ok"
    assert app._upstream() is not parent
    assert [request.connection for request in upstream.requests] == [1, 2]
    parent.close()


# -- failures ----------------------------------------------------------------------------------


def test_a_page_is_short_and_kept_nowhere(app):
    answer = call(app, REQUEST_METHOD="CONNECT")
    assert answer.values("Cache-Control") == ["no-store"]
    assert answer.values("Content-Type") == ["text/html; charset=utf-8"]
    assert answer.values("Content-Length") == [str(len(answer.body))]
    assert answer.values("Allow") == ["GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"]
    for name, said in security_headers(hsts=False):
        assert answer.values(name) == [said]
    assert b"<h1>Method Not Allowed</h1>" in answer.body


def test_a_page_for_head_has_no_body(answered):
    answer = answered(b"junk\r\n\r\n", REQUEST_METHOD="HEAD")
    assert (answer.status, answer.body) == ("502 Bad Gateway", b"")
    assert int(answer.values("Content-Length")[0]) > 0


def test_an_upstream_that_refuses_is_a_bad_gateway(make_proxy):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert call(make_proxy(port=port)).status == "502 Bad Gateway"


def test_an_upstream_whose_name_is_none_is_a_bad_gateway(make_proxy):
    assert call(make_proxy(server="x" * 64 + ".invalid")).status == "502 Bad Gateway"


def test_an_upstream_that_resets_is_a_bad_gateway(app, upstream):
    def script(connection):
        connection.recv(upstream_module.BLOCK)
        reset(connection)

    upstream.script = script
    assert call(app).status == "502 Bad Gateway"


def test_an_upstream_that_takes_no_connection_is_timed_out(make_proxy):
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        # Fills the queue: from here on nobody gets an answer to a SYN.
        waiting = []
        for _ in range(4):
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(full.getsockname())
        app = make_proxy(port=full.getsockname()[1], connect_timeout_s=QUICK_S)
        assert call(app).status == "504 Gateway Timeout"
        for one in waiting:
            one.close()


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\nX: "])
def test_a_silent_upstream_is_timed_out(make_proxy, upstream, part):
    upstream.answer = part
    assert call(make_proxy(read_timeout_s=QUICK_S)).status == "504 Gateway Timeout"


def test_the_log_has_the_reason_and_no_secret(answered, caplog):
    with caplog.at_level(logging.DEBUG):
        answered(
            b"junk\r\n\r\n", PATH_INFO="/p", QUERY_STRING="code=secret", HTTP_COOKIE="c=secret"
        )
    [record] = [one for one in caplog.records if one.name == "factored.proxy"]
    assert record.levelno == logging.WARNING
    assert "not an HTTP/1 head" in record.getMessage()
    assert "secret" not in caplog.text


def test_what_the_client_did_wrong_is_no_warning(app, caplog):
    with caplog.at_level(logging.INFO, "factored.proxy"):
        call(app, CONTENT_LENGTH="x")
    assert [record.levelno for record in caplog.records] == [logging.INFO]


def test_another_scheme_stops_the_start():
    with pytest.raises(ValueError, match="urlscheme"):
        SimpleProxy("127.0.0.1", 1, "ftp")


# -- TLS ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> str:
    """-> PEM file: a certificate for localhost, and not for 127.0.0.1, with its key"""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.2"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return str(path)


@pytest.fixture
def asked_names() -> list[str | None]:
    """Server names that clients asked the TLS upstream for."""
    return []


@pytest.fixture
def tls_upstream(certificate: str, asked_names: list[str | None]) -> Iterator[Upstream]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.sni_callback = lambda _, name, __: asked_names.append(name)
    running = Upstream(tls=context)
    yield running
    running.close()


def test_https_passes_to_the_upstream_the_certificate_names(
    make_proxy, tls_upstream, certificate, asked_names
):
    app = make_proxy("localhost", tls_upstream.port, urlscheme="https", ca_file=certificate)
    body = os.urandom(10**6)
    environ = {"REQUEST_METHOD": "PUT", "HTTP_HOST": "site.example", "CONTENT_LENGTH": "1000000"}
    for _ in range(2):
        answer = call(
            app, environ, RAW_URI="/a%2fb", PATH_INFO="/a/b", wsgi__input=io.BytesIO(body)
        )
        assert answer.body == b"ok"
        assert tls_upstream.requests[-1].line == b"PUT /a%2fb HTTP/1.1"
        assert tls_upstream.requests[-1].values(b"Host") == [b"site.example"]
        assert tls_upstream.requests[-1].body == body
    assert asked_names == ["localhost"]


def test_a_certificate_for_another_name_is_a_bad_gateway(make_proxy, tls_upstream, certificate):
    app = make_proxy("127.0.0.1", tls_upstream.port, urlscheme="https", ca_file=certificate)
    assert call(app).status == "502 Bad Gateway"
    assert tls_upstream.requests == []


def test_a_certificate_of_nobody_we_trust_is_a_bad_gateway(make_proxy, tls_upstream):
    app = make_proxy("localhost", tls_upstream.port, urlscheme="https")
    assert call(app).status == "502 Bad Gateway"
    assert tls_upstream.requests == []


def test_http_in_place_of_https_is_a_bad_gateway(make_proxy, upstream, certificate):
    upstream.script = lambda connection: connection.sendall(OK)
    app = make_proxy("localhost", urlscheme="https", ca_file=certificate)
    assert call(app).status == "502 Bad Gateway"


def test_a_silent_tls_handshake_is_timed_out(make_proxy, certificate):
    options = {"urlscheme": "https", "ca_file": certificate, "connect_timeout_s": QUICK_S}
    with socket.create_server(("127.0.0.1", 0)) as silent:
        app = make_proxy("localhost", silent.getsockname()[1], **options)
        assert call(app).status == "504 Gateway Timeout"


def test_a_tls_upstream_that_stops_reading_is_timed_out(make_proxy, tls_upstream, certificate):
    def script(connection):
        connection.recv(10)
        connection.sendall(EARLY)
        assert told.wait(WAIT_S)

    told = threading.Event()
    tls_upstream.script = script
    app = make_proxy(
        "localhost",
        tls_upstream.port,
        urlscheme="https",
        ca_file=certificate,
        read_timeout_s=QUICK_S,
    )
    answer = call(app, REQUEST_METHOD="PUT", CONTENT_LENGTH=str(10**9), wsgi__input=Endless())
    told.set()
    assert answer.status == "504 Gateway Timeout"


def test_a_tls_answer_that_breaks_off_is_never_passed_as_a_whole(
    make_proxy, tls_upstream, certificate
):
    tls_upstream.answer, tls_upstream.closes = WHOLE[0][:-1], True
    app = make_proxy("localhost", tls_upstream.port, urlscheme="https", ca_file=certificate)
    _, body = start(app, make_environ())
    with pytest.raises(UpstreamError):
        list(body)
    body.close()


def test_an_authority_file_that_is_missing_stops_the_start(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        SimpleProxy("localhost", 1, "https", ca_file=str(tmp_path / "none.pem"))


def test_the_standard_library_is_left_as_it_was():
    assert http.client._MAXHEADERS == 100
