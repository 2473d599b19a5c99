"""Draw untrusted text: wrapped, cut and cleaned, never interpreted.

matplotlib draws glyphs, so no text can run or load anything. This module removes control characters, keeps a text
within its box, and marks characters that the font can't draw.
"""

from __future__ import annotations

import textwrap
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = 6.9  # inches: the text width of a two-column page
QUIET = "#6B6B6B"
LINE = 0.125  # inches, of a line of 6.2-point text
SIZE = 6.2
LONGEST = 160  # characters of a line
FOOT = 5.2  # points, of the small print
DPI = 1200  # fine, because hinting moves letters at screen resolution


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


@lru_cache(maxsize=2)
def _font(weight: str = "normal"):
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return get_font(findfont(FontProperties(family="DejaVu Sans", weight=weight)))


@lru_cache(maxsize=1)
def _glyphs() -> frozenset[int]:
    return frozenset(_font().get_charmap())


def inches(text: str, weight: str = "normal") -> float:
    """The width of a line in the text's size."""
    font = _font(weight)
    font.set_size(SIZE, DPI)  # each time, because matplotlib's renderers share the font and set their own size
    font.set_text(text)
    return font.get_width_height()[0] / 64 / DPI


def wrap(text: str, width: float, most: int, weight: str = "normal") -> list[str]:
    """Lines at most `width` inches wide, at most `most` of them; a cut is marked with "…"."""
    lines: list[str] = []
    for paragraph in clean(text).strip().split("\n"):
        seen = paragraph[: LONGEST * (most + 1)]  # measuring a megabyte would take minutes
        lines += _fit(seen, width, weight=weight)
        if len(lines) > most or seen != paragraph:
            lines = lines[:most]
            cut = lines.pop()
            while cut and inches(cut + " …", weight) > width:
                cut = cut[:-1]
            return [*lines, cut.rstrip() + " …"]
    return lines


def _fit(paragraph: str, width: float, characters: int = LONGEST, weight: str = "normal") -> list[str]:
    indent = " " * min(len(paragraph) - len(paragraph.lstrip()), 24)
    lines = textwrap.wrap(paragraph, characters, subsequent_indent=indent, break_on_hyphens=False) or [""]
    widest = max(inches(line, weight) for line in lines)
    if widest <= width or characters <= 8:
        return lines
    return _fit(paragraph, width, max(8, min(characters - 1, int(characters * width / widest * 1.02))), weight)


def small_print(lines: list[str] | tuple[str, ...], width: float) -> list[str]:
    """The foot's lines, wrapped to a figure of `width` inches."""
    room = (width - 0.14) * SIZE / FOOT
    return [part for line in lines for part in _fit(line, room, 260)]


def text_figure(blocks: list[tuple[str, list[str], str]], foot: list[str], title: str) -> Figure:
    """Boxes below each other.

    Args:
        blocks: (heading, lines, colour of the bar at the left).
        foot: Small print.
        title: Above the first box.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    width = PAGE
    small = small_print(foot, width)
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
    figure.text(0.07 / width, 0.05 / total, "\n".join(small), fontsize=FOOT, color=QUIET, va="bottom")
    return figure
