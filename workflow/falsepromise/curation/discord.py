"""Read Discord users' questions to a ChatGPT bot, and its answers.

It reads two forms:

- exports of channels by DiscordChatExporter (JSON): a bot's message is the answer to the message that it
  replies to, whichever comes first in the file. Discord cuts long messages: the bot's further replies to
  the same message, and its messages right after its reply, continue the answer. Two bots that answer one
  message give two dialogues. A bot's text may be in an embed, also after a mention. A bot without reply links,
  as in threads, answers the message before, if it follows at least half of all messages. Mentions at the
  beginning are removed. Left out are queries with a file or picture and answers to slash commands, whose contents
  exports don't have, forwarded messages, and Discord's own notices.
- JSON lines or a list of `{input, output}` (also `prompt` and `response`, `question` and `answer`); an
  `instruction` beside the input is put before it.

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
from falsepromise.curation.ledger import characters
from falsepromise.curation.reading import STEP, WRONG_FORM, RawDialogue, identifier, parser, write
from falsepromise.curation.turns import PAIRS, pair_of, with_system

KEYS = ("author", "content", *dict.fromkeys(key for pair in PAIRS for key in pair), "Input", "Output")
UNLINKED = "bot message that answers no message"
MISSING = "bot message whose query is not in the export"
NOT_ASKED = "message that no bot answered"
NO_TEXT = "message without text"
ATTACHED = "message with a file that the export doesn't hold"
COMMAND = "bot message that answers a command, whose text the export doesn't hold"
FORWARDED = "forwarded message"
NOTICE = "Discord's own notice"
TWICE = "the same message twice"
MENTIONS = "mention or white space around a message"
SEVERAL = "query kept with each of its answers"
CONTINUED = "bot message joined to the answer before"

_SAID = {"Default", "Reply", "0", "19", "20", "23"}  # types of messages; slash commands have only numbers
_REMEMBERED = 100_000  # messages that a reply can refer to; bounds the memory
_OPEN = 1_000  # answers that may continue, or whose query may come later


@dataclass
class _Answer:
    """A bot's messages in answer to one message: their ids and texts."""

    pieces: list[tuple[str, str]]

    def text(self) -> str:
        """The pieces in the order in which they were sent (Discord's ids count up)."""
        pieces = sorted(self.pieces, key=lambda piece: int(piece[0]) if re.fullmatch("[0-9]{1,40}", piece[0]) else 0)
        return "\n".join(text for _, text in pieces if text.strip())


class _Channel:
    """Queries and answers that have been read but not matched yet."""

    def __init__(self, funnel: Funnel):
        self.funnel = funnel
        self.asked: OrderedDict[str, str] = OrderedDict()
        self.answers: OrderedDict[str, dict[object, _Answer]] = OrderedDict()  # by the query's id, then by the bot
        self.last_bot: tuple[object, str] | None = None  # the bot of the message before, and what it answers
        self.last_asked: str | None = None  # the message before, if a person's
        self.n_asked = 0
        self.follows: dict[object, list[tuple[str, str, str]]] = {}  # each bot's messages and those right before
        self.replies: set[object] = set()  # bots with reply links

    def ask(self, name: str, text: str) -> Iterator[RawDialogue]:
        """A person's message."""
        self.last_bot, self.last_asked = None, name
        self.n_asked += 1
        self.asked[name] = text
        if len(self.asked) > _REMEMBERED:
            yield from self.close(next(iter(self.asked)))

    def answer(self, name: str, bot: object, target: str | None, text: str) -> Iterator[RawDialogue]:
        """A bot's message; without a target it may continue the one before."""
        before, self.last_asked = self.last_asked, None
        if target is not None:
            self.replies.add(bot)
        elif self.last_bot is not None and self.last_bot[0] == bot:
            target = self.last_bot[1]
        elif before is not None and bot not in self.replies and len(self.follows.get(bot, ())) < _REMEMBERED:
            self.follows.setdefault(bot, []).append((name, before, text))
            return
        elif self.follows.get(bot) and before is None and self.last_bot is None:
            self.follows[bot].append((name, self.follows[bot][-1][1], text))  # continues it, if that is an answer
            return
        if target is None:
            self.funnel.drop(STEP, UNLINKED, name, lost=text)
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

    def interrupt(self) -> None:
        """A message that is neither a question nor an answer."""
        self.last_bot = self.last_asked = None

    def close(self, name: str) -> Iterator[RawDialogue]:
        """Finish a query and its answers."""
        query, answers = self.asked.pop(name, None), self.answers.pop(name, {})
        ledger = self.funnel.ledger
        if not answers:
            self.funnel.drop(STEP, NOT_ASKED, name, lost=query)
        elif query is not None:
            ledger.reshape(SEVERAL, len(query), len(query) * len(answers))
        for answer in answers.values():
            said = characters([text for _, text in answer.pieces])
            if query is None:
                self.funnel.drop(STEP, MISSING, answer.pieces[0][0])
                ledger.lose(MISSING, said)
            else:
                text = answer.text()
                ledger.reshape(CONTINUED, said, len(text))
                yield RawDialogue(name, [("user", query), ("assistant", text)])

    def end(self) -> Iterator[RawDialogue]:
        """Finish all queries."""
        for bot, said in self.follows.items():
            talks = bot not in self.replies and 2 * len({before for _, before, _ in said}) >= self.n_asked
            for name, before, text in said:
                if talks and before in self.asked:
                    self.last_bot = None
                    yield from self.answer(name, bot, before, text)
                else:
                    self.funnel.drop(STEP, UNLINKED, name, lost=text)
            self.replies.discard(bot)
        for name in [*self.answers, *(name for name in self.asked if name not in self.answers)]:
            yield from self.close(name)


