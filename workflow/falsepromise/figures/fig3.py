"""Draw figure 3: the judge's preference by the amount of imitation data (left) and by base size (right).

The share of replies that the judge finds equal to or better than the teacher's. `--benchmark` chooses
one of several judges.
"""

from __future__ import annotations

from collections.abc import Sequence

from falsepromise.core import cli
from falsepromise.figures import draw
from falsepromise.figures.panels import Panel, row
from falsepromise.figures.scores import Scores
from falsepromise.figures.select import is_human, known_names, preference_benchmarks


def main(argv: Sequence[str] | None = None) -> None:
    parser = draw.arguments(__doc__, "results/figures/fig3.pdf")
    parser.add_argument("--benchmark", help="the judge's name in the score files (default: the first judge)")
    args = parser.parse_args(argv)
    scores = draw.load(args)
    known_names(scores, [args.benchmark] if args.benchmark else [], "--benchmark")
    with draw.style():
        figure = row(scores, panels(scores, args.benchmark))
        config = {"benchmark": args.benchmark}
        draw.save(figure, args.output, "falsepromise.figures.fig3", [args.study, *args.scores], config)


def panels(scores: Scores, judge: str | None = None) -> list[Panel]:
    """Two panels of one judge."""
    judges = [name for name in preference_benchmarks(scores) if not is_human(scores, name)]
    judge = judge or next(iter(judges), None)
    absent = "no judge's preferences in the score files"
    label = scores.label(judge) if judge else "Judge"
    return [
        Panel(f"{label}, by amount", judge, "equal_or_better", "amount", absent),
        Panel(f"{label}, by base size", judge, "equal_or_better", "size", absent),
    ]


if __name__ == "__main__":
    cli.run(main)
