"""Count the records that each step kept, dropped and repaired, with reasons and examples (the funnel).

The table is CSV, `source,step,kept,dropped,reason,examples`. A step's first row has no reason: it
gives the records kept and dropped. One row for each reason follows: `dropped` counts the records dropped for it, `kept`
those that were changed but kept (repaired, joined). `examples` are the first few record ids, separated by blanks. Then
come rows for turns, characters and fields (see `ledger`): `read: characters` has those kept and lost, by reason.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from falsepromise.core.records import Record, atomic_open
from falsepromise.curation.ledger import Ledger, characters

COLUMNS = ("source", "step", "kept", "dropped", "reason", "examples")
EXAMPLES = 5
_EXAMPLE_CHARACTERS = 80
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # beginnings that a spreadsheet reads as a formula


def spreadsheet_text(text: str) -> str:
    """A text for a CSV cell, with a mark before a formula so that no spreadsheet runs it; no half characters."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return "'" + text if text.startswith(_FORMULA) else text


def without_mark(cell: str) -> str:
    """The text of a cell that `spreadsheet_text` wrote."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell


def said_in(dialogue: Record) -> tuple[int, int]:
    """The characters and the turns of a dialogue record."""
    return sum(len(message["content"]) for message in dialogue["messages"]), len(dialogue["messages"])


@dataclass
class _Row:
    kept: int = 0
    dropped: int = 0
    examples: list[str] = field(default_factory=list)

    def example(self, record_id: object) -> None:
        if len(self.examples) < EXAMPLES:
            self.examples.append(spreadsheet_text("_".join(str(record_id).split())[:_EXAMPLE_CHARACTERS]))


class Funnel:
    """Counts what happens to the records of `source`, step by step."""

    def __init__(self, source: str, stage: str = "read", steps: Sequence[str] = (), reasons: Sequence[str] = ()):
        self.source = source
        self.steps = steps  # the order of steps and reasons, if it differs from that of the records
        self.stage = stage  # the name of the ledger's rows
        self._rows: dict[tuple[str, str, str], _Row] = {}
        self.ledger = Ledger()
        for reason in reasons:
            self.ledger.lose(reason)

    def _row(self, step: str, reason: str, source: str | None) -> _Row:
        return self._rows.setdefault((source or self.source, step, reason), _Row())

    def keep(self, step: str, count: int = 1, source: str | None = None) -> None:
        """`step` kept `count` records."""
        self._row(step, "", source).kept += count

    def drop(
        self, step: str, reason: str, record_id: object, source: str | None = None, *, lost: object = None
    ) -> None:
        """`step` dropped one record, and the texts of `lost`, a JSON value."""
        self._row(step, "", source).dropped += 1
        if lost is not None:
            self.ledger.lose(reason, characters(lost))
        row = self._row(step, reason, source)
        row.dropped += 1
        row.example(record_id)

    def drop_dialogue(self, step: str, reason: str, dialogue: Record) -> None:
        """`step` dropped a dialogue with all its messages."""
        self.drop(step, reason, dialogue["id"], dialogue.get("source"))
        self.ledger.lose(reason, *said_in(dialogue))

    def repair(self, step: str, reason: str, record_id: object, source: str | None = None, count: int = 1) -> None:
        """`step` changed and kept `count` records."""
        row = self._row(step, reason, source)
        row.kept += count
        row.example(record_id)

    def kept(self, step: str) -> int:
        """The number of records that `step` kept, over all sources."""
        return sum(row.kept for (_, name, reason), row in self._rows.items() if name == step and not reason)

    def reasons(self, step: str) -> str:
        """The reasons why `step` dropped records, with counts, for a message."""
        dropped = [(row.dropped, reason) for (_, name, reason), row in self._rows.items() if name == step and reason]
        return ", ".join(f"{count:,} {reason}" for count, reason in sorted(dropped, reverse=True) if count)

    def rows(self) -> Iterator[tuple[str, str, int, int, str, str]]:
        """The table's rows: by source, then by step, each in the order of the first record; totals first."""
        sources = list(dict.fromkeys(source for source, _, _ in self._rows))
        steps = list(dict.fromkeys([*self.steps, *(step for _, step, _ in self._rows)]))
        for source, step in {(source, step): None for source, step, _ in self._rows}:
            self._row(step, "", source)  # also for a step that kept nothing
        keys = sorted(self._rows, key=lambda key: (sources.index(key[0]), steps.index(key[1]), key[2] != ""))
        for key in keys:
            row = self._rows[key]
            yield key[0], key[1], row.kept, row.dropped, key[2], " ".join(row.examples)
        for step, kept, dropped, reason in self.ledger.rows(self.stage):
            yield self.source, step, kept, dropped, reason, ""

    def write(self, path: str | Path) -> None:
        """Write the table as CSV."""
        with atomic_open(path) as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(self.rows())
