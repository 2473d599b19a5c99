"""Read data sets of the Hugging Face hub: a revision's commit, single files, and rows as JSON lines."""

from __future__ import annotations

import datetime
import gzip
import json
import logging
import math
import os
import re
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any

from falsepromise.core.errors import UserError
from falsepromise.core.progress import Progress
from falsepromise.core.records import LONGEST_LINE, check_unpacked
from falsepromise.sources import hubclient
from falsepromise.sources.download import Writable
from falsepromise.sources.hubclient import errors

log = logging.getLogger(__name__)

_HUB = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
_COMMIT = re.compile("[0-9a-f]{40}")
_BETWEEN = re.compile(r"[\s,\]]*")  # the objects of a list or of lines, and behind the last
_CHUNK = 1 << 20  # characters


def commit(name: str, kind: str = "dataset") -> tuple[str, str]:
    """The name of a data set or model, and the commit of its revision (the newest, if none is named)."""
    match = _HUB.fullmatch(name)
    if not match:
        raise UserError(f"hub:{name}: expected ORG/NAME@REVISION; pin the revision, or the data may change")
    with errors(f"hub:{name}"):
        import huggingface_hub

        found = huggingface_hub.HfApi().repo_info(match["name"], revision=match["revision"], repo_type=kind).sha
        if not isinstance(found, str) or not _COMMIT.fullmatch(found):
            raise UserError(f"the server gives {str(found)[:60]!r} as its commit; is it a hub?")
        if _COMMIT.fullmatch(match["revision"] or "") and found != match["revision"]:
            raise UserError(f"the server gives another commit, {found}")
    if found != match["revision"]:
        log.warning("hub:%s is commit %s now; pin this commit, because a branch or tag may move", name, found)
    return match["name"], found


def file(name: str, revision: str, member: str, folder: Path) -> Path:
    """One file of a data set's repository, downloaded into a folder."""
    with errors(f"hub:{name}@{revision}, file {member}"):
        (path,) = hubclient.download(name, "dataset", revision, folder, member)
    return path


def folder(name: str, revision: str, member: str | None, output: Path) -> None:
    """Download a folder of a data set's repository (all of it without `member`), its files unchanged."""
    where = f"hub:{name}@{revision}, folder {member or '/'}"
    inside = PurePosixPath(member or ".")
    if inside.is_absolute() or ".." in inside.parts:  # its files are moved, so they must be inside the download
        raise UserError(f"{where}: expected a folder of the repository, without '..'")
    # In the unfinished output, which the next run deletes if this one is killed.
    with errors(where), tempfile.TemporaryDirectory(dir=output, prefix=".hub-") as whole:
        hubclient.download(name, "dataset", revision, Path(whole), below=str(inside) if member else None)
        found = Path(whole, inside)
        if not found.is_dir():
            raise UserError(f"{where}: the repository has no such folder")
        for path in found.iterdir():
            if path != Path(whole, ".cache"):
                path.rename(output / path.name)


def rows(
    name: str, revision: str, subset: str | None, split: str, columns: Sequence[str] | None, out: Writable
) -> None:
    """The rows of a split as JSON lines.

    JSON files are read directly, because `datasets` gives a column one type: if a value has another, it writes every
    text of the column as quoted JSON; it makes times of dates; and it ends where a later file has other types. Other
    files are read with `datasets`, Parquet one by one, as a later one may have other columns and types. NaN and an
    empty cell of a CSV file become null, and so do pictures and sound, which are counted.

    Raises:
        UserError: the data set, split or column doesn't exist or can't be read.
    """
    hubclient.guard()
    import datasets
    from datasets.packaged_modules.json.json import Json

    where = f"hub:{name}@{revision}, split {split}"
    if os.path.lexists(name):
        raise UserError(f"{where}: `datasets` would read ./{name} of this folder instead; run from another folder")
    with errors(where):
        builder = datasets.load_dataset_builder(name, subset, revision=revision)
        files, reading = _files(builder, name, revision, split), _as_written(builder)
    if files and isinstance(builder, Json):
        _json_rows(name, revision, files, columns, where, out)
        return
    address = f"hf://datasets/{name}@{revision}/"
    parts: list[Any] = [(f"{where}, {file}", "parquet", {"data_files": {split: address + file}}) for file in files]
    parts = parts or [(where, name, {"name": subset, "revision": revision, **reading})]
    left_out = 0

    def plain(value: object) -> str | None:
        nonlocal left_out
        if isinstance(value, datetime.date | datetime.time):
            return value.isoformat()
        if isinstance(value, datetime.timedelta):
            return str(value)
        left_out += 1
        return None

    picked = _Columns(columns, where)
    with Progress(None, f"reading {name}", unit="row") as progress:
        for what, path, options in parts:
            with errors(what):
                found: Any = datasets.load_dataset(path, split=split, streaming=True, **options)
                if columns and found.features and len(parts) == 1:
                    picked.check(found.features)
                    found = found.select_columns(list(columns))
                undecoded = any(type(feature).__name__ in _MEDIA for feature in (found.features or {}).values())
                for row in map(picked.of, found.decode(False) if undecoded else found):
                    try:
                        line = json.dumps(row, ensure_ascii=False, allow_nan=False, default=plain)
                    except ValueError:
                        line = json.dumps(_without_nan(row), ensure_ascii=False, default=plain)
                    out.write((line + "\n").encode("utf-8", "replace"))
                    progress.update()
    picked.check()
    if left_out:
        log.warning("%s: %d values that are no text or number (pictures, sound, bytes) were left out", where, left_out)


