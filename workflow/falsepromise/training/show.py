"""Print blocks as the model is trained on them: what is predicted in green, special tokens in bold.

Text in green counts in the loss; the rest is only context. A line marks the end of a document, `·` is padding. If the
output is not a terminal, the counted text is in [[ ]] instead (--colour never).

  python -m falsepromise.training.show --blocks results/quickstart/training/blocks/T/M.s0 \\
      --tokenizer results/quickstart/training/models/M --block 0 5
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.models.chat import ChatTokenizer, load_any
from falsepromise.models.continuation import Continuation
from falsepromise.training.blocks import Blocks

GREEN, BOLD, FAINT, PLAIN = "\x1b[32m", "\x1b[1m", "\x1b[2m", "\x1b[0m"


def show(blocks: Blocks, index: int, tokenizer: ChatTokenizer, colour: bool) -> Iterator[str]:
    """The lines of one block.

    Args:
        blocks: The blocks.
        index: Which one.
        tokenizer: That made them.
        colour: Escape codes of a terminal, or brackets.
    """
    row = {name: values[0] for name, values in blocks.rows(np.array([index])).items()}
    n = min((index + 1) * blocks.block_size, blocks.budget - 1) - index * blocks.block_size  # the rest is padding
    # The first input is read alone; each other token is also a target.
    ids = [int(row["inputs"][0]), *row["targets"][:n].tolist()]
    counted = [False, *(row["mask"][:n] > 0).tolist()]
    documents = len(set(row["segments"][:n].tolist()))
    yield (
        f"block {index} of {len(blocks)}: {n} tokens, {sum(counted)} count in the loss ({sum(counted) / n:.0%}), "
        f"from {documents} document{'s' * (documents > 1)}"
    )
    starts = set((blocks.documents - index * blocks.block_size).tolist())
    special = {i: piece.content for i, piece in tokenizer.tokenizer.get_added_tokens_decoder().items() if piece.special}
    kinds = [
        (counts, token in special, place in starts)
        for place, (token, counts) in enumerate(zip(ids, counted, strict=True))
    ]
    pieces: list[str] = []
    for (counts, mark, opens), places in itertools.groupby(range(n + 1), key=kinds.__getitem__):
        if opens and pieces:
            yield "".join(pieces)
            yield "─" * 40
            pieces = []
        run = list(places)
        said = "".join(special[ids[place]] for place in run) if mark else _text(tokenizer, ids, run[0], len(run), opens)
        text = said if mark else _harmless(said)
        pieces.append(_painted(text, counts, mark, colour))
    yield "".join(pieces) + "·" * min(blocks.block_size - n, 40)


def _text(tokenizer: ChatTokenizer, ids: Sequence[int], start: int, n: int, opens: bool) -> str:
    """What a run of tokens adds to the text before it; a document's first run stands alone."""
    continuation = Continuation(tokenizer, [] if opens else ids[max(0, start - 64) : start])
    continuation.push(ids[start : start + n], end=True)
    return continuation.text


def _painted(text: str, counts: bool, special: bool, colour: bool) -> str:
    if not colour:
        return f"[[{text}]]" if counts else text
    return (GREEN if counts else "") + (BOLD if special else "") + text + PLAIN if counts or special else text


def _harmless(text: str) -> str:
    """Text from outside without what a terminal would obey."""
    return "".join(c if c in "\n\t" or c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--blocks", type=Path, required=True, help="folder that training.blocks wrote")
    parser.add_argument("--tokenizer", type=Path, required=True, help="the model's folder")
    parser.add_argument("--block", type=int, nargs="+", default=[0], help="numbers of the blocks, from 0")
    parser.add_argument("--colour", choices=("auto", "always", "never"), default="auto")
    args = parser.parse_args(argv)
    tokenizer, _ = load_any(args.tokenizer)
    blocks = Blocks.open(args.blocks, rows=tokenizer.vocab_size)
    colour = args.colour == "always" or (args.colour == "auto" and sys.stdout.isatty() and "NO_COLOR" not in os.environ)
    for index in args.block:
        if not 0 <= index < len(blocks):
            raise UserError(f"--block {index}: {args.blocks} has the blocks 0 to {len(blocks) - 1}")
        print(*show(blocks, index, tokenizer, colour), sep="\n")


if __name__ == "__main__":
    cli.run(main)
