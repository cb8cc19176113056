"""Words in the language of who reads them: gettext catalogues, and which of them a request wants.

Text is marked where it stands, ``_("Wait ${wait}.", mapping={"wait": ...})``, and turned into a
language where it is shown, ``words(text)``. What an operator wrote is plain and stays as it is.
"""

from __future__ import annotations

import gettext
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from translationstring import TranslationString, TranslationStringFactory

DOMAIN = "factored"
LOCALE_DIR = Path(__file__).parent / "locale"

LANGUAGES: Mapping[str, str] = {
    "en": "English",
    "de": "Deutsch",
    "nl": "Nederlands",
    "fr": "Français",
    "es": "Español",
    "ar": "العربية",
}
"""Code of every language that there is a catalogue of -> its own name, in the order shown."""

RIGHT_TO_LEFT = frozenset({"ar", "fa", "he", "ur"})

MAX_HEADER = 1000
"""Characters of Accept-Language that are looked at; browsers send some dozens."""
REMEMBERED = 256
"""Accept-Language headers whose answer is remembered; forgotten when there are more."""

PLACEHOLDER = re.compile(r"\$\{(\w+)\}")
MAX_CODE = 35
"""Characters of a language's code (RFC 5646 section 4.4.1)."""

RANGE = re.compile(r"([a-z]{1,8}(?:-[a-z0-9]{1,8})*|\*)(?:;q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?))?")
"""One language range of Accept-Language with its weight (RFC 9110 sections 12.4.2 and 12.5.4)."""

_ = TranslationStringFactory(DOMAIN)


class Words:
    """One language: ``text -> text in it``.

    :param language: code, for the ``lang`` of a page
    """

    def __init__(self, language: str, catalogue: gettext.NullTranslations) -> None:
        self.language = language
        self.direction = "rtl" if language.partition("-")[0] in RIGHT_TO_LEFT else "ltr"
        self._catalogue = catalogue

    def __call__(self, text: str) -> str:
        """text -> marked text in this language and filled in; any other text as it is

        Text marked for another domain, by a plug-in, is filled in only.
        """
        if not isinstance(text, TranslationString):
            return text
        found = self._catalogue.gettext(str(text)) if text.domain == DOMAIN else text.default
        return self._filled(found or str(text), text.mapping)

    def count(self, singular: str, plural: str, number: int) -> str:
        """two forms with ``${number}``, number -> the form that this language has for it, filled"""
        text = self._catalogue.ngettext(singular, plural, number)
        return self._filled(text, {"number": number})

    def translate(
        self,
        msgid: Any,
        domain: str | None = None,
        mapping: Mapping[str, Any] | None = None,
        context: str | None = None,
        target_language: str | None = None,
        default: str | None = None,
    ) -> str:
        """what a template shows -> the same in this language; as Chameleon wants it

        Only marked text, and text of templates that are of our domain, is looked up.
        """
        if isinstance(msgid, TranslationString):
            return self(msgid)
        text = str(msgid if default is None else default)
        if domain == DOMAIN and default is not None and msgid:
            found = self._catalogue.gettext(str(msgid))
            text = text if found == msgid else found
        return self._filled(text, mapping)

    def _filled(self, text: str, mapping: Mapping[str, Any] | None) -> str:
        """Once, from left to right: what is filled in may hold anything, ``${...}`` too."""

        def value(match: re.Match[str]) -> str:
            found = (mapping or {}).get(match[1], match[0])
            return self(found) if isinstance(found, str) else str(found)

        return PLACEHOLDER.sub(value, text)


ENGLISH = Words("en", gettext.NullTranslations())
"""The words as they stand in the sources: for commands, logs, and who has no other."""


class Languages:
    """The languages that pages and mails can be in.

    :param default: code of the one for requests that ask for none that is there; a code of none
        means the first
    """

    def __init__(self, words: Iterable[Words], default: str = "en") -> None:
        self._words = {one.language.lower(): one for one in words}
        self.default = self.named(default) or next(iter(self._words.values()))
        self._accepted: dict[str, Words] = {}

    def named(self, code: str) -> Words | None:
        """``de``, ``de-AT`` or ``de_AT``, whatever was sent -> Words, or None: not one of them

        Source: RFC 4647 section 3.4 (lookup).
        """
        if len(code) > MAX_CODE:
            return None
        parts = code.lower().replace("_", "-").split("-")
        tries = ("-".join(parts[:end]) for end in range(len(parts), 0, -1))
        return next((self._words[one] for one in tries if one in self._words), None)

    def accepted(self, header: str) -> Words:
        """Accept-Language, whatever was sent -> the Words it likes best, else the default"""
        header = header[:MAX_HEADER]
        found = self._accepted.get(header)
        if found is None:
            found = self._best(header)
            if len(self._accepted) >= REMEMBERED:
                self._accepted = {}
            self._accepted[header] = found
        return found

    def _best(self, header: str) -> Words:
        wanted = []
        for item in header.lower().split(","):
            match = RANGE.fullmatch("".join(item.split()))
            weight = float(match[2] or 1) if match else 0
            if match and weight:
                wanted.append((-weight, match[1]))
        for _weight, code in sorted(wanted, key=lambda one: one[0]):
            words = self.default if code == "*" else self.named(code)
            if words is not None:
                return words
        return self.default


def load(default: str = "en") -> Languages:
    """code of the language for who asks for none -> all Languages, read from their catalogues

    A code of none of them means English: Pyramid's setting may be there for an add-on.
    """
    return Languages((Words(code, _catalogue(code)) for code in LANGUAGES), default)


def _catalogue(code: str) -> gettext.NullTranslations:
    with (LOCALE_DIR / code.replace("-", "_") / "LC_MESSAGES" / f"{DOMAIN}.mo").open("rb") as file:
        return gettext.GNUTranslations(file)
