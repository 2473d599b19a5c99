"""Select the dialogues, or the exchanges of dialogues, for a mixture or a prompt set.

Small models need short texts, so a dialogue can be split into its exchanges, and long ones left out. This also selects
by the reply's length and so changes what is measured: report it with every number from such a selection.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from falsepromise.core.errors import UserError
from falsepromise.core.records import Record
from falsepromise.curation.funnel import Funnel

STEP = "selection"


def add_options(parser: argparse.ArgumentParser) -> None:
    """`--single-exchanges`, `--max-query-characters`, `--max-reply-characters`, `--query-words`."""
    parser.add_argument(
        "--single-exchanges",
        action="store_true",
        help="make each exchange a separate dialogue, with the id DIALOGUE/TURN",
    )
    parser.add_argument("--max-query-characters", type=_positive, metavar="N", help="leave out longer user turns")
    parser.add_argument("--max-reply-characters", type=_positive, metavar="N", help="leave out longer replies")
    parser.add_argument(
        "--query-words",
        nargs="+",
        metavar="WORDS",
        help="leave out dialogues whose last query has none of these words or phrases (as whole words, in any case)",
    )


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise UserError(f"{text!r}: expected a number of characters, 1 or more")
    return int(text)


def options(args: argparse.Namespace) -> dict[str, int | bool | list[str] | None]:
    """The selection's options, for a manifest."""
    names = ("single_exchanges", "max_query_characters", "max_reply_characters", "query_words")
    return {key: getattr(args, key) for key in names}


def select(dialogues: Iterable[Record], args: argparse.Namespace, funnel: Funnel | None = None) -> Iterator[Record]:
    """The dialogues, or their exchanges, that are short enough and ask with the words.

    Args:
        dialogues: Dialogue records.
        args: The options of `add_options`. Without `--single-exchanges` every turn must be short enough.
        funnel: Counts the dialogues, if given.

    Yields:
        Dialogue records. An exchange's id is `<dialogue id>/<index of its user message>`, its messages
        are the system message, if there is one, the query and the reply.
    """
    longest = {"user": args.max_query_characters, "assistant": args.max_reply_characters}
    words = any_of(args.query_words) if args.query_words else None
    for dialogue in dialogues:
        candidates = exchanges(dialogue) if args.single_exchanges else [dialogue]
        for candidate in candidates:
            reason = _too_long(candidate, longest) or _without(candidate, words)
            if reason and funnel:
                funnel.drop(STEP, reason, candidate["id"])
            elif not reason:
                if funnel:
                    funnel.keep(STEP)
                yield candidate


def exchanges(dialogue: Record) -> Iterator[Record]:
    """Each query of a dialogue with its reply, as a dialogue of one exchange."""
    messages = dialogue["messages"]
    system = [message for message in messages[:1] if message["role"] == "system"]
    for turn, (query, reply) in enumerate(pairwise(messages)):
        if query["role"] == "user" and reply["role"] == "assistant":
            yield {**dialogue, "id": f"{dialogue['id']}/{turn}", "messages": [*system, query, reply]}


def _too_long(dialogue: Record, longest: dict[str, int | None]) -> str | None:
    for message in dialogue["messages"]:
        limit = longest.get(message["role"])
        if limit is not None and len(message["content"]) > limit:
            return f"{message['role']} turn of more than {limit} characters"
    return None


def any_of(phrases: Sequence[str]) -> re.Pattern[str]:
    """Any of these words or phrases as whole words, in any case."""
    spelled = (r"\s+".join(map(re.escape, phrase.split())) for phrase in phrases)
    return re.compile(rf"(?<!\w)(?:{'|'.join(spelled)})(?!\w)", re.IGNORECASE)


def _without(dialogue: Record, words: re.Pattern[str] | None) -> str | None:
    query = next((m["content"] for m in reversed(dialogue["messages"]) if m["role"] == "user"), "")
    return None if words is None or words.search(query) else "no word of `query_words` in the query"
