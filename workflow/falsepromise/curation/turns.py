"""Turn a raw dialogue's turns into alternating user and assistant messages.

Each repair and omission has a name, under which the funnel counts it.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from itertools import groupby

from falsepromise.core.records import Record
from falsepromise.curation.jsonstream import repair_text
from falsepromise.curation.ledger import Ledger, characters
from falsepromise.curation.leftovers import MARKS, REASONING, split_thoughts, without_leftovers, without_marks
from falsepromise.curation.markup import is_scraped_html, to_markdown

# Spellings of the two speakers, letters only and in lower case. Other assistants than ChatGPT
# (Bing, Bard) are not the teacher: their turns end the usable part of a dialogue.
_USER: tuple[str, ...] = ("human", "user", "prompter", "you", "me", "customer", "person", "client", "asker")
_USER += ("question", "query", "prompt", "instruction", "input")
_ASSISTANT: tuple[str, ...] = ("assistant", "aiassistant", "ai", "bot", "chatbot", "model", "openai")
_ASSISTANT += ("textdavinci", "textdavincirender", "answer", "reply", "response", "completion", "output")
_SYSTEM: tuple[str, ...] = ("system", "developer", "sys", "systemmessage", "systemprompt", "systeminstruction")
_SYSTEM += ("instructions", "persona")
_TOOL = ("tool", "function", "functioncall", "functionresponse", "observation", "toolcall", "toolresult")
_SPEAKERS = {
    **dict.fromkeys(_USER, "user"),
    **dict.fromkeys(_ASSISTANT, "assistant"),
    **dict.fromkeys(_SYSTEM, "system"),
    **dict.fromkeys((*_TOOL, "toolresponse", "ipython", "environment"), "tool"),
}
_OF_GPT = "o|k|turbo|mini|nano|plus|preview|latest|instruct|bot|model|assistant"
_CHATGPT = re.compile(rf"(?:openai)?(?:chat)?gpt(?:{_OF_GPT})*")
_SPEAKER_KEYS = ("from", "role", "speaker", "author", "sender")
PAIRS: tuple[tuple[str, str], ...] = (("input", "output"), ("prompt", "response"), ("question", "answer"))
PAIRS += (("instruction", "output"), ("instruction", "response"), ("prompt", "completion"))
PAIRS += (("query", "response"), ("query", "answer"), ("user", "assistant"))
# Of a record's parts that make up its query, all texts are joined: the text that a question is about is one of them.
_ASKED: dict[str, tuple[str, ...]] = {"input": ("instruction", "input"), "question": ("question", "context")}
_ASKED["instruction"] = ("instruction", "input", "context")
_TEXT_KEYS = ("value", "content", "text", "message", "markdown", "utterance", "say", "body")
# Parts of a message that the other speaker doesn't see, such as reasoning.
_UNSAID: tuple[str, ...] = ("thinking", "redacted_thinking", "reasoning", "tool_use", "tool_result", "tool_call")
_UNSAID += ("function_call", "server_tool_use", "web_search_tool_result", "token_budget", "reasoning_summary")
_PICTURES = ("image", "images", "video", "videos", "audio", "audios")  # of which a query says `<image>`
# What a voice chat has beside its transcription.
_SOUND = ("audio_asset_pointer", "real_time_user_audio_video_asset_pointer")

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
NO_WEIGHT = "reply of weight 0 left out"
EMPTY_TURN = "exchange with an empty turn left out"
MERGED_SYSTEM = "system turns in a row joined"
SYSTEM_BESIDE = "system prompt beside the turns made their first turn"
TOOL = "message of a tool left out"
EMPTY_SYSTEM = "system turn without text left out"
WHITE_SPACE = "white space around a turn"
PARTS = "text in parts"
MERGED_USER = "user turns in a row joined"
MERGED_REPLY = "assistant turns in a row joined"
UNANSWERED = "unanswered last query left out"


@dataclass
class Tidied:
    """A dialogue's messages, or the reason why there are none, and the repairs."""

    messages: list[Record] = field(default_factory=list)
    dropped: str | None = None
    repairs: set[str] = field(default_factory=set)


def role(spelling: object) -> str | None:
    """`user`, `assistant`, `system` or `tool` for a speaker's name as data sets spell it, or None."""
    if not isinstance(spelling, str):
        return None
    letters = re.sub(r"[^a-z]", "", spelling.casefold())
    return _SPEAKERS.get(letters) or ("assistant" if _CHATGPT.fullmatch(letters) else None)


