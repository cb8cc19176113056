"""Ini strings -> frozen, typed Settings; or one error that lists every problem.

Which keys there are is in :mod:`factored.ini_keys`; here is what each is when it is not set, and
what must hold between them.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

from factored import colors, old_keys
from factored.converters import IPNetwork
from factored.environ import host_of
from factored.ini_keys import FORMTEXTS, KEYS, OLD_NAMES
from factored.interfaces import ConfigurationError
from factored.words import _

Texts = Mapping[str, str]


@dataclass(frozen=True)
class Settings:
    """Everything an operator can set, parsed. What could be secret never shows in a repr.

    Defaults stand here, each with its unit; :data:`KEYS` says which ini key sets which attribute.
    """

    key_file: Path
    sqlalchemy: Texts = field(repr=False)
    store: str = "SQL"

    # Issuer shown in the user's authenticator app.
    appname: str = "factored"
    base_auth_url: str = "/auth"
    supported_auth_schemes: tuple[str, ...] = ("Google Auth",)
    # Decoded paths, as WSGI hands them (PEP 3333: bytes seen as latin-1).
    excepted_paths: frozenset[str] = frozenset()
    public_url: str | None = None
    trusted_proxies: tuple[IPNetwork | str, ...] = ()
    # Sites, as host or host:port, that a visitor may be sent back to.
    allowed_hosts: frozenset[str] = frozenset()
    # Headers that tell a web server who somebody is.
    identity_headers: tuple[str, ...] = ("Remote-User", "Factored-User")
    hsts: bool = False

    # Shared with web servers that check tickets, so no other key derives from it.
    ticket_secrets: tuple[str, ...] = field(default=(), repr=False)
    ticket_secret_file: Path | None = None
    cookie_name: str = "auth_tkt"
    # False sends the ticket over plain http, where anybody on the way can take it.
    cookie_secure: bool = True
    cookie_http_only: bool = True
    cookie_samesite: str = "Lax"
    cookie_path: str = "/"
    cookie_domain: str | None = None
    wild_domain: bool = False
    include_ip: bool = False
    hashalg: str = "sha512"
    # Seconds. None: a ticket is never renewed.
    reissue_time: int | None = None
    auth_timeout: int = 7200
    auth_remember_timeout: int = 86400
    auth_absolute_timeout: int = 86400

    email_auth_window: int = 120
    # Marked defaults are mailed in the reader's language; what an operator writes, as it is.
    email_auth_subject: str = _("Your code")
    email_auth_sender: str | None = None
    email_auth_body: str = _("Your code is: {code}\n")
    reminder: bool = False
    reminder_subject: str = _("Set up your authenticator again")
    reminder_sender: str | None = None
    reminder_body: str = _("Open this link to set up your authenticator again: {code}\n")
    autouserfinder: str | None = None
    finder_connection_string: str | None = field(default=None, repr=False)
    finder_table_name: str | None = None
    finder_email_field: str | None = None
    finder_valid_domains: tuple[str, ...] = ()

    formtext: Texts = field(default_factory=dict)
    hide_banner: bool = False
    recovery_codes: bool = True
    # A file, read at the start.
    logo: Path | None = None
    # As #rrggbb. None: the colours of our stylesheet.
    color: str | None = None
    color_dark: str | None = None
    footer_text: str | None = None
    help_url: str | None = None
    # A folder, whose templates take the place of ours.
    templates_dir: Path | None = None
    # Passed on whole: they may hold passwords.
    pyramid: Texts = field(default_factory=dict, repr=False)
    mail: Texts = field(default_factory=dict, repr=False)
    # Keys that plug-ins declare, already converted.
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def sites(self) -> frozenset[str]:
        """Hosts of allowed_hosts and of public_url, as compared; empty where neither is set."""
        return self.allowed_hosts | ({host_of(self.public_url)} if self.public_url else set())


class Problem(NamedTuple):
    """What is wrong with one key, as one sentence."""

    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.key}: {self.text}"


PASSED_ON = ("pyramid", "sqlalchemy", "mail")

Extra = Mapping[str, tuple[Callable[[str], Any], Any]]
"""Keys that a plug-in declares: ini key -> (converter, default)."""


def parse(
    given: Mapping[str, str],
    *,
    here: str | os.PathLike[str] | None = None,
    extra: Extra | None = None,
    require_files: bool = True,
) -> Settings:
    """ini strings -> Settings

    :param given: the section's own keys, without ``use`` and ``next``
    :param here: folder that relative file names start from; the current one if not given
    :param extra: keys that plug-ins declare
    :param require_files: refuse if the key files are not there (``factored init`` makes them)
    :raises ConfigurationError: with every problem at once; the operator's fault
    """
    folder = Path(here) if here is not None else Path.cwd()
    problems: list[Problem] = []
    texts = _current_names(given, problems)
    values: dict[str, Any] = {prefix: {} for prefix in (*PASSED_ON, "formtext")}
    declared = {key: convert for key, (convert, _) in (extra or {}).items()}
    values["extra"] = {key: default for key, (_, default) in (extra or {}).items()}
    add_ons = _add_on_prefixes(texts.get("pyramid.includes", ""))

    for name, text in texts.items():
        prefix, _, rest = name.partition(".")
        if name in KEYS:
            key = KEYS[name]
            _convert(values, key.attribute, name, text, key.convert, problems, secret=key.secret)
        elif name in declared:
            _convert(values["extra"], name, name, text, declared[name], problems, secret=True)
        elif prefix in PASSED_ON and rest:
            values[prefix][name] = text
        elif prefix == "formtext" and rest in FORMTEXTS:
            values["formtext"][rest] = text
        elif prefix == "sms":
            problems.append(Problem(name, "SMS is not in this release; remove the sms.* keys"))
        elif prefix in add_ons and rest:
            values["pyramid"][name] = text
        elif not old_keys.passed_over(name, texts.get("autouserfinder")):
            problems.append(Problem(name, "is not a key of factored" + _near(name, declared)))

    values["key_file"] = folder / values.get("key_file", "factored.key")
    for attribute in ("ticket_secret_file", "logo", "templates_dir"):
        if values.get(attribute) is not None:
            values[attribute] = folder / values[attribute]
    _check_colors(values, problems)
    _check_files(texts, values, problems, require_files)
    _check_together(texts, values, problems)
    if problems:
        raise ConfigurationError([str(problem) for problem in problems])
    return Settings(**values)


def convert_all(
    given: Mapping[str, str], converters: Mapping[str, Callable[[str], Any]]
) -> tuple[dict[str, Any], list[str]]:
    """ini strings of a small section, key -> converter -> (values, problems)"""
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, text in given.items():
        if name in converters:
            _convert(values, name, name, str(text).strip(), converters[name], problems)
        else:
            near = difflib.get_close_matches(name, converters, n=1)
            known = f"did you mean {near[0]}?" if near else f"known are {', '.join(converters)}"
            problems.append(Problem(name, f"is not a key of this section; {known}"))
    return values, [str(problem) for problem in problems]


def _current_names(given: Mapping[str, str], problems: list[Problem]) -> dict[str, str]:
    """The given texts, trimmed, under today's names; two values for one key are a problem."""
    texts: dict[str, str] = {}
    for given_name, given_text in given.items():
        name, text = OLD_NAMES.get(given_name, given_name), str(given_text).strip()
        if texts.setdefault(name, text) != text:
            old = " and ".join(old for old, new in OLD_NAMES.items() if new == name)
            problems.append(Problem(name, f"is set twice, also as {old}, with different values"))
    # 1.0 had no other key for it; since 1.1 there is auth_timeout, which counts where both are set.
    if "auth_tkt.timeout" in texts and "auth_timeout" not in texts:
        texts["auth_timeout"] = texts.pop("auth_tkt.timeout")
    return texts


