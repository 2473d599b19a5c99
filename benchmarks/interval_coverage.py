"""How often the 95 % intervals of a mean over seeds contain the true value, in made-up studies that have one.

Each study has items of unequal difficulty, answered right or wrong by models that differ by seed
(a normal deviate). Compared are the crossed bootstrap of `figures.scores` and what is often
done: a bootstrap over items of the mean over seeds, which takes the seeds at hand for all there are.

The second table is about differences between imitation runs and one base model in two measures of style that are no
means: list agreement above false alarms (a run that lists more has more of both), and the correlation of lengths.
Compared are the crossed bootstrap that draws all sides together and the parts' own intervals added in quadrature.

    python benchmarks/interval_coverage.py > benchmarks/interval_coverage_results.md
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow"))

from falsepromise.core.metrics import MEAN, PEARSON, Statistic, difference_of
from falsepromise.figures.table import markdown_table
from falsepromise.statistics.crossed import crossed_interval, resampled
from falsepromise.statistics.intervals import middle95

STUDIES, ITEMS, TRUTH = 500, 226, 0.5
SEEDS, LUCKS = (2, 3, 5, 10), (0.0, 0.03, 0.08)


def made_up(rng: np.random.Generator, seeds: int, luck: float) -> np.ndarray:
    """Answers of `seeds` models, shape `(seeds, ITEMS)`: right with TRUTH's chance on average."""
    difficulty = 0.6 * rng.random(ITEMS) + 0.4 * rng.random((seeds, ITEMS))
    threshold = TRUTH + luck * rng.standard_normal((seeds, 1))
    return (difficulty < threshold).astype(float)


def coverage(seeds: int, luck: float) -> tuple[float, float]:
    """The shares of studies whose two intervals hold TRUTH."""
    rng = np.random.default_rng([seeds, round(1000 * luck)])
    crossed = items = 0
    for study in range(STUDIES):
        answers = made_up(rng, seeds, luck)
        low, high = crossed_interval(answers, seed=study)
        crossed += low <= TRUTH <= high
        low, high = crossed_interval(answers.mean(axis=0, keepdims=True), seed=study)
        items += low <= TRUTH <= high
    return crossed / STUDIES, items / STUDIES


PROMPTS, STYLE_STUDIES = 600, 250
HABIT = 0.1  # s.d. over runs of how often a run lists, whatever the prompt


def listing(rng: np.random.Generator, seeds: int, gap_luck: float) -> tuple[list[np.ndarray], Statistic, float]:
    """Sums of lists for `seeds` runs and for a base, with the true difference of the gaps, .15."""
    given = rng.random(PROMPTS) < 0.4
    difficulty = rng.random(PROMPTS)

    def sums(hits: float, alarms: float) -> np.ndarray:
        chance = 0.5 * difficulty + 0.5 * rng.random(PROMPTS)
        value = (chance < uniform_sum(np.where(given, hits, alarms))).astype(float)
        return np.stack([value * given, given, value * ~given, ~given], axis=-1)

    runs = []
    for _ in range(seeds):
        habit, luck = HABIT * rng.standard_normal(), gap_luck * rng.standard_normal()
        runs.append(sums(0.45 + habit + luck, 0.3 + habit))
    return [np.stack(runs), sums(0.05, 0.05)[None]], difference_of(MEAN, MEAN), 0.15


def uniform_sum(share: np.ndarray) -> np.ndarray:
    """Below what the mean of two uniform deviates lies in this share of cases."""
    share = np.clip(share, 0, 1)
    return np.where(share < 0.5, np.sqrt(share / 2), 1 - np.sqrt((1 - share) / 2))


def lengths(rng: np.random.Generator, seeds: int, luck: float) -> tuple[list[np.ndarray], Statistic, float]:
    """Sums of lengths for `seeds` runs that follow the references (r = .2 on average) and a base that does not."""
    reference, prompt = rng.standard_normal((2, PROMPTS))  # what the query says of lengths besides goes into both

    def sums(r: float) -> np.ndarray:
        x = r * reference + np.sqrt(1 - r * r) * (0.5 * prompt + np.sqrt(0.75) * rng.standard_normal(PROMPTS))
        one = np.ones(PROMPTS)
        return np.stack([one, x, reference, x * x, reference * reference, x * reference], axis=-1)

    runs = [sums(np.clip(0.2 + luck * rng.standard_normal(), -0.9, 0.9)) for _ in range(seeds)]
    return [np.stack(runs), sums(0.0)[None]], PEARSON, 0.2


