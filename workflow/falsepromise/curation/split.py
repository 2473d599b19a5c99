"""Hold out dialogues for evaluation prompts; no training data come from them.

The seed draws whole dialogues; both files keep the order of the input.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from pathlib import Path

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import write_manifest
from falsepromise.core.records import check_dialogue, read_jsonl, write_jsonl
from falsepromise.curation.order import place


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--input", type=Path, required=True, help="dialogue records")
    parser.add_argument("--output-train", type=Path, required=True, help="the dialogues to train on")
    parser.add_argument("--output-heldout", type=Path, required=True, help="the dialogues that are held out")
    parser.add_argument("--heldout", type=int, required=True, metavar="N", help="number of dialogues to hold out")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw")
    args = parser.parse_args(argv)
    if args.heldout < 0:
        raise UserError(f"--heldout {args.heldout}: expected 0 or more")
    places = [place(dialogue, args.seed) for dialogue in read_jsonl(args.input, check_dialogue)]
    count = len(places)
    if count <= args.heldout:
        raise UserError(f"{args.input}: has {count:,} dialogues; --heldout {args.heldout} would leave none to train on")
    held = set(heapq.nsmallest(args.heldout, range(count), key=places.__getitem__))
    for output, inside in ((args.output_heldout, True), (args.output_train, False)):
        dialogues = enumerate(read_jsonl(args.input))
        write_jsonl(output, (dialogue for number, dialogue in dialogues if (number in held) == inside))
    for output in (args.output_heldout, args.output_train):
        write_manifest(
            output,
            module="falsepromise.curation.split",
            inputs=[args.input],
            config={"heldout": args.heldout},
            seed=args.seed,
        )


if __name__ == "__main__":
    cli.run(main)
