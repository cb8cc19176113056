"""What benchmarks say of their samples, and what each of them must have."""

from __future__ import annotations

import ast
import inspect
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import __main__ as command
from benchmarks import report
from benchmarks.report import Row, Table

FOLDER = Path(inspect.getfile(report)).parent

every_name = pytest.mark.parametrize("name", command.NAMES)

BARE = Row("bare", [1.0, 2.0, 4.0])
GATED = Row("gated", [2.0, 2.0, 6.0], {"p": 0.5})


@pytest.mark.parametrize(
    ("samples", "median", "spread"),
    [
        ([3.0], 3.0, (3.0, 3.0)),
        ([4.0, 1.0], 2.5, (1.0, 4.0)),
        ([9.0, 1.0, 2.0], 2.0, (1.0, 9.0)),
        ([7, 1, 6, 2, 5, 3, 4], 4, (1, 7)),
        ([8, 7, 1, 6, 2, 5, 3, 4], 4.5, (2.25, 6.75)),
        ([1000, *range(1, 11)], 6, (3, 9)),
    ],
)
def test_a_row_has_a_median_and_the_range_or_of_eight_rounds_on_the_middle_half(
    samples: list[float], median: float, spread: tuple[float, float]
) -> None:
    row = Row("case", samples)
    assert (row.median, row.spread) == (median, spread)


def test_ratios_are_those_of_each_round() -> None:
    assert GATED.ratios(BARE) == [2.0, 1.0, 1.5]
    assert BARE.ratios(BARE) == [1.0, 1.0, 1.0]


def test_without_the_same_rounds_the_ratio_is_that_of_the_medians() -> None:
    assert Row("once", [3.0]).ratios(BARE) == [1.5]


@pytest.mark.parametrize(
    ("base", "expected"), [(None, [1.0, 1.5]), ("bare", [1.0, 1.5]), ("gated", [0.6667, 1.0])]
)
def test_rows_are_compared_with_the_first_or_with_the_one_that_is_named(
    base: str | None, expected: list[float]
) -> None:
    table = Table("Pages", "us", [BARE, GATED], base)
    ratios = [ratio.median for _, ratio in table.compared()]
    assert ratios == pytest.approx(expected, abs=0.001)
    assert [row["ratio"] for row in table.data()["rows"]] == ratios


def test_a_table_says_median_spread_ratio_and_what_else_is_known() -> None:
    title, heads, bare, gated = Table("Pages", "us", [BARE, GATED]).text().splitlines()
    assert title == "Pages"
    assert heads.split() == ["us", "range", "ratio", "range"]
    assert bare.split() == ["bare", "2", "1", "-", "4", "1.00x", "1.00", "-", "1.00"]
    assert gated.split() == [
        "gated",
        "2",
        "2",
        "-",
        "6",
        "1.50x",
        "1.00",
        "-",
        "2.00",
        "p",
        "0.500",
    ]


@pytest.mark.parametrize(
    ("figure", "shown"),
    [(1234.5, "1,234"), (123.4, "123"), (12.34, "12.3"), (1.234, "1.23"), (0.1234, "0.123"),
     (-0.5, "-0.500"), (5.0, "5"), (0.0, "0")],
)  # fmt: skip
def test_a_figure_has_three_digits_that_count(figure: float, shown: str) -> None:
    assert Row("case", [figure]).median == figure
    assert f" {shown} " in Table("t", "us", [Row("a", [1.0]), Row("b", [figure])]).text()


def test_the_document_has_the_machine_and_every_sample(tmp_path: Path) -> None:
    path = tmp_path / "build" / "bench" / "pages.json"
    report.write(path, "pages", "quick", [Table("Pages", "us", [BARE, GATED])])
    document = json.loads(path.read_text())
    assert (document["benchmark"], document["effort"]) == ("pages", "quick")
    assert set(document["machine"]) == {"processors", "python", "system"}
    (table,) = document["tables"]
    assert (table["title"], table["unit"]) == ("Pages", "us")
    assert table["rows"] == [
        {"name": "bare", "median": 2, "spread": [1, 4], "ratio": 1, "samples": [1, 2, 4]},
        {
            "name": "gated", "median": 2, "spread": [2, 6], "ratio": 1.5, "samples": [2, 2, 6],
            "p": 0.5,
        },
    ]  # fmt: skip


def test_every_benchmark_can_be_run_by_name() -> None:
    found = {path.stem for path in FOLDER.glob("*.py") if "\ndef measure(" in path.read_text()}
    assert found == set(command.NAMES)


# Not imported: some need packages that the tests do without.
@every_name
def test_a_benchmark_says_what_it_measures_and_needs_and_makes_tables(name: str) -> None:
    tree = ast.parse((FOLDER / f"{name}.py").read_text())
    first = (ast.get_docstring(tree) or "").partition("\n")[0]
    assert first.endswith("."), "one sentence, for --help"
    assigned = [node for node in tree.body if isinstance(node, (ast.Assign, ast.AnnAssign))]
    targets = [ast.unparse(getattr(node, "target", None) or node.targets[0]) for node in assigned]
    assert targets.count("NEEDS") == 1
    (measure,) = [
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "measure"
    ]
    assert ast.unparse(measure.args) == "effort: Effort"
    assert measure.returns is not None and ast.unparse(measure.returns) == "list[Table]"


def test_a_benchmark_whose_programs_are_absent_is_left_out_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = SimpleNamespace(NEEDS={"no-such-program": "its-package", "sh": "dash"})
    monkeypatch.setattr(command, "load", lambda name: absent)
    assert not command.run("absent", "quick")
    said = capsys.readouterr().out
    assert said == (
        "absent: left out, no-such-program not found (Debian: apt install its-package)\n"
    )


def test_a_benchmark_that_ran_prints_its_tables_and_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(effort: report.Effort) -> list[Table]:
        assert effort == "full"
        return [Table("Pages", "us", [BARE, GATED])]

    made = SimpleNamespace(NEEDS={"sh": "dash"}, measure=measure)
    monkeypatch.setattr(command, "load", lambda name: made)
    monkeypatch.setattr(command, "RESULTS", tmp_path)
    assert command.run("pages", "full")
    assert "gated" in capsys.readouterr().out
    assert json.loads((tmp_path / "pages.json").read_text())["benchmark"] == "pages"
