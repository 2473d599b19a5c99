"""Mix dialogues of several sources in the order of a seed.

The order depends on the seed and the ids alone, so that a token budget's training data are the
beginning of every larger budget's. Memory holds a few words a dialogue, not the dialogues.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import write_manifest
from falsepromise.core.progress import track
from falsepromise.core.records import Record, check_dialogue, read_jsonl, write_jsonl
from falsepromise.curation import selection
from falsepromise.curation.order import place


def mix(paths: Sequence[Path], seed: int, args: argparse.Namespace) -> Iterator[Record]:
    """The selected dialogues of all files, in the order of the seed.

    Args:
        paths: Files of dialogue records.
        seed: Of the order.
        args: The selection (see `selection.add_options`).

    Raises:
        UserError: two dialogues have the same source and id, or none is selected.
    """
    keys: list[tuple[bytes, int, int, str]] = []  # place, file, byte, id
    for number, path in enumerate(paths):
        for offset, dialogue in _with_offsets(path):
            keys += [
                (place(chosen, seed), number, offset, chosen["id"]) for chosen in selection.select([dialogue], args)
            ]
    keys.sort()
    for before, after in pairwise(keys):
        if before[0] == after[0]:
            files = f"{paths[before[1]]} and {paths[after[1]]}"
            raise UserError(f"{files}: id {after[3]!r} occurs twice with the same source; ids have to be unique")
    if not keys:
        raise UserError(f"{paths[0]}: no dialogue is short enough for the selection; raise the limits")
    streams = [open(path, "rb") for path in paths]  # noqa: SIM115
    try:
        for _, number, offset, name in track(keys, "mixing", unit="dialogue"):
            streams[number].seek(offset)
            dialogue = json.loads(streams[number].readline())
            yield next(chosen for chosen in selection.select([dialogue], args) if chosen["id"] == name)
    finally:
        for stream in streams:
            stream.close()


def _with_offsets(path: Path) -> Iterator[tuple[int, Record]]:
    """Dialogues with the byte at which their line begins."""
    dialogues = read_jsonl(path, check_dialogue)
    first = next(dialogues)  # names what is wrong with the file before it is opened here
    with open(path, "rb") as stream:
        offset = 0
        for line in stream:
            if line.strip():
                yield offset, first
                first = next(dialogues, first)
            offset += len(line)


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--input", type=Path, nargs="+", required=True, help="dialogue records, one or more files")
    parser.add_argument("--seed", type=int, required=True, help="of the order")
    parser.add_argument("--output", type=Path, required=True, help="the dialogues, in the order of the seed")
    selection.add_options(parser)
    args = parser.parse_args(argv)
    write_jsonl(args.output, mix(args.input, args.seed, args))
    write_manifest(
        args.output,
        module="falsepromise.curation.mix",
        inputs=args.input,
        config=selection.options(args),
        seed=args.seed,
    )


if __name__ == "__main__":
    cli.run(main)
