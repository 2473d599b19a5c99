"""`study.check` lists what a study has wrong; `study.new` writes one that has nothing wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from falsepromise.core.errors import UserError
from falsepromise.study import check, new

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A folder in the hub's format with 1,000 weights in two files and a context of 64 tokens."""
    folder = tmp_path / "base"
    folder.mkdir()
    for number in (1, 2):
        save_file({f"w{number}": np.zeros((20, 25), np.float32)}, folder / f"model-{number}.safetensors")
    shape = {"hidden_size": 20, "intermediate_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1}
    rest = {"model_type": "llama", "vocab_size": 25, "max_position_embeddings": 64}
    (folder / "config.json").write_text(json.dumps({**rest, **shape}))
    (folder / "tokenizer.json").write_text("{}")
    return folder


def made(base: Path, tmp_path: Path, *more: str) -> Path:
    study, dialogues = tmp_path / "mine.yaml", ROOT / "resources/samples/sharegpt.json"
    questions = tmp_path / "my questions.jsonl"
    choices = '{"question": "a?", "choices": ["b", "c"], "answer": 0}'
    questions.write_text(f'{{"id": "1", "question": "a?", "answer": ["b"]}}\n{choices}\n')  # one for each task
    files = ["--dialogues", str(dialogues), "--format", "sharegpt", "--questions", str(questions)]
    new.main(["--name", "mine", *files, "--base", str(base), "--block-size", "64", "--output", str(study), *more])
    return study


def test_what_new_writes_is_all_right(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)  # the dialogues have the replies: nobody is asked
    study = made(base, tmp_path, "--task", "multiple_choice")
    check.main([str(study)])
    assert "no mistakes; 1 base models and 2 models to train" in capsys.readouterr().out
    assert yaml.safe_load(study.read_text())["bases"]["base"]["parameters"] == 1000
    with pytest.raises(UserError, match="exists already"):
        made(base, tmp_path)


def test_all_mistakes_are_listed(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    study, change = made(base, tmp_path), tmp_path / "change.yaml"
    wrong = ("bases: {base: {parameters: 7}}", "sources: {questions: {uri: 'file:nowhere'}}", "teacher: {max_usd: 5}",
             "blocks: {size: 128}")  # fmt: skip
    change.write_text("\n".join((*wrong, "prompts: {heldout: {references: teacher}}")))
    with pytest.raises(SystemExit, match="1"):
        check.main([str(study), str(change)])
    lines = capsys.readouterr().err.splitlines()
    for said in (
        "sources.questions.uri names the file 'nowhere', which does not exist",
        "set its key in the environment variable OPENAI_API_KEY",
        "'teacher.max_usd' can't be kept without prices",
        "'bases.base.parameters' is 7, but the weights in",
        "'benchmarks.questions' needs at least",
        "blocks have 128 tokens, 'bases.base' has a context of 64; write its block_size: 64",
    ):
        assert sum(said in line for line in lines) == 1, said
    assert len(lines) == 6


def test_mistakes_of_keys_are_all_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change = tmp_path / "change.yaml"
    change.write_text("titel: x\nseed: one\nblocks: {sice: 4}\n")
    with pytest.raises(SystemExit):
        check.main([f"{ROOT}/config/test.yaml", str(change)])
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition(": ")[2][:20] for line in lines] == [
        "unknown key 'titel';",
        "unknown key 'blocks.",
        "'seed' is 'one', exp",
    ]


DAMAGED = {
    "mixtures.nq_synthetic.seeds": ('{"question": "a?", "answer": "b"}\n', "1 seed examples, expected at least"),
    "mixtures.nq_synthetic.query_prompt": ("\n \n", "the prompt is empty"),
    "pools.sharegpt_mix.categories": ("id,query\n1,a\n", "has no column 'category'"),
    "style.marks": ('{"prompt_id": "1", "side": "left", "sentence": "a", "mark": "wrong"}\n', "side 'left'"),
    "raters.people.votes.tiny-sharegpt_mix-1k-s0.0": ("{", "not JSON"),
    "benchmarks.tests.extra_tests": ("[5]", "record 1"),
    "benchmarks.stored.scorer_file": ('{"text": "a", "toxicity": 7}\n', "'toxicity' is 7"),
    "sources.questions.uri": ('{"question": "a?"}\n', "none of its 1 records can be used; line 1: 'answer' is nothing"),
    "sources.prompts.uri": ('{"id": "1"}\n', "line 1"),
    "sources.dialogues.uri": ("", "the file is empty"),
    "sources.packed.uri": ("PK", "no zip archive with 'a.json' in it"),
    "bases.folder.weights": ("x", "is no folder; expected config.json"),
}
NAMED = """
sources:
  questions: {uri: "file:FILES/sources.questions.uri"}
  prompts: {uri: "file:FILES/sources.prompts.uri"}
  dialogues: {uri: "file:FILES/sources.dialogues.uri", format: sharegpt}
  packed: {uri: "file:FILES/sources.packed.uri", member: a.json, format: sharegpt}
bases: {folder: {label: Folder, weights: "file:FILES/bases.folder.weights", parameters: 10}}
pools: {sharegpt_mix: {sources: [sharegpt, dialogues, packed], categories: FILES/pools.sharegpt_mix.categories}}
mixtures:
  nq_synthetic: {seeds: FILES/mixtures.nq_synthetic.seeds, query_prompt: FILES/mixtures.nq_synthetic.query_prompt}
prompts: {own: {source: prompts, n: 1, references: teacher, runs: [amount]}}
benchmarks:
  questions: {task: nq, data: questions, label: Questions, metric: exact_match}
  tests: {task: humaneval, data: questions2, label: Tests, metric: pass@1,
    extra_tests: FILES/benchmarks.tests.extra_tests}
  stored: {task: toxicity, data: questions2, label: Toxic, metric: nontoxicity, scorer: stored,
    scorer_file: FILES/benchmarks.stored.scorer_file}
style: {marks: FILES/style.marks}
raters: {people: {prompts: heldout, label: People, votes: {tiny-sharegpt_mix-1k-s0:
  [FILES/raters.people.votes.tiny-sharegpt_mix-1k-s0.0]}}}
"""


def test_damaged_files_are_found_before_the_first_job(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing ones, then damaged ones: one line each, that names the key and the file; sound ones have none."""
    monkeypatch.chdir(tmp_path)
    change = tmp_path / "change.yaml"
    text = NAMED.replace("FILES", str(tmp_path / "files")).replace("questions2", "many")
    text = text.replace("sources:\n", "sources:\n  many: {uri: 'https://127.0.0.1/none'}\n", 1)
    change.write_text(text)

    def said() -> list[str]:
        with pytest.raises(SystemExit):
            check.main([f"{ROOT}/config/test.yaml", str(change)])
        return capsys.readouterr().err.splitlines()

    lines = said()
    assert len(lines) == len(DAMAGED)
    for key in DAMAGED:
        assert sum(f"{key} names the file" in line and "does not exist" in line for line in lines) == 1, key
    (tmp_path / "files").mkdir()
    for key, (content, _) in DAMAGED.items():
        (tmp_path / "files" / key).write_text(content)
    lines = said()
    for key, (_, problem) in DAMAGED.items():
        place = key.removesuffix(".0")
        assert sum(f"'{place}': " in line and problem in line and str(tmp_path / "files" / key) in line
                   for line in lines) == 1, (key, lines)  # fmt: skip
    assert len(lines) == len(DAMAGED)
