"""Second tests of HumanEval's problems in EvalPlus's two forms.

Its own JSON lines have inputs and a reference solution (`plus_input`, `canonical_solution`, `prompt`, `entry_point`,
`atol`; Liu et al., 2023): a program has to answer as the reference does. The hub's copy has a `test`, as HumanEval has,
beside the reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from falsepromise.benchmarks import data
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
        data.Unusable: it has neither a test nor inputs that can be used.
    """
    own = isinstance(record.get("prompt"), str) and isinstance(record.get("canonical_solution"), str)
    reference = {key: (record if own else problem).get(key) for key in ("prompt", "canonical_solution")}
    inputs = record.get("plus_input")
    if record.get("test") is not None or inputs is None:
        return {"task_id": record["task_id"], "test": data.text(record, "test"), **reference}
    if not isinstance(inputs, list) or not all(isinstance(arguments, list) for arguments in inputs):
        raise data.Unusable(f"'plus_input' is {inputs!r:.60}, expected a list with a list of arguments for each call")
    if not reference["canonical_solution"]:
        raise data.Unusable("'plus_input' without a 'canonical_solution', and the problem has none")
    atol = record.get("atol") or 0
    if not isinstance(atol, int | float) or not 0 <= atol < 1:
        raise data.Unusable(f"'atol' is {atol!r:.60}, expected a number from 0 to 1")
    solution = f"{reference['prompt']}{reference['canonical_solution']}"
    test = _TEST.format(solution=solution, inputs=inputs, entry_point=problem["entry_point"], atol=atol)
    return {"task_id": record["task_id"], "test": test, **reference}
