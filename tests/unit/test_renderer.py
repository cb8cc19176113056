"""Templates of a site, of add-ons and of ours: which one is taken, and which are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from factored.interfaces import ConfigurationError
from factored.web.renderer import OURS, Pages

SMALL = {
    "layout.pt": (
        '<html><i metal:define-slot="content"/>|<a metal:use-macro="load: footer.pt"/></html>'
    ),
    "footer.pt": "<b>our footer</b>",
    "message.pt": (
        '<x metal:use-macro="load: layout.pt"><i metal:fill-slot="content">${text}</i></x>'
    ),
}
"""Templates that stand for ours: a page, its layout, and a part of that."""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def made(folder: str, **files: str | bytes) -> Path:
        for name, text in files.items():
            path = tmp_path / folder / f"{name.replace('__', '/').replace('_', '-')}.pt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path / folder

    return made


@pytest.fixture
def ours(write: Write) -> Path:
    return write("ours", **{name.removesuffix(".pt"): text for name, text in SMALL.items()})


def shown(pages: Pages) -> str:
    return pages.render("message", text="Hello")


def problems_of(folder: Path, ours: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        Pages(folder, ours=ours)
    return list(caught.value.problems)


def test_without_others_the_templates_are_ours(ours: Path) -> None:
    assert shown(Pages(ours=ours)) == "<html><i>Hello</i>|<b>our footer</b></html>"


def test_a_template_of_the_site_takes_the_place_of_ours_wherever_it_is_loaded(
    ours: Path, write: Write
) -> None:
    """Here our layout loads it, which stands in a folder with one of that name."""
    site = write("site", deep__down__footer="<b>the site's</b>")
    assert shown(Pages(site, ours=ours)) == "<html><i>Hello</i>|<b>the site's</b></html>"


def test_a_page_and_a_layout_of_the_site_are_taken_too(ours: Path, write: Write) -> None:
    site = write("site", message="<p>${text} there</p>")
    assert shown(Pages(site, ours=ours)) == "<p>Hello there</p>"
    site = write("other", layout='<main metal:define-slot="content"/>')
    assert shown(Pages(site, ours=ours)) == "<i>Hello</i>"


def test_ours_can_be_wrapped(ours: Path, write: Write) -> None:
    site = write(
        "site",
        footer='<a/><x metal:use-macro="load: factored:footer.pt"/>',
        layout=(
            '<x metal:use-macro="load: factored:layout.pt"><u metal:fill-slot="content">'
            '<i metal:define-slot="content"/></u></x>'
        ),
    )
    assert shown(Pages(site, ours=ours)) == (
        "<html><u><i>Hello</i></u>|<a/><b>our footer</b></html>"
    )


def test_a_template_of_an_add_on_does_not_find_its_neighbours_first(
    ours: Path, write: Write
) -> None:
    pages = Pages(write("site", footer="<b>the site's</b>"), ours=ours)
    add_on = write(
        "add-on",
        footer="<b>the add-on's</b>",
        message='<p metal:define-macro="all">${text}<x metal:use-macro="load: footer.pt"/></p>',
    )
    assert pages.customize(add_on) == []
    assert shown(pages) == "<p>Hello<b>the site's</b></p>"


def test_a_later_add_on_wins_over_an_earlier_one_and_the_site_over_both(
    ours: Path, write: Write
) -> None:
    pages = Pages(write("site", layout='<x metal:use-macro="load: footer.pt"/>'), ours=ours)
    pages.customize(write("first", footer="<b>first</b>", layout="<b>never</b>"))
    assert shown(pages) == "<b>first</b>"
    pages.customize(write("second", footer="<b>second</b>"))
    assert shown(pages) == "<b>second</b>"


def test_two_gates_do_not_see_each_others_templates(ours: Path, write: Write) -> None:
    one = Pages(write("site", footer="<b>one</b>"), ours=ours)
    two = Pages(ours=ours)
    one.customize(write("add-on", message="<p>customized</p>"))
    assert (shown(one), shown(two)) == (
        "<p>customized</p>",
        "<html><i>Hello</i>|<b>our footer</b></html>",
    )


def test_a_template_stays_as_it_was_at_the_start(ours: Path, write: Write) -> None:
    pages = Pages(write("site", message="<p>before</p>"), ours=ours)
    write("site", message="<p>${broken</p>")
    assert shown(pages) == "<p>before</p>"


def test_the_names_of_a_page_reach_what_it_loads_and_text_is_escaped(
    ours: Path, write: Write
) -> None:
    site = write("site", footer="<b>${text}</b>")
    pages = Pages(site, ours=ours)
    assert "<b>&lt;i&gt;</b>" in pages.render("message", text="<i>")


def test_a_name_that_is_none_of_ours_is_refused_with_the_nearest(ours: Path, write: Write) -> None:
    site = write("site", foter="<b/>", deep__zzzzzzz="<b/>")
    assert problems_of(site, ours) == [
        f"templates_dir: {site}/foter.pt would never be used; did you mean footer.pt?",
        f"templates_dir: {site}/deep/zzzzzzz.pt would never be used; "
        "known are footer.pt, layout.pt, message.pt",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<p>\n${1 +}</p>", ", line 2: invalid syntax"),
        ('<p>\n\n<b tal:repeat="x"/></p>', ", line 3: Invalid define syntax"),
        ('<p tal:nonsense="1"/>', ", line 1: Bad attribute for namespace"),
        ("<p></b>\n", ", line 1: "),
        ("<p>${for: x}</p>", " cannot be compiled: Unknown expression type: 'for'"),
        (b"<p>\xff\xfe</p>", " must be text in UTF-8"),
        ('<p>\n<x metal:use-macro="load: footer.pt"/></p>', ", line 2: it loads itself; ours is "),
        (
            '<x metal:use-macro="load: mesage.pt"/>',
            ", line 1: there is no 'mesage.pt' to load; did",
        ),
        ('<x metal:use-macro="load: factored:foo.pt"/>', ", line 1: there is no 'factored:foo.pt'"),
        ('<x metal:use-macro="load: ../footer.pt"/>', ", line 1: there is no '../footer.pt'"),
        ('<x metal:use-macro="load: os:path.pt"/>', ", line 1: there is no 'os:path.pt'"),
    ],
)
def test_what_cannot_be_compiled_is_refused_with_file_line_and_reason(
    text: str | bytes, problem: str, ours: Path, write: Write
) -> None:
    site = write("site", footer=text)
    (found,) = problems_of(site, ours)
    assert found.startswith(f"templates_dir: {site}/footer.pt{problem}")
    assert "\n" not in found


def test_all_that_is_wrong_is_told_at_once(ours: Path, write: Write) -> None:
    site = write("site", footer="${1 +}", one__layout="<b/>", two__layout="<b/>", nothing="<b/>")
    assert len(problems_of(site, ours)) == 3


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path, ours: Path) -> None:
    folder = tmp_path / "nowhere"
    assert problems_of(folder, ours) == [
        f"templates_dir: '{folder}' must be a folder that is there"
    ]


def test_a_template_that_cannot_be_read_is_refused(tmp_path: Path, ours: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/footer.pt").symlink_to("nowhere")
    (found,) = problems_of(tmp_path / "site", ours)
    assert found.endswith("footer.pt must be a file that can be read: No such file or directory")


def test_a_template_that_fails_shows_no_value_to_the_log(ours: Path, write: Write) -> None:
    """Chameleon's own message has every name with its value."""
    pages = Pages(write("site", footer="<b>${misspelt}</b>"), ours=ours)
    with pytest.raises(NameError) as caught:
        pages.render("message", text="a-secret", key=["JBSW Y3DP"])
    assert "footer.pt" in str(caught.value) and "misspelt" in str(caught.value)
    assert "a-secret" not in str(caught.value) and "JBSW" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(path.name for path in OURS.glob("*.pt")))
def test_each_of_ours_holds_what_is_asked_of_those_of_others(name: str, tmp_path: Path) -> None:
    text = (OURS / name).read_text("utf-8")
    (tmp_path / name).write_text(text)
    Pages(tmp_path)
