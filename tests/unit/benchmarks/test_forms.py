"""Benchmark files in the forms in which people have them give the same records."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from falsepromise.benchmarks import data, files
from falsepromise.core.errors import UserError

QUESTIONS = [
    {"question": "who wrote it, and when", "answer": ["Ann O'Neill", "O'Neill"]},
    {"question": 'the "first" of May', "answer": ["May 1"]},
]
CHOICES = [
    {"question": "q, or p?", "subject": subject, "choices": ["it's", 'a "b"', "c, d", "e"], "answer": place}
    for place, subject in enumerate(["astronomy", "virology", "virology"])
]


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def table(path: Path, rows: list[list[Any]], delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, delimiter=delimiter).writerows(rows)
    return path


def parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    import pyarrow
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def test_questions_in_every_form(tmp_path: Path) -> None:
    rows = [[q["question"], str(q["answer"])] for q in QUESTIONS]
    numpys = [[q["question"], "[" + " ".join(map(repr, q["answer"])) + "]"] for q in QUESTIONS]
    wrapped = tmp_path / "wrapped.json"
    wrapped.write_text(json.dumps({"version": "1", "data": QUESTIONS}, indent=1))
    whole = tmp_path / "list.json"
    whole.write_text(json.dumps(QUESTIONS))
    for path in (
        lines(tmp_path / "plain.jsonl", QUESTIONS),
        lines(tmp_path / "plain.jsonl.gz", QUESTIONS),
        lines(tmp_path / "answers.jsonl", [{"question": q["question"], "answers": q["answer"]} for q in QUESTIONS]),
        parquet(tmp_path / "hub.parquet", QUESTIONS),
        table(tmp_path / "pandas.csv", [["question", "answer"], *rows]),
        table(tmp_path / "numpy.csv", [["question", "answer"], *numpys]),
        table(tmp_path / "nq-test.qa.csv", rows, "\t"),
        wrapped,
        whole,
    ):
        found, said = data.read_records(path, data.question)
        assert [{k: q[k] for k in ("question", "answer")} for q in found] == QUESTIONS, path.name
        assert said == []


def test_a_list_that_cannot_be_read_is_no_answer(tmp_path: Path) -> None:
    path = table(tmp_path / "x.csv", [["question", "answer"], ["q", "['a', "], ["q", "['a', b]"], ["q", "[sic]"]])
    found, (said,) = data.read_records(path, data.question)
    assert [q["answer"] for q in found] == [["['a', "], ["[sic]"]]
    assert "looks like a list" in said


@pytest.mark.parametrize("labels", ["ABCD", "1234", "DCBA"])
def test_a_choice_is_named_by_its_own_label(tmp_path: Path, labels: str) -> None:
    """As lm-eval's own task reads ARC, whose rows have letters or numbers from 1."""
    import lm_eval.tasks
    import yaml
    from lm_eval.utils import apply_template

    task = (Path(lm_eval.tasks.__file__).parent / "arc" / "arc_easy.yaml").read_text()
    target = yaml.safe_load(task)["doc_to_target"]
    choices = {"text": ["ice", "wood", "snow", "fire"], "label": list(labels)}
    rows = [{"question": "q", "choices": choices, "answerKey": label} for label in labels]
    cells = [["question", "choices", "answerKey"], *(["q", str(choices), label] for label in labels)]
    for path in (
        lines(tmp_path / "a.jsonl", rows),
        parquet(tmp_path / "b.parquet", rows),
        table(tmp_path / "c.csv", cells),
    ):
        found, said = data.read_records(path, data.choices)
        assert [row["answer"] for row in found] == [int(apply_template(target, row)) for row in rows]
        assert (found[0]["choices"], said) == (choices["text"], [])


@pytest.mark.parametrize("form", ["hub, all", "hub, by subject", "hub, whole", "lines", "one file", "letters"])
def test_mmlu_in_every_form(tmp_path: Path, form: str) -> None:
    path = tmp_path
    for split in ("dev", "test"):
        if form in ("hub, all", "hub, whole"):
            parquet(tmp_path / "all" / f"{split}-00000-of-00001.parquet", CHOICES)
        if form in ("hub, by subject", "hub, whole"):
            for subject in ("astronomy", "virology"):
                own = [q for q in CHOICES if q["subject"] == subject]
                parquet(tmp_path / subject / f"{split}-00000-of-00001.parquet", own)
        if form in ("lines", "one file"):
            path = lines(tmp_path / f"{split}.jsonl", CHOICES)
        if form == "letters":
            rows = [[q["question"], *q["choices"], "ABCD"[q["answer"]], q["subject"]] for q in CHOICES]
            path = table(tmp_path / f"mmlu_{split}.csv", [["question", *"ABCD", "answer", "subject"], *rows])
    path = tmp_path if form == "lines" else path
    for only in ([], ["virology"]):
        wanted = [q for q in CHOICES if not only or q["subject"] in only]
        questions, shots, said = data.mmlu(path, only=only)
        assert [{key: q[key] for key in CHOICES[0]} for q in questions] == wanted
        assert {subject: len(dev) for subject, dev in shots.items()} == {"astronomy": 1, "virology": 2}
        assert said == []


def test_toxicity_prompts_in_every_form(tmp_path: Path) -> None:
    row = {"prompt": {"text": "It's", "toxicity": 0.25}, "continuation": {"text": " so", "toxicity": None}}
    for path in (
        lines(tmp_path / "a.jsonl", [row]),
        parquet(tmp_path / "b.parquet", [row]),
        lines(tmp_path / "c.jsonl", [{"prompt": "It's", "toxicity": 0.25}]),
        table(tmp_path / "d.csv", [["prompt.text", "prompt.toxicity"], ["It's", "0.25"]]),
        table(tmp_path / "e.csv", [["prompt"], [str(row["prompt"])]]),
        table(tmp_path / "f.csv", [["prompt"], [json.dumps(row["prompt"])]]),
    ):
        (found,), said = data.read_records(path, data.toxicity_prompt)
        assert found["prompt"] == row["prompt"], path.name
        assert said == []


def test_one_record_with_a_list_in_it_is_one_record(tmp_path: Path) -> None:
    path = lines(tmp_path / "x.jsonl", [{"question": "q", "answer": ["a"], "data": [1]}])
    assert [raw for _, raw in files.records(path)] == [{"question": "q", "answer": ["a"], "data": [1]}]


def test_answers_that_count_from_one_are_refused(tmp_path: Path) -> None:
    """Each would be taken for its neighbour, and only those at the end left out."""
    from_one = [{**CHOICES[0], "answer": number} for number in (1, 2, 3, "4", 2)]
    with pytest.raises(UserError, match=r"line 4: 'answer' is '4', one beyond.*: do they count from 1\?"):
        data.read_records(lines(tmp_path / "one.jsonl", from_one), data.choices)
    stray = [*CHOICES, {**CHOICES[0], "answer": 4}]
    found, (said,) = data.read_records(lines(tmp_path / "zero.jsonl", stray), data.choices)
    assert [record["answer"] for record in found] == [0, 1, 2]
    assert said.startswith("1 of 4 records can't be used")
