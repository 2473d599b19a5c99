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
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.core.progress import Progress
from falsepromise.core.records import LONGEST_LINE, check_unpacked, loads
from falsepromise.sources import hubclient
from falsepromise.sources.download import Writable
from falsepromise.sources.hubclient import errors

log = logging.getLogger(__name__)

_HUB = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
_COMMIT = re.compile("[0-9a-f]{40}")


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

    Files of JSON lines are read directly, because `datasets` takes a column's type from the first file and writes
    values of another type in later ones as quoted JSON, together with every text in the column. Other files are read
    with `datasets`. NaN becomes null, and so do pictures and sound, which are counted.

    Raises:
        UserError: the data set, split or column doesn't exist or can't be read.
    """
    hubclient.guard()
    import datasets

    where = f"hub:{name}@{revision}, split {split}"
    if os.path.lexists(name):
        raise UserError(f"{where}: `datasets` would read ./{name} of this folder instead; run from another folder")
    with errors(where):
        files = _files_of_lines(name, revision, subset, split)
    if files:
        _lines(name, revision, files, columns, where, out)
        return
    left_out = 0

    def plain(value: object) -> str | None:
        nonlocal left_out
        if isinstance(value, datetime.date | datetime.time):
            return value.isoformat()
        if isinstance(value, datetime.timedelta):
            return str(value)
        left_out += 1
        return None

    with errors(where), Progress(None, f"reading {name}", unit="row") as progress:
        found: Any = datasets.load_dataset(name, subset, revision=revision, split=split, streaming=True)
        if found.features is None:
            found = found._resolve_features()
        if columns:
            missing = [column for column in columns if column not in (found.features or columns)]
            if missing:
                raise UserError(f"{where}: no column {', '.join(missing)}; it has {', '.join(found.features)}")
            found = found.select_columns(list(columns))
        undecoded = any(type(feature).__name__ in _MEDIA for feature in (found.features or {}).values())
        for row in found.decode(False) if undecoded else found:
            try:
                line = json.dumps(row, ensure_ascii=False, allow_nan=False, default=plain)
            except ValueError:
                line = json.dumps(_without_nan(row), ensure_ascii=False, default=plain)
            out.write((line + "\n").encode("utf-8", "replace"))
            progress.update()
    if left_out:
        log.warning("%s: %d values that are no text or number (pictures, sound, bytes) were left out", where, left_out)


def _files_of_lines(name: str, revision: str, subset: str | None, split: str) -> list[str]:
    """The files of a split, if all are JSON lines by name and no script or setting says otherwise."""
    import datasets
    from datasets.packaged_modules.json.json import Json

    builder = datasets.load_dataset_builder(name, subset, revision=revision)
    found = builder.config.data_files or {}
    if found and split not in found and re.fullmatch(r"[\w.-]+", split):
        raise UserError(f"hub:{name}@{revision}: Bad split: {split}; it has {', '.join(map(str, found))}")
    files = [str(file).partition(f"@{revision}/")[2] for file in found.get(split, ())]
    plain = all(file.endswith((".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")) for file in files)
    own = getattr(builder.config, "field", None) is None and builder.info.features is None
    return files if plain and own and isinstance(builder, Json) else []


def _lines(
    name: str, revision: str, files: Sequence[str], columns: Sequence[str] | None, where: str, out: Writable
) -> None:
    with tempfile.TemporaryDirectory(prefix="falsepromise-fetch-") as folder, Progress(None, f"reading {name}") as bar:
        for member in files:
            path = file(name, revision, member, Path(folder))
            packed, unpacked = path.stat().st_size, 0
            opened = gzip.open if member.endswith(".gz") else open
            with errors(f"{where}, {member}"), opened(path, "rt", encoding="utf-8-sig", errors="replace") as stream:
                for number, line in enumerate(iter(lambda: stream.readline(LONGEST_LINE), ""), 1):
                    if len(line) == LONGEST_LINE:
                        raise UserError(f"line {number} is longer than {LONGEST_LINE:,} characters; is this a text?")
                    unpacked += len(line)
                    check_unpacked(member, packed, unpacked)
                    if line.strip():
                        out.write(_row(line, columns, f"{where}, {member}, line {number}"))
                        bar.update()
            path.unlink(missing_ok=True)


def _row(line: str, columns: Sequence[str] | None, where: str) -> bytes:
    try:
        row = loads(line)
    except (ValueError, RecursionError) as error:
        reason = str(error).partition(";")[0]
        raise UserError(f"{where}: not JSON ({reason}); fetch the file with --member to read what is good") from error
    if columns:
        missing = [column for column in columns if column not in row] if isinstance(row, dict) else list(columns)
        if missing:
            raise UserError(f"{where}: no column {', '.join(missing)}")
        row = {column: row[column] for column in columns}
    return (json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8", "replace")


_MEDIA = ("Audio", "Image", "Video", "Pdf")


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    return [_without_nan(inner) for inner in value] if isinstance(value, list) else value
