"""Ini strings -> Settings, or one error that lists every problem."""

from __future__ import annotations

import ipaddress
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factored.converters import as_bool, whole_number
from factored.ini_keys import FORMTEXTS, KEYS
from factored.ini_keys import OLD_NAMES as OLD_NAMES_OF_THE_CODE
from factored.interfaces import ConfigurationError
from factored.old_keys import WITHOUT_MEANING
from factored.settings import Settings, convert_all, parse
from tests.support import TICKET_SECRET, settings_for

SECRET_2 = "b-ticket-secret-for-tests-0123456789abcdef"
PASSWORD = "hunter2-hunter2"

CONVERTED: list[tuple[str, str, str, Any]] = [
    ("appname", "My site", "appname", "My site"),
    ("auth_tkt.secret", f"{SECRET_2}\n{TICKET_SECRET}", "ticket_secrets",
     (SECRET_2, TICKET_SECRET)),
    ("auth_tkt.cookie_name", "mine", "cookie_name", "mine"),
    ("auth_tkt.secure", "True", "cookie_secure", True),
    ("auth_tkt.http_only", "off", "cookie_http_only", False),
    ("auth_tkt.samesite", "strict", "cookie_samesite", "Strict"),
    ("auth_tkt.path", "/app", "cookie_path", "/app"),
    ("auth_tkt.include_ip", "1", "include_ip", True),
    ("auth_tkt.wild_domain", "yes", "wild_domain", True),
    ("auth_tkt.cookie_domain", ".Example.com", "cookie_domain", "example.com"),
    ("auth_tkt.hashalg", "SHA256", "hashalg", "sha256"),
    ("auth_tkt.reissue_time", "600", "reissue_time", 600),
    ("auth_timeout", "3600", "auth_timeout", 3600),
    ("auth_remember_timeout", "7200", "auth_remember_timeout", 7200),
    ("auth_absolute_timeout", "90000", "auth_absolute_timeout", 90000),
    ("base_auth_url", "/login", "base_auth_url", "/login"),
    ("supported_auth_schemes", "Mine\nGoogle Auth", "supported_auth_schemes",
     ("Mine", "Google Auth")),
    ("excepted_paths", "/a\n/b", "excepted_paths", frozenset(("/a", "/b"))),
    ("public_url", "https://site.test", "public_url", "https://site.test"),
    ("trusted_proxies", "unix 10.0.0.0/8", "trusted_proxies",
     ("unix", ipaddress.ip_network("10.0.0.0/8"))),
    ("allowed_hosts", "One.test:8443, two.test:443", "allowed_hosts",
     frozenset(("one.test:8443", "two.test"))),
    ("identity_headers", "X-User\nRemote-User", "identity_headers", ("X-User", "Remote-User")),
    ("hsts", "t", "hsts", True),
    ("email_auth_window", "600", "email_auth_window", 600),
    ("email_auth.subject", "Code", "email_auth_subject", "Code"),
    ("email_auth.sender", "a@b.test", "email_auth_sender", "a@b.test"),
    ("email_auth.body", "{code}", "email_auth_body", "{code}"),
    ("allowgooglecodereminder", "true", "reminder", True),
    ("allowgooglecodereminder.subject", "Again", "reminder_subject", "Again"),
    ("allowgooglecodereminder.sender", "a@b.test", "reminder_sender", "a@b.test"),
    ("allowgooglecodereminder.body", "{code}", "reminder_body", "{code}"),
    ("autouserfinder", "Mine", "autouserfinder", "Mine"),
    ("autouserfinder.connection_string", "sqlite://", "finder_connection_string", "sqlite://"),
    ("autouserfinder.table_name", "people", "finder_table_name", "people"),
    ("autouserfinder.email_field", "mail", "finder_email_field", "mail"),
    ("autouserfinder.valid_domains", "A.test\n.b.test", "finder_valid_domains",
     ("a.test", "b.test")),
    ("recovery_codes", "no", "recovery_codes", False),
    ("hide_banner", "yes", "hide_banner", True),
    ("color", "#15B", "color", "#1155bb"),
    ("color_dark", "#86b4ff", "color_dark", "#86b4ff"),
    ("footer_text", "Ask  us.", "footer_text", "Ask us."),
    ("help_url", "/help?a=1", "help_url", "/help?a=1"),
    ("store", "Shelf", "store", "Shelf"),
]  # fmt: skip

