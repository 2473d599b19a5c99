"""The figure of the queries' diversity and the table of overlaps, from what their verbs write."""

from __future__ import annotations

import csv
import json

import pytest

from falsepromise.benchmarks import overlap
from falsepromise.core.errors import UserError
from falsepromise.core.records import write_jsonl
from falsepromise.curation import diversity
from falsepromise.figures import fig_diversity, table_leaks, table_overlap


def test_diversity_from_queries_to_the_figure(tmp_path):
    queries = [{"id": f"q{n}", "prompt": f"tell me about the {word} in my =garden"} for n, word in enumerate("abcdef")]
    write_jsonl(tmp_path / "q.jsonl", [*queries, {"id": "far", "prompt": "=1+1"}])
    measure, pairs = tmp_path / "d.json", tmp_path / "p.csv"
    diversity.main(["--queries", str(tmp_path / "q.jsonl"), "--output", str(measure), "--pairs", str(pairs)])
    rows = list(csv.DictReader(pairs.open(encoding="utf-8")))
    assert float(rows[0]["bleu"]) == pytest.approx(json.loads(measure.read_text())["nearest"][0]["bleu"], abs=0.05)
    assert len({frozenset((row["id"], row["nearest_id"])) for row in rows}) == len(rows)
    drawn = ["--names", "A", "B", "--output", str(tmp_path / "f.pdf")]
    fig_diversity.main(["--diversity", str(measure), str(measure), *drawn])
    assert (tmp_path / "f.pdf").read_bytes().startswith(b"%PDF")
    whole = json.loads(measure.read_text())
    for damaged in ({"n": 1}, {**whole, "n": 0}, {**whole, "histogram": {}}, {**whole, "ci95": None}):
        (tmp_path / "x.json").write_text(json.dumps(damaged))
        with pytest.raises(UserError, match="not a diversity record"):
            fig_diversity.main(["--diversity", str(tmp_path / "x.json"), "--names", "A"])


def test_pairs_to_read_go_down_the_distribution():
    nearest = [{"id": f"a{n}", "nearest_id": f"b{n}", "bleu": 100.0 - n} for n in range(100)]
    mirrored = [{"id": pair["nearest_id"], "nearest_id": pair["id"], "bleu": pair["bleu"]} for pair in nearest]
    chosen = diversity.to_read([*nearest, *mirrored, {"id": "z", "nearest_id": None, "bleu": 0.0}], 10)
    assert [pair["bleu"] for pair in chosen[:5]] == [100.0, 99.0, 98.0, 97.0, 96.0]
    assert len(chosen) == 10
    assert chosen[-1]["bleu"] == 1.0


ITEMS = {
    "nq": {"question": "what is the capital of France", "answer": ["Paris"]},
    "gsm8k": {"question": "what is the capital of France", "answer": "#### 1"},
    "multiple_choice": {"question": "what is the capital of France", "choices": ["a", "b"], "answer": 0},
    "cnn": {"article": "what is the capital of France", "highlights": "x"},
    "toxicity": {"prompt": {"text": "what is the capital of France"}},
    "humaneval": {"task_id": "t/0", "prompt": "what is the capital of France", "test": "x", "entry_point": "f"},
    "mmlu": None,
}


