"""Nearest-neighbour BLEU: all pairs, against sacrebleu on a random sample of pairs.

    python benchmarks/curation_bleu.py DIALOGUES.jsonl [--queries first|all] [--limit N] [--pairs 2000]

Takes the distinct first queries (or all distinct user turns) of dialogue records, finds each one's
nearest other one, and compares a random sample of pairs with sacrebleu's sentence BLEU (effective
order). Prints a table (Markdown); the exit code is 1 if a score differs by more than 1e-9.
"""

from __future__ import annotations

import random
import resource
import sys
import time
from pathlib import Path

import numpy as np
import sides

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow"))

from falsepromise.core.records import check_dialogue, query_of, read_jsonl
from falsepromise.curation import bleu


def main() -> None:
    parser = sides.parser(__doc__)
    parser.add_argument("dialogues", type=Path)
    parser.add_argument("--queries", choices=("first", "all"), default="first")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--pairs", type=int, default=2000)
    args = parser.parse_args()
    sides.machine(args)
    texts: dict[str, None] = {}
    for record in read_jsonl(args.dialogues, check_dialogue):
        turns = [m["content"] for m in record["messages"] if m["role"] == "user"]
        texts.update(dict.fromkeys(turns if args.queries == "all" else [query_of(record)]))
    queries = list(texts)[: args.limit]
    wall, busy = time.perf_counter(), time.process_time()
    found = bleu.nearest(queries)
    wall, busy = time.perf_counter() - wall, time.process_time() - busy
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6

    from sacrebleu.metrics import BLEU

    metric = BLEU(effective_order=True)
    rng = random.Random(0)
    sample = [queries[index] for index in rng.sample(range(len(queries)), min(200, len(queries)))]
    ours = 100 * np.exp(bleu.Pairs(sample, queries).log_scores(slice(0, len(sample))))
    chosen = [(rng.randrange(len(sample)), rng.randrange(len(queries))) for _ in range(args.pairs)]
    start = time.process_time()
    theirs = [metric.sentence_score(sample[i], [queries[j]]).score for i, j in chosen]
    reference = args.pairs / (time.process_time() - start)
    worst = max(abs(score - ours[i, j]) for score, (i, j) in zip(theirs, chosen, strict=True))
    rate = len(queries) ** 2 / busy
    print("| way | queries | wall s | CPU s | pairs a CPU second | peak memory, GB | largest difference |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    print(f"| sacrebleu | {args.pairs:,} pairs | | | {reference:,.0f} | | |")
    print(f"| ours | {len(queries):,} | {wall:.1f} | {busy:.1f} | {rate:,.0f} | {memory:.2f} | {worst:.1e} |")
    print(f"\n{rate / reference:,.0f} times as many pairs a second; mean nearest BLEU {found.bleu.mean():.2f} %")
    sys.exit(bool(worst > 1e-9))


if __name__ == "__main__":
    main()
