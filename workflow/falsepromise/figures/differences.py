"""Compare two cells of a study on one metric, and derive the verdict on a claim.

If both records have the same items, the 95 % interval is paired: each bootstrap draw resamples the same items on both
sides, and also the same seeds if both sides have one base and the same seeds (a run and its base, or two runs, then
share the base model of each seed; a seed that one side lacks counts on neither). Otherwise the two intervals'
half-widths are added in quadrature. Fewer than `FEWEST` items decide nothing: percentile intervals of so few are too
narrow (`benchmarks/interval_coverage.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from falsepromise.figures.metrics import metric as named
from falsepromise.figures.scores import Estimate, Scores, statistic_of
from falsepromise.figures.study import Cell
from falsepromise.statistics.crossed import resampled
from falsepromise.statistics.intervals import RESAMPLES, Z95, none_of, quantile

FEWEST = 20  # items of a verdict
MARGIN = 0.02  # two points of a hundred: a smaller rise counts as none
YES, NO, UNKNOWN = "supported", "not supported", "can't tell"
Pair = tuple[Cell, Cell]
Rule = Callable[[Estimate], str]


@dataclass(frozen=True)
class Measure:
    """A measure for comparing two cells: a metric of a benchmark, minus the metric `less` if given.

    Attributes:
        share: The share of the right cell's value that is subtracted from the left cell's.
    """

    benchmark: str
    metric: str
    label: str
    less: str = ""
    share: float = 1.0


@dataclass(frozen=True)
class Comparison:
    """One test: the two cells and the measure, the difference, whether it is paired, the verdict.

    Attributes:
        text: The two cells, for people.
        benchmark: The measure, for people.
        measure: The measure's names; None for a test of another kind.
        pair: The two cells; None for a test of another kind.
    """

    text: str
    benchmark: str
    difference: Estimate
    paired: bool
    verdict: str
    measure: Measure | None = None
    pair: Pair | None = None


def difference(
    scores: Scores,
    left: Cell,
    right: Cell,
    benchmark: str,
    metric: str,
    level: float = 0.95,
    share: float = 1.0,
    less: str = "",
) -> tuple[Estimate, bool] | None:
    """`left` minus a share of `right` with its interval, and whether it is paired; None without both scores.

    Args:
        less: A metric that is subtracted from `metric` on both sides. From the records' items the two are drawn
            together: a model that writes many lists has more hits and more false alarms.
    """
    left, right, together = alike(scores, left, right, benchmark, {metric, less} - {""})
    a, b = scores.cell(left, benchmark, metric), scores.cell(right, benchmark, metric)
    if a is None or b is None:
        return None
    ours, theirs = (scores.sums(cell.models, benchmark, metric, less) for cell in (left, right))
    shared = [key for key in ours if key in theirs] if ours and theirs else []
    if not ours or not theirs or len(shared) < max(2, 0.9 * max(len(ours), len(theirs))):
        if less:
            parts = [difference(scores, left, right, benchmark, name, level, share) for name in (metric, less)]
            return (apart(parts[0][0], parts[1][0]), False) if parts[0] and parts[1] else None
        return apart(a, b.times(share), quantile(level) / Z95), False
    cells = [np.stack([side[key] for key in shared], axis=1) for side in (ours, theirs)]  # (seeds, items, width)
    statistic = statistic_of(metric, less)
    # A higher level takes more draws, so that as many lie beyond its ends.
    resamples = round(RESAMPLES * 0.05 / (1 - level))
    drawn = resampled(cells, statistic, same_seeds=together, resamples=resamples)
    draws = drawn[:, 0] - share * drawn[:, 1]
    tail = (1 - level) / 2
    x, y = (float(np.mean(statistic.of(cell.sum(axis=1)))) for cell in cells)
    value = x - share * y
    low, high = (float(q) for q in np.quantile(draws[np.isfinite(draws)], [tail, 1 - tail]))
    n, still = _counted(cells, metric, less)
    # Where no item differs, or all by the same amount, as Wilson's interval for "0 of n".
    edge = none_of(n, level) if high - low < 1e-12 else math.hypot(*(none_of(k, level) for k in still))
    low, high = value - math.hypot(value - low, edge), value + math.hypot(high - value, edge)
    least, most = _range(metric, less)
    low, high = max(low, least - share * most), min(high, most - share * least)
    return Estimate(value, min(low, value), max(high, value), n), True


def alike(scores: Scores, left: Cell, right: Cell, benchmark: str, metrics: set[str]) -> tuple[Cell, Cell, bool]:
    """Both cells with those of their models that have the metrics, and whether their seeds belong together.

    With one base and the same seeds, the models of one seed start from one draw of the base: only seeds that both sides
    have count.
    """
    study = scores.study
    had = [replace(c, models=tuple(m for m in c.models if scores.has(m, benchmark, metrics))) for c in (left, right)]
    both = set(study.seeds_of(had[0])) & set(study.seeds_of(had[1]))
    if left.base != right.base or study.seeds_of(left) != study.seeds_of(right) or not both:
        return had[0], had[1], False
    seed = {name: model.get("seed") or 0 for name, model in study.models.items()}
    ours, theirs = (replace(c, models=tuple(m for m in c.models if seed.get(m) in both)) for c in had)
    return ours, theirs, True


def _counted(cells: list[np.ndarray], metric: str, less: str) -> tuple[int, list[int]]:
    """The fewest items that a part of the measure rests on, and the numbers of the parts that no draw can change."""
    counts, still, start = [], [], 0
    for name in filter(None, (metric, less)):
        statistic = statistic_of(name)
        parts = [cell[..., start : start + statistic.width] for cell in cells]
        rows = [row[row[:, statistic.count] > 0] for part in parts for row in part]
        counts.append(min(len(row) for row in rows))
        if less and all(np.ptp(row, axis=0).max(initial=0.0) == 0 for row in rows):
            still.append(counts[-1])  # such as the teacher's only list, which one model has and the other hasn't
        start += statistic.width
    return min(counts), still


def _range(metric: str, less: str) -> tuple[float, float]:
    """The least and the largest value of a metric, or of its difference from another."""
    own, other = named(metric), named(less) if less else None
    return (own.low - other.high, own.high - other.low) if other else (own.low, own.high)


def apart(a: Estimate, b: Estimate, widen: float = 1.0) -> Estimate:
    """`a` minus `b` as if they were independent, its interval's arms times `widen`."""
    value = a.value - b.value
    low = math.hypot(a.value - a.low, b.high - b.value) * widen
    high = math.hypot(a.high - a.value, b.value - b.low) * widen
    return Estimate(value, value - low, value + high, min(a.n, b.n))


