"""Counts of what was kept and what was dropped, by reason: `source,step,kept,dropped,reason,examples`."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from falsepromise.core.records import atomic_open

EXAMPLES = 5


@dataclass
class Funnel:
    """What one verb kept and dropped.

    Attributes:
        source: The name of the data.
        kept: Records kept, by step.
        dropped: Records dropped, by step and reason.
        examples: The first ids of each.
    """

    source: str
    kept: Counter[str] = field(default_factory=Counter)
    dropped: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def keep(self, step: str, n: int = 1) -> None:
        """Count records that a step kept."""
        self.kept[step] += n

    def drop(self, step: str, reason: str, record: str) -> None:
        """Count a record that a step dropped."""
        self.dropped[step, reason] += 1
        first = self.examples.setdefault((step, reason), [])
        if len(first) < EXAMPLES:
            first.append(record)

    def write(self, path: str | Path) -> None:
        """Write the CSV: a line with the kept of each step, then a line for each reason."""
        steps = dict.fromkeys([*self.kept, *(step for step, _ in self.dropped)])
        with atomic_open(path) as stream:
            rows = csv.writer(stream, lineterminator="\n")
            rows.writerow(["source", "step", "kept", "dropped", "reason", "examples"])
            for step in steps:
                rows.writerow([self.source, step, self.kept[step], 0, "", ""])
                for (at, reason), count in self.dropped.items():
                    if at == step:
                        rows.writerow([self.source, step, "", count, reason, " ".join(self.examples[at, reason])])
