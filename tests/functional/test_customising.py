"""Words, looks and pages of a site: docs/customising.rst done as it says, and what is refused."""

from __future__ import annotations

import json
import logging
import re
import sys
import urllib.parse
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
from paste.deploy import loadapp

from factored.interfaces import ConfigurationError
from factored.services.account import FRESH_S
from factored.web.renderer import OURS, Pages
from tests.functional.mailing import MakeMailed
from tests.functional.test_mailed_link import BODY, link_in
from tests.support import NAME, Browser, Site, factored, settings_for, token_of, write_ini
from tests.test_docs import ROOT, sections, text_of

TEXT = text_of("docs/customising.rst")
PAGE = sections(TEXT, "-")
MakeSite = Callable[..., Site]

LOGO = (ROOT / "factored/web/static/icon.svg").read_bytes()

SITE = """
from pathlib import Path

def make(global_conf):
    def app(environ, start_response):
        name = "library.css" if environ["PATH_INFO"] == "/library.css" else "library.txt"
        start_response("200 OK", [("Content-Type", "text/" + name[8:].replace("txt", "plain"))])
        return [Path(global_conf["here"], name).read_bytes()]
    return app
"""
"""The site of the page: it serves its stylesheet, and one page for those who are let in."""


def files_of(section: str) -> dict[str, str]:
    """section -> the files that it shows, by the name above each"""
    found = re.findall(
        r"^\.\. code-block:: \w+\n   :caption: (\S+)\n\n((?:   .*\n|\n)+)", section, re.MULTILINE
    )
    assert len(found) == section.count(".. code-block::")
    assert len({name for name, _ in found}) == len(found), "a file is shown twice"
    return {name: re.sub("^   ", "", text, flags=re.MULTILINE) for name, text in found}


