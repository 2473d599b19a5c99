"""Check a mapping against a JSON schema, and say the first problem in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from falsepromise.core.errors import UserError

_KINDS = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}


def check(value: Any, schema_file: Path, where: str) -> None:
    """Check `value` against the JSON schema (YAML) in `schema_file`.

    Args:
        value: The mapping, as read from YAML.
        schema_file: A JSON schema, draft 2020-12, written as YAML.
        where: What is checked, for the message (a file's name).

    Raises:
        UserError: the first problem: the key with its path, what was found, what was expected.
    """
    problems = list(_validator(schema_file).iter_errors(value))
    if problems:
        # A mistyped key also leaves the right one missing: the mistyped one is the cause.
        first = min(problems, key=lambda p: (p.validator != "additionalProperties", len(p.absolute_path)))
        raise UserError(f"{where}: {_describe(first)}")


@cache
def _validator(schema_file: Path) -> Any:
    import jsonschema
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it was compiled
    schema = yaml.load(schema_file.read_text(encoding="utf-8"), Loader=loader)
    return jsonschema.Draft202012Validator(schema)


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint at the name that was probably meant: `did you mean 'x'?`, else all that there are."""
    names = sorted(names)
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"expected one of {', '.join(names)}" if names else "there is none"


def _describe(error: Any) -> str:
    path = ".".join(str(part) for part in error.absolute_path)
    place = f"'{path}'" if path else "the study"
    found = f"{error.instance!r:.60}"
    match error.validator:
        case "additionalProperties":
            known = list(error.schema.get("properties", {}))
            unknown = next(key for key in error.instance if key not in known)
            return f"unknown key '{path + '.' if path else ''}{unknown}'; {nearest(unknown, known)}"
        case "required":
            missing = next(key for key in error.validator_value if key not in error.instance)
            return f"the key '{path + '.' if path else ''}{missing}' is missing; see config/README.md"
        case "type":
            hint = ""
            if isinstance(error.instance, str) and error.validator_value in ("number", "integer"):
                hint = _number_hint(error.instance)
            return f"{place} is {found}, expected {_KINDS.get(error.validator_value, error.validator_value)}{hint}"
        case "enum":
            choices = [str(choice) for choice in error.validator_value]
            return f"{place} is {found}, expected one of {', '.join(choices)}"
        case "const":
            return f"{place} is {found}, expected {error.validator_value!r}"
        case "minimum":
            return f"{place} is {found}, expected at least {error.validator_value}"
        case "maximum":
            return f"{place} is {found}, expected at most {error.validator_value}"
        case "exclusiveMinimum":
            return f"{place} is {found}, expected more than {error.validator_value}"
        case "exclusiveMaximum":
            return f"{place} is {found}, expected less than {error.validator_value}"
        case "minItems" | "minProperties":
            return f"{place} is empty, expected at least one entry"
        case "pattern":
            return f"{place} is {found}, which is not of the form {_form(error)}"
    return f"{place}: {error.message}"


def _form(error: Any) -> str:
    return str(error.schema.get("description") or error.validator_value)


def _number_hint(text: str) -> str:
    try:
        float(text)
    except ValueError:
        return ""
    return " (YAML reads 2e-3 as text: write 2.0e-3)"