def turns_of(raw: object, ledger: Ledger | None = None) -> list[tuple[object, object]] | None:
    """Speakers and texts of a dialogue's turns, in any of the forms found in data sets.

    A turn is an object with a speaker and a text, under any of the usual keys in any case; a pair of
    both; or an object with a query and a reply (`{"human": ..., "gpt": ...}`). The turns are a list, a
    mapping from numbers to turns, or a table's columns (`{"from": [...], "value": [...]}`). An unknown form is
    returned unchanged, and `tidy` reports it.

    Args:
        raw: The turns in the data set's form.
        ledger: Counts the characters that aren't in the texts.

    Returns:
        The turns, or None if there is neither a list nor such a mapping.
    """
    if isinstance(raw, dict) and raw and all(re.fullmatch("[0-9]{1,9}", str(key)) for key in raw):
        raw = [raw[key] for key in sorted(raw, key=int)]
    elif isinstance(raw, dict) and _are_columns([*raw.values()]):
        raw = [dict(zip(raw, turn, strict=True)) for turn in zip(*raw.values(), strict=True)]
    if isinstance(raw, str):
        size, raw = len(raw), _from_text(raw)
        if isinstance(raw, list) and ledger is not None:
            ledger.reshape("turns written as text", size, characters(raw))
    if not isinstance(raw, list):
        return None
    ledger = Ledger() if ledger is None else ledger
    turns: list[tuple[object, object]] = []
    for turn in raw:
        if isinstance(turn, dict):
            turns += _turn_of(turn, ledger)
        elif isinstance(turn, list) and len(turn) == 2:
            ledger.label(turn[0])
            turns.append((turn[0], turn[1]))
        else:
            turns.append((None, turn))
    return turns


def _are_columns(values: list[object]) -> bool:
    """Whether they are lists of one length, as `datasets` makes of a sequence of objects."""
    return all(isinstance(value, list) for value in values) and len({len(value) for value in values}) == 1  # type: ignore[arg-type]


def has_turns(raw: object) -> bool:
    """Whether `turns_of` would find turns."""
    return isinstance(raw, list) or (isinstance(raw, dict | str) and turns_of(raw) is not None)


def _from_text(text: str) -> object:
    """A list from a table's cell, written as JSON or as Python prints it."""
    if text.lstrip()[:1] != "[":
        return None
    try:
        return json.loads(text, strict=False, parse_int=str)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)  # only literals: nothing is executed
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _turn_of(raw: Record, ledger: Ledger) -> list[tuple[object, object]]:
    turn = _lowered(raw, ledger, "turn's ")
    by = next((key for key in _SPEAKER_KEYS if turn.get(key)), None)
    if by is not None:
        speaker = turn[by]
        ledger.label(speaker)
        if isinstance(speaker, dict):  # {"author": {"role": ...}}
            speaker = speaker.get("role") or speaker.get("name")
        found = {key: text_in(turn[key]) for key in _TEXT_KEYS if key in turn and key != by}
        good = [key for key, text in found.items() if isinstance(text, str)]
        said = next((key for key in good if str(found[key]).strip()), next(iter([*good, *found]), None))
        weight = turn.get("weight")
        ledger.unused(turn, {by, said, "weight" if isinstance(weight, int | float) else None}, "turn's ")
        text = None if said is None else _text(turn[said], ledger)
        if weight == 0 and role(speaker) == "assistant":  # of OpenAI's fine-tuning: not to be learnt
            ledger.lose(NO_WEIGHT, characters([text]))
            text = None
        return [(speaker, text)]
    both = {role(key): key for key, value in turn.items() if isinstance(value, str) and role(key)}
    used = [both[name] for name in ("user", "assistant") if name in both]
    ledger.unused(turn, used, "turn's ")
    return [(key, turn[key]) for key in used] or [(None, None)]


def _lowered(record: Record, ledger: Ledger, of: str = "") -> Record:
    """A record with lower-case keys; of keys that differ only in case, the last."""
    lowered = {str(key).casefold(): value for key, value in record.items()}
    if len(lowered) < len(record):
        ledger.lose(f"{of}field that another differs from in case alone", characters(record) - characters(lowered))
    return lowered


def _text(content: object, ledger: Ledger) -> object:
    text = text_in(content)
    if isinstance(text, str) and text is not content:
        ledger.reshape(PARTS, characters(content), len(text))
    return text