def styles(made: Callable[..., Any], seeds: int, luck: float) -> tuple[float, float, float, float]:
    """Coverage and mean width of the intervals drawn together, and of those in quadrature."""
    rng = np.random.default_rng([7, seeds, round(1000 * luck)])
    hits, widths = np.zeros(2), np.zeros(2)
    for study in range(STYLE_STUDIES):
        cells, statistic, truth = made(rng, seeds, luck)
        drawn = resampled(cells, statistic, seed=study)
        for place, (low, high) in enumerate((middle95(drawn[:, 0] - drawn[:, 1]), in_quadrature(cells, made))):
            hits[place] += low <= truth <= high
            widths[place] += high - low
    return (*hits / STYLE_STUDIES, *widths / STYLE_STUDIES)


def in_quadrature(cells: list[np.ndarray], made: Callable[..., Any]) -> tuple[float, float]:
    """The difference with each part's half-width, as if the parts were independent."""
    parts = [(cells, PEARSON, 1.0)] if made is lengths else [
        ([cell[..., start : start + 2] for cell in cells], MEAN, sign) for start, sign in ((0, 1.0), (2, -1.0))
    ]  # fmt: skip
    value, variance = 0.0, 0.0
    for some, statistic, sign in parts:
        for cell, side in zip(some, (1.0, -1.0), strict=True):
            of_runs = statistic.of(cell.sum(axis=1))
            value += sign * side * float(of_runs.mean())
            if made is lengths:  # each record's own half-width, and the spread of the mean
                own = [np.ptp(middle95(resampled([run[None]], statistic)[:, 0])) / 2 for run in cell]
                spread = 1.96 * of_runs.std(ddof=1) / len(of_runs) ** 0.5 if len(of_runs) > 1 else 0.0
                variance += float(np.mean(np.square(own)) + spread**2)
        if made is listing:  # hits, and alarms, are paired each for itself
            drawn = resampled(some, statistic)
            variance += (np.ptp(middle95(drawn[:, 0] - drawn[:, 1])) / 2) ** 2
    return value - variance**0.5, value + variance**0.5


def style_table() -> str:
    rows = []
    for name, made, lucks in (("lists above false alarms", listing, (0.0, 0.03)), ("length", lengths, (0.0, 0.05))):
        for luck in lucks:
            for seeds in (2, 3, 5):
                found = styles(made, seeds, luck)
                row = [name, f"{100 * luck:.0f}", str(seeds), *(f"{100 * number:.1f}" for number in found)]
                rows.append([*row[:4], row[5], row[4], row[6]])
    header = ["Measure", "Seed s.d. (points)", "Seeds", "Together", "Width", "In quadrature", "Width of it"]
    return markdown_table(header, rows)


def main() -> None:
    rows = []
    for luck in LUCKS:
        for seeds in SEEDS:
            crossed, items = coverage(seeds, luck)
            rows.append([f"{100 * luck:.0f}", str(seeds), f"{100 * crossed:.1f}", f"{100 * items:.1f}"])
    print("# How often 95 % intervals contain the true value\n")
    print(f"`benchmarks/interval_coverage.py`: {STUDIES} made-up studies a row, {ITEMS} questions each, per cent.\n")
    header = ["Seed s.d. (points)", "Seeds", "Crossed bootstrap", "Items alone"]
    print(markdown_table(header, rows))
    print(
        "\nIf the seed variance is larger than that of the questions, two seeds can't estimate it: their intervals are "
        "still too narrow, but far less so than those without it. More seeds are the remedy."
    )
    print("\n## Differences of style between imitation runs and a base model\n")
    print(
        f"{STYLE_STUDIES} made-up studies a row, {PROMPTS} prompts; runs differ by {100 * HABIT:.0f} points in how "
        "often they list at all. Coverage in per cent, widths in points.\n"
    )
    print(style_table())
    print("\nIn quadrature, what runs share and what both sides share counts as doubt.")


if __name__ == "__main__":
    main()
