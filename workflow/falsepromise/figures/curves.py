"""A panel's curves: a metric by the amount of imitation data, and by the base model's size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from falsepromise.figures import draw
from falsepromise.figures.scores import Estimate, Missing, Scores
from falsepromise.figures.study import Cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def by_amount(
    axes: Axes, scores: Scores, name: str, metric: str, floor: float | None = 0.0
) -> list[Missing]:
    """One line for each base model (and mixture) over its amounts; the base models as levels."""
    study, scale = scores.study, scores.known(name, metric).scale
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
    axes: Axes, scores: Scores, name: str, metric: str, floor: float | None = 0.0
) -> list[Missing]:
    """Imitation models and their base models over the base model's parameters."""
    study, scale = scores.study, scores.known(name, metric).scale
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
