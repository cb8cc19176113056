"""The catalogues of factored/locale, made anew from the sources: ``make locale``.

Nothing in them changes unless a message does: no dates, no line numbers.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import polib
from babel.messages.extract import extract_python
from lingua.extractors.xml import ChameleonExtractor

from factored.words import DOMAIN, LANGUAGES, LOCALE_DIR

PACKAGE = LOCALE_DIR.parent
KEYWORDS = {"_": None, "count": (1, 2)}
SOURCE = "en"

PLURALS = {
    "en": "nplurals=2; plural=(n != 1);",
    "de": "nplurals=2; plural=(n != 1);",
    "nl": "nplurals=2; plural=(n != 1);",
    "fr": "nplurals=2; plural=(n > 1);",
    "es": "nplurals=2; plural=(n != 1);",
    "ar": (
        "nplurals=6; plural=(n==0 ? 0 : n==1 ? 1 : n==2 ? 2 : n%100>=3 && n%100<=10 ? 3 : "
        "n%100>=11 ? 4 : 5);"
    ),
}
"""Source: GNU gettext manual, "Plural forms"; Unicode CLDR for Arabic."""


@dataclass
class Message:
    """One text of the sources."""

    text: str
    plural: str = ""
    files: list[str] = field(default_factory=list)


def po_file(code: str) -> Path:
    return LOCALE_DIR / code.replace("-", "_") / "LC_MESSAGES" / f"{DOMAIN}.po"


def messages(package: Path = PACKAGE) -> dict[str, Message]:
    """folder of sources -> every message in them, by its text, file by file"""
    found: dict[str, Message] = {}
    for path in sorted([*package.rglob("*.py"), *package.rglob("*.pt")]):
        for text, plural in _of_python(path) if path.suffix == ".py" else _of_template(path):
            message = found.setdefault(text, Message(text))
            message.plural = message.plural or plural
            name = f"{package.name}/{path.relative_to(package).as_posix()}"
            if name not in message.files:
                message.files.append(name)
    return found


def _of_python(path: Path) -> Iterator[tuple[str, str]]:
    with path.open("rb") as file:
        for _line, function, found, _comments in extract_python(
            file, list(KEYWORDS), [], {"encoding": "utf-8"}
        ):
            texts = found if isinstance(found, (list, tuple)) else [found]
            if function == "count":
                if len(texts) > 1 and all(isinstance(one, str) for one in texts[:2]):
                    yield texts[0], texts[1]
            elif texts and isinstance(texts[0], str) and texts[0]:
                yield texts[0], ""


def _of_template(path: Path) -> Iterator[tuple[str, str]]:
    options = Namespace(domain=DOMAIN, comment_tag=None, keywords=[])
    with path.open("rb") as file:
        for message in ChameleonExtractor()(str(path), options, file):
            yield message.msgid, ""


def catalogue(code: str, found: dict[str, Message], old: polib.POFile) -> polib.POFile:
    """language ("" for the pot), messages, catalogue of before -> the new one

    English says what the sources say; in others, new messages have no translation yet.
    """
    made = polib.POFile(wrapwidth=96)
    made.metadata = {
        "Project-Id-Version": "factored",
        "MIME-Version": "1.0",
        "Content-Type": "text/plain; charset=UTF-8",
        "Content-Transfer-Encoding": "8bit",
    }
    if code:
        made.metadata |= {"Language": code, "Plural-Forms": PLURALS[code]}
    known = {entry.msgid: entry for entry in old if not entry.obsolete}
    for message in found.values():
        entry = polib.POEntry(
            msgid=message.text, occurrences=[(name, "") for name in message.files]
        )
        before = known.get(message.text)
        if message.plural:
            entry.msgid_plural = message.plural
            if code == SOURCE:
                entry.msgstr_plural = {0: message.text, 1: message.plural}
            elif code and before and before.msgid_plural == message.plural:
                entry.msgstr_plural = before.msgstr_plural
            else:
                forms = int(PLURALS[code or SOURCE].partition("=")[2].partition(";")[0])
                entry.msgstr_plural = dict.fromkeys(range(forms), "")
        elif code == SOURCE:
            entry.msgstr = message.text
        elif code and before:
            entry.msgstr, entry.flags = before.msgstr, before.flags
            entry.tcomment = before.tcomment
        made.append(entry)
    return made


def main() -> None:
    """-> None; the template, every catalogue and its compiled form are written"""
    found = messages()
    catalogue("", found, polib.POFile()).save(str(LOCALE_DIR / f"{DOMAIN}.pot"))
    for code in LANGUAGES:
        path = po_file(code)
        path.parent.mkdir(parents=True, exist_ok=True)
        old = polib.pofile(str(path)) if path.exists() else polib.POFile()
        made = catalogue(code, found, old)
        made.save(str(path))
        made.save_as_mofile(str(path.with_suffix(".mo")))


if __name__ == "__main__":
    main()
