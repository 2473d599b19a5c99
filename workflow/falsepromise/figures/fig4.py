"""Figure 4: each benchmark by the amount of imitation data (top) and by the base model's size (bottom).

The black line of the top row is the base model without imitation data, the dashed line the teacher;
in the bottom row the black line joins the base models, the blue one the imitation models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from falsepromise.core import cli
from falsepromise.figures import draw
from falsepromise.figures.scores import Estimate, Missing, Scores
from falsepromise.figures.study import Cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PERCENT = 100.0
METRICS = {
    "acc": "Accuracy (%)", "exact_match": "Exact match (%)", "exact_match_flexible": "Exact match (%)",
    "exact_match_strict": "Exact match (%)", "pass@1": "pass@1 (%)", "rouge1": "ROUGE-1", "rouge2": "ROUGE-2",
    "rougeL": "ROUGE-L", "rougeLsum": "ROUGE-Lsum", "nontoxicity": "Non-toxicity (%)",
    "equal_or_better": "Equal or better (%)", "preferred": "Preferred (%)",
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    parser = draw.arguments(__doc__, "results/figures/fig4.pdf")
    parser.add_argument("--benchmarks", nargs="+", help="which to draw, in this order (default: all but toxicity)")
    args = parser.parse_args(argv)
    scores = draw.load(args)
    names = args.benchmarks or capability_benchmarks(scores)
    with draw.style():
        figure = draw_figure(scores, names)
        draw.save(figure, args.output, "falsepromise.figures.fig4", [args.study, *args.scores], {"benchmarks": names})


def capability_benchmarks(scores: Scores) -> list[str]:
    """The study's benchmarks that measure what a model can do."""
    return [b for b, spec in scores.study.benchmarks.items() if spec.get("task") not in ("toxicity", "style")]


def draw_figure(scores: Scores, names: Sequence[str]) -> Figure:
    """Columns `names`, rows amount and size."""
    study = scores.study
    rows = [run for run in ("amount", "size") if study.cells(run)]
    width = min(draw.PAGE, 1.0 + 1.9 * max(len(names), 1))
    figure = draw.new_figure(width, 0.75 + 1.75 * max(len(rows), 1))
    panels = figure.subplots(max(len(rows), 1), max(len(names), 1), squeeze=False)
    missing: list[Missing] = []
    for row, run in enumerate(rows):
        for column, name in enumerate(names):
            axes = panels[row][column]
            metric = scores.metric(name)
            reason = scores.not_scored(name) or (None if scores.of(name) else "no score file")
            title = scores.label(name) if row == 0 else ""
            if reason or metric is None:
                draw.empty(axes, title, reason or "no metric")
                continue
            axes.set_title(title)
            label, scale = axis(scores, name, metric)
            missing += (by_amount if run == "amount" else by_size)(axes, scores, name, metric, scale)
            axes.set_ylabel(label)
    draw.key(figure, key_entries(scores, names))
    used = [(name, scores.metric(name) or "") for name in names if not scores.not_scored(name)]
    draw.foot(figure, draw.foot_lines(scores, used, list(dict.fromkeys(missing))))
    return figure


def axis(scores: Scores, name: str, metric: str) -> tuple[str, float]:
    """A metric's label, and what its values are multiplied by: a share becomes per cent, a perplexity stays."""
    if metric in METRICS:
        return METRICS[metric], PERCENT
    records = [record for record in scores.of(name).values() if metric in record["metrics"]]
    shares = all(0.0 <= bound <= 1.0 for record in records for bound in record["metrics"][metric]["ci95"])
    lower = any(not record.get("higher_is_better", {}).get(metric, True) for record in records)
    notes = ["%"] * shares + ["lower is better"] * lower
    return metric + (f" ({', '.join(notes)})" if notes else ""), PERCENT if shares else 1.0



