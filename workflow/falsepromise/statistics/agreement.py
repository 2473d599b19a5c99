"""Agreement of two codings, of several raters, or of two rankings."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from falsepromise.statistics.intervals import Z95, none_of


def cohen_kappa(a: np.ndarray, b: np.ndarray) -> float:
    """Cohen's (1960) kappa of two codings of the same items, shape (n,); NaN where chance is certain."""
    observed = float((a == b).mean())
    expected = sum(float((a == value).mean() * (b == value).mean()) for value in np.union1d(a, b))
    return (observed - expected) / (1 - expected) if expected < 1 else float("nan")


def all_agree_interval(shares: np.ndarray, n: int) -> list[float]:
    """95 % interval of a kappa of 1, which no resampling moves: as unsure as Wilson's for agreement on n of n items.

    Args:
        shares: Each category's share of the ratings.
        n: How many items (or clusters) there are.
    """
    chance = float((np.asarray(shares) ** 2).sum())
    return [max(-1.0, 1 - none_of(n) / (1 - chance)), 1.0]


def fleiss_kappa(table: Sequence[Sequence[int]] | np.ndarray) -> float:
    """Fleiss' (1971) kappa: agreement beyond chance of two or more ratings an item.

    Args:
        table: Counts, shape (items, categories). Rows with fewer than two ratings say nothing on
            agreement and are left out. Where rows differ in their number of ratings, each row's
            agreement is taken over its own pairs and the categories' shares over all ratings,
            which is Fleiss' formula where the numbers are the same.

    Returns:
        At most 1; NaN where nothing is left or where only one category was ever chosen.
    """
    counts = np.asarray(table, dtype=np.float64)
    counts = counts[counts.sum(axis=1) >= 2]
    if not len(counts):
        return float("nan")
    ratings = counts.sum(axis=1)
    observed = ((counts * (counts - 1)).sum(axis=1) / (ratings * (ratings - 1))).mean()
    expected = float(((counts.sum(axis=0) / ratings.sum()) ** 2).sum())
    return float((observed - expected) / (1 - expected)) if expected < 1 else float("nan")


def pearson(pairs: np.ndarray) -> float:
    """Pearson's correlation of the two columns of `pairs`, shape (n, 2); NaN where one is constant."""
    x, y = (pairs - pairs.mean(axis=0)).T
    norm = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / norm if norm else float("nan")


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> tuple[float, float, float, float]:
    """Spearman's rho of four pairs or more, the ends of its 95 % interval (Fieller et al., 1957), and p.

    The interval is an approximation that is too narrow for a handful of pairs; p is two-sided and exact up to seven,
    and from 9,999 permutations beyond.
    """
    from scipy.stats import permutation_test, rankdata, spearmanr

    rho = float(spearmanr(one, other).statistic)
    ranks = rankdata(other)

    def sums(x: np.ndarray, axis: int = -1) -> np.ndarray:  # as rho, but for a factor
        return np.asarray((x * (ranks - ranks.mean())).sum(axis=axis))

    p = permutation_test((rankdata(one),), sums, permutation_type="pairings", vectorized=True, rng=0)
    z, error = math.atanh(max(-0.999, min(0.999, rho))), 1.03 / math.sqrt(len(one) - 3)
    low, high = math.tanh(z - Z95 * error), math.tanh(z + Z95 * error)
    return rho, min(low, rho), max(high, rho), float(p.pvalue)
