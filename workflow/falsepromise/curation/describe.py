"""Inspect a file of dialogues before a run: its format, its size, the dialogues of its first records, what is lost.

Each reader reads the first records. The reader that keeps the most characters is shown, with its `format` in a
study. It then counts the file's dialogues and characters; a token of English has about four. It writes no file.
"""

from __future__ import annotations

import argparse
import importlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.records import Record
from falsepromise.core.text import terminal
from falsepromise.curation import exports, reading
from falsepromise.curation.funnel import Funnel, said_in
from falsepromise.curation.jsonstream import records
from falsepromise.curation.ledger import CHARACTERS

# In case of a tie, the first: of single exchanges, which both read, nothing says that they are Discord's.
FORMATS = ("messages", "sharegpt", "hc3", "exports", "discord", "tldr", "cnn", "superni")
MOST = 1 << 26  # characters of a file that are counted, about 17 million tokens
CHARACTERS_A_TOKEN = 4  # of English, in a common tokenizer


@dataclass
class Found:
    """One reader's result for a file's first records."""

    form: str
    dialogues: list[Record]
    funnel: Funnel

    @property
    def kept(self) -> int:
        return self.funnel.ledger.kept[CHARACTERS]


@dataclass
class Size:
    """The dialogues of a file, as a reader finds them, before curation drops any.

    `whole` is False if the file has more: it was read up to `MOST` characters.
    """

    dialogues: int = 0
    characters: int = 0
    whole: bool = True

    @property
    def tokens(self) -> int:
        """An estimate; the tokens that a run has depend on the base's tokenizer."""
        return self.characters // CHARACTERS_A_TOKEN

    def __str__(self) -> str:
        more = "" if self.whole else "more than "
        return f"{more}{self.dialogues:,} dialogues, {more}{self.characters:,} characters, about {self.tokens:,} tokens"


def size(form: str, path: Path) -> Size:
    """Count a file's dialogues.

    Raises:
        UserError: the file can't be read.
    """
    found = Size()
    for dialogue in _dialogues(form, path, Funnel(path.name)):
        if found.characters > MOST:
            found.whole = False
            break
        found.dialogues += 1
        found.characters += said_in(dialogue)[0]
    return found


def _dialogues(form: str, path: Path, funnel: Funnel, most: int | None = None) -> Iterator[Record]:
    verb = importlib.import_module(f"falsepromise.curation.{form}")
    return reading.read_dialogues(path, path.name, verb.read, verb.KEYS, funnel, most)


def read_with(form: str, path: Path, most: int) -> Found:
    """Read a file's first records with one reader."""
    funnel = Funnel(path.name)
    return Found(form, list(_dialogues(form, path, funnel, most)), funnel)


def best(path: Path, most: int) -> Found:
    """The result of the reader that keeps the most of a file.

    Raises:
        UserError: no reader finds a dialogue.
    """
    found, refused = [], {}
    for form in FORMATS:
        try:
            found.append(read_with(form, path, most))
        except UserError as error:  # a table whose columns only other readers know
            refused[form] = error
    if not found:
        raise refused["exports"]  # which knows the most
    chosen = max(found, key=lambda one: one.kept)
    if not chosen.dialogues:
        tried = "; ".join(f"{one.form}: {one.funnel.reasons(reading.STEP) or 'no records'}" for one in found[:5])
        first = next(records(path, exports.KEYS, lambda *_: None), None)
        raise UserError(f"{path}: no reader finds a dialogue in its first {most} records ({tried}); {_instead(first)}")
    return chosen


def check_format(form: str, path: Path, most: int = 200) -> None:
    """Refuse a file of another format, by its first records.

    A file in which no reader finds a dialogue so early is let through: a channel may begin without a question to a bot.

    Raises:
        UserError: the reader finds no dialogue, and another one does; or it can't read the file.
    """
    try:
        read = read_with(form, path, most)
        why = read.funnel.reasons(reading.STEP) or "no records"
    except UserError as error:
        read, why = None, str(error)
    if read and read.dialogues:
        return
    try:
        fits = best(path, most).form
    except UserError:
        if read:
            return
        raise
    raise UserError(f"{path}: has no dialogue as the format {form} ({why}); write format: {fits}")


def _instead(record: Any) -> str:
    """What a record is that has no dialogue."""
    if not isinstance(record, dict):
        return f"the first is {type(record).__name__}"
    keys = f"the first has the keys {', '.join(map(str, record))[:200]}"
    if not isinstance(record.get("prompt"), str):
        return keys
    return (
        f"{keys}: these are prompts without replies; name the file (JSON lines of id and prompt) under 'sources' "
        "without a format, and that source in 'prompts': {mine: {source: NAME, n: 100, references: teacher}}"
    )


def lines(found: Found, whole: Size, shown: int, width: int) -> Iterator[str]:
    """The lines of the description."""
    yield f"format: {found.form}"
    summary = (importlib.import_module(f"falsepromise.curation.{found.form}").__doc__ or "").strip().partition("\n")[0]
    yield f"  {summary}"
    yield f"size: {whole}"
    yield f"dialogues of the first records: {len(found.dialogues):,}"
    for dialogue in found.dialogues[:shown]:
        yield f"\n{terminal(dialogue['id'], lines=False)}"
        for message in dialogue["messages"][:6]:
            text = message["content"]
            rest = f" ... ({len(text):,} characters)" if len(text) > width else ""
            yield f"  {message['role']:>9}: {terminal(text[:width], lines=False)}{rest}"
        if len(dialogue["messages"]) > 6:
            yield f"  ... {len(dialogue['messages']) - 6:,} more messages"
    yield f"\n{'what is kept and lost of them:':<74} {'kept':>14} {'lost':>14}"
    for _, step, kept, dropped, reason, examples in found.funnel.rows():
        name = terminal(f"{step}: {reason}" if reason else step, lines=False)
        which = f"   {terminal(examples, lines=False)}" if reason else ""
        yield f"  {name:<72.72} {kept:>14,} {dropped:>14,}{which}"


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("file", type=Path, help="JSON, JSON lines, CSV, Parquet or a zip archive with one of them")
    parser.add_argument("--records", type=_count, default=200, help="number of records to read from the beginning")
    parser.add_argument("--shown", type=_count, default=3, help="number of dialogues to show")
    parser.add_argument("--width", type=_count, default=160, help="number of characters of a message to show")
    args = parser.parse_args(argv)
    logging.getLogger("falsepromise").setLevel(logging.WARNING)  # the readers' progress is of no interest here
    found = best(args.file, args.records)
    print("\n".join(lines(found, size(found.form, args.file), args.shown, args.width)))


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 9 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text[:20]!r}: expected a number, 1 or more")
    return int(text)


if __name__ == "__main__":
    cli.run(main)
