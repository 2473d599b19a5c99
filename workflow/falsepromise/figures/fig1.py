"""Draw figure 1: preference by the amount of imitation data, knowledge by amount, preference by base size.

Left and right: the share of replies rated equal to or better than the teacher's, by people if the study has their
ratings and by the judge otherwise (the title names them). Centre: the study's Natural Questions benchmark.
"""

from __future__ import annotations

from collections.abc import Sequence

from falsepromise.core import cli
from falsepromise.figures import draw
from falsepromise.figures.panels import Panel, row
from falsepromise.figures.scores import Scores
from falsepromise.figures.select import is_human, knowledge_benchmark, preference_benchmarks


def main(argv: Sequence[str] | None = None) -> None:
    args = draw.arguments(__doc__, "results/figures/fig1.pdf").parse_args(argv)
    scores = draw.load(args)
    with draw.style():
        figure = row(scores, panels(scores))
        draw.save(figure, args.output, "falsepromise.figures.fig1", [args.study, *args.scores], {})


def panels(scores: Scores) -> list[Panel]:
    """The three panels; the judge's preferences if there are no raters."""
    judge = next(iter(preference_benchmarks(scores)), None)
    who = "Preference" if judge is None else ("Raters" if is_human(scores, judge) else scores.label(judge))
    absent = "no preferences in the score files"
    knowledge = knowledge_benchmark(scores)
    metric = (scores.metric(knowledge) if knowledge else None) or "exact_match"
    return [
        Panel(f"{who}, by amount", judge, "equal_or_better", "amount", absent),
        Panel(scores.label(knowledge) if knowledge else "Knowledge", knowledge, metric, "amount"),
        Panel(f"{who}, by base size", judge, "equal_or_better", "size", absent),
    ]


if __name__ == "__main__":
    cli.run(main)
