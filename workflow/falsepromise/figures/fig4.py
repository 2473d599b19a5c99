"""Figure 4: each benchmark by the amount of imitation data (top) and by the base model's size (bottom).

The black line of the top row is the base model without imitation data, the dashed line the teacher;
in the bottom row the black line joins the base models, the blue one the imitation models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from falsepromise.core import cli
from falsepromise.figures import draw
from falsepromise.figures.curves import by_amount, by_size, key_entries
from falsepromise.figures.foot import foot_lines
from falsepromise.figures.scores import Missing, Scores
from falsepromise.figures.select import capability_benchmarks

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def main(argv: Sequence[str] | None = None) -> None:
    parser = draw.arguments(__doc__, "results/figures/fig4.pdf")
    parser.add_argument("--benchmarks", nargs="+", help="which to draw, in this order (default: all but toxicity)")
    args = parser.parse_args(argv)
    scores = draw.load(args)
    names = args.benchmarks or capability_benchmarks(scores)
    with draw.style():
        figure = draw_figure(scores, names)
        draw.save(figure, args.output, "falsepromise.figures.fig4", [args.study, *args.scores], {"benchmarks": names})


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
            missing += (by_amount if run == "amount" else by_size)(axes, scores, name, metric)
            axes.set_ylabel(scores.known(name, metric).axis)
    draw.key(figure, key_entries(scores, names))
    used = [(name, scores.metric(name) or "") for name in names if not scores.not_scored(name)]
    draw.foot(figure, foot_lines(scores, used, list(dict.fromkeys(missing))))
    return figure


if __name__ == "__main__":
    cli.run(main)
