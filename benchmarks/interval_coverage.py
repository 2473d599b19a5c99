"""How often the 95 % intervals of a mean over seeds contain the true value, in made-up studies that have one.

Each study has items of unequal difficulty, answered right or wrong by models that differ by seed
(a normal deviate). Compared are the crossed bootstrap of `figures.scores` and what is often
done: a bootstrap over items of the mean over seeds, which takes the seeds at hand for all there are.

    python benchmarks/interval_coverage.py > benchmarks/interval_coverage_results.md
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow"))

from falsepromise.figures.table import markdown_table
from falsepromise.statistics.crossed import crossed_interval

STUDIES, ITEMS, MEAN = 500, 226, 0.5
SEEDS, LUCKS = (2, 3, 5, 10), (0.0, 0.03, 0.08)


def made_up(rng: np.random.Generator, seeds: int, luck: float) -> np.ndarray:
    """Answers of `seeds` models, shape `(seeds, ITEMS)`: right with MEAN's chance on average."""
    difficulty = 0.6 * rng.random(ITEMS) + 0.4 * rng.random((seeds, ITEMS))
    threshold = MEAN + luck * rng.standard_normal((seeds, 1))
    return (difficulty < threshold).astype(float)


def coverage(seeds: int, luck: float) -> tuple[float, float]:
    """The shares of studies whose two intervals hold MEAN."""
    rng = np.random.default_rng([seeds, round(1000 * luck)])
    crossed = items = 0
    for study in range(STUDIES):
        answers = made_up(rng, seeds, luck)
        low, high = crossed_interval(answers, seed=study)
        crossed += low <= MEAN <= high
        low, high = crossed_interval(answers.mean(axis=0, keepdims=True), seed=study)
        items += low <= MEAN <= high
    return crossed / STUDIES, items / STUDIES


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


if __name__ == "__main__":
    main()
