"""EvalPlus's files as second tests, against its own rules: the reference's answers, floats within its tolerances."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_model import FakeModel
from hypothesis import given
from hypothesis import strategies as st

from falsepromise.benchmarks import data, humaneval
from falsepromise.benchmarks.evalplus import second_test
from falsepromise.benchmarks.outcome import Options

PROBLEMS = data.read_problems(None)
HUB = """import numpy as np

def is_floats(x):
    if isinstance(x, np.ndarray):
        return x.dtype == np.float64 or x.dtype == np.float32
    return isinstance(x, float)

def assertion(out, exp, atol):
    if atol == 0 and is_floats(exp):
        atol = 1e-6
    if out != exp and atol != 0:
        assert np.allclose(out, exp, rtol=1e-07, atol=atol)
    else:
        assert out == exp

def check(candidate):
    for inp, exp in zip([[[1.0, 2.0, 3.0, 4.0]]], [1.0]):
        assertion(candidate(*inp), exp, 0)
"""


def row(name: str, inputs: list[Any], atol: float = 0, **more: Any) -> dict[str, Any]:
    kept = {key: PROBLEMS[name][key] for key in ("prompt", "canonical_solution", "entry_point")}
    return {"task_id": name, **kept, "base_input": [], "plus_input": inputs, "atol": atol, "contract": "", **more}


def scored(tmp_path: Path, rows: list[dict[str, Any]], body: str) -> humaneval.Outcome:
    own, extra = tmp_path / "own.jsonl", tmp_path / "plus.jsonl"
    own.write_text("".join(json.dumps(PROBLEMS[r["task_id"]]) + "\n" for r in rows))
    extra.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return humaneval.evaluate(FakeModel(lambda _: body), Options(own, more={"extra_tests": extra}))


def passed(outcome: humaneval.Outcome) -> tuple[int, int]:
    (item,) = outcome.items
    return item["passed"], item["passed_extra"]


MEAN = "    m = sum(numbers) / len(numbers)\n    return sum(abs(x - m) for x in numbers) / len(numbers){}\n"
FIB = "    return n if n < 2 else fib(n - 1) + fib(n - 2)\n"
NOT_OF_0 = "    if n == 0: return 1\n    if n < 3: return 1\n    return fib(n - 1) + fib(n - 2)\n"


@pytest.mark.parametrize(
    ("name", "inputs", "atol", "body", "right"),
    [
        ("HumanEval/55", [[0], [2], [30]], 0, FIB, (1, 1)),
        ("HumanEval/55", [[0]], 0, NOT_OF_0, (1, 0)),
        # as EvalPlus, floats are compared within 1e-6; a reference that raises asks nothing
        ("HumanEval/4", [[[1.0, 2.0, 4.5]], [[]]], 0, MEAN.format(" + 1e-8"), (1, 1)),
        ("HumanEval/32", [[[1, 2]], [[-6, 11, -6, 1]]], 1e-4, PROBLEMS["HumanEval/32"]["canonical_solution"], (1, 1)),
    ],
)
def test_its_own_form(tmp_path: Path, name: str, inputs: list[Any], atol: float, body: str, right: Any) -> None:
    assert passed(scored(tmp_path, [row(name, inputs, atol)], body)) == right


def test_the_hubs_form_and_a_reference_that_is_not_human_evals(tmp_path: Path) -> None:
    hub = {key: value for key, value in row("HumanEval/4", []).items() if not key.endswith("_input")} | {"test": HUB}
    assert passed(scored(tmp_path, [hub], MEAN.format(" + 1e-9"))) == (1, 1)
    # EvalPlus mended some of HumanEval's solutions: the second test is judged by its own.
    mended = row("HumanEval/4", [[[]]], canonical_solution="    return 0.0 if not numbers else 1.0\n")
    assert passed(scored(tmp_path, [mended], MEAN.format(""))) == (1, 0)


@pytest.mark.parametrize(("body", "right"), [(FIB, (1, 1)), (NOT_OF_0, (1, 0)), ("    return n\n", (0, 0))])
def test_its_file_as_problems_of_its_own(tmp_path: Path, body: str, right: Any) -> None:
    """Its first inputs are the test, the others the second test."""
    own = tmp_path / "HumanEvalPlus.jsonl"
    own.write_text(json.dumps(row("HumanEval/55", [[0], [1]], base_input=[[8], [12]])) + "\n")
    outcome = humaneval.evaluate(FakeModel(lambda _: body), Options(own, more={"extra_tests": own}))
    assert passed(outcome) == right


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (row("HumanEval/55", []), "'base_input' is empty, and there is no 'test'"),
        (row("HumanEval/55", [], base_input=[1]), "'base_input' is .*, expected a list with a list of arguments"),
        (row("HumanEval/55", [], base_input=[[1]], canonical_solution=None), "'canonical_solution' is nothing"),
    ],
)
def test_what_is_no_problem(record: dict[str, Any], said: str) -> None:
    with pytest.raises(data.Unusable, match=said):
        data.problem(record)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"plus_input": "x"}, "'plus_input' is 'x', expected a list"),
        ({"plus_input": [1]}, "expected a list with a list of arguments"),
        ({"plus_input": [[1]], "atol": "much"}, "'atol' is 'much'"),
        ({}, "'test' is"),
    ],
)
def test_what_is_no_test(record: dict[str, Any], said: str) -> None:
    with pytest.raises(data.Unusable, match=said):
        second_test({"task_id": "HumanEval/55", **record}, PROBLEMS["HumanEval/55"])


NUMBERS = st.floats(allow_nan=False) | st.integers(-5, 5)


@given(NUMBERS, NUMBERS, st.sampled_from([1e-6, 0.5]))
def test_the_stand_in_is_as_close_as_numpy(a: float, b: float, atol: float) -> None:
    names: dict[str, Any] = {}
    source = Path(humaneval.__file__).with_name("inside.py").read_text(encoding="utf-8").replace("\nmain()\n", "")
    exec(source, names)
    with np.errstate(over="ignore", invalid="ignore"):
        assert names["allclose"]([a], (b,), 1e-7, atol) == np.allclose([a], [b], 1e-7, atol)
    assert not names["allclose"]([a], [a, a])