@pytest.mark.parametrize("task", [task for task in overlap.TASKS if task != "lm_eval"])  # in test_lm_eval_task.py
def test_overlap_of_every_kind_of_benchmark(tmp_path, task):
    data = tmp_path / "data.jsonl"
    if task == "mmlu":
        data = tmp_path / "mmlu"
        for split in ("dev", "test"):
            (data / split).mkdir(parents=True)
            (data / split / f"law_{split}.csv").write_text("what is the capital of France,a,b,c,d,A\n")
    else:
        write_jsonl(data, [ITEMS[task]])
    said = [{"role": "user", "content": "what is the capital of France"}, {"role": "assistant", "content": "Paris"}]
    write_jsonl(tmp_path / "t.jsonl", [{"id": "d", "messages": said}])
    report = tmp_path / "r.json"
    overlap.main(
        ["--task", task, "--data", str(data), "--training", str(tmp_path / "t.jsonl"), "--output", str(report)]
    )
    found = json.loads(report.read_text())
    assert (found["n"], found["dropped"], found["share_over"]["value"]) == (1, 1, 1.0)
    assert found["items"][0]["bleu"] == pytest.approx(100)
    table_overlap.main(
        ["--reports", str(report), "--benchmarks", "NQ", "--mixtures", "Mix", "--output", str(tmp_path / "o.csv")]
    )
    assert "100.0 [100.0, 100.0]" in (tmp_path / "o.md").read_text()
    (row,) = csv.DictReader((tmp_path / "o.csv").open(encoding="utf-8"))
    assert (row["Benchmark"], row["Data"], row["Questions"], row["Queries in the data"]) == ("NQ", "Mix", "1", "1")


def test_scores_without_the_items_that_were_trained_on(tmp_path):
    """Two items of four are planted in the mixture, in another spelling and in a longer turn."""
    questions = ["Which river is the longest of all?", "Who painted the ceiling of that chapel?",
                 "How many legs has a common spider?", "Where do most of the penguins live?"]  # fmt: skip
    write_jsonl(tmp_path / "b.jsonl", [{"id": q[:9], "question": q, "answer": ["x"]} for q in questions])
    said = ["WHICH RIVER is the longest of all", f"Tell me, please: {questions[1]} I need to know.", "How many legs?"]
    write_jsonl(tmp_path / "t.jsonl", [
        {"id": f"d{n}", "messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "No."}]}
        for n, text in enumerate(said)
    ])  # fmt: skip
    report = tmp_path / "r.json"
    overlap.main(["--task", "nq", "--data", str(tmp_path / "b.jsonl"), "--training", str(tmp_path / "t.jsonl"),
                  "--output", str(report)])  # fmt: skip
    flagged = json.loads(report.read_text())["flagged"]
    assert len(flagged) == 2
    model = {"base": "B", "mixture": "mix", "tokens": None, "label": "B + mix"}
    study = {"study": "s", "bases": {"B": {"parameters": 1.0}}, "runs": {"amount": ["m0", "m1"]},
             "models": {"m0": {**model, "seed": 0}, "m1": {**model, "seed": 1}, "B": {"base": "B", "mixture": None}},
             "benchmarks": {"nq": {"label": "NQ", "task": "nq", "metric": "exact_match"}}}  # fmt: skip
    (tmp_path / "study.json").write_text(json.dumps(study))
    ids = [item["id"] for item in json.loads(report.read_text())["items"]]
    scores = []
    for name in ("m0", "m1"):
        lucky = sorted(set(ids) - {*flagged})[: name == "m1"]  # the second seed also knows one that wasn't planted
        values = {key: float(key in flagged or key in lucky) for key in ids}
        mean = sum(values.values()) / 4
        record = {"model": name, "benchmark": "nq", "items": [{"id": k, "exact_match": v} for k, v in values.items()],
                  "metrics": {"exact_match": {"value": mean, "ci95": [0.0, 1.0], "n": 4}}}  # fmt: skip
        scores.append(tmp_path / f"{name}.json")
        scores[-1].write_text(json.dumps(record))
    options = ["--study", str(tmp_path / "study.json"), "--scores", *map(str, scores), "--reports", str(report)]
    table_leaks.main([*options, "--benchmarks", "nq", "--mixtures", "mix+other", "--output", str(tmp_path / "l.csv")])
    (row,) = csv.DictReader((tmp_path / "l.csv").open(encoding="utf-8"))
    assert (row["Flagged items"], float(row["Score"]), float(row["Score without them"])) == ("2", 0.625, 0.25)
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(UserError, match="'flagged' items"):
        table_leaks.flagged_in(tmp_path / "x.json")
