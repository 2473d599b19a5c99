"""Draw Table 2 as a figure: each style metric by the amount of imitation data.

The black line is the base model without imitation data, the dashed line the teacher's second sample.
The dotted line is the false-alarm rate: how often a model has a list (a summary paragraph) where the
teacher has none. Agreement above this line is meaningful.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from falsepromise.core import cli
from falsepromise.figures import draw
from falsepromise.figures.claims import verdict
from falsepromise.figures.curves import by_amount, key_entries
from falsepromise.figures.foot import foot_lines
from falsepromise.figures.metrics import STYLE
from falsepromise.figures.scores import Scores
from falsepromise.figures.select import style_benchmark
from falsepromise.style.metrics import StyleMetric

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def main(argv: Sequence[str] | None = None) -> None:
    args = draw.arguments(__doc__, "results/figures/fig_style.pdf").parse_args(argv)
    scores = draw.load(args)
    with draw.style():
        figure = draw_figure(scores)
        draw.save(figure, args.output, "falsepromise.figures.fig_style", [args.study, *args.scores], {})


def draw_figure(scores: Scores) -> Figure:
    """A panel for each of Table 2's metrics in the records."""
    name = style_benchmark(scores)
    metrics = [row for metric, row in STYLE.items() if name in scores.with_metric(metric)]
    columns = max(len(metrics), 1) if len(metrics) <= 4 else -(-len(metrics) // 2)
    rows = -(-max(len(metrics), 1) // columns)
    figure = draw.new_figure(min(draw.PAGE, 0.6 + 1.75 * columns), 0.85 + 1.85 * rows)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    missing, second, alarms = [], False, False
    for metric, axes in zip(metrics, panels, strict=False):
        draw.titled(axes, metric.label, verdict(scores, "style", name, metric.name))
        floor = None if metric.low < 0 else 0.0
        missing += by_amount(axes, scores, name, metric.name, floor)
        alarms = draw_false_alarms(axes, scores, name, metric) or alarms
        second = second or bool(scores.second_sample(name, metric.name))
        axes.set_ylabel("Per cent" if metric.unit == "%" else metric.unit)
    for axes in panels[len(metrics) :]:
        axes.set_axis_off()
    if not metrics:
        axes = figure.axes[0]
        axes.set_axis_on()
        draw.empty(axes, "Style", "no style metrics in the score files")
    else:
        entries = key_entries(scores, [])
        if second:
            entries.append((f"{scores.study.teacher_label}, second sample", draw.TEACHER, {"linestyle": "--"}))
        if alarms:
            entries.append(("False alarms", draw.ORANGE, {"linestyle": ":", "marker": "x"}))
        draw.key(figure, entries)
    used = [(name, metric.name) for metric in metrics]
    draw.foot(figure, foot_lines(scores, used, list(dict.fromkeys(missing)), cells=scores.study.cells("amount")))
    return figure


def draw_false_alarms(axes: Axes, scores: Scores, name: str, metric: StyleMetric) -> bool:
    """The dotted line of a panel, if the metric has false alarms and the records count them."""
    found = [
        (float(cell.tokens), estimate)
        for cell in scores.study.cells("amount")
        if metric.alarm and cell.tokens and (estimate := scores.cell(cell, name, metric.alarm))
    ]
    axes.plot(
        [x for x, _ in found], [e.value * metric.scale for _, e in found], "x:", color=draw.ORANGE, markersize=3.5
    )  # fmt: skip
    draw.value_axis(axes, axes.get_ylim()[0])
    return bool(found)


if __name__ == "__main__":
    cli.run(main)
