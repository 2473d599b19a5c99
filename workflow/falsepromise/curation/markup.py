"""HTML that scraping left in a turn, turned back into the Markdown that it was rendered from.

Only pages' leftovers are converted: a turn that carries the chat page's own classes, or a reply that
is nothing but rendered Markdown (begins with a block tag, ends with a closing tag, and has no other
tags). HTML that the dialogue is *about* stays as it is: in code, in tables, in a user's query.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

_PAGE_CLASS = re.compile(r"<div\b[^>]*\bclass=[\"'][^\"'>]*\b(?:markdown|prose|whitespace-pre-wrap)\b", re.IGNORECASE)
_BEGINS = re.compile(r"\s*<(?:p|div|ol|ul|h[1-6]|pre|blockquote|table)\b[^>]*>", re.IGNORECASE)
_ENDS = re.compile(r"</(?:p|div|ol|ul|h[1-6]|pre|blockquote|table)>\s*\Z", re.IGNORECASE)
_TAG = re.compile(r"</?([A-Za-z][A-Za-z0-9-]*)\b")
_CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)

_HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}
_BLOCKS = {"p", "div", "blockquote", "table", "ol", "ul", "hr", "section", "article", *_HEADINGS}
_INLINE = {"strong": "**", "b": "**", "em": "*", "i": "*"}
_SILENT = {"button", "svg", "script", "style", "head", "path", "title"}
_PLAIN = {"a", "br", "code", "del", "li", "pre", "span", "tbody", "td", "th", "thead", "tr"}
_RENDERED = _BLOCKS | _PLAIN | set(_INLINE) | {"button", "svg", "path", "img", "sup", "sub"}
_LANGUAGE = re.compile(r"\blanguage-([\w+#-]+)")


def is_scraped_html(text: str, reply: bool) -> bool:
    """Whether a turn is a page's HTML and not text about HTML.

    Args:
        text: The turn.
        reply: Whether the assistant said it.
    """
    if "<" not in text:
        return False
    if _PAGE_CLASS.search(_CODE.sub("", text)):
        return True
    if not reply or not _BEGINS.match(text) or not _ENDS.search(text):
        return False
    return {tag.lower() for tag in _TAG.findall(_outside_code(text))} <= _RENDERED


def _outside_code(html: str) -> str:
    return re.sub(r"<(pre|code)\b.*?</\1>", "", html, flags=re.DOTALL | re.IGNORECASE)


def to_markdown(html: str) -> str:
    """The text of scraped HTML as Markdown: code blocks, lists, headings, emphasis and tables kept."""
    writer = _Writer()
    writer.feed(html)
    writer.close()
    return writer.result()


class _Writer(HTMLParser):
    """Writes Markdown while the parser goes through the tags; broken HTML raises nothing."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.out: list[str] = []
        self.lists: list[int | None] = []  # the next number of each open list, None in a bulleted one
        self.silent = 0
        self.fence: list[str] | None = None  # the code of the open <pre>
        self.fence_code = 0  # depth of <code> in it: the page's own button and label stand outside
        self.fence_other: list[str] = []
        self.language = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self.fence is not None:
            if tag == "code":
                self.fence_code += 1
                found = _LANGUAGE.search(dict(attrs).get("class") or "")
                self.language = found.group(1) if found else self.language
            elif tag == "br":
                self.fence.append("\n")
            elif tag in _SILENT:
                self.silent += tag != "path"
            return
        if tag in _SILENT:
            self.silent += tag != "path"
        elif tag == "pre":
            self.fence, self.fence_other, self.fence_code, self.language = [], [], 0, ""
        elif tag == "br":
            self.out.append("\n")
        elif tag == "hr":
            self.out.append("\n\n---\n\n")
        elif tag == "li":
            self._item()
        elif tag in ("td", "th"):
            self.out.append("| ")
        elif tag in _INLINE or tag == "code":
            self.out.append(_INLINE.get(tag, "`"))
        elif tag in _BLOCKS:
            self._open_block(tag, dict(attrs))

    def _open_block(self, tag: str, attrs: dict[str, str | None]) -> None:
        if not self._in_new_item():
            self.out.append("" if tag in ("ol", "ul") and self.lists else "\n\n")
        if tag in ("ol", "ul"):
            start = attrs.get("start") or "1"
            self.lists.append(None if tag == "ul" else int(start) if re.fullmatch("[0-9]{1,8}", start) else 1)
        self.out.append(_HEADINGS.get(tag, "> " if tag == "blockquote" else ""))

    def _in_new_item(self) -> bool:
        return bool(self.out) and bool(re.search(r"(?:\A|\n) *(?:- |\d+\. )\Z", self.out[-1]))

    def _item(self) -> None:
        indent = "  " * max(len(self.lists) - 1, 0)
        number = self.lists[-1] if self.lists else None
        self.out.append(f"\n{indent}- " if number is None else f"\n{indent}{number}. ")
        if number is not None:
            self.lists[-1] = number + 1

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self.silent = max(self.silent - (tag != "path"), 0)
        elif self.fence is not None:
            if tag == "code":
                self.fence_code = max(self.fence_code - 1, 0)
            elif tag == "pre":
                self._close_fence()
        elif tag in ("ol", "ul"):
            if self.lists:
                self.lists.pop()
            self.out.append("" if self.lists else "\n\n")
        elif tag == "tr":
            self.out.append("|\n")
        elif tag in ("td", "th"):
            self.out.append(" ")
        elif tag in _INLINE or tag == "code":
            self.out.append(_INLINE.get(tag, "`"))
        elif tag in _BLOCKS and not self.lists:
            self.out.append("\n\n")

    def _close_fence(self) -> None:
        code = "".join(self.fence or []).strip("\n") or "".join(self.fence_other).strip("\n")
        self.fence = None
        self.out.append(f"\n\n```{self.language}\n{code}\n```\n\n")

    def handle_data(self, data: str) -> None:
        if self.silent:
            return
        if self.fence is not None:
            (self.fence if self.fence_code else self.fence_other).append(data)
        elif data.strip():
            self.out.append(data if not self.out or not self.out[-1].endswith("\n") else data.lstrip("\n"))
        elif self.out and not self.out[-1].endswith(("\n", " ")):
            self.out.append(" " if "\n" not in data else "\n")

    def result(self) -> str:
        if self.fence is not None:  # the page was cut off within a code block
            self._close_fence()
        parts = re.split(r"(```.*?\n```)", "".join(self.out), flags=re.DOTALL)
        parts[::2] = [re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", part)) for part in parts[::2]]
        return "".join(parts).strip()