def keys_of(text: str) -> dict[str, str]:
    parser = ConfigParser(interpolation=None, comment_prefixes=("#",))
    parser.read_string(f"[site]\n{text}")
    return dict(parser["site"])


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Browser]]:
    """-> function: files beside the ini, keys -> a browser at what PasteDeploy makes of them"""
    gates = []
    monkeypatch.syspath_prepend(str(tmp_path))

    def made(files: dict[str, str], keys: dict[str, str]) -> Browser:
        for name, text in {"library.txt": "the reading room", **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (tmp_path / "library_site.py").write_text(SITE)
        ini = write_ini(tmp_path, {**settings_for(tmp_path), **keys})
        own = "paste.app_factory = library_site:make"
        ini.write_text(ini.read_text().replace("use = egg:factored#hello", own))
        assert factored("init", str(ini)) == 0
        assert factored("check", str(ini)) == 0
        gates.append(loadapp(f"config:{ini}"))
        return Browser(gates[-1], extra_environ={"REMOTE_ADDR": "192.0.2.1"})

    yield made
    for gate in gates:
        gate.close()
    for module in ("library_site", "library_looks"):
        sys.modules.pop(module, None)


# -- the page, as it says --------------------------------------------------------------------------


def test_the_words_of_the_page_are_on_the_pages(start: Callable[..., Browser]) -> None:
    web = start({}, keys_of(files_of(PAGE["Words"])["site.ini"]))
    page = web.get("/auth/ga").text
    for word in ("Example Library", "Borrowers and staff", "The code keeps strangers out"):
        assert word in page


def test_the_looks_of_the_page_are_on_the_pages(start: Callable[..., Browser]) -> None:
    keys = keys_of(files_of(PAGE["Looks"])["site.ini"])
    web = start({"library.svg": LOGO.decode()}, keys)
    page = web.get("/auth/ga").text
    logo = re.search(r'src="(/auth/brand/logo\?\w+)"', page)
    stylesheet = re.search(r'href="(/auth/brand/style\.css\?\w+)"', page)
    assert logo and web.get(logo[1]).body == LOGO
    assert stylesheet and f"--accent: {keys['color']};" in web.get(stylesheet[1]).text
    assert keys["footer_text"] in page
    assert f'<a href="{keys["help_url"]}">Help</a>' in page


def test_the_steps_of_the_page_restyle_it(start: Callable[..., Browser]) -> None:
    files = files_of(PAGE["Pages, step by step"])
    assert [name for name in files if name.endswith(".pt")] == [
        "looks/frame/top.pt", "looks/frame/footer.pt", "looks/headbottom.pt"
    ]  # fmt: skip
    web = start(files, {"appname": "Books", **keys_of(files["site.ini"])})
    for path in ("/auth/ga", "/auth/nowhere", "/auth/logout"):
        page = web.get(path).text
        assert "<p>Books: the reading room</p>" in page
        assert "Ask at the desk if you are stuck." in page
        assert page.index("Ask at the desk") < page.index("<footer"), "ours follows"
        assert page.index("/library.css") < page.index("</head>") < page.index("reading room")
    assert web.get("/library.css").text == files["library.css"]
    assert web.get("/").status_int == 302
    policy = web.get("/auth/ga").headers["Content-Security-Policy"]
    assert "style-src 'self';" in policy


def test_the_add_on_of_the_page_restyles_it(start: Callable[..., Browser]) -> None:
    files = files_of(PAGE["An add-on for many sites"])
    web = start(files, keys_of(files["branch.ini"]))
    page = web.get("/auth/ga").text
    assert "One card for all branches." in page
    link = re.search(r'href="(/auth/library/library\.css)"', page)
    assert link and web.get(link[1]).text == files["library_looks/static/library.css"]


def test_the_site_wins_over_the_add_on(start: Callable[..., Browser]) -> None:
    files = files_of(PAGE["An add-on for many sites"])
    own = {"looks/belowcontent.pt": "<p>Not here.</p>"}
    web = start(files | own, {**keys_of(files["branch.ini"]), "templates_dir": "looks"})
    page = web.get("/auth/ga").text
    assert "Not here." in page and "One card" not in page
    assert "/auth/library/library.css" in page


def test_the_names_of_the_templates_are_told_and_no_others() -> None:
    listed = set(re.findall(r"``([\w-]+\.pt)``", PAGE["Pages, step by step"]))
    ours = {path.name for path in OURS.glob("*.pt")}
    assert listed == ours


# -- the names that templates get ------------------------------------------------------------------

PLAIN = {"builtins", "factored.web.brand", "translationstring"}
"""Where the types are from that templates get: a marked text is a text, translated when shown."""

TALK = {"translate", "target_language"}
"""Chameleon's own arguments, which are no names for templates."""


def documented() -> dict[str, set[str]]:
    """template, or ``every`` -> the names that the page lists"""
    every, _, single = PAGE["What templates get"].partition("Single templates")
    rows = re.findall(r"^   \* - ``([\w-]+)``\n     - ((?:.+\n(?:       .+\n)*))", single, re.M)
    names = {template: set(re.findall(r"``(\w+)``", cell)) for template, cell in rows}
    names["every"] = set(re.findall(r"^   \* - ``(\w+)``$", every, re.MULTILINE))
    return names


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[set[str]]]:
    """-> for each template the names that it got, each time"""
    seen: dict[str, list[set[str]]] = {}
    render = Pages.render

    def watched(pages: Pages, name: str, **names: Any) -> str:
        seen.setdefault(name, []).append(set(names) - TALK)
        return render(pages, name, **names)

    monkeypatch.setattr(Pages, "render", watched)
    return seen


def show_all_pages(make_mailed: MakeMailed) -> None:
    """-> None; each template was shown, in each way that there is"""
    mailed = make_mailed(
        supported_auth_schemes="Google Auth\nEmail",
        email_auth__body=BODY,
        public_url="https://site.test",
        allowgooglecodereminder="true",
    )
    site = mailed.site
    site.web.extra_environ["HTTP_HOST"] = "site.test"
    for path in ("/auth", "/auth/ga", "/auth/em", "/auth/logout", "/auth/nowhere"):
        site.web.get(path)
    form = {"csrf_token": site.csrf(), "username": NAME, "submit": "username"}
    site.web.post("/auth/ga", form)
    site.attempt(site.wrong_code())
    mailed.ask()
    site.web.get(link_in(mailed))
    for verb in ("unlock", "reset"):
        told = json.loads(site.command("user", verb, f"--username={NAME}", "--json"))
        link = urllib.parse.urlsplit(told["url"]).path
        page = site.web.get(link)
        site.web.post(link, {"csrf_token": token_of(page), "submit": "show"})
    site.login()
    for path in ("/auth/logout", "/auth/account", "/auth/rc", "/auth/ga?then=account"):
        page = site.web.get(path)
    form = {"csrf_token": token_of(page), "username": NAME, "then": "account"}
    for scheme in ("ga", "em", "rc"):
        site.web.post(f"/auth/{scheme}", {**form, "submit": "username"})
    for submit in ("add", "confirm", "codes", "rename"):
        site.web.post("/auth/account", {"csrf_token": token_of(page), "submit": submit})
    site.clock.advance(FRESH_S)
    site.web.get("/auth/account")


