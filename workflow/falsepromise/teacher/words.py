"""Make a server's messages safe for a terminal, a log and a table."""

from __future__ import annotations

import re
from html import unescape

from falsepromise.core.text import masked

LONGEST = 200  # characters of a message to show


def shown(text: object, key: str = "", longest: int = LONGEST) -> str:
    """`text` on one line, without the key and invisible characters; control characters become spaces."""
    words = str(text)[: 50 * longest]
    words = words.replace(key, "***") if key else words
    return " ".join("".join(c if c.isprintable() else " " for c in masked(words)).split())[:longest]


def page_words(page: str) -> str:
    """The content of an HTML page for an error message: its title and the beginning of its text."""
    head = page[:20_000]
    title = re.search(r"<title[^>]{0,200}>([^<]{0,300})", head, re.IGNORECASE)
    body = re.sub(r"<(script|style)\b[^>]{0,500}>.{0,5000}?</\1>", " ", head, flags=re.IGNORECASE | re.DOTALL)
    text = unescape(re.sub(r"<[^<>]{0,2000}>", " ", body[:4_000]))
    name = unescape(title[1]).strip() if title else ""
    return shown(f"{name}: {text}" if name else text, longest=120)
