"""Draw the figures' common parts: points with intervals, reference lines, axes, the foot; save figures."""

from __future__ import annotations

import argparse
import itertools
import logging
import math
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falsepromise.core import cli
from falsepromise.core.manifest import write_manifest
from falsepromise.core.records import atomic_open
from falsepromise.figures import pages
from falsepromise.figures.labels import short
from falsepromise.figures.scores import Estimate, Scores, read_scores
from falsepromise.figures.study import read_study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE = Path(__file__).with_name("style.mplstyle")
COLUMN, PAGE = 3.35, pages.PAGE  # inches: one column and the text width of a two-column page
BLUE, ORANGE, GREEN, PINK, AMBER, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
PALETTE = (BLUE, ORANGE, GREEN, PINK, AMBER, SKY)
MARKERS = "osD^vP"
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))  # one fewer than markers: line seven isn't line one again
LEAST_TOP = 20.0  # per cent
FOOT_LINES = 7  # that the panels make room for
BASE, TEACHER, QUIET = "#000000", "#7A4B9A", pages.QUIET


def arguments(doc: str | None, default: str) -> argparse.ArgumentParser:
    """Parse the options of a figure or table verb."""
    parser = cli.parser(doc)
    parser.add_argument("--study", type=Path, required=True, help="the expanded study (JSON)")
    parser.add_argument("--scores", type=Path, nargs="*", default=[], help="score files of the study's models")
    parser.add_argument("--output", type=Path, default=Path(default), help="the file to write, others beside it")
    return parser


def load(args: argparse.Namespace) -> Scores:
    """The scores of a verb's `--study` and `--scores`."""
    return read_scores(args.scores, read_study(args.study))


def style() -> AbstractContextManager[Any]:
    """The project's matplotlib style during a `with` block."""
    import matplotlib
    import matplotlib.style

    matplotlib.use("agg")
    return matplotlib.style.context(["default", str(STYLE)])


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of `width` x `height` inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save(figure: Figure, output: Path, module: str, inputs: Sequence[Path], config: dict[str, Any]) -> None:
    """Write PDF, SVG and PNG beside each other, without dates, so that a redraw gives the same bytes."""
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it logs a line for each font table
    settle(figure)
    for kind, metadata in (
        ("pdf", {"CreationDate": None, "ModDate": None, "Producer": None, "Creator": "falsepromise"}),
        ("svg", {"Date": None, "Creator": "falsepromise"}),
        ("png", {"Software": None}),
    ):
        with atomic_open(output.with_suffix(f".{kind}"), "wb") as stream:
            figure.savefig(stream, format=kind, metadata=metadata)
    write_manifest(output, module=module, inputs=inputs, config=config)


def settle(figure: Figure) -> None:
    """Lay the panels out once and round their places, because the solver's last digit varies."""
    if figure.get_layout_engine() is None:
        return
    figure.set_dpi(300)  # measure letters at their final size
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        x, y, width, height = (round(part, 6) for part in axes.get_position(original=True).bounds)
        axes.set_position((x, y, width, height))


