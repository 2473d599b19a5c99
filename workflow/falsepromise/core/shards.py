"""Split one job's work: `--shard 2/8` does one of eight parts, `--from-shards FILES` joins the results of all parts.

A part is a file of JSON lines: first the work and the part's number, then a record for each piece of work. The files
of several parts may be joined (`cat`). Each piece has a key, a digest of all that it depends on.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar

from falsepromise.core.errors import UserError
from falsepromise.core.records import Record, dumps, read_jsonl, write_jsonl

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """Part `number` (from 1) of `of`."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Parse an option's text, such as `2/8`.

        Raises:
            UserError: it has another form.
        """
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            raise UserError(f"--shard {text}: expected NUMBER/OF, as 1/8 to 8/8")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def mine(self, items: Sequence[T]) -> list[T]:
        """Every `of`-th piece, so that long and short pieces are spread evenly."""
        return list(items[self.number - 1 :: self.of])

    def stretch(self, items: Sequence[T], costs: Sequence[float]) -> list[T]:
        """Neighbours with about the same cost as each other part: for pieces that share work with their neighbours."""
        total = sum(costs) or 1.0
        places = [(end - cost / 2) * self.of / total for end, cost in zip(accumulate(costs), costs, strict=True)]
        return [
            item for item, place in zip(items, places, strict=True) if min(int(place), self.of - 1) == self.number - 1
        ]


def add_options(parser: argparse.ArgumentParser, output: str) -> None:
    """Add the two options; `output` describes --output without them."""
    both = parser.add_mutually_exclusive_group()
    both.add_argument("--shard", type=Shard.parse, metavar="K/N", help="do part K of N, and write it to --output")
    both.add_argument(
        "--from-shards", type=Path, nargs="+", metavar="FILE", help=f"make {output} from the results of all parts"
    )


def write_part(path: str | Path, shard: Shard, of: Any, records: Iterable[Record], **facts: Any) -> None:
    """Write the results of a part.

    Args:
        path: The file.
        shard: Which part.
        of: All that shapes its records, apart from their keys.
        records: Each with its `key`.
        facts: How they were made, for the joined result.
    """
    write_jsonl(path, [{"of": _digest(of), "shard": [shard.number, shard.of], **facts}, *records])


def read_parts(paths: Sequence[Path], of: Any) -> tuple[dict[str, Record], Record]:
    """The records of all parts by their keys, and the parts' facts.

    Raises:
        UserError: a part is missing, or belongs to other work.
    """
    found: dict[str, Record] = {}
    parts: set[tuple[int, int]] = set()
    facts: Record = {}
    for path in paths:
        opened = False
        for record in read_jsonl(path):
            if "of" in record:
                if record["of"] != _digest(of):
                    raise UserError(f"{path}: belongs to another model, file or options; make the parts again")
                opened = True
                facts |= record
                parts.add(tuple(record["shard"]))
            elif not opened or not isinstance(record.get("key"), str):
                raise UserError(f"{path}: was not written by --shard")
            else:
                found[record["key"]] = record
    numbers = {number for number, _ in parts}
    total = max((of for _, of in parts), default=0)
    if len({of for _, of in parts}) != 1 or len(numbers) != total:
        listed = ", ".join(f"{number}/{of}" for number, of in sorted(parts)[:9])
        raise UserError(f"--from-shards: found the parts {listed}; expected all parts of one split")
    return found, facts


def of_all(found: dict[str, Record], keys: Sequence[str], where: Sequence[Path]) -> list[Record]:
    """The records with these keys, in their order.

    Raises:
        UserError: a key has no record.
    """
    absent = sum(key not in found for key in keys)
    if absent:
        raise UserError(
            f"{where[0]}: {absent} of {len(keys)} pieces are in no part: the parts were made from other data or with "
            "other options; make them again"
        )
    return [found[key] for key in keys]


def key(*parts: Any) -> str:
    """A digest of all that a piece depends on."""
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _digest(of: Any) -> str:
    return hashlib.sha256(dumps(of).encode()).hexdigest()
