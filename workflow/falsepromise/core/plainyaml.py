"""YAML files as plain values: the one way in for what a study or a stranger wrote in YAML.

YAML can refer to its own parts: a file of a few hundred bytes then stands for billions of values, or for one that
contains itself. So the file's events are counted before anything is made of them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.core.records import read_text

MOST_CHARACTERS = 1 << 22
MOST_VALUES = 50_000  # with each reference counted as what it stands for; a study of a thousand models has 20,000
DEEPEST = 40
LARGEST = 1 << 63
# YAML 1.1, which Snakemake reads, takes a number that begins with 0 in base 8 and one with colons in base 60.
OTHER_BASE = re.compile(r"[-+]?(0[0-7_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)")


def read_yaml(file: Path) -> dict[str, Any]:
    """The mapping of a YAML file.

    Raises:
        UserError: the file is missing, not YAML or no mapping, has a key twice or a number in base 8 or 60, or is too
            large or deep for a study.
    """
    return parsed(read_text(file), file)


def parsed(text: str, file: Path) -> dict[str, Any]:
    """The mapping of a text that is, or will be, in a file.

    Raises:
        UserError: as `read_yaml`.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, if PyYAML was compiled with it
    try:
        if len(text) > MOST_CHARACTERS:
            raise ValueError(f"more than {MOST_CHARACTERS:,} characters")
        _check_size(yaml.parse(text, loader))
        twice = _doubled(yaml.compose(text, loader), ())
        content = yaml.load(text, loader)
        _check_numbers(content)
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{file}: not YAML as a study has it: {' '.join(str(error).split())[:500]}") from error
    if twice:
        raise UserError(f"{file}: {twice}")
    if content is None:
        raise UserError(f"{file}: has no keys; expected a study (a mapping)")
    if not isinstance(content, dict):
        raise UserError(f"{file}: expected a study (a mapping), found {type(content).__name__}")
    if "__use_yte__" in content:
        raise UserError(f"{file}: __use_yte__ makes it a program, which Snakemake would run; a study is plain YAML")
    return content


def _check_size(events: Any) -> None:
    """Refuse what has too many values, is too deep, or refers to what it is in."""
    open_: list[tuple[str | None, int]] = []  # anchors of the collections around, and the count at their beginning
    sizes: dict[str, int] = {}
    count = 0
    for event in events:
        kind, name = type(event).__name__, getattr(event, "anchor", None)
        if kind in ("SequenceStartEvent", "MappingStartEvent"):
            open_.append((name, count))
            sizes.pop(name or "", None)
            count += 1
            if len(open_) > DEEPEST:
                raise ValueError(f"deeper than {DEEPEST} levels, in line {event.start_mark.line + 1}")
        elif kind in ("SequenceEndEvent", "MappingEndEvent"):
            closed, start = open_.pop()
            if closed:
                sizes[closed] = count - start
        elif kind == "ScalarEvent":
            count += 1
            if event.implicit[0] and OTHER_BASE.fullmatch(event.value) and event.value.strip("-+0_"):
                raise ValueError(
                    f"{event.value[:40]} in line {event.start_mark.line + 1} is a number in base "
                    f"{60 if ':' in event.value else 8} to YAML; write it without leading zeros, or a text in quotes"
                )
            if name:
                sizes[name] = 1
        elif kind == "AliasEvent":
            if any(name == around for around, _ in open_):
                raise ValueError(f"*{name} refers to what it is in, in line {event.start_mark.line + 1}")
            count += sizes.get(name or "", 1)
        if count > MOST_VALUES:
            raise ValueError(f"more than {MOST_VALUES:,} values, in line {event.start_mark.line + 1}")


def _check_numbers(value: Any) -> None:
    """Refuse numbers that no computer's integer holds: Python can't even print the largest."""
    if isinstance(value, int) and not -LARGEST <= value < LARGEST:
        raise ValueError("a number of too many digits")
    if isinstance(value, dict):
        for key, item in value.items():
            _check_numbers(key)
            _check_numbers(item)
    elif isinstance(value, list | tuple | set):
        for item in value:
            _check_numbers(item)


def _doubled(node: Any, path: tuple[str, ...]) -> str | None:
    """The first key that a mapping has twice; YAML would silently keep the last one."""
    seen: dict[str, int] = {}
    for key, value in node.value if getattr(node, "id", "") == "mapping" else ():
        name, line = str(key.value), key.start_mark.line + 1
        if name in seen:
            return f"'{'.'.join((*path, name))}' occurs twice, in lines {seen[name]} and {line}; rename or delete one"
        seen[name] = line
        found = _doubled(value, (*path, name))
        if found:
            return found
    return None
