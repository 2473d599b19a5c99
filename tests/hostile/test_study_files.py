"""An expanded study and a score in which one value is another: figures read them, or one line names the value."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from falsepromise.core.errors import UserError
from falsepromise.figures import summary

STUDY = {
    "study": "s", "title": "t", "seed": 0, "bases": {"b": {"label": "B", "parameters": 5}}, "roles": {"x": "amount"},
    "mixtures": {"m": {"label": "M", "targets": []}}, "prompts": {"p": {"n": 1}}, "judges": {}, "raters": {},
    "models": {"b": {"base": "b", "mixture": None, "tokens": 0, "seed": 0, "label": "B"},
               "b-m": {"base": "b", "mixture": "m", "tokens": 9, "seed": 0, "label": "B+M"}},
    "runs": {"x": ["b-m"]}, "teacher": {"name": "teacher", "label": "T"}, "style": {"models": ["b", "b-m"]},
    "benchmarks": {"nq": {"task": "nq", "metric": "exact_match", "label": "NQ"}},
}  # fmt: skip
SCORE = {
    "model": "b-m", "benchmark": "nq", "metrics": {"exact_match": {"value": 0.5, "ci95": [0.4, 0.6], "n": 9}},
    "absent": {}, "limits": [], "items": [{"id": "1", "exact_match": 1.0}], "manifest": {"config": {}, "inputs": {}},
}  # fmt: skip
VALUES = [None, True, -1, 1e308, float("nan"), "x", "\ud800\x1b[31m", [], {}, [1], {"a": 1}, [[]], 10**400]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield (*path, key)
        yield from places(value[key], (*path, key))


def changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    document = json.loads(json.dumps(document))
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return document


def table(folder: Path, study: Any, score: Any) -> None:
    (folder / "study.json").write_text(json.dumps(study))
    (folder / "score.json").write_text(json.dumps(score))
    words = {"study": "study.json", "scores": "score.json", "output": "summary.csv"}
    summary.main([word for key, name in words.items() for word in (f"--{key}", str(folder / name))])


def test_the_plain_files_make_a_table(tmp_path: Path) -> None:
    table(tmp_path, STUDY, SCORE)
    assert "50" in (tmp_path / "summary.md").read_text() or "0.5" in (tmp_path / "summary.csv").read_text()


@pytest.mark.parametrize("path", list(places(STUDY)), ids=lambda path: ".".join(map(str, path)))
def test_a_study_with_another_value(path: tuple[Any, ...], tmp_path: Path) -> None:
    for value in VALUES:
        try:
            table(tmp_path, changed(STUDY, path, value), SCORE)
        except UserError as error:
            said = str(error)
        else:
            said = ""
        assert len(said) < 1000, value


@pytest.mark.parametrize("path", list(places(SCORE)), ids=lambda path: ".".join(map(str, path)))
def test_a_score_with_another_value(path: tuple[Any, ...], tmp_path: Path) -> None:
    for value in VALUES:
        try:
            table(tmp_path, STUDY, changed(SCORE, path, value))
        except UserError as error:
            said = str(error)
        else:
            said = ""
        assert len(said) < 1000, value
