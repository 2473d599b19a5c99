"""Numbers with their uncertainty: the score record's `{"value", "ci95", "n"}`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

RESAMPLES = 2000


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
        z2 = 1.959964**2
        edge = z2 / (n + z2)
        interval = [0.0, edge] if mean == 0.0 else [1.0 - edge, 1.0]
    else:
        rng = np.random.default_rng(seed)
        means = [array[rng.integers(0, n, n)].mean() for _ in range(RESAMPLES)]
        interval = [float(x) for x in np.quantile(means, [0.025, 0.975])]
    return {"value": mean, "ci95": interval, "n": n}