def foot(figure: Figure, lines: Sequence[str]) -> None:
    """Small print below the panels, wrapped to the figure's width; the panels make room for it, the figure for more."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    width, height = figure.get_size_inches()
    wrapped = pages.small_print(tuple(lines), width)
    height += 0.1 * max(0, len(wrapped) - FOOT_LINES)
    figure.set_size_inches(width, height)
    share = (len(wrapped) * 0.1 + 0.07) / height
    figure.text(
        0.07 / width, 0.04 / height, "\n".join(wrapped), fontsize=pages.FOOT, color=QUIET, va="bottom", linespacing=1.25
    )
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)  # new_figure's
    engine.set(rect=(0, share, 1, 1 - share), w_pad=0.05, h_pad=0.04, wspace=0.06, hspace=0.06)


def points(
    axes: Axes,
    xs: Sequence[float],
    estimates: Sequence[Estimate],
    color: str,
    scale: float = 1.0,
    **line: Any,
) -> None:
    """A line through estimates at `xs`, their intervals as bars and a band, each seed as a faint dot."""
    values = [e.value * scale for e in estimates]
    arms = zip(*(e.arms(scale) for e in estimates), strict=True)
    if len(xs) > 1:
        bottom, top = [e.low * scale for e in estimates], [e.high * scale for e in estimates]
        axes.fill_between(xs, bottom, top, color=color, alpha=0.12, linewidth=0, zorder=1.2)
    axes.errorbar(
        xs, values, yerr=list(arms), color=color, capsize=1.8, elinewidth=0.9, capthick=0.9,
        clip_on=False, **line,  # don't cut a marker at 0
    )  # fmt: skip
    for x, estimate in zip(xs, estimates, strict=True):
        if len(estimate.seeds) > 1:
            seeds = [v * scale for v in estimate.seeds]
            beside = nudge(axes, x, 0.03)  # single seeds stand just right of their mean
            axes.plot([beside] * len(seeds), seeds, ".", color=color, alpha=0.45, markersize=4, markeredgewidth=0)


def look(index: int) -> tuple[str, dict[str, Any]]:
    """The colour of a panel's line, and its marker and dashes, so that colour is not needed."""
    marker, dashes = MARKERS[index % len(MARKERS)], DASHES[index % len(DASHES)]
    return PALETTE[index % len(PALETTE)], {"marker": marker, "linestyle": dashes}


def nudge(axes: Axes, x: float, share: float) -> float:
    """`x` moved to the right by a share of the panel's width; the axis's limits must be final."""
    left, right = axes.get_xlim()
    if axes.get_xscale() == "log":
        return x * (right / left) ** share
    return x + (right - left) * share


def level(axes: Axes, estimate: Estimate, color: str, dashed: bool = False, scale: float = 1.0) -> None:
    """A horizontal reference line with its interval as a light band."""
    axes.axhline(estimate.value * scale, color=color, linewidth=1.1, linestyle="--" if dashed else "-", zorder=1.5)
    if estimate.high > estimate.low:
        axes.axhspan(estimate.low * scale, estimate.high * scale, color=color, alpha=0.1, linewidth=0, zorder=1)


def amount_axis(axes: Axes, amounts: Sequence[float]) -> None:
    """A log axis with a tick at each amount."""
    _log_axis(axes, amounts, "Imitation data (tokens)", "Imitation tokens")


def size_axis(axes: Axes, bases: Mapping[float, str]) -> None:
    """A log axis of parameters with a tick at each base model's size, which has the model's name."""
    _log_axis(axes, list(bases), "Base model (log of parameters)", "Base model", bases)


def _log_axis(
    axes: Axes, values: Sequence[float], label: str, brief: str, names: Mapping[float, str] | None = None
) -> None:
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    inches = panel_width(axes)
    axes.set_xlabel(label if inches > 1.25 else brief)
    ticks = sorted({v for v in values if v > 0})
    if not ticks:
        axes.set_xticks([])
        return
    axes.set_xscale("log")
    low, high = math.log10(ticks[0]), math.log10(ticks[-1])
    margin = max((high - low) * 0.14, 0.08)
    axes.set_xlim(10 ** (low - margin), 10 ** (high + margin))

    texts = {tick: filled(names[tick], 10) if names else short(tick) for tick in ticks}
    wide = {tick: max(map(pages.inches, text.split("\n"))) * 7 / pages.SIZE for tick, text in texts.items()}

    def apart(one: float, other: float) -> bool:
        distance = math.log10(other / one) / (high - low + 2 * margin) * inches
        return distance > max(0.29, (wide[one] + wide[other]) / 2 + 0.04)

    # Leave out labels that would touch, except at both ends; the tick marks stay.
    shown = ticks[:1]
    for tick in ticks[1:-1]:
        if apart(shown[-1], tick) and apart(tick, ticks[-1]):
            shown.append(tick)
    shown += ticks[-1:]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FixedFormatter([texts[t] if t in shown else "" for t in ticks]))
    axes.xaxis.set_minor_locator(NullLocator())


