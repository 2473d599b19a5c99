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
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": 64}))
    return folder


def made(base: Path, tmp_path: Path, *more: str) -> Path:
    study, dialogues = tmp_path / "mine.yaml", ROOT / "resources/samples/sharegpt.json"
    questions = tmp_path / "my questions.jsonl"
    questions.write_text('{"id": "1", "question": "a?", "answer": ["b"]}\n')
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
