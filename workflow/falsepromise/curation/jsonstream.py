"""Read a file's JSON records one by one, also from large and damaged files.

A list of records, JSON lines, objects one after the other, lists of lists, and a list (or a mapping) of
records inside a larger object are read in the same way, in UTF-8, UTF-16 or UTF-32, plain or packed with gzip, bzip2
or xz; so are the rows of CSV and Parquet files, and the file of records in a zip archive. Memory use is a few
megabytes, whatever the file's size. A record that isn't JSON is skipped up to the next record; a file that ends in
mid-record gives all records before.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import json
import lzma
import re
import tempfile
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import IO, Any

from falsepromise.core.errors import UserError
from falsepromise.core.records import check_unpacked
from falsepromise.curation import tables
from falsepromise.curation.ledger import characters
from falsepromise.curation.tables import Lost

BESIDE = "text beside the records"
CUT_OFF = "cut off in mid-record by the end of the file"
NOT_JSON = "not JSON"
DAMAGED = "packed data damaged from here on"

_CHUNK = 1 << 20
_LONGEST = 1 << 26  # characters; a "record" longer than this is damage
_BETWEEN = re.compile(r"[\s,\ufeff]*")  # the last: where files that begin with a byte order mark were put together
_KEY = re.compile(r'[\s,]*"((?:[^"\\]|\\.)*)"\s*:\s*')
_AT_ONCE = 1 << 22  # characters of an object that are parsed at once, to tell a record from an object around records
_LONGEST_KEY = 4096
_MOST_DIGITS = 4000
_DEEPEST = 8  # objects around a record
_LOOKED_AT = 5  # values of a list that are searched for a record: the first few may be odd
_NEXT_OBJECT = re.compile(r'(?:[\]}]\s*,\s*|\n(?:[^\S\n]|\ufeff)*)(?:"[^"\\\n]{0,200}"\s*:\s*)?(?=\{)')
_BRACKETS = re.compile(r"(?:[^{\[]*[{\[]){0,400}")
_SHAPE = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{}]', re.DOTALL)
_FAR = 4096  # characters up to an error, from which on it is remembered what else ends there
_BEHIND = 1 << 13  # characters that may be kept although they were read, or a part of all if that is more
_SURROGATE = re.compile("[\ud800-\udfff]")
_PACKED: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
_DAMAGE = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)


def records(path: str | Path, keys: Collection[str], lost: Lost) -> Iterator[Any]:
    """The JSON values of a file.

    Args:
        path: A list of records, JSON lines, JSON objects one after the other, or objects with a list or a
            mapping of records in them (`{"guild": ..., "messages": [...]}`).
        keys: A record has at least one of these keys. After a damaged record, the next object with one of
            them counts as the next record (and not as nested in the damaged one).
        lost: Called with the reason, a place (`record-12`) and the number of characters for each stretch that
            isn't JSON; with `BESIDE` for the texts in the objects around the records.

    Yields:
        Values, mostly dicts. Bytes that aren't UTF-8 come as lone surrogates (see `repair_text`).

    Raises:
        UserError: the file can't be read, is empty, or doesn't begin as JSON does.
    """
    if Path(path).is_dir():
        raise UserError(f"{path}: is a folder, expected a file of JSON records")
    try:
        with open(path, "rb") as raw:
            start = raw.read(8)
        tables.check_readable(path, start)
        if start.startswith(tables.PARQUET):
            yield from tables.parquet(path)
            return
        if start.startswith(tables.ZIP):
            with tempfile.TemporaryDirectory(prefix="falsepromise-zip-") as folder:
                yield from records(tables.unpacked(path, folder), keys, lost)
            return
        opened = next((unpack for magic, unpack in _PACKED.items() if start.startswith(magic)), None)
        with open(path, "rb") as raw, opened(raw, "rb") if opened else raw as stream:
            text = _Text(stream, raw)
            if text.skip_between() in ("[", "{") or not tables.is_csv(text.text.partition("\n")[0], keys):
                yield from _values(text, path, keys, lost)
                return
        with (opened or open)(path, "rt", encoding=text.encoding, errors=text.errors, newline="") as stream:
            yield from tables.rows(stream, lost, keys)
    except _DAMAGE as error:
        raise UserError(f"{path}: the packed data are damaged ({error}); fetch the file again") from error
    except OSError as error:
        raise UserError(f"{path}: can't be read: {error.strerror or error}") from error


def repair_text(text: str) -> tuple[str, bool]:
    """Text that can be stored as UTF-8: lone surrogates become U+FFFD; and whether there were any."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return _SURROGATE.sub("\ufffd", text), True
    return text, False


