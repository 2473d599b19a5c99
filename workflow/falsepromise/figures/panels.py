"""Draw rows of small panels for figures 1 and 3: a benchmark's metric, by amount or by size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from falsepromise.figures import draw
from falsepromise.figures.claims import verdict
from falsepromise.figures.curves import by_amount, by_size, key_entries
from falsepromise.figures.foot import foot_lines
from falsepromise.figures.scores import Missing, Scores
from falsepromise.figures.select import is_preference

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Panel:
    """One panel: its title, its metric, and its horizontal axis (`run`: amount or size)."""

    title: str
    benchmark: str | None
    metric: str
    run: str
    absent: str = "no score file"


def row(scores: Scores, panels: Sequence[Panel]) -> Figure:
    """Panels side by side, one key above them, the foot below."""
    figure = draw.new_figure(min(draw.PAGE, 0.3 + 2.2 * len(panels)), 2.75)
    missing: list[Missing] = []
    used: list[tuple[str, str]] = []
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        name = panel.benchmark
        reason = panel.absent if name is None else scores.not_scored(name) or ("" if scores.of(name) else panel.absent)
        if not reason and not scores.study.cells(panel.run):
            reason = f"the study has no {panel.run} runs"
        if reason or name is None:
            draw.empty(axes, panel.title, reason)
            continue
        preferred = is_preference(panel.metric)
        claims = ("saturation", "preferred_size") if preferred else ("capability", "bases")
        curve, claim = (by_amount, claims[0]) if panel.run == "amount" else (by_size, claims[1])
        draw.titled(axes, panel.title, verdict(scores, claim, name))
        gaps = curve(axes, scores, name, panel.metric)
        if not preferred:
            missing += gaps
        else:  # base models and the teacher itself are not compared with the teacher
            missing += [gap for gap in gaps if scores.study.models.get(gap.model, {}).get("mixture")]
        draw.value_label(axes, scores.known(name, panel.metric).axis)
        used.append((name, panel.metric))
    names = list(dict.fromkeys(name for name, metric in used if not is_preference(metric)))
    entries = key_entries(scores, names)
    if not names and not any(_has_base(scores, name, metric) for name, metric in used):
        entries = [entry for entry in entries if entry[1] != draw.BASE]
    draw.key(figure, entries)
    cells = [cell for run in ("amount", "size") for cell in scores.study.cells(run)]
    draw.foot(figure, foot_lines(scores, used, list(dict.fromkeys(missing)), cells=cells))
    return figure


def _has_base(scores: Scores, benchmark: str, metric: str) -> bool:
    bases = scores.study.bases
    return any(scores.cell(scores.study.base_cell(base), benchmark, metric) for base in bases)
