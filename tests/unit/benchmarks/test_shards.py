"""A benchmark split over jobs: the score of the parts is the score of one job, byte for byte."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from falsepromise.benchmarks import run
from falsepromise.core.errors import UserError
from falsepromise.generation.engine import Engine

ROWS = [
    {"question": f"what is {a} and {b}", "choices": [str(a + b), str(a), "what"], "answer": 0, "word": str(a + b)}
    for a, b in [(1, 2), (3, 4), (5, 1), (2, 2), (7, 2), (4, 4), (4, 4)]
]
COMMON = "dataset_path: json\ntest_split: test\ndataset_kwargs: {{data_files: {{test: {file}}}}}\n"
LM_EVAL = {
    "choice": "output_type: multiple_choice\ndoc_to_text: '{{question}}'\ndoc_to_choice: choices\n"
    "doc_to_target: answer\nmetric_list:\n  - {metric: acc}\n  - {metric: acc_norm}\n",
    "writes": "output_type: generate_until\ndoc_to_text: 'Q: {{question}}\\nA:'\ndoc_to_target: word\nrepeats: 2\n"
    "generation_kwargs: {until: ['\\n'], max_gen_toks: 4, do_sample: true, temperature: 1.0}\nmetric_list:\n"
    "  - {metric: exact_match}\n",
    "rolling": "output_type: loglikelihood_rolling\ndoc_to_text: ''\ndoc_to_target: '{{question}}'\nmetric_list:\n"
    "  - {metric: word_perplexity}\n",
}
OURS = {
    "mmlu": ["--data", "mmlu"],
    "multiple_choice": ["--data", "multiple_choice.jsonl"],
    "nq": ["--data", "nq.jsonl", "--max-tokens", "4", "--turn-tokens", "yes"],
    "gsm8k": ["--data", "gsm8k.jsonl", "--max-tokens", "4"],
    "humaneval": ["--data", "humaneval.jsonl", "--samples", "2", "--max-tokens", "4", "--on-no-sandbox", "skip"],
    "cnn": ["--data", "cnn.jsonl", "--max-tokens", "4"],
    "toxicity": ["--data", "toxicity.jsonl", "--samples", "3", "--max-tokens", "4"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with random weights and a tokenizer of bytes."""
    from falsepromise.models import weights
    from falsepromise.models.chat import ChatTokenizer
    from falsepromise.models.config import ModelConfig
    from falsepromise.training import tokenizer

    path = tmp_path_factory.mktemp("model") / "tiny"
    chat = ChatTokenizer(tokenizer.train(iter(["what is the answer", "Answer:", "0 1 2 3 4"]), 280))
    config = ModelConfig(
        "llama", chat.vocab_size, 16, 32, 1, 2, 2, 8, 8192, eos_id=chat.eos_id, tie_embeddings=True,
        initializer_range=0.5,
    )  # fmt: skip
    weights.save(weights.create(config, 0), config, path, chat)
    return path


def files(output: Path) -> dict[str, str]:
    """A score and what is beside it, without the time and the machine's load."""
    found = {}
    for path in output.parent.glob(f"{output.stem}*.json"):
        text = path.read_text(encoding="utf-8")
        found[path.name.removeprefix(output.stem)] = re.sub(r'"(started|wall_s)": ("[^"]*"|[\d.]+),?\s*', "", text)
    return found


def parts(arguments: list[str], output: Path, of: int) -> list[str]:
    made = []
    for number in range(1, of + 1):
        made.append(str(output.with_name(f"{number}-of-{of}.jsonl")))
        run.main([*arguments, "--shard", f"{number}/{of}", "--output", made[-1]])
        assert not Path(f"{made[-1]}.partial").exists()
    return made


def compare(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, splits: tuple[int, ...]) -> None:
    for name in ("one", *map(str, splits)):
        (tmp_path / name).mkdir()
    run.main([*arguments, "--output", str(tmp_path / "one/score.json")])
    whole = files(tmp_path / "one/score.json")
    for of in splits:
        output = tmp_path / str(of) / "score.json"
        made = parts(arguments, output, of)
        with monkeypatch.context() as here:
            here.setattr(Engine, "load", lambda *_, **__: pytest.fail("the weights were loaded again"))
            run.main([*arguments, "--from-shards", *made, "--output", str(output)])
        assert files(output) == whole


