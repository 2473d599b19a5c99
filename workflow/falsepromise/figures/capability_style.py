"""Draw capability against style over all runs: the paper's thesis in one picture.

Each point is a model (mean over seeds, 95 % intervals): the horizontal axis is similarity to the teacher's style, the
vertical axis the score on a benchmark. Lines start at the base model and follow the amount of imitation data.
Imitation that changes only style moves to the right and not up. Models that are targeted at another task than the
benchmark's are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.figures import draw
from falsepromise.figures.foot import foot_lines
from falsepromise.figures.labels import amount_text
from falsepromise.figures.metrics import KNOWN, STYLE
from falsepromise.figures.scores import Estimate, Missing, Scores
from falsepromise.figures.select import knowledge_benchmark, known_names, style_benchmark, targets
from falsepromise.figures.study import Cell, amount

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINES = {"broad": "-", "replay": "--", "control": "-.", "targeted": ":"}
SHAPES = {"broad": "o", "replay": "o", "control": "X", "targeted": "D"}
Label = tuple[float, float, str]  # place in data units, colour


def main(argv: Sequence[str] | None = None) -> None:
    parser = draw.arguments(__doc__, "results/figures/capability_style.pdf")
    parser.add_argument(
        "--benchmark", help="benchmark of the vertical axis; default: Natural Questions or its stand-in"
    )
    parser.add_argument(
        "--style-metric",
        choices=STYLE,
        help="style metric of the horizontal axis; default: unigram_intersection, or the first scored one",
    )
    args = parser.parse_args(argv)
    scores = draw.load(args)
    known_names(scores, [args.benchmark] if args.benchmark else [], "--benchmark")
    benchmark = args.benchmark or knowledge_benchmark(scores)
    if benchmark is None or scores.metric(benchmark) is None:
        raise UserError(f"{args.study}: no score of a benchmark to draw ({benchmark}); give --scores and --benchmark")
    metric = args.style_metric or default_style(scores)
    with draw.style():
        figure = draw_figure(scores, benchmark, metric)
        config = {"benchmark": benchmark, "style": metric}
        inputs = [args.study, *args.scores]
        draw.save(figure, args.output, "falsepromise.figures.capability_style", inputs, config)


def default_style(scores: Scores) -> str:
    """Unigram intersection, which every reply has; else the first metric in some record."""
    order = ["unigram_intersection", *STYLE]
    return next((metric for metric in order if scores.with_metric(metric)), order[0])


def paths(scores: Scores) -> list[list[Cell]]:
    """The lines over all runs: a base model, then its amounts of one mixture."""
    study = scores.study
    groups: dict[tuple[str, str | None], list[Cell]] = {}
    for cell in study.cells(*study.runs):
        groups.setdefault((cell.base, cell.mixture), []).append(cell)
    return [[study.base_cell(base), *sorted(group, key=amount)] for (base, _), group in groups.items()]


def draw_figure(scores: Scores, benchmark: str, metric: str) -> Figure:
    """One panel, a line for each base model and mixture."""
    capability = scores.metric(benchmark) or "exact_match"
    figure = draw.new_figure(draw.COLUMN * 1.45, 3.5)
    axes = figure.subplots()
    labels, gaps, kinds, cells = draw_lines(axes, scores, (benchmark, capability), metric)
    ability, bound = scores.teacher(benchmark, capability), scores.second_sample(style_benchmark(scores), metric)
    if ability and bound:
        bound, ability = bound.times(100), ability.times(scores.known(benchmark, capability).scale)
        place(axes, bound, ability, draw.TEACHER, "*", False, size=9)
        labels[scores.study.teacher_label] = (bound.value, ability.value, draw.TEACHER)
    if not labels:
        draw.empty(axes, "Capability against style", "no model has both scores")
    set_limits(axes, metric)
    draw.named_points(axes, labels)
    unit = "×100" if KNOWN[metric].scale == 1.0 else KNOWN[metric].unit
    axes.set_xlabel(f"Style: {KNOWN[metric].label.lower()} with the teacher ({unit})")
    text = f"{scores.label(benchmark)}: {scores.known(benchmark, capability).axis.lower()}"
    axes.set_ylabel(draw.filled(text, 48))
    star = bool(ability and bound)
    draw.key(figure, key_entries(kinds, star))
    used = [(style_benchmark(scores), metric), (benchmark, capability)]
    gaps = list(dict.fromkeys(gaps))
    draw.foot(figure, foot_lines(scores, used, gaps, form="points", cells=cells or None, star=star))
    return figure


def draw_lines(
    axes: Axes, scores: Scores, ability: tuple[str, str], metric: str
) -> tuple[dict[str, Label], list[Missing], set[str], list[Cell]]:
    """Draw each line with both scores of at least two cells.

    Args:
        axes: The panel.
        scores: All scores.
        ability: Benchmark and metric of the vertical axis.
        metric: Style metric of the horizontal axis.

    Returns:
        The base models' labels with their places, the cells without a score, the kinds of lines drawn, their cells.
    """
    study, style = scores.study, style_benchmark(scores)
    labels: dict[str, Label] = {}
    gaps: list[Missing] = []
    kinds: list[str] = []
    drawn: list[Cell] = []
    lines = paths(scores)
    bases = study.bases_of([line[0] for line in lines])
    for line in lines:
        color = draw.PALETTE[bases.index(line[0].base) % len(draw.PALETTE)]
        aims = targets(study, line[-1].mixture)
        if aims and ability[0] not in aims:
            continue  # targeted at another task: neither broad nor targeted here
        others = (k for k in ("replay", "control") if line[-1].models[0] in study.of(k))
        kind = "targeted" if aims else next(others, "broad")
        found = []
        for cell in line:
            across, up = scores.cell(cell, style, metric), scores.cell(cell, *ability)
            if across and up:
                found.append((cell, across.times(100), up.times(scores.known(*ability).scale)))
            else:
                gaps += scores.missing([cell], *((style, metric) if not across else ability))
        if len(found) < 2:
            continue
        kinds.append(kind)
        drawn += [cell for cell, _, _ in found]
        axes.plot(
            [e.value for _, e, _ in found], [e.value for _, _, e in found],
            color=color, linestyle=LINES[kind], zorder=2,
        )  # fmt: skip
        for cell, across, up in found:
            place(axes, across, up, color, "s" if cell.is_base else SHAPES[kind], cell.is_base)
            if cell.is_base:
                labels[study.base_label(cell.base)] = (across.value, up.value, color)
        last = found[-1]
        text = study.mixture_label(last[0].mixture) if kind in ("targeted", "control") else amount_text(last[0])
        axes.annotate(
            # Alternately above and below, so that models at the same place keep both labels.
            draw.one_line(text, 1, 6), (last[1].value, last[2].value), (4, 3 if len(kinds) % 2 else -8),
            textcoords="offset points",
            fontsize=6, color=color, path_effects=draw.halo(),
        )  # fmt: skip
    return labels, gaps, set(kinds), drawn


def set_limits(axes: Axes, metric: str) -> None:
    """Leave room for names, and no more than the markers need below 0, where no score is."""
    axes.margins(x=0.2, y=0.13)
    draw.value_axis(axes, None)
    bottom, top = axes.get_ylim()
    if axes.dataLim.y0 >= 0:
        axes.set_ylim(bottom=max(bottom, -0.05 * top))
    if metric != "length_correlation":
        axes.set_xlim(left=max(0.0, axes.get_xlim()[0]))


def key_entries(kinds: set[str], teacher: bool) -> list[tuple[str, str, dict[str, Any]]]:
    """The key: the base model, broad imitation, the other kinds that are drawn, the teacher."""
    entries: list[tuple[str, str, dict[str, Any]]] = [
        ("Base model", draw.QUIET, {"marker": "s", "linestyle": "", "markerfacecolor": "white"}),
        ("Broad imitation", draw.QUIET, {"marker": "o"}),
    ]
    for kind, text in (("replay", "With pre-training text"), ("control", "That text alone"), ("targeted", "Targeted")):
        if kind in kinds:
            entries.append((text, draw.QUIET, {"marker": SHAPES[kind], "linestyle": LINES[kind]}))
    if teacher:
        entries.append(("Teacher", draw.TEACHER, {"marker": "*", "linestyle": "", "markersize": 7}))
    return entries


def place(axes: Axes, across: Estimate, up: Estimate, color: str, marker: str, hollow: bool, size: float = 4.5) -> None:
    """One model: a marker with both its intervals."""
    axes.errorbar(
        across.value, up.value,
        xerr=[[arm] for arm in across.arms()], yerr=[[arm] for arm in up.arms()],
        marker=marker, markersize=size, color=color, markerfacecolor="white" if hollow else color,
        elinewidth=0.5, alpha=0.95, zorder=3,
    )  # fmt: skip


if __name__ == "__main__":
    cli.run(main)
