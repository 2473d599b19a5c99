"""Problems, and second tests of HumanEval's problems, in EvalPlus's two forms.

Its own JSON lines have inputs and a reference solution (`base_input`, `plus_input`, `canonical_solution`, `prompt`,
`entry_point`, `atol`; Liu et al., 2023): a program has to answer as the reference does. The hub's copy has a
`test`, as HumanEval has, beside the reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from falsepromise.benchmarks.files import Unusable, text
from falsepromise.core.records import Record

# Its comparison: equal, or floats within its tolerances. A root of a polynomial is judged by the polynomial.
_TEST = """
import copy

import numpy


def _floats(value):
    return isinstance(value, float) or isinstance(value, (list, tuple)) and all(isinstance(v, float) for v in value)


def _same(found, expected, most):
    if found == expected:
        return True
    most = 1e-6 if most == 0 and _floats(expected) else most
    return most != 0 and type(found) is type(expected) and numpy.allclose(found, expected, rtol=1e-7, atol=most)


def check(candidate):
    names = {{}}
    exec({solution!r}, names)
    for arguments in {inputs!r}:
        try:
            expected = names[{entry_point!r}](*copy.deepcopy(arguments))
        except Exception:
            continue  # outside of what the problem allows
        found = candidate(*arguments)
        if {entry_point!r} == "find_zero":
            assert abs(names["poly"](*arguments, found)) <= {atol!r}, arguments
        else:
            assert _same(found, expected, {atol!r}), arguments
"""


def second_test(record: Record, problem: Mapping[str, Any]) -> Record:
    """A record's test as source, with the solution that has to pass it.

    Args:
        record: With a test, or with EvalPlus's inputs.
        problem: HumanEval's problem of the same name: what the record leaves out.

    Returns:
        `task_id`, `test`, and `prompt` and `canonical_solution` that belong together.

    Raises:
        Unusable: it has neither a test nor inputs that can be used.
    """
    own = isinstance(record.get("prompt"), str) and isinstance(record.get("canonical_solution"), str)
    reference = {key: (record if own else problem).get(key) for key in ("prompt", "canonical_solution")}
    inputs = record.get("plus_input")
    if record.get("test") is not None or inputs is None:
        return {"task_id": record["task_id"], "test": text(record, "test"), **reference}
    if not reference["canonical_solution"]:
        raise Unusable("'plus_input' without a 'canonical_solution', and the problem has none")
    test = _source({**record, **reference, "entry_point": problem["entry_point"]}, "plus_input")
    return {"task_id": record["task_id"], "test": test, **reference}


def first_test(record: Record) -> str:
    """The test, as source, of a problem that has `base_input` and no `test`.

    Raises:
        Unusable: its inputs or its solution can't be used.
    """
    for name in ("prompt", "canonical_solution", "entry_point"):
        text(record, name)
    if not record["base_input"]:
        raise Unusable("'base_input' is empty, and there is no 'test'")
    return _source(record, "base_input")


def _source(record: Record, name: str) -> str:
    """The comparison with a record's own solution on its inputs of this name."""
    inputs, atol = record[name], record.get("atol") or 0
    if not isinstance(inputs, list) or not all(isinstance(arguments, list) for arguments in inputs):
        raise Unusable(f"'{name}' is {inputs!r:.60}, expected a list with a list of arguments for each call")
    if not isinstance(atol, int | float) or not 0 <= atol < 1:
        raise Unusable(f"'atol' is {atol!r:.60}, expected a number from 0 to 1")
    solution = f"{record['prompt']}{record['canonical_solution']}"
    return _TEST.format(solution=solution, inputs=inputs, entry_point=record["entry_point"], atol=atol)