class _Text:
    """The file's text from the current record on; grows on demand.

    Attributes:
        text: The text read so far, from the current record on.
        at: The place in it.
        ended: Whether the file has ended.
        damaged: Whether it ended because the packed data are damaged.
        encoding, errors: How its bytes are read.
        doomed: Places in the file of values around an error: each would be read up to that error.
        doomed_by_end: Whether that error is the end of the text.
    """

    def __init__(self, stream: Any, raw: IO[bytes]):
        self.stream, self.raw = stream, raw
        self.unpacked = 0
        self.text = ""
        self.at = 0
        self.passed = 0  # characters of the file before `text`
        self.ended = self.damaged = False
        self.doomed: set[int] = set()
        self.doomed_by_end = False
        start = self._read(_CHUNK)
        self.encoding = json.detect_encoding(start)
        self.errors = "surrogateescape" if self.encoding.startswith("utf-8") else "replace"
        self.decode = codecs.getincrementaldecoder(self.encoding)(self.errors).decode
        self.text = self.decode(start, not start)
        while not self.text and self.more():  # a chunk may end in the middle of a character
            pass

    def _read(self, size: int) -> bytes:
        """Read `size` bytes, or up to the end of the file or to the damage in packed data."""
        pieces, missing = [], size
        try:
            while missing and (piece := self.stream.read1(missing)):
                pieces.append(piece)
                missing -= len(piece)
        except _DAMAGE:
            self.damaged = True
        self.unpacked += size - missing
        if self.raw is not self.stream:
            check_unpacked(self.raw.name, self.raw.tell(), self.unpacked)
        return b"".join(pieces)

    def decode_at(self, decoder: json.JSONDecoder, at: int) -> tuple[Any, int]:
        """The value at a place and the place behind it, in a time that all values of the file share: what is inside a
        damaged value is not read up to the damage again.

        Raises:
            json.JSONDecodeError, RecursionError: it can't be read.
        """
        if self.passed + at in self.doomed:
            raise json.JSONDecodeError("inside a damaged value", "", 0)
        try:
            return decoder.raw_decode(self.text, at)
        except json.JSONDecodeError as error:
            if error.pos - at > _FAR and not (_unfinished(self, error) and self.goes_on()):
                around: list[int] = []
                for found in _SHAPE.finditer(self.text, at, error.pos):
                    if found[0] in "[{":
                        around.append(found.start())
                    elif found[0] in "]}" and around:
                        around.pop()
                self.doomed, self.doomed_by_end = {self.passed + place for place in around}, _unfinished(self, error)
            raise

    def goes_on(self) -> bool:
        """Whether `more` could read more."""
        return not self.ended and len(self.text) - self.at <= _LONGEST

    def trim(self) -> None:
        """Drop text that was read: to tell the place of an error, Python counts the lines before it."""
        if self.at > max(_BEHIND, len(self.text) >> 8):
            self.passed += self.at
            self.text, self.at = self.text[self.at :], 0

    def more(self) -> bool:
        """Drop the text before the current place and read at least as much as is left; whether any text came."""
        if not self.goes_on():
            return False
        rest = self.text[self.at :]
        data = b"" if self.damaged else self._read(max(_CHUNK, len(rest)))
        self.ended = not data
        self.passed += self.at
        self.text = rest + self.decode(data, self.ended)
        self.at = 0
        return not self.ended

    def skip_between(self) -> str:
        """Move to the next value; return its first character, or '' at the end of the file."""
        while True:
            match = _BETWEEN.match(self.text, self.at)
            self.at = match.end() if match else self.at
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""


