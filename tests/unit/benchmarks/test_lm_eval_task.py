"""Any task of lm-eval, from local YAML files: its numbers, our intervals and items, and lm-eval's own command."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from falsepromise.benchmarks import overlap, run
from falsepromise.core.errors import CannotScore, UserError

ROWS = [
    {"question": f"what is {a} and {b}", "choices": [str(a + b), str(a), "what"], "answer": 0, "word": str(a + b)}
    for a, b in [(1, 2), (3, 4), (5, 1), (2, 2), (7, 2), (4, 4)]
]
COMMON = "dataset_path: json\ntest_split: test\ndataset_kwargs: {{data_files: {{test: {file}, train: {file}}}}}\n"
TASKS = {
    "choice": "output_type: multiple_choice\ndoc_to_text: '{{question}}'\n"
    "doc_to_choice: choices\ndoc_to_target: answer\nfewshot_split: train\nnum_fewshot: 1\n"
    "fewshot_config: {sampler: first_n}\nmetric_list:\n"
    "  - {metric: acc, aggregation: mean, higher_is_better: true}\n"
    "  - {metric: acc_norm, aggregation: mean, higher_is_better: true}\n",
    "writes": "output_type: generate_until\ndoc_to_text: 'Q: {{question}}\\nA:'\ndoc_to_target: word\n"
    "generation_kwargs: {until: ['\\n'], max_gen_toks: 4, do_sample: true, temperature: 1.0}\nfilter_list:\n"
    "  - {name: whole, filter: [{function: take_first}]}\n"
    "  - {name: digits, filter: [{function: regex, regex_pattern: '(\\d)'}, {function: take_first}]}\nmetric_list:\n"
    "  - {metric: exact_match, aggregation: mean, higher_is_better: true}\n"
    "  - {metric: bleu, aggregation: bleu, higher_is_better: true}\n",
    "rolling": "output_type: loglikelihood_rolling\ndoc_to_text: ''\ndoc_to_target: '{{question}}'\nmetric_list:\n"
    "  - {metric: word_perplexity}\n  - {metric: bits_per_byte}\n",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, random_model: Callable[..., Path]) -> Path:
    return random_model(tmp_path_factory.mktemp("model") / "tiny", ["what is the answer", "0 1 2 3 4"], 256)


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of YAML tasks over one local file."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "tasks"
    path.mkdir()
    rows = path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    for name, text in TASKS.items():
        (path / f"{name}.yaml").write_text(f"task: {name}\n{COMMON.format(file=rows)}{text}")
    return path


def score(folder: Path, task: Path | str, output: Path, *more: str) -> dict[str, Any]:
    arguments = ["--model", str(folder), "--task", "lm_eval", "--lm-eval-task", str(task), "--output", str(output)]
    run.main([*arguments, *more])
    found: dict[str, Any] = json.loads(output.read_text())
    return found


def theirs(output: Path, task: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(output.with_name(f"{output.stem}.lm_eval.json").read_text())["results"][task]
    return found


def test_multiple_choice(folder: Path, tasks: Path, tmp_path: Path) -> None:
    output = tmp_path / "score.json"
    found = score(folder, tasks / "choice.yaml", output)
    for name in ("acc", "acc_norm"):
        metric = found["metrics"][name]
        assert metric["value"] == pytest.approx(theirs(output, "choice")[f"{name},none"])
        assert metric["n"] == len(found["items"]) == len(ROWS)
        assert sum(item[name] for item in found["items"]) / len(ROWS) == pytest.approx(metric["value"])
        assert metric["ci95"][0] <= metric["value"] <= metric["ci95"][1]
    assert found["manifest"]["config"]["shots"] == 1
    assert score(folder, tasks / "choice.yaml", output, "--shots", "2")["manifest"]["config"]["shots"] == 2


def test_what_is_generated_by_each_filter(folder: Path, tasks: Path, tmp_path: Path) -> None:
    output = tmp_path / "score.json"
    found = score(folder, tasks / "writes.yaml", output, "--limit", "4", "--seed", "3")
    assert found["metrics"].keys() == {f"{m},{f}" for m in ("exact_match", "bleu") for f in ("whole", "digits")}
    for name, metric in found["metrics"].items():
        assert metric["value"] == theirs(output, "writes")[name]
        assert metric["ci95"][0] <= metric["value"] <= metric["ci95"][1]
        if name.startswith("bleu"):
            continue
        assert [item[name] for item in found["items"]].count(1.0) == round(metric["value"] * 4)
    assert found["limits"].startswith("4 of 6 items, drawn with seed 3")
    again = score(folder, tasks / "writes.yaml", output, "--limit", "4", "--seed", "3")
    assert again["items"] == found["items"], "a sampling task gets the seed"


def test_perplexity_is_no_mean(folder: Path, tasks: Path, tmp_path: Path) -> None:
    output = tmp_path / "score.json"
    found = score(folder, tasks / "rolling.yaml", output)
    parts = [item["parts"]["word_perplexity"] for item in found["items"]]
    metric = found["metrics"]["word_perplexity"]
    assert metric["value"] == pytest.approx(math.exp(-sum(a for a, _ in parts) / sum(n for _, n in parts)))
    assert metric["value"] == pytest.approx(theirs(output, "rolling")["word_perplexity,none"])
    assert metric["ci95"][0] < metric["value"] < metric["ci95"][1]
    assert found["higher_is_better"] == {"word_perplexity": False, "bits_per_byte": False}
    assert "word_perplexity" not in found["items"][0]


@pytest.mark.slow
def test_a_group_and_its_tasks(folder: Path, tasks: Path, tmp_path: Path) -> None:
    (tasks / "second.yaml").write_text("include: choice.yaml\ntask: second\nnum_fewshot: 0\n")
    (tasks / "both.yaml").write_text(
        "group: both\ntask: [choice, second]\naggregate_metric_list:\n  - {metric: acc, weight_by_size: false}\n"
    )
    output = tmp_path / "score.json"
    found = score(folder, tasks / "both.yaml", output)
    acc = found["metrics"]["acc"]
    assert acc["value"] == pytest.approx(theirs(output, "both")["acc,none"])
    assert acc["n"] == 2 * len(ROWS)
    each = [found["tasks"][name]["acc"]["value"] for name in ("choice", "second")]
    assert acc["value"] == pytest.approx(sum(each) / 2)
    assert acc["ci95"][0] <= acc["value"] <= acc["ci95"][1]
    assert {item["id"].split("/")[0] for item in found["items"]} == {"choice", "second"}
    assert "acc_norm: the mean of 2 tasks" in found["limits"]
    with pytest.raises(UserError, match="no task 'hellaswagg'; the nearest are hellaswag"):
        score(folder, "hellaswagg", output)


def test_data_from_a_file_or_folder(folder: Path, tasks: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    some = "".join(json.dumps(row) + "\n" for row in ROWS[:3])
    (own / "test.jsonl").write_text(some)
    (own / "train.jsonl").write_text(some)
    text = (tasks / "choice.yaml").read_text().replace("fewshot_split: train\nnum_fewshot: 1\n", "")
    (tasks / "bare.yaml").write_text(text.replace("dataset_path: json", "dataset_path: nobody/nothing"))
    values = [
        [item["acc"] for item in score(folder, tasks / "bare.yaml", tmp_path / "s.json", "--data", str(data))["items"]]
        for data in (own, own / "test.jsonl")
    ]
    assert values[0] == values[1]
    assert len(values[0]) == 3


@pytest.mark.slow
def test_registered_tasks_take_data_from_a_folder(folder: Path, tasks: Path, tmp_path: Path) -> None:
    """A tag of the real registry and its two tasks; the folder is laid out as a copy of the hub's repository."""
    hub, subsets = tmp_path / "hub", ("ARC-Easy", "ARC-Challenge")
    listed = []
    for subset in subsets:
        (hub / subset).mkdir(parents=True)
        rows = [
            {"id": str(i), "question": row["question"], "answerKey": "ABC"[i % 3],
             "choices": {"text": row["choices"], "label": ["A", "B", "C"]}}
            for i, row in enumerate(ROWS[: 4 if subset == "ARC-Easy" else 3])
        ]  # fmt: skip
        for split in ("train", "validation", "test"):
            (hub / subset / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        files = "".join(f"  - {{split: {s}, path: {subset}/{s}.jsonl}}\n" for s in ("train", "validation", "test"))
        listed.append(f"- config_name: {subset}\n  data_files:\n{files}")
    (hub / "README.md").write_text(f"---\nconfigs:\n{''.join(listed)}---\n")
    output = tmp_path / "score.json"
    found = score(folder, "ai2_arc", output, "--data", str(hub))
    assert found["metrics"]["acc"]["n"] == 7
    each = [theirs(output, task)["acc,none"] for task in ("arc_easy", "arc_challenge")]
    assert found["metrics"]["acc"]["value"] == pytest.approx(sum(each) / 2)


@pytest.mark.parametrize(
    ("text", "more", "expected"),
    [
        ("task: x\noutput_type: nonsense\n", (), "can't be made from"),
        ("just: words\n", (), "no task of lm-eval's form"),
        (None, (), "x.yaml: does not exist"),
        ("task: [\n", (), "no task of lm-eval's form"),
        ("{choice}", ("--metric", "accuracy"), "has no metric 'accuracy'; it has acc, acc_norm"),
        ("{choice}unsafe_code: true\n", (), "outside of a sandbox"),
        ("{choice}", ("--data", "{rows}/nowhere"), "does not exist"),
    ],
)
def test_what_is_wrong_is_one_line(
    folder: Path, tasks: Path, tmp_path: Path, text: str | None, more: tuple[str, ...], expected: str
) -> None:
    if text is not None:
        (tasks / "x.yaml").write_text(text.replace("{choice}", (tasks / "choice.yaml").read_text()))
    with pytest.raises(UserError, match=expected) as error:
        score(folder, tasks / "x.yaml", tmp_path / "s.json", *(m.replace("{rows}", str(tasks)) for m in more))
    assert "\n" not in str(error.value)


def test_a_chat_endpoint_gives_no_likelihoods(tasks: Path) -> None:
    from fake_model import FakeModel

    from falsepromise.benchmarks import lm_eval_task
    from falsepromise.benchmarks.outcome import Options

    def options(name: str) -> Options:
        return Options(tasks, more={"lm_eval": lm_eval_task.Chosen(str(tasks / f"{name}.yaml"))})

    with pytest.raises(CannotScore, match="needs log-probabilities"):
        lm_eval_task.evaluate(FakeModel(lambda _: "3", chat_only=True), options("choice"))
    outcome = lm_eval_task.evaluate(FakeModel(lambda _: "3", chat_only=True), options("writes"))
    assert outcome.metrics["exact_match,digits"]["value"] == pytest.approx(1 / 6)


def test_overlap_has_the_questions(tasks: Path) -> None:
    found = dict(overlap.questions("lm_eval", None, str(tasks / "choice.yaml")))
    assert found == {str(place): row["question"] for place, row in enumerate(ROWS)}
    assert dict(overlap.questions("lm_eval", None, str(tasks / "rolling.yaml")))["0"] == "what is 1 and 2"


def test_lm_evals_command(folder: Path, tasks: Path, tmp_path: Path) -> None:
    """From a shell, with its own options; the number is the verb's."""
    output = tmp_path / "out"
    command = [sys.executable, "-m", "falsepromise.benchmarks.lm_eval", "--model", "falsepromise"]
    command += ["--model_args", f"pretrained={folder}", "--tasks", str(tasks / "choice.yaml"), "--seed", "7"]
    root = Path(__file__).resolve().parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root / "workflow"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [*command, "--output_path", str(output)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "|Tasks|Version|Filter|n-shot|Metric|" in done.stdout.replace(" ", "")
    assert "fork" not in done.stderr
    (file,) = output.rglob("results_*.json")
    own = score(folder, tasks / "choice.yaml", tmp_path / "score.json")
    assert json.loads(file.read_text())["results"]["choice"]["acc,none"] == own["metrics"]["acc"]["value"]
