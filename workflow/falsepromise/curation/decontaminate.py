"""Take out of a prompt set what is too close to training data, and report the overlap.

A prompt's overlap is its highest BLEU with any user query of the training data (the prompt as the
hypothesis; section 4.1, footnote 2). `falsepromise.benchmarks.overlap` reports the same of a benchmark.

The report is `{"n", "kept", "dropped", "max_bleu", "mean_bleu", "ci95", "share_over", "histogram",
"items": [{"id", "bleu", "query", "training_query", "kept"}]}`, the items from the closest on; queries are
shown by their beginnings, and `share_over` is the share over `max_bleu` with its interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import write_manifest
from falsepromise.core.records import query_of, read_jsonl, write_json, write_jsonl
from falsepromise.core.statistics import mean_metric
from falsepromise.curation import bleu
from falsepromise.curation.diversity import check_query, histogram
from falsepromise.curation.prompts import training_queries

SHOWN = 200  # characters of a query in the report


def overlap(
    ids: Sequence[str], texts: Sequence[str], training: Sequence[Path], max_bleu: float
) -> tuple[dict[str, Any], list[bool]]:
    """How close each text comes to the training data's queries.

    Args:
        ids: Of the prompts.
        texts: Their queries.
        training: Files of training dialogues.
        max_bleu: 0 to 100; what has more is too close.

    Returns:
        The report, and for each text whether it may stay.
    """
    queries = training_queries(training)
    found = bleu.nearest(texts, queries, "BLEU with the training queries")
    scores = [min(score, 100.0) for score in found.bleu.tolist()]
    stays = [score <= max_bleu + 1e-9 for score in scores]  # 100 is 100 also after rounding
    items = [
        {
            "id": name,
            "bleu": score,
            "query": text[:SHOWN],
            "training_query": queries[index][:SHOWN] if index >= 0 else None,
            "kept": kept,
        }
        for name, text, score, index, kept in zip(ids, texts, scores, found.index.tolist(), stays, strict=True)
    ]
    mean = mean_metric(scores)
    report = {
        "n": len(texts),
        "n_training_queries": len(queries),
        "kept": sum(stays),
        "dropped": len(stays) - sum(stays),
        "max_bleu": max_bleu,
        "mean_bleu": mean["value"],
        "ci95": mean["ci95"],
        "share_over": mean_metric([float(not kept) for kept in stays]),
        "histogram": histogram(scores),
        "items": sorted(items, key=lambda item: -item["bleu"]),
    }
    return report, stays


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--prompts", type=Path, required=True, help="prompt records")
    parser.add_argument("--training", type=Path, nargs="+", required=True, help="training dialogues, one or more files")
    parser.add_argument("--max-bleu", type=float, default=20.0, metavar="PERCENT", help="the most overlap that stays")
    parser.add_argument("--output", type=Path, required=True, help="the prompts that stay")
    parser.add_argument("--report", type=Path, required=True, help="JSON of every prompt's overlap")
    args = parser.parse_args(argv)
    if not 0 <= args.max_bleu <= 100:
        raise UserError(f"--max-bleu {args.max_bleu}: expected a percentage from 0 to 100")
    prompts = list(read_jsonl(args.prompts, check_query))
    report, stays = overlap([p["id"] for p in prompts], list(map(query_of, prompts)), args.training, args.max_bleu)
    if not any(stays):
        raise UserError(f"{args.prompts}: every prompt has a BLEU over {args.max_bleu:g} with the training data")
    write_jsonl(args.output, (prompt for prompt, kept in zip(prompts, stays, strict=True) if kept))
    write_json(args.report, report)
    for output in (args.output, args.report):
        write_manifest(
            output,
            module="falsepromise.curation.decontaminate",
            inputs=[args.prompts, *args.training],
            config={"max_bleu": args.max_bleu},
        )


if __name__ == "__main__":
    cli.run(main)