def _as_written(builder: Any) -> dict[str, Any]:
    """Options by which a CSV file's `None`, `NA` and `null` stay text, as replies and choices, unless its card says
    what stands for nothing."""
    from datasets.packaged_modules.csv.csv import Csv

    own = isinstance(builder, Csv) and (builder.config.na_values is not None or not builder.config.keep_default_na)
    return {"keep_default_na": False, "na_values": [""]} if isinstance(builder, Csv) and not own else {}


class _Columns:
    """The columns of rows that are asked for; a row may lack one, not all rows."""

    def __init__(self, asked: Sequence[str] | None, where: str):
        self._asked, self._where = asked or (), where
        self._seen: set[str] = set()

    def of(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        self._seen.update(row)
        return {column: row.get(column) for column in self._asked} if self._asked else row

    def check(self, known: Collection[str] = ()) -> None:
        has = self._seen | {*known}
        if missing := [column for column in self._asked if column not in has]:
            raise UserError(f"{self._where}: no column {', '.join(missing)}; it has {', '.join(sorted(has))}")


def _files(builder: Any, name: str, revision: str, split: str) -> list[str]:
    """The files of a split to be read one by one: all JSON by name, or Parquet, without settings of its own."""
    from datasets.packaged_modules.json.json import Json
    from datasets.packaged_modules.parquet.parquet import Parquet, ParquetConfig

    found = builder.config.data_files or {}
    if found and split not in found and re.fullmatch(r"[\w.-]+", split):
        raise UserError(f"hub:{name}@{revision}: Bad split: {split}; it has {', '.join(map(str, found))}")
    files = [str(file).partition(f"@{revision}/")[2] for file in found.get(split, ())]
    config, plain = builder.config, False
    if isinstance(builder, Json):
        named = all(file.removesuffix(".gz").endswith((".json", ".jsonl", ".ndjson")) for file in files)
        plain = named and getattr(config, "field", None) is None
    elif isinstance(builder, Parquet):
        same = all(getattr(config, key) == getattr(ParquetConfig, key) for key in ("columns", "filters"))
        plain = same and not any(set(file) & set("*?[") for file in files)  # an address may be a pattern
    return files if plain and builder.info.features is None else []


def _json_rows(
    name: str, revision: str, files: Sequence[str], columns: Sequence[str] | None, where: str, out: Writable
) -> None:
    picked = _Columns(columns, where)
    with tempfile.TemporaryDirectory(prefix="falsepromise-fetch-") as folder, Progress(None, f"reading {name}") as bar:
        for member in files:
            path = file(name, revision, member, Path(folder))
            opened = gzip.open if member.endswith(".gz") else open
            with errors(f"{where}, {member}"), opened(path, "rt", encoding="utf-8-sig", errors="replace") as stream:
                for row in _objects(stream, member, path.stat().st_size):
                    out.write((json.dumps(picked.of(row), ensure_ascii=False) + "\n").encode("utf-8", "replace"))
                    bar.update()
            path.unlink(missing_ok=True)
    picked.check()


def _objects(stream: IO[str], member: str, packed: int) -> Iterator[dict[str, Any]]:
    """The objects of a JSON list, or of JSON lines, of a file of `packed` bytes."""
    decoder = json.JSONDecoder(parse_constant=lambda name: None)
    text, at, number, unpacked = "", 0, 1, 0
    open_list = False
    while True:
        between = _BETWEEN.match(text, at)
        assert between  # it matches an empty text too
        at, open_list = between.end(), open_list and "]" not in between[0]
        try:
            row, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            more = stream.read(max(_CHUNK, len(text) - at)) if len(text) - at < LONGEST_LINE else ""
            unpacked += len(more)
            check_unpacked(member, packed, unpacked)
            if more:
                text, at = text[at:] + more, 0
                if unpacked == len(more) and text.lstrip().startswith("["):
                    text, open_list = text.lstrip()[1:], True
                continue
            if at == len(text) and not open_list:
                return
            why = str(error).partition(":")[0]
            raise UserError(
                f"record {number} is not JSON ({why}); fetch the file with --member to read what is good"
            ) from error
        if not isinstance(row, dict):
            raise UserError(f"record {number} is no JSON object, but {row!r:.40}")
        yield row
        number += 1


_MEDIA = ("Audio", "Image", "Video", "Pdf")


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    return [_without_nan(inner) for inner in value] if isinstance(value, list) else value