@pytest.mark.parametrize("task", OURS)
def test_parts_give_the_score_of_one_job(
    task: str, folder: Path, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, *more = OURS[task][1:]
    file = samples / data
    if task == "humaneval":
        file = tmp_path / data
        problems = [
            {"task_id": f"t/{n}", "prompt": f"def f{n}():\n    return ", "entry_point": f"f{n}",
             "canonical_solution": "1", "test": "def check(f):\n    assert f() == 1\n"} for n in range(3)
        ]  # fmt: skip
        file.write_text("".join(json.dumps(problem) + "\n" for problem in problems))
    arguments = ["--model", str(folder), "--task", task, "--data", str(file), *more]
    compare(arguments, tmp_path, monkeypatch, (1, 2, 7) if task in ("nq", "multiple_choice") else (2, 7))


@pytest.mark.parametrize("task", LM_EVAL)
def test_parts_give_the_score_of_one_job_of_lm_eval(
    task: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    definition = tmp_path / f"{task}.yaml"
    definition.write_text(f"task: {task}\n{COMMON.format(file=rows)}{LM_EVAL[task]}")
    arguments = ["--model", str(folder), "--task", "lm_eval", "--lm-eval-task", str(definition)]
    compare(arguments, tmp_path, monkeypatch, (3, 9))


def test_the_parts_of_a_killed_run_go_on(folder: Path, samples: Path, tmp_path: Path, monkeypatch) -> None:
    """One part dies after its second reply, and asks the rest alone when it runs again."""
    arguments = ["--model", str(folder), "--task", "nq", "--data", str(samples / "nq.jsonl"), "--max-tokens", "3"]
    output, asked = tmp_path / "part.jsonl", []
    generate = Engine.generate

    def counted(self, requests, *more, **options):
        asked.append(len(requests))
        return generate(self, requests, *more, **options)

    def dies(self, requests, *more, **options):
        for n, result in enumerate(generate(self, requests, *more, **options)):
            if n == 1:
                raise KeyboardInterrupt
            yield result

    monkeypatch.setattr(Engine, "generate", dies)
    with pytest.raises(KeyboardInterrupt):
        run.main([*arguments, "--shard", "1/2", "--output", str(output)])
    assert not output.exists()
    monkeypatch.setattr(Engine, "generate", counted)
    run.main([*arguments, "--shard", "1/2", "--output", str(output)])
    assert asked == [1]
    assert len(output.read_text().splitlines()) == 3


def test_parts_that_do_not_belong_together_are_refused(folder: Path, samples: Path, tmp_path: Path) -> None:
    arguments = ["--model", str(folder), "--task", "nq", "--data", str(samples / "nq.jsonl"), "--max-tokens", "2"]
    first, second = parts(arguments, tmp_path / "score.json", 2)
    score = ["--output", str(tmp_path / "score.json"), "--from-shards"]
    with pytest.raises(UserError, match="found the parts 1/2; expected all parts of one split"):
        run.main([*arguments, *score, first])
    with pytest.raises(UserError, match="4 of 4 pieces are in no part"):
        run.main([*arguments[:-1], "3", *score, first, second])
    (tmp_path / "other.jsonl").write_text('{"id": "a", "prompt": "b"}\n')
    with pytest.raises(UserError, match="was not written by --shard"):
        run.main([*arguments, *score, str(tmp_path / "other.jsonl")])
    with pytest.raises(UserError, match="--shard 3/2: expected NUMBER/OF"):
        run.main([*arguments, "--shard", "3/2", "--output", str(tmp_path / "score.json")])
    weights = folder / "config.json"
    weights.write_text(weights.read_text() + " ")
    with pytest.raises(UserError, match="belongs to another model, file or options"):
        run.main([*arguments, *score, first, second])
    assert not (tmp_path / "score.json").exists()


def test_a_server_is_asked_by_one_job(samples: Path, tmp_path: Path) -> None:
    arguments = ["--base-url", "local", "--task", "nq", "--data", str(samples / "nq.jsonl"), "--shard", "1/2"]
    with pytest.raises(UserError, match="a server is asked by one job"):
        run.main([*arguments, "--output", str(tmp_path / "part.jsonl")])
