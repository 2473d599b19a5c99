"""Paired differences between two scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from falsepromise.benchmarks import compare
from falsepromise.core.errors import UserError


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
