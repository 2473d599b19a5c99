"""Read what Discord users asked a ChatGPT bot, and what it answered.

Two forms are read:

- exports of channels by DiscordChatExporter (JSON): a bot's message is the answer to the message that it
  replies to, whichever comes first in the file. Discord cuts long messages: the bot's further replies to
  the same message, and its messages right after its reply, go on with the answer. Two bots that answer one
  message make two dialogues. A bot's text may stand in an embed. Mentions of the bot are taken off the
  query. A query with a file or picture, which exports don't hold, is left out; so is a bot's message that
  answers a slash command, whose text they don't hold either, and Discord's own notices.
- JSON lines or a list of `{input, output}` (also `prompt` and `response`, `question` and `answer`); an
  `instruction` beside the input stands before it.

Each answered message becomes a dialogue of one exchange (section 3: "input-output examples").
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
NOTICE = "Discord's own notice"
TWICE = "the same message twice"
CONTINUED = "bot message joined to the answer before"

_SAID = {"Default", "Reply", "0", "19", "20", "23"}  # types of messages; commands have numbers only
_REMEMBERED = 100_000  # messages that a reply can still refer to; bounds the memory
_OPEN = 1_000  # answers that may still go on, or whose query may still come


@dataclass
class _Answer:
    """A bot's messages in answer to one message: their ids and texts."""

    pieces: list[tuple[str, str]]

    def text(self) -> str:
        """The pieces in the order in which they were sent (Discord's ids count up)."""
        pieces = sorted(self.pieces, key=lambda piece: int(piece[0]) if re.fullmatch("[0-9]{1,40}", piece[0]) else 0)
        return "\n".join(text for _, text in pieces if text.strip())


class _Channel:
    """Queries and answers that have been read and not yet been brought together."""

    def __init__(self, funnel: Funnel):
        self.funnel = funnel
        self.asked: OrderedDict[str, str] = OrderedDict()
        self.answers: OrderedDict[str, dict[object, _Answer]] = OrderedDict()  # by the query's id, then by the bot
        self.last_bot: tuple[object, str] | None = None  # who wrote the message before, and what it answers

    def ask(self, name: str, text: str) -> Iterator[RawDialogue]:
        """A person's message."""
        self.last_bot = None
        self.asked[name] = text
        if len(self.asked) > _REMEMBERED:
            yield from self.close(next(iter(self.asked)))

    def answer(self, name: str, bot: object, target: str | None, text: str) -> Iterator[RawDialogue]:
        """A bot's message; without a target it may go on with the one before."""
        if target is None and self.last_bot is not None and self.last_bot[0] == bot:
            target = self.last_bot[1]
        if target is None:
            self.funnel.drop(STEP, UNLINKED, name)
            return
        self.last_bot = bot, target
        by_bot = self.answers.setdefault(target, {})
        if bot in by_bot:
            self.funnel.repair(STEP, CONTINUED, name)
            by_bot[bot].pieces.append((name, text))
        else:
            by_bot[bot] = _Answer([(name, text)])
        if len(self.answers) > _OPEN:
            yield from self.close(next(iter(self.answers)))

    def close(self, name: str) -> Iterator[RawDialogue]:
        """Be done with a query and its answers."""
        query, answers = self.asked.pop(name, None), self.answers.pop(name, {})
        if not answers:
            self.funnel.drop(STEP, NOT_ASKED, name)
        for answer in answers.values():
            if query is None:
                self.funnel.drop(STEP, MISSING, answer.pieces[0][0])
            else:
                yield RawDialogue(name, [("user", query), ("assistant", answer.text())])


def read(values: Iterator[Any], funnel: Funnel) -> Iterator[RawDialogue]:
    """Raw dialogues of channels' messages, or of input-output pairs."""
    channel = _Channel(funnel)
    seen: OrderedDict[str, None] = OrderedDict()
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
        is_bot = author.get("isBot", author.get("bot"))
        target = _answers_to(value)
        unusable = None
        if name in seen:
            unusable = TWICE
        elif str(value.get("type", "Default")) not in _SAID:
            unusable = NOTICE
        elif is_bot and target is None and value.get("interaction"):
            unusable = COMMAND
        elif not is_bot and value.get("attachments"):
            unusable = ATTACHED
        elif not is_bot and not value["content"].strip():
            unusable = NO_TEXT
        seen[name] = None
        if len(seen) > _REMEMBERED:
            seen.popitem(last=False)
        if unusable:
            funnel.drop(STEP, unusable, name)
            channel.last_bot = channel.last_bot if unusable == TWICE else None
        elif is_bot:
            text = value["content"] if value["content"].strip() else _embedded(value)
            yield from channel.answer(name, str(author.get("id")), target, text)
        else:
            yield from channel.ask(name, _without_mentions(value))
    for name in [*channel.answers, *(name for name in channel.asked if name not in channel.answers)]:
        yield from channel.close(name)


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


def main(argv: Sequence[str] | None = None) -> None:
    write(parser(__doc__, "discord").parse_args(argv), "falsepromise.curation.discord", read, KEYS)


if __name__ == "__main__":
    cli.run(main)
