"""Read records from the rows of Parquet and CSV files, and find the file of records in a zip archive."""

from __future__ import annotations

import csv
import os
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import IO, Any

from falsepromise.core.errors import UserError
from falsepromise.core.records import MOST_BYTES, check_unpacked
from falsepromise.curation.ledger import characters

PARQUET, ZIP = b"PAR1", b"PK\x03\x04"
_ENDINGS = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")
_LONGEST_CELL = 1 << 26  # characters
_ROWS = 256


def parquet(path: str | Path) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet file, a few at a time.

    Raises:
        UserError: it is damaged, or stands for far more text than it has: each row can point to the same one.
    """
    import pyarrow
    import pyarrow.parquet

    unpacked = 0
    try:
        packed = os.path.getsize(path)
        with pyarrow.parquet.ParquetFile(path) as file:
            # Of a row group's bytes all may be one text, to which each row points.
            groups = (file.metadata.row_group(n).total_byte_size for n in range(file.metadata.num_row_groups))
            rows = max(1, min(_ROWS, MOST_BYTES // max((*groups, 1))))
            for batch in file.iter_batches(batch_size=rows):
                found = batch.to_pylist()
                unpacked += characters(found)
                check_unpacked(path, packed, unpacked)
                yield from found
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError, KeyError) as error:  # the last: a time zone
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path}: not a readable Parquet file: {reason}; fetch it again") from error


def is_csv(line: str, keys: Collection[str]) -> bool:
    """Whether a file's first line is the header of a table that has one of `keys` as a column."""
    return any(key != "id" and key in _header(line) for key in keys)


def _header(line: str) -> list[str]:
    return [name.strip().strip('"') for name in line.replace(";", ",").replace("\t", ",").split(",")]


def rows(stream: IO[str], lost: Callable[[str, str, int], None]) -> Iterator[dict[str, Any]]:
    """The rows of a CSV file whose first line is the header; separators are commas, semicolons or tabs.

    Args:
        stream: A text stream opened with `newline=""`.
        lost: Called with a reason, a place and the number of characters for rows with more cells than the header.
    """
    csv.field_size_limit(_LONGEST_CELL)
    header = stream.readline(_LONGEST_CELL)
    separator = max(",;\t", key=header.count)
    names = next(csv.reader([header], delimiter=separator), [])
    lines = iter(lambda: stream.readline(_LONGEST_CELL), "")
    reader = csv.reader((line.replace("\0", "\ufffd") for line in lines), delimiter=separator)
    number = 1
    while True:
        number += 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            lost(f"not a row of the table: {error}", f"row-{number}", 0)
            continue
        if cells is None:
            return
        if len(cells) > len(names):
            lost("row with more cells than the header", f"row-{number}", sum(map(len, cells)))
        elif cells:
            yield dict(zip(names, cells, strict=False))


def unpacked(path: str | Path, folder: str) -> Path:
    """The one file of records in a zip archive (`conversations.json`, or the only one), unpacked into a folder.

    Raises:
        UserError: the archive is damaged or locked, or has no such file, or several.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith(_ENDINGS) and "__MACOSX" not in name]
            chosen = [name for name in names if name.rpartition("/")[2] == "conversations.json"] or names
            if len(chosen) != 1:
                found = f"several files of records ({', '.join(chosen[:4])})" if chosen else "no file of records"
                raise UserError(f"{path}: the archive has {found}; name one with the source's key 'member'")
            about = archive.getinfo(chosen[0])
            check_unpacked(path, about.compress_size, about.file_size)
            made = Path(archive.extract(about, folder))
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, zlib.error, EOFError) as error:
        raise UserError(f"{path}: not a readable zip archive ({error}); fetch it again, or unpack it") from error
    with open(made, "rb") as stream:
        if stream.read(4) == ZIP:
            raise UserError(f"{path}: {chosen[0]} in the archive is itself an archive; unpack it")
    return made
