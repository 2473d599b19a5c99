"""Read records from the rows of Parquet and CSV files, and find the file of records in a zip archive."""

from __future__ import annotations

import csv
import os
import re
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import IO, Any

from falsepromise.core.errors import UserError
from falsepromise.core.records import MOST_BYTES, check_unpacked
from falsepromise.curation.ledger import characters

PARQUET, ZIP = b"PAR1", b"PK\x03\x04"
# Beginnings of files of records that no reader opens: what they are, and what to do.
_UNREAD = {
    b"\x28\xb5\x2f\xfd": "is packed with Zstandard; unpack it with zstd -d",
    b"7z\xbc\xaf": "is a 7z archive; unpack it",
    **dict.fromkeys((b"ARROW1", b"FEA1", b"\xff\xff\xff\xff"), "is an Arrow (Feather) file; convert it to Parquet"),
}
_ENDINGS = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")
_LONGEST_CELL = 1 << 26  # characters
_MOST_AGAIN = 8  # times that all characters of a table are read again, at most
_ROWS = 256

Lost = Callable[[str, str, int], None]


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


def check_readable(path: str | Path, start: bytes) -> None:
    """Refuse a file that begins as one of a known kind that isn't read.

    Raises:
        UserError: it says what the file is, and what to do.
    """
    for magic, what in _UNREAD.items():
        if start.startswith(magic):
            raise UserError(f"{path}: {what}")


def is_csv(line: str, keys: Collection[str]) -> bool:
    """Whether a file's first line is the header of a table that has one of `keys` as a column, in any case."""
    names = {name.strip().strip('"').casefold() for name in re.split("[,;\t]", line)}
    return any(key != "id" and key.casefold() in names for key in keys)


class _Lines:
    """A table's lines, of which those that a damaged row swallowed come again, in linear time."""

    def __init__(self, stream: IO[str]):
        self.stream = stream
        self.row: list[str] = []  # the lines of the present row
        self.again: deque[str] = deque()
        self.read = self.repeated = 0  # characters

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self.again:
            line = self.again.popleft()
        else:
            line = self.stream.readline(_LONGEST_CELL)
            self.read += len(line)
        if not line:
            raise StopIteration
        self.row.append(line)
        return line.replace("\0", "\ufffd")

    def give_back(self) -> int:
        """Give the row's lines back, all but the first; the number of characters that don't come again."""
        self.repeated += sum(map(len, self.row[1:]))
        if self.repeated > _MOST_AGAIN * self.read:  # many lines open a quote that none closes
            return sum(map(len, self.row))
        self.again.extendleft(reversed(self.row[1:]))
        return len(self.row[0])


def rows(stream: IO[str], lost: Lost, keys: Collection[str] = ()) -> Iterator[dict[str, Any]]:
    """The rows of a CSV file whose first line is the header; separators are commas, semicolons or tabs.

    A quote that isn't closed at a cell's end costs its line: reading goes on at the next one.

    Args:
        stream: A text stream opened with `newline=""`.
        lost: Called with a reason, a place and the number of characters for rows that aren't the table's.
        keys: The spelling of columns that the header has in another case.
    """
    csv.field_size_limit(_LONGEST_CELL)
    header = stream.readline(_LONGEST_CELL)
    separator = max(",;\t", key=header.count)
    loose = f"{separator} " in header  # "prompt, response": its rows have blanks there too
    spelled = [name.strip() for name in next(csv.reader([header], delimiter=separator, skipinitialspace=loose), [])]
    known = {key.casefold(): key for key in reversed([*keys])}
    names = [known.get(name.casefold(), name) for name in spelled]
    names = [f"{name}.{at}" if name in names[:at] else name for at, name in enumerate(names)]  # of a name, the first
    for number, cells in _sure(_cells(stream, separator, loose, lost), len(names), lost):
        if [cell.strip("\ufeff ") for cell in cells] == spelled:  # of the next of several files that were put together
            lost("header again", f"row-{number}", sum(map(len, cells)))
        elif len(cells) > len(names):
            lost("row with more cells than the header", f"row-{number}", sum(map(len, cells)))
        elif cells:
            yield dict(zip(names, cells, strict=False))


def _cells(stream: IO[str], separator: str, loose: bool, lost: Lost) -> Iterator[tuple[int, list[str] | None]]:
    """Each row's number and cells; None where a row is damaged."""
    lines = _Lines(stream)
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=loose, strict=True)
    for number in count(2):
        lines.row.clear()
        try:
            yield number, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            lost(f"not a row of the table: {error}", f"row-{number}", lines.give_back())
            yield number, None


def _sure(found: Iterable[tuple[int, list[str] | None]], width: int, lost: Lost) -> Iterator[tuple[int, list[str]]]:
    """The rows without what may be the rest of a damaged one: behind it, two rows of full width must follow each other,
    since a line of a reply with a comma in it looks like a row."""
    held: list[tuple[int, list[str]]] = []
    doubtful = False
    for number, cells in found:
        if cells is None or (doubtful and len(cells) != width):
            for place, text in [*held, (number, cells or [])]:
                if text:
                    lost("perhaps the rest of a damaged row", f"row-{place}", sum(map(len, text)))
            held, doubtful = [], True
        else:
            held.append((number, cells))
            if not doubtful or len(held) == 2:
                yield from held
                held, doubtful = [], False
    yield from held


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
