"""One clear line for each kind of bad input."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from fake_model import FakeModel

from falsepromise.benchmarks import data, gsm8k, humaneval, run
from falsepromise.benchmarks.toxicity_scorers import open_scorer
from falsepromise.core.errors import UserError


def lines(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.mark.parametrize(
    ("check", "record", "message"),
    [
        (data.question, {"answer": ["x"]}, "'question' is nothing"),
        (data.question, {"question": "q"}, "'answer' is nothing"),
        (data.question, {"question": "q", "answer": []}, "expected a list of texts"),
        (data.question, {"question": "q", "answer": [{}]}, "expected a list of texts"),
        (data.choices, {"question": "q", "choices": ["a"], "answer": 0}, "at least two"),
        (data.choices, {"question": "q", "choices": ["a", "b"], "answer": 2}, "a number from 0 to 1"),
        (data.choices, {"question": "q", "choices": ["a", "b"], "answer": True}, "a number from 0 to 1"),
        (data.choices, {"question": "q", "choices": {"text": ["a", "b"], "label": [1, 2]}, "answer": 0}, "one of 1, 2"),
        (data.gsm8k, {"question": "q", "answer": "twelve"}, "no '#### number'"),
        (gsm8k.response, {"question": "q", "answer": "#### 1"}, "'response' is None"),
        (gsm8k.response, {"question": "q", "answer": "#### many", "response": ""}, "no '#### number'"),
    ],
)
def test_records_are_checked(tmp_path: Path, check, record: dict, message: str) -> None:  # type: ignore[no-untyped-def, type-arg]
    path = lines(tmp_path / "data.jsonl", record)
    with pytest.raises(UserError, match="line 1") as error:
        data.read_records(path, check)
    assert message in str(error.value)


def test_what_can_be_used_is_kept_and_the_rest_is_said(tmp_path: Path) -> None:
    good = {"id": "a", "question": "q", "answer": ["x"]}
    path = lines(tmp_path / "data.jsonl", good, {"question": "q"}, good, [1])
    path.write_text(path.read_text() + '{"question": "cut o')
    records, said = data.read_records(path, data.question)
    assert [record["id"] for record in records] == ["a", "a#2"]
    assert said == [
        "3 of 5 records can't be used and are left out (line 2: 'answer' is nothing, expected a list of texts (the "
        "answer's aliases); line 4: found list, expected a JSON object; line 5: not JSON (Unterminated string "
        "starting at column 14))"
    ]


def test_mmlu_files_are_checked(tmp_path: Path, samples: Path) -> None:
    with pytest.raises(UserError, match="expected MMLU's folder"):
        data.mmlu(tmp_path)
    with pytest.raises(UserError, match="no questions of alchemy; there are plain_words, simple_sums"):
        data.mmlu(samples / "mmlu", only=["alchemy"])
    file = tmp_path / "x_test.csv"
    for row, found in (
        ("q,a,b,c,A\n", "found 5 columns"),
        ("q,a,b,c,d,E\n", "ending with"),
        ("q,a,b,c,d,\n", "ending"),
    ):
        file.write_text(row)
        with pytest.raises(UserError, match=found):
            data.read_mmlu(file)
    file.write_text("")
    with pytest.raises(UserError, match="the file is empty"):
        data.read_mmlu(file)


def test_problems_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'prompt' is nothing"):
        data.read_problems(lines(tmp_path / "p.jsonl", {"task_id": "x"}))
    (tmp_path / "p.jsonl.gz").write_bytes(b"\x1f\x8bnot gzip")
    with pytest.raises(UserError, match=r"p.jsonl.gz: can't be read"):
        data.read_problems(tmp_path / "p.jsonl.gz")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"task_id": "HumanEval/0"}, "'completion' is None"),
        ({"task_id": "HumanEval/999", "completion": ""}, "not among the 164"),
    ],
)
def test_samples_are_checked(tmp_path: Path, record: dict[str, str], message: str) -> None:
    path = lines(tmp_path / "s.jsonl", record)
    with pytest.raises(UserError, match=message):
        humaneval.main(["--samples", str(path), "--output", str(tmp_path / "o.json")])
    assert not (tmp_path / "o.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "trivia", "--model", "m"], "--task trivia: unknown; there are mmlu"),
        (["--task", "nq", "--model", "m"], "no config.json there"),
        (["--task", "nq"], "--model is missing"),
        (["--task", "nq", "--model", "m", "--store", "s"], "unknown options: --store s"),
        (["--task", "nq", "--model", "m", "--limit", "0"], "--limit 0"),
        (["--task", "nq", "--model", "m", "--batch-size", "0"], "--batch-size 0"),
        (["--task", "nq", "--model", "m", "--batch-size", "-1"], "--batch-size -1"),
    ],
)
def test_run_says_what_is_wrong(tmp_path: Path, samples: Path, arguments: list[str], message: str) -> None:
    common = ["--data", str(samples / "nq.jsonl"), "--output", str(tmp_path / "o.json")]
    with pytest.raises(UserError) as error:
        run.main([*arguments, *common])
    assert message in str(error.value)


def test_run_wants_its_data(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        run.main(["--task", "nq", "--model", "m", "--data", str(tmp_path / "no"), "--output", str(tmp_path / "o")])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scorer": "oracle"}, "unknown; there are perspective"),
        ({"scorer": "stored"}, "needs --scorer-file"),
        ({"scorer": "perspective"}, r"PERSPECTIVE_API_KEY is not set"),
        ({"scorer": "moderation"}, r"OPENAI_API_KEY is not set"),
    ],
)
def test_scorers_say_what_they_lack(monkeypatch: pytest.MonkeyPatch, options: dict[str, str], message: str) -> None:
    monkeypatch.delenv("PERSPECTIVE_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UserError, match=message):
        open_scorer(options)


def test_a_model_that_cannot_be_scored_has_a_score_that_says_why(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def open_model(*_: object):
        yield FakeModel(lambda _: "x", context=20), [], {}

    monkeypatch.setattr(run, "open_model", open_model)
    arguments = ["--task", "nq", "--model", "m", "--data", str(samples / "nq.jsonl"), "--name", "m"]
    with pytest.raises(UserError, match=r"no prompt of .* fits into its context"):
        run.main([*arguments, "--output", str(tmp_path / "score.json")])
    assert not (tmp_path / "score.json").exists()
    run.main([*arguments, "--output", str(tmp_path / "score.json"), "--allow-not-scored"])
    score = json.loads((tmp_path / "score.json").read_text())
    assert score["metrics"] == {}
    assert "fits into its context" in score["not_scored"]
