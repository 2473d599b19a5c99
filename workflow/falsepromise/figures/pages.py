"""Untrusted text drawn as text: wrapped, cut and cleaned, never interpreted.

matplotlib draws glyphs, so nothing in a text can run or load anything; what is left to do is to
drop control characters, to keep a text within its box, and to say what the font can't draw.
"""

from __future__ import annotations

import textwrap
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

from falsepromise.figures import draw

LINE = 0.125  # inches a line of 6.2-point text takes
SIZE = 6.2


def clean(text: str) -> str:
    """Text without control, format and surrogate characters; tabs as spaces.

    Characters that the figures' font has no glyph for are shown as "□".
    """
    kept = []
    for character in text.replace("\r\n", "\n").expandtabs(4):
        if character == "\n":
            kept.append(character)
        elif unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn"):
            continue
        else:
            kept.append(character if ord(character) in _glyphs() else "□")
    return "".join(kept)


_known: dict[str, frozenset[int]] = {}


def _glyphs() -> frozenset[int]:
    if "font" not in _known:
        from matplotlib.font_manager import FontProperties, findfont, get_font

        _known["font"] = frozenset(get_font(findfont(FontProperties(family="DejaVu Sans"))).get_charmap())
    return _known["font"]


def wrap(text: str, width: int, most: int) -> list[str]:
    """Lines of at most `width` characters, at most `most` of them; a cut is marked with "…"."""
    lines: list[str] = []
    for paragraph in clean(text).strip().split("\n"):
        indent = paragraph[: len(paragraph) - len(paragraph.lstrip())][: width // 3]
        lines += textwrap.wrap(
            paragraph, width, subsequent_indent=indent, break_long_words=True, break_on_hyphens=False
        ) or [""]
        if len(lines) > most:
            return [*lines[: most - 1], lines[most - 1][: width - 2].rstrip() + " …"]
    return lines


def text_figure(blocks: list[tuple[str, list[str], str]], foot: list[str], title: str) -> Figure:
    """Boxes below each other.

    Args:
        blocks: (heading, lines, colour of the bar at the left).
        foot: Small print.
        title: Above the first box.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    width = draw.PAGE
    small = [part for line in foot for part in textwrap.wrap(line, int(width * 25.5))]
    heights = [(len(lines) + (1 if heading else 0)) * LINE + 0.12 for heading, lines, _ in blocks]
    total = sum(heights) + 0.06 * len(blocks) + 0.32 + 0.11 * len(small) + 0.1
    figure = Figure(figsize=(width, total))
    figure.text(0.07 / width, 1 - 0.08 / total, title, fontsize=8.5, fontweight="bold", va="top")
    top = total - 0.32
    for (heading, lines, color), height in zip(blocks, heights, strict=True):
        base = top - height
        figure.add_artist(Rectangle((0.07 / width, base / total), 0.03 / width, height / total, color=color, lw=0))
        y = top - 0.05
        if heading:
            figure.text(0.18 / width, y / total, heading, fontsize=SIZE, fontweight="bold", color=color, va="top")
            y -= LINE
        for line in lines:
            figure.text(0.18 / width, y / total, line, fontsize=SIZE, va="top", color="#222222")
            y -= LINE
        top = base - 0.06
    figure.text(0.07 / width, 0.05 / total, "\n".join(small), fontsize=5.2, color=draw.QUIET, va="bottom")
    return figure
