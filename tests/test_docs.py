"""Documentation and code say the same: keys, defaults, commands, modules, numbers, examples."""

from __future__ import annotations

import argparse
import inspect
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from webtest import TestApp

from factored import __version__, app, codes, converters, ini_keys, settings
from factored.auth_tkt import TicketFormat
from factored.interfaces import ConfigurationError, Limit
from factored.old_keys import WITHOUT_MEANING
from factored.proxy import SimpleProxy
from factored.schemes.totp import TotpScheme
from factored.scripts import inifile, main
from factored.services import throttle
from factored.store.challenges import MAX_TRIES
from factored.web.texts import TEXTS
from tests.support import factored

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.rst"), *DOCS.glob("*.rst"), *DOCS.glob("*/*.rst")])
INIS = ("develop.ini", "production.ini")

SMALLEST = {
    "auth_tkt.secret": "an-example-secret-never-to-be-used-anywhere",
    "sqlalchemy.url": "sqlite:///factored.sqlite",
}
DURATIONS = {
    "5 minutes": 300,
    "10 minutes": 600,
    "1 hour": 3600,
    "24 hours": 86400,
    "30 days": 30 * 86400,
}


def text_of(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


def blocks(text: str, language: str) -> list[str]:
    """page, language -> its code blocks, without their indentation"""
    found = re.findall(
        rf"^( *)\.\. code-block:: {language}\n\n((?:\1 +.*\n|\n)+)", text, re.MULTILINE
    )
    return [inspect.cleandoc("\n" + body) for _, body in found]


def sections(text: str, underline: str) -> dict[str, str]:
    """page, character -> its headings of that level, each with what follows"""
    parts = re.split(rf"^(.+)\n{re.escape(underline)}{{3,}}$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


# -- docs/configuration.rst ------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """One documented key: what stands behind its name, and the text below."""

    key: str
    facts: tuple[str, ...]
    text: str

    @property
    def default(self) -> str | None:
        """-> the default as documented; None for a key without one"""
        match = re.fullmatch(r"default ``(.*)``", self.facts[0])
        return match[1] if match else None


def entries(text: str) -> dict[str, Entry]:
    found = re.findall(r"^``([^`]+)`` : (.+)\n((?:    .*\n)+)", text, re.MULTILINE)
    keys = [key for key, _, _ in found]
    assert len(keys) == len(set(keys)), "a key is documented twice"
    return {key: Entry(key, tuple(facts.split(" : ")), body) for key, facts, body in found}


BY_SECTION = sections(text_of("docs/configuration.rst"), "-")
PROXY_SECTION = "The site behind: simpleproxy"
PROXY_ENTRIES = entries(BY_SECTION[PROXY_SECTION])
ENTRIES = entries("\n".join(text for name, text in BY_SECTION.items() if name != PROXY_SECTION))

FORMTEXTS = {f"formtext.{name}" for name in ini_keys.FORMTEXTS}


OLD_ROWS = [
    (key, " ".join(today.split()))
    for keys, today in re.findall(
        r"^   \* - (``.*)\n     - ((?:.+\n)(?:       .+\n)*)",
        text_of("docs/upgrading.rst"),
        re.MULTILINE,
    )
    for key in re.findall(r"``([^`]+)``", keys)
]
"""The keys of docs/upgrading.rst, each with what it says of them."""


def test_every_key_is_documented_and_every_documented_key_exists() -> None:
    passed_on = {f"{prefix}.*" for prefix in settings.PASSED_ON}
    examples = {
        key for key in ENTRIES if key.partition(".")[0] in settings.PASSED_ON and key[-1] != "*"
    }
    keys = {*ini_keys.KEYS, *FORMTEXTS, *WITHOUT_MEANING, *passed_on}
    assert set(ENTRIES) - examples == keys


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_key_that_a_page_names_exists(page: Path) -> None:
    known = {*ini_keys.KEYS, *ini_keys.OLD_NAMES, *FORMTEXTS, *WITHOUT_MEANING}
    prefixes = {key.partition(".")[0] for key in known if "." in key}
    literals = re.findall(r"``([a-z_]+\.[a-z_.]+)(?: = [^`]*)?``", page.read_text("utf-8"))
    named = {key for key in literals if key.partition(".")[0] in prefixes}
    gone = {key for key, today in OLD_ROWS if today.startswith(("Stops", "Shown nowhere"))}
    assert not {key for key in named if not key.endswith((".", ".py"))} - known - gone


@pytest.mark.parametrize("name", ini_keys.KEYS)
def test_the_documented_default_is_the_default(name: str, tmp_path: Path) -> None:
    documented = ENTRIES[name].default
    plain = settings.parse(SMALLEST, here=tmp_path, require_files=False)
    if documented is None:
        assert ENTRIES[name].facts[0] == "no default"
        if name not in SMALLEST:
            assert getattr(plain, ini_keys.KEYS[name].attribute) in (None, (), frozenset())
        return
    spelt_out = settings.parse({**SMALLEST, name: documented}, here=tmp_path, require_files=False)
    attribute = ini_keys.KEYS[name].attribute
    given, default = getattr(spelt_out, attribute), getattr(plain, attribute)
    assert given == (default.strip() if isinstance(default, str) else default)


@pytest.mark.parametrize("name", sorted(FORMTEXTS))
def test_the_documented_words_are_those_on_the_pages(name: str) -> None:
    rest = name.removeprefix("formtext.")
    of_scheme = {"code.label": TotpScheme.code_label, "code.desc": TotpScheme.code_desc}
    assert (ENTRIES[name].default or "") == of_scheme.get(rest, TEXTS[rest])


def test_old_names_stand_with_their_keys() -> None:
    documented = {
        old: entry.key
        for entry in ENTRIES.values()
        for old in re.findall(r"Old\s+name\s+``([^`]+)``", entry.text)
    }
    assert documented == ini_keys.OLD_NAMES


def test_every_key_says_since_when_or_that_it_has_no_meaning() -> None:
    for entry in (*ENTRIES.values(), *PROXY_ENTRIES.values()):
        without = entry in ENTRIES.values() and entry.key in WITHOUT_MEANING
        assert ("without meaning" in entry.facts) is without, entry.key
        since = [fact for fact in entry.facts if fact.startswith("since ")]
        assert without or since in (["since 1.x"], ["since 4.x"], ["since 6.0"]), entry.key


def test_every_key_of_an_older_release_stands_on_the_page_about_upgrading() -> None:
    of_old = {entry.key for entry in (*ENTRIES.values(), *PROXY_ENTRIES.values())
              if {"since 1.x", "since 4.x"} & set(entry.facts)}  # fmt: skip
    of_old |= {*ini_keys.OLD_NAMES, *WITHOUT_MEANING}
    assert {key for key in of_old if not any(fnmatch(key, row) for row, _ in OLD_ROWS)} == set()


@pytest.mark.parametrize(("row", "today"), OLD_ROWS)
def test_what_that_page_says_of_a_key_is_so(
    row: str, today: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = row.replace("*", "x")
    given = {**SMALLEST, "auth_timeout": "7200", key: "x"}
    stops: tuple[str, ...] = ()
    try:
        settings.parse(given, here=tmp_path, require_files=False)
    except ConfigurationError as error:
        stops = error.problems
    warns = [record.getMessage() for record in caplog.records]
    if today.startswith("Stops the start: "):
        assert [text.startswith(f"{key}: ") for text in stops] == [True]
    elif today.startswith("Without meaning"):
        assert [text.startswith(f"{key} has no meaning any more: ") for text in warns] == [True]
        assert key in WITHOUT_MEANING
    elif today.startswith("Shown nowhere"):
        assert [text.startswith(f"{key} is shown nowhere") for text in warns] == [True]
    elif today.startswith("Now "):
        assert today == f"Now ``{ini_keys.OLD_NAMES[key]}``."
    else:
        assert today.startswith("As before")
        known = {*ENTRIES, *PROXY_ENTRIES}
        assert row.startswith(("use = ", "egg:")) or any(fnmatch(one, row) for one in known)


def test_simpleproxys_keys_and_defaults_are_documented(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        app.simpleproxy({}, zzzzzzzz="")
    known = re.search(r"known are ([a-z_, ]+)", capsys.readouterr().err)
    assert known and set(PROXY_ENTRIES) == set(known[1].split(", "))
    parameters = inspect.signature(SimpleProxy).parameters
    for name, entry in PROXY_ENTRIES.items():
        parameter = parameters.get(name) or parameters[f"{name}_s"]
        if name == "port":
            assert entry.default == "80" and "443" in entry.text
        elif parameter.default is parameter.empty:
            assert entry.facts[0] == "required"
        else:
            default = None if parameter.default is None else str(parameter.default)
            assert entry.default == default


def test_all_words_for_booleans_are_documented() -> None:
    words = BY_SECTION["How values are read"].partition("Booleans\n")[2].partition("\n\n")[0]
    assert set(re.findall(r"``(\w+)``", words)) == converters.TRUE | converters.FALSE


# -- docs/commands.rst -----------------------------------------------------------------------------


def commands(
    parser: argparse.ArgumentParser, name: str
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """parser -> every command that can be given, with its own parser"""
    groups = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    if not groups:
        yield name, parser
    for group in groups:
        for verb, below in group.choices.items():
            yield from commands(below, f"{name} {verb}")


COMMANDS = dict(commands(main._parser(), "factored"))
COMMANDS_PAGE = text_of("docs/commands.rst")
OPTION_TERM = re.compile(r"^``(-[^\n]+)``$", re.MULTILINE)


def options_in(text: str) -> set[str]:
    terms = "\n".join(OPTION_TERM.findall(text))
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", terms))


def test_every_command_is_documented_and_every_documented_command_exists() -> None:
    documented = {name for name in sections(COMMANDS_PAGE, "-") if name.startswith("factored ")}
    assert documented == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_options_of_a_command_are_documented(name: str) -> None:
    of_every_command = options_in(COMMANDS_PAGE.partition("\nfactored init\n")[0])
    own = options_in(sections(COMMANDS_PAGE, "-")[name])
    given = {option for one in COMMANDS[name]._actions for option in one.option_strings}
    assert own | of_every_command == given
    assert not own & of_every_command


def test_every_script_that_is_installed_is_documented() -> None:
    ours = [
        point
        for point in entry_points(group="console_scripts")
        if point.value.startswith("factored.")
    ]
    assert ours
    words = set(re.findall(r"[\w-]+", COMMANDS_PAGE))
    assert {point.name for point in ours} <= words


def test_the_exit_statuses_are_documented() -> None:
    table = re.findall(r"^(\d)  (\w.*)$", COMMANDS_PAGE, re.MULTILINE)
    meanings = {int(status): meaning for status, meaning in table}
    assert sorted(meanings) == [main.DONE, main.FAILED, main.USAGE, main.NO_SUCH_USER, main.EXISTS]
    assert "no such user" in meanings[main.NO_SUCH_USER]
    assert "exists already" in meanings[main.EXISTS]


@pytest.mark.parametrize(
    "page", [*PAGES, *(ROOT / ini for ini in INIS)], ids=lambda page: page.name
)
def test_every_command_line_in_a_page_is_one_that_the_command_takes(page: Path) -> None:
    lines = re.findall(
        r"^[ #$]*(?:[\w./-]*/)?(factored (?!cannot start)[a-z].*\.ini\b.*)$", page.read_text(), re.M
    )
    for line in lines:
        words = shlex.split(line.partition("   ")[0].replace("[options]", ""), comments=True)
        main._parser().parse_args(words[1:])