def filled(text: str, wide: int, most: int = 3) -> str:
    """A name in lines of at most `wide` letters, at most `most` of them; a cut is marked with "…"."""
    lines = textwrap.wrap(text, wide)
    return "\n".join(lines if len(lines) <= most else [*lines[: most - 1], lines[most - 1][: wide - 1].rstrip() + "…"])


def one_line(text: str, inches: float, size: float) -> str:
    """A name cut to `inches` at a font size in points."""
    return (pages.wrap(text, inches * pages.SIZE / size, 1) or [""])[0]


def value_label(axes: Axes, text: str) -> None:
    """The value axis's name, in lines that the panel's height has room for."""
    axes.set_ylabel(filled(text, 26))


def panel_width(axes: Axes) -> float:
    """The approximate width of a panel's plot in inches, without its axis's labels."""
    figure, spec = axes.get_figure(root=True), axes.get_subplotspec()
    columns = spec.get_gridspec().ncols if spec else 1
    width = figure.get_size_inches()[0] if figure else PAGE
    return max(0.5, float(width) / columns - 0.5)


def value_axis(axes: Axes, floor: float | None = 0.0, least: float = LEAST_TOP) -> None:
    """Set the value axis: from `floor` (if given, and nothing is below it), with head room and few ticks.

    Args:
        least: What an axis from 0 at least reaches, so that small differences look small.
    """
    from matplotlib.ticker import MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(5))
    low, high = axes.get_ylim()
    top = high + (high - low) * 0.06  # room for the marker of the highest point
    if floor is None or axes.dataLim.y0 < floor:
        axes.set_ylim(low, top)
    else:
        axes.set_ylim(floor, max(top, least) if floor == 0 else top)


def titled(axes: Axes, title: str, verdict: str = "") -> None:
    """A panel's title, with the verdict on its claim in small print below."""
    width = panel_width(axes) * 72
    axes.set_title(filled(title, max(int(width / 4.4), 12)), pad=14)
    if verdict:
        size = 5.8 if width > len(verdict) * 2.9 else 5.0
        axes.annotate(
            verdict, (0, 1), (0, 3.5), xycoords="axes fraction", textcoords="offset points", fontsize=size, color=QUIET,
            va="bottom", annotation_clip=False,
        )  # fmt: skip


def name_lines(axes: Axes, labels: Sequence[tuple[str, float, str]], wide: int = 12) -> None:
    """Write lines' names to the right of a panel, as near to their ends as possible; the limits must be final.

    Args:
        labels: (text, height in data units, colour).
        wide: Letters of a line, at most.
    """
    bottom, top = axes.get_ylim()
    ends = sorted(((y - bottom) / (top - bottom), filled(text, wide), color) for text, y, color in labels)
    rows = [text.count("\n") + 1 for _, text, _ in ends]
    gaps = [0.03 + 0.06 * (low + high) / 2 for low, high in itertools.pairwise(rows)]
    for (_, text, color), height in zip(ends, spread([y for y, *_ in ends], gaps), strict=True):
        axes.annotate(
            text, (1.015, height), xycoords="axes fraction", fontsize=6, color=color, va="center", ha="left",
            linespacing=0.95, annotation_clip=False,
        )  # fmt: skip


def name_levels(axes: Axes, labels: Sequence[tuple[str, float, str]]) -> None:
    """Write horizontal lines' names under them, within a panel that has no room beside it; the limits must be final.

    Args:
        labels: (text, height in data units, colour).
    """
    for text, height, color in labels:
        axes.annotate(
            one_line(text, panel_width(axes), 5.8), (0.02, height), (0, -1.5), xycoords=("axes fraction", "data"),
            textcoords="offset points", fontsize=5.8, color=color, ha="left", va="top", path_effects=halo(), zorder=6,
        )  # fmt: skip


