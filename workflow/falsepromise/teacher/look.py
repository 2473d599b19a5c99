"""Page through a store, read-only: prompt, reply, model, finish reason, cost.

On a terminal, Enter shows the next page, `/WORDS` searches, a number shows that entry in full, `q` ends. Otherwise it
prints one page (`--page`, `--full`). It also shows failed replies, with the reason (`--failed` shows only these).
"""

from __future__ import annotations

import sqlite3
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from falsepromise.core import cli
from falsepromise.core.records import dumps, stored
from falsepromise.core.text import terminal
from falsepromise.teacher.options import positive
from falsepromise.teacher.spent import reading

_HEAD = 300  # characters of a prompt and of a reply on a page


@dataclass(frozen=True)
class Entry:
    """One request and its reply; `messages` is empty in stores of a version that did not keep requests."""

    number: int
    key: str
    teacher: str
    messages: list[dict[str, str]]
    parameters: dict[str, Any]
    answer: dict[str, Any]

    @property
    def prompt(self) -> str:
        return "\n".join(f"[{message['role']}] {message['content']}" for message in self.messages) or "(not kept)"

    @property
    def heading(self) -> str:
        """Model, finish reason, tokens and cost on one line."""
        answer = self.answer
        usd = answer.get("usd")
        parts = [
            f"#{self.number}",
            answer.get("model") or self.teacher,
            answer.get("finish_reason") or "no finish reason",
            f"{answer['input_tokens']:,} + {answer['output_tokens']:,} tokens",
            "no price" if usd is None else f"${usd:.6f}",
            *([f"no answer: {answer['failure']}"] if answer.get("failure") else []),
        ]
        return " · ".join(parts)

    def lines(self, full: bool) -> Iterator[str]:
        """The entry for a terminal, its control characters spelled out."""
        yield terminal(self.heading, lines=False)
        if full and self.parameters:
            yield terminal(f"  {dumps(self.parameters)}", lines=False)
        thoughts = [("?", self.answer["thinking"])] if full and self.answer.get("thinking") else []
        for mark, text in ((">", self.prompt), *thoughts, ("<", self.answer["text"])):
            shown = text if full or len(text) <= _HEAD else f"{text[: _HEAD // 2]} … {text[-_HEAD // 2 :]}"
            yield from (f"  {mark} {line}" for line in terminal(shown).split("\n"))
        yield ""


def entries(db: sqlite3.Connection, words: str = "", failed: bool = False, model: str = "") -> Iterator[Entry]:
    """All entries in the order in which they were stored, as a stream.

    Args:
        db: The store's file.
        words: A text in the prompt or the reply; case is ignored.
        failed: Only failed replies.
        model: Part of the model's or teacher's name.
    """
    tables = ("failed",) if failed else ("answers", "failed")
    union = " UNION ALL ".join(f"SELECT key, answer, stored FROM {table}" for table in tables)
    rows = db.execute(
        f"SELECT r.key, r.answer, coalesce(a.teacher, ''), a.request FROM ({union}) r LEFT JOIN asked a USING (key) "
        "ORDER BY r.stored, r.key"
    )
    for number, (key, answer, teacher, request) in enumerate(rows, 1):
        asked = stored(zlib.decompress(request), "the store") if request else {"messages": [], "parameters": {}}
        entry = Entry(number, key, teacher, asked["messages"], asked["parameters"], stored(answer, "the store"))
        if model.lower() not in f"{teacher} {entry.answer.get('model')}".lower():
            continue
        if words.lower() in f"{entry.prompt}\n{entry.answer['text']}".lower():
            yield entry


def page(found: Iterator[Entry], size: int, full: bool = False) -> tuple[list[Entry], str]:
    """The next entries, and their text."""
    batch = [entry for _, entry in zip(range(size), found, strict=False)]
    return batch, "\n".join(line for entry in batch for line in entry.lines(full))


def converse(db: sqlite3.Connection, options: Any) -> None:
    """Show pages on a terminal until the end, or until the user quits."""
    found = entries(db, options.search, options.failed, options.model)
    while True:
        batch, text = page(found, options.size, options.full)
        print(text or "no more")
        while True:
            try:
                said = input("Enter, /words, number, q: ").strip()
            except EOFError:
                return
            if said == "q" or (not said and not batch):
                return
            if said.isascii() and said.isdecimal():
                one = (entry for entry in entries(db, "", options.failed) if entry.number == int(said))
                print(page(one, 1, full=True)[1] or "no such number")
                continue
            if said.startswith("/"):
                found = entries(db, said[1:].strip(), options.failed, options.model)
            break


def main(argv: Sequence[str] | None = None) -> None:
    """Print pages of the store."""
    parser = cli.parser(__doc__)
    parser.add_argument("store", type=Path, metavar="STORE", help="the store's folder, such as results/.cache/teacher")
    parser.add_argument("--search", default="", metavar="WORDS", help="entries with this text in prompt or reply")
    parser.add_argument("--model", default="", metavar="NAME", help="entries of a model with this in its name")
    parser.add_argument("--failed", action="store_true", help="only failed replies")
    parser.add_argument("--page", type=positive, default=1, metavar="N", help="page to print")
    parser.add_argument("--size", type=positive, default=10, metavar="N", help="entries on a page")
    parser.add_argument("--full", action="store_true", help="whole prompts and replies")
    parser.add_argument("--json", action="store_true", help="print every entry as a JSON line instead")
    options = parser.parse_args(argv)
    with reading(options.store) as db:
        if options.json:
            for entry in entries(db, options.search, options.failed, options.model):
                print(dumps(vars(entry)))
        elif sys.stdin.isatty() and sys.stdout.isatty():
            converse(db, options)
        else:
            found = entries(db, options.search, options.failed, options.model)
            for _ in range(options.page):
                batch, text = page(found, options.size, options.full)
            print(text or "nothing there")
            if len(batch) == options.size:
                print(f"page {options.page}; --page {options.page + 1} may have more")


if __name__ == "__main__":
    cli.run(main)
