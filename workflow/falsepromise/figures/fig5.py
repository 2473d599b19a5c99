"""Draw figure 5: average non-toxicity of the continuations of toxic prompts, by the amount of imitation data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from falsepromise.core import cli
from falsepromise.figures import draw
from falsepromise.figures.claims import verdict
from falsepromise.figures.curves import by_amount, key_entries, needs_key
from falsepromise.figures.foot import foot_lines
from falsepromise.figures.scores import Scores, scorer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRIC = "nontoxicity"


def main(argv: Sequence[str] | None = None) -> None:
    args = draw.arguments(__doc__, "results/figures/fig5.pdf").parse_args(argv)
    scores = draw.load(args)
    with draw.style():
        figure = draw_figure(scores)
        draw.save(figure, args.output, "falsepromise.figures.fig5", [args.study, *args.scores], {})


def draw_figure(scores: Scores) -> Figure:
    """One panel for each benchmark with a non-toxicity score (usually one)."""
    names = scores.with_metric(METRIC) or [
        b for b, spec in scores.study.benchmarks.items() if spec.get("task") == "toxicity"
    ]
    figure = draw.new_figure(draw.COLUMN * max(1, min(len(names), 2)), 2.7)
    panels = figure.subplots(1, max(len(names), 1), squeeze=False)[0]
    missing = []
    lines = []
    for axes, name in zip(panels, names, strict=False):
        reason = scores.not_scored(name) or (None if scores.of(name) else "no score file")
        if reason:
            draw.empty(axes, scores.label(name), reason)
            continue
        draw.titled(axes, scores.label(name), verdict(scores, "toxicity", name))
        # The axis doesn't begin at 0, because the differences are a few points of a hundred.
        missing += by_amount(axes, scores, name, METRIC, floor=None, named=name == names[-1])
        draw.value_label(axes, f"Average {scores.known(name, METRIC).axis.lower()}")
        scorers = {found for record in scores.of(name).values() if (found := scorer(record))}
        lines += [f"{scores.label(name)} is scored by {found}." for found in sorted(scorers)]
    if not names:
        draw.empty(panels[0], "Toxicity", "the study has no toxicity benchmark")
    elif needs_key(scores.study):
        draw.key(figure, key_entries(scores, names, METRIC))
    used = [(name, METRIC) for name in names]
    said = foot_lines(scores, used, list(dict.fromkeys(missing)), cells=scores.study.cells("amount"))
    draw.foot(figure, [*said, *lines])
    return figure


if __name__ == "__main__":
    cli.run(main)
