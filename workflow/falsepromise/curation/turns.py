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
_USER: tuple[str, ...] = ("human", "user", "prompter", "you", "me", "customer", "person", "client", "asker")
_USER += ("question", "query", "prompt", "instruction", "input")
_ASSISTANT: tuple[str, ...] = ("assistant", "aiassistant", "ai", "bot", "chatbot", "model", "openai")
_ASSISTANT += ("textdavinci", "textdavincirender", "answer", "reply", "response", "completion", "output")
_SPEAKERS = {
    **dict.fromkeys(_USER, "user"),
    **dict.fromkeys(_ASSISTANT, "assistant"),
    **dict.fromkeys(("system", "developer", "sys", "systemmessage", "systemprompt"), "system"),
}
_CHATGPT = re.compile(r"(?:openai)?(?:chat)?gpt(?:o|turbo|mini|plus|preview|instruct|bot|model|assistant)*")
_SPEAKER_KEYS = ("from", "role", "speaker", "author", "sender")
_TEXT_KEYS = ("value", "content", "text", "message", "markdown", "utterance")

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
    letters = re.sub(r"[^a-z]", "", spelling.casefold())
    return _SPEAKERS.get(letters) or ("assistant" if _CHATGPT.fullmatch(letters) else None)


def turns_of(raw: object) -> list[tuple[object, object]] | None:
    """Speakers and texts of a dialogue's turns, in any of the forms that data sets have them in.

    A turn is an object with a speaker and a text, under any of the usual keys in any case; a pair of
    both; or an object with a query and a reply (`{"human": ..., "gpt": ...}`). The turns are a list, or a
    mapping from numbers to turns. What isn't understood comes out as it is, for `tidy` to name.

    Returns:
        The turns, or None where there is neither a list nor such a mapping.
    """
    if isinstance(raw, dict) and raw and all(re.fullmatch("[0-9]{1,9}", str(key)) for key in raw):
        raw = [raw[key] for key in sorted(raw, key=int)]
    if not isinstance(raw, list):
        return None
    turns: list[tuple[object, object]] = []
    for turn in raw:
        if isinstance(turn, dict):
            turns += _turn_of({str(key).casefold(): value for key, value in turn.items()})
        elif isinstance(turn, list) and len(turn) == 2:
            turns.append((turn[0], turn[1]))
        else:
            turns.append((None, turn))
    return turns


def _turn_of(turn: Record) -> list[tuple[object, object]]:
    speaker = next((turn[key] for key in _SPEAKER_KEYS if turn.get(key)), None)
    if isinstance(speaker, dict):  # {"author": {"role": ...}}
        speaker = speaker.get("role") or speaker.get("name")
    if speaker is not None:
        found = [text_in(turn[key]) for key in _TEXT_KEYS if key in turn]
        good = [text for text in found if isinstance(text, str)]
        return [(speaker, next(filter(str.strip, good), (good or found or [None])[0]))]
    said = {role(key): (key, text_in(value)) for key, value in turn.items() if isinstance(value, str) and role(key)}
    both = [said[name] for name in ("user", "assistant") if name in said]
    return list(both) or [(None, None)]


def text_in(content: object) -> object:
    """The text of a message's content: itself, or its parts joined (`["..."]`, `[{"type": "text", "text": ...}]`,
    `{"parts": [...]}`). Content with parts that aren't text is given back as it is.
    """
    if isinstance(content, dict):
        parts = content.get("parts", content.get("text"))
        return content if parts is None or isinstance(parts, dict) else text_in(parts)
    if not isinstance(content, list):
        return content
    texts = [part.get("text") if isinstance(part, dict) else part for part in content]
    strings = [text for text in texts if isinstance(text, str)]
    return "\n".join(strings) if len(strings) == len(texts) else content


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
