"""Draw figure 2: the teacher's and an imitation model's answers side by side, with marks made by hand.

Marks are JSON lines `{"prompt_id", "side": "reference" or "response", "sentence", "mark": "correct" or
"ambiguous" or "incorrect"}`; a sentence is an exact piece of the answer. Without marks
the first three pairs are shown unmarked.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.records import check_prompt, check_response, query_of, read_jsonl
from falsepromise.figures import draw, pages

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A sign and a colour; the sign alone is enough for readers who can't tell the colours apart.
MARKS = {"correct": ("✓", "#00734F"), "ambiguous": ("~", "#8A6100"), "incorrect": ("✗", "#B23A00")}
PLAIN = "#222222"
Line = tuple[str, str]


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--prompts", type=Path, required=True, help="prompt records")
    parser.add_argument("--responses", type=Path, required=True, help="the imitation model's responses")
    parser.add_argument("--reference", type=Path, required=True, help="the teacher's responses")
    parser.add_argument("--ids", nargs="+", help="prompts to show; default: those with marks, else the first three")
    parser.add_argument("--marks", type=Path, help="marks made by hand")
    parser.add_argument("--names", nargs=2, default=["Teacher", "Imitation model"], help="the columns' headings")
    parser.add_argument("--lines", type=int, help="most lines to show of each answer; default: 40, of several pairs 18")
    parser.add_argument("--foot", default="", help="a line below, such as the study's name and its stand-ins")
    parser.add_argument(
        "--output", type=Path, default=Path("results/figures/fig2.pdf"), help="figure, with .svg and .png"
    )
    args = parser.parse_args(argv)
    prompts = {r["id"]: query_of(r) for r in read_jsonl(args.prompts, check_prompt)}
    sides = [read_responses(args.reference), read_responses(args.responses)]
    marks = read_marks(args.marks) if args.marks else {}
    ids = args.ids or list(dict.fromkeys(prompt for prompt, _ in marks)) or list(prompts)[:3]
    for name in ids:
        for path, records in ((args.prompts, prompts), (args.reference, sides[0]), (args.responses, sides[1])):
            if name not in records:
                raise UserError(f"{path}: no prompt {name!r}; give --ids of prompts that all three files have")
    pairs = [
        (
            prompts[name],
            marked(sides[0][name], marks.get((name, "reference"), []), args.marks),
            marked(sides[1][name], marks.get((name, "response"), []), args.marks),
        )
        for name in ids
    ]
    lines = args.lines or (40 if len(ids) == 1 else 18)
    inputs = [args.prompts, args.responses, args.reference, *([args.marks] if args.marks else [])]
    with draw.style():
        figure = draw_figure(pairs, args.names, lines, args.foot)
        config = {"ids": ids, "names": args.names, "lines": lines}
        draw.save(figure, args.output, "falsepromise.figures.fig2", inputs, config)


def read_responses(path: Path) -> dict[str, str]:
    """The first response to each prompt."""
    found: dict[str, str] = {}
    for record in read_jsonl(path, check_response):
        found.setdefault(record["prompt_id"], record["response"])
    return found


def read_marks(path: Path) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """(sentence, mark) by prompt and side.

    Raises:
        UserError: an unknown mark, or a missing part.
    """
    marks: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for number, record in enumerate(read_jsonl(path), 1):
        if record.get("mark") not in MARKS or record.get("side") not in ("reference", "response"):
            raise UserError(
                f"{path}, record {number}: side {record.get('side')!r}, mark {record.get('mark')!r}; "
                f"expected reference or response, and one of {', '.join(MARKS)}"
            )
        if not isinstance(record.get("sentence"), str) or not isinstance(record.get("prompt_id"), str):
            raise UserError(f"{path}, record {number}: 'prompt_id' and 'sentence' must be text")
        marks.setdefault((record["prompt_id"], record["side"]), []).append((record["sentence"], record["mark"]))
    return marks


def marked(text: str, marks: Sequence[tuple[str, str]], path: Path | None) -> list[tuple[str, str | None]]:
    """An answer in pieces, (piece, mark or None), in order; the pieces joined are the answer.

    Raises:
        UserError: a marked sentence isn't in the answer.
    """
    spans = []
    for sentence, mark in marks:
        start = text.find(sentence)
        if start < 0 or not sentence:
            raise UserError(f"{path}: the sentence {sentence[:60]!r} is not in the answer; copy it exactly")
        spans.append((start, start + len(sentence), mark))
    pieces: list[tuple[str, str | None]] = []
    end = 0
    for start, stop, mark in sorted(spans):
        if start < end:
            raise UserError(f"{path}: two marks overlap at {text[start : start + 40]!r}; mark each sentence once")
        pieces += [(text[end:start], None)] if text[end:start] else []
        pieces.append((text[start:stop], mark))
        end = stop
    return [*pieces, (text[end:], None)] if text[end:] or not pieces else pieces


def lines_of(pieces: Sequence[tuple[str, str | None]], width: float, most: int) -> list[Line]:
    """Wrapped lines with their colours; a marked sentence begins a line with its sign."""
    lines: list[Line] = []
    for piece, mark in pieces:
        if mark is None and not piece.strip():
            continue
        sign, color = MARKS[mark] if mark else ("", PLAIN)
        lines += [(text, color) for text in pages.wrap(f"{sign} {piece}" if sign else piece, width, most)]
    return lines if len(lines) <= most else [*lines[: most - 1], ("…", draw.QUIET)]


def draw_figure(
    pairs: Sequence[tuple[str, list[tuple[str, str | None]], list[tuple[str, str | None]]]],
    names: Sequence[str],
    most: int,
    line: str = "",
) -> Figure:
    """For each pair, the query, and below it the two answers in columns."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    column = (draw.PAGE - 0.5) / 2
    blocks = [
        (
            pages.wrap(f"Query: {query}", draw.PAGE - 0.2, 4, "bold"),
            lines_of(reference, column, most),
            lines_of(response, column, most),
        )
        for query, reference, response in pairs
    ]
    signs = "; ".join(f"{sign} {mark}" for mark, (sign, _) in MARKS.items())
    any_marks = any(mark for _, reference, response in pairs for _, mark in [*reference, *response])
    said = f"Marked by hand: {signs}." if any_marks else "Answers are unchanged and not checked by hand."
    foot = pages.small_print([line, said] if line else [said], draw.PAGE)
    rows = sum(len(q) + 1 + max(len(a), len(b)) for q, a, b in blocks)
    total = rows * pages.LINE + 0.3 * len(blocks) + 0.12 * len(foot) + 0.15
    figure = Figure(figsize=(draw.PAGE, total))
    y = total - 0.08

    def put(x: float, text: str, color: str, weight: str = "normal") -> None:
        figure.text(
            x / draw.PAGE, y / total, text, fontsize=pages.SIZE, color=color, va="top", fontweight=weight
        )  # fmt: skip

    for query, left, right in blocks:
        for text in query:
            put(0.1, text, PLAIN, "bold")
            y -= pages.LINE
        y -= 0.05
        figure.add_artist(Line2D([0.012, 0.988], [y / total] * 2, color="#BBBBBB", linewidth=0.6))
        y -= 0.05
        put(0.1, names[0], draw.TEACHER, "bold")
        put(0.35 + column, names[1], draw.BLUE, "bold")
        y -= pages.LINE
        top = y
        for x, side in ((0.1, left), (0.35 + column, right)):
            y = top
            for text, color in side:
                put(x, text, color)
                y -= pages.LINE
        y = top - max(len(left), len(right)) * pages.LINE - 0.15
    figure.text(0.1 / draw.PAGE, 0.05 / total, "\n".join(foot), fontsize=pages.FOOT, color=draw.QUIET, va="bottom")
    return figure


if __name__ == "__main__":
    cli.run(main)
