"""Compare two models on the same items of one benchmark: paired differences with a paired test.

    python -m falsepromise.benchmarks.compare --scores OURS.json THEIRS.json [--output DIFFERENCE.json]

Takes two score records; items are matched by their ids. For each metric: the difference of the means over the
items that both have, its 95 % bootstrap interval, and a two-sided p (exact McNemar for right and wrong, else a
permutation of signs). Prints a Markdown table.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import manifest
from falsepromise.core.records import read_json, write_json
from falsepromise.core.text import terminal
from falsepromise.statistics.paired import paired_difference

log = logging.getLogger("falsepromise.benchmarks.compare")
SHAPING = ("scoring", "shots", "prompt", "turn_tokens", "scorer", "max_tokens", "samples")  # of a manifest's config


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--scores", type=Path, nargs=2, required=True, metavar="SCORE", help="two score records")
    parser.add_argument("--output", type=Path, help="JSON file for the differences")
    parser.add_argument("--metrics", nargs="+", metavar="NAME", help="metrics to compare; default: all that both have")
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap and the permutations")
    args = parser.parse_args(argv)
    left, right = (read_score(path) for path in args.scores)
    found, limits = differences(left, right, args.scores, args.metrics, args.seed)
    print(terminal(f"{left['model']} minus {right['model']} on {left['benchmark']}", lines=False) + "\n")
    print("| metric | left | right | difference | 95 % interval | p | test | left, right higher, equal | n |")
    print("|" + " --- |" * 9)
    for name, d in found.items():
        shown, (low, high) = terminal(name, lines=False), d["ci95"]
        counts = f"{d['left_higher']}, {d['right_higher']}, {d['equal']}"
        print(
            f"| {shown} | {d['left']:.4f} | {d['right']:.4f} | {d['value']:+.4f} | [{low:+.4f}, {high:+.4f}] "
            f"| {d['p']:.3g} | {d['test']} | {counts} | {d['n']} |"
        )
    for sentence in limits:
        log.info("note: %s", sentence)
    if args.output:
        record: dict[str, Any] = {
            "left": left["model"], "right": right["model"], "benchmark": left["benchmark"], "differences": found,
        }  # fmt: skip
        if limits:
            record["limits"] = "; ".join(limits)
        made = manifest("falsepromise.benchmarks.compare", args.scores, {"metrics": list(found)}, args.seed)
        write_json(args.output, record | {"manifest": made})


def read_score(path: Path) -> dict[str, Any]:
    """A score record that has its items.

    Raises:
        UserError: the file is none.
    """
    score = read_json(path)
    if not isinstance(score, dict) or not {"model", "benchmark", "metrics"} <= score.keys():
        raise UserError(f"{path}: no score record; expected model, benchmark, metrics, items")
    items = score.get("items")
    if not isinstance(items, list) or not all(isinstance(item, dict) and "id" in item for item in items):
        raise UserError(f"{path}: the score has no items; a paired comparison needs each item's value")
    return score


def differences(
    left: Mapping[str, Any], right: Mapping[str, Any], paths: Sequence[Path], metrics: Sequence[str] | None, seed: int
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Metric -> difference, and what has to be said against them.

    Raises:
        UserError: the scores are of different benchmarks, or have no items in common.
    """
    if left["benchmark"] != right["benchmark"]:
        raise UserError(
            f"{paths[1]}: of {right['benchmark']}, {paths[0]} of {left['benchmark']}; compare one benchmark"
        )
    ours, theirs = ({str(item["id"]): item for item in score["items"]} for score in (left, right))
    shared = [name for name in ours if name in theirs]
    if not shared:
        raise UserError(f"{paths[0]}, {paths[1]}: no items in common; were they scored on the same data?")
    limits = []
    if len(shared) < max(len(ours), len(theirs)):
        limits.append(f"{len(shared)} items in common, of {len(ours)} and {len(theirs)}")
    configs = [score.get("manifest", {}).get("config", {}) for score in (left, right)]
    limits += [
        f"{key}: {configs[0].get(key)!r} against {configs[1].get(key)!r}"
        for key in SHAPING
        if configs[0].get(key) != configs[1].get(key)
    ]
    known = [name for name in left["metrics"] if name in right["metrics"]]
    unknown = [name for name in metrics or () if name not in known]
    if unknown:
        raise UserError(f"--metrics {unknown[0]}: not in both scores; there are {', '.join(known)}")
    found = {}
    for name in metrics or known:
        both = [key for key in shared if ours[key].get(name) is not None and theirs[key].get(name) is not None]
        if not both:
            limits.append(f"{name}: has no value for each item")
            continue
        x, y = ([float(items[key][name]) for key in both] for items in (ours, theirs))
        found[name] = {"left": sum(x) / len(x), "right": sum(y) / len(y), **paired_difference(x, y, seed)}
    if not found:
        raise UserError(f"{paths[0]}, {paths[1]}: no metric with a value for each item in both")
    return found, limits


if __name__ == "__main__":
    cli.run(main)
