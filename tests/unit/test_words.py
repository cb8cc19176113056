"""Languages: the catalogues in the package, what fills a text, and which language is chosen."""

from __future__ import annotations

import gettext
import re
from collections.abc import Iterable
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import polib
import pytest
from chameleon import PageTemplate
from hypothesis import given
from hypothesis import strategies as st
from translationstring import TranslationStringFactory

from factored import durations, words
from factored.words import DOMAIN, ENGLISH, LANGUAGES, LOCALE_DIR, Words, _
from tests import catalogues

every_language = pytest.mark.parametrize("code", LANGUAGES)
FOUND = catalogues.messages()
HELD_BACK = re.compile(r"\$?\{\w+\}")

MAY_STAY = {
    "Google Auth", "Code", "Continue", "E-mail", "Name", "Account", "${number} minute",
    "${number} minutes",
}  # fmt: skip
"""Words that are the same in another language too."""


def entries(code: str) -> polib.POFile:
    return polib.pofile(str(catalogues.po_file(code)))


def texts_of(entry: polib.POEntry) -> list[str]:
    return list(entry.msgstr_plural.values()) if entry.msgid_plural else [entry.msgstr]


def placeholders(text: str) -> list[str]:
    return sorted(HELD_BACK.findall(text))


# -- the catalogues ------------------------------------------------------------------------------


def test_there_is_a_folder_for_every_language_and_no_other() -> None:
    folders = {path.name for path in LOCALE_DIR.iterdir() if path.is_dir()}
    assert folders == {code.replace("-", "_") for code in LANGUAGES}
    assert set(catalogues.PLURALS) == set(LANGUAGES)


@every_language
def test_every_message_of_the_sources_is_in_the_catalogue_and_no_other(code: str) -> None:
    assert [(one.msgid, one.msgid_plural) for one in entries(code)] == [
        (one.text, one.plural) for one in FOUND.values()
    ], "run make locale"


@every_language
def test_every_message_is_translated_and_sure(code: str) -> None:
    for entry in entries(code):
        assert all(text.strip() for text in texts_of(entry)), entry.msgid
        assert not entry.fuzzy, entry.msgid
        assert not entry.obsolete, entry.msgid


@every_language
def test_a_translation_is_not_the_english_text_left_there(code: str) -> None:
    if code != "en":
        same = {one.msgid for one in entries(code) if one.msgid in texts_of(one)}
        assert same <= MAY_STAY


@every_language
def test_a_translation_has_the_placeholders_of_its_message(code: str) -> None:
    plural = gettext.c2py(re.search(r"plural=(.*);", catalogues.PLURALS[code])[1])  # type: ignore[attr-defined,index]
    for entry in entries(code):
        for form, text in enumerate(texts_of(entry)):
            numbers = [number for number in range(1000) if plural(number) == form]
            if not entry.msgid_plural or len(numbers) > 1 or placeholders(text):
                assert placeholders(text) == placeholders(entry.msgid), text


@every_language
def test_a_translation_stands_in_a_page_as_it_is(code: str) -> None:
    for entry in entries(code):
        for text in texts_of(entry):
            assert not set('<>&"') & set(text), text
            assert text.endswith("\n") == entry.msgid.endswith("\n"), text
            assert text == text.strip(" "), text


@every_language
def test_the_compiled_catalogue_is_what_its_text_says(code: str) -> None:
    file = catalogues.po_file(code)
    assert file.with_suffix(".mo").read_bytes() == entries(code).to_binary(), "run make locale"


@every_language
def test_making_the_catalogues_again_changes_nothing(code: str, tmp_path: Path) -> None:
    old = catalogues.po_file(code)
    catalogues.catalogue(code, FOUND, entries(code)).save(str(tmp_path / "new.po"))
    assert (tmp_path / "new.po").read_text() == old.read_text()
    assert "Date" not in old.read_text()


def test_the_template_for_new_languages_is_up_to_date(tmp_path: Path) -> None:
    catalogues.catalogue("", FOUND, polib.POFile()).save(str(tmp_path / "new.pot"))
    assert (tmp_path / "new.pot").read_text() == (LOCALE_DIR / f"{DOMAIN}.pot").read_text()


