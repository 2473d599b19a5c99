"""Measure the diversity of queries: the mean BLEU of each query with the most similar other one (section 3).

The query is the hypothesis, the other one the reference. The paper gives 8 % for ShareGPT-Mix and 61 %
for Super-NaturalInstructions. Queries are prompt or dialogue records; the query of a dialogue is its
first user turn. Each record counts, even if another has the same query (BLEU 100).

Writes `{"mean_nearest_bleu": per cent, "ci95", "n", "histogram", "nearest": [{"id", "nearest_id",
"bleu"}]}`, the most similar pairs first. --pairs writes some of the pairs with their texts to a CSV: the most similar
ones, and others evenly spaced over the distribution.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import write_manifest
from falsepromise.core.records import Record, atomic_open, check_prompt, query_of, read_jsonl, write_json
from falsepromise.curation import bleu
from falsepromise.curation.funnel import spreadsheet_text
from falsepromise.statistics.intervals import mean_metric

BINS = 20


def diversity(ids: Sequence[str], queries: Sequence[str]) -> dict[str, Any]:
    """The measure, its distribution, and each query's nearest other query.

    Args:
        ids: The records' ids.
        queries: The records' queries, two or more.
    """
    found = bleu.nearest(queries, progress="nearest other query")
    mean = mean_metric(found.bleu.tolist())
    order = np.argsort(-found.bleu, kind="stable").tolist()
    nearest = [
        {"id": ids[i], "nearest_id": ids[found.index[i]] if found.index[i] >= 0 else None, "bleu": float(found.bleu[i])}
        for i in order
    ]
    return {
        "mean_nearest_bleu": mean["value"],
        "ci95": mean["ci95"],
        "n": len(ids),
        "histogram": histogram(found.bleu.tolist()),
        "nearest": nearest,
    }


def histogram(scores: Sequence[float]) -> dict[str, list[float]]:
    """The number of scores in each of the equal parts of 0 to 100."""
    counts, edges = np.histogram(np.clip(scores, 0, 100), bins=BINS, range=(0, 100))
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def to_read(nearest: Sequence[Record], n: int) -> list[Record]:
    """`n` of the pairs, the most similar first: half of them are the most similar ones, the others are evenly spaced
    over the distribution. Of two pairs of the same two queries only the first is taken.
    """
    pairs = {tuple(sorted((p["id"], p["nearest_id"]))): p for p in reversed(nearest) if p["nearest_id"] is not None}
    distinct = sorted(pairs.values(), key=lambda pair: -pair["bleu"])
    if len(distinct) <= n:
        return distinct
    top = n - n // 2
    rest = np.linspace(top, len(distinct) - 1, n // 2).round().astype(int).tolist()
    return distinct[:top] + [distinct[index] for index in rest]


def write_pairs(path: Path, pairs: Sequence[Record], texts: Mapping[str, str]) -> None:
    """Write a CSV of pairs with their texts, which no spreadsheet reads as formulas."""
    with atomic_open(path) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("bleu", "id", "nearest_id", "query", "nearest_query"))
        for pair in pairs:
            shown = [texts[pair[key]] for key in ("id", "nearest_id")]
            writer.writerow([f"{pair['bleu']:.1f}", pair["id"], pair["nearest_id"], *map(spreadsheet_text, shown)])


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--queries", type=Path, required=True, help="prompt or dialogue records")
    parser.add_argument("--output", type=Path, required=True, help="JSON with the measure and the pairs")
    parser.add_argument("--pairs", type=Path, help="CSV file for the most similar pairs")
    parser.add_argument("--n-pairs", type=int, default=100, help="number of pairs in that file")
    args = parser.parse_args(argv)
    ids, queries = [], []
    for record in read_jsonl(args.queries, check_query):
        ids.append(record["id"])
        queries.append(query_of(record))
    if len(queries) < 2:
        raise UserError(f"{args.queries}: has {len(queries)} query, expected 2 or more to compare")
    if args.pairs and len(set(ids)) < len(ids):
        raise UserError(f"{args.queries}: ids repeat, so they can't identify pairs; leave --pairs out")
    result = diversity(ids, queries)
    write_json(args.output, result)
    outputs = [args.output]
    if args.pairs:
        pairs = to_read(result["nearest"], args.n_pairs)
        write_pairs(args.pairs, pairs, dict(zip(ids, queries, strict=True)))
        outputs.append(args.pairs)
    for output in outputs:
        write_manifest(output, module="falsepromise.curation.diversity", inputs=[args.queries], config={})


def check_query(record: Record) -> str | None:
    """What is wrong with a prompt or dialogue record, which needs a query, or None."""
    return check_prompt(record) or (None if query_of(record).strip() else "has no user query")


if __name__ == "__main__":
    cli.run(main)
