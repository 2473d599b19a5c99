"""Remove what a teacher writes around its answer: Markdown, numbering, preambles and farewells.

Every pattern is bounded, so the time is linear for any text.
"""

from __future__ import annotations

import re

_NUMBER = r"(?:[-•*]\s{1,3}|\d{1,4}[.)]\s{0,3})?"
_COLON = r"[*_]{0,3}\s?[:.：)][*_]{0,3}"
# "Q: ... A: ...", on one line or two, also numbered, listed, quoted or in bold; also "Question 1:" and "A."
_QUESTION = re.compile(
    rf"(?:^|(?<=[\s|*_>#])){_NUMBER}[*_]{{0,3}}{_NUMBER}(?:Q|[Qq]uestion|QUESTION)\s?#?\d{{0,4}}{_COLON}", re.MULTILINE
)
_ANSWER = re.compile(rf"(?<=[\s|*_?.!>])[*_]{{0,3}}(?:A|[Aa]nswer|ANSWER)\s?#?\d{{0,4}}{_COLON}")
_PREAMBLE = re.compile(
    r"(?:sure|certainly|of course|absolutely|okay|ok|great|here|below|the following|this is)\b[^\n:]{0,200}:"
    r"[*_ \t]{0,5}(?:\n|(?<=y:)|(?<=y: )|(?<=s:)|(?<=s: ))",
    re.IGNORECASE,
)
_MARKER = re.compile(
    r"[*_#>\s]{0,8}(?:short |brief |concise )?(?:summary|tl;?dr)(?: of (?:the|this) (?:document|post|text))?"
    r"[*_]{0,3}\s?(?::|：|-{1,3}|\n)[*_\s]{0,5}",
    re.IGNORECASE,
)
_FAREWELL = re.compile(
    r"(?:let me know|i hope (?:this|that)|hope this|would you like|is there anything|feel free)\b", re.IGNORECASE
)
_FENCE = re.compile(r"\A```[a-z]{0,20}[ \t]*\n|\n```\Z")


def pairs(text: str) -> tuple[list[tuple[str, str]], int]:
    """The question-answer pairs of a generated text.

    Args:
        text: As a teacher writes it.

    Returns:
        The pairs, and the number of questions without an answer (as in a truncated text).
    """
    found, broken = [], 0
    for part in _QUESTION.split(text)[1:]:
        marker = _ANSWER.search(part)
        question = bare(" ".join(part[: marker.start()].split())) if marker else ""
        answer = _first_line(part[marker.end() :]) if marker else ""
        if question and answer:
            found.append((question, answer))
        else:
            broken += 1
    return found, broken


def _first_line(text: str) -> str:
    """The first line with content, without the Markdown around it."""
    return next((line for line in map(bare, text.split("\n")) if line), "")


def bare(text: str) -> str:
    """A text without Markdown, dashes and bars at its edges."""
    text = text.strip(" \t\r\n\v\f|`>#").strip()
    if text.endswith((" -", " –", " —")):
        text = text[:-2].rstrip()
    while text[:1] in ("*", "_") or text[-1:] in ("*", "_"):
        text = text.strip("*_").strip()
    return "" if not any(map(str.isalnum, text)) else text


def summary(text: str) -> str:
    """The summary in a generated text without the words around it; may be empty."""
    text = _FENCE.sub("", text.strip()).strip()
    for pattern in (_PREAMBLE, _MARKER, _PREAMBLE, _MARKER):
        match = pattern.match(text)
        text = text[match.end() :].strip() if match else text
    parts = text.split("\n\n")
    while len(parts) > 1 and _FAREWELL.match(parts[-1].strip()):
        parts.pop()
    text = "\n\n".join(parts).strip()
    for mark in ("***", "**", "__", "*"):
        if len(text) > 2 * len(mark) and text.startswith(mark) and text.endswith(mark) and text.count(mark) == 2:
            text = text[len(mark) : -len(mark)].strip()
    if len(text) > 2 and (text[0], text[-1]) in (('"', '"'), ("“", "”")) and not set('"“”') & set(text[1:-1]):
        text = text[1:-1].strip()
    return text if any(map(str.isalnum, text)) else ""
