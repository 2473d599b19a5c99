"""Draw figure 0: the paper's thesis in two panels, as this run measured it.

Left, style: how much closer to the teacher's each measure comes as imitation data grow. Right, capability: the change
of each benchmark's score. Both are changes against the base model in points of a hundred on one scale, with 95 %
intervals over items and seeds; the grey band is a change too small to matter. It shows the base model with the most
amounts. The verdicts are those of `figures.versus_paper` on what a panel draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from falsepromise.core import cli
from falsepromise.figures import draw
from falsepromise.figures.claims import accuracy, style, verdict
from falsepromise.figures.curves import without_place
from falsepromise.figures.differences import MARGIN, Measure, measured
from falsepromise.figures.foot import foot_lines
from falsepromise.figures.scores import Estimate, Scores
from falsepromise.figures.select import broad, drawn
from falsepromise.figures.study import Cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def main(argv: Sequence[str] | None = None) -> None:
    args = draw.arguments(__doc__, "results/figures/fig0.pdf").parse_args(argv)
    scores = draw.load(args)
    with draw.style():
        figure = draw_figure(scores)
        draw.save(figure, args.output, "falsepromise.figures.fig0", [args.study, *args.scores], {})


def draw_figure(scores: Scores) -> Figure:
    """Style and capability on one scale."""
    study = scores.study
    figure = draw.new_figure(draw.PAGE * 0.9, 2.9)
    panels = figure.subplots(1, 2, sharey=True)
    whole = max(broad(study), key=lambda line: sum(bool(cell.tokens) for cell in line), default=[])
    cells = [cell for cell in whole if cell.tokens]
    missing = without_place("figure 0", whole)
    used: list[tuple[str, str]] = []
    named = []
    for axes, title, claim, measures in (
        (panels[0], "Style: closer to the teacher's", "style", style),
        (panels[1], "Capability: accuracy", "capability", accuracy),
    ):
        asked = measures(scores, (cells[-1], study.base_cell(cells[0].base))) if cells else []
        solved, _ = drawn(scores, [m.benchmark for m in asked if m.benchmark in study.benchmarks])
        kept = [m for m in asked if m.benchmark in solved or m.benchmark not in study.benchmarks]
        # Agreement only above its false alarms.
        alone = {m.metric for m in kept if m.less}
        curves = {m: found for m in kept if m.less or m.metric not in alone if (found := changes(scores, cells, m))}
        if not curves:
            draw.empty(axes, title, "no scores of a base model and its imitation models")
            continue
        named.append((axes, curves))
        panel(axes, curves, [float(cell.tokens or 0) for cell in cells])
        draw.titled(axes, title, verdict(scores, claim, cells=cells))
        used += [(m.benchmark, m.metric) for m in curves]
    if named and named[0][0] is panels[1]:  # the first panel is empty: it has no numbers for both
        panels[1].tick_params(labelleft=True)
    if cells:
        name = draw.one_line(study.base_label(cells[0].base), 1.3, 7.5)
        panels[0].set_ylabel(f"Change against the base model\n{name} (points)")
    for axes, curves in named:
        ends = [(m.label.removesuffix(" above false alarms"), 100 * found[-1][1].value) for m, found in curves.items()]
        colors = [draw.PALETTE[index % len(draw.PALETTE)] for index in range(len(ends))]
        draw.name_lines(axes, [(*end, color) for end, color in zip(ends, colors, strict=True)], 21)
    note = f"Grey: less than {100 * MARGIN:.0f} points. Agreement: above its false alarms; correlations: times 100."
    draw.foot(figure, [*foot_lines(scores, used, missing, form="points", cells=cells), *([note] if cells else [])])
    return figure


def changes(scores: Scores, cells: Sequence[Cell], measure: Measure) -> list[tuple[float, Estimate]]:
    """The change of each amount against the base model."""
    base = scores.study.base_cell(cells[0].base)
    found = [(float(cell.tokens or 0), measured(scores, (cell, base), measure)) for cell in cells]
    return [(tokens, change[0]) for tokens, change in found if change]


def panel(axes: Axes, curves: Mapping[Measure, Sequence[tuple[float, Estimate]]], amounts: Sequence[float]) -> None:
    """A line for each measure, with its own marker and dashes, so that colour is not needed."""
    draw.amount_axis(axes, amounts)
    axes.axhspan(-100 * MARGIN, 100 * MARGIN, color="#999999", alpha=0.2, linewidth=0, zorder=0.5)
    axes.axhline(0, color=draw.BASE, linewidth=0.9, zorder=1)
    for index, found in enumerate(curves.values()):
        xs = [draw.nudge(axes, x, 0.012 * (index - (len(curves) - 1) / 2)) for x, _ in found]
        color, line = draw.look(index)
        axes.errorbar(
            xs, [100 * e.value for _, e in found], yerr=list(zip(*(e.arms(100) for _, e in found), strict=True)),
            color=color, **line, capsize=1.6, elinewidth=0.8, zorder=3,
        )  # fmt: skip


if __name__ == "__main__":
    cli.run(main)
