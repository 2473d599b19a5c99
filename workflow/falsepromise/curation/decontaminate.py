"""Take out of a prompt set what is too close to training data, and report the overlap.

A prompt's overlap is its highest BLEU with any user query of the training data (the prompt as the
hypothesis; section 4.1, footnote 2). With --max-bleu 100 nothing is taken out: use it for a report of
a benchmark's overlap with the training data, which the paper names as a confounder.

The report is `{"n", "kept", "dropped", "max_bleu", "mean_bleu", "ci95", "items": [{"id", "bleu",
"training_query", "kept"}]}`, the items from the closest on; `training_query` is the closest one's
beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import write_manifest
from falsepromise.core.records import query_of, read_jsonl, write_json, write_jsonl
from falsepromise.core.statistics import mean_metric
from falsepromise.curation import bleu
from falsepromise.curation.diversity import check_query
from falsepromise.curation.prompts import training_queries

SHOWN = 200  # characters of a training query in the report


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
    queries = training_queries(args.training)
    found = bleu.nearest([query_of(prompt) for prompt in prompts], queries, "BLEU with the training queries")
    stays = (found.bleu <= args.max_bleu + 1e-9).tolist()  # 100 is 100 also after rounding
    if not any(stays):
        raise UserError(f"{args.prompts}: every prompt has a BLEU over {args.max_bleu:g} with the training data")
    items = [
        {
            "id": prompt["id"],
            "bleu": min(score, 100.0),
            "training_query": queries[index][:SHOWN] if index >= 0 else None,
            "kept": kept,
        }
        for prompt, score, index, kept in zip(prompts, found.bleu.tolist(), found.index.tolist(), stays, strict=True)
    ]
    mean = mean_metric(found.bleu.tolist())
    report = {
        "n": len(prompts),
        "kept": sum(stays),
        "dropped": len(stays) - sum(stays),
        "max_bleu": args.max_bleu,
        "mean_bleu": mean["value"],
        "ci95": mean["ci95"],
        "items": sorted(items, key=lambda item: -item["bleu"]),
    }
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
