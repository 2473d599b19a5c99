"""AlpacaEval 2's published length-controlled rates, computed again from its published annotations.

    PYTHONPATH=workflow python benchmarks/preference_alpaca_eval.py CHECKOUT

CHECKOUT is a git repository of tatsu-lab/alpaca_eval; only published numbers are read from it. Two of the fit's
inputs are not in the repository (they are on the hub). Both follow from what is:

- two models' annotations have the fitted rate of each instruction, sigmoid(b difficulty + c), and b and c are
  published: two equations for each instruction's difficulty;
- the outcomes of the two gamed baselines enter the fit by two sums only. One model's published coefficients give
  them; that model is left out of the comparison.
"""

import argparse
import csv
import io
import json
import subprocess

import numpy as np
from scipy.optimize import root
from scipy.special import expit, logit

from falsepromise.preference.alpaca_eval import GAMED_COUNTS, Gamed, alpaca_eval_rate

JUDGE = "weighted_alpaca_eval_gpt4_turbo"
SOURCES = ("vicuna-13b-v1.5", "vicuna-7b-v1.5")  # their annotations have the fitted rates
CALIBRATION = "openbuddy-falcon-40b-v9"  # its penalty is the weakest, 1/10,000
NAMES = ("np.tanh(std_delta_len)", "instruction_difficulty", "not_gamed_baseline.astype(float)")


class Published:
    """What a checkout has."""

    def __init__(self, checkout):
        self.checkout = checkout

    def git(self, *words):
        return subprocess.run(["git", "-C", self.checkout, *words], capture_output=True, check=True, text=True).stdout

    def table(self, path):
        return {row[""]: row for row in csv.DictReader(io.StringIO(self.git("show", f"HEAD:src/alpaca_eval/{path}")))}

    def json(self, path):
        return json.loads(self.git("show", f"HEAD:results/{path}"))

    def annotated(self):
        listed = (line.split() for line in self.git("ls-tree", "-r", "-l", "HEAD", "results").splitlines())
        ending = f"/{JUDGE}/annotations.json"
        return [path.split("/")[1] for *_, size, path in listed
                if path.endswith(ending) and path.count("/") == 3 and size != "BAD"]  # fmt: skip


def difference(rows):
    return np.array([len(row["output_2"]) - len(row["output_1"]) for row in rows], dtype=float)


def worth(rows):
    return np.array([0.5 if row["preference"] == 0 else row["preference"] - 1 for row in rows], dtype=float)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout")
    published = Published(parser.parse_args().checkout)
    fitted = published.table(f"metrics/weights/{JUDGE}/length_controlled_v1/baseline_gpt4_1106_preview.csv")
    fitted = {name: np.array([float(row[column]) for column in NAMES]) for name, row in fitted.items()}
    board = published.table(f"leaderboards/data_AlpacaEval_2/{JUDGE}_leaderboard.csv")

    inverted = []
    for name in SOURCES:
        rows = published.json(f"{name}/{JUDGE}/{JUDGE}/annotations.json")
        _, b, c = fitted[name]
        inverted.append((logit(np.array([row["glm_preference"] for row in rows])) - c) / b)
    print(f"difficulties by the two models differ by {np.abs(inverted[0] - inverted[1]).max():.0e} at most")
    difficulty = dict(zip([row["instruction"] for row in rows], inverted[0], strict=True))
    number = {instruction: str(i) for i, instruction in enumerate(difficulty)}

    baseline = {row["instruction"]: row["output"] for row in published.json("gpt4_1106_preview/model_outputs.json")}
    features = []
    for kind in ("verbose", "concise"):
        replies = published.json(f"gpt4_1106_preview_{kind}/model_outputs.json")
        gamed = {row["instruction"]: row["output"] for row in replies}
        d = np.array([len(baseline[i]) - len(gamed[i]) for i in difficulty], dtype=float)
        features.append(np.column_stack([np.tanh(d / d.std(ddof=1)), inverted[0]]))
    features = np.concatenate(features)

    rows = published.json(f"{CALIBRATION}/{JUDGE}/annotations.json")
    d = difference(rows)
    hard = [difficulty[row["instruction"]] for row in rows]
    own = np.column_stack([np.tanh(-d / d.std(ddof=1)), hard, np.ones(len(d))])
    gradient = own.T @ (worth(rows) - expit(own @ fitted[CALIBRATION]))
    sums = features.T @ expit(features @ fitted[CALIBRATION][:2]) - gradient[:2] / GAMED_COUNTS
    solved = root(lambda w: features.T @ expit(features @ w) - sums, np.zeros(2))
    assert solved.success, solved.message
    gamed = Gamed(features, expit(features @ solved.x), {number[i]: value for i, value in difficulty.items()})

    print("| model | annotations | published | ours, 95 % interval |\n| --- | --- | --- | --- |")
    apart = []
    for name in sorted(set(published.annotated()) & set(board) & set(fitted) - {CALIBRATION, "gpt4_1106_preview"}):
        rows = [row for row in published.json(f"{name}/{JUDGE}/annotations.json") if row.get("preference") is not None]
        found = alpaca_eval_rate([number[row["instruction"]] for row in rows], worth(rows), difference(rows), gamed)
        theirs = float(board[name]["length_controlled_winrate"]) / 100
        low, high = found["ci95"]
        print(f"| {name} | {len(rows)} | {theirs:.4f} | {found['value']:.4f} [{low:.3f}, {high:.3f}] |")
        if len(rows) == len(number):
            apart.append(abs(found["value"] - theirs))
    print(f"\n{len(apart)} models with all annotations: mean difference {np.mean(apart):.5f}, largest {max(apart):.5f}")


if __name__ == "__main__":
    main()