OLD_NAMES = [
    ("em.auth_window", "email_auth_window", "60", "61"),
    ("em.subject", "email_auth.subject", "One", "Two"),
    ("em.sender", "email_auth.sender", "a@b.test", "b@b.test"),
    ("em.body", "email_auth.body", "a {code}", "b {code}"),
    ("allowcodereminder", "allowgooglecodereminder", "true", "false"),
    ("allowcodereminder.subject", "allowgooglecodereminder.subject", "One", "Two"),
    ("allowcodereminder.sender", "allowgooglecodereminder.sender", "a@b.test", "b@b.test"),
    ("allowcodereminder.body", "allowgooglecodereminder.body", "a {code}", "b {code}"),
    ("formtext.error.invalid_code", "formtext.error.wrong", "No", "Wrong"),
]


@pytest.fixture
def site(tmp_path: Path) -> dict[str, str]:
    """The settings of a small site, whose key file is there."""
    (tmp_path / "factored.key").touch()
    return settings_for(tmp_path)


def problems_of(given_texts: dict[str, str], **options: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as refusal:
        parse(given_texts, **options)
    return refusal.value.problems


def test_defaults_are_those_of_the_documentation(site: dict[str, str]) -> None:
    del site["auth_tkt.secure"]
    found = parse(site)
    assert (found.appname, found.base_auth_url) == ("factored", "/auth")
    assert found.supported_auth_schemes == ("Google Auth",)
    assert (found.auth_timeout, found.auth_remember_timeout) == (7200, 86400)
    assert (found.auth_absolute_timeout, found.reissue_time) == (86400, None)
    assert (found.cookie_name, found.cookie_path, found.cookie_samesite) == ("auth_tkt", "/", "Lax")
    assert (found.cookie_secure, found.cookie_http_only, found.hsts) == (True, True, False)
    assert (found.include_ip, found.wild_domain, found.cookie_domain) == (False, False, None)
    assert (found.hashalg, found.email_auth_window, found.hide_banner) == ("sha512", 120, False)
    assert (found.public_url, found.trusted_proxies) == (None, ())
    assert found.excepted_paths == frozenset()
    assert (found.reminder, found.autouserfinder) == (False, None)
    assert "{code}" in found.email_auth_body
    assert "{code}" in found.reminder_body
    assert found.ticket_secrets == (TICKET_SECRET,)


@pytest.mark.parametrize(("key", "text", "attribute", "value"), CONVERTED)
def test_every_key_is_read_and_converted(
    site: dict[str, str], key: str, text: str, attribute: str, value: object
) -> None:
    assert getattr(parse({**site, key: f"  {text}\n"}), attribute) == value


@pytest.mark.parametrize(("key", "text", "attribute", "value"), CONVERTED)
def test_an_empty_value_is_as_if_the_line_was_not_there(
    site: dict[str, str], key: str, text: str, attribute: str, value: object
) -> None:
    if key in ("appname", "auth_tkt.secret"):
        assert any(key in problem for problem in problems_of({**site, key: " "}))
    else:
        without = {name: value for name, value in site.items() if name != key}
        assert getattr(parse({**without, key: " "}), attribute) == getattr(
            parse(without), attribute
        )


def test_the_tables_of_this_test_and_of_the_code_name_the_same_keys() -> None:
    files = {"key_file", "auth_tkt.secret_file", "logo", "templates_dir"}
    assert {row[0] for row in CONVERTED} | files == set(KEYS)
    assert dict(row[:2] for row in OLD_NAMES) == OLD_NAMES_OF_THE_CODE


@pytest.mark.parametrize("key", ["logo", "templates_dir"])
def test_files_of_a_sites_looks_start_from_the_folder_of_the_ini(
    key: str, site: dict[str, str], tmp_path: Path
) -> None:
    assert getattr(parse({**site, key: "its/own"}, here=tmp_path), key) == tmp_path / "its/own"
    assert getattr(parse({**site, key: "/its/own"}, here=tmp_path), key) == Path("/its/own")
    assert getattr(parse(site, here=tmp_path), key) is None


@pytest.mark.parametrize(("old", "name", "text", "other"), OLD_NAMES)
def test_an_old_name_means_the_same(
    site: dict[str, str], old: str, name: str, text: str, other: str
) -> None:
    assert parse({**site, old: text}) == parse({**site, name: text}) != parse(site)
    assert parse({**site, old: text, name: f" {text} "}) == parse({**site, name: text})


@pytest.mark.parametrize(("old", "name", "text", "other"), OLD_NAMES)
def test_an_old_and_a_new_name_with_different_values_are_refused(
    site: dict[str, str], old: str, name: str, text: str, other: str
) -> None:
    for given_texts in ({old: text, name: other}, {name: text, old: other}):
        (problem,) = problems_of({**site, **given_texts})
        assert problem == f"{name}: is set twice, also as {old}, with different values"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("auth_tkt.secret_fiel", "auth_tkt.secret_file"),
        ("apname", "appname"),
        ("auth_tkt.cookiename", "auth_tkt.cookie_name"),
        ("AUTH_TIMEOUT", None),
        ("excepted_path", "excepted_paths"),
        ("formtext.titel", "formtext.title"),
        ("sqlalchemyurl", "sqlalchemy.url"),
        ("mine.colr", "mine.color"),
        ("zzz", None),
        ("", None),
        ("pyramid.", None),
        ("mail", None),
        ("formtext", None),
        ("formtext.nonsense", None),
    ],
)
def test_an_unknown_key_is_refused_with_a_near_match(
    site: dict[str, str], typed: str, meant: str | None
) -> None:
    (problem,) = problems_of({**site, typed: "x"}, extra={"mine.color": (str, "red")})
    assert problem.startswith(f"{typed}: is not a key of factored")
    if meant:
        assert problem.endswith(f"did you mean {meant}?")
    else:
        assert "configuration.rst" in problem or "did you mean" in problem


