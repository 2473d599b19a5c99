"""How often the intervals of a preference rate hold the true rate, by simulation.

    PYTHONPATH=workflow python benchmarks/preference_coverage.py [--runs 200]

Votes are drawn from logistic models with items of a beta distribution, none of which the fitted models assume;
the true rate is known. Prints a Markdown table: preference_coverage_results.md has the latest.
"""

import argparse

import numpy as np

from falsepromise.preference.votes import by_item, majority
from falsepromise.statistics.hierarchy import fit
from falsepromise.statistics.intervals import mean_metric
from falsepromise.statistics.logistic import length_controlled

# rate of wins, items, raters, orders, spread (the larger, the more alike the items), ties, love of the first place
CASES = {
    "5 items, one judge, one order": (0.7, 5, 1, 1, 3.0, 0.1, 0.0),
    "20 items, one judge, both orders": (0.5, 20, 1, 2, 2.0, 0.15, 0.15),
    "80 items, one judge, both orders": (0.9, 80, 1, 2, 2.0, 0.1, 0.1),
    "80 items, three raters": (0.35, 80, 3, 1, 1.5, 0.2, 0.0),
    "255 items, three raters": (0.6, 255, 3, 1, 1.5, 0.2, 0.0),
}


def votes_of(case, rng):
    """Votes of one run, and the true rate."""
    rate, items, raters, orders, spread, ties, place = case
    inclined = rng.beta(rate * spread, (1 - rate) * spread, items)
    votes = []
    for i, p in enumerate(inclined):
        for r in range(raters):
            for first in ("left", "right")[:orders] if orders == 2 else (rng.choice(["left", "right"]),):
                chance = np.clip(p + (place / 2 if first == "left" else -place / 2) * 4 * p * (1 - p), 0, 1)
                drawn = "tie" if rng.random() < ties else "left" if rng.random() < chance else "right"
                votes.append({"item": str(i), "rater": f"r{r}", "choice": drawn, "first": str(first)})
    return votes, ties / 2 + (1 - ties) * rate


def bootstrap_of(votes):
    """What was done before: the items' majorities, a tie as half, and a bootstrap over items."""
    worth = {"left": 1.0, "right": 0.0}
    return mean_metric([worth.get(majority(given.values()), 0.5) for given in by_item(votes).values()])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    runs = parser.parse_args().runs
    print("| case | interval | covers | width | mean of the estimate, the truth |\n| --- | --- | --- | --- | --- |")
    for name, case in CASES.items():
        found = {"the model's, all votes": [], "majorities, bootstrap": []}
        for run in range(runs):
            votes, truth = votes_of(case, np.random.default_rng([run, len(name)]))
            found["the model's, all votes"].append(fit(votes, draws=600)["win_rate"])
            found["majorities, bootstrap"].append(bootstrap_of(votes))
        show(name, found, truth)
    for n, wins_at_equal in ((80, 0.5), (80, 0.9), (20, 0.8)):
        found = {"length-controlled": []}
        for run in range(runs):
            rng = np.random.default_rng([run, n])
            difference = rng.normal(200, 400, n)
            chance = 1 / (1 + np.exp(-np.log(wins_at_equal / (1 - wins_at_equal)) - np.tanh(difference / 400)))
            found["length-controlled"].append(length_controlled((rng.random(n) < chance).astype(float), difference))
        show(f"{n} items, the longer wins more often", found, wins_at_equal)


def show(name, found, truth):
    for kind, metrics in found.items():
        low, high = np.array([metric["ci95"] for metric in metrics]).T
        covers = ((low <= truth) & (truth <= high)).mean()
        value = np.mean([metric["value"] for metric in metrics])
        width = (high - low).mean()
        print(f"| {name} | {kind} | {covers:.1%} | {width:.3f} | {value:.3f}, {truth:.3f} |", flush=True)


if __name__ == "__main__":
    main()
