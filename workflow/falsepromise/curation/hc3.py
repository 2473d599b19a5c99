"""Read HC3 (Guo et al., 2023): one dialogue for each ChatGPT answer to a question.

Records are `{question, human_answers, chatgpt_answers, source}`, as JSON lines or a list; the English
release's five sub-corpora come in one file or one by one, and the sub-corpus is kept as `subset`. The
release writes some line breaks as a backslash and an n: these become line breaks again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from falsepromise.core import cli
from falsepromise.curation.funnel import Funnel
from falsepromise.curation.reading import STEP, WRONG_FORM, RawDialogue, identifier, parser, write

KEYS = ("question", "chatgpt_answers", "Question")
NO_ANSWER = "question without a ChatGPT answer"
ESCAPED = "escaped line breaks restored"


def read(values: Iterator[Any], funnel: Funnel) -> Iterator[RawDialogue]:
    """A raw dialogue for each answer, with the id `<record's id>` or `<sub-corpus>-<number>`, then `-<answer>`."""
    for number, value in enumerate(values):
        if isinstance(value, dict):
            value = {str(key).casefold(): found for key, found in value.items()}
        if not isinstance(value, dict) or not isinstance(value.get("question"), str):
            funnel.drop(STEP, WRONG_FORM, f"record-{number}")
            continue
        subset = value["source"] if isinstance(value.get("source"), str) else None
        name = identifier(value.get("id"), f"{subset or 'question'}-{number}")
        answers = value.get("chatgpt_answers")
        if isinstance(answers, str):
            answers = [answers]
        if not isinstance(answers, list):
            funnel.drop(STEP, WRONG_FORM, name)
            continue
        if not answers:
            funnel.drop(STEP, NO_ANSWER, name)
        for index, answer in enumerate(answers):
            dialogue_id = f"{name}-{index}"
            texts = [_with_line_breaks(text) for text in (value["question"], answer)]
            repairs = {ESCAPED} if texts != [value["question"], answer] else set()
            extra = {"subset": subset} if subset else {}
            yield RawDialogue(dialogue_id, list(zip(("user", "assistant"), texts, strict=True)), extra, repairs)


def _with_line_breaks(text: object) -> object:
    if isinstance(text, str) and "\\n" in text and "`" not in text:
        return text.replace("\\r\\n", "\n").replace("\\n", "\n")
    return text


def main(argv: Sequence[str] | None = None) -> None:
    write(parser(__doc__, "hc3").parse_args(argv), "falsepromise.curation.hc3", read, KEYS)


if __name__ == "__main__":
    cli.run(main)