def test_all_problems_are_told_at_once_each_naming_key_value_and_what_is_allowed(
    tmp_path: Path,
) -> None:
    problems = problems_of(
        {
            "auth_tkt.secret": "secret",
            "auth_tkt.secure": "perhaps",
            "auth_timeout": "0",
            "base_auth_url": "auth/",
            "nonsense": "1",
            "sms.provider": "x",
            "em.subject": "a",
            "email_auth.subject": "b",
            "autouserfinder": "SQL",
            "trusted_proxies": "x" * 100,
        },
        here=tmp_path,
    )
    text = "\n".join(problems)
    assert len(problems) == 13
    for expected in (
        "auth_tkt.secret: it has 6 characters; at least 32",
        "auth_tkt.secure: 'perhaps' must be true/false",
        "auth_timeout: '0' must be a whole number from 1",
        "base_auth_url: 'auth/' must be a path",
        "nonsense: is not a key",
        "sms.provider: SMS is not in this release",
        "email_auth.subject: is set twice",
        "autouserfinder.connection_string: is missing",
        "autouserfinder.table_name: is missing",
        "autouserfinder.email_field: is missing",
        f"trusted_proxies: '{'x' * 77}...' must list",
        f"key_file: {tmp_path / 'factored.key'} is not there",
        "sqlalchemy.url: is missing",
    ):
        assert expected in text


@pytest.mark.parametrize(
    ("finder", "keys"),
    [
        ("SQL", ["connection_string", "table_name", "email_field"]),
        ("Email Domain", ["valid_domains"]),
        ("Mine", []),
    ],
)
def test_a_finder_needs_its_keys(site: dict[str, str], finder: str, keys: list[str]) -> None:
    site["autouserfinder"] = finder
    for missing in keys:
        given_texts = {f"autouserfinder.{key}": "a.test" for key in keys if key != missing}
        for blank in ({}, {f"autouserfinder.{missing}": " "}):
            (problem,) = problems_of({**site, **given_texts, **blank})
            assert problem == (
                f"autouserfinder.{missing}: is missing; autouserfinder = {finder} needs it"
            )
    parse({**site, **{f"autouserfinder.{key}": "a.test" for key in keys}})


