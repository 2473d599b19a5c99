"""The metrics of score records, one row each: the label on an axis, range, scale, an item's value.

Style metrics are in `style.metrics`; `figures.metrics.metric` finds both. For an lm-eval metric without a row, the
figures use what its records state.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from falsepromise.core.records import Record

LARGEST = 1e100  # of an item's number: sums of its squares stay finite


@dataclass(frozen=True)
class Statistic:
    """A number that follows from sums over items, so that drawing the items anew only weights the sums.

    Attributes:
        width: How many sums there are.
        of: From the sums, shape `(..., width)`, to the number, shape `(...)`; NaN where they leave it undefined.
        count: The place of the sum that counts the items.
    """

    width: int
    of: Callable[[np.ndarray], np.ndarray]
    count: int = 0


def _mean(sums: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums[..., 0] / sums[..., 1])


def _pearson(sums: np.ndarray) -> np.ndarray:
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    # What rounding leaves of equal values is no spread.
    of_x, of_y = (np.where(n * ss - s * s > 1e-9 * n * ss, n * ss - s * s, np.nan) for s, ss in ((x, xx), (y, yy)))
    return np.asarray((n * xy - x * y) / (np.sqrt(of_x) * np.sqrt(of_y)))


MEAN = Statistic(2, _mean, count=1)  # of the values, and how many
PEARSON = Statistic(6, _pearson)  # of how many, x, y, x squared, y squared, x times y


def difference_of(one: Statistic, other: Statistic) -> Statistic:
    """`one` minus `other`, whose sums stand behind each other."""
    return Statistic(one.width + other.width, lambda s: one.of(s[..., : one.width]) - other.of(s[..., one.width :]))


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: Its key in a score record.
        label: Its name for people, without the unit.
        low, high: Its range in records; a value beyond it is refused.
        scale: What records are multiplied by to be shown: 100 for per cent.
        unit: Of the shown values.
        item: An item's value; None where it has none. By default the item's number of this name.
        correlates: The two keys of items whose numbers the metric correlates; empty for a mean of the items.
    """

    name: str
    label: str
    low: float = 0.0
    high: float = 1.0
    scale: float = 100.0
    unit: str = "%"
    item: Callable[[Record], float | None] | None = None
    correlates: tuple[str, ...] = ()

    @property
    def statistic(self) -> Statistic:
        """How the metric follows from sums over items."""
        return PEARSON if self.correlates else MEAN

    @property
    def is_share(self) -> bool:
        """Whether it is a share that is better the larger it is: differences in points of a hundred mean something."""
        return self.scale == 100.0 and "lower" not in self.unit

    @property
    def axis(self) -> str:
        """The label with its unit, as an axis has it."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def digits(self) -> int:
        """Decimal places in tables."""
        return 1 if self.scale > 1 else 2

    def of_item(self, item: Record) -> float | None:
        """One item's contribution to the metric."""
        return self.item(item) if self.item else number(item, self.name)

    def sums_of(self, item: Record) -> tuple[float, ...] | None:
        """What one item adds to the sums of `statistic`; None for an item that doesn't count."""
        if self.correlates:
            x, y = (number(item, key) for key in self.correlates)
            return None if x is None or y is None else (1.0, x, y, x * x, y * y, x * y)
        value = self.of_item(item)
        return None if value is None else (value, 1.0)


def number(item: Record, key: str) -> float | None:
    """The item's number under this name; true and false count as 1 and 0. None for what can't be summed and squared."""
    value = item.get(key)
    return float(value) if isinstance(value, int | float) and abs(value) < LARGEST else None


def votes(name: str, label: str, *outcomes: str) -> Metric:
    """The share of items with one of these outcomes of the vote (`preference.aggregate`)."""

    def item(item: Record) -> float | None:
        return float(item["majority"] in outcomes) if "majority" in item else number(item, name)

    return Metric(name, label, item=item)


ROWS = (
    Metric("acc", "Accuracy"),
    Metric("exact_match", "Exact match"),
    Metric("exact_match_flexible", "Exact match"),
    Metric("exact_match_strict", "Exact match"),
    Metric("pass@1", "pass@1"),
    Metric("rouge1", "ROUGE-1", unit=""),
    Metric("rouge2", "ROUGE-2", unit=""),
    Metric("rougeL", "ROUGE-L", unit=""),
    Metric("rougeLsum", "ROUGE-Lsum", unit=""),
    Metric("nontoxicity", "Non-toxicity"),
    *(
        Metric(name, label, high=math.inf, scale=1.0, unit="lower is better")
        for name, label in {
            "perplexity": "Perplexity",
            "word_perplexity": "Perplexity of a word",
            "byte_perplexity": "Perplexity of a byte",
            "bits_per_byte": "Bits per byte",
        }.items()
    ),
    votes("preferred", "Preferred", "left"),
    votes("equal", "Equal", "tie", "no_majority"),
    votes("equal_or_better", "Equal or better", "left", "tie", "no_majority"),
    Metric("fleiss_kappa", "Fleiss's kappa", low=-1.0, scale=1.0, unit=""),
)
