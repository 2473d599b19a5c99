"""Write the small print of figures and tables: the study, n, stand-ins, limits, gaps."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any

from falsepromise.figures.metrics import KNOWN
from falsepromise.figures.scores import Scores, limits_of
from falsepromise.figures.select import asks_teacher
from falsepromise.figures.study import Cell

RUNS = {
    "bases": "base models", "amount": "amounts", "size": "base sizes", "targeted": "targeted models",
    "replay": "models with pre-training text", "control": "controls",
}  # fmt: skip

_NAME = re.compile(rf"\b({'|'.join(name for name in KNOWN if '_' in name)})\b")  # a metric, as score records call it


def foot_lines(
    scores: Scores,
    used: Sequence[tuple[str, str]],
    missing: Sequence[Any] = (),
    form: str = "lines",
    cells: Sequence[Cell] | None = None,
    star: bool = False,
) -> list[str]:
    """The foot's text: study, n, stand-ins, limits, gaps.

    Args:
        scores: All scores.
        used: The (benchmark, metric) pairs that the figure shows.
        missing: `scores.Missing`, listed as gaps.
        cells: The cells that it shows; default: all with such scores.
        form: A figure of "lines", one of "points", or a "table".
        star: The teacher itself is one of the points.
    """
    study = scores.study
    over = "one seed"
    if (each := study.seeds_each(cells)) != "1":
        over = f"mean over {each} seeds" + (" (small dots: single seeds)" if form == "lines" else "")
    where = {"table": "Brackets", "points": "Bars"}.get(form, "Bars and bands")
    intervals = f"{where}: 95 % intervals."
    lines = [f"Study: {study.name} ({study.title}); {over}. {intervals}"]
    counts = []
    for benchmark in dict.fromkeys(b for b, _ in used):
        shown = {metric for b, metric in used if b == benchmark}
        metrics = [r["metrics"] for r in scores.of(benchmark).values()]
        ns = sorted({m[name]["n"] for m in metrics for name in shown & set(m)})
        if ns:
            span = f"{ns[0]:,}" if len(ns) == 1 else f"{ns[0]:,} to {ns[-1]:,}"
            counts.append(f"{scores.label(benchmark)} {span}")
    if counts:
        lines.append("n: " + "; ".join(counts) + ".")
    teacher = touches_teacher(scores, used, cells, drawn=star or form != "points")
    notes = [f"teacher: {study.teacher['stand_in']}"] if teacher else []
    for benchmark in dict.fromkeys(b for b, _ in used):
        notes += [f"{scores.label(benchmark)}: {note}" for note in scores.stand_ins(benchmark)]
    if notes:
        lines.append("Stand-ins: " + "; ".join(dict.fromkeys(notes)) + ".")
    limits = []
    for benchmark in dict.fromkeys(b for b, _ in used):
        texts = [text for r in scores.of(benchmark).values() for text in limits_of(r)]
        said = (_NAME.sub(lambda name: KNOWN[name[0]].label.lower(), text) for text in merged(texts))
        limits += [f"{scores.label(benchmark)}: {text}" for text in said]
    if limits:
        lines.append("Limits: " + "; ".join(limits) + ".")
    asked = {scores.label(b): study.benchmarks.get(b, {}).get("runs") for b in dict.fromkeys(b for b, _ in used)}
    some = [f"{label}: {', '.join(RUNS[run] for run in runs)}" for label, runs in asked.items() if runs]
    if some:
        lines.append("Scored in this study only on: " + "; ".join(some) + ".")
    if missing:
        names = [f"{gap.model} on {gap.benchmark} ({gap.reason})" for gap in missing]
        more = f" and {len(names) - 6} more" if len(names) > 6 else ""
        lines.append("Not drawn: " + "; ".join(names[:6]) + more + ".")
    return lines


def touches_teacher(
    scores: Scores, used: Sequence[tuple[str, str]], cells: Sequence[Cell] | None = None, drawn: bool = True
) -> bool:
    """Whether shown numbers depend on the teacher's own answers: as scores (if `drawn`), as references, or as data."""
    study = scores.study
    if not study.teacher.get("stand_in"):
        return False
    if cells is None:
        names = {model for benchmark, _ in used for model in scores.of(benchmark)}
        mixtures = {study.models[name].get("mixture") for name in names if name in study.models}
    else:
        mixtures = {cell.mixture for cell in cells}
    made = any(study.mixtures.get(mixture or "", {}).get("teacher") for mixture in mixtures)
    return made or any(
        asks_teacher(study, benchmark)
        or (drawn and (scores.teacher(benchmark, metric) or scores.second_sample(benchmark, metric)))
        for benchmark, metric in used
    )


def merged(texts: Sequence[str]) -> list[str]:
    """Merge texts that differ only in numbers, with the range of each: "3 to 9 of 300 replies"."""
    groups: dict[tuple[str, ...], list[list[str]]] = {}
    for text in texts:
        for part in text.split("; "):
            pieces = re.split(r"(\d+)", part)
            groups.setdefault(tuple(pieces[::2]), []).append(pieces[1::2])
    found = []
    for words, rows in groups.items():
        numbers = [sorted(set(column), key=int) for column in zip(*rows, strict=True)]
        spans = [n[0] if len(n) == 1 else f"{n[0]} to {n[-1]}" for n in numbers]
        found.append("".join(itertools.chain.from_iterable(itertools.zip_longest(words, spans, fillvalue=""))))
    return found
