"""Check a mapping against the keys of `study.config`, and report the first problem in one line."""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, get_origin

from pydantic import BaseModel, ValidationError

from falsepromise.core.errors import UserError
from falsepromise.study.sections import inner, members, walk

S = TypeVar("S", bound=BaseModel)
_KINDS = {"int": "a whole number", "float": "a number", "string": "text", "list": "a list", "bool": "true or false"}
_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "less_than_equal": ("at most", "le"),
    "greater_than": ("more than", "gt"),
    "less_than": ("less than", "lt"),
}


def check(section: type[S], value: Any, where: str) -> S:
    """A mapping, as YAML gives it, as a section of a study.

    Args:
        section: A class of `study.config`.
        value: What was read.
        where: What is checked, for the message (a file's name).

    Raises:
        UserError: the first problem: the key with its path, what was found, what to write.
    """
    try:
        found = section.model_validate(_plain(value, (), where))
    except ValidationError as error:
        # A mistyped key also leaves the right one missing: the mistyped one is the cause.
        problems = error.errors(include_url=False)
        first = min(problems, key=lambda p: (p["type"] != "extra_forbidden", len(p["loc"])))
        raise UserError(f"{where}: {_describe(first, section)}") from None
    for path, given, _ in walk(found):
        if given is None:
            raise UserError(f"{where}: '{'.'.join(path)}' is empty{_yaml(None)}")
    return found


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint at the name that was probably meant: `did you mean 'x'?`, else all that there are."""
    names = sorted(names)
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"expected one of {', '.join(names)}" if names else "there is none"


def _plain(value: Any, path: tuple[Any, ...], where: str) -> Any:
    """A copy in plain dicts and lists (Snakemake has mappings of its own), without what YAML makes of bare words."""
    place = ".".join(map(str, path))
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                inside = f" in '{place}'" if place else ""
                raise UserError(f"{where}: the key {key!r}{inside} is not text{_yaml(key)}")
        return {key: _plain(entry, (*path, key), where) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry, (*path, index), where) for index, entry in enumerate(value)]
    return value


def _describe(problem: Mapping[str, Any], section: type[BaseModel]) -> str:
    loc, found = problem["loc"], f"{problem['input']!r:.60}"
    path = ".".join(str(part) for part in loc if part != "[key]")
    place, kind, bounds = f"'{path}'" if path else "the study", problem["type"], problem.get("ctx", {})
    match kind:
        case "extra_forbidden":
            known = _section_at(section, loc[:-1]).model_fields
            return f"unknown key '{path}'; {nearest(loc[-1], known)}"
        case "missing":
            return f"the key '{path}' is missing; see config/README.md"
        case "literal_error":
            choices = bounds["expected"].replace(" or ", ", ").replace("'", "")
            return f"{place} is {found}, expected one of {choices}{_yaml(problem['input'])}"
        case "too_short":
            return f"{place} is empty, expected at least one entry"
        case "string_pattern_mismatch":
            form = "letters, digits, '.', '_' and '-'" if loc[-1] == "[key]" else bounds["pattern"]
            return f"{place} is {found}, which is not of the form {form}"
        case "dict_type" | "model_type":
            return f"{place} is {found}, expected a mapping{_yaml(problem['input'])}"
        case "finite_number":
            return f"{place} is {found}, expected a number"
    if kind in _BOUNDS:
        words, name = _BOUNDS[kind]
        return f"{place} is {found}, expected {words} {bounds[name]}"
    if kind.endswith("_type"):
        wanted = kind.removesuffix("_type")
        as_number = wanted in ("int", "float") and isinstance(problem["input"], str)
        hint = _number(problem["input"]) if as_number else _yaml(problem["input"]) if wanted == "string" else ""
        return f"{place} is {found}, expected {_KINDS.get(wanted, wanted)}{hint}"
    return f"{place}: {problem['msg']}"


def _section_at(section: Any, loc: Iterable[Any]) -> Any:
    """The class of the section that a problem's place leads to."""
    inside_dict = False
    for part in loc:
        if inside_dict or isinstance(part, int):
            inside_dict = False
            continue
        annotation = section.model_fields[part].annotation
        inside_dict = any(get_origin(member) is dict for member in members(annotation))
        section = inner(annotation)
    return section


def _yaml(value: Any) -> str:
    """How to write what YAML read as something else than was meant."""
    if value is None:
        return " (YAML's ~: write a value, or leave the key out)"
    if isinstance(value, bool):
        return " (YAML reads yes, no, on and off as true and false: put the word in quotes)"
    if isinstance(value, datetime.date):
        return f' (YAML reads a date: put it in quotes, "{value}")'
    return f' (put it in quotes, "{value}")' if isinstance(value, (int, float)) else ""


def _number(text: Any) -> str:
    try:
        float(text if isinstance(text, str) else "no")
    except ValueError:
        return ""
    return " (YAML reads 2e-3 as text: write 2.0e-3)" if "e" in text.lower() else " (write it without quotes)"
