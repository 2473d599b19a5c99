"""AlpacaEval 2's length-controlled rate against scikit-learn, its interval, and files that are something else."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from falsepromise.core.errors import UserError
from falsepromise.preference import aggregate
from falsepromise.preference.alpaca_eval import alpaca_eval_rate, read_gamed


def gamed_csv(path, rng, n):
    """AlpacaEval's file of the two gamed baselines, made up: two rows an instruction."""
    lines = ["model,index,preference,std_delta_len,instruction_difficulty,not_gamed_baseline"]
    difficulty = rng.normal(0, 1.5, n)
    for model in ("long", "short"):
        for i in range(n):
            shift = rng.normal(-1.3 if model == "long" else 1.3)
            won = rng.choice([0.0, 0.5, rng.random(), 1.0])
            lines.append(f"{model},{i},{won},{shift},{difficulty[i]},False")
    path.write_text("\n".join(lines) + "\n")
    return difficulty


def test_alpacaevals_rate_is_scikit_learns_on_the_weighted_rows(tmp_path):
    linear_model = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(3)
    difficulty = gamed_csv(tmp_path / "df_gamed.csv", rng, 120)
    gamed = read_gamed(tmp_path / "df_gamed.csv")
    kept = rng.permutation(120)[:100]  # an instruction is found by its number, not by its row
    differences = rng.normal(-200, 300, 100)
    wins = np.round(rng.random(100) * expit(differences / 300 + difficulty[kept]), 2)
    found = alpaca_eval_rate([str(i) for i in kept], wins, differences, gamed)
    own = np.column_stack([np.tanh(-differences / differences.std(ddof=1)), difficulty[kept], np.ones(100)])
    rows = np.concatenate([own, np.column_stack([gamed.features, np.zeros(240)])])
    counts = np.repeat([1.0, 0.1], [100, 240])
    outcomes = np.concatenate([wins, gamed.wins])
    model = linear_model.LogisticRegression(C=1e9, fit_intercept=False, tol=1e-10, max_iter=1000)
    both = np.concatenate([counts * outcomes, counts * (1 - outcomes)])
    model.fit(np.vstack([rows, rows]), np.repeat([1, 0], 340), both)
    expected = model.predict_proba(own * [0, 1, 1])[:, 1].mean()
    assert found["value"] == pytest.approx(expected, abs=1e-5)
    assert found["ci95"][0] < expected < found["ci95"][1]
    with pytest.raises(ValueError, match="1 prompts have no difficulty"):
        alpaca_eval_rate(["0", "x"], wins[:2], differences[:2], gamed)


def test_the_interval_of_alpacaevals_rate_covers(tmp_path):
    rng = np.random.default_rng(5)
    difficulty = gamed_csv(tmp_path / "df_gamed.csv", rng, 200)
    gamed = replace(read_gamed(tmp_path / "df_gamed.csv"), features=np.zeros((2, 2)), wins=np.array([0.5, 0.5]))
    hits, truth = 0, expit(0.8 * difficulty - 0.5).mean()
    for _ in range(200):
        differences = rng.normal(0, 300, 200)
        p = expit(0.8 * difficulty - 0.5 + np.tanh(differences / 300))
        low, high = alpaca_eval_rate(
            [str(i) for i in range(200)], (rng.random(200) < p).astype(float), differences, gamed
        )["ci95"]
        hits += low <= truth <= high
    assert 182 <= hits <= 199


@pytest.mark.parametrize(
    ("text", "message"),
    [("index,preference\n1,1\n", "no column 'std_delta_len'"), ("", "no row below a header"),
     ("index,preference,std_delta_len,instruction_difficulty\n1,2,0,0\n", "from 0 to 1"),
     ("index,preference,std_delta_len,instruction_difficulty\n1,x,0,0\n", "row 1: could not convert")],
)  # fmt: skip
def test_a_file_that_is_not_alpacaevals_is_named(tmp_path, text, message):
    (tmp_path / "g.csv").write_text(text)
    with pytest.raises(UserError, match=rf"g\.csv: .*{message}"):
        read_gamed(tmp_path / "g.csv")


def test_the_verb_has_the_leaderboards_rate_beside_its_own(tmp_path):
    rng = np.random.default_rng(7)
    gamed_csv(tmp_path / "df_gamed.csv", rng, 40)
    names = ("votes", "ours", "theirs")
    files = {name: tmp_path / f"{name}.jsonl" for name in names}
    lines = {name: [] for name in names}
    for i in range(40):
        sides = {"left": "ours", "right": "theirs", "prompt_id": str(i)}
        lines["votes"].append({"item": f"o/t/{i}", "rater": "j", "choice": str(rng.choice(["left", "right"])), **sides})
        for name in names[1:]:
            lines[name].append({"prompt_id": i, "model": name, "response": "x" * int(rng.integers(1, 900))})
    for name, path in files.items():
        path.write_text("".join(json.dumps(line) + "\n" for line in lines[name]))
    words = ["--votes", str(files["votes"]), "--output", str(tmp_path / "out.json")]
    lengths = ["--responses", str(files["ours"]), "--reference", str(files["theirs"])]
    aggregate.main([*words, *lengths, "--alpaca-eval", str(tmp_path / "df_gamed.csv")])
    metrics = json.loads((tmp_path / "out.json").read_text())["metrics"]
    both = [metrics[name] for name in ("length_controlled", "length_controlled_alpaca_eval")]
    assert all(0 < metric["ci95"][0] < metric["value"] < metric["ci95"][1] < 1 and metric["n"] == 40 for metric in both)
    with pytest.raises(SystemExit):
        aggregate.main([*words, "--alpaca-eval", str(tmp_path / "df_gamed.csv")])
