"""Write tables as CSV for programs, Markdown and HTML for pages, and LaTeX (booktabs) for papers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from falsepromise.core.manifest import write_manifest
from falsepromise.core.records import atomic_open
from falsepromise.core.text import cell, latex, markdown
from falsepromise.figures.metrics import STYLE
from falsepromise.figures.scores import Estimate, Scores

GAP = "–"
_INTERVAL = re.compile(r"[+-]?\b[\d.]{1,30} \[[+-]?[\d.]{1,30}, [+-]?[\d.]{1,30}\]")
_CSS = (
    "body {font: 14px/1.45 system-ui, sans-serif; color: #222; background: #fff; margin: 1.5rem}"
    "p, pre {max-width: 60rem} pre {white-space: pre-wrap; background: #f4f4f4; padding: .6rem}"
    "table {border-collapse: collapse; font-size: 13px; margin: .8rem 0} .number {white-space: nowrap}"
    "th, td {padding: .25rem .6rem; text-align: left; vertical-align: top; border-bottom: 1px solid #ddd}"
    "th {border-bottom: 2px solid #222; vertical-align: bottom}"
)


@dataclass(frozen=True)
class Printed:
    """An estimate with another scale than its table's."""

    estimate: Estimate
    scale: float = 1.0
    digits: int = 2


@dataclass
class Table:
    """A table of texts and estimates.

    Args:
        columns: The header.
        rows: A text, a number, an `Estimate` or None (a gap) for each column.
        caption: One sentence.
        notes: Lines below the table: study, n, stand-ins, gaps.
        scale: The factor for printed estimates; 100 for per cent.
        digits: Decimal places of estimates.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str
    notes: Sequence[str] = field(default_factory=tuple)
    scale: float = 100.0
    digits: int = 1

    def text(self, value: Any) -> str:
        """A cell as text: `17.0 [15.2, 18.9]`."""
        if value is None:
            return GAP
        if isinstance(value, Printed):
            return spell(value.estimate, value.scale, value.digits)
        if isinstance(value, Estimate):
            return spell(value, self.scale, self.digits)
        return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)

    def texts(self) -> list[list[str]]:
        return [[self.text(value) for value in row] for row in self.rows]

    def write(self, output: Path, module: str, inputs: Sequence[Path], config: dict[str, Any] | None = None) -> None:
        """Write `output` (.csv), .md, .html and .tex, and the manifest."""
        self = self.compact()
        page = self.markdown()
        for suffix, text in ((".csv", self.csv()), (".md", page), (".html", webpage(page)), (".tex", self.latex())):
            with atomic_open(output.with_suffix(suffix)) as stream:
                stream.write(text)
        write_manifest(output.with_suffix(".csv"), module=module, inputs=inputs, config=config or {})

    def compact(self) -> Table:
        """The table without empty columns and without rows that have no number; a note names those."""
        numeric = [i for i in range(len(self.columns)) if any(isinstance(r[i], Estimate | Printed) for r in self.rows)]
        rows = [row for row in self.rows if not numeric or any(row[i] is not None for i in numeric)]
        full = [i for i in range(len(self.columns)) if not rows or any(row[i] is not None for row in rows)]
        gone = [row for row in self.rows if row not in rows]
        lost = [" ".join(v for v in row if isinstance(v, str) and v != GAP) for row in gone]
        lost += [str(self.columns[i]) for i in range(len(self.columns)) if i not in full]
        notes = [*self.notes, *([f"Left out, without a number: {'; '.join(dict.fromkeys(lost))}."] if lost else [])]
        columns = [self.columns[i] for i in full]
        return replace(self, columns=columns, rows=[[row[i] for i in full] for row in rows], notes=notes)

    def csv(self) -> str:
        """An estimate fills four columns: value, low, high (as in the score files, unscaled) and n."""
        import pandas

        wide = {i for row in self.rows for i, value in enumerate(row) if isinstance(value, Estimate | Printed)}
        header = [
            name
            for i, column in enumerate(self.columns)
            for name in ((column, f"{column} low", f"{column} high", f"{column} n") if i in wide else (column,))
        ]
        rows = []
        for row in self.rows:
            cells: list[Any] = []
            for i, value in enumerate(row):
                value = value.estimate if isinstance(value, Printed) else value
                if isinstance(value, Estimate):
                    cells += [value.value, value.low, value.high, value.n]
                else:
                    cells += [cell(value) if isinstance(value, str) else value] + [None] * (3 if i in wide else 0)
            rows.append(cells)
        frame = pandas.DataFrame(rows, columns=[cell(name) for name in header], dtype=object)
        return frame.to_csv(index=False, lineterminator="\n")

    def markdown(self) -> str:
        """A GitHub table; texts from data are escaped."""
        lines = [f"**{markdown(self.caption)}**", "", markdown_table(self.columns, self.texts()), ""]
        lines += [f"{markdown(note)}\n" for note in self.notes]
        return "\n".join(lines).rstrip() + "\n"

    def latex(self) -> str:
        """A `table` with booktabs rules and the notes below in small print; text is escaped.

        A table that is wider than the line is shrunk to it (graphicx).
        """
        import pandas

        numeric = [all(not isinstance(row[i], str) for row in self.rows) for i in range(len(self.columns))]
        head, *cells = [[latex(text, lines=False) for text in row] for row in (self.columns, *self.texts())]
        frame = pandas.DataFrame(cells, columns=head)
        # Escaped already: pandas leaves a row's leading bracket, and letters that LaTeX's default font lacks.
        form = "".join("r" if right else "l" for right in numeric)
        body = frame.to_latex(index=False, escape=False, column_format=form)
        notes = r" \\ ".join(latex(note) for note in self.notes)
        return (
            "\\begin{table}\n\\centering\n"
            f"\\caption{{{latex(self.caption)}}}\n"
            f"\\resizebox{{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}}{{!}}{{%\n{body}}}\n"
            + (f"\\par\\smallskip{{\\footnotesize {notes}\\par}}\n" if notes else "")
            + "\\end{table}\n"
        )


def spell(estimate: Estimate, scale: float = 100.0, digits: int = 1) -> str:
    """An estimate as text: `17.0 [15.2, 18.9]`."""
    value, low, high = (f"{x * scale:.{digits}f}" for x in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def shown(scores: Scores, estimate: Estimate | None, benchmark: str, metric: str) -> Estimate | Printed | None:
    """A score times 100, or as it is if it is no share, such as a perplexity."""
    known = scores.known(benchmark, metric)
    return Printed(estimate) if estimate and known.scale == 1.0 and metric not in STYLE else estimate


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A pipe table, cells escaped."""
    from tabulate import tabulate

    clean = [[markdown(text) for text in row] for row in rows]
    return tabulate(clean, [markdown(c) for c in columns], tablefmt="pipe", disable_numparse=True)


def webpage(markdown: str) -> str:
    """A Markdown page as HTML, for the report. HTML in the text is shown as text."""
    from markdown_it import MarkdownIt

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    body = _INTERVAL.sub(r'<span class="number">\g<0></span>', body)
    return f'<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8"><style>{_CSS}</style>\n{body}</html>\n'
