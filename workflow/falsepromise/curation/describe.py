"""Inspect a file of dialogues before a run: its format, the dialogues of its first records, and what is lost.

Each reader reads the first records. The reader that keeps the most characters is shown, with its `format` in a
study. It writes no file.
"""

from __future__ import annotations

import argparse
import importlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.records import Record
from falsepromise.core.text import terminal
from falsepromise.curation import reading
from falsepromise.curation.funnel import Funnel
from falsepromise.curation.ledger import CHARACTERS

FORMATS = ("messages", "sharegpt", "hc3", "discord", "exports", "tldr", "cnn", "superni")  # in case of a tie, the first


@dataclass
class Found:
    """One reader's result for a file's first records."""

    form: str
    dialogues: list[Record]
    funnel: Funnel

    @property
    def kept(self) -> int:
        return self.funnel.ledger.kept[CHARACTERS]


def read_with(form: str, path: Path, records: int) -> Found:
    """Read a file's first records with one reader."""
    verb, funnel = importlib.import_module(f"falsepromise.curation.{form}"), Funnel(path.name)
    return Found(form, list(reading.read_dialogues(path, path.name, verb.read, verb.KEYS, funnel, records)), funnel)


def best(path: Path, records: int) -> Found:
    """The result of the reader that keeps the most of a file.

    Raises:
        UserError: no reader finds a dialogue.
    """
    found, refused = [], {}
    for form in FORMATS:
        try:
            found.append(read_with(form, path, records))
        except UserError as error:  # a table whose columns only other readers know
            refused[form] = error
    if not found:
        raise refused["exports"]  # which knows the most
    chosen = max(found, key=lambda one: one.kept)
    if not chosen.dialogues:
        tried = "; ".join(f"{one.form}: {one.funnel.reasons(reading.STEP) or 'no records'}" for one in found[:5])
        raise UserError(f"{path}: no reader finds a dialogue in its first {records} records ({tried})")
    return chosen


def lines(found: Found, shown: int, width: int) -> Iterator[str]:
    """The lines of the description."""
    yield f"format: {found.form}"
    summary = (importlib.import_module(f"falsepromise.curation.{found.form}").__doc__ or "").strip().partition("\n")[0]
    yield f"  {summary}"
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
    print("\n".join(lines(best(args.file, args.records), args.shown, args.width)))


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 9 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text[:20]!r}: expected a number, 1 or more")
    return int(text)


if __name__ == "__main__":
    cli.run(main)