def test_templates_get_the_names_of_the_page_and_nothing_else(
    passed: dict[str, list[set[str]]], make_mailed: MakeMailed
) -> None:
    show_all_pages(make_mailed)
    told = documented()
    every = told.pop("every")
    del told["auth-controls"]
    assert set(passed) == set(told), "a template was not shown"
    for template, times in passed.items():
        for names in times:
            assert names == every | told[template], template


def test_the_buttons_need_the_names_of_the_page_and_no_others() -> None:
    names: dict[str, Any] = dict.fromkeys(documented()["auth-controls"], "x")
    assert names
    Pages().render("auth-controls", **names)
    for name in names:
        with pytest.raises(NameError, match=name):
            Pages().render("auth-controls", **{one: "x" for one in names if one != name})


def test_brand_is_a_logo_a_stylesheet_a_footer_and_help(make_site: MakeSite) -> None:
    assert "``brand.stylesheet``, URL paths, ``brand.help``, URL, and ``brand.footer``" in TEXT
    site = make_site()
    gate: Any = site.web.app
    assert gate is not None
    shown = renderer_names(site)["brand"]
    assert set(vars(shown)) == {"logo", "stylesheet", "footer", "help"}


def renderer_names(site: Site) -> dict[str, Any]:
    """site -> names and values that the first page gets"""
    seen: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pages, "render", lambda pages, name, **names: seen.update(names) or "x")
        site.web.get("/auth/ga")
    return seen


def test_no_template_gets_a_request_or_settings(make_site: MakeSite) -> None:
    for name, value in renderer_names(make_site()).items():
        kinds = {one.__module__ for one in type(value).__mro__}
        assert kinds <= PLAIN or name in TALK, name


# -- the files of a brand --------------------------------------------------------------------------


def test_the_logo_is_for_everybody_and_runs_nothing(tmp_path: Path, make_site: MakeSite) -> None:
    (tmp_path / "logo.svg").write_bytes(LOGO)
    site = make_site(logo=str(tmp_path / "logo.svg"), hsts="true")
    answer = site.web.get("/auth/brand/logo")
    assert (answer.status_int, answer.body) == (200, LOGO)
    assert answer.content_type == "image/svg+xml"
    assert answer.headers.getall("Content-Security-Policy") == [
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
    ]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "public, max-age=3600"
    assert "Strict-Transport-Security" in answer.headers
    assert "Set-Cookie" not in answer.headers
    assert site.web.head("/auth/brand/logo").headers["Content-Length"] == str(len(LOGO))
    assert site.web.post("/auth/brand/logo").status_int == 405


def test_the_stylesheet_is_css(make_site: MakeSite) -> None:
    answer = make_site(color="#7a1f5c").web.get("/auth/brand/style.css?any")
    assert answer.headers["Content-Type"] == "text/css; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.text.startswith(":root { --accent: #7a1f5c; --accent-text: #ffffff; }")


@pytest.mark.parametrize("name", ["logo", "style.css", "", "logo/x"])
def test_what_a_site_does_not_have_is_not_found(name: str, site: Site) -> None:
    assert site.web.get(f"/auth/brand/{name}").status_int == 404


def test_paths_hold_where_the_gate_is_mounted_and_where_base_auth_url_is(
    tmp_path: Path, make_site: MakeSite
) -> None:
    (tmp_path / "logo.svg").write_bytes(LOGO)
    site = make_site(logo=str(tmp_path / "logo.svg"), color="#7a1f5c", base_auth_url="/in/side")
    site.web.extra_environ["SCRIPT_NAME"] = "/mount"
    seen: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pages, "render", lambda pages, name, **names: seen.update(names) or "x")
        site.web.get("/mount/in/side/ga")
    assert seen["brand"].logo.startswith("/mount/in/side/brand/logo?")
    assert seen["brand"].stylesheet.startswith("/mount/in/side/brand/style.css?")
    assert seen["home"] == "/mount/"


