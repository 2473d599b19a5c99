"""Check a mapping against the keys of `study.config`, and report the first problem in one line."""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar, get_origin

from pydantic import BaseModel, ValidationError

from falsepromise.core.errors import UserError
from falsepromise.core.text import terminal
from falsepromise.study.sections import FORMS, inner, members, walk

S = TypeVar("S", bound=BaseModel)
_KINDS = {"int": "a whole number", "float": "a number", "string": "text", "list": "a list", "bool": "true or false"}
_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "less_than_equal": ("at most", "le"),
    "greater_than": ("more than", "gt"),
    "less_than": ("less than", "lt"),
}


def check(section: type[S], value: Any, where: str) -> S:
    """Turn a mapping from YAML into a section of a study.

    Args:
        section: A class of `study.config`.
        value: The mapping.
        where: The file's name, for the message.

    Raises:
        UserError: the first problem: the key with its path, what was found, what to write.
    """
    for problem in problems(section, value):
        raise UserError(f"{where}: {problem}")
    return section.model_validate(_plain(value))


def problems(section: type[BaseModel], value: Any) -> list[str]:
    """All mistakes in a mapping, the likeliest cause first."""
    found = [*_keys_that_are_not_text(value, ()), *_control_characters(value, ())]
    if found:
        return found
    try:
        checked = section.model_validate(_plain(value))
    except ValidationError as error:
        # A mistyped key also leaves the right one missing; report the mistyped one.
        errors = sorted(error.errors(include_url=False), key=lambda p: (p["type"] != "extra_forbidden", len(p["loc"])))
        return [_describe(problem, section) for problem in errors]
    return [f"'{'.'.join(path)}' is empty{_yaml(None)}" for path, given, _ in walk(checked) if given is None]


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint at the name that was probably meant: `did you mean 'x'?`, else all possible names."""
    names = sorted(names)
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"expected one of {', '.join(names)}" if names else "there is none"


def _plain(value: Any) -> Any:
    """A copy in plain dicts and lists, because Snakemake's mappings have their own types."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def _keys_that_are_not_text(value: Any, path: tuple[Any, ...]) -> Iterator[str]:
    if isinstance(value, Mapping):
        inside = f" in '{'.'.join(map(str, path))}'" if path else ""
        for key, entry in value.items():
            if not isinstance(key, str):
                yield f"the key {key!r}{inside} is not text{_yaml(key)}"
            yield from _keys_that_are_not_text(entry, (*path, key))
    elif isinstance(value, (list, tuple)):
        for index, entry in enumerate(value):
            yield from _keys_that_are_not_text(entry, (*path, index))


def _control_characters(value: Any, path: tuple[Any, ...]) -> Iterator[str]:
    """Texts with control characters, which Snakemake prints unescaped to terminals, logs and pages."""
    if isinstance(value, str):
        for character in sorted({c for c in value if terminal(c) != c}):
            place = ".".join(map(terminal, map(str, path)))
            yield f"'{place}' has the character {character!a}; delete it"
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _control_characters(key, (*path, "[key]"))
            yield from _control_characters(entry, (*path, key))
    elif isinstance(value, (list, tuple)):
        for index, entry in enumerate(value):
            yield from _control_characters(entry, (*path, index))


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
            return f"{place} is {found}, expected {FORMS[bounds['pattern']]}"
        case "string_too_long":
            return f"{place} is {found}, expected at most {bounds['max_length']} characters"
        case "dict_type" | "model_type":
            hint = _yaml(None) if problem["input"] is None else ""
            return f"{place} is {found}, expected a mapping{hint}"
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
    """The class of the section with the problem."""
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
    """A hint where YAML reads another type than the user meant."""
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
    if "e" in text.lower():
        return " (YAML reads 2e-3 as text: write 2.0e-3)"
    return " (write it without quotes; what --config has in braces is all text: write that into a file)"
