"""Turn HTML that scraping left in a turn back into the Markdown that it was rendered from.

Only leftovers of pages are converted: a turn with the chat page's own classes, or a reply that
is only rendered Markdown (begins with a block tag, ends with a closing tag, and has no other
tags) to a query that doesn't ask for HTML. HTML that the dialogue is *about* is kept: in code, in tables, in a
user's query. The parser is libxml2's, with linear time and bounded depth for any text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_PAGE_CLASS = re.compile(r"<div\b[^<>]*\bclass=[\"'][^\"'<>]*\b(?:markdown|prose|whitespace-pre-wrap)\b", re.IGNORECASE)
_BLOCK = r"(?:p|div|ol|ul|h[1-6]|pre|blockquote|table)"
_BEGINS = re.compile(rf"\s*<{_BLOCK}\b[^<>]*>", re.IGNORECASE)
_ENDS = re.compile(rf"</{_BLOCK}>\Z", re.IGNORECASE)
_TAG = re.compile(r"</?([A-Za-z][A-Za-z0-9-]*)\b")
_ASKS_FOR_HTML = re.compile(r"(?i)\bx?html5?\b|\bmarkup\b|\bweb ?page|</?[a-z]+>|\blanding page|\bcss\b")

_HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}
_BLOCKS = {"p", "div", "blockquote", "table", "ol", "ul", "hr", "section", "article", "details", "summary", *_HEADINGS}
_INLINE = {"strong": "**", "b": "**", "em": "*", "i": "*", "del": "~~", "s": "~~"}
_SILENT = {"button", "svg", "style", "head", "title", "math", "template", "noscript", "textarea", "select"}
_PLAIN = {"a", "br", "code", "li", "span", "tbody", "tfoot", "td", "th", "thead", "tr", "colgroup", "col", "input"}
_MATH = {"math", "semantics", "annotation", "mrow", "mi", "mo", "mn", "msup", "msub", "mfrac", "msqrt", "mtext"}
_MATH |= {"mover", "mstyle", "mspace", "munder", "munderover", "msubsup", "mtable", "mtr", "mtd", "mpadded", "mroot"}
_RENDERED = _BLOCKS | _PLAIN | _MATH | set(_INLINE) | {"pre", "button", "svg", "path", "img", "sup", "sub", "g"}
_RENDERED |= {"polyline", "circle", "rect", "line"}
_VOID = {"br", "hr", "img", "input", "path", "col", "meta", "link", "wbr", "source", "area", "base", "embed", "rect"}
_HIDDEN_CLASS = re.compile(r"(?:^|\s)(?:sr-only|hidden|invisible|katex-html|visually-hidden|MathJax_Preview)(?:\s|$)")
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_LANGUAGE = re.compile(r"\b(?:language|lang)-([\w+#.-]+)")
_FENCE = re.compile(r"(\n *```)")
_LABEL = re.compile(r"\s*([A-Za-z][\w+#.-]{0,19})\s*(?:Copy code)?\s*\Z")
_DEEPEST = 12  # nested lists and quotes; deeper ones are written flat
_LONGEST_CLASS = 2000


def is_scraped_html(text: str, reply: bool, asked: str = "") -> bool:
    """Whether a turn is a page's HTML and not text about HTML.

    Args:
        text: The turn.
        reply: Whether the assistant wrote it.
        asked: What the user asked, for a reply.
    """
    if "<" not in text:
        return False
    if "class=" in text and _PAGE_CLASS.search(_outside_fences(text)):
        return True
    if not reply or not _BEGINS.match(text) or not _ENDS.search(text.rstrip()[-20:]):
        return False
    if _ASKS_FOR_HTML.search(asked):
        return False
    return {tag.lower() for tag in _TAG.findall(_outside_code(text))} <= _RENDERED


def _outside_fences(text: str) -> str:
    """A text without its fenced code; a fence that isn't closed goes to the end."""
    return "".join(text.split("```")[::2])


def _outside_code(html: str) -> str:
    """HTML without what is in `<pre>` and `<code>`."""
    kept, inside = [], 0
    for piece in re.split(r"(?i)(</?(?:pre|code)\b)", html):
        lowered = piece.lower()
        if lowered in ("<pre", "<code"):
            inside += 1
        elif lowered in ("</pre", "</code"):
            inside = max(inside - 1, 0)
        elif not inside:
            kept.append(piece)
    return "".join(kept)


def to_markdown(html: str) -> str:
    """The text of scraped HTML as Markdown, with code and its language, lists, headings, emphasis, quotes, links,
    pictures, tables and formulas, without hidden text and buttons.
    """
    from lxml import etree

    writer = _Writer()
    parser = etree.HTMLParser(target=writer, huge_tree=True)
    text = html.replace("\0", "\ufffd")
    for at in range(0, len(text), 1 << 16):
        parser.feed(text[at : at + (1 << 16)])
    try:
        parser.close()
    except etree.XMLSyntaxError:  # nothing in it was an element
        return html.strip()
    return writer.result()