# -- what stops the start, and what does not -------------------------------------------------------


def test_all_that_is_wrong_with_looks_is_told_at_once(
    tmp_path: Path, make_site: MakeSite, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "looks"
    folder.mkdir()
    (folder / "foter.pt").write_text("")
    (folder / "message.pt").write_text("<p>\n${1 +}</p>")
    wrong = {
        "logo": str(tmp_path / "logo.gif"),
        "color": "#ffcc00",
        "color_dark": "blue",
        "footer_text": "x" * 301,
        "templates_dir": str(folder),
        "appnam": "x",
    }
    with pytest.raises(ConfigurationError) as caught:
        make_site(**wrong)
    keys = sorted(problem.partition(":")[0] for problem in caught.value.problems)
    assert keys == sorted([*wrong, "templates_dir"])
    ini = write_ini(tmp_path, settings_for(tmp_path, **wrong))
    assert factored("check", str(ini)) == 1
    shown = capsys.readouterr().out
    assert all(f"FAIL  settings: {problem}\n" in shown for problem in caught.value.problems)


def test_what_only_the_files_have_wrong_is_told_once(tmp_path: Path, make_site: MakeSite) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_site(logo=str(tmp_path / "logo.svg"), templates_dir=str(tmp_path / "none"))
    keys = [problem.partition(":")[0] for problem in caught.value.problems]
    assert keys == ["logo", "templates_dir"]


def test_making_key_files_and_database_needs_no_looks(tmp_path: Path) -> None:
    ini = write_ini(tmp_path, settings_for(tmp_path, logo="no.svg", templates_dir="none"))
    assert factored("init", str(ini)) == 0


def test_all_templates_of_all_add_ons_are_checked_at_the_start(
    tmp_path: Path, make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, files in (("looks_one", {"mesage.pt": ""}), ("looks_two", {"auth.pt": "${1 +}"})):
        (tmp_path / name / "pages").mkdir(parents=True)
        (tmp_path / name / "__init__.py").write_text(
            "from factored.templates import registerTemplateCustomizations\n"
            "def includeme(config):\n"
            "    registerTemplateCustomizations(config, 'pages', __name__)\n"
        )
        for file, text in files.items():
            (tmp_path / name / "pages" / file).write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(ConfigurationError) as caught:
        make_site(pyramid__includes="looks_one looks_two")
    one, two = caught.value.problems
    assert one.startswith("pyramid.includes: looks_one:pages: ")
    assert one.endswith("mesage.pt would never be used; did you mean message.pt?")
    assert two.startswith("pyramid.includes: looks_two:pages: ")
    assert two.endswith("auth.pt, line 1: invalid syntax")


def test_two_gates_of_one_process_have_looks_of_their_own(
    tmp_path: Path, make_site: MakeSite
) -> None:
    (tmp_path / "looks").mkdir()
    (tmp_path / "looks/message.pt").write_text("<p>Ours alone: ${text}</p>")
    one = make_site(templates_dir=str(tmp_path / "looks"), color="#7a1f5c")
    two = make_site()
    assert "Ours alone" in one.web.get("/auth/nowhere").text
    assert "Ours alone" not in two.web.get("/auth/nowhere").text
    assert two.web.get("/auth/brand/style.css").status_int == 404


def test_a_template_that_fails_lets_nobody_in_and_logs_no_secret(
    tmp_path: Path, make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    """The page for errors fails too, as its layout does."""
    (tmp_path / "looks").mkdir()
    (tmp_path / "looks/layout.pt").write_text("<html>${misspelt}</html>")
    site = make_site(templates_dir=str(tmp_path / "looks"))
    with caplog.at_level(logging.DEBUG, logger="factored"):
        answer = site.web.get("/auth/ga")
    assert (answer.status_int, answer.content_type) == (500, "text/plain")
    assert answer.text == "Something went wrong\n\nSomething went wrong here, and was logged.\n"
    assert "Content-Security-Policy" in answer.headers
    assert site.web.get("/auth/nowhere").status_int == 404
    logged = logging.Formatter()
    lines = "\n".join(logged.format(record) for record in caplog.records)
    assert "looks/layout.pt" in lines and "misspelt" in lines
    assert "csrf_token: (str)" in lines
