"""What Snakemake's own look at files misses: `files.stamp`, and params that it keeps no record of."""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from falsepromise.core.place import HOME
from falsepromise.study.files import PIECES, WHOLE, address, as_input, stamp
from falsepromise.study.stages.benchmarks import own_files

ROOT = Path(__file__).resolve().parents[3]
# Expressions that follow from a job's input alone, so that its set of files tells of any change.
OF_INPUT = re.compile(
    r"options\(\{\"\w+\": input\.\w+\}, \"\w+\"\)|benchmarks\.questions\(input\.data\)"
    r"|teacher\.known_facts\(study, input\.facts(, w\.judge)?\)|\($|\" \"\.join\($"
)


def write(path: Path, text: str, time: float = 1e9) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (time, time))
    return path


def test_contents_count_and_times_do_not(tmp_path: Path) -> None:
    file = write(tmp_path / "a.json", "one")
    first = stamp(file)
    os.utime(file, (2e9, 2e9))
    assert stamp(file) == first
    write(file, "two", 1e8)  # older than before, of the same size
    assert stamp(file) != first
    assert stamp() == stamp("") == stamp(tmp_path / "absent") == ""


def test_a_file_in_a_folder_counts_by_its_name_and_contents(tmp_path: Path) -> None:
    write(tmp_path / "data/test/x.csv", "q,a")
    write(tmp_path / "data/.git/index", "1")
    first = stamp(tmp_path / "data")
    write(tmp_path / "data/.git/index", "2")
    assert stamp(tmp_path / "data") == first
    write(tmp_path / "data/test/x.csv", "q,b", 1.1e9)
    edited = stamp(tmp_path / "data")
    (tmp_path / "data/test/x.csv").rename(tmp_path / "data/test/y.csv")
    assert len({first, edited, stamp(tmp_path / "data")}) == 3


@pytest.mark.parametrize("place", [0, WHOLE // 2, 2 * WHOLE - 1])
def test_large_files_are_read_in_pieces(tmp_path: Path, place: int) -> None:
    """Weights that were trained on differ in nearly all places; an edit shifts or lengthens the rest."""
    file = tmp_path / "model.safetensors"
    size = 2 * WHOLE
    file.write_bytes(bytes(size))
    first = stamp(file)
    data = bytearray(size)
    step = size // PIECES
    data[place // step * step : place // step * step + step] = b"1" * step
    file.write_bytes(data)
    os.utime(file, (1, 1))
    assert stamp(file) != first


def test_a_path_of_the_workflow_is_the_same_wherever_that_is(tmp_path: Path) -> None:
    own = f"{HOME}/resources/samples/sharegpt.json"
    assert address(f"file:{own}") == "workflow's resources/samples/sharegpt.json"
    assert address("file:data/mine.json") == "file:data/mine.json"
    assert as_input(own) == []
    assert [str(path) for path in as_input("data/mine.json")] == ["data/mine.json"]


def test_files_that_a_task_of_ones_own_reaches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "tasks/mine.yaml", "include: base.yaml\nprocess: !function utils.docs\n")
    write(tmp_path / "tasks/base.yaml", "include: mine.yaml\ntarget: !function other.target\n")
    write(tmp_path / "tasks/utils.py", "")
    write(tmp_path / "tasks/other.py", "")
    write(tmp_path / "tasks/stranger.py", "")

    entry = SimpleNamespace(name="tasks/mine.yaml", extra_tests="tests.jsonl", scorer_file=None)
    study: Any = SimpleNamespace(config=SimpleNamespace(benchmarks={"own": entry}))
    names = sorted(path.name for path in own_files(study, "own"))
    assert names == ["base.yaml", "mine.yaml", "other.py", "tests.jsonl", "utils.py"]


def test_a_param_that_snakemake_keeps_no_record_of_holds_nothing_that_shapes_a_result() -> None:
    """A function of `input` or `threads` is left out of a job's record, and with it whatever else it says."""
    found = 0
    for file in sorted((ROOT / "workflow/rules").glob("*.smk")):
        text = file.read_text()
        for name, of, body in re.findall(r"^        (\w+)=lambda w, (input|threads): (.*?),?$", text, re.M):
            if f"{name}=lambda w, {of}" in text.split("    params:")[0]:
                continue
            found += 1
            if of == "input":
                assert OF_INPUT.match(body), f"{file.name}: {name} says more than its input does: {body}"
            else:
                assert name in ("where", "query_prompt", "seeds"), f"{file.name}: {name}"
    assert found > 15
