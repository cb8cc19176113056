"""Every ini key of the section that uses ``egg:factored#main``.

``docs/configuration.rst`` describes them, and a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from factored.colors import as_color
from factored.converters import (
    as_appname,
    as_base_url,
    as_bool,
    as_cookie_name,
    as_cookie_path,
    as_domain,
    as_exempt_paths,
    as_footer,
    as_help_url,
    as_hosts,
    as_identity_headers,
    as_lines,
    as_public_url,
    as_scheme_names,
    as_secrets,
    as_text,
    as_trusted_proxies,
    one_of,
    whole_number,
)


class Key(NamedTuple):
    """One ini key: the attribute it sets, how its text is read, and the names it had before."""

    attribute: str
    convert: Callable[[str], Any]
    old_names: tuple[str, ...] = ()
    secret: bool = False


YEAR_S = 366 * 86400
SECONDS = whole_number(1, YEAR_S)

KEYS: dict[str, Key] = {
    "appname": Key("appname", as_appname),
    "auth_tkt.secret": Key("ticket_secrets", as_secrets, secret=True),
    "auth_tkt.secret_file": Key("ticket_secret_file", Path),
    "key_file": Key("key_file", Path),
    "auth_tkt.cookie_name": Key("cookie_name", as_cookie_name),
    "auth_tkt.secure": Key("cookie_secure", as_bool),
    "auth_tkt.http_only": Key("cookie_http_only", as_bool),
    "auth_tkt.samesite": Key("cookie_samesite", one_of("Lax", "Strict", "None")),
    "auth_tkt.path": Key("cookie_path", as_cookie_path),
    "auth_tkt.include_ip": Key("include_ip", as_bool),
    "auth_tkt.wild_domain": Key("wild_domain", as_bool),
    "auth_tkt.cookie_domain": Key("cookie_domain", as_domain),
    "auth_tkt.hashalg": Key("hashalg", one_of("sha512", "sha256")),
    "auth_tkt.reissue_time": Key("reissue_time", SECONDS),
    "auth_timeout": Key("auth_timeout", SECONDS),
    "auth_remember_timeout": Key("auth_remember_timeout", SECONDS),
    "auth_absolute_timeout": Key("auth_absolute_timeout", SECONDS),
    "base_auth_url": Key("base_auth_url", as_base_url),
    "supported_auth_schemes": Key("supported_auth_schemes", as_scheme_names),
    "excepted_paths": Key("excepted_paths", as_exempt_paths),
    "public_url": Key("public_url", as_public_url),
    "trusted_proxies": Key("trusted_proxies", as_trusted_proxies),
    "allowed_hosts": Key("allowed_hosts", as_hosts),
    "identity_headers": Key("identity_headers", as_identity_headers),
    "hsts": Key("hsts", as_bool),
    "email_auth_window": Key("email_auth_window", whole_number(1, 600), ("em.auth_window",)),
    "email_auth.subject": Key("email_auth_subject", as_text, ("em.subject",)),
    "email_auth.sender": Key("email_auth_sender", as_text, ("em.sender",)),
    "email_auth.body": Key("email_auth_body", as_text, ("em.body",)),
    "allowgooglecodereminder": Key("reminder", as_bool, ("allowcodereminder",)),
    "allowgooglecodereminder.subject": Key(
        "reminder_subject", as_text, ("allowcodereminder.subject",)
    ),
    "allowgooglecodereminder.sender": Key(
        "reminder_sender", as_text, ("allowcodereminder.sender",)
    ),
    "allowgooglecodereminder.body": Key("reminder_body", as_text, ("allowcodereminder.body",)),
    "autouserfinder": Key("autouserfinder", as_text),
    "autouserfinder.connection_string": Key("finder_connection_string", as_text, secret=True),
    "autouserfinder.table_name": Key("finder_table_name", as_text),
    "autouserfinder.email_field": Key("finder_email_field", as_text),
    "autouserfinder.valid_domains": Key(
        "finder_valid_domains", lambda text: tuple(as_domain(line) for line in as_lines(text))
    ),
    "recovery_codes": Key("recovery_codes", as_bool),
    "hide_banner": Key("hide_banner", as_bool),
    "logo": Key("logo", Path),
    "color": Key("color", as_color),
    "color_dark": Key("color_dark", as_color),
    "footer_text": Key("footer_text", as_footer),
    "help_url": Key("help_url", as_help_url),
    "templates_dir": Key("templates_dir", Path),
    "store": Key("store", as_text),
}

FORMTEXTS = (
    "title",
    "legend",
    "username.label",
    "username.desc",
    "code.label",
    "code.desc",
    "button.username",
    "button.authenticate",
    "button.codereminder",
    "error.wrong",
    "error.expired",
    "error.replayed",
    "error.skewed",
    "error.invalid_username",
    "error.code_reminder",
)
"""The names after ``formtext.``; any other ``formtext.error.*`` is taken, and shown nowhere."""

OLD_NAMES = {old: name for name, key in KEYS.items() for old in key.old_names} | {
    "formtext.error.invalid_code": "formtext.error.wrong"
}
