"""Read exports of chat services and other common chat data; each record's form is recognised.

- ChatGPT's `conversations.json` and the JSON of its share pages: a tree of messages. The active branch is read;
  with --all-branches each branch, so a query with several answers gives several dialogues.
  Messages to and from tools, reasoning, hidden and empty messages are left out; custom instructions become the
  system prompt.
- Claude's `conversations.json`: the text of attached documents is added after the query.
- OpenAI's Responses: `{instructions, input, output}`.
- all that `curation.sharegpt` and `curation.messages` read (without joining parts), also the columns of WildChat and
  LLaMA-Factory, exports of browser extensions, and records of one query and one reply.

A query with a picture or a file, which the export doesn't contain, ends the dialogue before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from falsepromise.core import cli
from falsepromise.core.records import Record
from falsepromise.curation.funnel import Funnel
from falsepromise.curation.ledger import TURNS, characters
from falsepromise.curation.leftovers import REASONING
from falsepromise.curation.reading import STEP, WRONG_FORM, RawDialogue, identifier, parser, write
from falsepromise.curation.turns import NO_TURNS, PAIRS, has_turns, pair_of, role, text_in, turns_of, with_system

IDS = ("id", "conversation_id", "conversationId", "conversation_hash", "uuid")
TURN_LISTS = ("conversations", "conversation", "messages", "items", "chat_messages", "linear_conversation")
KEYS = ("mapping", *TURN_LISTS, *dict.fromkeys(key for pair in PAIRS for key in pair), "id")
TOOLS = "message to or from a tool left out"
HIDDEN = "hidden or empty message left out"
AGAIN = "message kept with each of its branches"
OTHER_BRANCH = "message of another branch"
_REASONING = ("thoughts", "reasoning_recap")
_CONTEXT = ("user_editable_context", "model_editable_context")
_LONGEST_BRANCH = 100_000

Turns = list[tuple[object, object]]


def read(values: Iterator[Any], funnel: Funnel, all_branches: bool = False) -> Iterator[RawDialogue]:
    """Raw dialogues of records of any of these forms."""
    for number, value in enumerate(values, 1):
        record = value if isinstance(value, dict) else {}
        by = next((key for key in IDS if identifier(record.get(key), "")), None)
        name = identifier(record.get(by), f"record-{number}") if by else f"record-{number}"
        tree = _tree(record)
        if tree is not None:
            funnel.ledger.label(record.get(by))
            yield from _branches(tree, record, by, name, funnel, all_branches)
            continue
        found = _linear(record, funnel)
        if found is None or not found[0]:
            funnel.drop(STEP, WRONG_FORM if found is None else NO_TURNS, name, lost=[value])
            continue
        funnel.ledger.label(record.get(by))
        turns, repairs = with_system(record, found[0], found[1] | {str(by).casefold()}, funnel.ledger)
        yield RawDialogue(name, turns, repairs=repairs)


def _linear(record: Record, funnel: Funnel) -> tuple[Turns, set[str]] | None:
    """The turns of a record that lists them, and the keys that they come from."""
    if isinstance(record.get("output"), list) and "input" in record:
        return _responses(record, funnel)
    for key in TURN_LISTS:
        if has_turns(record.get(key)):
            held = key == "chat_messages" and isinstance(record[key], list)
            raw = [_attached(turn, funnel) for turn in record[key]] if held else record[key]
            return turns_of(raw, funnel.ledger) or [], {key.casefold()}
    return pair_of(record, funnel.ledger)


def _responses(record: Record, funnel: Funnel) -> tuple[Turns, set[str]]:
    """Input and output of OpenAI's Responses; tool calls and reasoning are separate items."""
    given = record["input"]
    turns: Turns = [] if isinstance(given, list) else [("user", given)]
    for item in [*(given if isinstance(given, list) else ()), *record["output"]]:
        kind = item.get("type", "message") if isinstance(item, dict) else None
        if kind == "message":
            turns += turns_of([item], funnel.ledger) or []
        else:
            turns.append(("tool" if kind else None, item))
    return turns, {"input", "output"}


def _attached(message: Any, funnel: Funnel) -> Any:
    """A message with the text of its attachments added; a query with a file that has no text here is no turn."""
    if not isinstance(message, dict):
        return message
    held = _files(message.get("attachments"))
    texts = [text for part in held if isinstance(text := part.get("extracted_content"), str) and text.strip()]
    named = [part.get("file_name") for part in held]
    others = [file for file in _files(message.get("files")) if file.get("file_name") not in named]
    if (others or len(texts) < len(held)) and role(message.get("sender")) == "user":
        return [None, message]
    parts = text_in(message.get("content"))
    own = parts if isinstance(parts, str) and parts.strip() else message.get("text")
    if not texts or not isinstance(own, str):
        return message
    said = "\n\n".join([own, *texts])
    replaced = [message.get(key) for key in ("text", "content", "attachments")]
    funnel.ledger.reshape("text of attachments", characters(replaced), len(said))
    return {**{key: value for key, value in message.items() if key not in ("content", "attachments")}, "text": said}


