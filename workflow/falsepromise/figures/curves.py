"""Draw a panel's curves: a metric by the amount of imitation data, and by the base model's size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from falsepromise.figures import draw
from falsepromise.figures.scores import Estimate, Missing, Scores
from falsepromise.figures.study import Cell, Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Label = tuple[str, float, str]  # a line's name, its height, its colour


def by_amount(
    axes: Axes, scores: Scores, name: str, metric: str, floor: float | None = 0.0, named: bool = False
) -> list[Missing]:
    """One line for each base model (and mixture) over its amounts; the base models as levels.

    Args:
        floor: The beginning of the axis; None: where the data begin.
        named: Whether to write the lines' names beside them, if no key is needed.
    """
    study, scale = scores.study, scores.known(name, metric).scale
    cells = [cell for cell in study.cells("amount") if cell.tokens]
    unplaced = without_place(name, study.cells("amount"))
    bases = study.bases_of(cells)
    draw.amount_axis(axes, [c.tokens or 0 for c in cells])
    labels = []
    for base in bases:
        estimate = scores.cell(study.base_cell(base), name, metric)
        if estimate:
            draw.level(axes, estimate, draw.BASE, scale=scale)
            text = "base model" if len(bases) == 1 else study.base_label(base)
            labels.append((text, estimate.value * scale, draw.BASE))
    groups = series(cells)
    for index, group in enumerate(groups):
        estimates = [scores.cell(cell, name, metric) for cell in group]
        last = _line(axes, [cell.tokens or 0 for cell in group], estimates, scale, index)
        if last and len(groups) == 1:
            labels.append(("imitation", last.value * scale, draw.PALETTE[0]))
    _name(axes, labels, finish(axes, scores, name, metric, floor), named, len(groups))
    if len(groups) > 1 and len(bases) > 1:
        draw.name_levels(axes, labels)  # the key can't tell one black line from another
    return unplaced + scores.missing([*(study.base_cell(b) for b in bases), *cells], name, metric)


def without_place(name: str, cells: Sequence[Cell]) -> list[Missing]:
    """The models whose amount is all of a mixture."""
    why = "its amount is all of the mixture, which has no place on the axis"
    return [Missing(model, name, why) for cell in cells if not cell.tokens for model in cell.models]


def by_size(axes: Axes, scores: Scores, name: str, metric: str, named: bool = False) -> list[Missing]:
    """Imitation models and their base models over the base model's parameters."""
    study, scale = scores.study, scores.known(name, metric).scale
    cells = study.cells("size")
    bases = [study.base_cell(base) for base in study.bases_of(cells)]
    sizes = [study.parameters(cell.base) for cell in bases]
    named_sizes: dict[float, list[str]] = {}
    for x, cell in zip(sizes, bases, strict=True):
        named_sizes.setdefault(x, []).append(cell.label)
    draw.size_axis(axes, {x: "\n".join(labels) for x, labels in named_sizes.items()})
    labels = []
    found = [(x, e) for x, cell in zip(sizes, bases, strict=True) if (e := scores.cell(cell, name, metric))]
    if found:
        # Base and imitation models are drawn a little apart, so that both are visible at equal scores.
        draw.points(
            axes, [draw.nudge(axes, x, -0.01) for x, _ in found], [e for _, e in found], draw.BASE, scale, marker="s"
        )
    groups = series(cells, by_base=False)
    for index, group in enumerate(groups):
        xs = [draw.nudge(axes, study.parameters(c.base), 0.01) for c in group]
        last = _line(axes, xs, [scores.cell(cell, name, metric) for cell in group], scale, index)
        if last and len(groups) == 1:
            labels.append(("imitation", last.value * scale, draw.PALETTE[0]))
    _name(axes, labels, finish(axes, scores, name, metric, 0.0), named, len(groups))
    return scores.missing([*bases, *cells], name, metric)


