"""Detect lists and summary paragraphs in replies.

The paper's Table 2 uses both without a definition. The definitions here are this project's, tested on hand-labelled
cases of every kind; docs/style.md has their precision and recall on real replies.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_FENCE = re.compile(r"^ {0,3}(`{3,}(?!`)|~{3,}(?!~)).*?(?:^ {0,3}\1[`~]*[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_CODE = "```"  # what stands for a code block
_TABLE_ROW = re.compile(r"^[ \t]*\|.*$", re.MULTILINE)
_RULE = re.compile(r"[-*_ ]{3,}")
_DECORATION = re.compile(r"(?:#{1,6}[ \t]+|>[ \t]?)*(?:\*\*|__)?")
_BULLETS = frozenset("-*+•‣⁃∙·◦→")
_NOT_BULLETS = frozenset("♪♫♬©®™°")
_NUMBER = re.compile(r"\(?(\d{1,2})(?:️?⃣|[.):](?=\*\*|\s)|[.)](?=[^\W\d_])|\s?[-–](?=\s+[^\W\d_]{2}))\s*\S")
_SECTION = re.compile(r"\(?\d{1,2}\.(\d{1,2})[.):]?\s+\S")
_LETTER = re.compile(r"\(?([A-Za-z])[.)]\s+\S")
_ROMAN = re.compile(r"\(?(i|ii)[.)]\s+\S", re.IGNORECASE)
_LABEL = re.compile(r"\b([A-Z][A-Za-z]+)\s+#?(\d{1,2})(?:\s*[.:)]|\s+[–-]\s)")
_NOT_LABELS = {"verse", "chorus", "person", "speaker", "player", "actor", "character", "voice"}  # songs, dialogues
_INLINE = re.compile(r"(?:^|(?<=\s))\(?(\d{1,2})[.)]\s+(?=\S)")
_START = r"(?:^[ \t]*|(?<=[.!?:;]\s)|(?<=[.!?]\s\s))(?:\*\*)?"  # of a line or of a sentence
_FIRST = re.compile(_START + r"(?:First(?:ly)?|First of all|First and foremost)(?:\*\*)?,", re.MULTILINE)
_SECOND = re.compile(_START + r"(?:Second(?:ly)?|Second of all)(?:\*\*)?,", re.MULTILINE)


def without_code(text: str) -> str:
    """The text with a mark instead of each fenced code block (an open one runs to the end)."""
    return _FENCE.sub(f"\n\n{_CODE}\n\n", text.replace("\r\n", "\n"))


def has_list(text: str) -> bool:
    """Whether a reply has a list: `list_kind(text)` is not None."""
    return list_kind(text) is not None


def list_kind(text: str) -> str | None:
    """The kind of a reply's first list outside fenced code; None without a list.

    A list is, at its smallest,

    - `bulleted`: two lines that open with the same bullet and a space. A bullet is `-`, `*`, `+`,
      a Unicode bullet or arrow, or a symbol (emoji, check mark, square). Its item holds a letter.
    - `numbered`: two lines that open with numbers 1..99 that follow on each other, as `1.`, `1)`,
      `(1)`, `1:`, `1 -`, a keycap or below another number (`2.1`, `2.2`). Other lines, code too,
      may stand between them; a second `1.` also follows on a first, since Markdown numbers by
      itself. Or the numbers 1, 2 and 3, each with `.` or `)`, in one paragraph.
    - `labelled`: two lines that open with the same capitalised word and numbers that follow on each
      other (`Step 1:`, `Day 1 -`, `Slide 1.`); not the verses of a song or the speakers of a dialogue.
    - `lettered`: two lines that open with letters or Roman numerals that follow on each other, as
      `a.`, `a)`, `(a)`, the first being `a` or `i`.
    - `ordinal`: a sentence that opens with `First,` and a later one that opens with `Second,`
      (`Firstly`, `First of all`, ...).

    Not lists: a lone item, a year or a decimal at a line's start, a rule (`---`), a table, a
    dialogue set with em or en dashes, anything in fenced code.

    Args:
        text: A reply, plain or Markdown.
    """
    text = _TABLE_ROW.sub("", without_code(text))
    lines = [line for line in map(_opening, text.split("\n")) if line]
    if _has_bullets(lines):
        return "bulleted"
    sections = (int(match[1]) for match in map(_SECTION.match, lines) if match)
    if _follow_on(_numbers(lines), restarts=True) or _follow_on(sections) or _counts_inline(text):
        return "numbered"
    if _has_labels(lines):
        return "labelled"
    if _has_letters(lines):
        return "lettered"
    first = _FIRST.search(text)
    if first and _SECOND.search(text, first.end()):
        return "ordinal"
    return None


def _opening(line: str) -> str:
    """A line without its indent, heading or quote marks and opening bold mark."""
    line = line.strip()
    return line[_DECORATION.match(line).end() :]  # type: ignore[union-attr]  # it matches nothing, too


def _has_bullets(lines: list[str]) -> bool:
    seen: set[str] = set()
    for line, after in zip(lines, [*lines[1:], ""], strict=False):
        if line in _BULLETS:  # a mark on a line of its own, its item below
            line = f"{line} {after}"
        mark, rest = line[0], line[1:].lstrip("️")
        tight = rest and (mark in "•●▪■◦" or (mark == "*" and rest[0].isalpha() and "*" not in rest))
        if not rest.startswith((" ", "\t", "\u00a0")) and not tight:
            continue
        symbol = unicodedata.category(mark) == "So" and mark not in _NOT_BULLETS and not "\u2500" <= mark <= "\u257f"
        if mark not in _BULLETS and not symbol:
            continue
        if _RULE.fullmatch(line) or not any(map(str.isalpha, rest)):
            continue
        if mark in seen:
            return True
        seen.add(mark)
    return False


def _numbers(lines: list[str]) -> Iterator[int]:
    return (int(match[1]) for match in map(_NUMBER.match, lines) if match)


def _follow_on(numbers: Iterator[int], restarts: bool = False) -> bool:
    before: int | None = None
    for number in numbers:
        if before is not None and (number == before + 1 or (restarts and number == before == 1)):
            return True
        before = number
    return False


def _counts_inline(text: str) -> bool:
    for paragraph in paragraphs(text):
        expected = 1
        for match in _INLINE.finditer(paragraph):
            if int(match[1]) == expected:
                expected += 1
        if expected > 3:
            return True
    return False


def _has_labels(lines: list[str]) -> bool:
    last: dict[str, int] = {}
    for match in filter(None, map(_LABEL.match, lines)):
        label, number = match[1].lower(), int(match[2])
        if label in _NOT_LABELS:
            continue
        if number == last.get(label, -1) + 1:
            return True
        last[label] = number
    return False


def _has_letters(lines: list[str]) -> bool:
    letters = [match[1] for match in map(_LETTER.match, lines) if match]
    for start in "aA":
        if start in letters and chr(ord(start) + 1) in letters[letters.index(start) :]:
            return True
    romans = [match[1].lower() for match in map(_ROMAN.match, lines) if match]
    return "i" in romans and "ii" in romans[romans.index("i") :]


_SUMS_UP = (
    r"in (?:summary|conclusion|short|brief|essence|closing|a nutshell)",
    r"to (?:summari[sz]e|sum up|conclude|recap|wrap up)|summing up",
    r"(?:so|and),? (?:overall|in (?:summary|conclusion|short))",
    r"overall|ultimately|all in all|altogether|taken together|on the whole",
    r"conclusions?|summary|tl;?dr",
    r"all of these|as you can see|as we have seen|all things considered",
    r"putting (?:it|this|everything) (?:all )?together",
    r"despite (?:all )?(?:of )?these|in (?:both|either|all) cases|(?:the )?(?:bottom line|(?:key |main )?takeaways?)",
    r"by (?:\w+ly )?[a-z]+ing (?:[a-z]+ ){0,4}(?:these|this|those)",
    r"by (?!using\b)(?:\w+ly )?[a-z]+ing [^,.\n]{3,90}, (?:you|we|people|they|one|(?:\w+ ){1,3})(?: can| will|'ll|’ll)",
    r"(?:following|using|applying|practicing|combining) (?:these|all of these)",
    r"based on (?:all )?(?:of )?(?:these|this|those)",
    r"(?:in )?this way(?=,)|in general(?=,)|for (?:these|all of these|all these) reasons",
    r"(?:it is|it's|it’s) (?:impossible|difficult|hard) to (?:say|know|predict)[^.\n]{0,200},? (?:but|however)",
    r"with (?:all )?(?:these|this) (?:\w+ ){1,3}in (?:mind|place)",
)
_SUMMARY = re.compile(rf"(?:#+ )?(?:\*\*|__|[\"“])?(?:(?:{'|'.join(_SUMS_UP)})\b|with these \w+,)", re.IGNORECASE)
# What closes a derivation: however short.
_THEREFORE = re.compile(
    r"(?:\*\*)?(?:(?:therefore|thus|hence|consequently|as a result|in other words)\b|"
    r"so,? (?:while|the|this|these|if|in|on|during|according|we|there|it|its|a|an|your|[a-z]\b(?=[ (]*[=(x])))",
    re.IGNORECASE,
)
_SUMMARY_INSIDE = re.compile(r"[.!?] (?:Overall|Ultimately|In (?:summary|conclusion|short)|To summari[sz]e|To sum up),")
_COURTESY = re.compile(
    r"(?:i hope (?:this|that|these|it|you)|hope (?:this|that|it)|let me know|please let me know|feel free to|"
    r"(?:thanks|thank you) (?:so much )?for (?:watching|listening|reading|joining)|"
    r"if you (?:have|need|would like|want)|is there anything|would you like|do you have any|good luck|best of luck)\b",
    re.IGNORECASE,
)
_HEADING = re.compile(
    r"[#*_\s]*(?:(?:[A-Z][a-z]+ )?(?:\d{1,2}|[IVX]+)[.:)]\s+)?"  # numbered, as `Slide 6:`, `5.` or `VI.`
    r"(?:conclusions?|(?:in )?summary|final thoughts)[:*_\s]*(?:\n[-=]{3,})?",
    re.IGNORECASE,
)
_BLANK_LINES = re.compile(r"\n[ \t]*\n")


def paragraphs(text: str) -> list[str]:
    """The blocks of a text that blank lines part, stripped; empty ones are left out."""
    return [block for block in map(str.strip, _BLANK_LINES.split(text)) if block]


def has_summary_paragraph(text: str) -> bool:
    """Whether a reply ends in a paragraph that sums up or draws a conclusion.

    The last paragraph, or its last line where single line breaks part the paragraphs, counts where
    something stands before it and it opens with words that look back on the whole: `In summary`,
    `In conclusion`, `Overall`, `To sum up`, `In short`, `Ultimately`, `By following these ...`,
    `Based on this ...`, `Putting it all together` and the like; or draws the conclusion of a derivation
    (`Therefore, x = 10.`, `So the value is 39.`); or has a later sentence that opens with one of the
    plainest of them (`Overall,`), or a heading `Conclusion` or `Summary` over it.
    Courtesies that close a reply (`I hope this helps!`, `Let me know ...`) are passed over. A last
    caveat (`These are just a few examples`, `Note that ...`) or advice (`Remember ...`) sums up nothing.
    An item of a list, a table, a lone heading and code are no paragraphs, and a reply of one
    paragraph has no summary paragraph.

    Args:
        text: A reply, plain or Markdown.
    """
    blocks = paragraphs(without_code(text))
    while blocks and _COURTESY.match(blocks[-1]):
        blocks.pop()
    if not blocks:
        return False
    first, *others = blocks[-1].split("\n")
    while others and _COURTESY.match(others[-1].strip()):
        others.pop()
    if len(blocks) > 1 and not _is_item(first) and _sums_up(blocks[-1]):
        return True
    if others and not _is_item(others[-1]) and _sums_up(others[-1].strip()):
        return True
    if others and len(blocks) > 1 and _HEADING.fullmatch(first):
        return not _is_item(others[0]) and others[0] != _CODE
    under_heading = len(blocks) > 1 and _HEADING.fullmatch(blocks[-2])
    return bool(under_heading) and not _is_item(first) and first != _CODE


def _sums_up(paragraph: str) -> bool:
    opens = bool(_SUMMARY.match(paragraph)) and len(paragraph.split()) > 4
    concludes = bool(_THEREFORE.match(paragraph)) and len(paragraph.split()) > 2
    return opens or concludes or bool(_SUMMARY_INSIDE.search(paragraph))


def _is_item(line: str) -> bool:
    opening = _opening(line)
    return bool(re.match(r"[-*+•‣∙·◦|]\s", line.strip()) or _NUMBER.match(opening) or _LETTER.match(opening))
