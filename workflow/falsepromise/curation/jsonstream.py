"""JSON records of a file, one after the other, from files that may be large and may be damaged.

A list of records, JSON lines, and objects one after the other all read alike. Memory holds a few
megabytes of text, whatever the file's size. A record that isn't JSON is passed over up to the next
record; a file that ends in mid-record gives all the records before.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import IO, Any

from falsepromise.core.errors import UserError

CUT_OFF = "cut off in mid-record by the end of the file"
NOT_JSON = "not JSON"

_CHUNK = 1 << 20
_LONGEST = 1 << 26  # characters; a "record" longer than this is damage
_BETWEEN = re.compile(r"[\s,]*")
_NEXT_OBJECT = re.compile(r"(?:[\]}]\s*,|\n)\s*(?=\{)")
_SURROGATE = re.compile("[\ud800-\udfff]")


def records(
    path: str | Path, keys: Collection[str], lost: Callable[[str, str], None], inside: str | None = None
) -> Iterator[Any]:
    """The JSON values of a file.

    Args:
        path: A list of records, JSON lines, or JSON objects one after the other.
        keys: Where a record is damaged, the next object that has one of these keys is taken to be
            the next record (and not one nested in the damaged record).
        lost: Called with the reason and a place (`record-12`) for each stretch that isn't JSON.
        inside: Where the file is one large object, the key of the list in it that has the records.

    Yields:
        Values, mostly dicts. Bytes that aren't UTF-8 come as lone surrogates (see `repair_text`).

    Raises:
        UserError: the file can't be read, is empty, or doesn't begin as JSON does.
    """
    if Path(path).is_dir():
        raise UserError(f"{path}: a folder, expected a file of JSON records")
    try:
        with open(path, "rb") as stream:
            yield from _values(_Text(stream), path, keys, lost, inside)
    except OSError as error:
        raise UserError(f"{path}: can't be read: {error.strerror}") from error


def repair_text(text: str) -> tuple[str, bool]:
    """Text that can be stored as UTF-8: lone surrogates become U+FFFD; and whether there were any."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return _SURROGATE.sub("\ufffd", text), True
    return text, False


class _Text:
    """The file's text from the current record on; grows on demand."""

    def __init__(self, stream: IO[bytes]):
        self.stream = stream
        self.decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
        self.text = ""
        self.at = 0
        self.ended = False
        self.more()
        self.text = self.text.removeprefix("\ufeff")

    def more(self) -> bool:
        """Forget what lies behind, read at least as much again as is left; whether anything came."""
        if self.ended or len(self.text) - self.at > _LONGEST:
            return False
        rest = self.text[self.at :]
        data = self.stream.read(max(_CHUNK, len(rest)))
        self.ended = not data
        self.text = rest + self.decode(data, self.ended)
        self.at = 0
        return not self.ended

    def skip_between(self) -> str:
        """Go to the next value; its first character, or '' at the end of the file."""
        while True:
            match = _BETWEEN.match(self.text, self.at)
            self.at = match.end() if match else self.at
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""


def _values(
    text: _Text, path: str | Path, keys: Collection[str], lost: Callable[[str, str], None], inside: str | None
) -> Iterator[Any]:
    first = text.skip_between()
    if not first:
        raise UserError(f"{path}: the file is empty; expected JSON records")
    if first not in "[{":
        raise UserError(f"{path}: not JSON: begins with {text.text[text.at : text.at + 20]!r}, expected '[' or '{{'")
    if first == "{" and inside:
        opening = re.compile(rf'"{re.escape(inside)}"\s*:\s*(?=\[)').search(text.text, text.at)
        if opening:
            text.at, first = opening.end(), "["
    is_list = first == "["
    text.at += is_list
    decoder = json.JSONDecoder(strict=False)  # a raw line break within a string does no harm
    number = 0
    while first := text.skip_between():
        if first == "]" and is_list:
            return
        number += 1
        try:
            value, text.at = decoder.raw_decode(text.text, text.at)
        except json.JSONDecodeError as error:
            unfinished = error.msg.startswith("Unterminated string") or error.pos >= len(text.text) - 16
            if unfinished and text.more():
                number -= 1
                continue
            end = text.ended and unfinished
            found = _next_record(text, decoder, keys)
            lost(CUT_OFF if end and not found else NOT_JSON, f"record-{number}")
            if not found:
                return
        except RecursionError:
            lost(NOT_JSON, f"record-{number}")
            if not _next_record(text, decoder, keys):
                return
        else:
            yield value
    if is_list and text.ended and not number:
        raise UserError(f"{path}: the list of records is cut off before its first record")


def _next_record(text: _Text, decoder: json.JSONDecoder, keys: Collection[str]) -> bool:
    """Go to the next object that has one of `keys`; whether there is one."""
    text.at += 1
    while True:
        match = _NEXT_OBJECT.search(text.text, text.at)
        if not match:
            # What is left holds no beginning of a record, except perhaps in its last characters.
            text.at = max(text.at, len(text.text) - 200)
            if not text.more():
                return False
            continue
        text.at = match.end()
        try:
            value, _ = decoder.raw_decode(text.text, text.at)
        except json.JSONDecodeError as error:
            unfinished = error.msg.startswith("Unterminated string") or error.pos >= len(text.text) - 16
            if unfinished and text.more():
                text.text = "\n" + text.text  # so that the same object is found again
            continue
        if any(key in value for key in keys):
            return True