def _values(text: _Text, path: str | Path, keys: Collection[str], lost: Lost) -> Iterator[Any]:
    first = text.skip_between()
    if not first:
        raise UserError(
            f"{path}: the packed data are damaged from the start; fetch the file again"
            if text.damaged
            else f"{path}: the file is empty; expected JSON records"
        )
    if first not in "[{":
        begins = repair_text(text.text[text.at : text.at + 20])[0]
        columns = ", ".join(key for key in keys if key != "id")
        raise UserError(
            f"{path}: not JSON: begins with {begins!r}, expected [ or {{; nor a table with a column {columns}"
        )
    is_list = first == "["
    decoder = json.JSONDecoder(strict=False, parse_int=_whole_number)  # accept raw line breaks within strings
    around: list[str] = []  # the brackets that are open around the next value
    number = 0
    while first := text.skip_between():
        if first in "]}":
            text.at += 1
            around = around[:-1]
            continue
        in_object = around[-1:] == ["{"]
        if in_object and first == '"' and _pass_key(text):
            first = text.skip_between()
        if first == "[" and (not around or _look(text, lambda: _holds_record(text, text.at, decoder, keys))):
            around.append(first)
            text.at += 1
            continue
        number += 1
        text.trim()
        try:
            value, text.at = text.decode_at(decoder, text.at)
        except (ValueError, RecursionError) as error:
            unfinished = _unfinished(text, error)
            if unfinished and len(text.text) - text.at <= _AT_ONCE and text.more():
                number -= 1
                continue
            if first == "{" and _look(text, lambda: _wraps(text, decoder, keys)):  # too large or damaged for one parse
                number -= 1
                around.append(first)
                text.at += 1
                continue
            if unfinished and text.more():
                number -= 1
                continue
            end, begin = text.ended and unfinished, text.passed + text.at
            found = _next_record(text, decoder, keys)
            past = text.passed + (text.at if found else len(text.text)) - begin
            lost(CUT_OFF if end and not found else NOT_JSON, f"record-{number}", past)
            if not found:
                break
        else:
            if in_object and not (isinstance(value, dict) and (_is_record(value, keys) or _wrapped(value, keys))):
                number -= 1  # a value beside the records
                lost(BESIDE, "", characters(value))
            elif inside := _wrapped(value, keys):
                lost(BESIDE, "", characters(value) - characters(inside))
                yield from inside
                number += len(inside) - 1
            else:
                yield value
    if text.damaged:
        lost(DAMAGED, f"record-{number + 1}", 0)
    if is_list and not number and around:
        raise UserError(f"{path}: the list of records is cut off before its first record")


def _whole_number(digits: str) -> int | str:
    """A JSON integer; one with more digits than Python reads stays text."""
    return int(digits) if len(digits) <= _MOST_DIGITS else digits


def _unfinished(text: _Text, error: Exception) -> bool:
    """Whether a value can't be read because the text read so far ends before it does."""
    if not isinstance(error, json.JSONDecodeError):
        return False
    if not error.doc:  # of what is doomed
        return text.doomed_by_end
    return error.msg.startswith("Unterminated string") or error.pos >= len(text.text) - 16


def _pass_key(text: _Text) -> bool:
    """Skip a key and a colon at this place, if there are any."""
    while not (match := _KEY.match(text.text, text.at)):
        if not text.more():
            return False
    text.at = match.end()
    return True


def _look(text: _Text, question: Callable[[], bool]) -> bool:
    """The answer of `question` about the value that begins here, with as much text as it needs."""
    while True:
        try:
            return question()
        except json.JSONDecodeError as error:
            if not (_unfinished(text, error) and text.more()):
                return False
        except RecursionError:
            return False


