"""`study.check` lists what a study has wrong; `study.new` writes one that has nothing wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from falsepromise.core.errors import UserError
from falsepromise.core.plainyaml import read_yaml
from falsepromise.study import check, new
from falsepromise.study.expand import load

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
    """Also where an earlier study of this name had another base."""
    monkeypatch.chdir(tmp_path)
    earlier = tmp_path / "results/mine/training/bases/base"
    earlier.mkdir(parents=True)
    save_file({"w": np.zeros((7, 7), np.float32)}, earlier / "model.safetensors")
    (earlier / "config.json").write_text('{"max_position_embeddings": 8}')
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)  # the dialogues have the replies: nobody is asked
    study = made(base, tmp_path, "--task", "multiple_choice")
    check.main([str(study)])
    assert "no mistakes; 1 base models and 2 models to train" in capsys.readouterr().out
    assert yaml.safe_load(study.read_text())["bases"]["base"]["parameters"] == 1000
    with pytest.raises(UserError, match="exists already"):
        made(base, tmp_path)


def exchanges(path: Path, count: int = 3, characters: int = 400) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    records = [{"prompt": f"{n:03}", "response": "r" * characters} for n in range(count)]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_files_of_one_name_are_sources_of_several(base: Path, tmp_path: Path) -> None:
    """ChatGPT's and Claude's exports are both called conversations.json; YAML would keep the last one alone."""
    names = ("a/conversations.json", "b/conversations.json", "questions.json", "2024-01-01.json", "on.json", "_.json")
    files = [str(exchanges(tmp_path / name)) for name in names]
    study = made(base, tmp_path, "--format", "exports", "--dialogues", *files, files[0])
    content = read_yaml(study)
    expected = ["conversations", "conversations_2", "questions_2", "2024-01-01", "on", "file__"]
    assert content["pools"]["dialogues"]["sources"] == expected
    assert [content["sources"][name]["uri"] for name in expected] == [f"file:{file}" for file in files]
    assert content["sources"]["questions"]["uri"].endswith("my questions.jsonl")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--base", "hub:ORG/NAME", "--parameters", "9"], "write hub:ORG/NAME@REVISION \\(a commit, or main\\)"),
        (["--base", "hub:ORG/NAME@main"], "its number of weights is unknown; give it with --parameters"),
        (["--base", "models/smollm", "--parameters", "9"], "models/smollm: there is no such folder; .*NAME@REV"),
        (["--base", "file:models/smollm"], "there is no such folder"),
        (["--base", "."], "its number of weights is unknown"),
        (["--format", "hc3"], "sharegpt.json: has no dialogue as the format hc3 .*; write format: sharegpt"),
    ],
)
def test_what_new_refuses(
    base: Path, tmp_path: Path, given: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=said):
        made(base, tmp_path, *given)
    assert not (tmp_path / "mine.yaml").exists()


def test_a_base_of_the_hub(base: Path, tmp_path: Path) -> None:
    study = read_yaml(made(base, tmp_path, "--base", "hub:ORG/NAME@refs/pr/1", "--parameters", "9e6", "--name", "on"))
    assert study["study"] == "on"
    assert study["bases"]["base"] == {"label": "NAME", "weights": "hub:ORG/NAME@refs/pr/1", "parameters": 9_000_000}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--prompts", "10", "--tokens", "7000", "8000"], None),
        (["--prompts", "10", "--tokens", "7000", "9000"], "--tokens 9,000: 100 dialogues, of which 20 are set as"),
        (["--prompts", "50", "--tokens", "7"], "--prompts 50 sets 100 dialogues aside, of 100 in all: lower it"),
    ],
)
def test_budgets_that_the_dialogues_are_too_few_for(
    base: Path, tmp_path: Path, given: list[str], said: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """The check found nothing, and training stopped."""
    files = [str(exchanges(tmp_path / name, 50)) for name in ("a.json", "b.json")]  # 403 characters a dialogue
    made(base, tmp_path, "--format", "exports", "--dialogues", *files, *given)
    lines = [record.getMessage() for record in caplog.records if record.name.endswith("study.new")]
    assert len(lines) == bool(said)
    assert said is None or said in lines[0]


def test_the_teachers_default_is_a_model_that_is_sold(base: Path, tmp_path: Path) -> None:
    today = read_yaml(ROOT / "config/today.yaml")
    assert read_yaml(made(base, tmp_path))["teacher"]["model"] == today["teacher"]["model"]


@pytest.mark.parametrize(("origin", "found"), [("hub:a/b@c", 49), ("hub:a/other@c", None), (None, 49)])
def test_a_base_of_the_hub_is_counted_where_an_earlier_run_fetched_it(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, origin: str | None, found: int | None
) -> None:
    monkeypatch.chdir(tmp_path)
    earlier = Path("results/mine/training/bases/base")
    earlier.mkdir(parents=True)
    save_file({"w": np.zeros((7, 7), np.float32)}, earlier / "model.safetensors")
    if origin:
        (earlier / "source.json").write_text(json.dumps({"uri": origin}))
    content = read_yaml(made(base, tmp_path))
    content["bases"]["base"] |= {"weights": "hub:a/b@c", "parameters": 1000}
    folder = check.folder_of(load(content), "base")
    assert (check.parameters(folder) if folder else None) == found


def test_all_mistakes_are_listed(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
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
    "sources.misnamed.uri": ('{"prompt": "a?", "response": "b"}\n', "the format hc3 (1 wrong form); write format: exp"),
    "sources.packed.uri": ("PK", "no zip archive with 'a.json' in it"),
    "bases.folder.weights": ("x", "is no folder; expected config.json"),
}
NAMED = """
sources:
  questions: {uri: "file:FILES/sources.questions.uri"}
  prompts: {uri: "file:FILES/sources.prompts.uri"}
  dialogues: {uri: "file:FILES/sources.dialogues.uri", format: sharegpt}
  misnamed: {uri: "file:FILES/sources.misnamed.uri", format: hc3}
  packed: {uri: "file:FILES/sources.packed.uri", member: a.json, format: sharegpt}
bases: {folder: {label: Folder, weights: "file:FILES/bases.folder.weights", parameters: 10}}
pools: {sharegpt_mix: {sources: [sharegpt, dialogues, misnamed, packed],
  categories: FILES/pools.sharegpt_mix.categories}}
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
