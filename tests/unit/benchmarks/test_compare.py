"""Paired differences between two scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from falsepromise.benchmarks import compare
from falsepromise.core.errors import UserError
from falsepromise.core.statistics import paired_difference


def test_mcnemar_is_exact() -> None:
    d = paired_difference([1] * 9 + [0] + [1] * 5, [0] * 9 + [1] + [1] * 5)
    assert (d["left_higher"], d["right_higher"], d["equal"], d["n"]) == (9, 1, 5, 15)
    assert d["p"] == pytest.approx(2 * (1 + 10) / 2**10)  # P(at most 1 of 10) twice
    assert d["value"] == pytest.approx(8 / 15)
    assert d["ci95"][0] > 0


def test_signs_are_permuted_where_values_are_shares() -> None:
    few = paired_difference([0.5, 0.6, 0.7], [0.1, 0.2, 0.3])
    assert few["p"] == pytest.approx(2 / 8)
    rng = np.random.default_rng(0)
    x = rng.random(200)
    y = x + rng.normal(0, 0.1, 200)
    from scipy.stats import ttest_rel

    assert paired_difference(x, y)["p"] == pytest.approx(ttest_rel(x, y).pvalue, abs=0.03)
    assert paired_difference(x, y - 0.1)["p"] < 0.001


def test_equal_models_have_no_difference_and_no_certainty() -> None:
    d = paired_difference([1, 0, 1, 1], [1, 0, 1, 1])
    assert (d["value"], d["p"]) == (0.0, 1.0)
    assert d["ci95"][0] < 0 < d["ci95"][1]


def score(path: Path, model: str, values: dict[str, float], **config: object) -> str:
    items = [{"id": name, "acc": value} for name, value in values.items()]
    record = {"model": model, "benchmark": "facts", "metrics": {"acc": {}, "acc_macro": {}}, "items": items}
    path.write_text(json.dumps(record | {"manifest": {"config": config}}))
    return str(path)


def test_scores_are_matched_by_item(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = score(tmp_path / "a.json", "A", {"1": 1.0, "2": 0.0, "3": 1.0}, scoring="likeliest letter")
    b = score(tmp_path / "b.json", "B", {"3": 0.0, "2": 0.0, "4": 1.0}, scoring="letter in the answer")
    compare.main(["--scores", a, b, "--output", str(tmp_path / "d.json")])
    d = json.loads((tmp_path / "d.json").read_text())
    assert d["differences"]["acc"] | {"left": 0.5, "right": 0.0, "n": 2, "left_higher": 1} == d["differences"]["acc"]
    assert "2 items in common, of 3 and 3" in d["limits"]
    assert "scoring: 'likeliest letter' against 'letter in the answer'" in d["limits"]
    assert "acc_macro: has no value for each item" in d["limits"]
    assert "| acc | 0.5000 | 0.0000 | +0.5000 |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"benchmark": "other"}, "compare one benchmark"),
        ({"items": None}, "no items"),
        ({"items": [{"id": "9", "acc": 1}]}, "no items in common"),
        ({"model": None, "metrics": {}}, "no metric with a value"),
    ],
)
def test_what_cannot_be_compared_is_one_line(tmp_path: Path, change: dict[str, object], message: str) -> None:
    a = score(tmp_path / "a.json", "A", {"1": 1.0})
    record = json.loads(Path(a).read_text()) | change
    (tmp_path / "b.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match=message):
        compare.main(["--scores", a, str(tmp_path / "b.json")])
