"""Tasks of lm-eval by its YAML files over local data, through our engine."""

from __future__ import annotations

import json
from pathlib import Path

import lm_eval
import pytest
from fake_model import FakeModel
from lm_eval.tasks import TaskManager

from falsepromise.benchmarks import any_task, harness, run
from falsepromise.benchmarks.outcome import Options
from falsepromise.core.errors import UserError

TASK = """task: sums
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}} ="
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["."], do_sample: false, max_gen_toks: 8}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true, ignore_case: true}
  - {metric: bleu, aggregation: bleu, higher_is_better: true}
"""


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    data = tmp_path / "sums.jsonl"
    rows = [{"question": f"{i} + {i}", "answer": str(2 * i)} for i in range(5)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "sums.yaml").write_text(TASK.replace("DATA", str(data)))
    return tmp_path / "sums.yaml"


def test_a_tasks_own_metrics_with_intervals_and_items(task: Path) -> None:
    answers = {"0": "0", "1": "2", "2": "5", "3": "6", "4": "8"}
    model = FakeModel(lambda prompt: answers[prompt[0]] + ". more")
    outcome = any_task.evaluate(model, Options(task))
    theirs = lm_eval.simple_evaluate(
        model=harness.ModelLM(FakeModel(lambda prompt: answers[prompt[0]] + ". more")),
        tasks=["sums"],
        task_manager=TaskManager(include_path=str(task.parent), include_defaults=False),
        bootstrap_iters=0,
    )["results"]["sums"]
    for name in ("exact_match", "bleu"):
        assert outcome.metrics[name]["value"] == pytest.approx(theirs[f"{name},none"])
        assert outcome.metrics[name]["n"] == 5
        low, high = outcome.metrics[name]["ci95"]
        assert low <= outcome.metrics[name]["value"] <= high
    assert outcome.metrics["exact_match"]["value"] == 0.8
    assert [item["exact_match"] for item in outcome.items] == [1.0, 1.0, 0.0, 1.0, 1.0]
    assert outcome.items[0]["id"] == "sums/0"
    json.dumps(outcome.beside["lm_eval.json"])


def test_an_unknown_task_is_one_line_with_the_nearest(task: Path) -> None:
    with pytest.raises(UserError, match=r"no task 'summs'; the nearest: sums"):
        any_task.evaluate(FakeModel(lambda _: ""), Options(task, more={"lm_eval_task": "summs"}))
    with pytest.raises(UserError, match="--data is missing"):
        run.main(["--task", "nq", "--model", "x", "--output", "y.json"])
