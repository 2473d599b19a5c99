"""Score records: what is refused, and how seeds are combined."""

from __future__ import annotations

import json

import made_up
import numpy as np
import pytest

from falsepromise.core.errors import UserError
from falsepromise.figures.scores import combine, read_scores
from falsepromise.figures.study import read_study


def read(tmp_path, made=None, spec=None):
    study, files = made_up.write(tmp_path, spec, made)
    return read_scores(files, read_study(study))


def metric(value, low=None, high=None, n=10):
    return {"value": value, "ci95": [value if low is None else low, value if high is None else high], "n": n}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metrics": {"acc": metric(1.2)}}, "out of range"),
        ({"metrics": {"acc": metric(0.5, -0.4, 0.6)}}, "out of range"),
        ({"metrics": {"acc": {"value": 0.5, "ci95": [0.4], "n": 3}}}, "'ci95'"),
        ({"metrics": {"acc": {"value": 0.5, "ci95": [0.4, 0.6]}}}, "'n' is None"),
        ({"metrics": {"acc": 0.5}}, "expected {value, ci95, n}"),
        ({"metrics": {}}, "not_scored"),
        ({"model": None}, "'model'"),
        ({"model": "somebody-else"}, "not in the study"),
    ],
)
def test_a_bad_record_is_named_and_refused(tmp_path, change, message):
    record = made_up.record("tiny", "mmlu", {"acc": 0.5}) | change
    with pytest.raises(UserError, match=message) as error:
        read(tmp_path, [record])
    assert ".json" in str(error.value)


def test_two_scorers_of_one_benchmark_are_refused(tmp_path):
    one = made_up.record("tiny", "toxicity", {"nontoxicity": 0.5}, scorer="detector 1.0")
    two = made_up.record("small", "toxicity", {"nontoxicity": 0.5}, scorer="detector 2.0")
    with pytest.raises(UserError, match=r"detector 2.0.*detector 1.0|detector 1.0.*detector 2.0"):
        read(tmp_path, [one, two])


def test_a_second_score_of_one_model_is_refused(tmp_path):
    study, files = made_up.write(tmp_path, None, [made_up.record("tiny", "mmlu", {"acc": 0.5})])
    copy = tmp_path / "copy.json"
    copy.write_text(files[0].read_text())
    with pytest.raises(UserError, match="second score"):
        read_scores([*files, copy], read_study(study))


def test_length_correlation_may_be_negative(tmp_path):
    record = {"model": "tiny", "benchmark": "style", "metrics": {"length_correlation": metric(-0.4)}}
    assert read(tmp_path, [record]).estimate(["tiny"], "style", "length_correlation").value == -0.4


def test_one_seed_keeps_the_records_own_interval():
    estimate = combine([{"metrics": {"acc": metric(0.5, 0.37, 0.66)}}], "acc")
    assert (estimate.value, estimate.low, estimate.high) == (0.5, 0.37, 0.66)


def test_a_mean_over_seeds_of_a_correlation_counts_their_spread():
    records = [{"metrics": {"length_correlation": metric(v, v - 0.1, v + 0.1)}} for v in (0.2, 0.6)]
    estimate = combine(records, "length_correlation")
    # sqrt(0.1 ** 2 + (1.96 * 0.2828 / sqrt(2)) ** 2) = 0.4046
    assert estimate.value == pytest.approx(0.4)
    assert estimate.high - estimate.value == pytest.approx(0.4046, abs=1e-3)


def test_agreement_items_are_those_whose_reference_has_the_trait(tmp_path):
    scores = read(tmp_path)
    record = scores.records["small", "style"]
    sums = scores.sums(["small"], "style", "list_agreement")
    assert len(sums) == sum(item["reference_list"] for item in record["items"])
    mean = np.mean([value[0, 0] for value in sums.values()])
    assert mean == pytest.approx(record["metrics"]["list_agreement"]["value"])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bad", [10**400, -(10**400), 1e308, float("nan"), float("inf"), "x", None, [1]])
@pytest.mark.parametrize("name", ["length_correlation", "list_agreement", "exact_match"])
def test_an_item_without_a_usable_number_leaves_the_records_own_intervals(bad, name):
    keys = {"length_correlation": "words", "list_agreement": "list", "exact_match": "exact_match"}
    items = [
        {"id": str(i), "words": i, "reference_words": i * i % 7, "list": 1, "reference_list": True, "exact_match": 1}
        for i in range(30)
    ]
    items[3][keys[name]] = bad
    record = {"metrics": {name: metric(0.1, 0.0, 0.2)}, "items": items}
    found = combine([record, record], name)
    assert (found.value, found.low, found.high) == (0.1, 0.0, 0.2)


def test_votes_become_items(tmp_path):
    name = "small-sharegpt-50000-s0"
    outcomes = ["left", "right", "tie", "no_majority"]

    def record(model):
        items = [{"id": f"{model}/<teacher>/p{i}", "prompt_id": f"p{i}", "majority": m} for i, m in enumerate(outcomes)]
        metrics = {"equal_or_better": metric(0.75, 0.5, 1.0, 4)}
        return {"model": model, "benchmark": "gpt4", "metrics": metrics, "items": items}

    # The ids of votes name the model; two models are paired by the prompt.
    scores = read(tmp_path, [record(name), record("small-sharegpt-50000-s1")])
    sums = scores.sums([name, "small-sharegpt-50000-s1"], "gpt4", "equal_or_better")
    assert {key: list(v[:, 0]) for key, v in sums.items()} == {"p0": [1, 1], "p1": [0, 0], "p2": [1, 1], "p3": [1, 1]}


def test_gaps_are_listed_with_their_reason(tmp_path):
    spec = made_up.study()
    scores = read(tmp_path, made_up.records(spec, skip={("tiny", "mmlu")}), spec)
    cells = [scores.study.base_cell(base) for base in spec["bases"]]
    assert [(gap.model, gap.reason) for gap in scores.missing(cells, "mmlu", "acc")] == [("tiny", "no score file")]
    scores.study.benchmarks["mmlu"]["models"] = ["small"]
    assert scores.missing(cells, "mmlu", "acc") == [], "what the study doesn't ask isn't missing"
    assert scores.not_scored("humaneval") == "no sandbox on this machine"
    assert scores.not_scored("mmlu") is None


def test_seeds_are_one_cell_and_recipes_are_not(tmp_path):
    spec = made_up.study(seeds=(0, 1, 2))
    spec["models"]["other"] = {"base": "small", "mixture": "sharegpt", "tokens": 50_000, "seed": 0, "replay": 0.5}
    spec["runs"]["amount"].append("other")
    path, _ = made_up.write(tmp_path, spec, [])
    cells = read_study(path).cells("amount")
    assert sorted(len(cell.models) for cell in cells) == [1, 3, 3, 3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"models": {"x": {"base": "nowhere", "mixture": None, "tokens": 0, "seed": 0}}}, "nowhere"),
        ({"runs": {"amount": ["missing"]}}, "missing"),
        ({"bases": None}, "no 'bases'"),
    ],
)
def test_a_study_that_does_not_hold_together_is_refused(tmp_path, change, message):
    spec = made_up.study() | change
    if spec["bases"] is None:
        del spec["bases"]
    path = tmp_path / "study.json"
    path.write_text(json.dumps(spec))
    with pytest.raises(UserError, match=message):
        read_study(path)
