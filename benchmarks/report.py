"""Tables of samples, one of each round: printed for people, written as JSON for programs."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Effort = Literal["quick", "normal", "full"]
"""How long a benchmark may take: some seconds, a minute at most, or what a promise asks for."""


@dataclass(frozen=True)
class Row:
    """One case.

    :param samples: one figure of each round, in the table's unit
    :param more: what else is known of the case, by its name
    """

    name: str
    samples: Sequence[float]
    more: Mapping[str, float] = field(default_factory=dict)

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def spread(self) -> tuple[float, float]:
        """-> the middle half of many rounds, the least and the most of a few"""
        if len(self.samples) < 8:
            return min(self.samples), max(self.samples)
        low, _, high = statistics.quantiles(self.samples, n=4)
        return low, high

    def ratios(self, base: Row) -> Sequence[float]:
        """the row to compare with -> the ratio in each round, as a busy moment hits both"""
        if len(self.samples) == len(base.samples):
            return [one / other for one, other in zip(self.samples, base.samples, strict=True)]
        return [self.median / base.median]


@dataclass(frozen=True)
class Table:
    """Cases side by side. The ratio is to the first row, or to the row named ``base``."""

    title: str
    unit: str
    rows: Sequence[Row]
    base: str | None = None

    def compared(self) -> list[tuple[Row, Row]]:
        """-> each row, and what came of it beside the base, as a row of ratios"""
        named = [row for row in self.rows if row.name == self.base]
        base = named[0] if named else self.rows[0]
        return [(row, Row("ratio", row.ratios(base))) for row in self.rows]

    def text(self) -> str:
        """-> lines for a terminal"""
        width = max(30, *(len(row.name) + 1 for row in self.rows))
        spread = "middle half" if len(self.rows[0].samples) >= 8 else "range"
        heads = f"{self.unit:>12} {spread:>21} {'ratio':>8} {'range':>13}"
        lines = [self.title, f"{'':<{width}}{heads}"]
        for row, ratio in self.compared():
            low, high = map(_figure, row.spread)
            ratios = f"{min(ratio.samples):.2f} - {max(ratio.samples):.2f}"
            more = "".join(f"  {name} {_figure(value)}" for name, value in row.more.items())
            lines.append(
                f"{row.name:<{width}}{_figure(row.median):>12} {f'{low} - {high}':>21} "
                f"{ratio.median:>7.2f}x {ratios:>13}{more}"
            )
        return "\n".join(lines)

    def data(self) -> dict[str, Any]:
        """-> the same as JSON has it, with the samples"""
        return {
            "title": self.title,
            "unit": self.unit,
            "rows": [
                {
                    "name": row.name,
                    "median": row.median,
                    "spread": row.spread,
                    "ratio": ratio.median,
                    "samples": list(row.samples),
                    **row.more,
                }
                for row, ratio in self.compared()
            ],
        }


def write(path: Path, name: str, effort: Effort, tables: Sequence[Table]) -> None:
    """file, benchmark, its tables -> None; one JSON document, with the machine it ran on"""
    path.parent.mkdir(parents=True, exist_ok=True)
    machine = {
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    document = {
        "benchmark": name,
        "effort": effort,
        "machine": machine,
        "tables": [table.data() for table in tables],
    }
    path.write_text(json.dumps(document, indent=1) + "\n")


def _figure(value: float) -> str:
    """number -> it with three digits that count, or all before the point"""
    size = abs(value)
    places = 0 if size >= 100 or value == int(value) else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:,.{places}f}"
