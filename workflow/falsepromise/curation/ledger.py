"""Account for every character of a file: what it has equals what is kept plus what is lost, each under a name.

It counts two units: characters (of every text in the file's JSON values, at any depth, and of every
stretch that isn't JSON) and turns. For each unit

    read + added = kept + lost

where `added` are characters that the reader inserts (the line breaks between joined turns). A difference is a
bug in the reader and shown as `unexplained`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

CHARACTERS, TURNS = "characters", "turns"
LABELS = "ids and names of speakers"
UNEXPLAINED = "unexplained"
_MOST_FIELDS = 100  # names of unused fields that are listed


def characters(value: Any) -> int:
    """The characters of all texts in a JSON value, at any depth; names of fields and numbers don't count."""
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
        """Count characters and turns that were read and dropped."""
        self.lost[CHARACTERS, reason] += chars
        self.lost[TURNS, reason] += turns

    def reshape(self, reason: str, before: int, after: int) -> None:
        """Count a text of `before` characters that became one of `after`."""
        if after > before:
            self.added[CHARACTERS, reason] += after - before
        else:
            self.lost[CHARACTERS, reason] += before - after

    def label(self, *names: Any) -> None:
        """Count ids and names of speakers and parts, which aren't text and are kept in another form, if at all."""
        self.lose(LABELS, characters(names))

    def take(self, other: Ledger) -> None:
        """Add another ledger's counts."""
        for own, more in ((self.added, other.added), (self.lost, other.lost)):
            own.update(more)

    def unused(self, record: dict[str, Any], used: Collection[str | None], of: str = "") -> None:
        """Count the unused fields of a record, or of a part of one."""
        for key, value in record.items():
            if key in used or value is None:
                continue
            name = f"field {of}{key!r:.40}"
            if name not in self.fields and len(self.fields) >= _MOST_FIELDS:
                name = "other fields"
            self.fields[name] += 1
            self.lost[CHARACTERS, name] += characters(value)

    def unexplained(self, unit: str) -> int:
        """The difference between both sides; not 0 only if the reader has a bug."""
        added, lost = (sum(n for (u, _), n in table.items() if u == unit) for table in (self.added, self.lost))
        return self.read[unit] + added - self.kept[unit] - lost

    def rows(self, step: str) -> Iterator[tuple[str, int, int, str]]:
        """Rows of a funnel, `(step, kept, dropped, reason)`: each unit's counts in the file, kept, lost and added."""
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
