"""Aggregate votes: majority on each item, shares, agreement between raters, with intervals.

Reads votes, one JSON object a line: {"item", "rater", "choice": "left" | "right" | "tie" | null}.
`left` is the model under study (if votes name the models in "left" and "right", --model names
it). Writes a score record. Each item has the choice of more than half of its raters;
1-1-1 is "no_majority", a separate category, counted as neither side's win. Metrics:

  left, right, tie, no_majority   share of the items; they add up to 1
  preferred                       left
  equal                           tie + no_majority
  equal_or_better                 left + tie + no_majority
  fleiss_kappa                    agreement of the raters beyond chance (two or more raters)
  with_majority                   share of the votes that equal their item's majority, among items with
                                  a majority and two votes or more
  order_flip                      share of items whose winner changes sides with the order shown
                                  (a judge asked in both orders)
  length_controlled               estimated share of wins at equal length, ties as half
                                  (with --responses and --reference)
  length_controlled_alpaca_eval   the rate of AlpacaEval 2's leaderboard, on its instructions, by their numbers
                                  from 0 as prompt ids (with --alpaca-eval as well)

win_rate and place have 95 % credible intervals, length_controlled has one by the penalised profile
likelihood, the others have 95 % bootstrap intervals over items; "sd" is the standard deviation over items and "se"
that of the mean. Unreadable votes are not missing at random (a judge may refuse the worst replies). So left, right,
preferred and equal_or_better have "bounds", their lowest and highest value if all unreadable votes were for one side,
and "bounds_ci95", from the lower end of the lower bound's interval to the upper end of the upper bound's. "absent" has
the reason for each missing metric. "seconds" is the time of a vote; "raters" has each rater's votes, agreement with
the majority and with the others (without that rater), noise (1 is the middle) and time; "item_share" is the share of a
vote's variance that is due to the item.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import manifest
from falsepromise.core.records import Record, write_json
from falsepromise.preference.alpaca_eval import alpaca_eval_rate, read_gamed
from falsepromise.preference.regression import prompt_of
from falsepromise.preference.votes import CHOICES, by_item, majority, read_votes
from falsepromise.statistics.agreement import all_agree_interval, fleiss_kappa
from falsepromise.statistics.hierarchy import fit
from falsepromise.statistics.intervals import bootstrap, mean_metric
from falsepromise.statistics.logistic import length_controlled
from falsepromise.style.pairs import read_responses

log = logging.getLogger(__name__)
Metric = dict[str, Any]
OUTCOMES = {
    "left": ("left",),
    "right": ("right",),
    "tie": ("tie",),
    "no_majority": ("no_majority",),
    "preferred": ("left",),
    "equal": ("tie", "no_majority"),
    "equal_or_better": ("left", "tie", "no_majority"),
}


def aggregate(votes: Sequence[Record], seed: int = 0) -> Record:
    """Metrics, items, raters and counts of a list of votes.

    Args:
        votes: As `read_votes` returns them.

        seed: The seed of the bootstrap over items.

    Returns:
        `metrics`, `absent` (the reasons for missing metrics), `counts`, `seconds`, `raters`, `items`.

        If no vote is readable, `not_scored` with the reason instead of metrics.
    """
    choices = by_item(votes)
    outcomes = {item: majority(given.values()) for item, given in choices.items() if given}
    metrics: dict[str, Metric] = {}
    if outcomes:
        metrics = {
            name: _with_spread([float(outcome in wanted) for outcome in outcomes.values()], seed)
            for name, wanted in OUTCOMES.items()
        }
    unread = [vote for vote in votes if vote["choice"] is None]
    if unread and metrics:
        for name, between in bounds(votes, seed).items():
            metrics[name] |= between
    prompts = {vote["item"]: prompt_of({**vote, "id": vote["item"]}) for vote in votes}
    agreement, absent = _agreement(choices, outcomes, seed)
    metrics |= agreement
    model = fit(votes, seed) if outcomes else {}
    metrics |= {name: model[name] for name in ("win_rate", "place") if name in model}
    if outcomes and "place" not in metrics:
        absent["place"] = "it needs votes with the left reply shown first and votes with it shown second"
    flips = _flips(votes)
    if flips:
        metrics["order_flip"] = mean_metric(list(flips.values()), seed)
    else:
        absent["order_flip"] = "it needs a rater who judged an item in both orders"
    return {
        "metrics": metrics,
        **({} if outcomes else {"not_scored": f"none of the {len(votes)} votes could be read"}),
        "absent": absent,
        "counts": {
            "votes": len(votes),
            "unreadable_votes": len(unread),
            "unreadable_by_reason": dict(Counter(str(vote.get("unreadable") or "not said") for vote in unread)),
            "items": len(choices),
            "items_without_readable_votes": len(choices) - len(outcomes),
            "votes_per_item": dict(sorted(Counter(str(len(given)) for given in choices.values()).items())),
        },
        "seconds": _seconds([vote["seconds"] for vote in votes if _is_time(vote)]),
        "raters": _raters(votes, choices, outcomes, model.get("raters", {})),
        **{name: model[name] for name in ("item_share",) if name in model},
        "items": [
            {
                "id": item,
                "prompt_id": str(prompts[item]),
                "majority": outcome,
                "votes": dict(Counter(choices[item].values())),
                "rate": model["items"][item],
            }
            for item, outcome in outcomes.items()
        ],
    }


def _agreement(
    choices: dict[str, dict[str, str]], outcomes: dict[str, str], seed: int
) -> tuple[dict[str, Metric], dict[str, str]]:
    """Fleiss' kappa and the share of votes with their item's majority; the reasons for those that are absent."""
    metrics: dict[str, Metric] = {}
    absent = {}
    rows = [[list(given.values()).count(c) for c in CHOICES] for given in choices.values() if given]
    table = np.array(rows).reshape(-1, len(CHOICES))
    kappa = fleiss_kappa(table)
    if np.isfinite(kappa):
        rated = int((table.sum(axis=1) >= 2).sum())
        if kappa == 1:
            counts = table[table.sum(axis=1) >= 2].sum(axis=0)
            interval = all_agree_interval(counts / counts.sum(), rated)
        else:
            interval = bootstrap(lambda drawn: fleiss_kappa(table[drawn]), len(table), seed)
        metrics["fleiss_kappa"] = {"value": kappa, "ci95": interval, "n": rated}
    else:
        absent["fleiss_kappa"] = "it needs items with two raters, and more than one choice made"
    agreeing = [
        list(given.values()).count(outcomes[item]) / len(given)
        for item, given in choices.items()
        if len(given) > 1 and outcomes[item] != "no_majority"
    ]
    if agreeing:
        metrics["with_majority"] = mean_metric(agreeing, seed)
    else:
        absent["with_majority"] = "no item has two votes or more and a majority"
    return metrics, absent


def bounds(votes: Sequence[Record], seed: int = 0) -> dict[str, Metric]:
    """The bounds of each side's share: with all unreadable votes for the model, and with all for the other.

    A further vote for a side never lowers its share, so these two are the extremes.
    """
    extremes = []
    for side in ("right", "left"):
        filled = by_item({**vote, "choice": vote["choice"] or side} for vote in votes)
        extremes.append([majority(given.values()) for given in filled.values()])
    between = {}
    for name in ("left", "right", "preferred", "equal_or_better"):
        one, other = (mean_metric([float(o in OUTCOMES[name]) for o in outcomes], seed) for outcomes in extremes)
        low, high = (other, one) if name == "right" else (one, other)
        between[name] = {
            "bounds": [low["value"], high["value"]],
            "bounds_ci95": [low["ci95"][0], high["ci95"][1]],
        }
    return between


def _is_time(vote: Record) -> bool:
    return isinstance(vote.get("seconds"), int | float)


def _seconds(spent: Sequence[float]) -> Record | None:
    """Median and mean time of a vote in seconds; None if no vote has a time."""
    return {"median": float(np.median(spent)), "mean": float(np.mean(spent)), "n": len(spent)} if spent else None


def _with_spread(values: Sequence[float], seed: int) -> Metric:
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {**mean_metric(values, seed), "sd": sd, "se": sd / len(values) ** 0.5}


def _flips(votes: Sequence[Record]) -> dict[str, float]:
    """For each item that a rater judged in both orders: did the winner change sides?"""
    orders: dict[tuple[str, str], dict[str, str]] = {}
    for vote in votes:
        if vote.get("first") and vote["choice"] is not None:
            orders.setdefault((vote["item"], vote["rater"]), {})[vote["first"]] = vote["choice"]
    return {
        f"{item}/{rater}": float({"left", "right"} == set(given.values()))
        for (item, rater), given in orders.items()
        if len(given) == 2
    }


def _raters(
    votes: Sequence[Record], choices: dict[str, dict[str, str]], outcomes: dict[str, str], fitted: Record
) -> list[Record]:
    """For each rater: items rated, agreement with the majority and with the others, noise, median seconds a vote."""
    seconds: dict[str, list[float]] = {}
    for vote in votes:
        seconds.setdefault(vote["rater"], [])
        if _is_time(vote):
            seconds[vote["rater"]].append(float(vote["seconds"]))
    rated_by: dict[str, list[str]] = {rater: [] for rater in seconds}
    for item, given in choices.items():
        for rater in given:
            rated_by[rater].append(item)
    counts = {item: Counter(given.values()) for item, given in choices.items()}
    raters = []
    for rater, spent in sorted(seconds.items()):
        rated = rated_by[rater]
        decided = [item for item in rated if outcomes[item] != "no_majority" and len(choices[item]) > 1]
        agreeing = sum(choices[item][rater] == outcomes[item] for item in decided)
        shared = [item for item in rated if len(choices[item]) > 1]
        same = [(counts[item][choices[item][rater]] - 1) / (len(choices[item]) - 1) for item in shared]
        raters.append(
            {
                "rater": rater,
                "items": len(rated),
                "with_majority": agreeing / len(decided) if decided else None,
                "with_others": sum(same) / len(same) if same else None,
                **({"noise": fitted[rater]["noise"], "win_rate": fitted[rater]["rate"]} if rater in fitted else {}),
                "seconds_median": float(np.median(spent)) if spent else None,
            }
        )
    return raters


def main(argv: Sequence[str] | None = None) -> None:
    """Aggregate votes; see the module's help."""
    parser = cli.parser(__doc__)
    parser.add_argument("--votes", type=cli.FileName, required=True, nargs="+", help="vote records, one or more files")
    parser.add_argument("--model", help="the model under study, if the votes name models")
    parser.add_argument("--judge", help="name of the benchmark in the score record (default: preference)")
    parser.add_argument("--responses", type=cli.FileName, help="the model's responses, for the length-controlled rate")
    parser.add_argument(
        "--reference", type=cli.FileName, help="the other side's responses, for the length-controlled rate"
    )
    parser.add_argument(
        "--alpaca-eval", type=cli.FileName, help="AlpacaEval's df_gamed.csv, for its leaderboard's rate"
    )
    parser.add_argument("--stand-in", help="what the judge really is, if it is a stand-in")
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap")
    parser.add_argument("--output", type=cli.FileName, required=True, help="the score record")
    args = parser.parse_args(argv)
    if bool(args.responses) != bool(args.reference):
        parser.error("--responses and --reference go together")
    if args.alpaca_eval and not args.responses:
        parser.error("--alpaca-eval needs --responses and --reference, for the lengths")
    gamed = read_gamed(args.alpaca_eval) if args.alpaca_eval else None

    votes = read_votes(args.votes, args.model)
    result = aggregate(votes, args.seed)
    if result.get("not_scored"):
        log.warning("%s: %s", ", ".join(args.votes), result["not_scored"])
    elif args.responses:
        rates: dict[str, Callable[..., Metric]] = {"length_controlled": lambda _, *pairs: length_controlled(*pairs)}
        if gamed:
            rates["length_controlled_alpaca_eval"] = partial(alpaca_eval_rate, gamed=gamed)
        pairs = _with_lengths(result["items"], args)
        prompt, count = Counter(pairs[0]).most_common(1)[0]
        for name, rate in rates.items():
            if count > 1:
                result["absent"][name] = f"prompt {prompt!r} has {count} items, and its replies have one length"
                continue
            try:
                result["metrics"][name] = rate(*pairs)
            except ValueError as error:
                result["absent"][name] = str(error)
    model = args.model or next((vote["left"] for vote in votes if vote.get("left")), "left")
    stand_in = args.stand_in or next((vote["stand_in"] for vote in votes if vote.get("stand_in")), None)
    items = result.pop("items")
    inputs = [*args.votes, *(path for path in (args.responses, args.reference, args.alpaca_eval) if path)]
    record = {"model": model, "benchmark": args.judge or "preference", **result, "items": items}
    if stand_in:
        record["stand_in"] = stand_in
    record["manifest"] = manifest("falsepromise.preference.aggregate", inputs, {"judge": args.judge}, args.seed)
    write_json(args.output, record)
    log.info("%s: %s", model, ", ".join(f"{name} {m['value']:.3f}" for name, m in result["metrics"].items()))
    for name, why in result["absent"].items():
        log.info("%s is absent: %s", name, why)


def _with_lengths(items: Sequence[Record], args: Any) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Prompt, worth of the majority (a tie is half a win) and difference in characters of each item."""
    ours, theirs = read_responses(args.responses), read_responses(args.reference)
    wins, differences = [], []
    for item in items:
        prompt = item["prompt_id"]
        for path, side in ((args.responses, ours), (args.reference, theirs)):
            if prompt not in side:
                raise UserError(f"{path}: no response for prompt {prompt!r}, which was voted on; give the same files")
        wins.append({"left": 1.0, "right": 0.0}.get(item["majority"], 0.5))
        differences.append(len(ours[prompt]["response"]) - len(theirs[prompt]["response"]))
    return [item["prompt_id"] for item in items], np.array(wins), np.array(differences, dtype=float)


if __name__ == "__main__":
    cli.run(main)