def test_messages_of_sources_and_templates_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        'x = _("One ${a} "\n  "two", mapping={"a": f(1 - 2)})\n_(name)\nw.count("${number} a", '
        '"${number} b", n)\nnames.count("no")\n_("One")\n'
    )
    (tmp_path / "b.pt").write_text(
        '<p i18n:domain="factored"><b i18n:translate="">Three\n  <i i18n:name="a">${a}</i>.</b>'
        '<img alt="Four" i18n:attributes="alt"><b i18n:translate="">One</b>Not this</p>'
    )
    found = catalogues.messages(tmp_path)
    assert {one.text: one.plural for one in found.values()} == {
        "One ${a} two": "",
        "${number} a": "${number} b",
        "One": "",
        "Four": "",
        "Three ${a}.": "",
    }
    assert [name.rpartition("/")[2] for name in found["One"].files] == ["a.py", "b.pt"]


def test_new_messages_come_without_translation_and_old_ones_go() -> None:
    old = polib.POFile()
    old.append(polib.POEntry(msgid="kept", msgstr="behalten", tcomment="why"))
    old.append(polib.POEntry(msgid="gone", msgstr="weg"))
    found = {text: catalogues.Message(text, files=["x.py"]) for text in ("new", "kept")}
    made = catalogues.catalogue("de", found, old)
    assert [(one.msgid, one.msgstr, one.tcomment) for one in made] == [
        ("new", "", ""),
        ("kept", "behalten", "why"),
    ]


# -- one language ----------------------------------------------------------------------------------


class Shouting(gettext.NullTranslations):
    def gettext(self, message: str) -> str:
        return message.upper().replace("${NAME}", "${name}")


LOUD = Words("xx", Shouting())


def test_marked_text_is_translated_and_any_other_left_alone() -> None:
    assert LOUD(_("a text")) == "A TEXT"
    assert LOUD("a text") == "a text"
    assert LOUD("") == ""


def test_what_is_filled_in_is_not_looked_into_again() -> None:
    text = _("hello ${name}, ${other}", mapping={"name": "${name} $name", "number": 3})
    assert ENGLISH(text) == "hello ${name} $name, ${other}"
    assert ENGLISH(_("${number}", mapping={"number": 3})) == "3"


def test_marked_text_filled_into_marked_text_is_translated_too() -> None:
    assert LOUD(_("hello ${name}", mapping={"name": _("you")})) == "HELLO YOU"


def test_text_of_another_domain_is_filled_in_and_not_translated() -> None:
    other = TranslationStringFactory("plugin")
    assert LOUD(other("a ${name}", mapping={"name": "b"})) == "a b"
    assert LOUD(other("an-id", default="a ${name}", mapping={"name": "b"})) == "a b"


def test_a_template_gets_its_words_and_what_it_is_handed_in_that_language() -> None:
    template = PageTemplate(
        '<html i18n:domain="factored"><p i18n:translate="">this is <b i18n:name="name">${name}</b>'
        '</p><img alt="an image" i18n:attributes="alt"/><a>${marked}</a><a>${plain}</a></html>',
        strict=True,
    )
    shown = template(
        translate=LOUD.translate, name="<x>", marked=_("see ${name}", mapping={"name": "<y>"}),
        plain="as it is",
    )  # fmt: skip
    assert shown == (
        '<html><p>THIS IS <b>&lt;x&gt;</b></p><img alt="AN IMAGE"/><a>SEE &lt;y&gt;</a>'
        "<a>as it is</a></html>"
    )


def test_text_of_a_template_of_another_domain_stays() -> None:
    assert LOUD.translate("id", domain="plugin", default="text") == "text"
    assert LOUD.translate("text", domain=DOMAIN, default="text") == "TEXT"
    assert LOUD.translate("", domain=DOMAIN, default="") == ""
    assert LOUD.translate(12) == "12"


@pytest.mark.parametrize(
    ("code", "direction"), [("en", "ltr"), ("de", "ltr"), ("ar", "rtl"), ("fa-IR", "rtl")]
)
def test_a_language_knows_its_direction(code: str, direction: str) -> None:
    assert Words(code, gettext.NullTranslations()).direction == direction


# -- numbers ---------------------------------------------------------------------------------------

DAY = 86400


@pytest.mark.parametrize(
    ("code", "days"),
    [
        ("en", ["1 day", "2 days", "3 days", "11 days", "100 days"]),
        ("de", ["1 Tag", "2 Tage", "3 Tage", "11 Tage", "100 Tage"]),
        ("nl", ["1 dag", "2 dagen", "3 dagen", "11 dagen", "100 dagen"]),
        ("fr", ["1 jour", "2 jours", "3 jours", "11 jours", "100 jours"]),
        ("es", ["1 día", "2 días", "3 días", "11 días", "100 días"]),
        ("ar", ["يوم واحد", "يومان", "3 أيام", "11 يومًا", "100 يوم"]),
    ],
)
def test_durations_have_the_plurals_of_their_language(code: str, days: list[str]) -> None:
    language = words.load().named(code)
    assert language is not None
    numbers = (1, 2, 3, 11, 100)
    assert [durations.period(number * DAY, language) for number in numbers] == days
    assert [durations.wait(number * DAY, language) for number in numbers] == days


