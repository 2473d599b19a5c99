"""The conservation law of reading: what a file has equals what is kept and what is lost, by name, to the character.

Two units are counted: characters (of every text in the file's JSON values, wherever it stands, and of every
stretch that is no JSON) and turns. Of each unit

    read + added = kept + lost

where `added` are characters that reading itself puts in (the line breaks between joined turns). What the
law leaves over would be a fault of the reader: it is shown as `unexplained`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

CHARACTERS, TURNS = "characters", "turns"
LABELS = "ids and names of speakers"
UNEXPLAINED = "unexplained"
_MOST_FIELDS = 100  # names of unused fields that are told apart


def characters(value: Any) -> int:
    """The characters of all texts in a JSON value, however deep; names of fields, numbers and the like are none."""
    if isinstance(value, str):
        return len(value)
    count, waiting = 0, [value]
    while waiting:
        inner = waiting.pop()
        for child in inner.values() if isinstance(inner, dict) else inner if isinstance(inner, list | tuple) else ():
            if isinstance(child, str):
                count += len(child)
            elif isinstance(child, dict | list | tuple):
                waiting.append(child)
    return count


class Ledger:
    """Counts of characters and turns: read, added, kept, and lost by reason."""

    def __init__(self) -> None:
        self.read: Counter[str] = Counter()
        self.kept: Counter[str] = Counter()
        self.added: Counter[tuple[str, str]] = Counter()
        self.lost: Counter[tuple[str, str]] = Counter()
        self.fields: Counter[str] = Counter()

    def lose(self, reason: str, chars: int = 0, turns: int = 0) -> None:
        """Characters and turns that were read and go no further."""
        self.lost[CHARACTERS, reason] += chars
        self.lost[TURNS, reason] += turns

    def reshape(self, reason: str, before: int, after: int) -> None:
        """Text of `before` characters that became one of `after`."""
        if after > before:
            self.added[CHARACTERS, reason] += after - before
        else:
            self.lost[CHARACTERS, reason] += before - after

    def label(self, *names: Any) -> None:
        """Ids, names of speakers, names of parts: they aren't text, and go on in another form, if at all."""
        self.lose(LABELS, characters(names))

    def take(self, other: Ledger) -> None:
        """Add what another ledger has."""
        for own, more in ((self.added, other.added), (self.lost, other.lost)):
            own.update(more)

    def unused(self, record: dict[str, Any], used: Collection[str | None], of: str = "") -> None:
        """The fields of a record, or of a part of one, that nothing is made of."""
        for key, value in record.items():
            if key in used or value is None:
                continue
            name = f"field {of}{key!r:.40}"
            if name not in self.fields and len(self.fields) >= _MOST_FIELDS:
                name = "other fields"
            self.fields[name] += 1
            self.lost[CHARACTERS, name] += characters(value)

    def unexplained(self, unit: str) -> int:
        """What the law leaves over: 0, or the reader has a fault."""
        added, lost = (sum(n for (u, _), n in table.items() if u == unit) for table in (self.added, self.lost))
        return self.read[unit] + added - self.kept[unit] - lost

    def rows(self, step: str) -> Iterator[tuple[str, int, int, str]]:
        """Rows of a funnel, `(step, kept, dropped, reason)`: of each unit what is in the file, kept, lost and added."""
        for unit in (TURNS, CHARACTERS):
            if not self.read[unit]:
                continue
            rest = self.unexplained(unit)
            lost = [(reason, n) for (u, reason), n in self.lost.items() if u == unit and n]
            yield f"{unit} in the file", self.read[unit], 0, ""
            name = f"{step}: {unit}"
            yield name, self.kept[unit], sum(n for _, n in lost) + rest, ""
            yield from ((name, 0, n, reason) for reason, n in lost)
            yield from ((name, n, 0, f"added: {reason}") for (u, reason), n in self.added.items() if u == unit and n)
            if rest:
                yield name, 0, rest, UNEXPLAINED
        yield from ((f"{step}: fields", 0, n, f"{name} not used") for name, n in self.fields.items())