def pair_of(raw: Record, ledger: Ledger) -> tuple[list[tuple[object, object]], set[str]] | None:
    """The turns of a record with one query and one reply, and the keys that they come from; None for other records.

    The keys are those of `PAIRS`; an `instruction` beside an `input` comes before it, a `context` behind an
    `instruction` or a `question`, `history` (pairs) before all.
    """
    record = _lowered(raw, Ledger())
    for asked, said in PAIRS:
        if asked in record and said in record:
            query, used = record[asked], {asked, said}
            parts = {key: record[key] for key in _ASKED.get(asked, ()) if isinstance(record.get(key), str)}
            if isinstance(query, str | None) and parts.keys() - {asked}:
                used |= parts.keys()
                query = "\n\n".join(filter(None, map(str.strip, parts.values())))
                ledger.reshape(f"{' and '.join(parts)} joined", characters(parts), len(query))
            history = record.get("history")
            before: list[tuple[object, object]] = []
            if isinstance(history, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in history):
                used.add("history")
                before = [turn for one, two in history for turn in (("user", one), ("assistant", two))]
            return [*before, ("user", query), ("assistant", record[said])], used
    return None


def with_system(
    raw: Record, turns: list[tuple[object, object]], used: Collection[str | None], ledger: Ledger
) -> tuple[list[tuple[object, object]], set[str]]:
    """The turns, after the system prompt that a record has beside them; counts the unused fields. A turn with a picture
    that the record names loses its speaker, and so ends the dialogue.

    Args:
        raw: The record.
        turns: Its turns.
        used: The keys, in lower case, that the turns and the id come from.
        ledger: Counts the other fields.

    Returns:
        The turns, and the repairs.
    """
    record = _lowered(raw, ledger)
    repairs: set[str] = set()
    taken = set(used)
    marks = [f"<{key.rstrip('s')}>" for key in _PICTURES if record.get(key)]
    turns = [(None if isinstance(text, str) and any(m in text for m in marks) else by, text) for by, text in turns]
    for key in record:
        text = text_in(record[key]) if key not in used and role(key) == "system" else None
        if isinstance(text, str) and text.strip() and not (turns and turns[0][1] == text):
            turns = [("system", _text(record[key], ledger)), *turns]
            taken.add(key)
            repairs.add(SYSTEM_BESIDE)
            break
    ledger.unused(record, taken)
    return turns, repairs


def text_in(content: object) -> object:
    """The text of a message's content: itself, or its parts joined (`["..."]`, `[{"type": "text", "text": ...}]`,
    `{"parts": [...]}`), without reasoning, tool calls, and the sound beside its transcription. Content with other parts
    is returned unchanged.
    """
    if isinstance(content, dict):
        parts = content.get("parts", content.get("text"))
        return content if parts is None or isinstance(parts, dict) else text_in(parts)
    if not isinstance(content, list):
        return content
    kinds = [part.get("content_type") if isinstance(part, dict) else None for part in content]
    left_out = {*_SOUND} if "audio_transcription" in kinds else set()
    said = [
        part
        for part, kind in zip(content, kinds, strict=True)
        if not (isinstance(part, dict) and (part.get("type") in _UNSAID or kind in left_out))
    ]
    texts = [part.get("text") if isinstance(part, dict) else part for part in said]
    texts = [text.get("value") if isinstance(text, dict) else text for text in texts]
    strings = [text for text in texts if isinstance(text, str)]
    return "\n".join(strings) if len(strings) == len(texts) else content


