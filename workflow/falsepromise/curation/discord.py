"""Read what Discord users asked a ChatGPT bot, and what it answered.

Two forms are read:

- exports of channels by DiscordChatExporter (JSON): a bot's message is the answer to the message that it
  replies to. Discord cuts long messages: further replies to the same message, and the bot's messages
  right after its reply, go on with the answer. A bot's text may stand in an embed. Mentions of the bot
  are taken off the query. A query with a file or picture, which exports don't hold, is left out; so is
  a bot's message that answers a slash command, whose text they don't hold either.
- JSON lines or a list of `{input, output}` (also `prompt` and `response`, `question` and `answer`); an
  `instruction` beside the input stands before it.

Each answered message becomes a dialogue of one exchange (section 3: "input-output examples").
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from falsepromise.core import cli
from falsepromise.curation.funnel import Funnel
from falsepromise.curation.reading import STEP, WRONG_FORM, RawDialogue, identifier, parser, write

PAIRS = (("input", "output"), ("prompt", "response"), ("question", "answer"), ("instruction", "output"))
KEYS = ("author", "content", *dict.fromkeys(key for pair in PAIRS for key in pair), "Input", "Output")
UNLINKED = "bot message that answers no message"
MISSING = "bot message whose query is not in the export"
NOT_ASKED = "message that no bot answered"
NO_TEXT = "message without text"
ATTACHED = "message with a file that the export doesn't hold"
COMMAND = "bot message that answers a command, whose text the export doesn't hold"
TWICE = "the same message twice"
CONTINUED = "bot message joined to the answer before"

_REMEMBERED = 100_000  # messages that a reply can still refer to; bounds the memory
_OPEN = 1_000  # answers that may still go on


@dataclass
class _Exchange:
    query: str
    answers: list[str] = field(default_factory=list)


def read(values: Iterator[Any], funnel: Funnel) -> Iterator[RawDialogue]:
    """Raw dialogues of channels' messages, or of input-output pairs."""
    asked: OrderedDict[str, str] = OrderedDict()  # messages of people, by id
    answered: OrderedDict[str, _Exchange] = OrderedDict()
    seen: OrderedDict[str, None] = OrderedDict()
    last_bot: tuple[object, str] | None = None  # who wrote the message before, and to which it belongs
    for number, value in enumerate(values, 1):
        pair = _pair(value)
        if pair is not None:
            yield RawDialogue(identifier(value.get("id"), f"pair-{number}"), pair)
            continue
        author = value.get("author") if isinstance(value, dict) else None
        if not isinstance(author, dict) or not isinstance(value.get("content"), str):
            funnel.drop(STEP, WRONG_FORM, f"record-{number}")
            continue
        name = identifier(value.get("id"), f"message-{number}")
        if name in seen:
            funnel.drop(STEP, TWICE, name)
            continue
        seen[name] = None
        if len(seen) > _REMEMBERED:
            seen.popitem(last=False)
        if not author.get("isBot", author.get("bot")):
            last_bot = None
            unusable = ATTACHED if value.get("attachments") else NO_TEXT if not value["content"].strip() else None
            if unusable:
                funnel.drop(STEP, unusable, name)
                continue
            asked[name] = _without_mentions(value)
            if len(asked) > _REMEMBERED:
                funnel.drop(STEP, NOT_ASKED, asked.popitem(last=False)[0])
            continue
        text = value["content"] if value["content"].strip() else _embedded(value)
        target = _answers_to(value)
        if target is None and value.get("interaction"):
            funnel.drop(STEP, COMMAND, name)
            last_bot = None
            continue
        if target is None and last_bot is not None and last_bot[0] == author.get("id"):
            target = last_bot[1]
        if target is None:
            funnel.drop(STEP, UNLINKED, name)
        elif target in answered:
            answered[target].answers.append(text)
            funnel.repair(STEP, CONTINUED, name)
            last_bot = (author.get("id"), target)
        elif target in asked:
            answered[target] = _Exchange(asked.pop(target), [text])
            last_bot = (author.get("id"), target)
            if len(answered) > _OPEN:
                yield _dialogue(*answered.popitem(last=False))
        else:
            funnel.drop(STEP, MISSING, name)
    for query_id, exchange in answered.items():
        yield _dialogue(query_id, exchange)
    for query_id in asked:
        funnel.drop(STEP, NOT_ASKED, query_id)


def _pair(value: object) -> list[tuple[object, object]] | None:
    """The query and the answer of an input-output record, or None where it is none."""
    if not isinstance(value, dict) or "author" in value:
        return None
    record = {str(key).casefold(): text for key, text in value.items()}
    for asked, said in PAIRS:
        if asked in record and said in record:
            query, answer = record[asked], record[said]
            if asked == "input" and isinstance(record.get("instruction"), str) and isinstance(query, str):
                query = "\n\n".join(filter(None, (record["instruction"].strip(), query.strip())))
            return [("user", query), ("assistant", answer)]
    return None


def _answers_to(message: dict[str, Any]) -> str | None:
    reference = message.get("reference") or message.get("message_reference")
    target = (reference.get("messageId") or reference.get("message_id")) if isinstance(reference, dict) else None
    return str(target) if target is not None else None


def _embedded(message: dict[str, Any]) -> str:
    """The text of a message's embeds: descriptions, and fields with their names."""
    texts = []
    for embed in message.get("embeds") or ():
        if isinstance(embed, dict):
            texts.append(embed.get("description"))
            for part in embed.get("fields") or ():
                if isinstance(part, dict):
                    texts += [part.get("name"), part.get("value")]
    return "\n".join(text for text in texts if isinstance(text, str) and text.strip())


def _without_mentions(message: dict[str, Any]) -> str:
    """A message without the mentions of users at its beginning, by which bots are called."""
    text = message["content"].strip()
    mentions = [mention for mention in message.get("mentions") or () if isinstance(mention, dict)]
    names = [f"@{mention[key]}" for mention in mentions for key in ("nickname", "name") if mention.get(key)]
    names += [form.format(mention.get("id")) for mention in mentions for form in ("<@{}>", "<@!{}>")]
    while name := next((name for name in names if text.startswith(name)), None):
        text = text[len(name) :].lstrip(" ,:\n")
    return text


def _dialogue(query_id: str, exchange: _Exchange) -> RawDialogue:
    answer = "\n".join(filter(str.strip, exchange.answers))
    return RawDialogue(query_id, [("user", exchange.query), ("assistant", answer)])


def main(argv: Sequence[str] | None = None) -> None:
    write(parser(__doc__, "discord").parse_args(argv), "falsepromise.curation.discord", read, KEYS)


if __name__ == "__main__":
    cli.run(main)