def measured(scores: Scores, pair: Pair, measure: Measure, level: float = 0.95) -> tuple[Estimate, bool] | None:
    """The difference of a pair on a measure, and whether it is paired; None if a score is missing."""
    return difference(scores, *pair, measure.benchmark, measure.metric, level, measure.share, measure.less)


def rises(d: Estimate) -> str:
    """The verdict on a claimed rise."""
    return YES if d.low > 0 else (NO if d.high < MARGIN else UNKNOWN)


def is_positive(d: Estimate) -> str:
    """The verdict on a claimed positive difference."""
    return YES if d.low > 0 else (NO if d.high < 0 else UNKNOWN)


def does_not_rise(d: Estimate, margin: float = MARGIN) -> str:
    """The verdict on a claimed absence of a rise."""
    return YES if d.high < margin else (NO if d.low > 0 else UNKNOWN)


def falls(d: Estimate) -> str:
    """The verdict on a claimed fall."""
    return YES if d.high < 0 else (NO if d.low > -MARGIN else UNKNOWN)


def does_not_fall(d: Estimate) -> str:
    """The verdict on a claimed absence of a fall."""
    return YES if d.low > -MARGIN else (NO if d.high < 0 else UNKNOWN)


def verdict_of(comparisons: list[Comparison], any_of: bool = False, all_of: bool = False) -> str:
    """The verdict of several comparisons: that of more than half, if none is opposite; with `any_of`, of any one.

    With `all_of`, a claim is supported only if all comparisons support it, and not supported if one refutes it.
    Support is tested at the full level, because an error in all of them is no likelier than an error in one (an
    intersection-union test; Berger, 1982); the caller tests each refutation at Bonferroni's level, because one error
    is enough.
    """
    verdicts = [c.verdict for c in comparisons]
    yes, no = verdicts.count(YES), verdicts.count(NO)
    if all_of:
        return NO if no else (YES if verdicts and yes == len(verdicts) else UNKNOWN)
    if any_of:
        return YES if yes else (NO if verdicts and no == len(verdicts) else UNKNOWN)
    if 2 * yes > len(verdicts) and not no:
        return YES
    return NO if 2 * no > len(verdicts) and not yes else UNKNOWN
