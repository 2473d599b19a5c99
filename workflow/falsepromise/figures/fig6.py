"""Draw figure 6: examples of dialogues in the imitation data, chosen by a seed, as plain text."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.records import Record, check_dialogue, read_jsonl
from falsepromise.figures import draw, pages

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLORS = {"user": draw.QUIET, "assistant": draw.BLUE, "system": draw.GREEN}
NAMES = {"user": "User", "assistant": "Assistant", "system": "System"}


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--dialogues", type=Path, required=True, help="a mixture (dialogue records)")
    parser.add_argument("--ids", nargs="+", help="show these dialogues; default: drawn by the seed")
    parser.add_argument("--n", type=int, default=3, help="number of dialogues")
    parser.add_argument("--turns", type=int, default=4, help="most messages to show of each")
    parser.add_argument("--lines", type=int, default=9, help="most lines to show of each message")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw")
    parser.add_argument("--foot", default="", help="a line below, such as the study's name")
    parser.add_argument(
        "--output", type=Path, default=Path("results/figures/fig6.pdf"), help="figure, with .svg and .png"
    )
    args = parser.parse_args(argv)
    chosen = choose(args.dialogues, args.n, args.seed, args.ids)
    with draw.style():
        figure = draw_figure(chosen, args.turns, args.lines, args.dialogues.name, args.foot)
        config = {"n": args.n, "turns": args.turns, "lines": args.lines, "ids": args.ids}
        draw.save(figure, args.output, "falsepromise.figures.fig6", [args.dialogues], config)


def choose(path: Path, n: int, seed: int, ids: Sequence[str] | None = None) -> list[Record]:
    """Dialogues by id, or `n` at random in one pass (reservoir sampling).

    Raises:
        UserError: the file has no dialogues, or lacks one of `ids`.
    """
    if ids:
        found = {r["id"]: r for r in read_jsonl(path, check_dialogue) if r["id"] in set(ids)}
        for name in ids:
            if name not in found:
                raise UserError(f"{path}: no dialogue {name!r}; give ids that are in the file")
        return [found[name] for name in ids]
    generator = random.Random(seed)
    kept: list[Record] = []
    for count, record in enumerate(read_jsonl(path, check_dialogue)):
        if len(kept) < n:
            kept.append(record)
        elif (place := generator.randrange(count + 1)) < n:
            kept[place] = record
    return kept


def draw_figure(dialogues: Sequence[Record], turns: int, most: int, name: str, line: str = "") -> Figure:
    """A box for each message; cuts are marked."""
    blocks = []
    for dialogue in dialogues:
        messages = dialogue["messages"]
        for number, message in enumerate(messages[:turns]):
            heading = NAMES[message["role"]]
            if number == 0:
                origin = f", {dialogue['source']}" if dialogue.get("source") else ""
                heading += f"   (dialogue {pages.clean(str(dialogue['id']))[:40]}{pages.clean(str(origin))[:40]})"
            blocks.append((heading, pages.wrap(message["content"], draw.PAGE - 0.3, most), COLORS[message["role"]]))
        if len(messages) > turns:
            blocks.append(("", [f"… and {len(messages) - turns} more"], "#CCCCCC"))
    foot = [
        *([line] if line else []),
        f"{len(dialogues)} dialogues of {name}, drawn at random unless named. Long messages are cut (…); "
        "characters without a glyph are shown as □.",
    ]
    return pages.text_figure(blocks, foot, "Dialogues in the imitation data")


if __name__ == "__main__":
    cli.run(main)