def tidy(turns: Iterable[tuple[object, object]], ledger: Ledger | None = None) -> Tidied:
    """Alternating messages of a raw dialogue: `[system,] user, assistant, user, assistant, ...`.

    Args:
        turns: Pairs of the speaker's name and the text, as in the file.
        ledger: Counts the turns and characters that are lost and added.

    Returns:
        The messages. A dialogue with none has the reason in `dropped`.
    """
    result, ledger, own = Tidied(), Ledger() if ledger is None else ledger, Ledger()
    heard = _read(list(turns), result, ledger)
    if not heard and not result.repairs:
        result.dropped = NO_TURNS
        return result
    first = next((at for at, (speaker, _) in enumerate(heard) if speaker != "system"), len(heard))
    system = _joined([text for _, text in heard[:first]], MERGED_SYSTEM, result, own)
    if first and not system:
        own.lose(EMPTY_SYSTEM, turns=1)
    for _, text in (turn for turn in heard[first:] if turn[0] == "system"):
        result.repairs.add(LATE_SYSTEM)
        own.lose(LATE_SYSTEM, len(text), 1)
    spoken = [(speaker, text) for speaker, text in heard if speaker != "system"]
    speakers = {speaker for speaker, _ in spoken}
    exchanges = _exchanges(spoken, result, own)
    if exchanges:
        ledger.take(own)
        result.messages = [{"role": "system", "content": system}] if system else []
    else:
        cut = next((why for why in (UNKNOWN_ROLE, WRONG_TURN) if why in result.repairs), None)
        result.dropped = NO_USER if "user" not in speakers else NO_REPLY if "assistant" not in speakers else NO_EXCHANGE
        result.dropped = cut.replace("ends before", "no exchange before") if cut else result.dropped
        ledger.lose(result.dropped, sum(len(text) for _, text in heard), len(heard))
    for query, reply in exchanges:
        result.messages += [{"role": "user", "content": query}, {"role": "assistant", "content": reply}]
    return result


def _read(turns: list[tuple[object, object]], result: Tidied, ledger: Ledger) -> list[tuple[str, str]]:
    """Speakers and clean texts up to the first turn that can't be understood."""
    heard: list[tuple[str, str]] = []
    for at, (name, value) in enumerate(turns):
        speaker = role(name)
        if speaker == "tool":
            result.repairs.add(TOOL)
            ledger.lose(TOOL, characters([value]), 1)
            continue
        if speaker is None or not (isinstance(value, str) or value is None):
            why = UNKNOWN_ROLE if speaker is None and isinstance(name, str) else WRONG_TURN
            result.repairs.add(why)
            ledger.lose(why, characters([text for _, text in turns[at:]]), len(turns) - at)
            break
        text, repaired = repair_text(value or "")
        if repaired:
            result.repairs.add(BAD_UNICODE)
        if is_scraped_html(text, speaker == "assistant", heard[-1][1] if heard else ""):
            html, text = text, to_markdown(text)
            ledger.reshape(HTML, len(html), len(text))
            result.repairs.add(HTML)
        if speaker == "assistant":
            for why, clean in ((REASONING, lambda said: split_thoughts(said)[1]), (MARKS, without_marks)):
                kept = clean(text)
                if kept != text:
                    result.repairs.add(why)
                    ledger.reshape(why, len(text), len(kept))
                    text = kept
        if speaker != "system":
            kept, removed = without_leftovers(text, speaker == "assistant")
            if removed:
                result.repairs.update(removed)
                ledger.reshape(removed[0], len(text), len(kept))
            text = kept
        stripped = text.strip()
        ledger.lose(WHITE_SPACE, len(text) - len(stripped))
        heard.append((speaker, stripped))
    return heard


def _joined(texts: list[str], why: str, result: Tidied, ledger: Ledger) -> str:
    """Join consecutive turns of one speaker."""
    if len(texts) > 1:
        result.repairs.add(why)
        ledger.lose(why, turns=len(texts) - 1)
    whole = "\n\n".join(filter(None, texts))
    ledger.reshape(why, sum(map(len, texts)), len(whole))
    return whole


def _exchanges(spoken: list[tuple[str, str]], result: Tidied, ledger: Ledger) -> list[tuple[str, str]]:
    """Pairs of query and reply, each with text; consecutive turns of one speaker are joined."""
    runs = [(speaker, [text for _, text in run]) for speaker, run in groupby(spoken, key=lambda turn: turn[0])]

    def leave_out(why: str, *left: list[str]) -> None:
        result.repairs.add(why)
        ledger.lose(why, characters(left), sum(map(len, left)))

    if runs and runs[0][0] == "assistant":
        leave_out(LEADING_REPLY, runs.pop(0)[1])
    if len(runs) % 2:
        leave_out(UNANSWERED, runs.pop()[1])
    exchanges = []
    for (_, queries), (_, replies) in zip(runs[::2], runs[1::2], strict=True):
        if any(queries) and any(replies):
            query = _joined(queries, MERGED_USER, result, ledger)
            exchanges.append((query, _joined(replies, MERGED_REPLY, result, ledger)))
        else:
            leave_out(EMPTY_TURN, queries, replies)
    return exchanges
