"""Compute numbers with intervals, as the score record's `{"value", "ci95", "n"}`.

Percentile bootstraps, Wilson's interval, and the partition of items into groups that both kinds of grouped
intervals use: strata (each keeps its size in every draw) and clusters (drawn whole).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

RESAMPLES = 2000


def quantile(level: float) -> float:
    """Standard errors on each side of an interval of this level."""
    return NormalDist().inv_cdf(0.5 + level / 2)


Z95 = quantile(0.95)


def partition(keys: Iterable[Hashable]) -> list[np.ndarray]:
    """The places of the items of each key, in the order in which the keys first come."""
    places: dict[Hashable, list[int]] = {}
    for place, key in enumerate(keys):
        places.setdefault(key, []).append(place)
    return [np.array(group) for group in places.values()]


def middle95(drawn: Sequence[float] | np.ndarray) -> list[float]:
    """The middle 95 % of draws, `[low, high]`."""
    low, high = np.quantile(drawn, [0.025, 0.975])
    return [float(low), float(high)]


def bootstrap(
    statistic: Callable[[np.ndarray], float],
    n: int,
    seed: int = 0,
    resamples: int = RESAMPLES,
    strata: Sequence[np.ndarray] | None = None,
    clusters: Sequence[np.ndarray] | None = None,
) -> list[float]:
    """95 % percentile bootstrap interval of `statistic` over items.

    Args:
        statistic: From the indices of the drawn items (int array, shape `(n,)`; with clusters of unequal sizes
            of another length) to the number. NaN where a draw leaves it undefined; such draws are left out.
        n: How many items there are.
        seed: Of the draws.
        resamples: How many draws.
        strata: A `partition` of the items: each draw has, at the places of a stratum, items of that stratum.
        clusters: A `partition` of the items: clusters are drawn, each with all of its items.

    Returns:
        `[low, high]`; `[nan, nan]` is never returned: with fewer than two items (or clusters) it is the value.
    """
    rng = np.random.default_rng(seed)

    def draw() -> np.ndarray:
        if clusters is not None:
            return np.concatenate([clusters[k] for k in rng.integers(0, len(clusters), len(clusters))])
        if strata is None:
            return rng.integers(0, n, n)
        drawn = np.empty(n, dtype=np.int64)
        for group in strata:
            drawn[group] = group[rng.integers(0, len(group), len(group))]
        return drawn

    few = n < 2 or (clusters is not None and len(clusters) < 2)
    drawn = np.array([] if few else [statistic(draw()) for _ in range(resamples)])
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        value = float(statistic(np.arange(n)))
        return [value, value]
    return middle95(drawn)


def wilson(count: int, n: int) -> list[float]:
    """Wilson's (1927) 95 % score interval of a share."""
    share = count / n
    middle = share + Z95**2 / (2 * n)
    half = Z95 * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    low, high = (middle - half) / (1 + Z95**2 / n), (middle + half) / (1 + Z95**2 / n)
    return [0.0 if count == 0 else low, 1.0 if count == n else high]  # exactly: rounding misses them by 1e-17


def none_of(n: int, level: float = 0.95) -> float:
    """The upper end of Wilson's interval for "0 of n"."""
    z2 = quantile(level) ** 2
    return z2 / (n + z2)


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
        interval = middle95([array[rng.integers(0, n, n)].mean() for _ in range(RESAMPLES)])
    return {"value": mean, "ci95": interval, "n": n}


def mean_of_those(values: np.ndarray, given: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """The mean of `values` where `given`, its interval by a bootstrap over all the items.

    Args:
        values: 0 or 1, shape (n,).
        given: Booleans, shape (n,), at least one true.
        seed: Of the bootstrap.
    """
    chosen = values[given]
    if (chosen == chosen[0]).all():  # nothing to resample: as wide as Wilson's interval for "0 of n"
        value, edge = float(chosen[0]), none_of(len(chosen))
        return {"value": value, "ci95": [max(0.0, value - edge), min(1.0, value + edge)], "n": len(chosen)}

    def statistic(drawn: np.ndarray) -> float:
        mask = given[drawn]
        return float(values[drawn][mask].mean()) if mask.any() else float("nan")

    return {"value": float(chosen.mean()), "ci95": bootstrap(statistic, len(values), seed), "n": int(given.sum())}
