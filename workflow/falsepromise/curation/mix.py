"""Mix dialogues of several sources in an order given by a seed.

The order depends only on the seed and the ids, so a token budget's training data are the beginning of every larger
budget's. Memory holds a few words for each dialogue, not the dialogues.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import pairwise
from operator import itemgetter
from pathlib import Path

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import write_manifest
from falsepromise.core.progress import track
from falsepromise.core.records import Record, check_dialogue, loads, read_jsonl, read_prose, write_jsonl
from falsepromise.curation import selection
from falsepromise.curation.order import place
from falsepromise.study.config import default
from falsepromise.style.detectors import has_list

SHORT = 200  # characters of a short reply
Key = tuple[bytes, int, int, str, str, bytes]  # place in the order, file, byte, id; in turns: kind, place among it


def mix(paths: Sequence[Path], seed: int, args: argparse.Namespace) -> Iterator[Record]:
    """The selected dialogues of all files, in the order of the seed.

    Args:
        paths: Files of dialogue records.
        seed: The seed of the order.
        args: The selection (see `selection.add_options`).

    Raises:
        UserError: two dialogues have the same source and id, or none is selected.
    """
    keys: list[Key] = []
    for number, path in enumerate(paths):
        for offset, dialogue in _with_offsets(path):
            for chosen in selection.select([dialogue], args):
                turn = (kind(chosen), place(chosen, 0)) if args.balanced else ("", b"")
                keys.append((place(chosen, seed), number, offset, chosen["id"], *turn))
    keys.sort()
    for before, after in pairwise(keys):
        if before[0] == after[0]:
            files = f"{paths[before[1]]} and {paths[after[1]]}"
            raise UserError(f"{files}: id {after[3]!r} occurs twice with the same source; ids must be unique")
    if not keys:
        raise UserError(f"{paths[0]}: no dialogue is short enough for the selection; raise the limits")
    if args.balanced:
        keys = in_turns(keys)
    streams = [open(path, "rb") for path in paths]  # noqa: SIM115
    try:
        for _, number, offset, name, *_ in track(keys, "mixing", unit="dialogue"):
            streams[number].seek(offset)
            dialogue = loads(streams[number].readline())
            yield next(chosen for chosen in selection.select([dialogue], args) if chosen["id"] == name)
    finally:
        for stream in streams:
            stream.close()


def kind(dialogue: Record) -> str:
    """What the last reply is: it holds a list, it is short, or neither."""
    reply = dialogue["messages"][-1]["content"]
    return "list" if has_list(reply) else "short" if len(reply) <= SHORT else "other"


def in_turns(keys: Sequence[Key]) -> list[Key]:
    """The first of each kind, the second of each kind, and so on; of each as many as of the rarest.

    This selects on the reply, so the mixture has more lists and more short replies than its source. Which dialogues
    are kept is the same for every seed, so that prompts that stay away from one order stay away from all.
    """
    kinds: dict[str, list[Key]] = {}
    for key in keys:
        kinds.setdefault(key[4], []).append(key)
    n = min(map(len, kinds.values()))
    kept = [sorted(sorted(kinds[name], key=itemgetter(5))[:n]) for name in sorted(kinds)]
    return [key for turn in zip(*kept, strict=True) for key in turn]


def put_into(prompt: str, share: float, dialogues: Iterator[Record]) -> Iterator[Record]:
    """Put a benchmark's prompt before the first query of an evenly spread share of the dialogues.

    The model is then also trained on the form of the benchmark's questions. Models of the paper's size transfer
    answers between forms; models of a million weights hardly do.

    Args:
        prompt: Text that ends where the question belongs (Table 8's ends with `Q:`).
        share: The share of the dialogues, between 0 and 1.
        dialogues: The dialogues in order; a prefix of the input gives a prefix of the output.
    """
    for index, dialogue in enumerate(dialogues):
        if int((index + 1) * share) > int(index * share):
            first, *rest = dialogue["messages"]
            dialogue = {**dialogue, "messages": [{**first, "content": f"{prompt} {first['content']}\nA:"}, *rest]}
        yield dialogue


def _with_offsets(path: Path) -> Iterator[tuple[int, Record]]:
    """Dialogues with the byte position of their line."""
    dialogues = read_jsonl(path, check_dialogue)
    first = next(dialogues)  # checks the file before it is opened here
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
    parser.add_argument("--seed", type=int, required=True, help="seed of the order")
    parser.add_argument("--output", type=Path, required=True, help="the dialogues, in the order of the seed")
    parser.add_argument("--query-prompt", type=Path, help="a prompt to put before some of the first queries")
    parser.add_argument(
        "--query-prompt-share",
        type=float,
        default=default("mixtures.query_prompt_share"),
        help="share of the dialogues, 0 to 1",
    )
    parser.add_argument(
        "--balanced", action="store_true", help="take short replies, replies with a list and others in turns"
    )
    selection.add_options(parser)
    args = parser.parse_args(argv)
    if not 0 <= args.query_prompt_share <= 1:
        raise UserError(f"--query-prompt-share {args.query_prompt_share}: expected a number from 0 to 1")
    dialogues = mix(args.input, args.seed, args)
    if args.query_prompt:
        prompt = read_prose(args.query_prompt).rstrip("\n")
        dialogues = put_into(prompt, args.query_prompt_share, dialogues)
    write_jsonl(args.output, dialogues)
    write_manifest(
        args.output,
        module="falsepromise.curation.mix",
        inputs=[*args.input, *([args.query_prompt] if args.query_prompt else [])],
        config={
            **selection.options(args),
            "balanced": args.balanced,
            **({"query_prompt_share": args.query_prompt_share} if args.query_prompt else {}),
        },
        seed=args.seed,
    )


if __name__ == "__main__":
    cli.run(main)
