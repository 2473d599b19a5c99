"""Draw the similarity of a pool's queries: the BLEU of each with its nearest other query (section 3).

One panel for each pool, with the paper's two means as marks.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.records import Record, read_json
from falsepromise.figures import draw
from falsepromise.figures.paper import PAPER, Numbers, read_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKS = ("ShareGPT-Mix", "Super-NaturalInstructions")


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--diversity", type=Path, nargs="+", required=True, help="output of curation.diversity")
    parser.add_argument("--names", nargs="+", required=True, help="a name for each --diversity")
    parser.add_argument("--paper", type=Path, default=PAPER, help="published numbers")
    parser.add_argument("--foot", default="", help="a line below, such as the study's name")
    parser.add_argument(
        "--output", type=Path, default=Path("results/figures/fig_diversity.pdf"), help="figure, with .svg and .png"
    )
    args = parser.parse_args(argv)
    if len(args.names) != len(args.diversity):
        raise UserError(f"--names: {len(args.names)} names for {len(args.diversity)} files; give one for each")
    measures = dict(zip(args.names, map(read_diversity, args.diversity), strict=True))
    with draw.style():
        figure = draw_figure(measures, read_numbers(args.paper), args.foot)
        draw.save(figure, args.output, "falsepromise.figures.fig_diversity", [*args.diversity, args.paper], {})


def read_diversity(path: Path) -> Record:
    """A diversity record.

    Raises:
        UserError: it has another form.
    """
    record = read_json(path)
    try:
        edges, counts = (record["histogram"][key] for key in ("edges", "counts"))
        whole = record["n"] > 0 and len(edges) == len(counts) + 1 > 1 and sum(counts) > 0
        whole = whole and len(record["ci95"]) == 2 and record["mean_nearest_bleu"] >= 0
    except (KeyError, TypeError):
        whole = False
    if not whole:
        raise UserError(f"{path}: not a diversity record; make it with curation.diversity")
    return record


def draw_figure(measures: dict[str, Record], paper: Numbers, line: str = "") -> Figure:
    """The distributions, side by side."""
    figure = draw.new_figure(draw.COLUMN if len(measures) == 1 else draw.PAGE, 2.5)
    panels = figure.subplots(1, len(measures), squeeze=False, sharey=True)[0]
    for axes, (name, record) in zip(panels, measures.items(), strict=True):
        _panel(axes, name, record, paper)
    panels[0].set_ylabel("Queries (%)")
    counts = "; ".join(
        f"{name}: {record['n']:,} queries, mean {record['mean_nearest_bleu']:.1f} "
        f"[{record['ci95'][0]:.1f}, {record['ci95'][1]:.1f}] %"
        for name, record in measures.items()
    )
    lines = [
        *([line] if line else []),
        f"{counts}.",
        "Each query as the hypothesis, the nearest other one as the reference; brackets: 95 %.",
    ]
    draw.foot(figure, [*lines, "Grey: the paper's means, of larger sets."])
    return figure


def _panel(axes: Axes, name: str, record: Record, paper: Numbers) -> None:
    edges, counts = record["histogram"]["edges"], record["histogram"]["counts"]
    shares = [100 * count / record["n"] for count in counts]
    axes.bar(edges[:-1], shares, width=edges[1] - edges[0], align="edge", color=draw.SKY, edgecolor="white", lw=0.4)
    axes.set_title(name)
    axes.set_xlim(0, 100)
    axes.set_ylim(0, max(shares) * 1.25)
    axes.set_xlabel("BLEU with the nearest other query (%)")
    marks = [(record["mean_nearest_bleu"], "mean", draw.BLUE)]
    for title in MARKS:
        published = paper.get(("Section 3", f"BLEU to the most similar other query, {title}", "", ""))
        if published is not None:
            name = title.replace("NaturalInstructions", "Natural\nInstructions")  # room to the right of its line
            marks.append((published, f"paper:\n{name}", draw.QUIET))
    marks.sort()
    for place, (height, (value, text, color)) in enumerate(zip((0.98, 0.81, 0.71), marks, strict=False)):
        axes.axvline(value, color=color, linewidth=1.1, linestyle="--" if color == draw.QUIET else "-")
        side = 1.2 if value < 65 else -1.2
        # Beside the next line, if the text would run into it.
        beside = max([value, *(other for other, *_ in marks[place + 1 :] if 0 < other - value < 25)])
        axes.text(
            beside + side, height * axes.get_ylim()[1], f"{text} {value:.3g} %", color=color, fontsize=6,
            ha="left" if side > 0 else "right", va="top", path_effects=draw.halo(),
        )  # fmt: skip


if __name__ == "__main__":
    cli.run(main)
