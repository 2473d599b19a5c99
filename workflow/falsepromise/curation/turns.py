"""A raw dialogue's turns, made into alternating user and assistant messages.

What is good is kept; what was repaired or left out is named, so that the funnel can count it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from falsepromise.core.records import Record
from falsepromise.curation.jsonstream import repair_text
from falsepromise.curation.markup import is_scraped_html, to_markdown

# Spellings of the two speakers, letters only and in lower case. Other assistants than ChatGPT
# (Bing, Bard) are not the teacher: their turns end what can be used of a dialogue.
_SPEAKERS = {
    **dict.fromkeys(("human", "user", "prompter", "you", "me", "customer", "person"), "user"),
    **dict.fromkeys(
        ("gpt", "chatgpt", "assistant", "ai", "bot", "model", "openai", "gptturbo", "chatgptplus", "chatbot"),
        "assistant",
    ),
    **dict.fromkeys(("system", "developer"), "system"),
}

NO_TURNS = "no turns"
NO_USER = "no user turn"
NO_REPLY = "no assistant reply"
NO_EXCHANGE = "no exchange whose query and reply both have text"

UNKNOWN_ROLE = "ends before a turn of unknown role"
WRONG_TURN = "ends before a turn of the wrong form"
HTML = "HTML turned to text"
BAD_UNICODE = "invalid Unicode replaced"
LATE_SYSTEM = "system turn in the middle left out"
LEADING_REPLY = "reply before the first query left out"
EMPTY_TURN = "exchange with an empty turn left out"
MERGED_USER = "user turns in a row joined"
MERGED_REPLY = "assistant turns in a row joined"
UNANSWERED = "unanswered last query left out"


@dataclass
class Tidied:
    """A dialogue's messages, or the reason why there are none; and what was repaired."""

    messages: list[Record] = field(default_factory=list)
    dropped: str | None = None
    repairs: set[str] = field(default_factory=set)


def role(spelling: object) -> str | None:
    """`user`, `assistant` or `system` for a speaker's name as data sets spell it, or None."""
    if not isinstance(spelling, str):
        return None
    return _SPEAKERS.get(re.sub(r"[^a-z]", "", spelling.casefold()))


def tidy(turns: Iterable[tuple[object, object]]) -> Tidied:
    """Alternating messages of a raw dialogue: `[system,] user, assistant, user, assistant, ...`.

    Args:
        turns: Pairs of the speaker's name and the text, as they were found.

    Returns:
        The messages. A dialogue with none has the reason in `dropped`.
    """
    result = Tidied()
    heard = _read(turns, result)
    if not heard and not result.repairs:
        result.dropped = NO_TURNS
        return result
    if heard and heard[0][0] == "system" and heard[0][1]:
        result.messages.append({"role": "system", "content": heard[0][1]})
    if any(speaker == "system" for speaker, _ in heard[1:]):
        result.repairs.add(LATE_SYSTEM)
    spoken = [(speaker, text) for speaker, text in heard if speaker != "system"]
    speakers = {speaker for speaker, _ in spoken}
    exchanges = _exchanges(spoken, result)
    for query, reply in exchanges:
        result.messages += [{"role": "user", "content": query}, {"role": "assistant", "content": reply}]
    if not exchanges:
        result.messages = []
        cut = next((why for why in (UNKNOWN_ROLE, WRONG_TURN) if why in result.repairs), None)
        result.dropped = NO_USER if "user" not in speakers else NO_REPLY if "assistant" not in speakers else NO_EXCHANGE
        result.dropped = cut.replace("ends before", "no exchange before") if cut else result.dropped
    return result


def _read(turns: Iterable[tuple[object, object]], result: Tidied) -> list[tuple[str, str]]:
    """Speakers and clean texts up to the first turn that can't be understood."""
    heard = []
    for name, value in turns:
        speaker = role(name)
        if speaker is None:
            result.repairs.add(UNKNOWN_ROLE if isinstance(name, str) else WRONG_TURN)
            break
        if not isinstance(value, str) and value is not None:
            result.repairs.add(WRONG_TURN)
            break
        text, repaired = repair_text(value or "")
        if repaired:
            result.repairs.add(BAD_UNICODE)
        if is_scraped_html(text, reply=speaker == "assistant"):
            text = to_markdown(text)
            result.repairs.add(HTML)
        heard.append((speaker, text.strip()))
    return heard


def _exchanges(spoken: list[tuple[str, str]], result: Tidied) -> list[tuple[str, str]]:
    """Pairs of query and reply, each with text; turns in a row of one speaker are joined."""
    runs: list[tuple[str, list[str]]] = []
    for speaker, text in spoken:
        if runs and runs[-1][0] == speaker:
            runs[-1][1].append(text)
            result.repairs.add(MERGED_USER if speaker == "user" else MERGED_REPLY)
        else:
            runs.append((speaker, [text]))
    if runs and runs[0][0] == "assistant":
        result.repairs.add(LEADING_REPLY)
        runs = runs[1:]
    if len(runs) % 2:
        result.repairs.add(UNANSWERED)
        runs = runs[:-1]
    exchanges = []
    for (_, queries), (_, replies) in zip(runs[::2], runs[1::2], strict=True):
        query, reply = ("\n\n".join(filter(None, texts)) for texts in (queries, replies))
        if query and reply:
            exchanges.append((query, reply))
        else:
            result.repairs.add(EMPTY_TURN)
    return exchanges
