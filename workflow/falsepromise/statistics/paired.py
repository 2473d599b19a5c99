"""Compare two models on the same items: the difference, its interval and its test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from falsepromise.statistics.intervals import bootstrap, none_of


def paired_difference(left: Sequence[float], right: Sequence[float], seed: int = 0) -> dict[str, Any]:
    """The mean of `left` minus `right`, item by item, with a 95 % interval and a paired test.

    The interval is a percentile bootstrap over items; where all differences are the same, such as 0, it is as wide as
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
    binary = bool(np.isin(np.concatenate([x, y]), (0.0, 1.0)).all())
    if np.ptp(d) > 0:
        interval = bootstrap(lambda drawn: float(d[drawn].mean()), n, seed)
    else:
        limit, edge = (1.0 if binary else np.inf), none_of(n)
        interval = [max(float(d[0]) - edge, -limit), min(float(d[0]) + edge, limit)]
    if binary:
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


def _sign_flips(d: np.ndarray, seed: int) -> float:
    """Two-sided p of the sum of `d` when each sign is as likely as its opposite."""
    n = len(d)
    reached = abs(d.sum()) - 1e-12 * np.abs(d).sum()  # sums of the same numbers in another order are equal
    if n <= 13:
        flips = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        return float((np.abs(flips @ d) >= reached).mean()) if n else 1.0
    rng = np.random.default_rng(seed)
    extreme, draws = 0, 10_000
    for start in range(0, draws, 500):
        flips = 1 - 2 * rng.integers(0, 2, (min(500, draws - start), n), dtype=np.int8)
        extreme += int((np.abs(flips @ d) >= reached).sum())
    return (1 + extreme) / (1 + draws)
