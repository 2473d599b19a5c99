"""Read benchmark files in common forms: JSON lines, a JSON list (bare or as "data" of an object), CSV or TSV with a
header, Parquet; gzipped or not.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.core.records import MOST_BYTES, Record, loads
from falsepromise.curation.tables import parquet

csv.field_size_limit(1 << 27)  # an article is longer than the module's 128 KiB
Found = tuple[str, Record | str]


def records(path: Path) -> Iterator[Found]:
    """Each record's place ("line 3"), and the record, or what is wrong with it.

    Raises:
        UserError: the file can't be read at all, or is empty.
    """
    if path.is_dir():
        raise UserError(f"{path}: is a folder; expected a file")
    if path.suffix == ".parquet":
        yield from ((f"row {number}", row) for number, row in enumerate(parquet(path), 1))
        return
    text = read_text(path)
    if not text.strip():
        raise UserError(f"{path}: the file is empty; expected records, one JSON object a line")
    name = path.name.removesuffix(".gz")
    if name.endswith((".csv", ".tsv")):
        yield from _csv(path, text)
    elif text.lstrip().startswith("["):
        yield from _json_list(path, text)
    elif (inner := _inner_list(text)) is not None:
        yield from _objects(inner)
    else:
        yield from _json_lines(text)


def read_text(path: Path) -> str:
    """A file's text, gzipped or not, without a byte order mark.

    Raises:
        UserError: the file is missing, damaged or not UTF-8.
    """
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
                content = stream.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise UserError(f"{path}: more than {MOST_BYTES >> 20} MiB of text; is this the right file?")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text at byte {error.start}; is this the right file?") from error
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: can't be read: {why}") from error


def _json_lines(text: str) -> Iterator[Found]:
    # Only "\n" ends a line: JSON text may hold the other separators that str.splitlines knows.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield f"line {number}", _object(line)


def _object(line: str) -> Record | str:
    try:
        value = loads(line)
    except ValueError as error:
        return f"not JSON ({str(error).replace('line 1, ', '')})"
    return value if isinstance(value, dict) else f"found {type(value).__name__}, expected a JSON object"


def _json_list(path: Path, text: str) -> Iterator[Found]:
    try:
        values = loads(text)
    except ValueError as error:
        raise UserError(f"{path}: neither JSON lines nor a whole JSON list ({error})") from error
    yield from _objects(values)


def _objects(values: list[Any]) -> Iterator[Found]:
    for number, value in enumerate(values, 1):
        good = isinstance(value, dict)
        yield f"record {number}", value if good else f"found {type(value).__name__}, expected a JSON object"


def _inner_list(text: str) -> list[Any] | None:
    """The records of a file that is one JSON object around them, as {"version": ..., "data": [...]}."""
    opening = re.match(r'\s*\{[^\[{]*"(data|examples|instances|questions)"\s*:\s*\[\s*\{', text)
    if opening is None:
        return None
    try:
        found = loads(text)[opening[1]]
    except (ValueError, KeyError):
        return None
    return found if isinstance(found, list) else None


def _csv(path: Path, text: str) -> Iterator[Found]:
    first = text.lstrip().partition("\n")[0].rstrip()
    delimiter = "\t" if "\t" in first else ","
    # DPR's files are question, tab, list of answers, without a header.
    names = ["question", "answer"] if re.fullmatch(r"""[^\t]+\t"?\[['"].*\]"?""", first) else None
    rows = csv.DictReader(io.StringIO(text.lstrip(), newline=""), names, delimiter=delimiter)
    try:
        for number, row in enumerate(rows, 1 if names else 2):
            cells = {key: value for key, value in row.items() if isinstance(key, str) and value is not None}
            yield f"row {number}", cells
    except csv.Error as error:
        raise UserError(f"{path}: not a CSV file: {error}") from error


class Unusable(ValueError):
    """What is wrong with a record, in words."""


def text(record: Record, *names: str) -> str:
    """The text of a field that may have one of several names.

    Raises:
        Unusable: there is none, or no text in it.
    """
    name = next((name for name in names if record.get(name) is not None), names[0])
    if not isinstance(record.get(name), str) or not record[name].strip():
        has = f"; the record has {', '.join(map(repr, list(record)[:8]))}" if name not in record else ""
        raise Unusable(f"'{name}' is {shown(record, name)}, expected text{has}")
    return record[name]


def shown(record: Record, name: str) -> str:
    """A field's value for a message."""
    return "nothing" if record.get(name) is None else repr(record[name])[:60]
