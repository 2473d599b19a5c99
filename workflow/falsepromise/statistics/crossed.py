"""The crossed bootstrap, which resamples both items and seeds.

Each of 2,000 draws resamples the items and, independently, the seeds, and takes the mean (Owen, 2007,
"The pigeonhole bootstrap"); so it covers both the choice of items and the seed variance. A draw of S seeds strays
by (S - 1) / S of the variance that their mean has, half of it for two seeds; each draw's distance from the mean over
seeds is therefore stretched by sqrt(S / (S - 1)) (Davison and Hinkley, 1997, section 2.3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from falsepromise.statistics.intervals import RESAMPLES, middle95, none_of


def crossed_interval(matrix: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean of `matrix`, shape `(seeds, items)`, both resampled.

    With one row only the items are resampled. A matrix without any spread gives Wilson's interval
    for 0 and 1 as `mean_metric` does, and its value otherwise.
    """
    columns = matrix.shape[1]
    first = matrix.flat[0]
    if np.all(matrix == first):
        edge = none_of(columns)
        return {0.0: (0.0, edge), 1.0: (1.0 - edge, 1.0)}.get(float(first), (float(first), float(first)))
    low, high = middle95(resampled_means([matrix], seed)[:, 0])
    return max(low, float(matrix.min())), min(high, float(matrix.max()))


def resampled_means(matrices: Sequence[np.ndarray], seed: int = 0, same_seeds: bool = False) -> np.ndarray:
    """Means of matrices over the same items under the crossed bootstrap.

    Args:
        matrices: Each of shape `(seeds, items)`; items are the same ones.
        seed: Of the draws.
        same_seeds: Row i of each matrix belongs together (models that start from one draw of a base):
            the same seeds are then drawn for all. Otherwise each matrix draws its own.

    Returns:
        Shape `(2000, len(matrices))`.
    """
    rng = np.random.default_rng(seed)
    items = matrices[0].shape[1]
    means = np.empty((RESAMPLES, len(matrices)))
    chunk = max(1, min(RESAMPLES, 2_000_000 // items))
    for start in range(0, RESAMPLES, chunk):
        rows = min(chunk, RESAMPLES - start)
        counts_ri = _counts(rng, rows, items)
        counts_rs = _counts(rng, rows, len(matrices[0]))
        for column, matrix in enumerate(matrices):
            if column and not same_seeds:
                counts_rs = _counts(rng, rows, len(matrix))
            means_rs = counts_ri @ matrix.T / items
            few = len(matrix)
            stretch = math.sqrt(few / (few - 1)) if few > 1 else 1.0
            weights_rs = 1 + (counts_rs - 1) * stretch  # of a mean: each row's are `few` in all
            means[start : start + rows, column] = (means_rs * weights_rs).sum(axis=1) / few
    return means


def _counts(rng: np.random.Generator, rows: int, n: int) -> np.ndarray:
    """How often each of `n` things is in a draw of `n` with replacement; shape `(rows, n)`."""
    drawn = rng.integers(0, n, (rows, n)) + n * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)