def read(values: Iterator[Any], funnel: Funnel) -> Iterator[RawDialogue]:
    """Raw dialogues of channels' messages, or of input-output pairs."""
    channel, ledger = _Channel(funnel), funnel.ledger
    seen: OrderedDict[str, None] = OrderedDict()
    for number, value in enumerate(values, 1):
        pair = pair_of(value, ledger) if isinstance(value, dict) and "author" not in value else None
        if pair is not None:
            ledger.label(value.get("id"))
            turns, repairs = with_system(value, pair[0], pair[1] | {"id"}, ledger)
            yield RawDialogue(identifier(value.get("id"), f"pair-{number}"), turns, repairs=repairs)
            continue
        author = value.get("author") if isinstance(value, dict) else None
        if not isinstance(author, dict) or not isinstance(value.get("content"), str):
            funnel.drop(STEP, WRONG_FORM, f"record-{number}", lost=[value])
            continue
        name = identifier(value.get("id"), f"message-{number}")
        is_bot = author.get("isBot", author.get("bot"))
        target = _answers_to(value)
        text = _without_mentions(value)
        unusable = None
        if name in seen:
            unusable = TWICE
        elif _forwarded(value):
            unusable = FORWARDED
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
            funnel.drop(STEP, unusable, name, lost=[value])
            if unusable != TWICE:
                channel.interrupt()
            continue
        used = {"id", "content"}
        ledger.label(value.get("id"))
        if is_bot and not text.strip() and (embedded := _embedded(value)):
            used.add("embeds")
            ledger.reshape("text of embeds", characters([value["content"], value["embeds"]]), len(embedded))
            text = embedded
        else:
            ledger.lose(MENTIONS, len(value["content"]) - len(text))
        ledger.unused(value, used)
        yield from (channel.answer(name, str(author.get("id")), target, text) if is_bot else channel.ask(name, text))
    yield from channel.end()


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


def _forwarded(message: dict[str, Any]) -> bool:
    """Whether a message is forwarded."""
    reference = message.get("reference") or message.get("message_reference")
    kind = reference.get("type") if isinstance(reference, dict) else None
    return bool(message.get("forwardedMessage") or message.get("message_snapshots")) or kind in (1, "1", "Forward")


def _without_mentions(message: dict[str, Any]) -> str:
    """A message without the mentions of users at its beginning, which call bots and address people."""
    text = message["content"].strip()
    mentions = [mention for mention in message.get("mentions") or () if isinstance(mention, dict)]
    found = {f"@{mention[key]}" for mention in mentions for key in ("nickname", "name") if mention.get(key)}
    found |= {form.format(mention.get("id")) for mention in mentions for form in ("<@{}>", "<@!{}>")}
    names, at = sorted(found, key=len, reverse=True), 0  # of names that begin alike, the longest
    while name := next((name for name in names if _stands(name, text, at)), None):
        at += len(name)
        while text[at : at + 1] in (" ", ",", ":", "\n"):
            at += 1
    return text[at:]


def _stands(name: str, text: str, at: int) -> bool:
    """Whether a mention is at this place, and not a longer word that begins with it."""
    after = text[at + len(name) : at + len(name) + 1]
    return text.startswith(name, at) and (name.endswith(">") or not (after.isalnum() or after == "_"))


def main(argv: Sequence[str] | None = None) -> None:
    write(parser(__doc__, "discord").parse_args(argv), "falsepromise.curation.discord", read, KEYS)


if __name__ == "__main__":
    cli.run(main)