def _files(named: Any) -> list[Record]:
    return [file for file in named if isinstance(file, dict)] if isinstance(named, list) else []


def _tree(record: Record) -> dict[str, Record] | None:
    """The nodes of a conversation by name, or None if it is not a tree."""
    mapping = record.get("mapping")
    if not isinstance(mapping, dict) or not all(isinstance(node, dict) for node in mapping.values()):
        return None
    return mapping


def _branches(
    tree: dict[str, Record], record: Record, by: str | None, name: str, funnel: Funnel, all_branches: bool
) -> Iterator[RawDialogue]:
    parents = {key: node.get("parent") for key, node in tree.items()}
    inner = {parent for parent in parents.values() if isinstance(parent, str)}
    leaves = [key for key in tree if key not in inner]
    active = record.get("current_node")
    newest = leaves[-1] if leaves else next(reversed(tree), "")
    last = active if isinstance(active, str) and active in tree else newest
    ends = [last, *(leaf for leaf in leaves if leaf != last)] if all_branches else [last]
    ledger, used = funnel.ledger, set[str]()
    ledger.unused(record, {by, "mapping", "current_node"})
    ledger.label(record.get("current_node"))
    turns_of_node: dict[str, Turns] = {}
    found = 0
    for number, end in enumerate(ends):
        path = _path(end, parents)
        turns: Turns = []
        for key in path:
            if key not in used:
                used.add(key)
                turns_of_node[key] = _message(tree[key], funnel)
            elif again := turns_of_node[key]:
                ledger.reshape(AGAIN, 0, characters([text for _, text in again]))
                ledger.read[TURNS] -= len(again)
                ledger.added[TURNS, AGAIN] += len(again)
            turns += turns_of_node[key]
        if turns:
            found += 1
            yield RawDialogue(name if not number else f"{name}/{number}", turns)
    if not found:
        funnel.drop(STEP, NO_TURNS, name)
    for key, node in tree.items():
        if key not in used:
            message = node.get("message")
            ledger.lose(OTHER_BRANCH, characters([node]), 1 if message else 0)
            ledger.read[TURNS] += 1 if message else 0


def _path(end: str, parents: dict[str, Any]) -> list[str]:
    """The nodes from the root to a node; a cycle, as in a damaged file, is followed once."""
    path: dict[str, None] = {}
    at: Any = end
    while isinstance(at, str) and at in parents and at not in path and len(path) < _LONGEST_BRANCH:
        path[at] = None
        at = parents[at]
    return list(path)[::-1]


def _message(node: Record, funnel: Funnel) -> Turns:
    """A node's turn, or none if it isn't part of the dialogue."""
    ledger = funnel.ledger
    ledger.unused({key: value for key, value in node.items() if key != "message"}, (), "node's ")
    message = node.get("message")
    if not isinstance(message, dict):
        ledger.lose(HIDDEN, characters([message]))
        return []
    author = message.get("author")
    speaker = author.get("role") if isinstance(author, dict) else author
    content = message.get("content")
    kind = content.get("content_type") if isinstance(content, dict) else None
    metadata = message.get("metadata")
    hidden = isinstance(metadata, dict) and metadata.get("is_visually_hidden_from_conversation")
    text = text_in(content)
    if kind in _CONTEXT and isinstance(content, dict):
        said = [content.get(key) for key in ("user_profile", "user_instructions") if content.get(key)]
        speaker, text = "system", "\n\n".join(part for part in said if isinstance(part, str))
    why = None
    if speaker == "tool" or message.get("recipient") not in (None, "all"):
        why = TOOLS
    elif kind in _REASONING:
        why = REASONING
    elif kind not in _CONTEXT and (hidden or (isinstance(text, str) and not text.strip() and speaker == "system")):
        why = HIDDEN
    if why:
        ledger.lose(why, characters([message]), 1)
        ledger.read[TURNS] += 1
        return []
    ledger.label(author)
    ledger.unused(message, {"author", "content"}, "message's ")
    files = _files(metadata.get("attachments")) if isinstance(metadata, dict) and speaker == "user" else []
    if isinstance(text, str) and (not files or _is_speech(content)):
        ledger.reshape("text in parts", characters([content]), len(text))
        return [(speaker, text)]
    return [(None if files else speaker, content)]


def _is_speech(content: Any) -> bool:
    """Whether a message's files are the sound of its own words."""
    parts = content.get("parts") if isinstance(content, dict) else None
    return any(part.get("content_type") == "audio_transcription" for part in _files(parts))


def main(argv: Sequence[str] | None = None) -> None:
    options = parser(__doc__, "exports")
    options.add_argument("--all-branches", action="store_true", help="read every branch of a tree of messages")
    args = options.parse_args(argv)
    write(args, "falsepromise.curation.exports", partial(read, all_branches=args.all_branches), KEYS)


if __name__ == "__main__":
    cli.run(main)
