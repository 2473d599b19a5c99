"""Read dialogues in the chat format: `{id, messages: [{role, content}]}`, as JSON lines or a list.

A message's content may also be a list of parts, `[{"type": "text", "text": ...}]`, as chat APIs log it;
parts that aren't text (pictures, tool calls) can't be used, and end the dialogue before them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from falsepromise.core import cli
from falsepromise.curation.funnel import Funnel
from falsepromise.curation.reading import STEP, WRONG_FORM, RawDialogue, identifier, parser, write

KEYS = ("messages", "id")


def read(values: Iterator[Any], funnel: Funnel) -> Iterator[RawDialogue]:
    """Raw dialogues of records in the chat format."""
    for number, value in enumerate(values, 1):
        name = identifier(value.get("id") if isinstance(value, dict) else None, f"record-{number}")
        messages = value.get("messages") if isinstance(value, dict) else None
        if not isinstance(messages, list):
            funnel.drop(STEP, WRONG_FORM, name)
        else:
            yield RawDialogue(name, [_turn(message) for message in messages])


def _turn(message: object) -> tuple[object, object]:
    if not isinstance(message, dict):
        return None, None
    content = message.get("content")
    if isinstance(content, list):
        texts = [part.get("text") if isinstance(part, dict) else part for part in content]
        strings = [text for text in texts if isinstance(text, str)]
        content = "\n".join(strings) if len(strings) == len(texts) else content
    return message.get("role"), content


def main(argv: Sequence[str] | None = None) -> None:
    write(parser(__doc__, "messages").parse_args(argv), "falsepromise.curation.messages", read, KEYS)


if __name__ == "__main__":
    cli.run(main)