def test_what_is_not_in_this_release_is_said_to_be_so(site: dict[str, str]) -> None:
    (problem,) = problems_of({**site, "autouserfinder": "LDAP Users"})
    assert problem == "autouserfinder: 'LDAP Users' is not in this release"
    its_own = {f"autouserfinder.{rest}": PASSWORD for rest in ("conn_string", "bind_pw")}
    assert problems_of({**site, **its_own, "autouserfinder": "LDAP Users"}) == (problem,)
    assert len(problems_of({**site, **its_own})) == 2
    for name in ("sms.provider", "sms.auth_window"):
        assert f"{name}: SMS is not in this release" in problems_of({**site, name: "1"})[0]


@pytest.mark.parametrize("name", WITHOUT_MEANING)
def test_a_key_without_meaning_gets_a_warning_with_one_sentence(
    site: dict[str, str], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    site["auth_timeout"] = "7200"
    assert parse({**site, name: PASSWORD}) == parse(site)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == f"{name} has no meaning any more: {WITHOUT_MEANING[name]}"


def test_every_text_of_a_form_can_be_replaced(site: dict[str, str]) -> None:
    texts = {name: f"my {name}" for name in FORMTEXTS}
    found = parse({**site, **{f"formtext.{name}": text for name, text in texts.items()}})
    assert found.formtext == texts


def test_an_error_that_no_page_has_is_taken_with_a_warning(
    site: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    assert parse({**site, "formtext.error.invalid_username_code": PASSWORD}) == parse(site)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "formtext.error.invalid_username_code is shown nowhere: no page has that error"
    )


def test_keys_of_libraries_are_passed_on_whole(site: dict[str, str]) -> None:
    found = parse(
        {
            **site,
            "pyramid.includes": "pyramid_tm\n  my.add_on your:includeme",
            "pyramid.debug_all": "true",
            "sqlalchemy.pool_size": "5",
            "mail.host": "debug",
            "tm.attempts": "3",
            "pyramid_tm.x": "4",
            "my.color": "red",
            "your.size": "1",
        }
    )
    assert found.pyramid == {
        "pyramid.includes": "pyramid_tm\n  my.add_on your:includeme",
        "pyramid.debug_all": "true",
        "tm.attempts": "3",
        "pyramid_tm.x": "4",
        "my.color": "red",
        "your.size": "1",
    }
    assert found.sqlalchemy == {
        "sqlalchemy.url": site["sqlalchemy.url"],
        "sqlalchemy.pool_size": "5",
    }
    assert found.mail == {"mail.host": "debug"}


@pytest.mark.parametrize("name", ["tm.attempts", "tm.", "tm", "pyramid_tm.x"])
def test_an_add_ons_keys_pass_only_where_it_is_included(site: dict[str, str], name: str) -> None:
    assert "is not a key" in problems_of({**site, name: "1"})[0]
    assert "is not a key" in problems_of({**site, name: "1", "pyramid.includes": "tmx"})[0]


def test_a_plug_in_declares_its_own_keys(site: dict[str, str]) -> None:
    extra = {"mine.color": (str.upper, "red"), "mine.size": (whole_number(1, 9), 3)}
    assert parse(site, extra=extra).extra == {"mine.color": "red", "mine.size": 3}
    found = parse({**site, "mine.color": " blue ", "mine.size": ""}, extra=extra)
    assert found.extra == {"mine.color": "BLUE", "mine.size": 3}
    (problem,) = problems_of({**site, "mine.size": PASSWORD}, extra=extra)
    assert problem == "mine.size: must be a whole number from 1 to 9"


# -- rules that need more than one key ---------------------------------------------------------


@pytest.mark.parametrize(
    ("timeout", "remember"), [("7200", "86400"), ("90000", "86400"), ("100", "100")]
)
@pytest.mark.parametrize(("offset", "taken"), [(-1, False), (0, True), (1, True)])
def test_the_absolute_timeout_covers_every_other(
    site: dict[str, str], timeout: str, remember: str, offset: int, taken: bool
) -> None:
    longest = max(int(timeout), int(remember))
    site.update({"auth_timeout": timeout, "auth_remember_timeout": remember})
    assert parse(site).auth_absolute_timeout == longest
    site["auth_absolute_timeout"] = str(longest + offset)
    if taken:
        assert parse(site).auth_absolute_timeout == longest + offset
    else:
        assert f"auth_absolute_timeout: {longest - 1} is shorter" in problems_of(site)[0]


@pytest.mark.parametrize(("offset", "taken"), [(-1, True), (0, False), (1, False)])
def test_a_ticket_is_renewed_before_it_ends(site: dict[str, str], offset: int, taken: bool) -> None:
    site.update({"auth_timeout": "100", "auth_tkt.reissue_time": str(100 + offset)})
    if taken:
        assert parse(site).reissue_time == 99
    else:
        assert "auth_tkt.reissue_time: " in problems_of(site)[0]


@pytest.mark.parametrize(
    ("samesite", "secure", "taken"),
    [("None", "true", True), ("none", "false", False), ("Lax", "false", True)],
)
def test_a_cookie_for_other_sites_must_be_secure(
    site: dict[str, str], samesite: str, secure: str, taken: bool
) -> None:
    site.update({"auth_tkt.samesite": samesite, "auth_tkt.secure": secure})
    if taken:
        parse(site)
    else:
        assert "auth_tkt.samesite: 'None' needs" in problems_of(site)[0]


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({"supported_auth_schemes": "Email", "email_auth.body": "Hello"}, False),
        ({"supported_auth_schemes": "Email", "em.body": "{url}"}, False),
        ({"supported_auth_schemes": "Email", "email_auth.body": "{code}"}, True),
        ({"email_auth.body": "Hello"}, True),
        ({"allowgooglecodereminder": "true", "allowcodereminder.body": "Hello"}, False),
        ({"allowgooglecodereminder": "true", "allowcodereminder.body": "{code}"}, True),
        ({"allowgooglecodereminder.body": "Hello"}, True),
    ],
)
def test_a_mail_that_is_sent_must_hold_the_code(
    site: dict[str, str], given: dict[str, str], taken: bool
) -> None:
    site.update({"public_url": "https://a.test", **given})
    if taken:
        parse(site)
    else:
        (problem,) = problems_of(site)
        assert re.match(r"(email_auth|allowgooglecodereminder)\.body: has no \{code\}", problem)


