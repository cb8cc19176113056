"""The parts made from settings: keys that plug-ins declare, and the finder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from factored import plugins
from factored.app import build
from factored.codes import new_key
from factored.converters import as_bool, whole_number
from factored.finders.email_domain import EmailDomainFinder
from factored.finders.sql import SqlFinder
from factored.interfaces import ConfigurationError, FinderContext, StoreContext
from factored.keys import create_file
from factored.services import parts
from factored.store.bundle import SqlStores
from tests.support import FixedClock, make_people, settings_for

Offer = Callable[..., None]

SECRET = "correct horse battery staple"


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Offer:
    """-> function: group, name, what its factory declares -> None; it is installed from now on"""
    offered: dict[tuple[str, str], Any] = {}
    real_names, real_load = plugins.names, plugins.load

    def names(group: str) -> list[str]:
        return sorted([*real_names(group), *(name for of, name in offered if of == group)])

    def load(group: str, name: str) -> Any:
        found = offered.get((group, name)) or real_load(group, name)
        if isinstance(found, ConfigurationError):
            raise found
        return found

    def offer(group: str, name: str, **attributes: Any) -> None:
        offered[group, name] = attributes.pop("instead", None) or type("Factory", (), attributes)

    monkeypatch.setattr(plugins, "names", names)
    monkeypatch.setattr(plugins, "load", load)
    return offer


def read(folder: Path, **changed: str | None) -> Mapping[str, Any]:
    return parts.read_settings(settings_for(folder, **changed), require_files=False).extra


def problems_of(folder: Path, **changed: str | None) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        read(folder, **changed)
    return caught.value.problems


BUZZER = {"buzzer.port": (whole_number(1, 65535), 80), "buzzer.loud": (as_bool, False)}
BOOK = {"book.file": (Path, None)}


@pytest.fixture
def buzzer(offer: Offer) -> None:
    offer(parts.SCHEMES, "Buzzer", settings=BUZZER)
    offer(parts.FINDERS, "Book", settings=BOOK)


@pytest.mark.usefixtures("buzzer")
class TestKeysOfPlugIns:
    def test_each_is_converted_or_has_its_default(self, tmp_path: Path) -> None:
        extra = read(tmp_path, supported_auth_schemes="Google Auth\nBuzzer", buzzer__port="8080")
        assert extra == {"buzzer.port": 8080, "buzzer.loud": False}

    def test_an_empty_one_means_the_default(self, tmp_path: Path) -> None:
        assert read(tmp_path, supported_auth_schemes="Buzzer", buzzer__port="")["buzzer.port"] == 80

    def test_a_finder_declares_its_own_as_well(self, tmp_path: Path) -> None:
        assert read(tmp_path, autouserfinder="Book") == {"book.file": None}
        assert read(
            tmp_path, autouserfinder="Book", book__file="/x", supported_auth_schemes="Buzzer"
        ) == {"book.file": Path("/x"), "buzzer.port": 80, "buzzer.loud": False}

    def test_a_bad_value_is_refused_with_what_is_allowed_and_not_shown(
        self, tmp_path: Path
    ) -> None:
        assert problems_of(tmp_path, supported_auth_schemes="Buzzer", buzzer__port=SECRET) == (
            "buzzer.port: must be a whole number from 1 to 65535",
        )

    def test_its_problems_stand_among_all_others(self, tmp_path: Path) -> None:
        problems = problems_of(
            tmp_path, supported_auth_schemes="Buzzer", buzzer__loud="loud", hsts="perhaps"
        )
        assert {problem.partition(":")[0] for problem in problems} == {"hsts", "buzzer.loud"}

    def test_an_unknown_one_is_refused_with_a_near_match(self, tmp_path: Path) -> None:
        assert problems_of(tmp_path, supported_auth_schemes="Buzzer", buzzer__prot="80") == (
            "buzzer.prot: is not a key of factored; did you mean buzzer.port?",
        )

    def test_those_of_a_plug_in_that_is_not_in_use_are_unknown(self, tmp_path: Path) -> None:
        (problem,) = problems_of(tmp_path, buzzer__port="80")
        assert problem.startswith("buzzer.port: is not a key of factored")

    def test_a_key_of_factored_belongs_to_no_plug_in(self, tmp_path: Path, offer: Offer) -> None:
        offer(parts.SCHEMES, "Greedy", settings={"appname": (str, "mine")})
        assert problems_of(tmp_path, supported_auth_schemes="Greedy") == (
            "appname: 'Greedy' declares it too; a key has one owner",
        )

    def test_two_plug_ins_cannot_have_one_key(self, tmp_path: Path, offer: Offer) -> None:
        offer(parts.FINDERS, "Other", settings={"buzzer.port": (str, "")})
        assert problems_of(tmp_path, supported_auth_schemes="Buzzer", autouserfinder="Other") == (
            "buzzer.port: 'Other' declares it too; a key has one owner",
        )

    def test_a_plug_in_that_declares_nothing_has_no_keys(
        self, tmp_path: Path, offer: Offer
    ) -> None:
        offer(parts.SCHEMES, "Plain")
        assert read(tmp_path, supported_auth_schemes="Plain") == {}

    def test_one_that_cannot_be_loaded_is_told_of_once_and_elsewhere(
        self, tmp_path: Path, offer: Offer
    ) -> None:
        offer(parts.SCHEMES, "Broken", instead=ConfigurationError(["it is broken"]))
        given = settings_for(tmp_path, supported_auth_schemes="Broken")
        assert parts.read_settings(given, require_files=False).extra == {}
        assert parts.scheme_factories(given)[1] == ["supported_auth_schemes: it is broken"]


# -- the finder -----------------------------------------------------------------------------------


def test_without_autouserfinder_there_is_no_finder(tmp_path: Path) -> None:
    settings = parts.read_settings(settings_for(tmp_path), require_files=False)
    assert parts.make_finder(settings) is None


def test_the_finders_of_factored_are_made_by_name(tmp_path: Path) -> None:
    make_people(f"sqlite:///{tmp_path / 'people.sqlite'}")
    by_domain = settings_for(
        tmp_path, autouserfinder="Email Domain", autouserfinder__valid_domains="example.com"
    )
    by_table = settings_for(
        tmp_path,
        autouserfinder="SQL",
        autouserfinder__connection_string=f"sqlite:///{tmp_path / 'people.sqlite'}",
        autouserfinder__table_name="people",
        autouserfinder__email_field="email",
    )
    for given, kind in ((by_domain, EmailDomainFinder), (by_table, SqlFinder)):
        settings = parts.read_settings(given, require_files=False)
        assert isinstance(parts.make_finder(settings), kind)


def test_a_finders_factory_gets_the_settings_with_its_own_keys(
    tmp_path: Path, offer: Offer
) -> None:
    def factory(context: FinderContext) -> Any:
        return context

    factory.settings = {"book.file": (str, "none")}  # type: ignore[attr-defined]
    offer(parts.FINDERS, "Book", instead=factory)
    given = settings_for(tmp_path, autouserfinder="Book", book__file="people.txt")
    settings = parts.read_settings(given, require_files=False)
    made: Any = parts.make_finder(settings)
    assert made.settings is settings
    assert made.settings.extra == {"book.file": "people.txt"}


@pytest.mark.parametrize("missing", ["connection_string", "table_name", "email_field"])
def test_what_a_finder_of_factored_needs_and_lacks_is_named(tmp_path: Path, missing: str) -> None:
    changed = {
        f"autouserfinder__{name}": "sqlite:///x"
        for name in ("connection_string", "table_name", "email_field")
        if name != missing
    }
    assert problems_of(tmp_path, autouserfinder="SQL", **changed) == (
        f"autouserfinder.{missing}: is missing; autouserfinder = SQL needs it",
    )


def test_a_finder_that_nobody_offers_is_named_with_those_there_are(tmp_path: Path) -> None:
    given = settings_for(tmp_path, autouserfinder="SQLL")
    assert parts.missing_parts(given) == [
        "autouserfinder: 'SQLL' is not installed; factored.finders offers: Email Domain, SQL"
    ]


def test_the_finder_for_ldap_is_told_to_come_later(tmp_path: Path) -> None:
    assert problems_of(tmp_path, autouserfinder="LDAP Users") == (
        "autouserfinder: 'LDAP Users' is not in this release",
    )
    assert parts.missing_parts(settings_for(tmp_path, autouserfinder="LDAP Users")) == []


def test_a_finder_without_the_scheme_that_uses_it_is_noticed(tmp_path: Path) -> None:
    changed = {"autouserfinder": "Email Domain", "autouserfinder__valid_domains": "example.com"}
    mails = {"supported_auth_schemes": "Email", "email_auth__sender": "x@example.com"}

    def told(**more: str) -> bool:
        given = settings_for(tmp_path, **changed, **more)
        settings = parts.read_settings(given, require_files=False)
        return any(one.startswith("autouserfinder") for one in parts.notices(settings))

    assert told()
    assert not told(**mails)


@pytest.mark.parametrize(
    ("changed", "sender"),
    [
        ({"email_auth.sender": "a@b.test", "mail.default_sender": "c@d.test"}, None),
        ({"mail.default_sender": "c@d.test"}, None),
        ({"public_url": "https://www.example.com:8443"}, "factored@www.example.com"),
        ({}, "factored@localhost"),
    ],
)
def test_a_sender_that_nobody_named_is_made_up_and_told(
    tmp_path: Path, changed: dict[str, str], sender: str | None
) -> None:
    given = settings_for(tmp_path, supported_auth_schemes="Email") | changed
    told = [text for text in parts.notices(parts.read_settings(given, require_files=False))
            if text.startswith("email_auth.sender")]  # fmt: skip
    assert told == ([f"email_auth.sender is not set: mails come from {sender}"] if sender else [])


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, ["allowed_hosts: no ticket is shared without auth_tkt.cookie_domain"]),
        ({"auth_tkt.wild_domain": "true"}, []),
        (
            {"auth_tkt.cookie_domain": "a.test"},
            ["allowed_hosts: no ticket is shared with xa.test, which is not in a.test"],
        ),
    ],
)
def test_sites_that_share_no_ticket_are_told(
    tmp_path: Path, changed: dict[str, str], told: list[str]
) -> None:
    given = settings_for(tmp_path, allowed_hosts="a.test b.a.test:8443 xa.test") | changed
    settings = parts.read_settings(given, require_files=False)
    assert [one for one in parts.notices(settings) if one.startswith("allowed_hosts")] == told


# -- the store ------------------------------------------------------------------------------------


def test_without_the_key_the_store_is_sql_and_made_for_init_alone(
    tmp_path: Path, clock: FixedClock
) -> None:
    settings = parts.read_settings(settings_for(tmp_path), require_files=False)
    with pytest.raises(ConfigurationError, match="factored init"):
        parts.make_stores(settings, clock)
    made = parts.make_stores(settings, clock, must_exist=False)
    assert isinstance(made, SqlStores)
    assert made.location == f"sqlite:///{tmp_path / 'factored.sqlite'}"


def test_sql_needs_its_url_and_another_store_does_not(tmp_path: Path, offer: Offer) -> None:
    offer(parts.STORES, "Other")
    (problem,) = problems_of(tmp_path, sqlalchemy__url=None)
    assert problem.startswith("sqlalchemy.url: is missing")
    assert problems_of(tmp_path, sqlalchemy__url=None, store="SQL") == (problem,)
    assert read(tmp_path, sqlalchemy__url=None, store="Other") == {}


def test_a_store_made_of_sql_under_another_name_needs_the_url_too(
    tmp_path: Path, offer: Offer, clock: FixedClock
) -> None:
    offer(parts.STORES, "Ours", instead=SqlStores)
    given = settings_for(tmp_path, store="Ours", sqlalchemy__url=None)
    with pytest.raises(ConfigurationError, match=r"^sqlalchemy\.url: "):
        parts.make_stores(parts.read_settings(given, require_files=False), clock)


def test_a_stores_factory_gets_all_that_the_context_has(
    tmp_path: Path, offer: Offer, clock: FixedClock
) -> None:
    def factory(context: StoreContext) -> Any:
        return context

    factory.settings = {"shelf.height": (whole_number(1, 9), 3)}  # type: ignore[attr-defined]
    offer(parts.STORES, "Shelf", instead=factory)
    assert problems_of(tmp_path, store="Shelf", shelf__height="x") == (
        "shelf.height: must be a whole number from 1 to 9",
    )
    given = settings_for(tmp_path, store="Shelf", shelf__height="4")
    settings = parts.read_settings(given, require_files=False)
    assert settings.extra == {"shelf.height": 4}
    for must_exist in (True, False):
        made: Any = parts.make_stores(settings, clock, must_exist=must_exist)
        assert made == StoreContext(settings, clock, must_exist)


def test_a_store_that_nobody_offers_is_told_once_among_all_problems(tmp_path: Path) -> None:
    told = "store: 'sql' is not installed; factored.stores offers: SQL"
    given = settings_for(tmp_path, store="sql")
    create_file(tmp_path / "factored.key", new_key())
    with pytest.raises(ConfigurationError) as caught:
        build(given)
    assert caught.value.problems == (told,)
    with pytest.raises(ConfigurationError) as caught:
        build({**given, "hsts": "perhaps"})
    assert {one.partition(":")[0] for one in caught.value.problems} == {"hsts", "store"}


def test_a_store_that_cannot_be_loaded_is_the_operators_problem(
    tmp_path: Path, offer: Offer
) -> None:
    offer(parts.STORES, "Broken", instead=ConfigurationError(["it is broken"]))
    assert parts.missing_parts({"store": "Broken"}) == ["store: it is broken"]


@pytest.mark.parametrize(
    ("scheme", "secure", "told"),
    [("http", "true", True), ("http", "false", False), ("https", "true", False)],
)
def test_an_address_at_which_nobody_can_log_in_is_noticed(
    tmp_path: Path, scheme: str, secure: str, told: bool
) -> None:
    changed = {"public_url": f"{scheme}://www.example.com", "auth_tkt.secure": secure}
    given = settings_for(tmp_path) | changed
    notices = parts.notices(parts.read_settings(given, require_files=False))
    assert any("nobody can log in there" in text for text in notices) is told
