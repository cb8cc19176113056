"""Logo, colours and footer: read, refused, and what is made of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from factored.interfaces import ConfigurationError
from factored.settings import parse
from factored.web.brand import (
    LOGO_TYPES,
    MAX_LOGO_BYTES,
    Brand,
    Shown,
    file_problems,
    make_brand,
    read_logo,
)

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>'
SMALLEST = {
    "auth_tkt.secret": "an-example-secret-never-to-be-used-anywhere",
    "sqlalchemy.url": "sqlite:///factored.sqlite",
}


def brand_of(folder: Path, **given: str) -> Brand:
    return make_brand(parse({**SMALLEST, **given}, here=folder, require_files=False))


def problems_of(folder: Path, **given: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        brand_of(folder, **given)
    return list(caught.value.problems)


def test_a_site_without_looks_of_its_own_shows_nothing(tmp_path: Path) -> None:
    assert brand_of(tmp_path).shown("/auth") == Shown(logo="", stylesheet="", footer="")


# -- the logo --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "content_type"),
    [
        ("logo.svg", SVG, "image/svg+xml"),
        ("logo.SVG", b"\xef\xbb\xbf\n" + SVG, "image/svg+xml"),
        ("logo.svg", b'<?xml version="1.0"?>\n<!-- a > b -->\n' + SVG, "image/svg+xml"),
        (
            "logo.svg",
            b'<!DOCTYPE svg PUBLIC "-//W3C" "x" [<!ENTITY a "b">]>' + SVG,
            "image/svg+xml",
        ),
        ("logo.svg", b'<svg:svg xmlns:svg="x"/>', "image/svg+xml"),
        ("logo.png", b"\x89PNG\r\n\x1a\n...", "image/png"),
        ("logo.webp", b"RIFF\n\0\0\0WEBPVP8 ", "image/webp"),
    ],
)
def test_a_logo_is_svg_png_or_webp(
    name: str, content: bytes, content_type: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    assert read_logo(tmp_path / name) == (content, content_type)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("logo.svg", b"<html><svg></svg></html>"),
        ("logo.svg", b""),
        ("logo.svg", b"<svgfoo>"),
        ("logo.svg", b"<!-- -->" * 500 + b"<html>"),
        ("logo.svg", b"<?x?>" * 5000 + b"<html>"),
        ("logo.png", b"GIF89a"),
        ("logo.png", SVG),
        ("logo.webp", b"RIFF\0\0\0\0WAVE"),
    ],
)
def test_what_is_not_what_its_name_says_is_refused(
    name: str, content: bytes, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    content_type = LOGO_TYPES[Path(name).suffix][0]
    assert problems_of(tmp_path, logo=name) == [
        f"logo: '{tmp_path}/{name}' must be a picture .svg, .png, .webp of at most 256 KiB; "
        f"what is in it is not {content_type}"
    ]


@pytest.mark.parametrize("name", ["logo.gif", "logo", "logo.svg.html", "."])
def test_another_kind_of_file_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "logo.gif").write_bytes(b"GIF89a")
    (problem,) = problems_of(tmp_path, logo=name)
    assert problem.endswith("must be a picture .svg, .png, .webp of at most 256 KiB")


def test_a_logo_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, logo="logo.svg")
    assert problem.endswith("of at most 256 KiB: No such file or directory")


@pytest.mark.parametrize(("more", "fits"), [(-1, True), (0, True), (1, False)])
def test_a_logo_has_at_most_256_kib(more: int, fits: bool, tmp_path: Path) -> None:
    (tmp_path / "logo.svg").write_bytes(SVG.ljust(256 * 1024 + more))
    assert MAX_LOGO_BYTES == 256 * 1024
    if fits:
        assert len(brand_of(tmp_path, logo="logo.svg").logo) == 256 * 1024 + more
    else:
        (problem,) = problems_of(tmp_path, logo="logo.svg")
        assert problem.endswith("; it has 262145 bytes")


def test_another_logo_has_another_url(tmp_path: Path) -> None:
    urls = set()
    for content in (SVG, SVG + b"\n", SVG):
        (tmp_path / "logo.svg").write_bytes(content)
        urls.add(brand_of(tmp_path, logo="logo.svg").shown("/mount/auth").logo)
    assert len(urls) == 2
    assert all(re.fullmatch(r"/mount/auth/brand/logo\?[0-9a-f]{12}", url) for url in urls)


# -- colours and footer ----------------------------------------------------------------------------


def test_a_colour_is_set_for_both_modes(tmp_path: Path) -> None:
    css = brand_of(tmp_path, color="#7A1F5C", color_dark="#fc9").css
    assert css == (
        ":root { --accent: #7a1f5c; --accent-text: #ffffff; }\n"
        "@media (prefers-color-scheme: dark) {\n"
        "  :root { --accent: #ffcc99; --accent-text: #101418; }\n"
        "}\n"
    )


def test_the_colour_of_dark_mode_is_made_of_the_other(tmp_path: Path) -> None:
    colors = re.findall(r"--accent: (#\w+)", brand_of(tmp_path, color="#7a1f5c").css)
    assert colors[0] == "#7a1f5c"
    assert colors[1] > "#a"


def test_a_colour_for_dark_mode_alone_leaves_light_mode_as_it_is(tmp_path: Path) -> None:
    css = brand_of(tmp_path, color_dark="#fc9").css
    assert css.startswith("@media (prefers-color-scheme: dark)")
    assert css.count(":root") == 1


def test_colours_that_cannot_be_read_are_refused_both_at_once(tmp_path: Path) -> None:
    assert problems_of(tmp_path, color="#fc0", color_dark="#321") == [
        "color: '#ffcc00' has a contrast of 1.49:1 with the card (#fffefb); at least 4.5:1 is "
        "needed to be read",
        "color_dark: '#332211' has a contrast of 1.11:1 with the card (#161e1b); at least 4.5:1 "
        "is needed to be read",
    ]


def test_a_footer_is_one_line_of_plain_text(tmp_path: Path) -> None:
    shown = brand_of(tmp_path, footer_text="Lost?\n  Ask <us>\t& them.").shown("/auth")
    assert shown.footer == "Lost? Ask <us> & them."


@pytest.mark.parametrize(
    ("text", "taken"), [("x" * 299, True), ("x" * 300, True), ("x" * 301, False), ("a\0b", False)]
)
def test_a_footer_is_short_and_printable(text: str, taken: bool, tmp_path: Path) -> None:
    if taken:
        assert brand_of(tmp_path, footer_text=text).footer == text
    else:
        (problem,) = problems_of(tmp_path, footer_text=text)
        assert problem.endswith("must be at most 300 printable characters of plain text")


# -- together --------------------------------------------------------------------------------------


def test_the_problems_of_all_files_are_found_without_settings(tmp_path: Path) -> None:
    (tmp_path / "looks").mkdir()
    (tmp_path / "looks/nonsense.pt").write_text("")
    given = {"logo": "logo.gif", "templates_dir": " looks ", "color": "nonsense"}
    keys = [problem.partition(":")[0] for problem in file_problems(given, tmp_path)]
    assert keys == ["logo", "templates_dir"]


def test_keys_that_are_empty_or_not_there_name_no_file(tmp_path: Path) -> None:
    assert file_problems({"logo": "", "templates_dir": " "}, tmp_path) == []
    assert file_problems({}, None) == []
