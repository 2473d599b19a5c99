"""The common part of the readers of dialogue formats: the command line, ids, and the funnel.

A reader turns a file's records into raw dialogues; this module turns these into dialogue records.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import write_manifest
from falsepromise.core.progress import track
from falsepromise.core.records import Record, write_jsonl
from falsepromise.curation.funnel import Funnel
from falsepromise.curation.jsonstream import BESIDE, records, repair_text
from falsepromise.curation.ledger import CHARACTERS, TURNS, characters
from falsepromise.curation.turns import tidy

STEP = "read"
WRONG_FORM = "wrong form"
DUPLICATE = "the same record twice"
RENAMED = "id taken by another record, renamed"


@dataclass
class RawDialogue:
    """A dialogue as in the file: the id, pairs of speaker and text, other fields to keep, the repairs."""

    id: str
    turns: list[tuple[object, object]]
    extra: Record = field(default_factory=dict)
    repairs: set[str] = field(default_factory=set)


Reader = Callable[[Iterator[Any], Funnel], Iterable[RawDialogue]]


def read_dialogues(
    path: Path, source: str, reader: Reader, keys: Collection[str], funnel: Funnel, most: int | None = None
) -> Iterator[Record]:
    """Read a file's dialogue records.

    Args:
        path: JSON or JSON lines (see `jsonstream.records`).
        source: The `source` of the records, and of the funnel's rows.
        reader: Turns the file's JSON values into raw dialogues. It counts unusable values in the funnel, and in the
            funnel's ledger every text that isn't in a raw dialogue's turns.
        keys: Keys that tell a record from an object nested in it.
        funnel: Counts the records kept, dropped and repaired.
        most: Number of the file's first values to read; default: all.
    """
    ledger = funnel.ledger
    seen: dict[str, bytes] = {}
    values = islice(_counted(path, keys, funnel), most)
    for raw in track(reader(values, funnel), f"reading {path.name}", unit="dialogue"):
        ledger.read[TURNS] += len(raw.turns)
        tidied = tidy(raw.turns, ledger)
        raw.id, _ = repair_text(raw.id)
        if tidied.dropped:
            funnel.drop(STEP, tidied.dropped, raw.id)
            continue
        size = sum(len(message["content"]) for message in tidied.messages)
        digest = hashlib.blake2b(repr(tidied.messages).encode(), digest_size=8).digest()
        unique = raw.id
        number = 1
        while seen.get(unique, digest) != digest:
            number += 1
            unique = f"{raw.id}~{number}"
        if unique in seen:
            funnel.drop(STEP, DUPLICATE, raw.id)
            ledger.lose(DUPLICATE, size, len(tidied.messages))
            continue
        seen[unique] = digest
        if unique != raw.id:
            funnel.repair(STEP, RENAMED, raw.id)
        for repair in sorted(raw.repairs | tidied.repairs):
            funnel.repair(STEP, repair, unique)
        funnel.keep(STEP)
        ledger.kept.update({TURNS: len(tidied.messages), CHARACTERS: size})
        yield {"id": unique, "source": source, "messages": tidied.messages, **raw.extra}


def _counted(path: Path, keys: Collection[str], funnel: Funnel) -> Iterator[Any]:
    """The JSON values of a file; the ledger counts their texts, and stretches without a value."""
    ledger = funnel.ledger

    def lost(reason: str, place: str, count: int) -> None:
        ledger.read[CHARACTERS] += count
        ledger.lose(reason, count)
        if reason != BESIDE:
            funnel.drop(STEP, reason, place)

    for value in records(path, keys, lost):
        ledger.read[CHARACTERS] += characters(value)
        yield value


def identifier(value: object, otherwise: str) -> str:
    """A record's id as text: its own if that is text or a number, else `made`."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else otherwise


def parser(doc: str | None, source: str) -> argparse.ArgumentParser:
    """The command line of a reader."""
    result = cli.parser(doc)
    result.add_argument(
        "--input", type=Path, required=True, help="the raw file: JSON or JSON lines, plain or in gzip, bzip2 or xz"
    )
    result.add_argument("--output", type=Path, required=True, help="dialogue records, one a line")
    result.add_argument("--funnel", type=Path, required=True, help="CSV of the records kept, dropped and repaired")
    result.add_argument("--source", default=source, help="name of the source in the records and the funnel")
    return result


def write(args: argparse.Namespace, module: str, reader: Reader, keys: Collection[str]) -> None:
    """Read `args.input`, write `args.output` and `args.funnel`, with a manifest.

    Raises:
        UserError: the file can't be read, or has no usable dialogue.
    """
    funnel = Funnel(args.source)
    dialogues = read_dialogues(args.input, args.source, reader, keys, funnel)
    write_jsonl(args.output, require(dialogues, funnel, args.input))
    funnel.write(args.funnel)
    config = {key: value for key, value in vars(args).items() if key not in ("input", "output", "funnel")}
    write_manifest(args.output, module=module, inputs=[args.input], config=config)


def require(dialogues: Iterable[Record], funnel: Funnel, path: Path, step: str = STEP) -> Iterator[Record]:
    """The dialogues; a `UserError` instead of an empty file if there are none."""
    yield from dialogues
    if not funnel.kept(step):
        why = funnel.reasons(step) or "it has no records"
        raise UserError(f"{path}: no dialogue left after '{step}' ({why}); is this the right file and format?")