# -- the ini files and README.rst ------------------------------------------------------------------


@pytest.mark.parametrize("name", INIS)
def test_the_ini_files_work_as_they_are(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(shutil.copy(ROOT / name, tmp_path))
    assert factored("init", str(path)) == 0
    ini = inifile.read(str(path))
    settings.parse(ini.given, here=ini.here)
    capsys.readouterr()
    assert factored("check", str(path), "--json") == 0
    assert json.loads(capsys.readouterr().out)["ok"]


def test_the_commands_of_the_readme_work_word_for_word(tmp_path: Path) -> None:
    """In a copy of what they need; without those that need a network or serve until stopped."""
    lines = "\n".join(blocks(text_of("README.rst"), "sh")).splitlines()
    not_here = re.compile(r"make |python3 -m venv|\S+/(pip|pserve|gunicorn_paste) ")
    wanted = [line for line in lines if not not_here.match(line)]
    assert len(wanted) >= 6
    (tmp_path / "checkout").mkdir()
    for name in INIS:
        shutil.copy(ROOT / name, tmp_path / "checkout")
    here = Path(sys.executable).parent
    script = "\n".join(wanted).replace("venv/bin/", f"{shlex.quote(str(here))}/")
    done = subprocess.run(
        ["/bin/sh", "-euc", script],
        cwd=tmp_path / "checkout",
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "otpauth://totp/" in done.stdout
    assert (tmp_path / "mysite" / "factored.sqlite").is_file()


def test_the_make_targets_of_the_pages_exist() -> None:
    makefile = ROOT / "Makefile"
    targets = set(re.findall(r"^([a-z]+):", makefile.read_text("utf-8"), re.MULTILINE))
    for page in PAGES:
        told = re.findall(r"^ *(?:\$ |``)?make ([a-z]+)(?:``)?$", page.read_text("utf-8"), re.M)
        assert set(told) <= targets, page


def test_the_python_example_of_the_readme_works(tmp_path: Path) -> None:
    pytest.importorskip("flask", reason="Flask is not installed")
    shutil.copy(ROOT / "develop.ini", tmp_path)
    assert factored("init", str(tmp_path / "develop.ini")) == 0
    (example,) = blocks(text_of("README.rst"), "python")
    names: dict[str, object] = {"__name__": __name__}
    exec(example.replace("/srv/mysite", str(tmp_path)), names)
    flask_app = names["app"]
    try:
        answer = TestApp(flask_app).get("/page")
        assert answer.headers["Location"] == "/auth?referrer=/page"
    finally:
        flask_app.wsgi_app.close()  # type: ignore[attr-defined]


# -- docs/architecture.rst and docs/security.rst ---------------------------------------------------


def test_every_module_stands_in_the_table_of_the_architecture() -> None:
    table = sections(text_of("docs/architecture.rst"), "-")["What is where"]
    named = set(re.findall(r"^``([\w/.]+)``  ", table, re.MULTILINE))
    package = ROOT / "factored"
    modules = {path.relative_to(package).as_posix() for path in package.rglob("*.py")}
    migrations = {name for name in modules if name.startswith("store/migrations/")}
    assert named == modules - migrations | {"store/migrations/"}


def test_the_import_rule_has_a_place_for_every_module() -> None:
    rule = sections(text_of("docs/architecture.rst"), "-")["The import rule"]
    rows = re.findall(r"^\d+\. (.*)$", rule, re.MULTILINE)
    placed = [name for row in rows for name in re.findall(r"``(\w+)``", row)]
    package = ROOT / "factored"
    parts = {path.stem for path in package.glob("*.py")} - {"__init__"}
    parts |= {path.parent.name for path in package.glob("*/__init__.py")}
    assert sorted(placed) == sorted(parts)


def test_the_example_of_a_ticket_is_a_ticket() -> None:
    text = sections(text_of("docs/architecture.rst"), "-")["The ticket"]
    secret = re.search(r"``(an-example-secret[^`]*)``", text)
    value = re.search(r"^ +([0-9a-f]{72}\S+)$", text, re.MULTILINE)
    assert secret and value
    tickets = TicketFormat(lambda: (secret[1],), hashalg="sha256", schemes=["ga"])
    ticket = tickets.parse(value[1])
    assert ticket is not None and ticket.user == "al@example.com"
    assert tickets.issue(ticket) == value[1]
    for part in (value[1][64:72], value[1].partition("!ga!")[2]):
        assert f" {part}" in text.partition("A real one")[0]


@pytest.mark.parametrize(
    ("what", "limits"),
    [
        ("attempts on an account by all unknown devices together", throttle.ACCOUNT),
        ("of them from one source", throttle.SOURCE),
        ("failures of one source over all accounts", throttle.ANY_ACCOUNT),
        ("attempts from a known device", throttle.DEVICE),
        ("mails for an account, asked for by all unknown devices", throttle.SEND_UNKNOWN),
        ("mails asked for by one source", throttle.SEND_SOURCE),
        ("mails asked for by a known device", throttle.SEND_DEVICE),
    ],
)
def test_the_numbers_of_the_throttle_are_those_of_the_code(
    what: str, limits: tuple[Limit, ...]
) -> None:
    row = re.search(rf"\* - {what}[^*]*?\n     - (.*)\n", text_of("docs/security.rst"))
    assert row
    told = re.findall(r"(\d+) in (\d+ \w+)", row[1])
    assert [(int(count), DURATIONS[window]) for count, window in told] == [
        (limit.count, limit.window_s) for limit in limits
    ]


def test_the_run_of_failures_of_a_known_device_is_told() -> None:
    row = re.search(r"failures in a row.*\n     - (\d+)\n", text_of("docs/security.rst"))
    assert row and int(row[1]) == throttle.DEVICE_RUN[0].count


def test_the_numbers_of_a_mailed_code_are_told() -> None:
    row = re.search(r"\* - a mailed code\n     - (.*)\n", text_of("docs/security.rst"))
    signs, window_s = codes.ALPHABET, settings.Settings.email_auth_window
    assert row and row[1].startswith(
        f"{len(codes.new_mail_code())} of {len(signs)} signs (40 bits), {window_s} seconds "
        f"(600 at most), {MAX_TRIES} tries"
    )


# -- the pages themselves --------------------------------------------------------------------------


def test_the_changes_begin_with_this_release() -> None:
    assert next(iter(sections(text_of("CHANGES.rst"), "-"))).startswith(f"{__version__} (")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    named = re.findall(r"``((?:docs|tests)/[\w/.-]+|[A-Z]+\.rst|\w+/\w+\.py)``", text)
    missing = [
        name
        for name in named
        if not ((ROOT / name).exists() or (ROOT / "factored" / name).exists())
    ]
    assert not missing


@pytest.mark.parametrize("page", ["README.rst", "CHANGES.rst", "CONTRIBUTING.rst"])
def test_the_pages_at_the_top_are_plain_restructured_text(page: str) -> None:
    """They are read on project pages, where Sphinx is not."""
    core = pytest.importorskip("docutils.core", reason="docutils is not installed")
    core.publish_string(
        text_of(page),
        writer="null",
        settings_overrides={"halt_level": 2, "report_level": 2, "syntax_highlight": "none"},
    )


def test_every_decision_has_a_number_and_its_three_parts() -> None:
    pages = sorted(DOCS.glob("decisions/0*.rst"))
    for number, page in enumerate(pages, 1):
        text = page.read_text("utf-8")
        assert page.name.startswith(f"{number:04}-")
        assert text.startswith(f"{number:04}: ")
        assert list(sections(text, "-")) == ["Context", "Decision", "Consequences"]


def test_the_tests_that_the_promises_name_are_there() -> None:
    page = text_of("docs/security.rst")
    rows = re.findall(r"^   \* - (\d+)$", page, re.MULTILINE)
    assert rows == [str(number) for number in range(1, 22)]
    named = re.findall(r"``([\w/]+\.py)::(\w+)``", page)
    assert len(named) > len(rows)
    for file, name in named:
        assert f"def {name}(" in text_of(f"tests/{file}"), f"{file}::{name}"
