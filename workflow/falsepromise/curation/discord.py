"""Read what Discord users asked a ChatGPT bot, and what it answered.

Two forms are read:

- an export of a channel by DiscordChatExporter (JSON): a bot's message is the answer to the message
  that it replies to. Discord cuts long messages: further replies to the same message, and the bot's
  messages right after its reply, go on with the answer. Mentions of the bot are taken off the query.
- JSON lines or a list of `{input, output}`.

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

KEYS = ("author", "content", "input", "output")
UNLINKED = "bot message that answers no message"
MISSING = "bot message whose query is not in the export"
NOT_ASKED = "message that no bot answered"
NO_TEXT = "message without text"
CONTINUED = "bot message joined to the answer before"

_REMEMBERED = 100_000  # messages that a reply can still refer to; bounds the memory
_OPEN = 1_000  # answers that may still go on


@dataclass
class _Exchange:
    query: str
    answers: list[str] = field(default_factory=list)


def read(values: Iterator[Any], funnel: Funnel) -> Iterator[RawDialogue]:
    """Raw dialogues of a channel's messages, or of input-output pairs."""
    asked: OrderedDict[str, str] = OrderedDict()  # messages of people, by id
    answered: OrderedDict[str, _Exchange] = OrderedDict()
    last_bot: tuple[object, str] | None = None  # who wrote the message before, and to which it belongs
    for number, value in enumerate(values, 1):
        if isinstance(value, dict) and "input" in value and "output" in value:
            name = identifier(value.get("id"), f"pair-{number}")
            yield RawDialogue(name, [("user", value["input"]), ("assistant", value["output"])])
            continue
        author = value.get("author") if isinstance(value, dict) else None
        if not isinstance(author, dict) or not isinstance(value.get("content"), str):
            funnel.drop(STEP, WRONG_FORM, f"record-{number}")
            continue
        name = identifier(value.get("id"), f"message-{number}")
        if not author.get("isBot"):
            last_bot = None
            if not value["content"].strip():
                funnel.drop(STEP, NO_TEXT, name)
                continue
            asked[name] = _without_mentions(value)
            if len(asked) > _REMEMBERED:
                funnel.drop(STEP, NOT_ASKED, asked.popitem(last=False)[0])
            continue
        target = _answers_to(value)
        if target is None and last_bot is not None and last_bot[0] == author.get("id"):
            target = last_bot[1]
        if target is None:
            funnel.drop(STEP, UNLINKED, name)
        elif target in answered:
            answered[target].answers.append(value["content"])
            funnel.repair(STEP, CONTINUED, name)
            last_bot = (author.get("id"), target)
        elif target in asked:
            answered[target] = _Exchange(asked.pop(target), [value["content"]])
            last_bot = (author.get("id"), target)
            if len(answered) > _OPEN:
                yield _dialogue(*answered.popitem(last=False))
        else:
            funnel.drop(STEP, MISSING, name)
    for query_id, exchange in answered.items():
        yield _dialogue(query_id, exchange)
    for query_id in asked:
        funnel.drop(STEP, NOT_ASKED, query_id)


def _answers_to(message: dict[str, Any]) -> str | None:
    reference = message.get("reference")
    target = reference.get("messageId") if isinstance(reference, dict) else None
    return str(target) if target is not None else None


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
    return RawDialogue(query_id, [("user", exchange.query), ("assistant", "\n".join(exchange.answers))])


def main(argv: Sequence[str] | None = None) -> None:
    write(parser(__doc__, "discord").parse_args(argv), "falsepromise.curation.discord", read, KEYS, "messages")


if __name__ == "__main__":
    cli.run(main)