class _Writer:
    """Writes Markdown as the parser reports tags."""

    def __init__(self) -> None:
        self.outs: list[list[str]] = [[]]  # texts of the open list items, quotes and cells, the innermost last
        self.opened: list[str] = []  # what these are
        self.lists: list[int | None] = []  # the next number of each open list, None in a bulleted one
        self.hidden = 0  # elements that are open within a hidden one
        self.code: list[str] | None = None  # text of the open <pre>, or of <code> in a line
        self.fence = 0  # elements that are open within <pre>
        self.fence_code = 0  # depth of <code> in it: the page's own button and label are outside
        self.fence_other: list[str] = []
        self.language = ""
        self.formula: list[str] | None = None
        self.display = 0
        self.links: list[tuple[str, int]] = []
        self.rows: list[list[str]] | None = None  # of the open table
        self.tables = 0

    # The parser calls these.

    def start(self, tag: str, attrs: Mapping[str, str]) -> None:
        classes = attrs.get("class", "")[:_LONGEST_CLASS]
        if self.formula is not None:
            return
        if tag in ("annotation", "script") and "tex" in attrs.get("encoding" if tag == "annotation" else "type", ""):
            self.formula = []
            self.display += "mode=display" in attrs.get("type", "")
        elif self.hidden or self._hides(tag, attrs, classes):
            self.hidden += tag not in _VOID
        elif self.fence:
            self._in_fence(tag, attrs, classes)
        elif tag == "pre":
            self.code, self.fence_other, self.fence, self.fence_code = [], [], 1, 0
            self._language(attrs, classes)
        elif self.code is None:
            self._open(tag, attrs, classes)

    def end(self, tag: str) -> None:
        if self.formula is not None:
            if tag in ("annotation", "script"):
                self._close_formula()
        elif self.hidden:
            self.hidden -= tag not in _VOID
        elif self.fence:
            self.fence_code -= tag == "code" and self.fence_code > 0
            self.fence -= tag not in _VOID
            if not self.fence:
                self._close_fence()
        elif tag == "code" and self.code is not None:
            text = "".join(self.code)
            self.code = None
            self._write(f"`` {text} ``" if "`" in text else f"`{text}`" if text else "")
        elif self.code is None:
            self._close(tag)

    def data(self, data: str) -> None:
        if self.formula is not None:
            self.formula.append(data)
        elif self.hidden:
            return
        elif self.fence:
            (self.code if self.fence_code and self.code is not None else self.fence_other).append(data)
        elif self.code is not None:
            self.code.append(data)
        elif data.strip():
            self._write(data.lstrip("\n") if self._at_line_start() else data)
        elif not self._at_line_start() and self.outs[-1] and not self.outs[-1][-1].endswith(" "):
            self._write(" " if "\n" not in data else "\n")

    def comment(self, text: str) -> None:
        pass

    def close(self) -> None:
        if self.formula is not None:
            self._close_formula()
        if self.fence:  # the page was cut off within a code block
            self._close_fence()
        if self.code is not None:
            self.end("code")
        while self.opened:
            self._pop(self.opened[-1])
        if self.rows is not None:
            self._close_table()

    def result(self) -> str:
        return _few_breaks("".join(self.outs[0])).strip()

    # What they do.

    def _hides(self, tag: str, attrs: Mapping[str, str], classes: str) -> bool:
        if tag == "math":
            return True  # its annotation is the formula
        if tag in _SILENT or tag == "script" or "hidden" in attrs or attrs.get("aria-hidden") == "true":
            return True
        return bool(_HIDDEN_CLASS.search(classes) or _HIDDEN_STYLE.search(attrs.get("style", "")[:_LONGEST_CLASS]))

    def _write(self, text: str) -> None:
        if text:
            self.outs[-1].append(text)

    def _at_line_start(self) -> bool:
        return not self.outs[-1] or self.outs[-1][-1].endswith("\n")

    def _language(self, attrs: Mapping[str, str], classes: str) -> None:
        found = _LANGUAGE.search(classes)
        self.language = found[1] if found else attrs.get("data-language", "")[:20]

    def _in_fence(self, tag: str, attrs: Mapping[str, str], classes: str) -> None:
        self.fence += tag not in _VOID
        if tag == "code":
            self.fence_code += 1
            if not self.language:
                self._language(attrs, classes)
        elif tag == "br" and self.code is not None:
            self.code.append("\n")

    def _close_fence(self) -> None:
        code = "".join(self.code or []).strip("\n")
        other = "".join(self.fence_other)
        label = _LABEL.match(other[:60]) if code and len(other) < 60 else None
        language = self.language or (label[1] if label and label[1] != "Copy" else "")
        self.code, self.fence = None, 0
        code = code or other.strip("\n")
        mark = "````" if "```" in code else "```"
        self._write(f"\n\n{mark}{language}\n{code}\n{mark}\n\n")

    def _close_formula(self) -> None:
        formula, self.formula = "".join(self.formula or []).strip(), None
        mark = "$$" if self.display else "$"
        self.display = 0
        self._write(f"{mark}{formula}{mark}" if formula else "")

    def _open(self, tag: str, attrs: Mapping[str, str], classes: str) -> None:
        if "katex-display" in classes or "math-display" in classes:
            self.display = 1
        if tag == "br":
            self._write("<br>" if self.tables else "\n")
        elif tag == "hr":
            self._write("\n\n---\n\n")
        elif tag == "img":
            source = attrs.get("src", "")
            name = " ".join(attrs.get("alt", "").split())
            self._write(f"![{name}]({source})" if source.startswith(("http:", "https:")) else name and f"![{name}]()")
        elif tag == "input" and attrs.get("type") == "checkbox":
            self._write("[x] " if "checked" in attrs else "[ ] ")
        elif tag == "a":
            self.links.append((attrs.get("href", ""), len(self.outs[-1])))
        elif tag == "code":
            self.code = []
        elif tag in ("sup", "sub"):
            self._write(f"<{tag}>")
        elif tag in _INLINE:
            self._write(_INLINE[tag])
        elif tag == "table":
            self.tables += 1
            self.rows = [] if self.tables == 1 else self.rows
        elif tag == "tr" and self.tables == 1 and self.rows is not None:
            self.rows.append([])
        elif tag in ("td", "th") and self.tables == 1:
            self._push("cell")
        elif tag == "li":
            self._push("li")
        elif tag == "blockquote":
            self._break()
            self._push("quote")
        elif tag in ("ol", "ul"):
            self._write("\n" if "li" in self.opened[-1:] else "\n\n")
            start = attrs.get("start", "1")
            self.lists.append(None if tag == "ul" else int(start) if re.fullmatch("[0-9]{1,8}", start) else 1)
        elif tag in _BLOCKS:
            self._break()
            self._write(_HEADINGS.get(tag, ""))

    def _close(self, tag: str) -> None:
        if tag in ("ol", "ul"):
            if self.lists:
                self.lists.pop()
            self._write("\n" if self.lists else "\n\n")
        elif tag == "a" and self.links:
            self._close_link(*self.links.pop())
        elif tag in ("sup", "sub"):
            self._write(f"</{tag}>")
        elif tag in _INLINE:
            self._write(_INLINE[tag])
        elif tag == "table" and self.tables:
            self.tables -= 1
            if not self.tables:
                self._close_table()
        elif tag in ("td", "th") and self.tables == 1:
            self._pop("cell")
        elif tag == "li":
            self._pop("li")
        elif tag == "blockquote":
            self._pop("quote")
        elif tag in _BLOCKS:
            self._break()

    def _break(self) -> None:
        if self.outs[-1]:
            self._write("\n\n")

    def _push(self, what: str) -> None:
        deep = len(self.opened) >= _DEEPEST
        if deep and what == "li":
            self._write("\n- ")
        elif not deep:
            self.outs.append([])
            self.opened.append(what)

    def _pop(self, what: str) -> None:
        if what not in self.opened:
            return
        last = ""
        while last != what:  # elements inside it end with it
            last = self.opened.pop()
            text = _few_breaks("".join(self.outs.pop())).strip()
            if last == "cell":
                if self.rows:
                    self.rows[-1].append(" ".join(text.replace("|", "\\|").split()))
            elif last == "quote":
                self._write("\n\n" + "\n".join(f"> {line}".rstrip() for line in text.split("\n")) + "\n\n")
            else:
                number = self.lists[-1] if self.lists else None
                mark = "- " if number is None else f"{number}. "
                if number is not None:
                    self.lists[-1] = number + 1
                indented = ("\n" + " " * len(mark)).join(text.split("\n"))
                self._write(("" if self._at_line_start() else "\n") + mark + indented + "\n")

    def _close_link(self, address: str, begin: int) -> None:
        out = self.outs[-1]
        text = "".join(out[begin:]) if begin <= len(out) else ""
        if text.strip() and address.startswith(("http:", "https:", "mailto:")) and text.strip() != address:
            out[begin:] = [f"[{text.strip()}]({address})"]

    def _close_table(self) -> None:
        rows, self.rows, self.tables = [row for row in self.rows or [] if row], None, 0
        width = max(map(len, rows), default=0)
        lines = ["| " + " | ".join([*row, *[""] * (width - len(row))]) + " |" for row in rows]
        if lines:
            lines.insert(1, "| " + " | ".join(["---"] * width) + " |")
            self._write("\n\n" + "\n".join(lines) + "\n\n")


def _few_breaks(text: str) -> str:
    """A text without blanks at line ends and with at most one empty line in a row, except in code."""
    pieces = _FENCE.split(text)  # text, fence, code, fence, text, ...
    for place in range(0, len(pieces), 4):
        lines = [line.rstrip(" \t") for line in pieces[place].split("\n")]
        pieces[place] = "\n".join(line for at, line in enumerate(lines) if line or at == 0 or lines[at - 1])
    return "".join(pieces)
