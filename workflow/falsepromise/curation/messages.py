"""Read dialogues in the chat format: `{id, messages: [{role, content}]}`, as JSON lines or a list.

A message's content may also be a list of parts, `[{"type": "text", "text": ...}]`, as chat APIs log it;
parts that aren't text (pictures, tool calls) end the dialogue before them. A system prompt
beside the messages (`system`, `system_prompt`, ...) becomes the first message.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from falsepromise.core import cli
from falsepromise.curation.funnel import Funnel
from falsepromise.curation.reading import STEP, WRONG_FORM, RawDialogue, identifier, parser, write
from falsepromise.curation.turns import turns_of, with_system

KEYS = ("messages", "id")


def read(values: Iterator[Any], funnel: Funnel) -> Iterator[RawDialogue]:
    """Raw dialogues of records in the chat format."""
    for number, value in enumerate(values, 1):
        name = identifier(value.get("id") if isinstance(value, dict) else None, f"record-{number}")
        turns = turns_of(value.get("messages"), funnel.ledger) if isinstance(value, dict) else None
        if turns is None:
            funnel.drop(STEP, WRONG_FORM, name, lost=[value])
            continue
        funnel.ledger.label(value.get("id"))
        turns, repairs = with_system(value, turns, ("id", "messages"), funnel.ledger)
        yield RawDialogue(name, turns, repairs=repairs)


def main(argv: Sequence[str] | None = None) -> None:
    write(parser(__doc__, "messages").parse_args(argv), "falsepromise.curation.messages", read, KEYS)


if __name__ == "__main__":
    cli.run(main)
