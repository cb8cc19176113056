"""Colours: read, compared, made lighter."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import factored
from factored import colors


@pytest.mark.parametrize(
    ("text", "color"),
    [("#15b", "#1155bb"), ("#1F5fbF", "#1f5fbf"), ("#000", "#000000"), ("#ffffff", "#ffffff")],
)
def test_a_colour_has_three_or_six_digits(text: str, color: str) -> None:
    assert colors.as_color(text) == color


@pytest.mark.parametrize(
    "text",
    ["", "red", "1f5fbf", "#1f5fb", "#12", "#1f5fbf80", "#1f5fbg", "#15b;}", "#١٢٣", "#15b\n"],
)
def test_anything_else_is_no_colour(text: str) -> None:
    with pytest.raises(ValueError, match="like #1f5fbf or #15b"):
        colors.as_color(text)


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        ("#000000", "#ffffff", 21.0),
        ("#ffffff", "#000000", 21.0),
        ("#777777", "#ffffff", 4.48),
        ("#767676", "#ffffff", 4.54),
        ("#0000ff", "#ffffff", 8.59),
        ("#ff0000", "#ffffff", 4.00),
        ("#123456", "#123456", 1.0),
    ],
)
def test_contrast_is_that_of_the_standard(one: str, other: str, ratio: float) -> None:
    """The numbers are those that contrast checkers of others show."""
    assert colors.contrast(one, other) == pytest.approx(ratio, abs=0.005)


@pytest.mark.parametrize(
    ("color", "readable"), [("#767676", True), ("#777777", False), ("#ffcc00", False)]
)
def test_4_5_to_1_is_enough_and_less_is_not(color: str, readable: bool) -> None:
    assert (colors.too_faint(color, {"card": "#ffffff"}) == "") is readable


def test_the_sentence_has_the_ratio_that_was_found_and_the_one_that_is_needed() -> None:
    assert colors.too_faint("#777777", {"card": "#ffffff"}) == (
        "has a contrast of 4.47:1 with the card (#ffffff); at least 4.5:1 is needed to be read"
    )


def test_what_only_the_card_can_bear_is_refused_for_the_page_around_it() -> None:
    assert "with the page (#f3f1ea)" in colors.too_faint("#767676", colors.LIGHT)


@pytest.mark.parametrize(
    "color", ["#000000", "#0000ff", "#7a1f5c", "#1f5fbf", "#5b0000", "#123456"]
)
def test_every_colour_of_light_mode_has_one_for_dark_mode(color: str) -> None:
    assert colors.too_faint(color, colors.DARK)
    lighter = colors.for_dark(color)
    assert not colors.too_faint(lighter, colors.DARK)
    assert colors.contrast(lighter, colors.DARK["card"]) < 6.5, "lighter than it takes"


def test_a_colour_that_is_light_enough_stays_as_it_is() -> None:
    assert colors.for_dark("#86b4ff") == "#86b4ff"


@pytest.mark.parametrize(("color", "text"), [("#1f5fbf", "#ffffff"), ("#86b4ff", "#101418")])
def test_text_on_a_colour_is_white_or_near_black(color: str, text: str) -> None:
    assert colors.text_on(color) == text


DARK_MODE = "prefers-color-scheme: dark"
CSS = (Path(factored.__file__).parent / "web/static/style.css").read_text("utf-8")


def declared(css: str) -> dict[str, list[dict[str, str]]]:
    """stylesheet -> colours that ``:root`` is given on screens: in every mode, and in dark mode"""
    found: dict[str, list[dict[str, str]]] = {"": [], DARK_MODE: []}
    medium = r"@media ([^{]+?) *\{((?:[^{}]*\{[^{}]*\})*\s*)\}"
    blocks = [*re.findall(medium, css), ("", re.sub(medium, "", css))]
    for media, block in blocks:
        if media == "print":
            continue
        for rule in re.findall(r":root *\{([^{}]*)\}", block):
            given = dict(re.findall(r"--(card|page): *([^;]+);", rule))
            if given:
                found.setdefault(media.strip("()"), []).append(given)
    return found


def test_the_colours_that_are_compared_with_are_those_of_our_stylesheet() -> None:
    assert declared(CSS) == {"": [colors.LIGHT], DARK_MODE: [colors.DARK]}


def test_the_look_at_the_stylesheet_sees_every_mode() -> None:
    assert declared(
        ":root { --a: 1; --card: #fff; --page: #eee; }\n@media (prefers-contrast: more) {\n"
        "  a { b: c; }\n  :root { --card: #ddd; }\n}\n@media print { :root { --card: #ccc; } }\n"
        f"@media ({DARK_MODE}) {{ :root {{ --page: #000; }} }}\n:root {{ --page: #123; }}"
    ) == {
        "": [{"card": "#fff", "page": "#eee"}, {"page": "#123"}],
        "prefers-contrast: more": [{"card": "#ddd"}],
        DARK_MODE: [{"page": "#000"}],
    }
