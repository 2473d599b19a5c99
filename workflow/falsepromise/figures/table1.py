"""Table 1: broad against targeted imitation, for each base model, on the benchmarks that were targeted.

Which benchmarks: those that a mixture of the study names in `targets`, else the question answering
and summarisation ones.
"""

from __future__ import annotations

from collections.abc import Sequence

from falsepromise.core import cli
from falsepromise.figures import draw
from falsepromise.figures.scores import Scores
from falsepromise.figures.study import Cell, Study
from falsepromise.figures.table import Table


def main(argv: Sequence[str] | None = None) -> None:
    args = draw.arguments(__doc__, "results/tables/table1.csv").parse_args(argv)
    build(draw.load(args)).write(args.output, "falsepromise.figures.table1", [args.study, *args.scores])


def targets(study: Study, mixture: str | None) -> list[str]:
    """The benchmarks that a mixture was made for; none for a broad one."""
    if mixture is None:
        return []
    named = study.mixtures.get(mixture, {}).get("targets") or []
    return [named] if isinstance(named, str) else list(named)


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
    same base stands in for them.
    """
    targeted = study.cells("targeted")
    rows: list[Cell] = []
    for base in study.bases_of(targeted):
        own = [cell for cell in targeted if cell.base == base]
        rows.append(study.base_cell(base))
        broad = [cell for cell in own if not targets(study, cell.mixture)]
        if not broad or len(broad) == len(own):
            used = {cell.mixture for cell in own}
            others = [c for run in ("amount", "size") for c in study.cells(run) if c.base == base]
            others = [c for c in others if c.mixture not in used]
            broad = [*({c.tokens: c for c in others}[max(c.tokens for c in others)],)] if others else []
            own = [*broad, *(c for c in own if c not in broad)]
        else:
            own = [*broad, *(c for c in own if c not in broad)]
        rows += own
    return rows


def build(scores: Scores) -> Table:
    study = scores.study
    benchmarks = [(b, scores.metric(b) or "exact_match") for b in target_benchmarks(scores)]
    cells = table_rows(study)
    rows = [
        [
            study.base_label(cell.base),
            study.mixture_label(cell.mixture),
            draw.short(cell.tokens) if cell.tokens else None,
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
        draw.foot_lines(scores, benchmarks, list(dict.fromkeys(missing)), table=True),
    )


if __name__ == "__main__":
    cli.run(main)
