"""Measure how much of a reply's form the words of the prompt tell: what the quickstart's models could learn at best.

A kernel ridge regression on the words and word pairs of the query learns, from the mixture's first dialogues, whether
ChatGPT's reply has a list, and how many words it has; it is tested on the held-out prompts. A model that *samples* its
replies agrees less than one that decides: if it knew the probability of a list for each prompt, its agreement above
false alarms would be the mean difference of these probabilities, and its lengths would correlate with the teacher's by
r squared, where the expected length correlates by r.

    python benchmarks/quickstart_form.py --study results/quickstart      # after the quickstart's curation
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow"))

from falsepromise.core.records import read_jsonl  # noqa: E402
from falsepromise.figures.table import markdown_table  # noqa: E402
from falsepromise.style.detectors import has_list  # noqa: E402
from falsepromise.style.words import words  # noqa: E402

RIDGE = 3.0  # chosen once, on no data


def features(query: str) -> set[str]:
    """The words, the pairs of neighbours, the first two words, and the length in steps of three words."""
    found = re.findall(r"\w+|[^\w\s]", query.lower())
    pairs = {f"{a} {b}" for a, b in pairwise(found)}
    return set(found) | pairs | {f"<{' '.join(found[:2])}", f"<{min(len(found) // 3, 8)}>"}


def matrix(queries: list[set[str]], columns: dict[str, int]) -> np.ndarray:
    """One row a query; a row's features share a length of 1."""
    rows = np.zeros((len(queries), len(columns)), np.float32)
    for row, query in zip(rows, queries, strict=True):
        known = [columns[feature] for feature in query if feature in columns]
        row[known] = max(len(known), 1) ** -0.5
    return rows


def expected(train: np.ndarray, target: np.ndarray, test: np.ndarray) -> np.ndarray:
    """What the ridge regression expects of the test's rows."""
    mean = target.mean()
    weights = np.linalg.solve(train @ train.T + RIDGE * np.eye(len(train)), target - mean)
    return test @ (train.T @ weights) + mean


def auc(score: np.ndarray, positive: np.ndarray) -> float:
    """Mann and Whitney's: how often a positive has the higher score."""
    n = positive.sum()
    return float((rankdata(score)[positive].sum() - n * (n + 1) / 2) / (n * (~positive).sum()))


def asked(path: Path) -> list[tuple[str, str]]:
    """Query and reply of each dialogue."""
    return [(d["messages"][-2]["content"], d["messages"][-1]["content"]) for d in read_jsonl(path)]


def measure(train: list[tuple[str, str]], test: list[tuple[str, str]]) -> list[Any]:
    """A row of the table."""
    queries = [features(query) for query, _ in train]
    often = Counter(feature for query in queries for feature in query)
    columns = {feature: i for i, feature in enumerate(sorted(f for f, n in often.items() if n >= 3))}
    x, y = matrix(queries, columns), matrix([features(query) for query, _ in test], columns)
    lists, true_lists = (np.array([has_list(reply) for _, reply in some]) for some in (train, test))
    lengths, true_lengths = (np.array([len(words(reply)) for _, reply in some]) for some in (train, test))
    chance = np.clip(expected(x, lists.astype(float), y), 0, 1)
    r = float(np.corrcoef(expected(x, lengths.astype(float), y), true_lengths)[0, 1])
    gap = 100 * (chance[true_lists].mean() - chance[~true_lists].mean())
    return [f"{len(train):,}", f"{auc(chance, true_lists):.2f}", f"{gap:.0f}", f"{r:.2f}", f"{r * r:.2f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, default=ROOT / "results" / "quickstart", help="a study's results")
    parser.add_argument("--mixture", default="sharegpt_mix.s0", help="the mixture and the seed of its order")
    parser.add_argument("--prompts", default="heldout")
    parser.add_argument("--sizes", type=int, nargs="+", default=[200, 600, 1800, 3400], help="dialogues to learn from")
    args = parser.parse_args()
    train = asked(args.study / f"curation/mixtures/{args.mixture}.jsonl")
    prompts = args.study / f"curation/prompts/{args.prompts}"
    replies = {r["prompt_id"]: r["response"] for r in read_jsonl(prompts.with_suffix(".references.jsonl"))}
    test = [(p["messages"][-1]["content"], replies[p["id"]]) for p in read_jsonl(prompts.with_suffix(".jsonl"))]
    header = ["dialogues", "AUC of lists", "lists above false alarms, sampled", "r of the expected length", "sampled"]
    print(markdown_table(header, [measure(train[:n], test) for n in args.sizes]))


if __name__ == "__main__":
    main()
