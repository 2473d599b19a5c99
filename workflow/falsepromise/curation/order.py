"""Order records by a seed, from the seed and each record's id alone.

A record's sort key is the SHA-256 of seed and id. So records keep their relative order when others are added or
removed, on any machine and with any version of a random generator.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from falsepromise.core.records import Record


def place(record: Record, seed: int) -> bytes:
    """The sort key of a record."""
    name = f"{seed}\n{record.get('source', '')}\n{record['id']}"
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()


def shuffled(records: Iterable[Record], seed: int) -> list[Record]:
    """The records in the order of the seed."""
    return sorted(records, key=lambda record: place(record, seed))
