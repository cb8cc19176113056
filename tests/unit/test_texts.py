"""What the pages say."""

from __future__ import annotations

from factored.ini_keys import FORMTEXTS
from factored.web import texts


def test_every_text_that_an_operator_may_replace_has_words_of_ours() -> None:
    assert set(FORMTEXTS) <= set(texts.TEXTS)
    assert all(name in FORMTEXTS or name.startswith("error.") for name in texts.TEXTS), (
        "a text that formtext.* cannot replace"
    )
