"""Write Table 7: ROUGE-1, ROUGE-2 and ROUGE-L on news summarisation for broad and targeted imitation."""

from __future__ import annotations

from collections.abc import Sequence

from falsepromise.core import cli
from falsepromise.figures import draw
from falsepromise.figures.foot import foot_lines
from falsepromise.figures.metrics import KNOWN
from falsepromise.figures.scores import Scores
from falsepromise.figures.select import table_rows
from falsepromise.figures.table import Table

ROUGE = [(name, KNOWN[name].label) for name in ("rouge1", "rouge2", "rougeL")]


def main(argv: Sequence[str] | None = None) -> None:
    args = draw.arguments(__doc__, "results/tables/table7.csv").parse_args(argv)
    build(draw.load(args)).write(args.output, "falsepromise.figures.table7", [args.study, *args.scores])


def build(scores: Scores) -> Table:
    """One row for each model; a study without a summarisation benchmark gets a table with a note."""
    study = scores.study
    name = next(iter(scores.with_metric("rouge1")), None)
    caption = "ROUGE for different models, times 100, with 95 % intervals."
    if name is None:
        reasons = [r for b in scores.benchmarks if "cnn" in b and (r := scores.not_scored(b))]
        note = f"No score file has ROUGE{': ' + reasons[0] if reasons else ''}."
        return Table(["Model", "Imitation data", *(label for _, label in ROUGE)], [], caption, [note])
    cells = table_rows(study) or [study.base_cell(b) for b in study.bases]
    rows = [
        [
            study.base_label(cell.base),
            study.mixture_label(cell.mixture),
            *(scores.cell(cell, name, metric) for metric, _ in ROUGE),
        ]
        for cell in cells
    ]
    teacher = [scores.teacher(name, metric) for metric, _ in ROUGE]
    if any(teacher):
        rows.append([study.teacher_label, None, *teacher])
    missing = scores.missing(cells, name, "rouge1")
    notes = foot_lines(scores, [(name, metric) for metric, _ in ROUGE], missing, form="table")
    return Table(["Model", "Imitation data", *(label for _, label in ROUGE)], rows, caption, notes)


if __name__ == "__main__":
    cli.run(main)
