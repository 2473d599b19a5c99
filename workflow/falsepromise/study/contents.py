"""Read the files that a study names as its jobs will, before the first job starts.

Each kind of file has the reader of the job that takes it, found by name: this package imports no later stage. Dialogues
have damaged records, which their reader counts; of them, and of files above `LARGEST`, only the beginning is read.
"""

from __future__ import annotations

import importlib
import logging
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.core.records import check_file, read_json, read_jsonl, read_prose
from falsepromise.study.study import Study

LARGEST = 1 << 26  # bytes of a file that is read whole, about a second


def damaged(study: Study) -> Iterator[str]:
    """One line for each file that is there and is not what its job expects.

    Args:
        study: With the files' full paths (`files.find`).
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # readers also name records that they leave out
    try:
        for where, path, read in _readings(study):
            if not path.exists():
                continue  # `files.missing`
            try:
                _size(path)
                beginning = getattr(read, "func", None) in (_beginning, _dialogues)
                if beginning or path.is_dir() or path.stat().st_size <= LARGEST:
                    read(path)
            except UserError as error:
                yield f"'{where}': {error}"
            except OSError as error:
                yield f"'{where}': {path}: can't be read: {error.strerror}"
    finally:
        logging.disable(before)


def _readings(study: Study) -> Iterator[tuple[str, Path, Callable[[Path], object]]]:
    """Each file with its place in the study and its reader."""
    config = study.config
    for name, mixture in config.mixtures.items():
        if mixture.seeds:
            yield f"mixtures.{name}.seeds", Path(mixture.seeds), _reader("teacher.nq_synthetic:read_seeds")
        if mixture.query_prompt:
            yield f"mixtures.{name}.query_prompt", Path(mixture.query_prompt), _prompt
    for name, pool in config.pools.items():
        if pool.categories:
            yield f"pools.{name}.categories", Path(pool.categories), _reader("curation.annotate:read_sheet")
    for name, base in config.bases.items():
        if (base.weights or "").startswith("file:"):
            yield f"bases.{name}.weights", Path(str(base.weights).removeprefix("file:")), _model
    for name, benchmark in config.benchmarks.items():
        if benchmark.scorer_file:
            scores = _reader("benchmarks.toxicity_scorers:Stored")
            yield f"benchmarks.{name}.scorer_file", Path(benchmark.scorer_file), scores
        if benchmark.extra_tests:
            yield f"benchmarks.{name}.extra_tests", Path(benchmark.extra_tests), _some_record
    for name, raters in config.raters.items():
        for model, votes in raters.votes.items():
            for path in votes:
                yield f"raters.{name}.votes.{model}", Path(path), _votes(model)
    if config.style and config.style.marks:
        yield "style.marks", Path(config.style.marks), _reader("figures.fig2:read_marks")
    yield from _sources(study)


def _sources(study: Study) -> Iterator[tuple[str, Path, Callable[[Path], object]]]:
    config = study.config
    for name, source in config.sources.items():
        if not source.uri.startswith("file:"):
            continue
        reads: list[Callable[[Path], object]] = [partial(_beginning, member=source.member)]
        if source.member is None:
            if source.format:
                reads = [partial(_dialogues, form=source.format)]
            if any(prompts.source == name for prompts in config.prompts.values()):
                reads.append(lambda path: _all(read_jsonl(path, _reader("curation.prompts:check"))))
            tasks = {benchmark.task for benchmark in config.benchmarks.values() if benchmark.data == name}
            reads += [partial(_reader("benchmarks.overlap:questions"), task) for task in sorted(tasks - {"lm_eval"})]
            if any(base.weights == f"source:{name}" for base in config.bases.values()):
                reads.append(_reader("models.gguf_head:read_head"))
        path = Path(source.uri.removeprefix("file:"))
        yield from ((f"sources.{name}.uri", path, read) for read in reads)


def _reader(name: str) -> Callable[..., Any]:
    """A function of the package, imported when it is called; what it yields is read to its end."""

    def read(*arguments: object) -> Any:
        module, _, function = name.partition(":")
        found = getattr(importlib.import_module(f"falsepromise.{module}"), function)(*arguments)
        return _all(found) if isinstance(found, Iterator) else found

    return read


def _all(found: Iterable[object]) -> None:
    for _ in found:
        pass


def _votes(model: str) -> Callable[[Path], object]:
    return lambda path: _reader("preference.votes:read_votes")([path], model)


def _size(path: Path) -> None:
    """Refuse what is no file or folder with something in it."""
    if path.is_dir():
        if not os.listdir(path):
            raise UserError(f"{path}: the folder is empty")
    else:
        check_file(path)
        if not path.stat().st_size:
            raise UserError(f"{path}: the file is empty")


def _beginning(path: Path, member: str | None) -> None:
    if path.is_file():
        with open(path, "rb") as stream:
            stream.read(1)
    if member is not None:
        try:
            with zipfile.ZipFile(path) as archive:
                archive.getinfo(member)
        except (zipfile.BadZipFile, KeyError, ValueError) as error:
            raise UserError(f"{path}: no zip archive with {member!r} in it ({error})") from error


def _dialogues(path: Path, form: str) -> None:
    _reader("curation.describe:check_format")(form, path)


def _some_record(path: Path) -> None:
    found = list(importlib.import_module("falsepromise.benchmarks.files").records(path))
    if not any(isinstance(record, dict) for _, record in found):
        raise UserError(f"{path}, {': '.join(map(str, found[0]))}" if found else f"{path}: has no records")


def _prompt(path: Path) -> None:
    if not read_prose(path).strip():
        raise UserError(f"{path}: the prompt is empty")


def _model(folder: Path) -> None:
    """Refuse a folder without config, weights or tokenizer, or whose config or weights' heads can't be read."""
    from safetensors import SafetensorError, safe_open

    if not folder.is_dir():
        raise UserError(f"{folder}: is no folder; expected config.json, safetensors and a tokenizer in it")
    _reader("sources.weights:check")(folder, f"file:{folder}")
    hub = read_json(folder / "config.json", as_written=True)
    if not isinstance(hub, dict):
        raise UserError(f"{folder / 'config.json'}: found {type(hub).__name__}, expected a JSON object")
    _reader("models.hubconfig:read_config")(hub, str(folder / "config.json"))
    for file in sorted(folder.glob("*.safetensors")):
        check_file(file)
        try:
            with safe_open(file, framework="np"):
                pass
        except (SafetensorError, OSError) as error:
            raise UserError(f"{file}: no safetensors file: {error}; fetch it again") from error
