"""Read ShareGPT dialogues: a list or JSON lines of `{id, conversations: [{from, value}]}`.

The older dumps of whole pages are read too: `{items: [{from, value}]}`, also inside
`{pageProps: {content: ...}}`, and pages `{items: [dialogue, ...]}`.

Long dialogues that were split into parts `id_0`, `id_11`, ... are joined again. A part's number is
the turn that it starts with; where it repeats the reply that the part before ended with, the
reply is kept once. Parts that are only counted (`id_0`, `id_1`, `id_2`) are joined as well. A part
whose predecessor is missing starts a dialogue of its own. Where numbers count dialogues and not
parts (`identity_0`, `identity_1`), use --keep-parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby, islice
from typing import Any

from falsepromise.core import cli
from falsepromise.curation.funnel import Funnel
from falsepromise.curation.reading import STEP, WRONG_FORM, RawDialogue, identifier, parser, write
from falsepromise.curation.turns import NO_TURNS, turns_of

KEYS = ("conversations", "conversation", "items", "messages", "props", "pageProps", "id")
JOINED = "part joined to the part before"
APART = "part whose part before is missing"
_PART = re.compile(r"(?P<base>.+)_(?P<number>\d{1,9})")
_MOST_PARTS = 1000  # of one dialogue; bounds the memory
_IDS = ("id", "conversation_id", "conversationId", "uuid")
_TURN_LISTS = ("conversations", "conversation", "items", "messages")


def read(values: Iterator[Any], funnel: Funnel, keep_parts: bool = False) -> Iterator[RawDialogue]:
    """Raw dialogues of ShareGPT records, parts joined unless `keep_parts`."""
    dialogues = _dialogues(values, funnel)
    if keep_parts:
        yield from dialogues
        return
    for _, group in groupby(dialogues, key=lambda dialogue: _base(dialogue.id)):
        while parts := list(islice(group, _MOST_PARTS)):
            yield from _join(parts, funnel)


def _base(dialogue_id: str) -> str:
    match = _PART.fullmatch(dialogue_id)
    return match["base"] if match else dialogue_id


def _dialogues(values: Iterator[Any], funnel: Funnel) -> Iterator[RawDialogue]:
    for number, value in enumerate(values, 1):
        for record in _records(value):
            turns = _turns(record)
            name = _name(record, f"record-{number}")
            if turns is None:
                funnel.drop(STEP, WRONG_FORM, name)
            elif not turns:
                funnel.drop(STEP, NO_TURNS, name)
            else:
                yield RawDialogue(name, turns)


def _name(record: Any, otherwise: str) -> str:
    found = (record.get(key) for key in _IDS) if isinstance(record, dict) else ()
    return next((name for name in (identifier(value, "") for value in found) if name), otherwise)


def _records(value: Any) -> Iterable[Any]:
    """The dialogues in a JSON value: itself, or those of the page that it is."""
    while isinstance(value, dict) and not any(key in value for key in _TURN_LISTS):
        wrappers = (value.get(key) for key in ("props", "pageProps", "content"))
        inner = next((wrapper for wrapper in wrappers if isinstance(wrapper, dict)), None)
        if inner is None:
            return [value]
        value = {"id": value["id"], **inner} if "id" in value else inner
    for key in _TURN_LISTS:
        items = value.get(key) if isinstance(value, dict) else None
        if isinstance(items, list) and items and all(_turns(item) is not None for item in items):
            return items
    return [value]


def _turns(record: Any) -> list[tuple[object, object]] | None:
    """Speakers and texts of a record, or None where it isn't a dialogue."""
    if not isinstance(record, dict):
        return None
    found = (turns_of(record[key]) for key in _TURN_LISTS if key in record)
    return next((turns for turns in found if turns is not None), None)


def _join(parts: list[RawDialogue], funnel: Funnel) -> Iterator[RawDialogue]:
    """Join the consecutive parts of one dialogue; parts are brought into the order of their numbers."""
    numbered = [(match, part) for part in parts if (match := _PART.fullmatch(part.id))]
    if len(numbered) < len(parts):
        yield from parts
        return
    current: RawDialogue | None = None
    start = last = joined = 0
    for number, part in sorted(((int(match["number"]), part) for match, part in numbered), key=lambda pair: pair[0]):
        follows = _overlap(current, start, last, part, number) if current is not None else None
        if current is not None and follows is not None:
            current.turns += part.turns[follows:]
            joined += 1
            current.extra["parts"] = joined + 1
            funnel.repair(STEP, JOINED, part.id)
        else:
            if current is not None:
                yield current
            if number and (current is None or number != last):
                part.repairs.add(APART)
            current, start, joined = part, number, 0
        last = number
    if current is not None:
        yield current


def _overlap(current: RawDialogue, start: int, last: int, part: RawDialogue, number: int) -> int | None:
    """How many of a part's first turns the dialogue so far has already, or None if it doesn't follow."""
    if number == last:
        return None  # two records of one id
    repeats = bool(part.turns) and bool(current.turns) and part.turns[0] == current.turns[-1]
    end = start + len(current.turns)
    if repeats and number in (end - 1, last + 1):
        return 1
    if number in (end, last + 1):
        return 0
    return None


def main(argv: Sequence[str] | None = None) -> None:
    options = parser(__doc__, "sharegpt")
    options.add_argument("--keep-parts", action="store_true", help="join no parts")
    args = options.parse_args(argv)
    write(args, "falsepromise.curation.sharegpt", partial(read, keep_parts=args.keep_parts), KEYS)


if __name__ == "__main__":
    cli.run(main)