def _holds_record(text: _Text, at: int, decoder: json.JSONDecoder, keys: Collection[str]) -> bool:
    """Whether the object at a place, or one of the first few values of the list there, is a record."""
    if text.text[at] == "{":
        return _is_record(decoder.raw_decode(text.text, at)[0], keys)
    at += 1
    for _ in range(_LOOKED_AT):
        between = _BETWEEN.match(text.text, at)
        at = between.end() if between else at
        if text.text[at : at + 1] == "]":
            break
        value, at = decoder.raw_decode(text.text, at)
        if isinstance(value, dict) and _is_record(value, keys):
            return True
    return False


def _is_record(value: Collection[str], keys: Collection[str]) -> bool:
    return any(key in value for key in keys if key != "id")  # other objects have ids too


def _wrapped(value: Any, keys: Collection[str], depth: int = 0) -> list[Any]:
    """The records inside an object; none if it is a record itself, with at least as many keys as nested ones."""
    if not isinstance(value, dict) or depth > _DEEPEST:
        return []
    inside: list[Any] = []
    own = most = 0
    for key, child in value.items():
        nested = child if isinstance(child, list) else [child]
        deeper = depth + 1 if key not in keys else _DEEPEST + 1
        found = [_wrapped(record, keys, deeper) for record in nested[:_LOOKED_AT]]
        shown = [record for records in found for record in records[:1]] + nested[:_LOOKED_AT]
        like = max((_likeness(record, keys) for record in shown), default=0)
        if like:
            found += [_wrapped(record, keys, deeper) for record in nested[_LOOKED_AT:]]
            inside += [record for whole, records in zip(nested, found, strict=True) for record in records or [whole]]
            most = max(most, like)
        elif key in keys and key != "id" and isinstance(child, str | list | dict) and child:
            own += 1
    return inside if most > own else []


def _likeness(value: Any, keys: Collection[str]) -> int:
    """The number of a record's keys with a value that an object has."""
    if not isinstance(value, dict):
        return 0
    return sum(isinstance(value.get(key), str | list | dict) and bool(value[key]) for key in keys if key != "id")


def _wraps(text: _Text, decoder: json.JSONDecoder, keys: Collection[str]) -> bool:
    """Whether the object that begins here, too large or damaged to parse at once, contains records and is none."""
    at, found = text.at + 1, False
    try:
        while match := _KEY.match(text.text, at):
            at = match.end()
            if at < len(text.text) and text.text[at] in "[{" and _holds_record(text, at, decoder, keys):
                if text.text[at] == "[":
                    return True
                found = True
            elif match[1] in keys and match[1] != "id":
                return False
            _, at = decoder.raw_decode(text.text, at)
            between = _BETWEEN.match(text.text, at)
            at = between.end() if between else at
        if text.text[at : at + 1] == "}":
            return found
        near_end = len(text.text) - at < _LONGEST_KEY
        raise json.JSONDecodeError("no key", text.text, len(text.text) if near_end else at)
    except json.JSONDecodeError as error:
        if found and (text.ended or not _unfinished(text, error)):
            return True
        raise


def _next_record(text: _Text, decoder: json.JSONDecoder, keys: Collection[str]) -> bool:
    """Move to the next object with one of `keys`; whether there is one."""
    text.at += 1
    while True:
        match = _NEXT_OBJECT.search(text.text, text.at)
        if not match:
            # The text left has no beginning of a record, except perhaps in its last characters.
            text.at = max(text.at, len(text.text) - 200)
            if not text.more():
                return False
            continue
        text.at = match.end()
        text.trim()
        try:
            value, _ = text.decode_at(decoder, text.at)
        except json.JSONDecodeError as error:
            if _unfinished(text, error) and text.more():
                text.text = "\n" + text.text  # to find the same object again
                text.passed -= 1
            continue
        except RecursionError:
            text.at = _BRACKETS.match(text.text, text.at).end()  # type: ignore[union-attr]  # too deep for a record
            continue
        if any(key in value for key in keys):
            return True
