"""User names: which are taken, and the one key that finds them in every spelling."""

from __future__ import annotations

import re
import unicodedata

from factored.words import ENGLISH, _

MAX_LENGTH = 254
"""Characters of the name, and of its key: the longest address of mail (RFC 5321 4.5.3.1.3)."""

ADDRESS = re.compile(
    r"[A-Za-z0-9#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9#$%&'*+/=?^_`{|}~-]+)*"
    r"@[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*"
)
"""One address, no comment, quotes or route: the dot-atom of RFC 5322 section 3.4.1, no ``!``."""


INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""What Unicode calls letters and marks, and nobody sees (DerivedCoreProperties.txt,
Default_Ignorable_Code_Point, without those that are of category C)."""


class BadName(ValueError):
    """The text cannot be a user name; the message says why, for people.

    :param text: the same for pages, which have it in the visitor's language
    """

    def __init__(self, text: str) -> None:
        super().__init__(ENGLISH(text))
        self.text = text


def check(text: str) -> str:
    """what was typed -> the name to store, trimmed and in NFC

    :raises BadName: empty, too long, with characters that do not show or that mean something to a
        ticket (``!``), or with an ``@`` without being one plain e-mail address
    Source: PROMISES 18; RFC 8265 section 3.3 refuses the same classes of characters.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadName(_("The user name has characters that are not text.")) from None
    if INVISIBLE.search(text) or any(unicodedata.category(char)[0] == "C" for char in text):
        raise BadName(_("The user name must not have control or invisible characters."))
    name = unicodedata.normalize("NFC", text.strip())
    if not name:
        raise BadName(_("The user name must not be empty."))
    if len(name) > MAX_LENGTH or len(key(name)) > MAX_LENGTH:
        raise BadName(
            _(
                "The user name must not be longer than ${number} characters.",
                mapping={"number": MAX_LENGTH},
            )
        )
    if any(unicodedata.category(char)[0] == "Z" and char != " " for char in name):
        raise BadName(_("The user name must not have special spaces or line ends."))
    if "!" in name:
        raise BadName(_("The user name must not have an exclamation mark."))
    if any("@" in unicodedata.normalize("NFKC", char) for char in name) and not (
        ADDRESS.fullmatch(text.strip())
    ):
        raise BadName(_("A user name with @ must be one plain e-mail address."))
    return name


def key(name: str) -> str:
    """a name that :func:`check` passed -> its canonical key: trimmed, case-folded, NFC

    The one function that decides whether two spellings are one user: for look-up and throttle.
    Source: Unicode Standard section 3.13, D145 (canonical caseless matching).
    """
    folded = unicodedata.normalize("NFD", name.strip()).casefold()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", folded).casefold())
