"""Find the files that a study names: in the working directory, then among the workflow's own."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.core.place import HOME
from falsepromise.study.sections import walk
from falsepromise.study.study import Study

# A source's keys about its address, which don't apply to a file of the user's.
OF_ADDRESS = ("uri", "mirrors", "member", "columns", "split", "subset", "sha256")


@dataclass(frozen=True)
class Named:
    """A file that a study names.

    Attributes:
        key: The place in the study, such as `("sources", "hc3", "uri")`.
        value: The value there, a path or `file:PATH`.
    """

    key: tuple[Any, ...]
    value: str

    @property
    def path(self) -> Path:
        return Path(self.value.removeprefix("file:"))

    @property
    def fetched(self) -> bool:
        """Whether a job fetches it; the others are direct inputs of jobs."""
        return self.value.startswith("file:")

    @property
    def absent(self) -> str:
        """The message if it is missing."""
        return (
            f"{'.'.join(map(str, self.key))} names the file {str(self.path)!r}, which does not exist; put it there or "
            "change the study (config/README.md lists where to get the paper's files)"
        )


def named(study: Study) -> Iterator[Named]:
    """All files that a study names, without addresses on the network."""
    for key, value, facts in walk(study.config):
        if facts.get("file"):
            yield from (file for file in _leaves(key, value) if not re.match(r"(https?|pypi|hub|source):", file.value))


def _leaves(key: tuple[Any, ...], value: Any) -> Iterator[Named]:
    if isinstance(value, str):
        yield Named(key, value)
    else:
        for at, entry in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves((*key, at), entry)


def find(study: Study) -> dict[str, Any]:
    """The study file's mapping with full paths to the workflow's own files, the user's files in place of the sources
    that they replace, and without missing optional sources."""
    config: dict[str, Any] = study.config.model_dump(exclude_unset=True)
    for name, source in study.config.sources.items():
        if source.instead and Path(source.instead).exists():
            kept = {key: value for key, value in config["sources"][name].items() if key not in OF_ADDRESS}
            config["sources"][name] = {**kept, "uri": f"file:{source.instead}"}
    for file in named(study):
        own = HOME / file.path
        if not file.path.exists() and own.exists():
            holder: Any = config
            for key in file.key[:-1]:
                holder = holder[key]
            holder[file.key[-1]] = f"file:{own}" if file.fetched else str(own)
    _leave_out(study, config)
    return config


def _leave_out(study: Study, config: dict[str, Any]) -> None:
    """Remove missing optional sources from their pools, and name them in the mixtures' labels."""
    places = {name: Path(config["sources"][name]["uri"].removeprefix("file:")) for name in config.get("sources", {})}
    gone = {name for name, source in study.config.sources.items() if source.optional and not places[name].exists()}
    taken: set[str] = set()
    for name, pool in study.config.pools.items():
        without = [source for source in pool.sources if source in gone]
        if not without or len(without) == len(pool.sources):
            continue
        taken |= set(without)
        config["pools"][name]["sources"] = [source for source in pool.sources if source not in gone]
        for mixture, entry in study.config.mixtures.items():
            if entry.pool == name:
                label = f"{study.mixture_label(mixture)} without {', '.join(without)}"
                config["mixtures"][mixture]["label"] = label
    used = {source for pool in config.get("pools", {}).values() for source in pool["sources"]}
    for name in taken - used:
        del config["sources"][name]


def missing(study: Study) -> list[Named]:
    """The files that are in neither place."""
    return [file for file in named(study) if not file.path.exists()]


def check(study: Study) -> None:
    """Check the files that are direct inputs of jobs.

    Raises:
        UserError: one is missing.
    """
    for file in missing(study):
        if not file.fetched:
            raise UserError(file.absent)


def as_input(*paths: str) -> list[str]:
    """Files that a user named, for `input:`; they are on this machine, wherever results are stored.

    A file with braces in its path is left out, because Snakemake would read them as wildcards, and so is one of the
    workflow's own, whose path is another after a move: `stamp` tells of a change of either.
    """
    from snakemake.io import local

    return [local(path) for path in paths if "{" not in path and "}" not in path and not _own(path)]


def address(uri: str) -> str:
    """An address for `params:`, the same wherever the workflow is."""
    path = uri.removeprefix("file:")
    return f"workflow's {os.path.relpath(path, HOME)}" if _own(path) else uri


def as_written(study_json: str) -> str:
    """A study as JSON with the workflow's own files as a study file names them, the same wherever the workflow is."""
    home = json.dumps(f"{HOME}/", ensure_ascii=False)[1:-1]
    return re.sub(f'"(file:)?{re.escape(home)}', lambda found: f'"{found[1] or ""}', study_json)


def _own(path: str) -> bool:
    return Path(path).is_absolute() and Path(path).is_relative_to(HOME)


WHOLE = 16 << 20  # bytes of a file that is read from end to end
PIECES, PIECE = 64, 1 << 16  # of a larger one


def stamp(*paths: str | Path) -> str:
    """A digest of what files and folders hold, for `params:`; empty without any that exists.

    Snakemake looks at a folder's own time, not at its files', and at contents only if a file is newer. Of a file above
    16 MB the size and 64 pieces count, because every start of Snakemake asks. Names that begin with a dot don't.
    """
    found = hashlib.sha256()
    files = [file for path in paths if path for file in sorted(_files(Path(path)))]
    for name, path in files:
        status = path.stat()
        found.update(f"{name}\0{_contents(str(path), status.st_size, status.st_mtime_ns)}\0".encode(errors="replace"))
    return found.hexdigest()[:16] if files else ""


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    """A file, or all in a folder, with their names in it."""
    if path.is_file():
        yield "", path
    for folder, folders, names in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for file in (Path(folder) / name for name in names if not name.startswith(".")):
            if file.is_file():
                yield str(file.relative_to(path)), file


@lru_cache(maxsize=100_000)
def _contents(path: str, size: int, time_ns: int) -> str:
    with open(path, "rb") as stream:
        if size <= WHOLE:
            return hashlib.file_digest(stream, "sha256").hexdigest()
        found = hashlib.sha256(str(size).encode())
        for number in range(PIECES):
            stream.seek(number * (size - PIECE) // (PIECES - 1))
            found.update(stream.read(PIECE))
    return found.hexdigest()
