"""Remove prompts that are too close to training data, and report the overlap.

A prompt's overlap is its highest BLEU with any user query of the training data (the prompt as the
hypothesis; section 4.1, footnote 2). A prompt is also too close if a training turn has it in another spelling, contains
it or shares 13 words in a row with it (see `curation.leaks`). `falsepromise.benchmarks.overlap` reports the same for
a benchmark.

The report is `{"n", "kept", "dropped", "max_bleu", "mean_bleu", "ci95", "share_over", "flagged", "by_reason",
"histogram", "items": [{"id", "bleu", "query", "training_query", "kept", "reasons", "training"}]}`, the closest items
first. Queries are shortened; `share_over` is the share over `max_bleu` with its interval. `flagged` are the ids that
leak by `curation.leaks`, whatever their BLEU.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import write_manifest
from falsepromise.core.records import check_dialogue, query_of, read_jsonl, write_json, write_jsonl
from falsepromise.curation import bleu, leaks
from falsepromise.curation.diversity import check_query, histogram
from falsepromise.statistics.intervals import mean_metric
from falsepromise.study.config import default

SHOWN = 200  # characters of a query in the report


def training_queries(paths: Iterable[Path]) -> list[str]:
    """Every user turn of the training dialogues, each text once."""
    queries: dict[str, None] = {}
    for path in paths:
        for dialogue in read_jsonl(path, check_dialogue):
            queries.update((m["content"], None) for m in dialogue["messages"] if m["role"] == "user")
    return list(queries)


def overlap(
    ids: Sequence[str], texts: Sequence[str], training: Sequence[Path], max_bleu: float
) -> tuple[dict[str, Any], list[bool]]:
    """Measure each text's similarity to the training data's queries.

    Args:
        ids: The prompts' ids.
        texts: The prompts' queries.
        training: Files of training dialogues.
        max_bleu: 0 to 100; a higher BLEU is too close.

    Returns:
        The report, and for each text whether to keep it.
    """
    queries = training_queries(training)
    found = bleu.nearest(texts, queries, "BLEU with the training queries")
    scores = [min(score, 100.0) for score in found.bleu.tolist()]
    over = [score > max_bleu + 1e-9 for score in scores]  # 100 is 100 also after rounding
    turns = (turn for path in training for turn in leaks.turns_in(path))
    seen: dict[int, list[leaks.Leak]] = {}
    for leak in sorted(leaks.exact(texts, turns), key=lambda leak: leaks.REASONS.index(leak.reason)):
        seen.setdefault(leak.index, []).append(leak)
    stays = [not far and number not in seen for number, far in enumerate(over)]
    items = [
        {
            "id": name,
            "bleu": score,
            "query": text[:SHOWN],
            "training_query": queries[index][:SHOWN] if index >= 0 else None,
            "kept": stays[number],
            **_shown(text, seen.get(number, [])),
        }
        for number, (name, text, score, index) in enumerate(zip(ids, texts, scores, found.index.tolist(), strict=True))
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
        "share_over": mean_metric([float(far) for far in over]),
        "flagged": [ids[number] for number in sorted(seen)],
        "by_reason": dict(Counter(leak.reason for some in seen.values() for leak in some)),
        "histogram": histogram(scores),
        "items": sorted(items, key=lambda item: -item["bleu"]),
    }
    return report, stays


def _shown(text: str, found: Sequence[leaks.Leak]) -> dict[str, Any]:
    """The leak fields of an item's record: how it leaked, and the training turn."""
    if not found:
        return {}
    turn = found[0].turn
    return {"reasons": [leak.reason for leak in found], "training": {"file": turn.file, "id": turn.id,
            "text": leaks.shown(text, turn.text)}}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `overlap`."""
    parser.add_argument("--training", type=Path, nargs="+", required=True, help="training dialogues, one or more files")
    parser.add_argument(
        "--max-bleu",
        type=float,
        default=default("prompts.max_bleu"),
        metavar="PERCENT",
        help="BLEU with training above which a prompt is dropped",
    )


def check_arguments(args: argparse.Namespace) -> None:
    """Refuse a value that is not a percentage."""
    if not 0 <= args.max_bleu <= 100:
        raise UserError(f"--max-bleu {args.max_bleu}: expected a percentage from 0 to 100")


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--prompts", type=Path, required=True, help="prompt records")
    add_arguments(parser)
    parser.add_argument("--output", type=Path, required=True, help="the prompts that are kept")
    parser.add_argument("--report", type=Path, required=True, help="JSON file for every prompt's overlap")
    args = parser.parse_args(argv)
    check_arguments(args)
    prompts = list(read_jsonl(args.prompts, check_query))
    report, stays = overlap([p["id"] for p in prompts], list(map(query_of, prompts)), args.training, args.max_bleu)
    if not any(stays):
        raise UserError(f"{args.prompts}: every prompt is too close to the training data (BLEU over {args.max_bleu:g})")
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
