"""How diverse queries are: the BLEU of each with the most similar other one, averaged (section 3).

The query is the hypothesis, the other one the reference. The paper gives 8 % for ShareGPT-Mix and 61 %
for Super-NaturalInstructions. Queries are prompt or dialogue records; of a dialogue the first user
turn is taken. Each record counts, also one whose query another has too (BLEU 100).

Writes `{"mean_nearest_bleu": per cent, "ci95", "n", "histogram", "nearest": [{"id", "nearest_id",
"bleu"}]}`, the pairs from the most similar on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import write_manifest
from falsepromise.core.records import Record, check_prompt, query_of, read_jsonl, write_json
from falsepromise.core.statistics import mean_metric
from falsepromise.curation import bleu

BINS = 20


def diversity(ids: Sequence[str], queries: Sequence[str]) -> dict[str, Any]:
    """The measure, its distribution, and each query's nearest other one.

    Args:
        ids: Of the records.
        queries: Their queries, two or more.
    """
    found = bleu.nearest(queries, progress="nearest other query")
    mean = mean_metric(found.bleu.tolist())
    counts, edges = np.histogram(np.clip(found.bleu, 0, 100), bins=BINS, range=(0, 100))
    order = np.argsort(-found.bleu, kind="stable").tolist()
    nearest = [
        {"id": ids[i], "nearest_id": ids[found.index[i]] if found.index[i] >= 0 else None, "bleu": float(found.bleu[i])}
        for i in order
    ]
    return {
        "mean_nearest_bleu": mean["value"],
        "ci95": mean["ci95"],
        "n": len(ids),
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
        "nearest": nearest,
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--queries", type=Path, required=True, help="prompt or dialogue records")
    parser.add_argument("--output", type=Path, required=True, help="JSON with the measure and the pairs")
    args = parser.parse_args(argv)
    ids, queries = [], []
    for record in read_jsonl(args.queries, check_query):
        ids.append(record["id"])
        queries.append(query_of(record))
    if len(queries) < 2:
        raise UserError(f"{args.queries}: has {len(queries)} query, expected 2 or more to compare")
    write_json(args.output, diversity(ids, queries))
    write_manifest(args.output, module="falsepromise.curation.diversity", inputs=[args.queries], config={})


def check_query(record: Record) -> str | None:
    """What is wrong with a prompt or dialogue record, or None; it has to have a query."""
    return check_prompt(record) or (None if query_of(record).strip() else "has no user query")


if __name__ == "__main__":
    cli.run(main)