@pytest.mark.parametrize(
    ("schemes", "body", "url", "taken"),
    [
        ("Email", "{code} {url}", "", False),
        ("Google Auth\nEmail", "{code}{url}", "", False),
        ("Email", "{code}{url}", "https://a.test", True),
        ("Email", "{code}", "", True),
        ("Google Auth", "{url}", "", True),
    ],
)
def test_mails_with_links_need_a_public_url(
    site: dict[str, str], schemes: str, body: str, url: str, taken: bool
) -> None:
    changes = {"supported_auth_schemes": schemes, "email_auth.body": body, "public_url": url}
    changes["email_auth.sender"] = "site@example.com"
    if taken:
        parse({**site, **changes})
    else:
        assert problems_of({**site, **changes})[0].startswith("public_url: is missing")


# -- files -------------------------------------------------------------------------------------


def test_relative_files_start_from_the_folder_of_the_ini(
    tmp_path: Path, site: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "my.key").touch()
    (tmp_path / "sub" / "my.secret").touch()
    del site["auth_tkt.secret"]
    site.update({"key_file": "my.key", "auth_tkt.secret_file": "my.secret"})
    found = parse(site, here=tmp_path / "sub")
    assert found.key_file == tmp_path / "sub" / "my.key"
    assert found.ticket_secret_file == tmp_path / "sub" / "my.secret"
    assert found.ticket_secrets == ()
    monkeypatch.chdir(tmp_path / "sub")
    assert parse(site) == found