def beyond(axes: Axes, text: str, number: str, color: str) -> None:
    """An arrow, a name and its number at the top, instead of a reference line that would flatten the data."""
    name = one_line(text, panel_width(axes) - 0.06 * len(number), 5.8)
    axes.text(
        0.02, 0.985, f"↑ {name} {number}", transform=axes.transAxes, fontsize=5.8, color=color, ha="left", va="top",
        path_effects=halo(), zorder=6,
    )  # fmt: skip


def empty(axes: Axes, title: str, reason: str) -> None:
    """A panel without data that states the reason."""
    axes.set_title(title, pad=14)
    # Not `set_yticks([])`, which would take the ticks of a panel that shares the axis, too.
    axes.tick_params(which="both", left=False, bottom=False, labelleft=False, labelbottom=False)
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set(visible=True, color="#CCCCCC", linestyle=(0, (3, 3)))
    axes.text(
        0.5, 0.5, textwrap.fill(f"not scored: {reason}", 22), transform=axes.transAxes,
        ha="center", va="center", fontsize=6.5, color=QUIET,
    )  # fmt: skip


def named_points(axes: Axes, labels: Mapping[str, tuple[float, float, str]]) -> None:
    """Write points' names to their left, or to the right if they need more room; moved apart if they would overlap.

    Args:
        axes: The panel, its limits final.
        labels: Text -> (x, y, colour), in data units.
    """
    bottom, top = axes.get_ylim()
    left, right = axes.get_xlim()
    placed = sorted(
        ((y - bottom) / (top - bottom), (x - left) / (right - left), t, c) for t, (x, y, c) in labels.items()
    )
    heights = spread([y + 0.02 for y, *_ in placed], [0.055] * (len(placed) - 1))
    for (_, x, text, color), height in zip(placed, heights, strict=True):
        fits = len(text) * 0.068 < x * panel_width(axes)  # inches, of a bold letter on average
        name = text if fits else one_line(text, max(1.1 - x, 0.2) * panel_width(axes), 7.2)  # bold letters are wider
        axes.text(
            x + (-0.015 if fits else 0.015), height if fits else height + 0.025, name, transform=axes.transAxes,
            color=color, fontsize=6.5, fontweight="bold", ha="right" if fits else "left", va="center",
            path_effects=halo(),
        )  # fmt: skip


def halo() -> list[Any]:
    """A white rim, which makes text readable over lines."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=1.6, foreground="white")]


def spread(positions: Sequence[float], gaps: Sequence[float]) -> list[float]:
    """Ascending positions, moved as little as possible for each to be at least its gap from the next."""
    moved = list(positions)
    for _ in range(200):
        for i, gap in enumerate(gaps):
            overlap = gap - (moved[i + 1] - moved[i])
            if overlap > 1e-4:
                moved[i] -= overlap / 2
                moved[i + 1] += overlap / 2
    return moved


def key(figure: Figure, entries: Sequence[tuple[str, str, dict[str, Any]]]) -> None:
    """Named line samples above the panels: (text, colour, Line2D properties).

    They stand in as few rows as the figure is wide enough for; it grows by the further ones.
    """
    from matplotlib.lines import Line2D

    width, height = figure.get_size_inches()
    handles = [Line2D([], [], color=color, **properties) for _, color, properties in entries]
    texts = [one_line(text, width - 0.5, 7) for text, _, _ in entries]
    wide = [pages.inches(text) * 7 / pages.SIZE + 0.31 for text in texts]  # with the sample of a line

    def across(columns: int) -> float:
        rows, longer = divmod(len(wide), columns)  # as matplotlib deals them out: the first columns are the longer ones
        ends = list(itertools.accumulate([rows + 1] * longer + [rows] * (columns - longer)))
        return sum(max(wide[a:b]) for a, b in itertools.pairwise([0, *ends])) + 0.14 * (columns - 1)

    columns = next((n for n in range(len(wide), 1, -1) if across(n) < width - 0.1), 1)
    figure.set_size_inches(width, height + 0.15 * (-(-len(wide) // columns) - 1))
    figure.legend(
        handles, texts, loc="outside upper left",
        ncols=columns, handlelength=2.4, columnspacing=1.4, borderaxespad=0.1,
    )  # fmt: skip
