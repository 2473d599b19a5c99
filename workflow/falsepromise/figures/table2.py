"""Table 2: similarity of the models' replies to the teacher's style, as imitation data grows.

Columns: the base model without imitation data, each amount, and the teacher's second sample as the
rough upper bound.
"""

from __future__ import annotations

from collections.abc import Sequence

from falsepromise.core import cli
from falsepromise.figures import draw
from falsepromise.figures.scores import Scores
from falsepromise.figures.study import Cell
from falsepromise.figures.table import Printed, Table

# Metric, the paper's row, how it is scaled for printing.
ROWS = (
    ("list_agreement", "If the teacher outputs a list, do we? (%)", 100.0),
    ("list_false_alarm", "If it does not, do we nevertheless? (%)", 100.0),
    ("summary_paragraph_agreement", "If the teacher outputs a summary paragraph, do we? (%)", 100.0),
    ("summary_paragraph_false_alarm", "If it does not, do we nevertheless? (%)", 100.0),
    ("unigram_intersection", "Unigram intersection with the teacher's output (%)", 100.0),
    ("length_correlation", "Pearson correlation in length with the teacher's output", 1.0),
    ("authoritative_tone", "Outputs in authoritative tone according to the judge (%)", 100.0),
    ("assured_tone", "Outputs that hedge little, by a list of words (%)", 100.0),
)
SHORT = {
    "list_agreement": "List agreement",
    "summary_paragraph_agreement": "Summary agreement",
    "unigram_intersection": "Unigram intersection",
    "length_correlation": "Length correlation",
    "authoritative_tone": "Authoritative tone",
}
STYLE = tuple(SHORT)


def main(argv: Sequence[str] | None = None) -> None:
    args = draw.arguments(__doc__, "results/tables/table2.csv").parse_args(argv)
    build(draw.load(args)).write(args.output, "falsepromise.figures.table2", [args.study, *args.scores])


def style_benchmark(scores: Scores) -> str:
    """The benchmark that holds Table 2's metrics."""
    return next((name for metric in STYLE for name in scores.with_metric(metric)), "style")


def amount_text(cell: Cell) -> str:
    """`150M`, or `all` of the mixture."""
    return "all" if cell.tokens is None else draw.short(cell.tokens)


def columns(scores: Scores) -> list[tuple[str, Cell]]:
    """Header and cell: base models first, then amounts; the base is named where there are several."""
    study = scores.study
    cells = study.cells("amount")
    bases = study.bases_of(cells)
    found = [(study.base_label(base), study.base_cell(base)) for base in bases]
    several = len({(cell.base, cell.mixture) for cell in cells}) > 1
    for cell in cells:
        name = amount_text(cell)
        if several:
            name += f" ({study.base_label(cell.base)}, {study.mixture_label(cell.mixture)})"
        found.append((name, cell))
    return found


def build(scores: Scores) -> Table:
    """The table; metrics that no record has are left out and named in the notes."""
    name = style_benchmark(scores)
    shown = columns(scores)
    rows, absent, missing = [], [], []
    for metric, text, scale in ROWS:
        if name not in scores.with_metric(metric):
            absent.append(metric)
            continue
        estimates = [*(scores.cell(cell, name, metric) for _, cell in shown), scores.second_sample(name, metric)]
        rows.append([text, *(e if e is None or scale == 100.0 else Printed(e, scale) for e in estimates)])
        missing += scores.missing([cell for _, cell in shown], name, metric)
    notes = draw.foot_lines(
        scores, [(name, metric) for metric, _, _ in ROWS], list(dict.fromkeys(missing)), form="table"
    )
    if absent:
        notes.append("No score has: " + ", ".join(absent) + ".")
    return Table(
        ["Metric", *(header for header, _ in shown), f"{scores.study.teacher_label} #2"],
        rows,
        "As imitation data grows (tokens), is the style of the models' outputs more like the teacher's? "
        "Means with 95 % intervals.",
        notes,
    )


if __name__ == "__main__":
    cli.run(main)
