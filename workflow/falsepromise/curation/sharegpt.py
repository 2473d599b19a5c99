"""Read ShareGPT dialogues: a list or JSON lines of `{id, conversations: [{from, value}]}`.

It also reads the older dumps of whole pages: `{items: [{from, value}]}`, also inside
`{pageProps: {content: ...}}`, and pages `{items: [dialogue, ...]}`.

Long dialogues that were split into parts `id_0`, `id_11`, ... are joined again if their turns show that they
belong together; an id alone is not enough (`kitchen_0`, `kitchen_1` may be two dialogues). The number after
the id is the turn that a part starts with, or counts the parts. A part continues the one before if

- it begins with the reply that the one before ended with (which is kept once), and the number fits;
- it begins with a reply and the one before ended with a query, and the number fits;
- its number is the turn where the one before ended, counted from a part 0, and the same is true of most parts
  of the id.

The funnel names the rule. A part that begins with a reply but doesn't fit the one before (a part is missing)
becomes a separate dialogue. --keep-parts joins nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby, islice, pairwise
from typing import Any

from falsepromise.core import cli
from falsepromise.curation.funnel import Funnel
from falsepromise.curation.jsonstream import BESIDE
from falsepromise.curation.ledger import TURNS, characters
from falsepromise.curation.reading import DUPLICATE, STEP, WRONG_FORM, RawDialogue, identifier, parser, write
from falsepromise.curation.turns import NO_TURNS, has_turns, role, turns_of, with_system

KEYS = ("conversations", "conversation", "items", "messages", "props", "pageProps", "id")
JOINED = "part joined to the part before: "
REPEATED = JOINED + "it repeats the last reply"
CONTINUED = JOINED + "it opens with the reply to the last query"
COUNTED = JOINED + "its number is the turn where that ended"
APART = "part whose part before is missing"
_PART = re.compile(r"(?P<base>.+)_(?P<number>[0-9]{1,9})", re.DOTALL)
_MOST_PARTS = 1000  # of one dialogue; bounds the memory
_IDS = ("id", "conversation_id", "conversationId", "conversation_hash", "uuid")
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
        found = list(_records(value))
        funnel.ledger.lose(BESIDE, characters([value]) - characters(found))
        for record in found:
            key = _turns_key(record)
            by, name = _name(record, f"record-{number}")
            turns = turns_of(record[key], funnel.ledger) if key else None
            if not turns:
                funnel.drop(STEP, WRONG_FORM if turns is None else NO_TURNS, name, lost=[record])
                continue
            funnel.ledger.label(record.get(by))
            turns, repairs = with_system(record, turns, {key, by}, funnel.ledger)
            yield RawDialogue(name, turns, repairs=repairs)


def _name(record: Any, otherwise: str) -> tuple[str | None, str]:
    """The key of a record's id, and the id."""
    found = [(key, identifier(record.get(key), "")) for key in _IDS] if isinstance(record, dict) else []
    return next(((key, name) for key, name in found if name), (None, otherwise))


def _records(value: Any) -> Iterable[Any]:
    """The dialogues in a JSON value: the value itself, or those of a page."""
    while isinstance(value, dict) and not any(key in value for key in _TURN_LISTS):
        wrappers = (value.get(key) for key in ("props", "pageProps", "content"))
        inner = next((wrapper for wrapper in wrappers if isinstance(wrapper, dict)), None)
        if inner is None:
            return [value]
        value = {"id": value["id"], **inner} if "id" in value else inner
    for key in _TURN_LISTS:
        items = value.get(key) if isinstance(value, dict) else None
        if isinstance(items, list) and items and all(_turns_key(item) for item in items):
            return items
    return [value]


def _turns_key(record: Any) -> str | None:
    """The key of a record's turns, or None where it isn't a dialogue."""
    if not isinstance(record, dict):
        return None
    return next((key for key in _TURN_LISTS if key in record and has_turns(record[key])), None)


def _join(parts: list[RawDialogue], funnel: Funnel) -> Iterator[RawDialogue]:
    """Sort the parts of one dialogue by their numbers and join those that belong together."""
    numbered = []
    for part in parts:
        match = _PART.fullmatch(part.id)
        if match:
            numbered.append((int(match["number"]), part))
        else:
            yield part
    numbered.sort(key=lambda pair: pair[0])
    steps = [_joint(*before, *after) for before, after in pairwise(numbered)]
    fits = [step is not None for step in steps if step != DUPLICATE]
    counted = sum(fits) * 2 > len(fits) and numbered[0][0] == 0  # one number may fit by chance
    current: RawDialogue | None = None
    chain = 0  # the number of parts of the current dialogue
    for (number, part), step in zip(numbered, [None, *steps], strict=False):
        if current is not None and step == DUPLICATE:
            funnel.drop(STEP, DUPLICATE, part.id)
            _left_out(DUPLICATE, part.turns, funnel)
        elif current is not None and step is not None and (step != COUNTED or counted):
            current.turns += part.turns[step == REPEATED :]
            _left_out(step, part.turns[: step == REPEATED], funnel)
            chain += 1
            current.extra["parts"] = chain
            funnel.repair(STEP, step, part.id)
        else:
            if current is not None:
                yield current
            if number and _speaker(part, 0) == "assistant":
                part.repairs.add(APART)
            current, chain = RawDialogue(part.id, [*part.turns], part.extra, part.repairs), 1
    if current is not None:
        yield current


def _joint(before: int, first: RawDialogue, number: int, second: RawDialogue) -> str | None:
    """The rule by which a part continues the one before it, or None.

    Args:
        before: The number of the first part.
        first: The part before.
        number: The number of the second part.
        second: The part.
    """
    if number == before:
        return DUPLICATE if first.turns == second.turns else None
    end = before + len(first.turns)
    opens, ended = _speaker(second, 0), _speaker(first, -1)
    if second.turns[0] == first.turns[-1] and (number == end - 1 or (number == before + 1 and opens == "assistant")):
        return REPEATED
    if opens == "assistant" and ended == "user" and number in (end, before + 1) and second.turns[0] != first.turns[0]:
        return CONTINUED
    return COUNTED if number == end else None


def _left_out(reason: str, turns: list[tuple[object, object]], funnel: Funnel) -> None:
    """Count turns that occur twice in the file."""
    funnel.ledger.read[TURNS] += len(turns)
    funnel.ledger.lose(reason, characters([text for _, text in turns]), len(turns))


def _speaker(part: RawDialogue, index: int) -> str | None:
    return role(part.turns[index][0])


def main(argv: Sequence[str] | None = None) -> None:
    options = parser(__doc__, "sharegpt")
    options.add_argument("--keep-parts", action="store_true", help="don't join the parts of a dialogue")
    args = options.parse_args(argv)
    write(args, "falsepromise.curation.sharegpt", partial(read, keep_parts=args.keep_parts), KEYS)


if __name__ == "__main__":
    cli.run(main)