def test_the_key_file_lies_beside_the_ini_unless_told_otherwise(
    tmp_path: Path, site: dict[str, str]
) -> None:
    del site["key_file"]
    assert parse(site, here=str(tmp_path)).key_file == tmp_path / "factored.key"


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_a_file_that_is_not_there_stops_the_start_but_not_the_installation(
    tmp_path: Path, site: dict[str, str], kind: str
) -> None:
    del site["auth_tkt.secret"]
    site.update({"key_file": "my.key", "auth_tkt.secret_file": "my.secret"})
    if kind == "folder":
        (tmp_path / "my.key").mkdir()
        (tmp_path / "my.secret").mkdir()
    assert problems_of(site, here=tmp_path) == (
        f"key_file: {tmp_path / 'my.key'} is not there; `factored init` makes it",
        f"auth_tkt.secret_file: {tmp_path / 'my.secret'} is not there; `factored init` makes it",
    )
    assert parse(site, here=tmp_path, require_files=False).key_file == tmp_path / "my.key"


def test_a_file_that_this_user_may_not_read_is_told_apart(
    tmp_path: Path, site: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may read everything
    assert problems_of(site) == (
        f"key_file: {tmp_path / 'factored.key'} cannot be read by this user",
    )


@pytest.mark.parametrize(
    ("secret", "file", "taken"),
    [(True, True, False), (False, False, False), (True, False, True), (False, True, True)],
)
def test_ticket_secrets_come_from_exactly_one_place(
    site: dict[str, str], secret: bool, file: bool, taken: bool
) -> None:
    if not secret:
        del site["auth_tkt.secret"]
    if file:
        site["auth_tkt.secret_file"] = site["key_file"]
    if taken:
        parse(site)
    else:
        assert problems_of(site) == (
            "auth_tkt.secret: set exactly one of it and auth_tkt.secret_file",
        )


# -- secrets -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    ["auth_tkt.secret", "autouserfinder.connection_string", "sqlalchemy.url", "mail.password",
     "pyramid.secret", "mine.token"],
)  # fmt: skip
def test_no_secret_shows_in_a_repr(site: dict[str, str], key: str) -> None:
    secret = f"{PASSWORD}-{TICKET_SECRET}"
    found = parse({**site, key: secret}, extra={"mine.token": (str, "")})
    assert PASSWORD in str({name: getattr(found, name) for name in Settings.__dataclass_fields__})
    assert PASSWORD not in repr(found)
    assert PASSWORD not in str(found)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.sampled_from(
            ["auth_tkt.secret", "autouserfinder.connection_string", "sqlalchemy.ulr", "mail.pass",
             "mine.token", "sms.token", "auth_tkt.secrets", "em.salt", "mypassword"]
        )
    )
)  # fmt: skip
def test_no_secret_shows_in_an_error(
    site: dict[str, str], caplog: pytest.LogCaptureFixture, keys: list[str]
) -> None:
    given_texts = {**site, "nonsense": "1", **dict.fromkeys(keys, PASSWORD)}
    problems = problems_of(given_texts, extra={"mine.token": (whole_number(1, 2), 1)})
    assert PASSWORD not in "\n".join(problems)
    assert PASSWORD not in caplog.text


# -- small sections ----------------------------------------------------------------------------


def test_a_small_section_is_converted_and_its_problems_are_collected() -> None:
    known = {"port": whole_number(1, 9), "on": as_bool}
    assert convert_all({"port": " 5 ", "on": "yes"}, known) == ({"port": 5, "on": True}, [])
    assert convert_all({"port": ""}, known) == ({}, [])
    values, problems = convert_all({"port": "10", "prt": "1", "zzz": "1"}, known)
    assert values == {}
    assert problems == [
        "port: '10' must be a whole number from 1 to 9",
        "prt: is not a key of this section; did you mean port?",
        "zzz: is not a key of this section; known are port, on",
    ]
