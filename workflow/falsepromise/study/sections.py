"""The parts of a study's sections: keys with their facts, and functions that walk through keys."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field

REQUIRED = ...
STRICT = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
VARIABLE = r"^[A-Z_][A-Z0-9_]*$"
URL = r"^(local|https?://.+)$"
URI = r"^(pypi:[^=]+==.+|file:.+|https://.+|hub:[\w.-]+/[\w.-]+(@.+)?)$"
WEIGHTS = r"^(hub:[^@]+@.+|file:.+|source:.+)$"
MESH = r"^(data|fsdp|tensor)=[1-9][0-9]*(,(data|fsdp|tensor)=[1-9][0-9]*)*$"
SHA256 = r"^[0-9a-f]{64}$"
FORMS = {  # in words, for messages
    NAME: "letters, digits, '.', '_' and '-'",
    VARIABLE: "an environment variable's name, of capital letters, digits and '_'",
    URL: "local, or an address with http:// or https://",
    URI: "file:PATH, https://..., pypi:PACKAGE==VERSION or hub:ORG/NAME@REVISION (a commit, or main)",
    WEIGHTS: "hub:ORG/NAME@REVISION (a commit, or main), file:FOLDER or source:NAME",
    MESH: "axes with their sizes, such as fsdp=4,tensor=2, of data, fsdp and tensor",
    SHA256: "64 digits of 0-9 and a-f",
}
# File systems allow 255 bytes; a file's name has up to three of these and an ending.
Name = Annotated[str, Field(pattern=NAME, max_length=64)]
Names = Annotated[list[Name], Field(min_length=1)]
Count = Annotated[int, Field(ge=1)]
Shards = Annotated[int, Field(ge=1, le=1000)]
Share = Annotated[float, Field(ge=0, le=1)]
Money = Annotated[float, Field(ge=0)]
Number = Annotated[float, Field(gt=0)]
Groups = Annotated[list[Name], Field(min_length=1)]
Url = Annotated[str, Field(pattern=URL)]
Variable = Annotated[str, Field(pattern=VARIABLE)]


def key(
    text: str,
    default: Any = REQUIRED,
    *,
    paper: str = "",
    otherwise: str = "",
    names: str = "",
    file: bool = False,
    **bounds: Any,
) -> Any:
    """One key of a study.

    Args:
        text: Its meaning, for config/README.md and `--help`.
        default: Its value if a study leaves it out; `REQUIRED` if it must be given.
        paper: The paper's value, with its section.
        otherwise: The meaning of a default of None, in words.
        names: The section whose names its values must be; an unknown name is refused.
        file: Whether it names a file or folder of the user, as a path or `file:PATH`, which must exist.
        **bounds: pydantic's `ge`, `gt`, `le`, `lt`, `min_length`, and `pattern`, which has a line in `FORMS`.
    """
    facts: dict[str, Any] = {"paper": paper, "otherwise": otherwise, "names": names, "file": file}
    return Field(default, description=text, json_schema_extra={k: v for k, v in facts.items() if v}, **bounds)


class Section(BaseModel):
    """A mapping of a study file. Each key is an attribute, with its default if a study leaves it out."""

    model_config = STRICT


def walk(part: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, dict[str, Any]]]:
    """Every key that the study file gives in a section: its path, its value, and the facts from `key`."""
    if isinstance(part, BaseModel):
        for name, field in type(part).model_fields.items():
            if name in part.model_fields_set:
                extra = field.json_schema_extra
                yield (*path, name), getattr(part, name), extra if isinstance(extra, dict) else {}
                yield from walk(getattr(part, name), (*path, name))
    elif isinstance(part, dict):
        for name, value in part.items():
            yield from walk(value, (*path, name))


def inner(annotation: Any) -> Any:
    """The section inside a type such as `dict[str, Pool]` or `Facts | None`; None if there is none."""
    for member in members(annotation):
        if isinstance(member, type) and issubclass(member, BaseModel):
            return member
        if get_origin(member) in (dict, list):
            return inner(get_args(member)[-1])
    return None


def members(annotation: Any) -> list[Any]:
    """The types inside a type, without `Annotated` and unions."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return members(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [kind for arg in get_args(annotation) for kind in members(arg)]
    return [annotation]
