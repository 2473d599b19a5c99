"""Draw figure 4: each benchmark by the amount of imitation data (top) and by the base model's size (bottom).

The black line of the top row is the base model without imitation data, the dashed line the teacher;
in the bottom row the black line joins the base models, the blue one the imitation models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from falsepromise.core import cli
from falsepromise.figures import draw
from falsepromise.figures.claims import verdict
from falsepromise.figures.curves import by_amount, by_size, key_entries, needs_key
from falsepromise.figures.foot import foot_lines
from falsepromise.figures.scores import Missing, Scores
from falsepromise.figures.select import capability_benchmarks, drawn, known_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def main(argv: Sequence[str] | None = None) -> None:
    parser = draw.arguments(__doc__, "results/figures/fig4.pdf")
    parser.add_argument("--benchmarks", nargs="+", help="benchmarks to draw, in this order (default: all but toxicity)")
    args = parser.parse_args(argv)
    scores = draw.load(args)
    known_names(scores, args.benchmarks or [], "--benchmarks")
    names = args.benchmarks or capability_benchmarks(scores)
    with draw.style():
        figure = draw_figure(scores, names)
        draw.save(figure, args.output, "falsepromise.figures.fig4", [args.study, *args.scores], {"benchmarks": names})


def draw_figure(scores: Scores, names: Sequence[str]) -> Figure:
    """Columns `names`, rows amount and size; a benchmark without scores becomes a line at the foot."""
    study = scores.study
    shown, absent = drawn(scores, names)
    rows = [run for run in ("amount", "size") if study.cells(run)]
    width = min(draw.PAGE, 1.5 + 1.9 * max(len(shown), 1))
    figure = draw.new_figure(width, 0.75 + 1.85 * max(len(rows), 1))
    panels = figure.subplots(max(len(rows), 1), max(len(shown), 1), squeeze=False)
    missing: list[Missing] = []
    for row, run in enumerate(rows):
        curve, claim = (by_amount, "capability") if run == "amount" else (by_size, "bases")
        for column, name in enumerate(shown):
            axes = panels[row][column]
            metric = str(scores.metric(name))
            draw.titled(axes, scores.label(name) if row == 0 else "", verdict(scores, claim, name))
            missing += curve(axes, scores, name, metric, named=column == len(shown) - 1)
            draw.value_label(axes, scores.known(name, metric).axis)
        if not shown:
            draw.empty(panels[row][0], "", "; ".join(absent) or "the study has no benchmark")
    if needs_key(study) or not shown:
        draw.key(figure, key_entries(scores, shown))
    used = [(name, str(scores.metric(name))) for name in shown]
    cells = [cell for run in rows for cell in study.cells(run)]
    lines = foot_lines(scores, used, list(dict.fromkeys(missing)), cells=cells)
    draw.foot(figure, [*lines, *([f"No panel: {'; '.join(absent)}."] if absent else [])])
    return figure


if __name__ == "__main__":
    cli.run(main)