def _convert(
    values: dict[str, Any],
    attribute: str,
    name: str,
    text: str,
    convert: Callable[[str], Any],
    problems: list[Problem],
    *,
    secret: bool = False,
) -> None:
    """An empty value means the default, as if the line was not there."""
    if not text and name not in ("auth_tkt.secret", "appname"):
        return
    try:
        values[attribute] = convert(text)
    except ValueError as error:
        shown = "" if secret else f"{_shortened(text)!r} "
        problems.append(Problem(name, f"{shown}{error}"))


def _shortened(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."


def _add_on_prefixes(includes: str) -> frozenset[str]:
    """``pyramid_tm`` -> its keys may start with ``tm.`` or ``pyramid_tm.``"""
    packages = {re.split("[.:]", word)[0] for word in includes.split()}
    return frozenset(packages | {package.removeprefix("pyramid_") for package in packages})


def _near(name: str, declared: Iterable[str]) -> str:
    known = [*KEYS, *(f"formtext.{rest}" for rest in FORMTEXTS), *declared, "sqlalchemy.url"]
    match = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {match[0]}?" if match else "; docs/configuration.rst lists them all"


def _check_files(
    texts: Mapping[str, str], values: dict[str, Any], problems: list[Problem], required: bool
) -> None:
    secret_file: Path | None = values.get("ticket_secret_file")
    if ("auth_tkt.secret" in texts) == (secret_file is not None):
        problems.append(
            Problem("auth_tkt.secret", "set exactly one of it and auth_tkt.secret_file")
        )
    if required:
        for name, path in (("key_file", values["key_file"]), ("auth_tkt.secret_file", secret_file)):
            if path is not None and not path.is_file():
                problems.append(Problem(name, f"{path} is not there; `factored init` makes it"))
            elif path is not None and not os.access(path, os.R_OK):
                problems.append(Problem(name, f"{path} cannot be read by this user"))


def _check_colors(values: dict[str, Any], problems: list[Problem]) -> None:
    """A colour that cannot be read is refused; color makes one for dark mode, if there is none."""
    color = values.get("color")
    if color is not None and "color_dark" not in values:
        values["color_dark"] = colors.for_dark(color)
    for name, background in (("color", colors.LIGHT), ("color_dark", colors.DARK)):
        problem = values.get(name) and colors.too_faint(values[name], background)
        if problem:
            problems.append(Problem(name, f"{values[name]!r} {problem}"))


def _check_together(
    texts: Mapping[str, str], values: dict[str, Any], problems: list[Problem]
) -> None:
    """Rules that need more than one key."""

    def value(attribute: str) -> Any:
        return values.get(attribute, DEFAULTS.get(attribute))

    longest = max(value("auth_timeout"), value("auth_remember_timeout"))
    if values.setdefault("auth_absolute_timeout", longest) < longest:
        problems.append(
            Problem(
                "auth_absolute_timeout",
                f"{value('auth_absolute_timeout')} is shorter than the {longest} s that "
                "auth_timeout or auth_remember_timeout give",
            )
        )
    if value("reissue_time") is not None and value("reissue_time") >= value("auth_timeout"):
        problems.append(
            Problem(
                "auth_tkt.reissue_time",
                f"{value('reissue_time')} must be shorter than auth_timeout "
                f"({value('auth_timeout')}), or every ticket ends before it is renewed",
            )
        )
    if value("cookie_samesite") == "None" and not value("cookie_secure"):
        problems.append(
            Problem("auth_tkt.samesite", "'None' needs auth_tkt.secure = true: browsers drop it")
        )
    if value("store") == "SQL" and "sqlalchemy.url" not in values["sqlalchemy"]:
        problems.append(
            Problem("sqlalchemy.url", "is missing; for example sqlite:///%(here)s/factored.sqlite")
        )
    finder = value("autouserfinder")
    if finder == old_keys.LDAP:
        problems.append(Problem("autouserfinder", f"{finder!r} is not in this release"))
    for name, needed in (
        ("SQL", ("connection_string", "table_name", "email_field")),
        ("Email Domain", ("valid_domains",)),
    ):
        if finder == name:
            problems.extend(
                Problem(f"autouserfinder.{rest}", f"is missing; autouserfinder = {name} needs it")
                for rest in needed
                if not texts.get(f"autouserfinder.{rest}")
            )
    mails = "Email" in value("supported_auth_schemes")
    for name, attribute, sent in (
        ("email_auth.body", "email_auth_body", mails),
        ("allowgooglecodereminder.body", "reminder_body", value("reminder")),
    ):
        if sent and "{code}" not in value(attribute):
            problems.append(Problem(name, "has no {code}, so its mails would be of no use"))
    if mails and "{url}" in value("email_auth_body") and value("public_url") is None:
        problems.append(
            Problem("public_url", "is missing; mails with links need it, like https://example.com")
        )


DEFAULTS: Mapping[str, Any] = {
    one.name: one.default for one in fields(Settings) if one.default is not MISSING
}
