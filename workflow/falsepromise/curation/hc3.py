"""Read HC3 (Guo et al., 2023): one dialogue for each ChatGPT answer to a question.

Records are `{question, human_answers, chatgpt_answers, source}`, as JSON lines or a list; the English
release's five sub-corpora come in one file or in five, and `subset` names the sub-corpus. Where the release has a
backslash and an n for a line break, the line break is restored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from falsepromise.core import cli
from falsepromise.curation.funnel import Funnel
from falsepromise.curation.ledger import characters
from falsepromise.curation.reading import STEP, WRONG_FORM, RawDialogue, identifier, parser, write

KEYS = ("question", "chatgpt_answers", "Question")
NO_ANSWER = "question without a ChatGPT answer"
ESCAPED = "escaped line breaks restored"
# In the release, a capital, a digit or a sign follows; a small letter does in LaTeX (`\neq`) and in paths.
_ESCAPE = re.compile(r"(?:\\r)?\\n(?![a-z])")


def read(values: Iterator[Any], funnel: Funnel) -> Iterator[RawDialogue]:
    """A raw dialogue for each answer, with the id `<record's id>` or `<sub-corpus>-<number>`, then `-<answer>`."""
    ledger = funnel.ledger
    for number, raw in enumerate(values):
        value = {str(key).casefold(): found for key, found in raw.items()} if isinstance(raw, dict) else {}
        subset = value["source"] if isinstance(value.get("source"), str) else None
        question, answers = value.get("question"), value.get("chatgpt_answers")
        known = isinstance(question, str)
        name = identifier(value.get("id"), f"{subset or 'question'}-{number}") if known else f"record-{number}"
        if isinstance(answers, str):
            answers = [answers]
        if not isinstance(question, str) or not isinstance(answers, list) or not answers:
            funnel.drop(STEP, NO_ANSWER if known and answers == [] else WRONG_FORM, name, lost=[raw])
            continue
        ledger.lose("field that another differs from in case alone", characters(raw) - characters(value))
        ledger.unused(value, ("question", "chatgpt_answers", "id", "source"))
        ledger.label(value.get("id"), value.get("source"))
        ledger.reshape("question said again with each of its answers", len(question), len(question) * len(answers))
        for index, answer in enumerate(answers):
            texts = [_with_line_breaks(text) for text in (question, answer)]
            ledger.reshape(ESCAPED, characters([question, answer]), characters(texts))
            repairs = {ESCAPED} if texts != [question, answer] else set()
            extra = {"subset": subset} if subset else {}
            yield RawDialogue(f"{name}-{index}", list(zip(("user", "assistant"), texts, strict=True)), extra, repairs)


def _with_line_breaks(text: object) -> object:
    if isinstance(text, str) and "\\n" in text and "`" not in text:
        return _ESCAPE.sub("\n", text)
    return text


def main(argv: Sequence[str] | None = None) -> None:
    write(parser(__doc__, "hc3").parse_args(argv), "falsepromise.curation.hc3", read, KEYS)


if __name__ == "__main__":
    cli.run(main)