def finish(axes: Axes, scores: Scores, name: str, metric: str, floor: float | None) -> list[Label]:
    """The value axis, then the reference lines: chance, the teacher, its second sample.

    A line that would leave the data less than half of the panel is replaced by an arrow with its number.

    Returns:
        The names of the lines, for `draw.name_lines`.
    """
    known, labels = scores.known(name, metric), []
    draw.value_axis(axes, floor, draw.LEAST_TOP if known.scale > 1 else 0.0)
    chance = scores.chance(name, metric)
    if chance is not None:
        axes.axhline(chance * known.scale, color=draw.QUIET, linewidth=0.9, linestyle=":", zorder=1.4)
        labels.append(("chance", chance * known.scale, draw.QUIET))
    teacher = scores.teacher(name, metric)
    bound = teacher or scores.second_sample(name, metric)
    if bound:
        text = scores.study.teacher_label + ("" if teacher else ", second sample")
        bottom, top = axes.get_ylim()
        if bound.value * known.scale - bottom > 2 * (top - bottom):
            axes.set_ylim(bottom, top + 0.1 * (top - bottom))
            draw.beyond(axes, text, f"{bound.value * known.scale:.{known.digits - 1}f}", draw.TEACHER)
        else:
            draw.level(axes, bound, draw.TEACHER, dashed=True, scale=known.scale)
            axes.set_ylim(bottom, max(top, bound.high * known.scale + 0.05 * (top - bottom)))
            labels.append((text, bound.value * known.scale, draw.TEACHER))
    return labels


def series(cells: Sequence[Cell], by_base: bool = True) -> list[list[Cell]]:
    """Cells on one line: the same mixture and, over amounts, the same base model."""
    groups: dict[tuple, list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.base if by_base else "", cell.mixture), []).append(cell)
    return list(groups.values())


def needs_key(study: Study) -> bool:
    """Whether there are several base models or mixtures, which need a key; otherwise names beside the lines do."""
    return max(len(series(study.cells("amount"))), len(series(study.cells("size"), by_base=False))) > 1


def key_entries(scores: Scores, names: Sequence[str], metric: str | None = None) -> list[tuple[str, str, dict]]:
    """The meanings of the colours, for the key above the panels."""
    study = scores.study
    groups = series(study.cells("amount")) or series(study.cells("size"), by_base=False)
    several = len(groups) > 1
    entries: list[tuple[str, str, dict]] = []
    for index, group in enumerate(groups):
        text = "Imitation models"
        if several:
            text += f" ({study.base_label(group[0].base)}, {study.mixture_label(group[0].mixture)})"
        entries.append((text, *draw.look(index)))
    entries.append(("Base model, no imitation", draw.BASE, {}))
    measured = [(name, m) for name in names if (m := metric or scores.metric(name))]
    if any(scores.teacher(*pair) for pair in measured):
        entries.append((study.teacher_label, draw.TEACHER, {"linestyle": "--"}))
    if any(scores.chance(*pair) is not None for pair in measured):
        entries.append(("Chance", draw.QUIET, {"linestyle": ":"}))
    return entries


def _name(axes: Axes, labels: Sequence[Label], references: Sequence[Label], named: bool, lines: int) -> None:
    """Write names beside a single line and its references; several lines have a key instead."""
    if named and lines == 1:
        draw.name_lines(axes, [*labels, *references])
    elif lines == 1:
        draw.name_levels(axes, references)


def _line(
    axes: Axes, xs: Sequence[float], estimates: Sequence[Estimate | None], scale: float, index: int
) -> Estimate | None:
    """One line, broken at a missing estimate; returns its last estimate."""
    run_x: list[float] = []
    run_e: list[Estimate] = []
    color, line = draw.look(index)
    for x, estimate in zip([*xs, 0.0], [*estimates, None], strict=True):
        if estimate:
            run_x.append(x)
            run_e.append(estimate)
        elif run_x:
            draw.points(axes, run_x, run_e, color, scale, **line)
            run_x, run_e = [], []
    return next((estimate for estimate in reversed(estimates) if estimate), None)
