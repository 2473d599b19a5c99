"""PandaLM's 999 pairs with three annotators: majority and kappa against values computed independently."""

import json
from collections import Counter

import numpy as np
import pytest

from falsepromise.preference.aggregate import aggregate


def test_pandalm(real_data):
    statsmodels = pytest.importorskip("statsmodels.stats.inter_rater")
    rows = json.loads(real_data("pandalm/pandalm_testset-v1.json").read_text(encoding="utf-8"))
    codes = np.array([[row[f"annotator{k}"] for k in (1, 2, 3)] for row in rows])
    names = ("tie", "left", "right")
    votes = [
        {"item": str(row["idx"]), "rater": f"annotator{k}", "choice": names[row[f"annotator{k}"]]}
        for row in rows
        for k in (1, 2, 3)
    ]
    result = aggregate(votes)
    kappa = statsmodels.fleiss_kappa(statsmodels.aggregate_raters(codes)[0])
    assert result["metrics"]["fleiss_kappa"]["value"] == pytest.approx(kappa)
    outcomes = Counter()
    for row in codes:
        values, counts = np.unique(row, return_counts=True)
        outcomes[names[values[counts.argmax()]] if counts.max() >= 2 else "no_majority"] += 1
    for name in (*names, "no_majority"):
        assert result["metrics"][name]["value"] == pytest.approx(outcomes[name] / len(rows))
    assert result["counts"]["items"] == len(rows) == 999
    # The one model of all votes says what the votes say: wins and half of the ties, three raters of like care.
    worth = np.select([codes == 1, codes == 0], [1.0, 0.5], 0.0).mean(axis=1)
    rate = result["metrics"]["win_rate"]
    assert rate["value"] == pytest.approx(worth.mean(), abs=0.01)
    width = 2 * 1.96 * worth.std() / len(rows) ** 0.5
    assert rate["ci95"][1] - rate["ci95"][0] == pytest.approx(width, rel=0.15)
    assert all(0.5 < rater["noise"]["value"] < 1.5 and rater["with_others"] > 0.8 for rater in result["raters"])
