"""The crossed bootstrap, which resamples both items and seeds.

Each of 2,000 draws resamples the items and, independently, the seeds, and takes the mean over the seeds' means or other
statistics (Owen, 2007, "The pigeonhole bootstrap"); so it covers both the choice of items and the seed variance. A draw
of S seeds strays by (S - 1) / S of the variance that their mean has, half of it for two seeds; each draw's distance
from the mean over seeds is therefore stretched by sqrt(S / (S - 1)) (Davison and Hinkley, 1997, section 2.3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from falsepromise.core.metrics import MEAN, Statistic
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
    low, high = middle95(resampled([np.stack([matrix, np.ones_like(matrix)], axis=-1)], MEAN, seed)[:, 0])
    return max(low, float(matrix.min())), min(high, float(matrix.max()))


def resampled(
    cells: Sequence[np.ndarray],
    statistic: Statistic = MEAN,
    seed: int = 0,
    same_seeds: bool = False,
    resamples: int = RESAMPLES,
) -> np.ndarray:
    """A statistic's mean over seeds under the crossed bootstrap, for cells with the same items.

    Args:
        cells: What each item adds to the statistic's sums, each of shape `(seeds, items, statistic.width)`.
        statistic: What to take of each seed's items.
        seed: Of the draws.
        same_seeds: Row i of each cell belongs together (models that start from one draw of a base):
            the same seeds are then drawn for all. Otherwise each cell draws its own.
        resamples: How many draws.

    Returns:
        Shape `(resamples, len(cells))`; NaN where a draw's items leave the statistic undefined.

    Raises:
        ValueError: `same_seeds` of cells with unequal numbers of them.
    """
    if same_seeds and len({len(cell) for cell in cells}) > 1:
        raise ValueError(f"cells of {[len(cell) for cell in cells]} seeds don't belong together")
    rng = np.random.default_rng(seed)
    items = cells[0].shape[1]
    means = np.empty((resamples, len(cells)))
    chunk = max(1, min(resamples, 2_000_000 // items))
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        counts_ri = _counts(rng, rows, items)
        counts_rs = _counts(rng, rows, len(cells[0]))
        for column, cell_sik in enumerate(cells):
            if column and not same_seeds:
                counts_rs = _counts(rng, rows, len(cell_sik))
            found_rs = np.stack([statistic.of(counts_ri @ sums_ik) for sums_ik in cell_sik], axis=1)
            few = len(cell_sik)
            stretch = math.sqrt(few / (few - 1)) if few > 1 else 1.0
            weights_rs = 1 + (counts_rs - 1) * stretch  # of a mean: each row's are `few` in all
            means[start : start + rows, column] = (found_rs * weights_rs).sum(axis=1) / few
    return means


def _counts(rng: np.random.Generator, rows: int, n: int) -> np.ndarray:
    """How often each of `n` things is in a draw of `n` with replacement; shape `(rows, n)`."""
    drawn = rng.integers(0, n, (rows, n)) + n * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)