def by_amount(
    axes: Axes, scores: Scores, name: str, metric: str, scale: float = PERCENT, floor: float | None = 0.0
) -> list[Missing]:
    """One line for each base model (and mixture) over its amounts; the base models as levels."""
    study = scores.study
    cells = [cell for cell in study.cells("amount") if cell.tokens]
    unplaced = [
        Missing(model, name, "its amount is all of the mixture: no number to place it at")
        for cell in study.cells("amount")
        if not cell.tokens
        for model in cell.models
    ]
    bases = study.bases_of(cells)
    draw.amount_axis(axes, [c.tokens or 0 for c in cells])
    for base in bases:
        estimate = scores.cell(study.base_cell(base), name, metric)
        if estimate:
            draw.level(axes, estimate, draw.BASE, scale=scale)
    _teacher(axes, scores, name, metric, scale)
    for index, group in enumerate(series(cells)):
        _line(axes, [c.tokens or 0 for c in group], group, scores, name, metric, scale, index)
    draw.value_axis(axes, floor)
    return unplaced + scores.missing([*(study.base_cell(b) for b in bases), *cells], name, metric)


def by_size(
    axes: Axes, scores: Scores, name: str, metric: str, scale: float = PERCENT, floor: float | None = 0.0
) -> list[Missing]:
    """Imitation models and their base models over the base model's parameters."""
    study = scores.study
    cells = study.cells("size")
    bases = [study.base_cell(base) for base in study.bases_of(cells)]
    sizes = [study.parameters(cell.base) for cell in bases]
    draw.size_axis(axes, sizes)
    _teacher(axes, scores, name, metric, scale)
    found = [(x, e) for x, cell in zip(sizes, bases, strict=True) if (e := scores.cell(cell, name, metric))]
    if found:
        # Base and imitation models stand a little apart, so that equal scores show both.
        draw.points(
            axes, [draw.nudge(axes, x, -0.01) for x, _ in found], [e for _, e in found], draw.BASE, scale, marker="s"
        )
    for index, group in enumerate(series(cells, by_base=False)):
        _line(
            axes,
            [draw.nudge(axes, study.parameters(c.base), 0.01) for c in group],
            group,
            scores,
            name,
            metric,
            scale,
            index,
        )
    draw.value_axis(axes, floor)
    return scores.missing([*bases, *cells], name, metric)


def series(cells: Sequence[Cell], by_base: bool = True) -> list[list[Cell]]:
    """Cells that a line joins: the same mixture and, over amounts, the same base model."""
    groups: dict[tuple, list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.base if by_base else "", cell.mixture), []).append(cell)
    return list(groups.values())


def key_entries(scores: Scores, names: Sequence[str], metric: str | None = None) -> list[tuple[str, str, dict]]:
    """What the colours mean, for the row above the panels."""
    study = scores.study
    groups = series(study.cells("amount")) or series(study.cells("size"), by_base=False)
    several = len(groups) > 1
    entries: list[tuple[str, str, dict]] = []
    for index, group in enumerate(groups):
        text = "Imitation models"
        if several:
            text += f" ({study.base_label(group[0].base)}, {study.mixture_label(group[0].mixture)})"
        color = draw.PALETTE[index % len(draw.PALETTE)]
        entries.append((text, color, {"marker": draw.MARKERS[index % len(draw.MARKERS)]}))
    entries.append(("Base model, no imitation", draw.BASE, {}))
    if any((m := metric or scores.metric(name)) and scores.teacher(name, m) for name in names):
        entries.append((study.teacher_label, draw.TEACHER, {"linestyle": "--"}))
    return entries


def _line(
    axes: Axes,
    xs: Sequence[float],
    group: Sequence[Cell],
    scores: Scores,
    name: str,
    metric: str,
    scale: float,
    index: int,
) -> None:
    # A missing cell breaks the line: what is not measured is not joined.
    run_x: list[float] = []
    run_e: list[Estimate] = []
    color, marker = draw.PALETTE[index % len(draw.PALETTE)], draw.MARKERS[index % len(draw.MARKERS)]
    estimates = [scores.cell(cell, name, metric) for cell in group]
    for x, estimate in zip([*xs, 0.0], [*estimates, None], strict=True):
        if estimate:
            run_x.append(x)
            run_e.append(estimate)
        elif run_x:
            draw.points(axes, run_x, run_e, color, scale, marker=marker)
            run_x, run_e = [], []


def _teacher(axes: Axes, scores: Scores, name: str, metric: str, scale: float) -> None:
    estimate = scores.teacher(name, metric)
    if estimate:
        draw.level(axes, estimate, draw.TEACHER, dashed=True, scale=scale)


if __name__ == "__main__":
    cli.run(main)
