"""Write Table 1: broad against targeted imitation, for each base model, on the targeted benchmarks.

These are the benchmarks that the study's mixtures target (`targets`).
"""

from __future__ import annotations

from collections.abc import Sequence

from falsepromise.core import cli
from falsepromise.figures import draw
from falsepromise.figures.foot import foot_lines
from falsepromise.figures.labels import amount_text
from falsepromise.figures.scores import Scores
from falsepromise.figures.select import table_rows, target_benchmarks
from falsepromise.figures.table import Table, shown


def main(argv: Sequence[str] | None = None) -> None:
    args = draw.arguments(__doc__, "results/tables/table1.csv").parse_args(argv)
    build(draw.load(args)).write(args.output, "falsepromise.figures.table1", [args.study, *args.scores])


def build(scores: Scores) -> Table:
    study = scores.study
    benchmarks = [(b, scores.metric(b) or "exact_match") for b in target_benchmarks(scores)]
    cells = table_rows(study)
    rows = [
        [
            study.base_label(cell.base),
            study.mixture_label(cell.mixture),
            None if cell.is_base else amount_text(cell),
            *(shown(scores, scores.cell(cell, b, metric), b, metric) for b, metric in benchmarks),
        ]
        for cell in cells
    ]
    teacher = [shown(scores, scores.teacher(b, metric), b, metric) for b, metric in benchmarks]
    if any(teacher):
        rows.append([study.teacher_label, None, None, *teacher])
    units = {b: "" if known.is_share else f": {known.axis}" for b, m in benchmarks for known in [scores.known(b, m)]}
    missing = [gap for b, metric in benchmarks for gap in scores.missing(cells, b, metric)]
    return Table(
        ["Model", "Imitation data", "Tokens", *(scores.label(b) + units[b] for b, _ in benchmarks)],
        rows,
        "Models trained on broad data or on data targeted at one task. Per cent, unless a column says otherwise, with "
        "95 % intervals.",
        foot_lines(scores, benchmarks, list(dict.fromkeys(missing)), form="table"),
    )


if __name__ == "__main__":
    cli.run(main)