@every_language
def test_no_two_units_are_told_alike(code: str) -> None:
    language = words.load().named(code)
    assert language is not None
    for seconds in (0, 1, 2, 5, 12):
        told = {durations.wait(seconds * unit or seconds, language) for unit in durations.UNITS}
        assert len(told) == (len(durations.UNITS) if seconds else 1)


# -- which language --------------------------------------------------------------------------------

ALL = words.load()


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT", "de"),
        ("DE-at", "de"),
        ("de-AT-1996", "de"),
        ("de;q=0.8, fr;q=0.9", "fr"),
        ("fr;q=0.9,de", "de"),
        ("fr , de", "fr"),
        ("es;q=0.5, nl;q=0.5", "es"),
        ("de;q=0, ar", "ar"),
        ("de;q=0.000", "en"),
        ("de; q=0.3 , nl ; q=0.4", "nl"),
        ("xx, de;q=0.1", "de"),
        ("xx", "en"),
        ("*", "en"),
        ("*;q=0.5, nl;q=0.1", "en"),
        ("nl;q=1.000, de;q=0.999", "nl"),
        ("dex, en-GB", "en"),
        ("de;q=2, nl;q=0.1", "nl"),
        ("de;q=x, nl;q=0.1", "nl"),
        ("de;q=0.1234, nl;q=0.1", "nl"),
        (",,;;q=,de", "de"),
        ("\xff\x00<script>, fr", "fr"),
        ("xx," * 400 + "de", "en"),
        ("d" * 100_000, "en"),
    ],
)
def test_the_browsers_wish_is_followed(header: str, code: str) -> None:
    assert ALL.accepted(header).language == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("de", "de"),
        ("DE", "de"),
        ("de_AT", "de"),
        ("de-AT", "de"),
        ("", None),
        ("x", None),
        ("../de", None),
        ("de/..", None),
        ("de\0", None),
        ("d" * 10_000, None),
        ("de" + "-x" * 5000, None),
    ],
)
def test_a_code_names_one_of_ours_or_none(text: str, code: str | None) -> None:
    found = ALL.named(text)
    assert (found and found.language) == code


@pytest.mark.parametrize(
    ("default", "code"), [("de", "de"), ("de_AT", "de"), ("tlh", "en"), ("", "en"), ("\0", "en")]
)
def test_who_asks_for_nothing_gets_the_default(default: str, code: str) -> None:
    made = words.load(default)
    assert made.default.language == code
    assert made.accepted("tlh").language == code
    assert made.accepted("nl").language == "nl"


@given(st.text())
def test_any_header_and_any_code_are_answered_by_a_language(text: str) -> None:
    assert ALL.accepted(text).language in LANGUAGES
    found = ALL.named(text)
    assert found is None or found.language in LANGUAGES


ITEM = st.tuples(
    st.sampled_from([*LANGUAGES, "de-AT", "xx", "*"]), st.integers(0, 1000).map(lambda q: q / 1000)
)


@given(st.lists(ITEM, max_size=20))
def test_nobody_gets_a_language_that_is_liked_less_than_another(
    items: list[tuple[str, float]],
) -> None:
    header = ", ".join(f"{code};q={weight:.3f}" for code, weight in items)
    got = ALL.accepted(header).language
    weights = {
        code: max((q for one, q in items if covers(one, code)), default=0) for code in LANGUAGES
    }
    assert weights[got] == max(weights.values())


def covers(item: str, code: str) -> bool:
    return item.partition("-")[0] == code or (item == "*" and code == "en")


def test_names_of_the_languages_are_their_own_and_all_different() -> None:
    own: Iterable[str] = sorted(LANGUAGES.values())
    assert all(one != other for one, other in pairwise(own))
    assert next(iter(LANGUAGES)) == "en"


def test_a_catalogue_can_be_read_by_gettext_itself() -> None:
    data = entries("de").to_binary()
    assert gettext.GNUTranslations(BytesIO(data)).gettext("Back") == "Zurück"
