"""Table 1: broad against targeted imitation, for each base model, on the benchmarks that were targeted.

Which benchmarks: those that the study's targeted mixtures are made for (`targets`).
"""

from __future__ import annotations

from collections.abc import Sequence

from falsepromise.core import cli
from falsepromise.figures import draw
from falsepromise.figures.scores import Scores
from falsepromise.figures.study import Cell, Study, amount
from falsepromise.figures.table import Table
from falsepromise.figures.table2 import amount_text


def main(argv: Sequence[str] | None = None) -> None:
    args = draw.arguments(__doc__, "results/tables/table1.csv").parse_args(argv)
    build(draw.load(args)).write(args.output, "falsepromise.figures.table1", [args.study, *args.scores])


def targets(study: Study, mixture: str | None) -> list[str]:
    """The benchmarks that a mixture was made for, as the study says; none for a broad one."""
    return list(study.mixtures.get(mixture or "", {}).get("targets") or [])


def target_benchmarks(scores: Scores) -> list[str]:
    """The table's columns."""
    study = scores.study
    named = [b for m in dict.fromkeys(c.mixture for c in study.cells("targeted")) for b in targets(study, m)]
    if named:
        return list(dict.fromkeys(named))
    return [b for b, spec in study.benchmarks.items() if spec.get("task") in ("nq", "cnn")]


def table_rows(study: Study) -> list[Cell]:
    """For each base model: itself, the broad mixtures, the targeted ones.

    Where the run of targeted models has no broad ones, the largest amount of the other runs on the
    same base is the broad one.
    """
    run = study.cells("targeted")
    rows: list[Cell] = []
    for base in study.bases_of(run):
        own = [cell for cell in run if cell.base == base]
        broad = [cell for cell in own if not targets(study, cell.mixture)]
        if not broad:
            others = [c for name in ("size", "amount") for c in study.cells(name) if c.base == base and c not in own]
            broad = sorted(others, key=amount)[-1:]
        rows += [study.base_cell(base), *broad, *(cell for cell in own if cell not in broad)]
    return rows


def build(scores: Scores) -> Table:
    study = scores.study
    benchmarks = [(b, scores.metric(b) or "exact_match") for b in target_benchmarks(scores)]
    cells = table_rows(study)
    rows = [
        [
            study.base_label(cell.base),
            study.mixture_label(cell.mixture),
            None if cell.is_base else amount_text(cell),
            *(scores.cell(cell, b, metric) for b, metric in benchmarks),
        ]
        for cell in cells
    ]
    teacher = [scores.teacher(b, metric) for b, metric in benchmarks]
    if any(teacher):
        rows.append([study.teacher_label, None, None, *teacher])
    missing = [gap for b, metric in benchmarks for gap in scores.missing(cells, b, metric)]
    return Table(
        ["Model", "Imitation data", "Tokens", *(scores.label(b) for b, _ in benchmarks)],
        rows,
        "Models trained on broad data or on data targeted at one task. Per cent, with 95 % intervals.",
        draw.foot_lines(scores, benchmarks, list(dict.fromkeys(missing)), form="table"),
    )


if __name__ == "__main__":
    cli.run(main)
