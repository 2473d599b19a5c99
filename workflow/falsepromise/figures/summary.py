"""Write every score of the study in one table: a row for each cell (mean over seeds), a column for each metric."""

from __future__ import annotations

from collections.abc import Sequence

from falsepromise.core import cli
from falsepromise.figures import draw
from falsepromise.figures.foot import foot_lines
from falsepromise.figures.labels import amount_text
from falsepromise.figures.metrics import STYLE
from falsepromise.figures.scores import Scores
from falsepromise.figures.table import Table, shown


def main(argv: Sequence[str] | None = None) -> None:
    args = draw.arguments(__doc__, "results/tables/summary.csv").parse_args(argv)
    build(draw.load(args)).write(args.output, "falsepromise.figures.summary", [args.study, *args.scores])


def metric_columns(scores: Scores) -> list[tuple[str, str, str]]:
    """(header, benchmark, metric) of each column: each benchmark's own metric, then style, then preference."""
    columns = []
    for name in scores.benchmarks:
        present = [metric for metric in (*STYLE, "equal_or_better") if name in scores.with_metric(metric)]
        own = scores.metric(name) if name in scores.study.benchmarks else None
        metrics = [own] if own and name in scores.with_metric(own) else present
        for metric in metrics:
            text = scores.known(name, metric).label
            columns.append((text if metric in STYLE else f"{scores.label(name)}: {text.lower()}", name, metric))
    return columns


def build(scores: Scores) -> Table:
    """Base models, then every cell of every run, then the teacher."""
    study = scores.study
    columns = metric_columns(scores)
    trained = study.cells(*study.runs)
    cells = [
        cell
        for base in sorted(study.bases, key=study.parameters)
        for cell in [study.base_cell(base), *(c for c in trained if c.base == base)]
    ]
    rows = [
        [
            study.base_label(cell.base),
            study.mixture_label(cell.mixture),
            None if cell.is_base else amount_text(cell),
            len(cell.models),
            *(shown(scores, scores.cell(cell, name, metric), name, metric) for _, name, metric in columns),
        ]
        for cell in cells
    ]
    teacher = [
        shown(scores, scores.teacher(name, metric) or scores.second_sample(name, metric), name, metric)
        for _, name, metric in columns
    ]
    if any(teacher):
        rows.append([study.teacher_label, None, None, 1, *teacher])
    used = [(name, metric) for _, name, metric in columns]
    notes = foot_lines(scores, used, form="table")
    unscored = [f"{scores.label(b)}: {reason}" for b in study.benchmarks if (reason := scores.not_scored(b))]
    if unscored:
        notes.append("Not scored: " + "; ".join(unscored) + ".")
    header = ["Base model", "Imitation data", "Tokens", "Seeds", *(text for text, _, _ in columns)]
    return Table(header, rows, f"All scores of the study {study.name}, shares times 100, with 95 % intervals.", notes)


if __name__ == "__main__":
    cli.run(main)
