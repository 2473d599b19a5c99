"""Find any metric of a score record by name: in `core.metrics`, in `style.metrics`, or an lm-eval metric."""

from __future__ import annotations

import math
from collections.abc import Iterable

from falsepromise.core import metrics
from falsepromise.core.metrics import Metric
from falsepromise.core.records import Record
from falsepromise.style import metrics as style
from falsepromise.style.metrics import StyleMetric

KNOWN: dict[str, Metric] = {row.name: row for row in (*metrics.ROWS, *style.ROWS)}
STYLE: dict[str, StyleMetric] = {row.name: row for row in style.ROWS if row.claimed}


def metric(name: str, records: Iterable[Record] = ()) -> Metric:
    """The metric of a name; without a row, derived from its records.

    Shares become per cent; a perplexity stays unchanged.
    """
    if name in KNOWN:
        return KNOWN[name]
    having = [record for record in records if name in record["metrics"]]
    shares = all(0.0 <= bound <= 1.0 for record in having for bound in record["metrics"][name]["ci95"])
    lower = any(not record.get("higher_is_better", {}).get(name, True) for record in having)
    unit = ", ".join(["%"] * shares + ["lower is better"] * lower)
    return Metric(name, name, -math.inf, math.inf, 100.0 if shares else 1.0, unit)
