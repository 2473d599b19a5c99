"""Numbers with their uncertainty: the score record's `{"value", "ci95", "n"}`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

RESAMPLES = 2000
Z95 = NormalDist().inv_cdf(0.975)  # standard errors on each side of a 95 % interval


def bootstrap(
    statistic: Callable[[np.ndarray], float],
    n: int,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> list[float]:
    """95 % percentile bootstrap interval of `statistic` over items.

    Args:
        statistic: From the indices of the drawn items (int array, shape `(n,)`) to the number.
            NaN where a draw leaves it undefined; such draws are left out.
        n: How many items there are.
        seed: Of the draws.
        resamples: How many draws.

    Returns:
        `[low, high]`; `[nan, nan]` is never returned: with fewer than two items it is the value.
    """
    if n < 2:
        value = float(statistic(np.arange(n)))
        return [value, value]
    rng = np.random.default_rng(seed)
    drawn = np.array([statistic(rng.integers(0, n, n)) for _ in range(resamples)])
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        value = float(statistic(np.arange(n)))
        return [value, value]
    return [float(x) for x in np.quantile(drawn, [0.025, 0.975])]


def wilson(count: int, n: int) -> list[float]:
    """Wilson's (1927) 95 % score interval of a share."""
    share = count / n
    middle = share + Z95**2 / (2 * n)
    half = Z95 * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    low, high = (middle - half) / (1 + Z95**2 / n), (middle + half) / (1 + Z95**2 / n)
    return [0.0 if count == 0 else low, 1.0 if count == n else high]  # exactly: rounding misses them by 1e-17


def none_of(n: int) -> float:
    """The upper end of Wilson's interval for "0 of n"."""
    return Z95**2 / (n + Z95**2)


def mean_metric(values: Sequence[float], seed: int = 0) -> dict[str, Any]:
    """The mean over items with its 95 % bootstrap interval.

    An all-equal sample has no spread to resample: for values all 0 or all 1 the interval is
    Wilson's (1927) score interval, since "0 of 164" does not mean "exactly 0".

    Returns:
        `{"value", "ci95": [low, high], "n"}`.
    """
    array = np.asarray(values, dtype=np.float64)
    n = len(array)
    if not n:
        raise ValueError("no items: a mean over nothing is not a score")
    mean = float(array.mean())
    if np.all(array == array[0]) and array[0] in (0.0, 1.0):
        interval = wilson(round(mean * n), n)
    else:
        rng = np.random.default_rng(seed)
        means = [array[rng.integers(0, n, n)].mean() for _ in range(RESAMPLES)]
        interval = [float(x) for x in np.quantile(means, [0.025, 0.975])]
    return {"value": mean, "ci95": interval, "n": n}


def paired_difference(left: Sequence[float], right: Sequence[float], seed: int = 0) -> dict[str, Any]:
    """The mean of `left` minus `right`, item by item, with a 95 % interval and a paired test.

    The interval is a percentile bootstrap over items; where no two values differ it is as wide as
    Wilson's for "0 of n". Where all values are 0 or 1 the test is McNemar's (1947), exact, on the
    items where the two differ; else a permutation test that flips the signs of the differences
    (10,000 draws from the seed; all flips where there are at most 2^13).

    Args:
        left, right: One value an item, in the same order; at least one.

    Returns:
        `{"value", "ci95", "n", "p", "test", "left_higher", "right_higher", "equal"}`.
    """
    x, y = np.asarray(left, dtype=np.float64), np.asarray(right, dtype=np.float64)
    d = x - y
    n = len(d)
    higher, lower = int((d > 0).sum()), int((d < 0).sum())
    edge = none_of(n)
    interval = bootstrap(lambda drawn: float(d[drawn].mean()), n, seed) if higher + lower else [-edge, edge]
    if np.isin(np.concatenate([x, y]), (0.0, 1.0)).all():
        test, p = "McNemar's, exact", _two_sided(higher, higher + lower)
    else:
        test, p = "permutation of signs", _sign_flips(d[d != 0], seed)
    return {
        "value": float(d.mean()), "ci95": interval, "n": n, "p": p, "test": test,
        "left_higher": higher, "right_higher": lower, "equal": n - higher - lower,
    }  # fmt: skip


def _two_sided(successes: int, n: int) -> float:
    from scipy.stats import binomtest

    return float(binomtest(successes, n).pvalue) if n else 1.0


def _sign_flips(d: np.ndarray, seed: int, draws: int = 10_000) -> float:
    """Two-sided p of the sum of `d` when each sign is as likely as its opposite."""
    n = len(d)
    reached = abs(d.sum()) - 1e-12 * np.abs(d).sum()  # sums of the same numbers in another order are equal
    if n <= 13:
        flips = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        return float((np.abs(flips @ d) >= reached).mean()) if n else 1.0
    rng = np.random.default_rng(seed)
    extreme = 0
    for start in range(0, draws, 500):
        flips = 1 - 2 * rng.integers(0, 2, (min(500, draws - start), n), dtype=np.int8)
        extreme += int((np.abs(flips @ d) >= reached).sum())
    return (1 + extreme) / (1 + draws)
