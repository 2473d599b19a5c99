"""The files that a study names: looked for in the working directory, then among the workflow's own."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, MutableSequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.core.place import HOME
from falsepromise.study.study import Study


@dataclass(frozen=True)
class Named:
    """A file that a study names.

    Attributes:
        key: The study's key, as `sources.hc3.uri`.
        holder, at: The mapping or list that has it, and where there.
        fetched: A job takes it from there; the others are inputs of jobs as they stand.
    """

    key: str
    holder: MutableMapping[str, Any] | MutableSequence[Any]
    at: Any
    fetched: bool = False

    @property
    def path(self) -> Path:
        return Path(str(self.holder[self.at]).removeprefix("file:"))


def named(study: Study) -> Iterator[Named]:
    """All of them; addresses of the network are none."""
    for section, key in (("sources", "uri"), ("bases", "weights")):
        for name, entry in getattr(study, section).items():
            if str(entry.get(key, "")).startswith("file:"):
                yield Named(f"{section}.{name}.{key}", entry, key, fetched=True)
    for section, keys in (("mixtures", ("seeds", "query_prompt")), ("pools", ("categories",))):
        for name, entry in getattr(study, section).items():
            yield from (Named(f"{section}.{name}.{key}", entry, key) for key in keys if key in entry)
    for name, raters in study.raters.items():
        for model, files in raters["votes"].items():
            yield from (Named(f"raters.{name}.votes.{model}.{n}", files, n) for n in range(len(files)))
    if "marks" in study.style:
        yield Named("style.marks", study.style, "marks")


def find(study: Study) -> None:
    """Let each name of a file that is not here, but is among the workflow's own, say so."""
    for file in named(study):
        own = HOME / file.path
        if not file.path.exists() and own.exists():
            prefix = "file:" if str(file.holder[file.at]).startswith("file:") else ""
            file.holder[file.at] = f"{prefix}{own}"


def missing(study: Study) -> list[Named]:
    """Those that are in neither place."""
    return [file for file in named(study) if not file.path.exists()]


def check(study: Study) -> None:
    """Check the files that are inputs of jobs as they stand.

    Raises:
        UserError: one is not there.
    """
    for file in missing(study):
        if not file.fetched:
            raise UserError(absent(file))


def absent(file: Named) -> str:
    return (
        f"{file.key} names the file {str(file.path)!r}, which is not there; put it there or change the study "
        "(config/README.md says where the paper's are from)"
    )
