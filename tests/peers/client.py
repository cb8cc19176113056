"""A visitor over http.client: cookies, forms, and codes that oathtool makes."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import ssl
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlencode

from .servers import Front, Server, User, program

STEP_S = 30
FORM = "application/x-www-form-urlencoded"

_addresses = itertools.count(2)


def new_address() -> str:
    """-> a loopback address that no other test asks from: attempts are counted by address"""
    number = next(_addresses)
    return f"127.1.{number // 250}.{number % 250 + 1}"


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def values(self, name: str) -> list[str]:
        return [value for found, value in self.headers if found.lower() == name.lower()]

    def header(self, name: str) -> str:
        (value,) = self.values(name)
        return value


class _FormParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = given.get("action", "")
        elif tag == "input" and "name" in given and given.get("type") != "checkbox":
            self.fields[given["name"]] = given.get("value", "")


@dataclass
class Form:
    action: str
    fields: dict[str, str]


def form_of(answer: Answer) -> Form:
    """page -> its form, with what a browser would send back"""
    parser = _FormParser()
    parser.feed(answer.text)
    parser.close()
    assert parser.action, answer
    return Form(parser.action, parser.fields)


class _NamedConnection(http.client.HTTPConnection):
    """To 127.0.0.1, over TLS to whoever proves to be the host of that name."""

    def __init__(self, port: int, address: str, tls: ssl.SSLContext, name: str) -> None:
        super().__init__("127.0.0.1", port, timeout=60, source_address=(address, 0))
        self._tls = tls
        self._name = name

    def connect(self) -> None:
        super().connect()
        try:
            self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._name)
        except BaseException:
            self.close()
            raise


@dataclass
class Browser:
    """A visitor of one server: keeps cookies by name and path, follows nothing by itself.

    :param tls: what it trusts; None: plain http
    :param name: the host that it believes to visit, on the default port, whatever its real port is;
        the name is never resolved. None: the address and the port themselves
    :param wide_cookies: those with a Domain, ``(name, domain) -> (value, path)``; one visitor of
        several hosts has one such dict, see :meth:`at`
    """

    port: int
    address: str = field(default_factory=new_address)
    cookies: dict[str, tuple[str, str]] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    name: str | None = None
    wide_cookies: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)

    def at(self, name: str) -> Browser:
        """host -> the same visitor there: of cookies it takes along only those with a Domain"""
        return Browser(
            self.port, self.address, tls=self.tls, name=name, wide_cookies=self.wide_cookies
        )

    def request(
        self,
        method: str,
        target: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> Answer:
        """method, target as it shall be sent -> Answer, read whole; an iterable goes chunked"""
        with self.opened(method, target, body, headers) as response:
            answer = Answer(response.status, response.getheaders(), response.read())
        for line in answer.values("Set-Cookie"):
            self._keep(line)
        return answer

    @contextlib.contextmanager
    def opened(
        self,
        method: str,
        target: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ):
        """The same, with the answer's body still to be read."""
        with contextlib.closing(self._connection()) as connection:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", self.host)
            given = list(headers)
            for name, value in given:
                connection.putheader(name, value)
            cookie = self.cookie_header(target)
            if cookie and not any(name.lower() == "cookie" for name, _ in given):
                connection.putheader("Cookie", cookie)
            whole = isinstance(body, bytes)
            if whole:
                connection.putheader("Content-Length", str(len(body)))
            elif body is not None and not any(n.lower() == "content-length" for n, _ in given):
                connection.putheader("Transfer-Encoding", "chunked")
                body = _chunks(body)
            connection.endheaders()
            for block in [body] if whole else body or ():
                connection.send(block)
            with contextlib.closing(connection.getresponse()) as response:
                yield response

    def _connection(self) -> http.client.HTTPConnection:
        if self.tls is not None:
            return _NamedConnection(self.port, self.address, self.tls, self.name or "127.0.0.1")
        return http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=60, source_address=(self.address, 0)
        )

    @property
    def host(self) -> str:
        return self.name or f"127.0.0.1:{self.port}"

    @property
    def origin(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}"

    def get(self, target: str, *headers: tuple[str, str]) -> Answer:
        return self.request("GET", target, headers=headers)

    def send(self, form: Form, **fields: str) -> Answer:
        """form, what is typed -> the answer, with the headers that a browser adds"""
        body = urlencode({**form.fields, **fields}).encode()
        headers = [("Content-Type", FORM), ("Origin", self.origin)]
        return self.request("POST", form.action, body, headers)

    def follow(self, answer: Answer) -> Answer:
        """redirect -> the page at its end"""
        for _ in range(5):
            if answer.status not in (302, 303, 307):
                return answer
            answer = self.get(self.target_of(answer))
        raise AssertionError(f"redirected again and again: {answer}")

    def target_of(self, answer: Answer) -> str:
        """redirect -> path and query of where it leads on this host; another host is a failure"""
        location = answer.header("Location")
        if location.startswith(self.origin + "/"):
            return location.removeprefix(self.origin)
        assert location.startswith("/") and not location.startswith("//"), location
        return location

    def cookie_header(self, target: str) -> str:
        held = [(name, *kept) for name, kept in self.cookies.items()]
        held += [
            (name, *kept)
            for (name, domain), kept in self.wide_cookies.items()
            if self._is_below(domain)
        ]
        return "; ".join(
            f"{name}={value}"
            for name, value, path in held
            if path == "/" or target == path or target.startswith((path + "/", path + "?"))
        )

    def _is_below(self, domain: str) -> bool:
        return f".{self.host}".endswith(f".{domain}")

    def _keep(self, line: str) -> None:
        """A cookie with a Domain is another one than that of the same name without: RFC 6265 5.3"""
        pair, *attributes = [part.strip() for part in line.split(";")]
        name, _, value = pair.partition("=")
        said = dict(attribute.lower().partition("=")[::2] for attribute in attributes)
        kept = (value, said.get("path", "/"))
        over, domain = said.get("max-age") == "0", said.get("domain", "").removeprefix(".")
        if domain and self._is_below(domain):
            if over:
                self.wide_cookies.pop((name, domain), None)
            else:
                self.wide_cookies[name, domain] = kept
        elif over and not domain:
            self.cookies.pop(name, None)
        elif not domain:
            self.cookies[name] = kept

    # -- what a visitor does ----------------------------------------------------------------------

    def name_given(self, name: str, target: str = "/") -> Form:
        """user name, page that was wanted -> the form that asks for the code"""
        page = self.follow(self.get(target))
        assert page.status == 200, page
        answer = self.send(form_of(page), username=name, submit="username")
        assert answer.status == 200, answer
        return form_of(answer)

    def attempt(self, name: str, code: str, target: str = "/", **fields: str) -> Answer:
        """user name, code -> the answer to both forms"""
        form = self.name_given(name, target)
        return self.send(form, code=code, submit="authenticate", **fields)

    def sign_in(self, user: User, target: str = "/", steps: int = 0, **fields: str) -> Answer:
        """user, page that was wanted -> the redirect to it"""
        answer = self.attempt(user.name, code(user.secret, steps), target, **fields)
        assert answer.status == 303, (answer, answer.text)
        return answer

    def signed_in(self, target: str = "/") -> bool:
        """-> whether the site lets this browser in now"""
        answer = self.get(target)
        assert answer.status in (200, 302), answer
        return answer.status == 200


def _chunks(blocks: Iterable[bytes]) -> Iterable[bytes]:
    for block in blocks:
        yield b"%x\r\n%s\r\n" % (len(block), block)
    yield b"0\r\n\r\n"


def visitor(front: Front | Server, address: str | None = None) -> Browser:
    """-> a browser without cookies, from an address of its own"""
    return Browser(front.port, address or new_address())


def code(secret: str, steps: int = 0) -> str:
    """secret, steps from now -> what oathtool says"""
    moment = int(time.time()) + steps * STEP_S
    return subprocess.run(
        [program("oathtool"), "--totp", "-b", "--now", f"@{moment}", secret],
        capture_output=True, text=True, check=True, timeout=10,
    ).stdout.strip()  # fmt: skip


def wrong_code(secret: str) -> str:
    """secret -> six digits that are right in no step near now"""
    near = subprocess.run(
        [program("oathtool"), "--totp", "-b", "--now", f"@{int(time.time()) - 300}", "-w", "20",
         secret],
        capture_output=True, text=True, check=True, timeout=10,
    ).stdout.split()  # fmt: skip
    return next(digits for digits in map("{:06d}".format, range(100)) if digits not in near)
