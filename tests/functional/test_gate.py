"""The gate stands before every page: nothing gets past it without a decision."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from factored.codes import new_key
from factored.gate import IDENTITY_KEYS, PATH_HEADERS
from factored.interfaces import Ticket
from factored.services.revocation import RevocationList
from factored.ticket_check import MAX_CANDIDATES
from tests.support import NAME, Recorder, Site, token_of

HTML = "text/html,application/xhtml+xml,*/*;q=0.8"


@pytest.fixture
def downstream() -> Recorder:
    return Recorder()


def gate_of(site: Site) -> Any:
    """-> the gate itself, without what WebTest wraps around it"""
    return getattr(site.web.app, "app", site.web.app)


def raw(site: Site, path: str, **environ: Any) -> dict[str, Any]:
    """site, PATH_INFO as a server hands it, more environ -> status, headers (sent: all), body"""
    got: dict[str, Any] = {}

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        got.update(status=int(status[:3]), headers=dict(headers), sent=headers)

    asked = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "HTTP_HOST": "localhost",
        "REMOTE_ADDR": "192.0.2.1",
        "wsgi.url_scheme": "http",
        **environ,
    }
    body = gate_of(site)(asked, start_response)
    got["body"] = b"".join(body)
    getattr(body, "close", lambda: None)()
    return got


# -- what downstream is told -----------------------------------------------------------------------


def test_downstream_learns_who_it_is_in_every_promised_place(
    make_site: Callable[..., Site], downstream: Recorder
) -> None:
    site = make_site(downstream)
    site.login()
    site.web.get("/page?x=1")
    environ = downstream.seen[-1]
    assert environ["REMOTE_USER"] == environ["HTTP_FACTORED_USER"] == NAME
    assert environ["factored.identity"] == NAME
    ticket = environ["factored.ticket"]
    assert isinstance(ticket, Ticket)
    assert (ticket.user, ticket.scheme, ticket.login_at) == (NAME, "ga", int(site.clock.now_s()))
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/page", "x=1")
    assert environ["factored.cookie_name"] == "auth_tkt"


def test_a_name_that_is_not_ascii_goes_downstream_as_pep_3333_wants(
    make_site: Callable[..., Site], downstream: Recorder
) -> None:
    site = make_site(downstream)
    site.browser().cookie(site.ticket("zoë 日")).get("/")
    environ = downstream.seen[-1]
    assert environ["factored.identity"] == "zoë 日"
    assert environ["REMOTE_USER"].encode("latin-1").decode() == "zoë 日"
    assert environ["HTTP_FACTORED_USER"] == environ["REMOTE_USER"]


@pytest.mark.parametrize("signed_in", [True, False])
@pytest.mark.parametrize("path", ["/open", "/page", "/auth/ga"])
def test_a_clients_copy_of_an_identity_never_survives(
    make_site: Callable[..., Site], downstream: Recorder, path: str, signed_in: bool
) -> None:
    site = make_site(downstream, excepted_paths="/open")
    web = site.browser(**dict.fromkeys(IDENTITY_KEYS, "root"))
    if signed_in:
        web.cookie(site.ticket())
    answer = web.get(path)
    assert "root" not in answer.text
    for environ in downstream.seen:
        left = {key: environ[key] for key in IDENTITY_KEYS if key in environ}
        assert "root" not in left.values()
        assert bool(left) is signed_in
    assert len(downstream.seen) == (path == "/open" or (path == "/page" and signed_in))


@pytest.mark.parametrize(
    "header",
    ["Factored-User", "Remote-User", "X-Remote-User", "X-Forwarded-User", "X-Authenticated-User",
     "X-Auth-Request-User"],
)  # fmt: skip
def test_every_listed_header_is_one_of_the_keys_that_are_removed(header: str) -> None:
    assert "HTTP_" + header.upper().replace("-", "_") in IDENTITY_KEYS


def test_an_exempt_path_is_told_who_it_is_if_the_ticket_is_good(
    make_site: Callable[..., Site], downstream: Recorder
) -> None:
    site = make_site(downstream, excepted_paths="/open")
    site.browser().cookie(site.ticket()).get("/open")
    site.browser().cookie(site.ticket(issued_at=1, login_at=1)).get("/open")
    assert [one.get("REMOTE_USER") for one in downstream.seen] == [NAME, None]


# -- exempt paths ----------------------------------------------------------------------------------

EXEMPT = "/health\n\n  /a b \n/d\u00e9\n/deep/er\n/slash/"


@pytest.mark.parametrize(
    ("target", "path", "through"),
    [
        ("/health", "/health", True),
        ("/%68ealth", "/health", True),
        ("/health?x=/../..", "/health", True),
        ("/a%20b", "/a b", True),
        ("/d%C3%A9", "/d\u00c3\u00a9", True),
        ("/deep/er", "/deep/er", True),
        ("/slash/", "/slash/", True),
        ("/slash", "/slash", False),
        ("/health/", "/health/", False),
        ("/health/x", "/health/x", False),
        ("/Health", "/Health", False),
        ("/healthy", "/healthy", False),
        ("/", "/", False),
        ("", "", False),
        ("/deep%2Fer", "/deep/er", False),
        ("/deep%2fer", "/deep/er", False),
        ("/deep%5Cer", "/deep\\er", False),
        ("/deep/x/../er", "/deep/x/../er", False),
        ("/./health", "/./health", False),
        ("//health", "//health", False),
        ("/health;x=1", "/health;x=1", False),
        ("/health%00", "/health\0", False),
        ("/health%0A", "/health\n", False),
        ("/secret?/health", "/secret", False),
        ("/secret#/health", "/secret#/health", False),
        ("/%2568ealth", "/%68ealth", False),
        ("/d%E9", "/d\u00e9", False),
    ],
)
def test_an_exempt_path_is_compared_decoded_and_whole(
    make_site: Callable[..., Site], downstream: Recorder, target: str, path: str, through: bool
) -> None:
    site = make_site(downstream, excepted_paths=EXEMPT)
    for server in ({"REQUEST_URI": target}, {"RAW_URI": target}):
        answer = raw(site, path, QUERY_STRING=target.partition("?")[2], **server)
        assert answer["status"] == (200 if through else 302)
    assert [one["PATH_INFO"] for one in downstream.seen] == [path] * 2 * through


def test_no_header_makes_a_path_exempt(
    make_site: Callable[..., Site], downstream: Recorder
) -> None:
    site = make_site(downstream, excepted_paths="/health", trusted_proxies="192.0.2.1")
    for header in ("X_ORIGINAL_URL", "X_REWRITE_URL", "X_FORWARDED_URI", "REFERER"):
        assert raw(site, "/secret", **{f"HTTP_{header}": "/health"})["status"] == 302
    assert downstream.seen == []


@pytest.mark.parametrize("path", ["/open", "/page", "/auth/ga"])
@pytest.mark.parametrize("header", PATH_HEADERS)
def test_a_header_that_some_servers_take_the_path_from_is_refused(
    make_site: Callable[..., Site], downstream: Recorder, path: str, header: str
) -> None:
    site = make_site(downstream, excepted_paths="/open")
    cookie = f"auth_tkt={site.ticket()}"
    assert raw(site, path, HTTP_COOKIE=cookie, **{header: "/secret"})["status"] == 400
    assert downstream.seen == []


def test_a_path_that_a_server_hands_over_as_text_is_repaired_before_it_is_compared(
    make_site: Callable[..., Site], downstream: Recorder
) -> None:
    site = make_site(downstream, excepted_paths="/日\n/d\u00e9")
    for path in ("/日", "/d\u00e9"):
        assert raw(site, path)["status"] == 200
    for environ in downstream.seen:
        environ["PATH_INFO"].encode("latin-1").decode()


# -- nobody: to the login, or 401 ------------------------------------------------------------------

PAGE_LOADS = [
    ({}, "GET"), ({}, "HEAD"), ({"ACCEPT": "*/*"}, "GET"), ({"ACCEPT": HTML}, "GET"),
    ({"ACCEPT": HTML, "SEC_FETCH_MODE": "navigate"}, "GET"), ({"ACCEPT": ""}, "GET"),
    ({"ACCEPT": "TEXT/HTML"}, "GET"),
]  # fmt: skip
NO_PAGE_LOADS = [
    ({}, "POST", "json"), ({}, "PUT", "json"), ({}, "OPTIONS", "json"), ({}, "get", "json"),
    ({"ACCEPT": HTML}, "POST", "html"),
    ({"ACCEPT": "application/json"}, "GET", "json"), ({"ACCEPT": "image/*"}, "GET", "json"),
    ({"ACCEPT": "application/json, text/html"}, "DELETE", "html"),
    ({"X_REQUESTED_WITH": "XMLHttpRequest"}, "GET", "json"),
    ({"X_REQUESTED_WITH": "xmlhttprequest", "ACCEPT": HTML}, "GET", "html"),
    ({"SEC_FETCH_MODE": "cors"}, "GET", "json"), ({"SEC_FETCH_MODE": "no-cors"}, "GET", "json"),
    ({"SEC_FETCH_MODE": "websocket"}, "GET", "json"),
    ({"SEC_FETCH_MODE": "same-origin", "ACCEPT": HTML}, "GET", "html"),
]  # fmt: skip


def headers(given: dict[str, str]) -> dict[str, str]:
    return {f"HTTP_{key}": text for key, text in given.items()}


@pytest.mark.parametrize(("given", "method"), PAGE_LOADS)
def test_a_page_load_is_sent_to_the_login(site: Site, given: dict[str, str], method: str) -> None:
    answer = raw(site, "/x", REQUEST_METHOD=method, QUERY_STRING="a=1", **headers(given))
    assert answer["status"] == 302
    assert answer["headers"]["Location"] == "/auth?referrer=/x%3Fa%3D1"
    assert answer["headers"]["Cache-Control"] == "no-store"
    assert bool(answer["body"]) is (method == "GET")


@pytest.mark.parametrize(("given", "method", "kind"), NO_PAGE_LOADS)
def test_what_is_no_page_load_is_told_401(
    site: Site, given: dict[str, str], method: str, kind: str
) -> None:
    answer = raw(site, "/x", REQUEST_METHOD=method, **headers(given))
    assert answer["status"] == 401
    assert answer["headers"]["Cache-Control"] == "no-store"
    if kind == "html":
        assert answer["headers"]["Content-Type"] == "text/html; charset=utf-8"
        assert b'<a href="/auth">' in answer["body"]
    else:
        assert answer["headers"]["Content-Type"] == "application/json"
        assert json.loads(answer["body"]) == {
            "error": "authentication_required",
            "login_url": "/auth",
        }


@pytest.mark.parametrize(
    ("environ", "location"),
    [
        ({"REQUEST_URI": "/%2F%c3%A9;x?q=%26"}, "/auth?referrer=/%252F%25c3%25A9%3Bx%3Fq%3D%2526"),
        ({"RAW_URI": "http://evil.example/p?q"}, "/auth?referrer=/p%3Fq"),
        ({"REQUEST_URI": "//evil.example/p"}, "/auth?referrer=//evil.example/p"),
        ({"REQUEST_URI": "*"}, "/auth?referrer=/d%25C3%25A9"),
        ({}, "/auth?referrer=/d%25C3%25A9"),
        ({"REQUEST_URI": "/" + "x" * 2047}, "/auth?referrer=/" + "x" * 2047),
        ({"REQUEST_URI": "/" + "x" * 2048}, "/auth"),
        ({"REQUEST_URI": '/"><script>'}, "/auth?referrer=/%22%3E%3Cscript%3E"),
    ],
)
def test_the_way_back_is_what_the_browser_asked_for_without_a_host(
    site: Site, environ: dict[str, str], location: str
) -> None:
    answer = raw(site, "/d\u00c3\u00a9", **environ)
    assert answer["headers"]["Location"] == location
    assert b"<script>" not in answer["body"]


# -- mounted below a prefix ------------------------------------------------------------------------


def test_under_a_prefix_every_url_and_cookie_path_carries_it(
    make_site: Callable[..., Site], downstream: Recorder
) -> None:
    site = make_site(downstream, excepted_paths="/open")
    web = site.browser(SCRIPT_NAME="/m\u00c3\u00a9 x")
    mount = "/m%C3%A9%20x"
    assert web.get("/page").headers["Location"] == f"{mount}/auth?referrer={mount}/page".replace(
        f"={mount}", "=/m%25C3%25A9%2520x"
    )
    assert web.get("/auth").headers["Location"] == f"{mount}/auth/ga"
    first = web.get("/auth/ga")
    assert f'action="{mount}/auth/ga"' in first.text
    assert f'href="{mount}/auth/authstatic/style.css"' in first.text
    line = first.headers["Set-Cookie"]
    assert f"; Path={mount}/auth;" in line
    form = {"csrf_token": token_of(first), "username": NAME, "code": site.code()}
    web.cookie(line.partition(";")[0].partition("=")[2], "factored_browser")
    done = web.post("/auth/ga", {**form, "submit": "authenticate"})
    assert (done.status_int, done.headers["Location"]) == (303, f"{mount}/")
    paths = [part for part in done.headers.getall("Set-Cookie") if f"Path={mount}/auth;" in part]
    assert len(paths) == 2
    assert web.post("/auth/ga").headers["Location"] == f"{mount}/auth/ga"
    assert web.get("/open").status_int == 200
    assert downstream.seen[-1]["SCRIPT_NAME"] == "/m\u00c3\u00a9 x"
    assert web.post("/page").status_int == 401
    assert web.post("/page").json["login_url"] == f"{mount}/auth"


def test_under_a_prefix_a_way_back_into_the_login_is_not_taken(site: Site) -> None:
    web = site.browser(SCRIPT_NAME="/m x")
    for referrer in ("/m x/auth", "/m%20x/auth/logout"):
        page = web.get("/auth/ga", {"referrer": referrer})
        assert 'name="referrer"' not in page.text


# -- tickets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "good"),
    [
        ({}, True),
        ({"issued_at": 1_799_992_801, "login_at": 1_799_992_801}, True),
        ({"issued_at": 1_799_992_800, "login_at": 1_799_992_800}, False),
        ({"issued_at": 1_800_000_060}, True),
        ({"issued_at": 1_800_000_061}, False),
        ({"login_at": 1_800_000_001}, False),
        ({"login_at": 1_800_000_000 - 86399}, True),
        ({"login_at": 1_800_000_000 - 86400}, False),
        ({"lifetime_s": 0}, False),
        ({"scheme": "em"}, False),
    ],
)
def test_a_ticket_is_good_for_its_time_and_for_a_supported_scheme(
    site: Site, changed: dict[str, Any], good: bool
) -> None:
    answer = site.browser().cookie(site.ticket(**changed)).get("/")
    assert answer.status_int == (200 if good else 302)


@pytest.mark.parametrize(
    "damage",
    [
        lambda ticket: ticket[:-1],
        lambda ticket: ticket + "A",
        lambda ticket: '"' + ticket + '"',
        lambda ticket: ticket.upper(),
        lambda ticket: ticket.replace("al@", "AL@"),
        lambda ticket: ticket.replace("al@", "al%40"),
        lambda ticket: ticket.replace("!ga!", "!em!"),
        lambda ticket: "0" * 128 + ticket[128:],
        lambda ticket: ticket[:128] + "7fffffff" + ticket[136:],
        lambda ticket: ticket[128:],
        lambda ticket: "",
        lambda ticket: "!" * 500,
        lambda ticket: "\u00ff" * 300,
    ],
)
def test_an_altered_ticket_lets_nobody_in(site: Site, damage: Callable[[str], str]) -> None:
    for _ in range(2):
        answer = raw(site, "/", HTTP_COOKIE=f"auth_tkt={damage(site.ticket())}")
        assert answer["status"] == 302


def test_of_several_good_tickets_of_one_user_the_newest_counts(
    make_site: Callable[..., Site], downstream: Recorder
) -> None:
    site = make_site(downstream)
    now_s = int(site.clock.now_s())
    for moments in ((-5, 0, -9), (0, -5), (-1, 0)):
        tickets = [site.ticket(issued_at=now_s + at, login_at=now_s - 10) for at in moments]
        header = "; ".join(f"auth_tkt={ticket}" for ticket in [*tickets, "junk"])
        assert raw(site, "/", HTTP_COOKIE=header)["status"] == 200
        assert downstream.seen[-1]["factored.ticket"].issued_at == now_s


def test_good_tickets_of_different_users_count_for_nobody(site: Site) -> None:
    header = f"auth_tkt={site.ticket('al')}; auth_tkt={site.ticket('bo')}"
    assert raw(site, "/", HTTP_COOKIE=header)["status"] == 302


def test_a_good_ticket_is_found_behind_any_number_of_others(site: Site) -> None:
    """Planted copies must not shut anybody out; the size of the header bounds them."""
    header = "; ".join(["auth_tkt=junk"] * 400 + [f"auth_tkt={site.ticket()}"])
    assert raw(site, "/", HTTP_COOKIE=header)["status"] == 200


@pytest.mark.parametrize(("offset", "status"), [(-1, 200), (0, 302), (1, 302)])
def test_only_so_many_forged_tickets_are_verified_for_one_request(
    site: Site, offset: int, status: int
) -> None:
    forged = "f" * 128 + site.ticket()[128:]
    planted = [f"auth_tkt={forged}"] * (MAX_CANDIDATES + offset)
    header = "; ".join([*planted, f"auth_tkt={site.ticket()}"])
    assert raw(site, "/", HTTP_COOKIE=header)["status"] == status


def test_another_cookie_whose_name_ends_alike_is_no_ticket(site: Site) -> None:
    for name in ("xauth_tkt", "auth_tkt2", "AUTH_TKT", "x=1 auth_tkt"):
        assert raw(site, "/", HTTP_COOKIE=f"{name}={site.ticket()}")["status"] == 302


@pytest.mark.parametrize(
    ("made_for", "shown_from", "good"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "", False),
        ("2001:db8::1", "2001:db8::1", True),
        ("2001:db8::1", "2001:db8::2", False),
        ("0.0.0.0", "", True),
        ("0.0.0.0", "192.0.2.1", False),
    ],
)
def test_a_ticket_may_be_bound_to_the_clients_address(
    make_site: Callable[..., Site], made_for: str, shown_from: str, good: bool
) -> None:
    site = make_site(auth_tkt__include_ip="true")
    web = site.browser(shown_from).cookie(site.ticket(address=made_for))
    assert web.get("/").status_int == (200 if good else 302)


@pytest.mark.parametrize("address", ["192.0.2.9", "2001:db8::9", "::ffff:192.0.2.9", ""])
def test_a_login_binds_its_ticket_to_the_address_it_came_from(
    make_site: Callable[..., Site], address: str
) -> None:
    site = make_site(auth_tkt__include_ip="true")
    web = site.browser(address)
    site.login(web)
    assert web.get("/").status_int == 200
    elsewhere = site.browser("192.0.2.77").cookie(web.cookies["auth_tkt"])
    assert elsewhere.get("/").status_int == 302


def test_a_secret_taken_out_of_its_file_ends_its_tickets_and_an_older_one_verifies(
    make_site: Callable[..., Site], tmp_path: Path
) -> None:
    file = tmp_path / "secrets"
    first, second = new_key(), new_key()
    file.write_text(first + "\n")
    file.chmod(0o600)
    site = make_site(auth_tkt__secret=None, auth_tkt__secret_file=str(file))
    site.login()
    assert site.web.get("/").status_int == 200
    file.write_text(f"{second}\n{first}\n")
    site.clock.advance(5)
    assert site.web.get("/").status_int == 200
    file.write_text(f"{second}\n")
    site.clock.advance(5)
    assert site.web.get("/").status_int == 302


# -- reissue ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("age_s", "renewed"), [(99, False), (100, False), (101, True)])
def test_a_ticket_is_renewed_on_a_page_load_once_it_is_due(
    make_site: Callable[..., Site], age_s: int, renewed: bool
) -> None:
    site = make_site(auth_tkt__reissue_time="100")
    site.login()
    old = site.web.cookies["auth_tkt"]
    site.clock.advance(age_s)
    assert "Set-Cookie" not in site.web.post("/").headers
    answer = site.web.get("/")
    assert ("Set-Cookie" in answer.headers) is renewed
    assert (site.web.cookies["auth_tkt"] != old) is renewed
    assert site.web.get("/").status_int == 200


def test_renewing_slides_the_end_but_never_past_the_absolute_limit(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(
        auth_timeout="1000", auth_remember_timeout="1000", auth_absolute_timeout="2500",
        auth_tkt__reissue_time="100",
    )  # fmt: skip
    site.login(remember="on")
    for passed_s in (900, 1800, 2499):
        site.clock.time_s = 1_800_000_000 + passed_s
        answer = site.web.get("/")
        assert answer.status_int == 200
        if "Set-Cookie" in answer.headers:
            left_s = min(1000, 2500 - passed_s)
            assert f"; Max-Age={left_s};" in answer.headers["Set-Cookie"]
    site.clock.time_s = 1_800_000_000 + 2500
    assert site.web.get("/").status_int == 302


def test_a_renewed_ticket_is_the_same_login_and_ends_with_it(
    make_site: Callable[..., Site], downstream: Recorder
) -> None:
    site = make_site(downstream, auth_tkt__reissue_time="100")
    site.login()
    for _ in range(2):
        site.web.get("/")
        site.clock.advance(101)
    one, other = (environ["factored.ticket"] for environ in downstream.seen)
    assert (one.ticket_id, one.series, one.login_at) == (
        other.ticket_id,
        other.series,
        other.login_at,
    )
    stolen = site.web.cookies["auth_tkt"]
    page = site.web.get("/auth/logout")
    page.form.submit("submit", value="logout")
    assert site.browser().cookie(stolen).get("/").status_int == 302


@pytest.mark.parametrize(
    ("said", "answered"),
    [
        ([], ["private"]),
        (["public, max-age=60"], ["private"]),
        (["max-age=60", "public"], ["private"]),
        (["no-store"], ["private, no-store"]),
        (["private, max-age=3"], ["private"]),
        (['public, max-age=600, private="X-A"'], ["private"]),
        (["max-age=5, stale-private-x", "no-cache"], ["private, no-cache"]),
    ],
)
def test_no_shared_cache_may_keep_an_answer_with_a_ticket(
    make_site: Callable[..., Site], said: list[str], answered: list[str]
) -> None:
    downstream = Recorder([("Cache-Control", value) for value in said])
    site = make_site(downstream, auth_tkt__reissue_time="100")
    site.login()
    assert site.web.get("/").headers.getall("Cache-Control") == said
    site.clock.advance(101)
    answer = site.web.get("/")
    assert "Set-Cookie" in answer.headers
    assert answer.headers.getall("Cache-Control") == answered


def test_no_header_for_one_kind_of_cache_says_otherwise(make_site: Callable[..., Site]) -> None:
    said = ["CDN-Cache-Control", "Surrogate-Control", "Expires", "X-Cache-Controls"]
    downstream = Recorder([(name, "max-age=99") for name in said])
    site = make_site(downstream, auth_tkt__reissue_time="100")
    site.login()
    assert [name for name in said if name in site.web.get("/").headers] == said
    site.clock.advance(101)
    answer = site.web.get("/")
    assert answer.headers["Cache-Control"] == "private"
    assert [name for name in said if name in answer.headers] == ["X-Cache-Controls"]


# -- domains ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "host", "domains"),
    [
        ({}, "www.example.com", [None]),
        ({"auth_tkt__cookie_domain": ".example.com"}, "www.example.com:8080", ["example.com"]),
        ({"auth_tkt__cookie_domain": "example.com"}, "EXAMPLE.com", ["example.com"]),
        ({"auth_tkt__cookie_domain": "other.org"}, "www.example.com", ["other.org", None]),
        ({"auth_tkt__cookie_domain": "ample.com"}, "example.com", ["ample.com", None]),
        ({"auth_tkt__wild_domain": "true"}, "www.example.com", ["www.example.com"]),
        ({"auth_tkt__wild_domain": "true"}, "localhost:8000", [None]),
        ({"auth_tkt__wild_domain": "true"}, "127.0.0.1", [None]),
        ({"auth_tkt__wild_domain": "true"}, "[::1]:8000", [None]),
    ],
)
def test_the_ticket_cookies_domain_is_one_that_browsers_take(
    make_site: Callable[..., Site], changed: dict[str, str], host: str, domains: list[str | None]
) -> None:
    site = make_site(**changed)
    web = site.browser(HTTP_HOST=host)
    first = web.get("/auth/ga")
    web.cookie(first.headers["Set-Cookie"].partition(";")[0].partition("=")[2], "factored_browser")
    form = {"csrf_token": token_of(first), "username": NAME, "code": site.code()}
    done = web.post("/auth/ga", {**form, "submit": "authenticate"})
    lines = [line for line in done.headers.getall("Set-Cookie") if line.startswith("auth_tkt=")]
    assert len(lines) == len(domains)
    for line, domain in zip(lines, domains, strict=True):
        assert (f"; Domain={domain};" in line) if domain else ("Domain" not in line)


# -- proxies, hosts, sizes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trusted", "peer", "told", "address"),
    [
        ("10.0.0.0/8", "10.0.0.1", "203.0.113.5", "203.0.113.5"),
        ("10.0.0.0/8", "192.0.2.1", "203.0.113.5", "192.0.2.1"),
        ("10.0.0.0/8", "10.0.0.1", "6.6.6.6, 203.0.113.5, 10.0.0.2", "203.0.113.5"),
        ("10.0.0.0/8", "10.0.0.1", "10.0.0.3", "10.0.0.3"),
        ("10.0.0.0/8", "10.0.0.1", "junk", "10.0.0.1"),
        ("10.0.0.0/8", "10.0.0.1", "6.6.6.6, junk, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.0/8", "::ffff:10.0.0.1", "[2001:db8::5]:443", "2001:db8::5"),
        ("unix", "", "203.0.113.5:1234", "203.0.113.5"),
        ("10.0.0.0/8", "", "203.0.113.5", ""),
        ("unix", "192.0.2.1", "203.0.113.5", "192.0.2.1"),
    ],
)
def test_only_a_listed_proxy_says_where_a_request_came_from(
    make_site: Callable[..., Site], downstream: Recorder,
    trusted: str, peer: str, told: str, address: str,
) -> None:  # fmt: skip
    site = make_site(downstream, trusted_proxies=trusted, excepted_paths="/open")
    asked = {
        "HTTP_X_FORWARDED_FOR": told,
        "HTTP_X_FORWARDED_PROTO": "https",
        "HTTP_X_FORWARDED_HOST": "www.example.com",
    }
    raw(site, "/open", REMOTE_ADDR=peer, **asked)
    environ = downstream.seen[-1]
    assert environ["REMOTE_ADDR"] == address
    believed = peer != address or told == "junk"
    assert environ["wsgi.url_scheme"] == ("https" if believed else "http")
    assert environ["HTTP_HOST"] == ("www.example.com" if believed else "localhost")


def test_without_listed_proxies_nothing_forwarded_is_believed(
    make_site: Callable[..., Site], downstream: Recorder
) -> None:
    site = make_site(downstream, excepted_paths="/open")
    raw(site, "/open", HTTP_X_FORWARDED_FOR="6.6.6.6", HTTP_X_FORWARDED_PROTO="https")
    assert downstream.seen[-1]["REMOTE_ADDR"] == "192.0.2.1"
    assert downstream.seen[-1]["wsgi.url_scheme"] == "http"


@pytest.mark.parametrize(
    ("host", "scheme", "status"),
    [
        ("www.example.com", "https", 302),
        ("WWW.example.com:443", "https", 302),
        ("www.example.com", "http", 302),
        ("www.example.com:8443", "https", 400),
        ("example.com", "https", 400),
        ("www.example.com.evil.example", "https", 400),
        ("evil.example, www.example.com", "https", 400),
        ("", "https", 400),
    ],
)
def test_with_a_public_url_every_other_host_is_refused(
    make_site: Callable[..., Site], host: str, scheme: str, status: int
) -> None:
    site = make_site(public_url="https://www.example.com", excepted_paths="/open")
    environ = {"HTTP_HOST": host, "wsgi.url_scheme": scheme}
    assert raw(site, "/", **environ)["status"] == status
    assert raw(site, "/auth/readyz", **environ)["status"] == (400 if status == 400 else 200)
    assert raw(site, "/open", **environ)["status"] == (400 if status == 400 else 200)
    assert raw(site, "/auth/healthz", **environ)["status"] == 200


@pytest.mark.parametrize("path", ["/", "/open", "/auth/ga"])
@pytest.mark.parametrize("hosts", ["a.test, b.test", "a.test,a.test", ",a.test", "a.test,"])
def test_a_request_with_two_hosts_is_refused(
    make_site: Callable[..., Site], downstream: Recorder, path: str, hosts: str
) -> None:
    """waitress and Paste join the two. Source: RFC 9112 section 3.2."""
    site = make_site(downstream, excepted_paths="/open")
    cookie = f"auth_tkt={site.ticket()}"
    assert raw(site, path, HTTP_HOST=hosts, HTTP_COOKIE=cookie)["status"] == 400
    assert downstream.seen == []


@pytest.mark.parametrize("path", ["/", "/open", "/auth", "/auth/ga", "/auth/healthz"])
@pytest.mark.parametrize(("size", "refused"), [(8191, False), (8192, False), (8193, True)])
def test_cookies_that_have_grown_too_large_are_refused_before_they_are_read(
    make_site: Callable[..., Site], path: str, size: int, refused: bool
) -> None:
    site = make_site(excepted_paths="/open")
    ticket = f"auth_tkt={site.ticket()}; x="
    answer = raw(site, path, HTTP_COOKIE=ticket + "x" * (size - len(ticket)))
    assert (answer["status"] == 431) is refused
    assert len(answer["body"]) < 2000 or not refused


# -- when something is broken ----------------------------------------------------------------------


def test_an_error_in_the_gate_denies(
    make_site: Callable[..., Site], downstream: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_site(downstream, excepted_paths="/open")
    cookie = f"auth_tkt={site.ticket()}"
    assert raw(site, "/", HTTP_COOKIE=cookie)["status"] == 200

    def fail(*args: Any) -> Any:
        raise RuntimeError("for this test")

    monkeypatch.setattr(RevocationList, "revoked", fail)
    before = len(downstream.seen)
    for path in ("/", "/open", "/auth/ga"):
        answer = raw(site, path, HTTP_COOKIE=cookie)
        assert answer["status"] == 500
        assert b"for this test" not in answer["body"]
    assert len(downstream.seen) == before


@pytest.mark.parametrize(
    "environ", [{"PATH_INFO": None}, {"HTTP_COOKIE": 7}, {"REMOTE_ADDR": None}, {"SCRIPT_NAME": 7}]
)
def test_an_environ_that_no_server_should_make_is_denied(
    make_site: Callable[..., Site], downstream: Recorder, environ: dict[str, Any]
) -> None:
    site = make_site(downstream, trusted_proxies="unix")
    environ = {"REMOTE_ADDR": "192.0.2.1", **environ}
    path = environ.pop("PATH_INFO", "/")
    assert raw(site, path, **environ)["status"] == 500
    assert downstream.seen == []


# -- two of them, or none --------------------------------------------------------------------------


def test_two_gates_with_different_settings_live_side_by_side(
    make_site: Callable[..., Site],
) -> None:
    one = make_site(appname="One", base_auth_url="/one", auth_tkt__cookie_name="first")
    other = make_site(
        appname="Other", base_auth_url="/a/b", auth_tkt__secret="another-ticket-secret-0123456789"
    )
    assert "One</title>" in one.web.get("/one/ga").text
    assert "Other</title>" in other.web.get("/a/b/ga").text
    assert one.web.get("/auth/ga").status_int == 302
    assert other.web.get("/one/ga").status_int == 302
    assert one.browser().cookie(one.ticket(), "first").get("/").status_int == 200
    for name in ("first", "auth_tkt"):
        assert other.browser().cookie(one.ticket(), name).get("/").status_int == 302


@pytest.mark.parametrize(
    "path", ["/auth", "/auth/", "/auth/ga", "/auth/logout", "/auth/nothing", "/auth/../page"]
)
def test_what_is_under_base_auth_url_never_goes_downstream(
    make_site: Callable[..., Site], downstream: Recorder, path: str
) -> None:
    site = make_site(downstream, excepted_paths=path if ".." not in path else "")
    for environ in ({}, {"HTTP_COOKIE": f"auth_tkt={site.ticket()}"}):
        raw(site, path, **environ)
    assert downstream.seen == []
    assert raw(site, "/authority", HTTP_COOKIE=f"auth_tkt={site.ticket()}")["status"] == 200


@pytest.mark.parametrize(
    ("raw_target", "status"),
    [("/open", 200), ("/%6fpen?x", 200), ("//open", 302), ("/./open", 302)],
)
def test_an_exempt_path_must_be_the_path_that_was_sent(
    make_site: Callable[..., Site], raw_target: str, status: int
) -> None:
    """waitress hands over /open for //open; what looks at the raw target sees another path."""
    site = make_site(excepted_paths="/open")
    assert raw(site, "/open", REQUEST_URI=raw_target)["status"] == status
