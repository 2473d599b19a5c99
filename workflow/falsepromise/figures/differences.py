"""Differences between two cells of a study on one metric, and what one says of a claim.

If both records have the same items, the 95 % interval is paired: each draw resamples the items, the same for both
sides, and the seeds, the same for both sides where both are of one base and have the same seeds (a run and its base,
or two runs from it, share that base's draw). Otherwise the two intervals' half-widths are added in quadrature.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from falsepromise.figures.scores import Estimate, Scores
from falsepromise.figures.study import Cell
from falsepromise.statistics.crossed import resampled_means
from falsepromise.statistics.intervals import Z95, none_of, quantile

MARGIN = 0.02  # two points of a hundred: a smaller rise is none
YES, NO, UNKNOWN = "supported", "not supported", "can't tell"
Pair = tuple[Cell, Cell]
Rule = Callable[[Estimate], str]


@dataclass(frozen=True)
class Measure:
    """What two cells are compared on: a metric of a benchmark; less another one, where `less` names it.

    Attributes:
        share: Of the right cell's value, which is taken from the left cell's.
    """

    benchmark: str
    metric: str
    label: str
    less: str = ""
    share: float = 1.0


@dataclass(frozen=True)
class Comparison:
    """One test: what is compared, the difference, whether it is paired, what it says.

    Attributes:
        text: The two cells.
        benchmark: What they are compared on, for people.
        measure: The same as names; None of a test of another kind.
        pair: The two cells; None of a test of another kind.
    """

    text: str
    benchmark: str
    difference: Estimate
    paired: bool
    verdict: str
    measure: Measure | None = None
    pair: Pair | None = None


def difference(
    scores: Scores, left: Cell, right: Cell, benchmark: str, metric: str, level: float = 0.95, share: float = 1.0
) -> tuple[Estimate, bool] | None:
    """`left` minus a share of `right` with its interval, and whether it is paired; None without both scores."""
    a, b = scores.cell(left, benchmark, metric), scores.cell(right, benchmark, metric)
    if a is None or b is None:
        return None
    ours, theirs = (scores.items(cell.models, benchmark, metric) for cell in (left, right))
    shared = [key for key in ours if key in theirs] if ours and theirs else []
    if not ours or not theirs or len(shared) < max(2, 0.9 * max(len(ours), len(theirs))):
        b = Estimate(share * b.value, share * b.low, share * b.high, b.n)
        return apart(a, b, quantile(level) / Z95), False
    x = np.stack([ours[key] for key in shared], axis=1)  # (seeds, items)
    y = share * np.stack([theirs[key] for key in shared], axis=1)
    together = left.base == right.base and scores.study.seeds_of(left) == scores.study.seeds_of(right)
    means = resampled_means([x, y], same_seeds=together)
    draws = means[:, 0] - means[:, 1]
    tail = (1 - level) / 2
    value = float(x.mean() - y.mean())
    low, high = (float(q) for q in np.quantile(draws, [tail, 1 - tail]))
    if high - low < 1e-12:
        # No item differs, or all by the same: as Wilson's interval does for "0 of n".
        edge = none_of(len(shared), level)
        low, high = value - edge, value + edge
    return Estimate(value, min(low, value), max(high, value), len(shared)), True


def apart(a: Estimate, b: Estimate, widen: float = 1.0) -> Estimate:
    """`a` minus `b` as if they were independent, its interval's arms times `widen`."""
    value = a.value - b.value
    low = math.hypot(a.value - a.low, b.high - b.value) * widen
    high = math.hypot(a.high - a.value, b.value - b.low) * widen
    return Estimate(value, value - low, value + high, min(a.n, b.n))


def measured(scores: Scores, pair: Pair, measure: Measure, level: float = 0.95) -> tuple[Estimate, bool] | None:
    """The difference of a pair on a measure, and whether it is paired; None without all its scores."""
    found = difference(scores, *pair, measure.benchmark, measure.metric, level, measure.share)
    if found is None or not measure.less:
        return found
    other = difference(scores, *pair, measure.benchmark, measure.less, level)
    return other and (apart(found[0], other[0]), False)


def rises(d: Estimate) -> str:
    """What a difference says of a claimed rise."""
    return YES if d.low > 0 else (NO if d.high < MARGIN else UNKNOWN)


def is_positive(d: Estimate) -> str:
    """What a difference says of a claim that there is one."""
    return YES if d.low > 0 else (NO if d.high < 0 else UNKNOWN)


def does_not_rise(d: Estimate, margin: float = MARGIN) -> str:
    """What a difference says of a claimed absence of a rise."""
    return YES if d.high < margin else (NO if d.low > 0 else UNKNOWN)


def falls(d: Estimate) -> str:
    """What a difference says of a claimed fall."""
    return YES if d.high < 0 else (NO if d.low > -MARGIN else UNKNOWN)


def does_not_fall(d: Estimate) -> str:
    """What a difference says of a claimed absence of a fall."""
    return YES if d.low > -MARGIN else (NO if d.high < 0 else UNKNOWN)


def verdict_of(comparisons: list[Comparison], any_of: bool = False, all_of: bool = False) -> str:
    """The verdict of several: that of more than half, if none says the opposite; with `any_of`, of any one.

    With `all_of` only all of them support a claim. Each is then tested at its full level: that all of them are wrong is
    no likelier than that one is (an intersection-union test; Berger, 1982).
    """
    verdicts = [c.verdict for c in comparisons]
    yes, no = verdicts.count(YES), verdicts.count(NO)
    if all_of and yes < len(verdicts):
        return NO if 2 * no > len(verdicts) and not yes else UNKNOWN
    if any_of:
        return YES if yes else (NO if verdicts and no == len(verdicts) else UNKNOWN)
    if 2 * yes > len(verdicts) and not no:
        return YES
    return NO if 2 * no > len(verdicts) and not yes else UNKNOWN
